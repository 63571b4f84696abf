"""The composite that a stream uses: a prior, a linear model, boosted trees and an anomaly model behind one score.

``genesis`` makes the first snapshot, before any label; a :class:`~detectors.scorer.Scorer` scores on a frozen
snapshot; a :class:`~detectors.learner.Learner` turns events and their late labels into the next one.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.boosted_trees import BoostedTrees
from detectors.ensemble_config import FOREST_HEIGHT, FOREST_TREES, FOREST_WINDOW, EnsembleConfig
from detectors.half_space_trees import grow
from detectors.inputs import Input, scale_codes
from detectors.learner import Learner
from detectors.scorer import INVERSE, KIND, PRIOR, Scorer
from detectors.snapshot import Snapshot, SnapshotError
from detectors.touch_ceiling import TouchCeiling

__all__ = ["EnsembleConfig", "Input", "Learner", "Scorer", "Snapshot", "SnapshotError", "genesis"]


def genesis(
    inputs: Sequence[Input], prior: Mapping[str, float], intercept: float, groups: Sequence[str], seed: int
) -> Snapshot:
    """The first snapshot: the prior's log-odds, no trees, anomaly rate 0, maps that change nothing.

    Parameters
    ----------
    inputs
        The matrix's columns, in order.
    prior
        Weight of some inputs in log-odds per unit of the *transformed* cell (:func:`~detectors.inputs.transform_row`:
        ``log`` as sign(x) ln(1 + |x|), clipped ``linear``, 0/1 ``flag``); a missing cell adds nothing. It stays as an
        offset under everything that is learned.
    intercept
        Log-odds with all transformed cells 0.
    groups
        Names of the groups (scenarios) that are calibrated apart; 1 to 256.
    seed
        Seed of the anomaly model's splits.

    Raises
    ------
    ValueError
        The prior names an unknown input or one of scale ``code``; the anomaly model is given no input to watch; or the
        groups are none or too many.

    Examples
    --------
    >>> first = genesis([Input("amount", "log"), Input("night", "flag")], {"night": 1.5}, -6.0, ["all"], seed=42)
    >>> logit_milli, anomaly_ppm = Scorer(first).score(np.array([[20.0, 1.0], [20.0, 0.0]]), np.zeros(2, np.uint8))
    >>> logit_milli.tolist(), anomaly_ppm.tolist()
    ([-4500, -6000], [0, 0])
    """
    scale = scale_codes(inputs)
    position = {item.name: j for j, item in enumerate(inputs)}
    weights = np.zeros(len(inputs))
    for name, weight in prior.items():
        if name not in position or inputs[position[name]].scale == "code":
            raise ValueError(f"prior: {name!r} is not an input with an order; known: {', '.join(position)}")
        weights[position[name]] = weight
    if not 1 <= len(groups) <= 256:
        raise ValueError(f"groups: {len(groups)} given, 1 to 256 are possible")
    limits = [item.watched for item in inputs]
    if not any(low < high for low, high in limits):
        raise ValueError(
            "inputs: none is watched by the anomaly model; one at least must not be a code or unusual='no'"
        )
    feature, threshold = grow(limits, FOREST_TREES, FOREST_HEIGHT, random.Random(seed))
    linear = np.zeros((4, len(inputs)))
    linear[INVERSE], linear[PRIOR] = 1.0, weights
    model: dict[str, NDArray[Any]] = {
        "scale": scale,
        "linear": linear,
        "biases": np.array([intercept, 0.0]),
        **BoostedTrees.empty().arrays("trees."),
        "stack": np.array([0.0, 1.0, 0.0]),
        "maps": np.tile([0.0, 1.0], (len(groups), 1)),
        "forest.feature": feature.ravel(),
        "forest.threshold": threshold.ravel(),
        "forest.reference": np.zeros(FOREST_TREES * (2 ** (FOREST_HEIGHT + 1) - 1), dtype=np.int32),
        "knots": np.zeros(0),
        **TouchCeiling(len(groups)).model(),
    }
    description = {
        "inputs": [item.name for item in inputs],
        "groups": list(groups),
        "forest_height": FOREST_HEIGHT,
        "forest_window": FOREST_WINDOW,
        "seed": seed,
        "counts": {"events": 0, "genuine": 0, "frauds": 0},
    }
    return Snapshot(KIND, 0, "", description, model)
