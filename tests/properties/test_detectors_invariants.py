"""What must hold for the detectors whatever the data."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from river import anomaly

from detectors.calibration import KNOTS, rank_fractions, rank_knots, rank_ppm
from detectors.delayed_labels import DelayedLabels
from detectors.ensemble import Input, Scorer, Snapshot, genesis
from detectors.half_space_trees import HalfSpaceTrees
from detectors.stacking import filter_step

CELLS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from("abcde"), st.one_of(st.floats(-1, 2), st.just(float("nan")), st.booleans())),
        min_size=2,
        max_size=40,
    ),
    window=st.integers(1, 12),
    height=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_half_space_trees_score_as_river_does(
    rows: list[dict[str, float | bool]], window: int, height: int, seed: int
) -> None:
    theirs, ours = anomaly.HalfSpaceTrees(4, height, window, seed=seed), HalfSpaceTrees(4, height, window, seed=seed)
    for row in [{"a": 0.5, "c": 0.1, "d": 0.9}, *rows]:
        assert ours.score_one(row) == theirs.score_one(row)
        ours.learn_one(row)
        theirs.learn_one(row)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=20), cut=st.integers(1, 20))
def test_any_cells_get_a_bounded_score_that_no_cut_changes_and_that_adds_up(rows: list[list[float]], cut: int) -> None:
    inputs = [Input("a", "log"), Input("b", "linear"), Input("c", "flag")]
    scorer = Scorer(genesis(inputs, {"a": 0.7, "b": -0.3, "c": 2.0}, -5.0, ["all"], seed=1))
    matrix, group = np.array(rows), np.zeros(len(rows), np.uint8)
    logit, ppm = scorer.score(matrix, group)
    assert np.abs(logit).max() <= 20_000
    assert ((ppm >= 0) & (ppm <= 1_000_000)).all()
    parts = [scorer.score(matrix[i : i + cut], group[i : i + cut])[0] for i in range(0, len(rows), cut)]
    assert np.concatenate(parts).tobytes() == logit.tobytes()
    explained = scorer.contributions(matrix, group).sum(axis=1) + scorer.base_milli[group]
    assert np.abs(explained - logit).max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.floats(-1e9, 1e9), max_size=30),
    description=st.dictionaries(st.text(max_size=5), st.integers(), max_size=4),
    number=st.integers(0, 10**6),
)
def test_snapshots_survive_the_way_through_bytes(values: list[float], description: dict[str, int], number: int) -> None:
    snapshot = Snapshot("example/1", number, "", description, {"v": np.array(values, dtype=np.float64)})
    again = Snapshot.from_bytes(snapshot.to_bytes())
    assert again.to_bytes() == snapshot.to_bytes()
    assert again.digest == snapshot.digest


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=300), probe=st.lists(st.floats(0, 1), min_size=2, max_size=20)
)
def test_anomaly_rates_grow_with_the_score(scores: list[float], probe: list[float]) -> None:
    knots = rank_knots(np.array(scores))
    assert len(knots) == KNOTS
    rates = [rank_ppm(score, knots, rank_fractions()) for score in sorted(probe)]
    assert rates == sorted(rates)
    assert all(0 <= rate < 1_000_000 for rate in rates)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.tuples(st.booleans(), st.floats(-15, 15), st.floats(0.1, 64)), min_size=1, max_size=60),
    memory=st.floats(10, 1e6),
)
def test_the_stacks_uncertainty_stays_a_covariance(labels: list[tuple[bool, float, float]], memory: float) -> None:
    ceiling = np.array([1.0, 0.1])
    coefficients, covariance = np.array([0.0, 1.0]), np.diag(ceiling)
    for label, x, weight in labels:
        filter_step(
            np.array([1.0, x]),
            -5.0,
            float(label),
            weight,
            coefficients,
            covariance,
            np.empty(2),
            1 - 1 / memory,
            ceiling,
        )
        assert np.isfinite(coefficients).all()
        assert (np.diag(covariance) <= ceiling * (1 + 1e-9)).all()
        assert np.linalg.eigvalsh(covariance).min() > -1e-9


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), cuts=st.lists(st.integers(1, 60), min_size=1, max_size=8), capacity=st.integers(5, 80)
)
def test_the_join_buffer_is_bounded_and_blind_to_how_rows_are_cut(seed: int, cuts: list[int], capacity: int) -> None:
    rng = np.random.default_rng(seed)
    ids: NDArray[np.uint64] = rng.integers(1, 2**63, 200, dtype=np.uint64)

    def fill(sizes: list[int]) -> tuple[list[int], list[float]]:
        waiting, at, turn = DelayedLabels(1, capacity, 5), 0, 0
        while at < len(ids):
            end = min(at + sizes[turn % len(sizes)], len(ids))
            n = end - at
            waiting.add(ids[at:end], np.arange(at, end), np.zeros((n, 1)), np.zeros(n, np.uint8), np.zeros(n, np.bool_))
            assert len(waiting) <= capacity
            at, turn = end, turn + 1
        rows = waiting.pop_until(1000)
        return rows.hash.tolist(), rows.weight.tolist()

    assert fill(cuts) == fill([200])
