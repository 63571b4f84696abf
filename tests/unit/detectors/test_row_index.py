from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.row_index import RowIndex


def _traffic(steps: int, seed: int) -> list[NDArray[np.uint64]]:
    """Batches in which many hashes come again, some of them within one batch, and low bits are often the same."""
    rng = np.random.default_rng(seed)
    known = rng.integers(0, 2**64, 400, dtype=np.uint64) & ~np.uint64(7)
    known[:100] = np.arange(100, dtype=np.uint64)
    return [rng.choice(known, int(rng.integers(0, 60))) for _ in range(steps)]


def test_it_numbers_and_finds_as_a_dictionary_of_the_queue_does() -> None:
    index, place_of = RowIndex(), dict[int, int]()
    rng, start, end = np.random.default_rng(1), 0, 0
    for step, hashes in enumerate(_traffic(300, 2)):
        mask = (0, 0, 8, 24)[step % 4]
        new: list[int] = []
        for place, h in enumerate(hashes.tolist()):
            if h not in place_of and not h & mask:
                place_of[h] = end + len(new)
                new.append(place)
        assert index.enter(hashes, mask, start, end).tolist() == new
        end += len(new)
        start = int(rng.integers(start, end + 1)) if step % 3 == 0 else start
        place_of = {h: row for h, row in place_of.items() if row >= start}
        assert [index.find(h, start) for h in hashes.tolist()] == [place_of.get(h, -1) for h in hashes.tolist()]


def test_a_queue_that_stays_short_keeps_its_table_small() -> None:
    index = RowIndex()
    for step in range(2_000):
        hashes = np.arange(step * 50, step * 50 + 50, dtype=np.uint64)
        assert len(index.enter(hashes, 0, step * 50 - 100, step * 50)) == 50
    assert index.places <= 512
    assert index.find(1_999 * 50, 1_998 * 50) == 1_999 * 50


def test_what_was_cleared_is_gone() -> None:
    index = RowIndex()
    index.enter(np.array([3, 4], np.uint64), 0, 0, 0)
    index.clear()
    assert index.find(3, 0) == -1
    assert index.enter(np.array([4, 3], np.uint64), 0, 0, 0).tolist() == [0, 1]
