"""Ownership of partitions under every overlap of recoveries, rebalances, failures: and each rule left out is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation.overlapping_owner import failure

from stream.worker.ownership import owner as owners
from stream.worker.ownership.owner import Owner
from stream.worker.ownership.ownership import (
    Assigned,
    Event,
    Fetching,
    FetchLost,
    Ownership,
    Pause,
    Phase,
    Recover,
    Recovered,
    RecoveryFailed,
    Release,
    RetryDue,
    RetryLater,
    Revoked,
    RowsLost,
    StartFetching,
    StopFetching,
    TakeBatches,
)

SEEDS = 1_500
Patch = Callable[[pytest.MonkeyPatch], None]


def old_epoch_accepted(patch: pytest.MonkeyPatch) -> None:
    """What a recovery ends in is believed, whatever happened since it began."""
    patch.setattr(Ownership, "is_current", lambda self, event: True)


def fetcher_not_stopped(patch: pytest.MonkeyPatch) -> None:
    """Records go on to come while rows change hands."""
    patch.setattr(Owner, "_stop_fetching", lambda self, epoch: None)


def revoke_without_pause(patch: pytest.MonkeyPatch) -> None:
    """Rows are dropped at a revocation without waiting for the batch that is walked in them."""
    handle = Ownership.handle

    def hasty(self: Ownership, event: Event) -> tuple[Any, ...]:
        commands = handle(self, event)
        return tuple(StopFetching(0) if isinstance(c, Pause) and c.budgeted else c for c in commands)

    patch.setattr(Ownership, "handle", hasty)


def unexpected_exception(patch: pytest.MonkeyPatch) -> None:
    """A recovery that ends in what nobody expects says nothing."""
    recover = Owner._recover

    def silent(self: Owner, command: Recover) -> Event:
        event = recover(self, command)
        return Fetching(-1) if isinstance(event, RecoveryFailed) else event

    patch.setattr(Owner, "_recover", silent)


def thread_dies(patch: pytest.MonkeyPatch) -> None:
    """A thread that fetches dies, and nobody is told."""
    patch.setattr(Owner, "fetch_lost", lambda self, reason: None)


def late_start(patch: pytest.MonkeyPatch) -> None:
    """Fetching begins although the recovery that it follows was overtaken."""
    patch.setattr(Owner, "_is_wanted", lambda self, epoch: True)


def late_stop(patch: pytest.MonkeyPatch) -> None:
    """A thread whose turn comes late stops what a later epoch fetches."""
    patch.setattr(Owner, "_stop_fetching", lambda self, epoch: self._fetchers.stop())


def failure_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A transaction failed, and batches are taken in the same rows again."""
    patch.setattr(Owner, "rows_lost", lambda self, reason: None)
    patch.setattr(owners, "RowsLost", lambda: None)


MUTATIONS: tuple[Patch, ...] = (
    old_epoch_accepted, fetcher_not_stopped, revoke_without_pause, unexpected_exception, thread_dies, late_start,
    late_stop, failure_forgotten,
)  # fmt: skip


def test_every_overlap_ends_with_the_rows_of_the_latest_generation() -> None:
    failed = {seed: what for seed in range(SEEDS) if (what := failure(seed))}
    assert failed == {}


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_rule_left_out_is_noticed(mutation: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    caught = next((seed for seed in range(SEEDS) if failure(seed)), None)
    assert caught is not None, f"nothing wrong in {SEEDS} schedules although: {mutation.__doc__}"
    monkeypatch.undo()
    assert failure(caught) == "", "the owner itself failed there: the rule left out was not what was noticed"


def names(commands: tuple[Any, ...]) -> list[str]:
    return [type(command).__name__ for command in commands]


AT_FIRST = frozenset({0, 1})
RECOVERS = ["Pause", "StopFetching", "Recover"]


@pytest.mark.parametrize(
    ("before", "event", "commands", "phase"),
    [
        ([], Assigned(AT_FIRST, "g1"), RECOVERS, Phase.RECOVERING),
        ([Assigned(AT_FIRST, "g1")], Recovered(1, {}), ["StartFetching"], Phase.STARTING),
        ([Assigned(AT_FIRST, "g1")], Recovered(0, {}), [], Phase.RECOVERING),
        ([Assigned(AT_FIRST, "g1")], RecoveryFailed(1), ["RetryLater"], Phase.WAITING),
        ([Assigned(AT_FIRST, "g1")], RecoveryFailed(1, True), [], Phase.REFUSED),
        ([Assigned(AT_FIRST, "g1"), RecoveryFailed(1)], RetryDue(1), RECOVERS, Phase.RECOVERING),
        ([Assigned(AT_FIRST, "g1"), RecoveryFailed(1), Assigned(AT_FIRST, "g2")], RetryDue(1), [], Phase.RECOVERING),
        ([Assigned(AT_FIRST, "g1"), Recovered(1, {})], Fetching(1), ["TakeBatches"], Phase.OWNING),
        ([Assigned(AT_FIRST, "g1"), Recovered(1, {})], RecoveryFailed(1), ["RetryLater"], Phase.WAITING),
        ([Assigned(AT_FIRST, "g1"), Recovered(1, {}), Fetching(1)], RowsLost(), RECOVERS, Phase.RECOVERING),
        ([Assigned(AT_FIRST, "g1"), Recovered(1, {}), Fetching(1)], FetchLost(1), RECOVERS, Phase.RECOVERING),
        ([Assigned(AT_FIRST, "g1"), Recovered(1, {}), Fetching(1)], FetchLost(0), [], Phase.OWNING),
        ([Assigned(AT_FIRST, "g1"), Recovered(1, {}), Fetching(1)], Revoked(), ["Pause", "StopFetching", "Release"],
         Phase.NOTHING),
        ([Assigned(AT_FIRST, "g1"), Revoked()], RowsLost(), [], Phase.NOTHING),
        ([Assigned(AT_FIRST, "g1"), Revoked()], Recovered(1, {}), [], Phase.NOTHING),
        ([Assigned(AT_FIRST, "g1"), RecoveryFailed(1, True)], RowsLost(), [], Phase.REFUSED),
        ([Assigned(AT_FIRST, "g1"), RecoveryFailed(1, True)], Assigned(AT_FIRST, "g2"), RECOVERS, Phase.RECOVERING),
    ],
)  # fmt: skip
def test_events_and_what_follows(before: list[Event], event: Event, commands: list[str], phase: Phase) -> None:
    ownership = Ownership()
    for each in before:
        ownership.handle(each)
    assert names(ownership.handle(event)) == commands
    assert ownership.phase is phase


_EPOCHS = st.integers(0, 12)
_EVENTS = st.one_of(
    st.builds(Assigned, st.frozensets(st.integers(0, 3)), st.text(max_size=2)), st.just(Revoked()), st.just(RowsLost()),
    st.builds(Recovered, _EPOCHS, st.just({})), st.builds(RecoveryFailed, _EPOCHS, st.booleans()),
    st.builds(Fetching, _EPOCHS), st.builds(FetchLost, _EPOCHS), st.builds(RetryDue, _EPOCHS),
)  # fmt: skip


@given(st.lists(_EVENTS, max_size=40))
def test_whatever_comes_what_is_begun_bears_the_newest_epoch(events: list[Event]) -> None:
    ownership, recovered = Ownership(), -1
    for event in events:
        before = ownership.epoch
        commands = ownership.handle(event)
        assert ownership.epoch >= before
        for command in commands:
            if isinstance(command, Recover | StartFetching | TakeBatches | Release | RetryLater | StopFetching):
                assert command.epoch == ownership.epoch
            if isinstance(command, StartFetching):
                recovered = command.epoch
            if isinstance(command, TakeBatches):
                assert recovered == command.epoch, "batches only in rows that were recovered in this epoch"
        if commands and ownership.epoch != before:
            assert isinstance(commands[0], Pause), "whatever makes rows obsolete pauses first"
