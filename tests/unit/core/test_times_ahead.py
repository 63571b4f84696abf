"""One record from the future, taken before such were refused: what it spoils, and what a step brings back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from stream.arrays.packed import Packed
from stream.core.account.account_mending import mend_accounts
from stream.core.account.account_row import ACCOUNT_ROW, BIN_US, DAY_BINS, DAY_US
from stream.core.decision.genesis import first_snapshot
from stream.core.edge.decode import decode_transactions
from stream.core.features import INDEX
from stream.core.frame.frame import decode_frame
from stream.core.frame.mended_step import MENDED, MendingStep, forwarded_step
from stream.core.learning.learning_records import LearningRecords, is_label, label_record
from stream.core.learning.stream_learner import StreamLearner
from stream.core.payee.payee_hop import PayeeHop
from stream.core.payee.payee_row import BUCKETS, payments_of
from tests.unit.core.accounts_line import DAY_MS, FIRST_MS, Line

AHEAD_MS = 365 * DAY_MS
BOUND_US = 300_000_000


def step_at(now_ms: int, offset: int = 0) -> MendingStep:
    return MendingStep(offset, now_ms * 1000, now_ms * 1000 + BOUND_US)


def spoilt() -> Line:
    """Six payments within an hour, the fourth of them from a clock that is a year ahead."""
    line = Line()
    for _ in range(3):
        line.pay("a-1", after_days=0.001)
    line.pay("a-1", after_days=365.0)
    line.now_ms -= AHEAD_MS
    return line


def test_velocities_and_lateness_are_spoilt_for_good_and_count_again_after_a_step() -> None:
    line = spoilt()
    for _ in range(20):
        line.pay("a-1", after_days=0.001)
    before = line.pay("a-1", after_days=0.001)
    assert before["count_hour"] < 2.1, (
        "whoever pays 20 times in half an hour looks as if he had paid once, a year ahead"
    )
    assert line.hop.highest[0] > line.now_ms * 1000 + BOUND_US
    line.hop.mend(step_at(line.now_ms))
    assert line.hop.highest[0] == line.now_ms * 1000
    for _ in range(10):
        after = line.pay("a-1", after_days=0.001)
    assert after["count_hour"] > 8.0
    assert after["idle_hours"] == pytest.approx(24 * 0.001, rel=0.01)


def test_a_second_step_changes_nothing_and_rows_that_are_in_time_keep_every_byte() -> None:
    line = spoilt()
    line.pay("a-2", customer="c-2", after_days=0.01)
    untouched = line.hop.table.rows[1].tobytes()
    assert line.hop.mend(step_at(line.now_ms)) == 1
    assert line.hop.table.rows[1].tobytes() == untouched
    mended = line.hop.table.rows[0].tobytes()
    assert line.hop.mend(step_at(line.now_ms)) == 0
    assert line.hop.table.rows[0].tobytes() == mended


def test_no_time_of_any_row_of_the_first_hop_stays_ahead() -> None:
    """Whatever is a time in these rows: a field that comes to them must be brought back too."""
    line = spoilt()
    line.pay("a-2", after_days=366.0)
    line.tell("a-2", "fraud")
    line.tell("a-1", "genuine", transaction=1)
    line.now_ms = FIRST_MS + DAY_MS
    step = step_at(line.now_ms)
    assert mend_accounts(line.hop.table, line.hop.customers, line.hop.told, step) == 5
    times = {"S64", "f4", "f8", "u1", "u2", "i2", "u8"}
    numbers = {
        "attempts", "matured", "matured_early", "normal_count", "pair_low", "recent_content", "unauthenticated_sum",
    }  # fmt: skip
    for table in (line.hop.table, line.hop.customers, line.hop.told):
        for name in table.dtype.names or ():
            kind = table.dtype[name].base.str[1:]
            if kind in times or name in numbers or name == "day_sums":
                continue
            unit = {"day_bin": BIN_US}.get(name, 1_000_000 if kind == "u4" else 1)
            most = int(table.rows[: table.slots][name].max(initial=0)) * unit
            allowed = step.limit + (90 * DAY_US if name == "cleared_until" else 0)
            assert most <= allowed, name


def test_the_legal_sum_of_the_day_keeps_what_the_wrong_time_had_counted() -> None:
    line = Line()
    line.pay("a-1", after_days=365.0, amount_minor=70_000, channel="app", payee_kind="person", country="DE")
    row = line.hop.table.rows[0]
    row["day_bin"], row["day_sums"] = (line.now_ms * 1000) // BIN_US, np.arange(DAY_BINS)
    now_ms = line.now_ms - AHEAD_MS
    line.hop.mend(step_at(now_ms))
    now = now_ms * 1000 // BIN_US
    assert (row["day_bin"], row["day_sums"][now % DAY_BINS], row["day_sums"].sum()) == (now, 21, 21)
    assert row.dtype == ACCOUNT_ROW


def _frames(line: Line, *times_ms: int, payee: str = "shop", account: str = "a-1") -> list[tuple[int, Any]]:
    found = []
    for number, at in enumerate(times_ms):
        record = {
            "transaction_id": f"p-{account}-{number}-{at}", "account_id": account, "amount_minor": 100, "currency": "EUR",
            "channel": "app", "payee_id": payee, "event_time": f"{np.datetime64(at, 'ms')}Z",
        }  # fmt: skip
        stamp = np.array([at])
        rows = decode_transactions([orjson.dumps(record)], np.array([number]), stamp, 0, 1, future_ms=1).columns
        found.append((number, decode_frame(line.hop.process(rows, _no_feedback()).frames[0][1])))
    return found


def _no_feedback() -> Any:
    from stream.core.columns import FEEDBACK

    return np.zeros(0, FEEDBACK)


@pytest.mark.parametrize("payers", [1, 12])
def test_a_payee_counts_by_day_and_week_again(payers: int) -> None:
    """One of few payers, whose counts are in its row, and one of many, which has a busy row beside it."""
    line, hop = Line(), PayeeHop(0, 7 * DAY_US)
    now = FIRST_MS + 400 * DAY_MS
    for number in range(payers):
        hop.process(_frames(line, now, now + 1, account=f"a-{number}"))
    hop.process(_frames(line, now + AHEAD_MS, account="a-0"))
    assert (len(hop.busy) > 0) == (payers > PAYERS_OF_A_ROW)
    assert hop.mend(step_at(now + 2)) > 0
    row, today = hop.table.rows[0], (now + 2) // DAY_MS
    assert row["last_seen"] == (now + 2) * 1000
    count = hop.busy.rows[0]["day_payments"][today % BUCKETS] if len(hop.busy) else payments_of(row, today)
    assert count == 1, "what lay more than the buckets behind the wrong time is gone; the payment itself counts today"
    received = hop.process(_frames(line, now + 60_000, now + 61_000, account="a-1"))
    assert received.features[-1][INDEX["payee_count_hour"]] > 1.5
    assert hop.mend(step_at(now + 3)) == 0


PAYERS_OF_A_ROW = 8


def test_a_step_reaches_every_payee_partition_and_stands_for_one_record() -> None:
    line = Line()
    line.hop.settings = type(line.hop.settings)(4, 7 * DAY_US, DAY_US)
    line.hop.partition = 2
    profiled = line.hop.process(_no_transactions(), _no_feedback(), None, [step_at(FIRST_MS, offset=17)])
    assert [to for to, _ in profiled.frames] == [0, 1, 2, 3]
    heard = [decode_frame(frame).feedback for _, frame in profiled.frames]
    assert [int(one["takes_back"][0]) for one in heard] == [1, 1, 0, 1]
    assert {int(one["source_offset"][0]) for one in heard} == {17}
    assert all(one["kind"][0] == MENDED for one in heard)
    assert all(is_label(label_record(one[0])) for one in heard)


def _no_transactions() -> Any:
    none = np.zeros(0, np.int64)
    return decode_transactions([], none, none, 0, 1, future_ms=1).columns


def _scored(*days: float) -> LearningRecords:
    count, first = len(days), first_snapshot(1)
    width = first.model["linear"].shape[1]
    return LearningRecords(
        Packed.of([]), np.array([round(day * 1000) + 1 for day in days], np.uint64),
        np.array([round(day * DAY_US) for day in days]), np.zeros(count, np.uint8), np.zeros(count, np.bool_),
        np.zeros(count, np.int64), np.zeros((count, width), np.float32), [], [],
    )  # fmt: skip


def _told(labels: Sequence[bytes]) -> LearningRecords:
    records = _scored()
    return LearningRecords(
        *(getattr(records, name) for name in records.__slots__[:-2]), list(labels), [0] * len(labels)
    )


def test_the_learner_matures_in_order_again() -> None:
    stream = StreamLearner.begin(first_snapshot(1), 7 * DAY_US)
    stream.absorb(_scored(1.0, 366.0, 2.0))
    stream.close_round(False)
    assert len(stream.learner.matured) == 1, "the clock jumped ahead, and the wrong time keeps what came behind it"
    stream.absorb(_scored(20.0))
    stream.close_round(False)
    assert len(stream.learner.matured) == 0
    mended = label_record(forwarded_step(MendingStep(3, 20 * DAY_US, 20 * DAY_US + BOUND_US), "mended-0-3", 0, 1)[0])
    stream.absorb(_told([mended]))
    stream.absorb(_scored(28.0))
    stream.close_round(False)
    assert stream.learner.watermark == 28 * DAY_US
    assert len(stream.learner.matured) == 3
