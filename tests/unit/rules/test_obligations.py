"""Proceed first: an obligation ends once, by the times in the data, in whatever order the steps come."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.ladder import RUNGS
from rules.obligations import advance, open_obligation, supply


@given(
    st.integers(0, 1000),
    st.integers(1, 500),
    st.lists(st.tuples(st.sampled_from(["advance", "supply"]), st.integers(0, 2000)), max_size=12),
)
def test_it_escalates_at_most_once_and_exactly_when_nothing_came_in_time(
    opened: int, due: int, steps: list[tuple[str, int]]
) -> None:
    steps = sorted(((kind, opened + after) for kind, after in steps), key=lambda step: step[1])
    obligation = open_obligation("t-1", opened, due)
    escalations = []
    for kind, at in [*steps, ("advance", opened + 5000)]:
        obligation, escalation = (advance if kind == "advance" else supply)(obligation, at)
        escalations += [escalation] if escalation else []
    in_time = any(kind == "supply" and at <= opened + due for kind, at in steps)
    assert len(escalations) == (0 if in_time else 1)
    assert obligation.state == ("supplied" if in_time else "escalated")
    assert all(escalation.at == opened + due for escalation in escalations)


PACK = """
proceed_first: {when: 'segment in ["payroll", "enterprise"]', below: 50000, due: 48h}
"""


@pytest.mark.parametrize(
    ("segment", "logit", "slips", "rung", "obligation"),
    [
        ("payroll", -3500, 0, "remind", 1),  # would be a light challenge
        ("retail", -3500, 0, "challenge_light", 0),
        ("payroll", -2500, 0, "challenge_strong", 0),  # riskier than 'below'
        ("payroll", -8000, 1, "remind", 1),  # a missing purpose is owed
        ("retail", -8000, 1, "remind", 0),
        ("payroll", -8000, 0, "approve", 0),
    ],
)
def test_low_risk_payers_proceed_with_an_open_obligation(
    small: SimpleNamespace, segment: str, logit: int, slips: int, rung: str, obligation: int
) -> None:
    policy = small.compiled(common=small.common + PACK)
    verdict = small.evaluate(policy, logit, segment=segment, slips=slips)
    assert (RUNGS[verdict["rung"]], verdict["obligation"]) == (rung, obligation)
    assert policy.proceed_due_us == 48 * 3_600_000_000
