"""The simulator can fail: each rule left out of the line is noticed, and a failure shrinks to something readable."""

from __future__ import annotations

import pytest
from simulation.mutations import MUTATIONS, Mutation, mended_without_a_sweep, no_ring
from simulation.schedules import draw
from simulation.shrink import failure, shrink

FIRST_SEED, MOST_SEEDS = 290, 900
"""Any first seed would do; all but the rarest of the mutations are caught soon after this one."""
RARE = {mended_without_a_sweep: 890}
"""A step that mends must meet a table of which a sweep has taken out a part: one schedule in some six hundred."""


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_rule_left_out_is_noticed(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    first = RARE.get(mutation, FIRST_SEED)
    caught = next((seed for seed in range(first, first + MOST_SEEDS) if failure(draw(seed))), None)
    assert caught is not None, f"nothing wrong in {MOST_SEEDS} schedules although: {mutation.__doc__}"


def test_a_failure_is_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    no_ring(monkeypatch)
    schedule = next(draw(seed) for seed in range(FIRST_SEED, FIRST_SEED + MOST_SEEDS) if failure(draw(seed)))
    smallest = shrink(schedule)
    assert "Violation" in failure(smallest)
    assert len(smallest.events) <= len(schedule.events) / 2
    assert not smallest.faults
