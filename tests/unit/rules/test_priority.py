"""Alerts in the order of what a reviewer's minute saves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rules.priority import MOST_MILLI, below_line, priority_milli


def one(risk: int, amount: float, minutes: float) -> int:
    return int(priority_milli(np.array([risk]), np.array([amount]), np.array([minutes]))[0])


@given(st.integers(0, 999_999), st.floats(0, 1e13), st.floats(0.1, 600))
def test_priority_grows_with_risk_and_amount_and_falls_with_effort(risk: int, amount: float, minutes: float) -> None:
    base = one(risk, amount, minutes)
    assert 0 <= base <= MOST_MILLI
    assert one(risk + 1, amount, minutes) >= base
    assert one(risk, amount * 2, minutes) >= base
    assert one(risk, amount, minutes * 2) <= base


def test_a_possible_fortune_goes_before_a_certain_trifle() -> None:
    assert one(50_000, 100_000.0, 10.0) > one(990_000, 20.0, 2.0)


def test_an_amount_without_a_rate_is_neither_first_nor_lost() -> None:
    assert one(500_000, float("nan"), 5.0) == one(500_000, 100.0, 5.0) > 0


def test_samples_below_the_line_are_a_stated_share_and_depend_on_the_id_alone() -> None:
    hashes = np.random.default_rng(3).integers(0, 2**63, 200_000).astype(np.uint64)
    sampled = below_line(hashes, 20)
    assert 300 < sampled.sum() < 500
    assert np.array_equal(sampled[:100], below_line(hashes[:100], 20))
    assert not below_line(hashes, 0).any()
