"""The simulator can fail: each rule left out of the line is noticed, and a failure shrinks to something readable."""

from __future__ import annotations

import pytest
from simulation.mended_clock import mended_after_sweeps
from simulation.mutations import MUTATIONS, Mutation, mended_without_a_sweep, no_ring
from simulation.schedules import draw
from simulation.shrink import failure, shrink

FIRST_SEED, MOST_SEEDS = 290, 900
"""Any first seed would do; the rarest of the mutations is caught soon after this one."""
BY_HAND = {mended_without_a_sweep: mended_after_sweeps}
"""Schedules by seed for what drawn ones do not come to: none of 6,000 mends times between two sweeps of what is met again."""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_rule_left_out_is_noticed(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule_of = BY_HAND.get(mutation, draw)
    mutation(monkeypatch)
    caught = next((seed for seed in range(FIRST_SEED, FIRST_SEED + MOST_SEEDS) if failure(schedule_of(seed))), None)
    assert caught is not None, f"nothing wrong in {MOST_SEEDS} schedules although: {mutation.__doc__}"
    monkeypatch.undo()
    assert failure(schedule_of(caught)) == "", (
        "the line itself failed there: the rule left out was not what was noticed"
    )


def test_a_failure_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    no_ring(monkeypatch)
    schedule = next(draw(seed) for seed in range(FIRST_SEED, FIRST_SEED + MOST_SEEDS) if failure(draw(seed)))
    smallest = shrink(schedule)
    assert "Violation" in failure(smallest)
    assert len(smallest.events) <= len(schedule.events) / 2
    assert not smallest.faults
