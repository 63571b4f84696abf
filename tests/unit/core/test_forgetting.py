"""Rows idle for longer than a limit count as new when they are met again, whether they were taken out meanwhile or not."""

from __future__ import annotations

import hashlib

import numpy as np
import orjson
import pytest

from stream.core import columns
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.edge.decode import decode_feedback, decode_transactions
from stream.core.frame.frame import decode_frame
from stream.core.frame.mended_step import MendingStep
from stream.core.payee.payee_hop import PayeeHop
from stream.core.table.forgetting import IdleLimits
from stream.core.table.row_table import RowTable
from stream.core.table.slot_index import SlotIndex

DAY_US = 86_400_000_000
START_US = 1_700_000_000_000_000
LIMIT_DAYS = 10


class Line:
    """Both hops; rows idle for ten days are forgotten unless ``days`` says otherwise."""

    def __init__(self, days: float = LIMIT_DAYS, pairs: float = LIMIT_DAYS) -> None:
        idle = IdleLimits(round(days * DAY_US), round(pairs * DAY_US))
        self.accounts = AccountHop(0, HopSettings(1, DAY_US, DAY_US, idle))
        self.payees = PayeeHop(0, DAY_US, round(days * DAY_US))
        self.digest = hashlib.sha256()
        self.offset = 0

    def walk(self, payments: list[dict[str, object]], told: list[dict[str, object]] = []) -> np.ndarray:  # noqa: B006
        """Payments and feedback as one batch; gives the features."""
        values = [orjson.dumps(one) for one in payments]
        offsets = np.arange(self.offset, self.offset + len(values))
        stamps = np.full(len(values), 4_000_000_000_000)
        decoded = decode_transactions(values, offsets, stamps, 0, 1, future_ms=300_000)
        told_offsets = np.arange(self.offset, self.offset + len(told))
        outcomes = (
            decode_feedback([orjson.dumps(one) for one in told], told_offsets, told_offsets, 0, 1) if told else None
        )
        assert not decoded.refused
        assert outcomes is None or not outcomes.refused
        feedback = np.zeros(0, columns.FEEDBACK) if outcomes is None else outcomes.columns
        profiled = self.accounts.process(decoded.columns, feedback)
        self.offset += len(values) + len(told)
        received = self.payees.process([(self.offset, decode_frame(frame)) for _, frame in profiled.frames])
        for _, frame in profiled.frames:
            self.digest.update(frame)
        self.digest.update(received.features.tobytes())
        return received.features

    def written(self) -> None:
        """As after a checkpoint."""
        self.accounts.written()
        self.payees.written()

    def sweep(self, most: int) -> int:
        """As a checkpoint does, with all that changed written by the one before."""
        self.written()
        return self.accounts.forget(most) + self.payees.forget(most)

    def tables(self) -> list[RowTable]:
        return [self.accounts.table, self.accounts.customers, self.accounts.told, self.payees.table, self.payees.busy]

    def rows(self) -> list[list[bytes]]:
        """What is remembered."""
        self.accounts.forget_all()
        self.payees.forget_all()
        return [[row.tobytes() for row in table.sorted_rows()] for table in self.tables()]


def payment(
    number: int, day: float, account: int = 1, payee: int = 1, customer: int | None = None
) -> dict[str, object]:
    at = np.datetime64(START_US + round(day * DAY_US), "us")
    owner = {} if customer is None else {"customer_id": f"c-{customer}"}
    return {
        "transaction_id": f"t-{number}", "account_id": f"a-{account}", "payee_id": f"p-{payee}",
        "event_time": f"{at}Z", "amount_minor": 1000 + number % 97, "currency": "EUR", "channel": "app",
        "device_id": f"d-{account % 5}", **owner,
    }  # fmt: skip


def reversal(number: int, day: float, of: int, account: int = 1, customer: int | None = None) -> dict[str, object]:
    return {**payment(number, day, account, 1, customer), "type": "reversal", "original_transaction_id": f"t-{of}"}


def label(number: int, day: float, account: int = 1, payee: int = 1, verdict: str = "fraud") -> dict[str, object]:
    at = np.datetime64(START_US + round(day * DAY_US), "us")
    kind = "chargeback" if verdict == "fraud" else "review"
    return {
        "feedback_id": f"f-{number}-{verdict}", "transaction_id": f"t-{number}", "account_id": f"a-{account}",
        "payee_id": f"p-{payee}", "kind": kind, "verdict": verdict, "actor": "desk", "occurred_at": f"{at}Z",
    }  # fmt: skip


def test_an_account_met_after_its_limit_begins_anew() -> None:
    kept, forgets, never_seen = Line(days=0, pairs=0), Line(), Line()
    for line in (kept, forgets):
        line.walk([payment(1, 0), payment(2, 1)])
    fresh = never_seen.walk([payment(3, 11.5)]).tobytes()
    assert forgets.walk([payment(3, 11.5)]).tobytes() == fresh
    assert kept.walk([payment(3, 11.5)]).tobytes() != fresh
    assert forgets.rows() == never_seen.rows()


def test_just_below_its_limit_an_account_is_known() -> None:
    line, kept = Line(), Line(days=0, pairs=0)
    for one in (line, kept):
        one.walk([payment(1, 0)])
    assert line.walk([payment(2, 9.99)]).tobytes() == kept.walk([payment(2, 9.99)]).tobytes()


def test_idle_is_measured_by_the_partitions_highest_event_time() -> None:
    line, fresh = Line(), Line()
    line.walk([payment(1, 0), payment(2, 30, account=2, payee=2)])
    fresh.walk([payment(2, 30, account=2, payee=2)])
    late = payment(3, 1)
    assert line.walk([late]).tobytes() == fresh.walk([late]).tobytes(), (
        "long past its limit, however early it says it is"
    )


def test_a_pair_is_forgotten_within_an_account_that_is_not() -> None:
    line = Line(days=0, pairs=LIMIT_DAYS)
    line.walk([payment(1, 0, payee=1), payment(2, 8, payee=2), payment(3, 12, payee=2)])
    row = line.accounts.table.rows[0]
    assert int((row["pair_low"] != 0).sum()) == 1, "the payee of the first day"


@pytest.mark.parametrize("days", [100.0, 1000.0])
def test_a_fraud_is_never_forgotten(days: float) -> None:
    line = Line()
    line.walk([payment(1, 0), payment(2, 0, account=2, payee=2)], [label(1, 0.5)])
    line.walk([payment(3, days, account=3, payee=3)])
    while line.sweep(5):
        pass
    held = line.rows()
    assert [len(rows) for rows in held] == [2, 0, 1, 2, 1], "the victim, the payee that got it, and the newest"
    assert line.accounts.table.rows["fraud_last"].any()


def test_a_fraud_taken_back_lets_its_rows_go() -> None:
    line = Line()
    line.walk([payment(1, 0)], [label(1, 0.5)])
    line.walk([payment(2, 1, account=2, payee=2)], [{**label(1, 1, verdict="genuine"), "supersedes": "f-1-fraud"}])
    line.walk([payment(3, 100, account=3, payee=3)])
    assert [len(rows) for rows in line.rows()] == [1, 0, 0, 1, 0]


def test_with_limits_of_45_days_memory_at_day_180_is_that_of_day_90() -> None:
    line, kept = Line(days=45, pairs=45), Line(days=0, pairs=0)
    held, grown = {}, {}
    for day in range(181):
        some = [payment(day * 20 + n, day + n / 50, account=day * 20 + n, payee=day * 20 + n) for n in range(20)]
        line.walk(some)
        kept.walk(some)
        line.sweep(1000)
        held[day] = sum(table.bytes_held for table in line.tables())
        grown[day] = sum(table.bytes_held for table in kept.tables())
    assert held[180] <= 1.1 * held[90]
    assert grown[180] > 1.8 * grown[90], "without forgetting it grows"
    assert len(line.accounts.table) <= 20 * 47


@pytest.mark.parametrize("seed", range(3))
def test_with_the_default_limits_180_days_are_as_without_any(seed: int) -> None:
    limited, kept = Line(days=400, pairs=400), Line(days=0, pairs=0)
    limited.payees.idle_us = 180 * DAY_US
    until = np.datetime64(START_US + 180 * DAY_US, "us")
    for payments, told in traffic(seed, 60):
        if np.datetime64(str(payments[-1]["event_time"]).rstrip("Z")) > until:
            break
        for line in (limited, kept):
            line.walk(payments, told)
        limited.sweep(100)
    assert limited.offset > 100
    assert limited.digest.digest() == kept.digest.digest()


def traffic(seed: int, count: int) -> list[tuple[list[dict[str, object]], list[dict[str, object]]]]:
    """Batches in which everything happens: long pauses, late records, repeats, several accounts of a customer, labels."""
    draw = np.random.default_rng(seed)
    batches, day, number = [], 0.0, 0
    paid: list[tuple[int, int, int]] = []
    for _ in range(count):
        payments, told = [], []
        for _ in range(int(draw.integers(1, 9))):
            day += float(draw.choice([0.01, 0.3, 4.0, 11.0], p=[0.6, 0.3, 0.06, 0.04]))
            account, payee = int(draw.integers(1, 9)), int(draw.integers(1, 7))
            late = float(draw.choice([0.0, 2.0, 12.0], p=[0.9, 0.06, 0.04]))
            customer = int(account / 3) if draw.random() < 0.8 else int(draw.integers(0, 3))
            again = bool(paid) and draw.random() < 0.05
            number += not again
            payments.append(payment(number, max(day - late, 0.0), account, payee, customer))
            paid.append((number, account, payee))
        for _ in range(int(draw.integers(0, 3))):
            what = paid[int(draw.integers(max(len(paid) - 12, 0), len(paid)))]
            verdict = str(draw.choice(["fraud", "genuine"], p=[0.15, 0.85]))
            told.append(label(what[0], day, what[1], what[2], verdict))
        batches.append((payments, told))
    return batches


@pytest.mark.parametrize("seed", range(12))
def test_any_interleaving_of_sweeps_gives_the_same_bytes_as_none(seed: int) -> None:
    draw = np.random.default_rng(seed)
    never, always, sometimes = Line(), Line(), Line()
    taken = 0
    for payments, told in traffic(seed, 120):
        for line in (never, always, sometimes):
            line.walk(payments, told)
        always.accounts.forget_all()
        always.payees.forget_all()
        if draw.random() < 0.4:
            taken += sometimes.sweep(int(draw.integers(1, 4)))
    assert taken > 3
    assert never.digest.digest() == always.digest.digest() == sometimes.digest.digest()
    assert never.rows() == always.rows() == sometimes.rows()


@pytest.mark.parametrize("seed", range(6))
def test_where_batches_are_cut_forgetting_is_the_same(seed: int) -> None:
    whole, single = Line(), Line()
    payments = [one for batch, _ in traffic(seed, 60) for one in batch]
    whole.walk(payments)
    for one in payments:
        single.walk([one])
    assert whole.rows() == single.rows()


@pytest.mark.parametrize("seed", range(4))
def test_rows_read_back_after_a_recovery_forget_alike(seed: int) -> None:
    batches = traffic(seed, 100)
    line, other = Line(), Line()
    for payments, told in batches[:60]:
        line.walk(payments, told)
        other.walk(payments, told)
    back = Line()
    for table, copy in zip(line.tables(), back.tables(), strict=True):
        copy.put(table.stored(table.taken())[1])
    back.accounts.highest[:] = line.accounts.highest
    for mine, theirs in ((back.accounts, line.accounts), (back.payees, line.payees)):
        mine.horizons = theirs.horizons.copy()
    for payments, told in batches[60:]:
        assert np.array_equal(back.walk(payments, told), other.walk(payments, told), equal_nan=True)
    assert back.rows() == other.rows()


def test_a_limit_that_is_raised_does_not_bring_back_what_was_forgotten() -> None:
    swept, not_swept = Line(), Line()
    for line in (swept, not_swept):
        line.walk([payment(1, 0), payment(2, 11, account=2, payee=2)])
    assert swept.sweep(10) == 2
    for line in (swept, not_swept):
        line.payees.idle_us = 1000 * DAY_US
        line.accounts.settings = HopSettings(1, DAY_US, DAY_US, IdleLimits(1000 * DAY_US, 1000 * DAY_US))
        line.walk([payment(3, 12)])
    assert swept.rows() == not_swept.rows()


def test_an_account_that_only_reversals_met_is_forgotten_after_the_last_of_them() -> None:
    line = Line()
    line.walk([reversal(1, 0, of=99), reversal(2, 5, of=98)])
    line.walk([payment(3, 14, account=2, payee=2)])
    assert line.sweep(10) == 0, "9 days after the second"
    line.walk([payment(4, 15.5, account=2, payee=2)])
    assert line.sweep(10) == 1
    assert [row["key"] for row in line.accounts.table.sorted_rows()] == [b"a-2"]


def test_a_reversal_of_what_is_forgotten_is_unknown() -> None:
    line, never_seen = Line(), Line()
    line.walk([payment(1, 0), payment(2, 2)])
    for one in (line, never_seen):
        one.walk([reversal(3, 30, of=1), payment(4, 30.1)])
    assert line.rows() == never_seen.rows()


def test_a_reversal_alone_lets_a_customer_of_two_accounts_go() -> None:
    line = Line()
    line.walk([reversal(1, 0, of=99, account=1, customer=7), reversal(2, 0, of=98, account=2, customer=7)])
    assert len(line.accounts.customers) == 1
    line.walk([payment(3, 30, account=3, payee=3)])
    assert [len(rows) for rows in line.rows()] == [1, 0, 0, 1, 0]


def test_what_an_account_was_told_is_forgotten_by_when_it_was_told_and_what_of() -> None:
    line = Line()
    line.walk([payment(1, 0)], [label(1, 0.5, verdict="genuine")])
    line.walk([payment(2, 8, account=2, payee=2)], [label(7, 8, account=5, verdict="genuine")])
    line.walk([payment(3, 12, account=3, payee=3)])
    assert [row["key"] for row in _after_a_sweep(line).told.sorted_rows()] == [b"a-5"]


def _after_a_sweep(line: Line) -> AccountHop:
    line.accounts.forget_all()
    return line.accounts


@pytest.mark.parametrize("swept", [True, False])
def test_after_times_are_mended_the_line_remembers_again_whether_a_sweep_had_come_by_or_not(swept: bool) -> None:
    """A wrong time that was believed has all forgotten; that stays so, but what comes after the step is known again."""
    line = Line()
    line.walk([payment(1, 0), payment(2, 0, account=2, payee=2)])
    line.walk([payment(3, 4000, account=3, payee=3)])
    if swept:
        line.sweep(10)
    step = MendingStep(0, START_US + 2 * DAY_US, START_US + 2 * DAY_US + 1)
    line.accounts.mend(step)
    line.payees.mend(step)
    assert line.accounts.horizons.at == [START_US - 8 * DAY_US] * 2
    assert line.accounts.horizons.furthest == START_US + (4000 - LIMIT_DAYS) * DAY_US
    line.walk([payment(4, 2.5), payment(5, 2.6)])
    rows = {row["key"]: int(row["attempts"]) for row in line.accounts.table.sorted_rows()}
    assert rows == {b"a-1": 2, b"a-3": 1}
    payees = {row["key"]: int(row["payments"]) for row in line.payees.table.sorted_rows()}
    assert payees == {b"p-1": 2, b"p-3": 1}
    line.walk([payment(6, 14, account=4, payee=4)])
    assert line.sweep(10) > 0, "and goes on forgetting"


def test_a_row_that_is_not_written_yet_is_not_swept() -> None:
    line = Line()
    line.walk([payment(1, 0)], [label(1, 0.5)])
    line.walk([payment(2, 1, account=2, payee=2)], [{**label(1, 1, verdict="genuine"), "supersedes": "f-1-fraud"}])
    line.walk([payment(3, 100, account=3, payee=3)])
    assert line.accounts.forget(10) + line.payees.forget(10) == 0, "its topic may have a row that remembers a fraud"
    for hop, count in ((line.accounts, 2), (line.payees, 1)):
        hop.horizons.advance(np.array([START_US + 102 * DAY_US]), [LIMIT_DAYS * DAY_US] * count)
    assert line.sweep(10) > 0


def test_hashes_taken_out_of_an_index_leave_all_others_found() -> None:
    draw = np.random.default_rng(7)
    index, known = SlotIndex(), {}
    for number in range(3000):
        new = int(draw.integers(1, 2**20)) << 44 | int(draw.integers(0, 40))  # many begin at the same few places
        if new not in known:
            known[new] = number
            index.put(np.array([new], np.uint64), np.array([number]))
        if len(known) > 60:
            gone = list(known)[int(draw.integers(0, len(known)))]
            index.remove(np.array([gone], np.uint64))
            del known[gone]
    hashes = np.array(list(known), np.uint64)
    assert index.lookup(hashes).tolist() == list(known.values())
