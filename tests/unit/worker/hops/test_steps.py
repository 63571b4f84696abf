"""Steps that mend times, among a batch of feedback."""

from __future__ import annotations

import orjson
import pytest

from stream.contracts.mending import STEP_KEY
from stream.core.frame.batch_record import mended_steps, read_batch
from stream.core.frame.mended_step import MendingStep
from stream.log.records import Place, Record, RecordBatch
from stream.worker.hops.mending_records import find_steps, recorded

PLACE = Place("bank.feedback.v1", 0)
STEP = {"step": "mend_times", "actor": "okafor", "reason": "a clock", "occurred_at": "2026-01-01T00:00:00Z"}


def batch(*values: tuple[bytes | None, bytes]) -> RecordBatch:
    return RecordBatch.of([Record(7 + at, 1, key, value) for at, (key, value) in enumerate(values)])


def test_a_step_takes_the_brokers_time_and_the_rest_is_feedback() -> None:
    records = batch((b"c-1", b"{}"), (STEP_KEY, orjson.dumps(STEP)), (None, b"{}"), (b"step/mend_timez", b"{}"))
    found = find_steps(PLACE, records, 1_000, 300)
    assert found.steps == (MendingStep(8, 1_000_000, 1_300_000),)
    assert (found.refused, found.feedback.offsets.tolist()) == ((), [7, 9, 10])
    document = {
        "sequence": 1,
        "transactions": [0, 0],
        "feedback": [7, 11],
        "untrusted": [],
        "mended": recorded(found.steps),
    }
    assert mended_steps(read_batch(orjson.dumps(document))) == found.steps


def test_without_the_brokers_time_there_is_none_to_mend_by() -> None:
    found = find_steps(PLACE, batch((STEP_KEY, orjson.dumps(STEP))), None, 300)
    assert (found.steps, [one.reason for one in found.refused], len(found.feedback)) == ((), ["unsupported"], 0)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"actor": None}, "missing"), ({"reason": ""}, "missing"), ({"step": "erase"}, "out_of_range"),
        ({"actor": "x" * 65}, "out_of_range"), ({"occurred_at": "today"}, "bad_time"), ({"actor": 7}, "wrong_type"),
    ],
)  # fmt: skip
def test_a_step_that_says_too_little_is_refused(changed: dict[str, object], reason: str) -> None:
    found = find_steps(PLACE, batch((STEP_KEY, orjson.dumps(STEP | changed))), 1_000, 300)
    assert (found.steps, [one.reason for one in found.refused]) == ((), [reason])
