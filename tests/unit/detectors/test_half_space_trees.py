from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from river import anomaly

from detectors.half_space_trees import (
    HalfSpaceTrees,
    add_mass,
    add_up,
    find_leaves,
    grow,
    leaf_masses,
    mass_at,
    path_mass,
)

NAMES = [f"f{i}" for i in range(12)]


def ragged_rows(seed: int, count: int) -> Iterator[dict[str, Any]]:
    """Rows with missing, emerging, NaN, bool and reordered features."""
    rng = random.Random(seed)
    for i in range(count):
        row: dict[str, Any] = {name: rng.random() for name in NAMES}
        for name in NAMES if i else ():
            what = rng.random()
            if what < 0.06:
                del row[name]
            elif what < 0.12:
                row[name] = math.nan
            elif what < 0.18:
                row[name] = rng.random() < 0.5
        if rng.random() < 0.2:
            row["emerging"] = rng.random()
        names = list(row)
        rng.shuffle(names)
        yield {name: row[name] for name in names}


@pytest.mark.parametrize(("n_trees", "height", "window"), [(25, 8, 60), (10, 4, 40), (3, 1, 5), (6, 3, 200)])
def test_scores_equal_river_bit_for_bit_on_ragged_rows(n_trees: int, height: int, window: int) -> None:
    limits = {"f3": (-2.0, 5.0), "f4": (0.2, 0.4)}
    theirs = anomaly.HalfSpaceTrees(n_trees, height, window, limits=limits, seed=3)
    ours = HalfSpaceTrees(n_trees, height, window, limits=limits, seed=3)
    highest = 0.0
    for row in ragged_rows(seed=window, count=400):
        score = theirs.score_one(row)
        assert ours.score_one(row) == score
        highest = max(highest, score)
        ours.learn_one(row)
        theirs.learn_one(row)
    assert highest > 0


@pytest.mark.parametrize("cut", [1, 7, 64, 500])
def test_batches_equal_river_one_by_one(cut: int) -> None:
    rows = np.random.default_rng(5).random((500, len(NAMES)))
    names = sorted(NAMES)
    theirs, ours = anomaly.HalfSpaceTrees(25, 8, 90, seed=8), HalfSpaceTrees(25, 8, 90, seed=8)
    expected = []
    for row in rows.tolist():
        x = dict(zip(names, row, strict=True))
        expected.append(theirs.score_one(x))
        theirs.learn_one(x)
    scores = np.concatenate(
        [ours.score_learn_many(rows[a : a + cut], features=names) for a in range(0, len(rows), cut)]
    )
    assert scores.tolist() == expected
    assert ours.score_many(rows[:50]).tolist() == [
        theirs.score_one(dict(zip(names, r, strict=True))) for r in rows[:50].tolist()
    ]


def test_fused_single_rows_equal_scoring_then_learning() -> None:
    fused, apart = HalfSpaceTrees(5, 5, 30, seed=1), HalfSpaceTrees(5, 5, 30, seed=1)
    for row in ragged_rows(seed=9, count=150):
        expected = apart.score_one(row)
        apart.learn_one(row)
        assert fused.score_learn_one(row) == expected


def test_a_restored_checkpoint_goes_on_with_the_same_scores() -> None:
    model, names = HalfSpaceTrees(25, 8, 70, seed=4), sorted(NAMES)
    rows = np.random.default_rng(6).random((300, len(names)))
    model.learn_many(rows[:200], features=names)
    again = HalfSpaceTrees(25, 8, 70, seed=4)
    again.restore(model.checkpoint(), names)
    assert again.score_learn_many(rows[200:]).tolist() == model.score_learn_many(rows[200:]).tolist()
    assert again.checkpoint() == model.checkpoint()


def test_a_checkpoint_of_another_model_is_refused() -> None:
    model, names = HalfSpaceTrees(5, 5, 30, seed=1), sorted(NAMES)
    model.learn_many(np.zeros((2, len(names))), features=names)
    with pytest.raises(ValueError, match="does not fit 11 features"):
        HalfSpaceTrees(5, 5, 30, seed=1).restore(model.checkpoint(), names[1:])
    with pytest.raises(ValueError, match="without a seed"):
        HalfSpaceTrees(5, 5, 30).restore(model.checkpoint(), names)


def test_columns_must_be_named_and_sorted_as_river_visits_them() -> None:
    with pytest.raises(ValueError, match="features="):
        HalfSpaceTrees().learn_many(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="sorted by name"):
        HalfSpaceTrees().learn_many(np.zeros((1, 2)), features=["b", "a"])


def test_masses_of_every_leaf_and_counts_in_leaves_say_what_the_paths_do() -> None:
    rng, trees, height, limit = np.random.default_rng(8), 7, 5, 12.5
    feature, threshold = (a.ravel() for a in grow([(0.0, 1.0)] * 4, trees, height, random.Random(2)))
    along_paths, in_leaves = np.zeros((2, trees * (2 ** (height + 1) - 1)), dtype=np.int32)
    masses = np.zeros(trees << height, dtype=np.int64)
    leaf = np.zeros(trees, dtype=np.uint64)
    nodes = np.arange(trees) * (2 ** (height + 1) - 1)
    rows = rng.random((400, 4)) ** 2
    for row in rows:
        find_leaves(row, feature, threshold, height, leaf)
        add_mass(leaf, along_paths, height)
        in_leaves[nodes + leaf.astype(np.int64)] += 1
    add_up(in_leaves, height)
    assert in_leaves.tolist() == along_paths.tolist()
    assert in_leaves[nodes].tolist() == [len(rows)] * trees
    leaf_masses(along_paths, height, limit, masses)
    found = set()
    for row in rows:
        find_leaves(row, feature, threshold, height, leaf)
        found.add(mass_at(leaf, masses, height))
        assert mass_at(leaf, masses, height) == path_mass(leaf, along_paths, height, limit)
    assert len(found) > 50
