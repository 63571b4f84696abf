"""The ladder: monotone in risk, exact, never certain; lists and failures keep their order in every case."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rules.ladder import LIMIT_MILLI, RISK_PPM, RUNG_OUTCOME, RUNG_STEP_UP, climb, risk_ppm
from rules.precedence import ALLOW, DENY, WATCH, settle_rung

logits = st.integers(-(2**40), 2**40)
thresholds = st.lists(st.integers(1, 1_000_001), min_size=5, max_size=5).map(lambda t: np.array(sorted(t), np.int64))
rungs = st.integers(0, 5)
flags = st.booleans()


@given(logits, logits)
def test_risk_is_monotone_in_log_odds_and_never_certain(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert 1 <= risk_ppm(low, RISK_PPM) <= risk_ppm(high, RISK_PPM) <= 999_999


def test_risk_is_the_logistic_function_to_half_a_ppm() -> None:
    for milli in range(-13_000, 13_001, 7):
        exact = 1e6 / (1.0 + math.exp(-milli / 1000))
        assert abs(int(risk_ppm(milli, RISK_PPM)) - exact) <= 0.5 + 1e-6
    assert len(RISK_PPM) == 2 * LIMIT_MILLI + 1


def test_risk_is_symmetric() -> None:
    assert np.array_equal(RISK_PPM + RISK_PPM[::-1], np.full(len(RISK_PPM), 1_000_000))


@given(st.integers(1, 999_999), st.integers(1, 999_999), thresholds)
def test_a_higher_risk_never_stands_on_a_lower_rung(one: int, other: int, limits: np.ndarray) -> None:
    low, high = sorted((one, other))
    assert climb(low, limits) <= climb(high, limits)


@given(st.integers(1, 999_999), thresholds)
def test_a_rung_is_reached_exactly_at_its_threshold(risk: int, limits: np.ndarray) -> None:
    rung = int(climb(risk, limits))
    assert rung == 0 or risk >= limits[rung - 1]
    assert rung == 5 or risk < limits[rung]


@given(rungs, rungs, rungs, st.integers(0, 3), flags, flags, st.integers(0, 8), rungs, flags)
def test_more_risk_is_never_a_milder_outcome(
    one: int, other: int, hard: int, mark: int, cleared: bool, essential: bool, slips: int, floor: int, proceed: bool
) -> None:
    low, high = sorted((one, other))
    rest = (hard, mark, 4, cleared, essential, slips, floor, proceed)
    assert settle_rung(low, *rest) <= settle_rung(high, *rest)


@given(rungs, rungs, flags, flags, st.integers(0, 8), rungs, flags)
def test_deny_is_never_milder_than_watch_nor_watch_than_none_nor_none_than_allow(
    ladder: int, hard: int, cleared: bool, essential: bool, slips: int, floor: int, proceed: bool
) -> None:
    rest = (4, cleared, essential, slips, floor, proceed)
    deny, watch, none, allow = (int(settle_rung(ladder, hard, mark, *rest)) for mark in (DENY, WATCH, 0, ALLOW))
    assert deny >= watch >= none >= allow >= hard or (essential and allow >= min(hard, 3))


def test_outcome_and_step_up_of_every_rung() -> None:
    assert list(zip(RUNG_OUTCOME.tolist(), RUNG_STEP_UP.tolist(), strict=True)) == [
        (0, 0), (1, 0), (2, 1), (2, 2), (3, 0), (4, 0),
    ]  # fmt: skip
