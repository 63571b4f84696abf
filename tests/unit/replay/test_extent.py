"""How much is left: what the bar on stderr is told."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from stream.replay.source.extent import Extent


def test_lines_are_estimated_by_the_length_of_the_first_ones(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    path.write_bytes(b'{"a":1}\n' * 300_000)
    extent = Extent(path, None)
    assert extent.total == pytest.approx(300_000, rel=0.01)
    extent.add(310_000)
    assert extent.total == 310_000, "never fewer than there were"


def test_a_limit_and_what_was_done_before_count(tmp_path: Path) -> None:
    path = tmp_path / "h.csv"
    path.write_text("a,b\n" + "1,2\n" * 99)
    assert Extent(path, 40, done=10).total == 40
    assert Extent(path, 400).total == 100
    assert Extent(path, 40, done=10).rows == 10


def test_of_compressed_files_nothing_is_claimed_and_of_topics_their_offsets(tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl.gz"
    path.write_bytes(gzip.compress(b"{}\n" * 10))
    assert Extent(path, None).total is None
    assert Extent(path, 7).total == 7
    assert Extent(None, None, expected=12).total == 12
