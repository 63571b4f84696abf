"""Whose open transaction is ended by the others, and whose is not."""

from __future__ import annotations

import pytest

from stream.log.records import Place, Position
from stream.log.transaction_durations import SPAN_S, TransactionDurations, hangs_after
from stream.worker.ownership.hanging import AGAIN_S, HangingTransactions

OUTPUT, FRAMES = Place("risk.decisions.v1", 0), Place("risk.profiled.v1", 1)
MINE, THEIRS, OTHERS = (Place("bank.transactions.v1", number) for number in range(3))
AFTER = 2.0
LATER = AFTER + 0.1


def judge(after_s: float = AFTER) -> HangingTransactions:
    return HangingTransactions(own=lambda name: name.startswith("me-"), after_s=lambda: after_s)


def positions(mine: int = 1, theirs: int = 1, others: int = 1) -> dict[Place, Position]:
    return {MINE: Position(mine, "me-1"), THEIRS: Position(theirs, "dead-1"), OTHERS: Position(others, "alive-1")}


def test_who_stands_still_while_readers_wait_is_fenced_and_who_moves_is_not() -> None:
    watch = judge()
    assert watch.observe(0.0, {OUTPUT: (5, 9)}, positions()) == []
    assert watch.observe(1.0, {OUTPUT: (5, 12)}, positions(others=2)) == []
    assert watch.observe(LATER, {OUTPUT: (5, 15)}, positions(others=3)) == ["dead-1"]


def test_nobody_is_fenced_on_a_line_at_rest() -> None:
    watch = judge()
    for at in range(0, 60, 1):
        assert watch.observe(at, {OUTPUT: (5, 5), FRAMES: (7, 7)}, positions()) == []


def test_nobody_is_fenced_while_transactions_end() -> None:
    watch = judge()
    for at in range(0, 60, 1):
        assert watch.observe(at, {OUTPUT: (5 + at, 9 + at)}, positions()) == []


@pytest.mark.parametrize("stable", [6, 9])
def test_an_end_that_moves_on_begins_anew(stable: int) -> None:
    watch = judge()
    watch.observe(0.0, {OUTPUT: (5, 9)}, positions())
    watch.observe(1.9, {OUTPUT: (stable, 9)}, positions())
    assert watch.observe(LATER, {OUTPUT: (stable, 12)}, positions()) == []


def test_this_worker_never_fences_itself_nor_a_place_that_nobody_committed() -> None:
    watch = judge()
    only_me = {MINE: Position(1, "me-1"), THEIRS: Position(1, "")}
    watch.observe(0.0, {OUTPUT: (5, 9)}, only_me)
    assert watch.observe(100.0, {OUTPUT: (5, 9)}, only_me) == []


def test_an_id_is_not_fenced_again_before_a_while() -> None:
    watch = judge()
    watch.observe(0.0, {OUTPUT: (5, 9)}, positions())
    assert watch.observe(LATER, {OUTPUT: (5, 9)}, positions()) == ["alive-1", "dead-1"]
    assert watch.observe(LATER + AGAIN_S / 2, {OUTPUT: (5, 9)}, positions()) == []
    assert watch.observe(LATER + AGAIN_S + 1, {OUTPUT: (5, 9)}, positions()) == ["alive-1", "dead-1"]


def test_nobody_is_fenced_before_the_time_that_was_derived() -> None:
    watch = judge(after_s=15.0)
    assert watch.observe(0.0, {OUTPUT: (5, 9)}, positions()) == []
    assert watch.observe(14.9, {OUTPUT: (5, 9)}, positions()) == []
    assert watch.observe(15.1, {OUTPUT: (5, 9)}, positions()) == ["alive-1", "dead-1"]


def test_a_slow_broker_makes_everybody_patient_and_a_quick_one_impatient_again() -> None:
    now = [0.0]
    durations = TransactionDurations(lambda: now[0])

    def takes(seconds: float) -> None:
        durations.begin("me-1")
        now[0] += seconds
        durations.end("me-1")

    assert hangs_after(durations.longest, 2.0, 30.0) == 30.0, "nothing is known yet"
    takes(0.02)
    assert hangs_after(durations.longest, 2.0, 30.0) == 2.0
    takes(4.0)
    assert hangs_after(durations.longest, 2.0, 30.0) == pytest.approx(20.0)
    durations.begin("me-1")
    now[0] += 25.0
    assert hangs_after(durations.longest, 2.0, 30.0) == 30.0, "one that is under way counts"
    durations.end("me-1")
    for _ in range(4):
        now[0] += SPAN_S
        takes(0.02)
    assert hangs_after(durations.longest, 2.0, 30.0) == 2.0


def test_a_commit_that_was_given_up_does_not_make_patient_for_ever() -> None:
    now = [0.0]
    durations = TransactionDurations(lambda: now[0])
    durations.begin("me-1")
    now[0] += 1.0
    durations.end("me-1")
    durations.begin("me-2")
    now[0] += SPAN_S + 1
    assert durations.longest == pytest.approx(1.0)
