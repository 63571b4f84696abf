"""An event time is bounded by the record's stamp and by the broker's time: one clock that is wrong sets the first two alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from stream.core.edge.decode import Decoded, decode_transactions

NOW_MS = 1_795_478_400_000
BOUND_MS = 300_000
YEAR_MS = 365 * 86_400_000


def read(ahead: int, stamped_ahead: int, broker_ms: Any) -> Decoded:
    record = {
        "transaction_id": "t-1", "account_id": "a-1", "amount_minor": 5, "currency": "EUR", "channel": "app",
        "event_time": f"{np.datetime64(NOW_MS + ahead, 'ms')}Z",
    }  # fmt: skip
    stamps = np.array([NOW_MS + stamped_ahead])
    return decode_transactions(
        [orjson.dumps(record)], np.arange(1), stamps, 0, 1, future_ms=BOUND_MS, broker_ms=broker_ms
    )


@pytest.mark.parametrize("broker_ms", [NOW_MS, np.array([NOW_MS])])
@pytest.mark.parametrize(
    ("ahead", "stamped_ahead", "taken"),
    [
        (0, 0, True),
        (BOUND_MS, BOUND_MS, True),
        (BOUND_MS, YEAR_MS, True),
        (BOUND_MS + 1, BOUND_MS + 1, False),
        (YEAR_MS, YEAR_MS, False),
        (YEAR_MS, 0, False),
        (1, -BOUND_MS, False),
        (-YEAR_MS, -YEAR_MS, True),
    ],
)
def test_neither_stamp_nor_event_time_leads_beyond_the_brokers_time(
    ahead: int, stamped_ahead: int, taken: bool, broker_ms: Any
) -> None:
    decoded = read(ahead, stamped_ahead, broker_ms)
    assert (len(decoded.columns), [one.reason for one in decoded.refused]) == (taken, [] if taken else ["future"])
    if taken:
        assert decoded.columns["timestamp"][0] == NOW_MS + min(stamped_ahead, BOUND_MS)


def test_without_the_brokers_time_the_stamp_alone_is_believed() -> None:
    assert len(read(YEAR_MS, YEAR_MS, None).columns) == 1
    assert [one.reason for one in read(YEAR_MS, 0, None).refused] == ["future"]


def test_the_message_names_the_clock_that_is_wrong() -> None:
    (stamped,) = read(YEAR_MS, YEAR_MS, NOW_MS).refused
    assert stamped.message == (
        f"event_time is {YEAR_MS} ms ahead of the broker's time, at most {BOUND_MS}; its Kafka timestamp, which the producer "
        f"set, is {YEAR_MS} ms ahead of it: look at that producer's clock"
    )
    (right,) = read(YEAR_MS, 0, NOW_MS).refused
    assert right.message == f"event_time is {YEAR_MS} ms ahead of the Kafka timestamp, at most {BOUND_MS}"
