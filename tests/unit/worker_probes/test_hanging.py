"""Whose open transaction is ended by the others, and whose is not."""

from __future__ import annotations

import pytest

from stream.worker.hanging import AGAIN_S, HANGS_S, HangingTransactions
from stream.worker.log import Place, Position

OUTPUT, FRAMES = Place("risk.decisions.v1", 0), Place("risk.profiled.v1", 1)
MINE, THEIRS, OTHERS = (Place("bank.transactions.v1", number) for number in range(3))
LATER = HANGS_S + 0.1


def judge() -> HangingTransactions:
    return HangingTransactions(own=lambda name: name.startswith("me-"))


def stands(mine: int = 1, theirs: int = 1, others: int = 1) -> dict[Place, Position]:
    return {MINE: Position(mine, "me-1"), THEIRS: Position(theirs, "dead-1"), OTHERS: Position(others, "alive-1")}


def test_who_stands_still_while_readers_wait_is_fenced_and_who_moves_is_not() -> None:
    watch = judge()
    assert watch.observe(0.0, {OUTPUT: (5, 9)}, stands()) == []
    assert watch.observe(1.0, {OUTPUT: (5, 12)}, stands(others=2)) == []
    assert watch.observe(LATER, {OUTPUT: (5, 15)}, stands(others=3)) == ["dead-1"]


def test_nobody_is_fenced_on_a_line_at_rest() -> None:
    watch = judge()
    for at in range(0, 60, 1):
        assert watch.observe(at, {OUTPUT: (5, 5), FRAMES: (7, 7)}, stands()) == []


def test_nobody_is_fenced_while_transactions_end() -> None:
    watch = judge()
    for at in range(0, 60, 1):
        assert watch.observe(at, {OUTPUT: (5 + at, 9 + at)}, stands()) == []


@pytest.mark.parametrize("stable", [6, 9])
def test_an_end_that_moves_on_begins_anew(stable: int) -> None:
    watch = judge()
    watch.observe(0.0, {OUTPUT: (5, 9)}, stands())
    watch.observe(1.9, {OUTPUT: (stable, 9)}, stands())
    assert watch.observe(LATER, {OUTPUT: (stable, 12)}, stands()) == []


def test_this_worker_never_fences_itself_nor_a_place_that_nobody_committed() -> None:
    watch = judge()
    only_me = {MINE: Position(1, "me-1"), THEIRS: Position(1, "")}
    watch.observe(0.0, {OUTPUT: (5, 9)}, only_me)
    assert watch.observe(100.0, {OUTPUT: (5, 9)}, only_me) == []


def test_an_id_is_not_fenced_again_before_a_while() -> None:
    watch = judge()
    watch.observe(0.0, {OUTPUT: (5, 9)}, stands())
    assert watch.observe(LATER, {OUTPUT: (5, 9)}, stands()) == ["alive-1", "dead-1"]
    assert watch.observe(LATER + AGAIN_S / 2, {OUTPUT: (5, 9)}, stands()) == []
    assert watch.observe(LATER + AGAIN_S + 1, {OUTPUT: (5, 9)}, stands()) == ["alive-1", "dead-1"]
