"""The limit of rows is a setting, for every table of both hops, and what is near it can be seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest

from stream.core.table.row_table import RowsFull
from stream.settings import Settings
from stream.worker.health.line_metrics import Metrics
from stream.worker.hops.account_processor import AccountPartition, AccountProcessor
from stream.worker.hops.payee_processor import PayeeProcessor

SETTINGS = Settings(row_limit=1_000)


def hops() -> list[Any]:
    return [AccountProcessor(SETTINGS, 2, lambda actor: True), PayeeProcessor(SETTINGS, None)]  # type: ignore[arg-type]


@pytest.mark.parametrize("place", range(2))
def test_every_table_of_a_hop_takes_as_many_rows_as_the_setting_says_and_not_one_more(place: int) -> None:
    for table in hops()[place].replica(0).tables:
        keys = np.array([f"k{number}" for number in range(1_001)], "S64")
        hashes = np.arange(1, 1_002, dtype=np.uint64)
        table.claim(hashes[:1_000], keys[:1_000])
        with pytest.raises(RowsFull, match="1001 rows would pass the limit of 1000"):
            table.claim(hashes[1_000:], keys[1_000:])


def test_the_rows_shown_are_those_of_the_fullest_table() -> None:
    hop = hops()[0]
    core = hop.replica(1).core
    hop.owned[1] = AccountPartition(core, 0, 0)
    core.table.claim(np.array([1, 2, 3], np.uint64), np.array([b"a", b"b", b"c"], "S64"))
    core.told.claim(np.array([1], np.uint64), np.array([b"a"], "S64"))
    assert hop.fullest(1) == 3
    assert hop.fullest(0) == 0, "another worker's"


def test_rows_and_their_limit_are_metrics_and_what_moved_away_is_not_shown() -> None:
    metrics = Metrics()
    metrics.health.rows({("accounts", 1): 7, ("payees", 1): 9}, 1_000)
    metrics.health.rows({("accounts", 1): 8}, 1_000)
    shown = generate_latest(metrics.registry).decode()
    assert 'riskstream_rows{hop="accounts",partition="1"} 8.0' in shown
    assert 'hop="payees",partition="1"' not in shown
    assert "riskstream_rows_limit 1000.0" in shown
