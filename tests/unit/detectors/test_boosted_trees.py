from __future__ import annotations

import lightgbm
import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.boosted_trees import LANES, BoostedTrees, add_path_contributions, base_margin
from detectors.boosted_window import BoostedWindow, BoostedWindowConfig
from detectors.snapshot import SnapshotError


def _rows(seed: int, count: int = 3000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 8))
    rows[:, 2:4] = np.round(rows[:, 2:4])
    rows[:, 5] = np.abs(rows[:, 5]) * 1e9
    label = (np.abs(rows[:, 0]) + rows[:, 2] * (rows[:, 5] > 5e8) + rng.normal(size=count) * 0.3 > 1.7).astype(
        np.float64
    )
    rows[:, :3][rng.random((count, 3)) < 0.2] = np.nan
    return rows, label


def _booster(seed: int, **parameters: object) -> lightgbm.Booster:
    rows, label = _rows(seed)
    settings = {"objective": "binary", "num_threads": 1, "verbosity": -1, "seed": 1, **parameters}
    return lightgbm.train(settings, lightgbm.Dataset(rows, label), int(str(parameters.get("rounds", 30))))


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_leaves": 31},
        {"num_leaves": 2, "rounds": 5},
        {"num_leaves": 15, "max_depth": 3, "bagging_fraction": 0.5, "bagging_freq": 1, "feature_fraction": 0.4},
        {"num_leaves": 63, "min_data_in_leaf": 1, "lambda_l2": 7.0, "rounds": 9},
        {"boost_from_average": False},
        {"min_data_in_leaf": 5000, "rounds": 3},  # no split at all
    ],
)
def test_margins_equal_lightgbm_bit_for_bit(parameters: dict[str, object]) -> None:
    booster = _booster(3, **parameters)
    trees = BoostedTrees.from_lightgbm(booster.model_to_string())
    rows, _ = _rows(4, 500)
    rng = np.random.default_rng(5)
    rows[rng.random(rows.shape) < 0.15] = np.nan  # also in columns that had none in training
    rows[rng.random(rows.shape) < 0.15] = 0.0
    splits = np.unique(trees.split[0])
    rows[:50, 0] = rng.choice(splits, 50)  # exactly on a threshold
    rows[50:60] = np.inf
    rows[60:70] = -np.inf
    assert trees.margin(rows).tobytes() == booster.predict(rows, raw_score=True).tobytes()
    assert len(trees.root) % LANES == 0


def test_path_contributions_and_base_add_up_to_the_margin() -> None:
    trees = BoostedTrees.from_lightgbm(_booster(6, num_leaves=15).model_to_string())
    rows, _ = _rows(7, 100)
    margin = trees.margin(rows)
    for row, expected in zip(rows, margin, strict=True):
        contribution = np.zeros(8)
        add_path_contributions(row, *trees.walk, contribution)
        assert base_margin(trees.root, trees.split) + contribution.sum() == pytest.approx(expected, abs=1e-9)


def test_the_base_is_the_mean_margin_of_the_training_rows() -> None:
    booster = _booster(8, num_leaves=15)
    trees = BoostedTrees.from_lightgbm(booster.model_to_string())
    assert base_margin(trees.root, trees.split) == pytest.approx(trees.margin(_rows(8)[0]).mean(), abs=1e-9)


def test_categorical_splits_are_refused() -> None:
    rows, label = _rows(3)
    data = lightgbm.Dataset(np.nan_to_num(np.abs(rows)), label, categorical_feature=[2, 3])
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_per_group": 5}, data, 20
    )
    with pytest.raises(ValueError, match="categorical"):
        BoostedTrees.from_lightgbm(booster.model_to_string())


@pytest.mark.parametrize("broken", ["link", "root", "width"])
def test_arrays_that_would_lead_a_walk_outside_are_refused(broken: str) -> None:
    arrays = {
        name: array.copy()
        for name, array in BoostedTrees.from_lightgbm(_booster(3).model_to_string()).arrays("t.").items()
    }
    if broken == "link":
        arrays["t.link"][0] |= np.uint64(1) << np.uint64(60)
    elif broken == "root":
        arrays["t.root"][0, 0] = len(arrays["t.link"])
    with pytest.raises(SnapshotError, match="points outside"):
        BoostedTrees.from_arrays(arrays, "t.", 1 if broken == "width" else 8)


def _window(config: BoostedWindowConfig, seed: int = 3) -> tuple[BoostedWindow, NDArray[np.uint64]]:
    rows, label = _rows(seed, 4000)
    ids = np.random.default_rng(9).integers(1, 2**63, 4000, dtype=np.uint64)
    window = BoostedWindow(8, config)
    time = np.arange(4000, dtype=np.int64)
    window.add(ids, time, rows.astype(np.float32), np.ones(4000, np.float32), label > 0)
    return window, ids


def test_the_window_keeps_every_fraud_and_a_weighted_sample_of_the_rest() -> None:
    _, label = _rows(3, 4000)
    window, _ = _window(BoostedWindowConfig(genuine_capacity=800))
    assert window.frauds == label.sum()
    assert len(window) - window.frauds <= 800
    _, arrays = window.state()
    stands_for = arrays["weight"][~arrays["fraud"]].sum()
    assert stands_for == pytest.approx((label == 0).sum(), rel=0.15)


def test_the_same_rows_give_the_same_trees_however_they_came() -> None:
    rows, label = _rows(3, 4000)
    window, ids = _window(BoostedWindowConfig(genuine_capacity=800, trees=8))
    pieces = BoostedWindow(8, window.config)
    for a in range(0, 4000, 333):
        part = slice(a, a + 333)
        ones = np.ones(len(ids[part]), np.float32)
        pieces.add(ids[part], np.arange(4000)[part], rows[part].astype(np.float32), ones, label[part] > 0)
    pieces_trees, trees = pieces.fit(), window.fit()
    assert pieces_trees.split.tobytes() == trees.split.tobytes()
    assert pieces_trees.link.tobytes() == trees.link.tobytes()


def test_old_rows_leave_and_a_corrected_label_replaces_the_first() -> None:
    window, ids = _window(BoostedWindowConfig())
    window.forget(1000)
    assert len(window) == 3000
    _, arrays = window.state()
    fraud = int(arrays["hash"][arrays["fraud"]][0])
    before = window.frauds
    assert window.relabel(fraud, False, 1.0)
    assert window.frauds == before - 1
    assert not window.relabel(int(ids[0]), True, 1.0)


def test_frauds_beyond_their_capacity_leave_oldest_first() -> None:
    window, _ = _window(BoostedWindowConfig(fraud_capacity=100))
    _, arrays = window.state()
    _, label = _rows(3, 4000)
    assert arrays["time"][arrays["fraud"]].tolist() == np.flatnonzero(label > 0)[-100:].tolist()


def _two_methods(frauds: int, enough_frauds: int) -> NDArray[np.float64]:
    """Margins of the old and the new method of fraud, after 130 days of the one and 50 of the other."""
    rng = np.random.default_rng(11)
    day = np.sort(rng.integers(0, 180, 12_000))
    fraud = np.zeros(12_000, np.bool_)
    fraud[:: 12_000 // frauds] = True
    rows = rng.normal(0, 1, (12_000, 2)).astype(np.float32)
    rows[fraud, np.where(day[fraud] < 130, 0, 1)] += 4.0
    rows[~fraud & (day >= 130), 0] += np.where(rng.random((~fraud & (day >= 130)).sum()) < 0.2, 4.0, 0.0)
    config = BoostedWindowConfig(min_frauds=5, min_leaf_rows=5, enough_frauds=enough_frauds)
    window = BoostedWindow(2, config)
    time = day.astype(np.int64) * 86_400_000_000
    window.add(np.arange(12_000, dtype=np.uint64), time, rows, np.ones(12_000, np.float32), fraud)
    return window.fit().margin(np.array([[4.0, 0.0], [0.0, 4.0]]))


def test_old_frauds_fade_where_there_are_enough_newer_ones() -> None:
    """The old method has become what ordinary customers do; a window that forgets nothing still takes it for fraud."""
    old, new = _two_methods(frauds=3_000, enough_frauds=500)
    old_kept, _ = _two_methods(frauds=3_000, enough_frauds=3_000)
    assert new > old
    assert old < old_kept - 0.5


def test_of_few_frauds_none_fades() -> None:
    assert (
        _two_methods(frauds=200, enough_frauds=500).tobytes() == _two_methods(frauds=200, enough_frauds=10**6).tobytes()
    )
