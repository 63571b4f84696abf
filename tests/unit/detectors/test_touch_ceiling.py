"""Cuts keep the share of touched payments below their ceiling, whatever the risk does, and are lost with no snapshot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.snapshot import SnapshotError
from detectors.touch_ceiling import (
    CEILINGS_PER_10K,
    FIRST_MILLI,
    HIGHEST_MILLI,
    LOWEST_MILLI,
    NEVER,
    SILENT_DAYS,
    SILENT_DOUBLING_DAYS,
    STEP_MILLI,
    TouchCeiling,
    cuts_in_force,
    require_sound_cuts,
)

ROUND = 500
LEVEL = CEILINGS_PER_10K.index(20)


def steady(rng: np.random.Generator, rounds: int) -> Iterator[NDArray[np.float64]]:
    for _ in range(rounds):
        yield rng.normal(-7.0, 1.5, ROUND)


def drifting(rng: np.random.Generator, rounds: int) -> Iterator[NDArray[np.float64]]:
    for number in range(rounds):
        yield rng.normal(-8.0 + 5.0 * number / rounds, 1.5, ROUND)


def jumping(rng: np.random.Generator, rounds: int) -> Iterator[NDArray[np.float64]]:
    """A new model every twenty rounds, each on another scale."""
    for number in range(rounds):
        shift = np.random.default_rng(number // 20).normal(0.0, 1.5)
        yield rng.normal(-7.0 + shift, 1.5, ROUND)


def rising_tail(rng: np.random.Generator, rounds: int) -> Iterator[NDArray[np.float64]]:
    """More and more payments alarm, as when rules wake for all accounts at once."""
    for number in range(rounds):
        scores = rng.normal(-7.0, 1.0, ROUND)
        scores[rng.random(ROUND) < 0.03 * number / rounds] += 6.0
        yield scores


def ppm(log_odds: NDArray[np.float64]) -> NDArray[np.int64]:
    return (1e6 / (1.0 + np.exp(-log_odds))).astype(np.int64)


def walk(stream: Iterator[NDArray[np.float64]]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Touched payments of each round, and the cut before each, in log-odds x 1000."""
    ceiling, touched, cuts, number = TouchCeiling(1), [], [], 0
    for scores in stream:
        risk = ppm(scores)
        cuts.append(ceiling.state()["milli"][LEVEL])
        touched.append(int((risk > ceiling.cuts[LEVEL]).sum()))
        ceiling.observe(np.arange(number, number + len(risk), dtype=np.uint64), risk)
        ceiling.close()
        number += len(risk)
    return np.array(touched), np.array([*cuts, ceiling.state()["milli"][LEVEL]])


@pytest.mark.parametrize("stream", [steady, drifting, jumping, rising_tail])
def test_no_stretch_of_a_stream_has_more_touched_than_its_share_and_what_the_cut_rose(stream) -> None:  # type: ignore[no-untyped-def]
    touched, cuts = walk(stream(np.random.default_rng(3), 400))
    for length in (1, 20, 100, 400):
        for start in range(0, 400 - length + 1, max(length // 4, 1)):
            stop = start + length
            share = 20 / 10_000 * ROUND * length
            assert touched[start:stop].sum() <= share + (cuts[stop] - cuts[start]) / STEP_MILLI + 1e-6


@pytest.mark.parametrize("stream", [steady, drifting, jumping, rising_tail])
def test_over_a_long_stream_the_ceiling_holds_whatever_drifts(stream) -> None:  # type: ignore[no-untyped-def]
    touched, _ = walk(stream(np.random.default_rng(5), 1_000))
    rate = 1e4 * touched.sum() / (1_000 * ROUND)
    assert rate <= 20 + 1e4 * (HIGHEST_MILLI - FIRST_MILLI) / STEP_MILLI / (1_000 * ROUND)
    assert rate <= 22


def test_a_quiet_bank_fills_no_quota() -> None:
    touched, cuts = walk(iter([np.full(ROUND, -9.0)] * 400))
    assert touched.sum() == 0
    assert cuts[-1] == LOWEST_MILLI


def test_who_is_stopped_rightly_is_no_friction() -> None:
    plain, told = TouchCeiling(1), TouchCeiling(1)
    risk = np.array([900_000, 900_000, 100, 100])
    for ceiling in (plain, told):
        ceiling.observe(np.arange(4, dtype=np.uint64), risk)
    told.label(0, True)
    told.label(0, True)  # said twice, counted once
    told.label(2, True)  # was not touched: nothing to take back
    plain.close()
    told.close()
    assert plain.state()["milli"][0] - told.state()["milli"][0] == pytest.approx(STEP_MILLI)


def test_a_fraud_that_is_taken_back_counts_again() -> None:
    plain, told = TouchCeiling(1), TouchCeiling(1)
    for ceiling in (plain, told):
        ceiling.observe(np.arange(1, dtype=np.uint64), np.array([900_000]))
    told.label(0, True)
    told.label(0, False)
    plain.close()
    told.close()
    assert plain.cuts.tolist() == told.cuts.tolist()


def test_calls_may_be_cut_anywhere() -> None:
    risk = ppm(np.random.default_rng(1).normal(-6.0, 2.0, 1_000))
    ids = np.arange(1_000, dtype=np.uint64)
    whole, cut = TouchCeiling(1), TouchCeiling(1)
    whole.observe(ids, risk)
    for start in range(0, 1_000, 7):
        cut.observe(ids[start : start + 7], risk[start : start + 7])
    whole.close()
    cut.close()
    assert whole.state()["milli"].tolist() == cut.state()["milli"].tolist()


def test_a_ceiling_goes_on_where_its_state_stopped() -> None:
    stream = list(jumping(np.random.default_rng(2), 60))
    first, second = TouchCeiling(2), TouchCeiling(2)
    for number, scores in enumerate(stream[:40]):
        first.observe(np.arange(number * ROUND, (number + 1) * ROUND, dtype=np.uint64), ppm(scores))
        first.close()
    first.mature(np.array([4, 5]), np.array([0, 1]))
    second.load(first.model(), first.state())
    for number, scores in enumerate(stream[40:], 40):
        for ceiling in (first, second):
            ceiling.observe(np.arange(number * ROUND, (number + 1) * ROUND, dtype=np.uint64), ppm(scores))
            ceiling.label(39 * ROUND + number, True)
            ceiling.close()
    assert first.cuts.tolist() == second.cuts.tolist()
    assert second.outcomes.tolist() == [[4, 5], [0, 1]]


def test_scenarios_are_handed_over_one_by_one_and_step_by_step() -> None:
    model = {
        "young.cuts": np.arange(12, 0, -1) * 1_000,
        "young.outcomes": np.zeros((2, 3), np.int64),
        "young.silent_days": np.zeros(1, np.int64),
    }
    model["young.outcomes"][0] = 9_000, 9_000, 10
    seen = []
    for frauds in range(0, 400, 10):
        model["young.outcomes"][1] = frauds, 0, frauds
        cuts = cuts_in_force(model, 20.0, 60, 5_000, 3)
        seen.append(int(cuts[0]))
        assert cuts[1] == cuts[2] == 9_000  # no fraud told, too few genuine payments
    assert seen[:7] == [9_000] * 7
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == NEVER


def test_a_bank_that_never_tells_is_handed_over_to_its_rules_step_by_step() -> None:
    ceiling, seen = TouchCeiling(1), []
    model = {**ceiling.model(), "young.cuts": np.arange(12, 0, -1) * 1_000}
    for days in (0, SILENT_DAYS, SILENT_DAYS + SILENT_DOUBLING_DAYS, SILENT_DAYS + 5 * SILENT_DOUBLING_DAYS):
        model["young.silent_days"] = np.array([days])
        seen.append(int(cuts_in_force(model, 20.0, 60, 5_000, 1)[0]))
    assert seen == [9_000, 9_000, 6_000, NEVER]


def test_a_model_of_before_and_a_policy_without_a_ceiling_have_no_cut() -> None:
    assert cuts_in_force({}, 20.0, 60, 5_000, 2).tolist() == [NEVER, NEVER]
    assert cuts_in_force(TouchCeiling(2).model(), 0.0, 60, 5_000, 2).tolist() == [NEVER, NEVER]


@pytest.mark.parametrize("change", ["rising", "negative", "shape"])
def test_cuts_that_are_none_are_refused(change: str) -> None:
    model = TouchCeiling(2).model()
    require_sound_cuts(model, 2)
    if change == "rising":
        model["young.cuts"][0] = 5
    elif change == "negative":
        model["young.outcomes"][0, 0] = -1
    else:
        model["young.outcomes"] = model["young.outcomes"][:1]
    with pytest.raises(SnapshotError, match=r"young\."):
        require_sound_cuts(model, 2)
