"""Scoring on a frozen snapshot: log-odds, anomaly rate, and their split over inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.attribution import ensemble_base, ensemble_contributions, linear_contributions, tree_base
from detectors.boosted_trees import BoostedTrees, add_margin
from detectors.calibration import CENTRE, calibrated, rank_fractions, rank_ppm
from detectors.half_space_trees import SIZE_LIMIT, score_mass
from detectors.inputs import standardise_row, transform_row
from detectors.online_logistic import PRIOR_LIMIT, linear_logit
from detectors.snapshot import Snapshot, require_array, require_kind

KIND = "ensemble/1"
LOGIT_LIMIT = 20.0
"""Calibrated log-odds are clipped to plus or minus this (a probability of 2e-9)."""


@njit(cache=True, nogil=True)
def linear_part(
    row: Any,
    scale: Any,
    mean: Any,
    inverse: Any,
    prior: Any,
    prior_bias: float,
    weights: Any,
    bias: float,
    scratch: Any,
    bits: Any,
) -> float:
    """Log-odds of the linear model; leaves the transformed row in ``scratch[1]``, the standardised one in ``scratch[2]``."""
    transform_row(row, scale, scratch[0], bits, scratch[1])
    standardise_row(scratch[1], mean, inverse, scratch[2])
    offset = prior_bias
    for j in range(row.shape[0]):
        if prior[j] != 0.0 and scratch[1, j] == scratch[1, j]:
            offset += prior[j] * scratch[1, j]
    return linear_logit(min(max(offset, -PRIOR_LIMIT), PRIOR_LIMIT), scratch[2], weights, bias)


@njit(cache=True, nogil=True)
def stacked(linear: float, margin: float, stack: Any) -> float:
    """Stacked log-odds of the two models' log-odds."""
    logit: float = CENTRE + stack[0] + stack[1] * (linear - CENTRE) + stack[2] * (margin - CENTRE)
    return logit


@njit(cache=True, nogil=True)
def _score(
    matrix: Any, group: Any, scale: Any, mean: Any, inverse: Any, prior: Any, prior_bias: float, weights: Any, bias: float,
    root: Any, depth: Any, feature: Any, threshold: Any, first_child: Any, missing_right: Any, value: Any,
    stack: Any, maps: Any, split: Any, at: Any, reference: Any, limit: float, present: Any, knots: Any, fractions: Any,
    logit_milli: Any, anomaly_ppm: Any,
) -> None:  # fmt: skip
    n, m = matrix.shape
    margin = np.zeros(n)
    add_margin(matrix, root, depth, feature, threshold, first_child, missing_right, value, margin)
    scratch = np.empty((3, m))
    bits = scratch[0].view(np.int64)
    most = split.shape[0] * (limit / SIZE_LIMIT) * reference.shape[1]
    for i in range(n):
        linear = linear_part(matrix[i], scale, mean, inverse, prior, prior_bias, weights, bias, scratch, bits)
        g = group[i]
        logit = calibrated(stacked(linear, margin[i], stack), maps[g, 0], maps[g, 1])
        logit_milli[i] = int(np.rint(1000.0 * min(max(logit, -LOGIT_LIMIT), LOGIT_LIMIT)))
        anomaly_ppm[i] = 0
        if knots.shape[0]:
            mass = score_mass(scratch[2], present, split, at, reference, reference, limit)
            anomaly_ppm[i] = rank_ppm(1.0 - mass / most, knots, fractions)


@njit(cache=True, nogil=True)
def _contributions(
    matrix: Any, group: Any, scale: Any, mean: Any, inverse: Any, prior: Any, prior_bias: float, weights: Any, bias: float,
    root: Any, feature: Any, threshold: Any, first_child: Any, missing_right: Any, value: Any,
    stack: Any, maps: Any, base: Any, milli: Any,
) -> None:  # fmt: skip
    n, m = matrix.shape
    scratch = np.empty((3, m))
    bits = scratch[0].view(np.int64)
    linear = np.empty(m)
    for i in range(n):
        transform_row(matrix[i], scale, scratch[0], bits, scratch[1])
        standardise_row(scratch[1], mean, inverse, scratch[2])
        linear_contributions(scratch[1], scratch[2], mean, prior, prior_bias, PRIOR_LIMIT, weights, bias, linear)
        g = group[i]
        ensemble_contributions(
            matrix[i],
            linear,
            stack,
            maps[g, 1],
            LOGIT_LIMIT,
            root,
            feature,
            threshold,
            first_child,
            missing_right,
            value,
            base[g],
            milli[i],
        )


class Scorer:
    """Scores batches on one snapshot; nothing learns here, so one scorer may serve many threads.

    Parameters
    ----------
    snapshot
        From ``genesis`` or ``Learner.close_round``.

    Raises
    ------
    SnapshotError
        The snapshot is of another kind, or its arrays do not fit.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        require_kind(snapshot, KIND)
        arrays = snapshot.model
        self.version = snapshot.version
        self.names: tuple[str, ...] = tuple(snapshot.description["inputs"])
        self.groups: tuple[str, ...] = tuple(snapshot.description["groups"])
        m, g = len(self.names), len(self.groups)
        self._scale = require_array(arrays, "scale", "u1", (m,))
        self._mean = require_array(arrays, "mean", "f8", (m,))
        self._inverse = require_array(arrays, "inverse_deviation", "f8", (m,))
        self._prior = require_array(arrays, "prior", "f8", (m,))
        self._weights = require_array(arrays, "weights", "f8", (m,))
        self._biases = require_array(arrays, "biases", "f8", (2,))
        self.trees = BoostedTrees.from_arrays(arrays, "trees.", m)
        self._stack = require_array(arrays, "stack", "f8", (3,))
        self._maps = require_array(arrays, "maps", "f8", (g, 2))
        self._split = require_array(arrays, "forest.feature", "i4", (-1, -1))
        shape = self._split.shape
        self._at = require_array(arrays, "forest.threshold", "f8", shape)
        self._reference = require_array(arrays, "forest.reference", "i8", (shape[0], 2 * shape[1] + 1))
        self._limit = SIZE_LIMIT * float(snapshot.description["forest_window"])
        self._knots = require_array(arrays, "knots", "f8", (-1,))
        self._fractions = rank_fractions()
        self._present = np.ones(m, dtype=np.bool_)
        self._base = np.array([self._base_of(k) for k in range(g)])
        self.base_milli: NDArray[np.int64] = np.rint(1000.0 * self._base).astype(np.int64)

    def score(
        self, matrix: NDArray[np.float64], group: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Calibrated log-odds x 1000 (int64[n], within ±20000) and anomaly rate in ppm (int32[n]).

        Parameters
        ----------
        matrix
            float64[n, M], C-contiguous, columns as the snapshot's inputs, NaN where missing.
        group
            uint8[n], index into the snapshot's groups.
        """
        self._check(matrix, group)
        logit_milli = np.empty(len(matrix), dtype=np.int64)
        anomaly_ppm = np.empty(len(matrix), dtype=np.int32)
        t = self.trees
        _score(
            matrix, group, self._scale, self._mean, self._inverse, self._prior, self._biases[0], self._weights, self._biases[1],
            t.root, t.depth, t.feature, t.threshold, t.first_child, t.missing_right, t.value,
            self._stack, self._maps, self._split, self._at, self._reference, self._limit, self._present, self._knots,
            self._fractions, logit_milli, anomaly_ppm,
        )  # fmt: skip
        return logit_milli, anomaly_ppm

    def contributions(self, matrix: NDArray[np.float64], group: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Log-odds x 1000 per input, int32[k, M]; with ``base_milli[group]`` they add up to the score (within 1)."""
        self._check(matrix, group)
        milli = np.empty(matrix.shape, dtype=np.int32)
        t = self.trees
        _contributions(
            matrix, group, self._scale, self._mean, self._inverse, self._prior, self._biases[0], self._weights, self._biases[1],
            t.root, t.feature, t.threshold, t.first_child, t.missing_right, t.value, self._stack, self._maps, self._base, milli,
        )  # fmt: skip
        return milli

    def warm_up(self) -> None:
        """Compile, or load the compiled code, before the first customer needs it."""
        matrix = np.zeros((2, len(self.names)))
        group = np.zeros(2, dtype=np.uint8)
        self.score(matrix, group)
        self.contributions(matrix, group)

    def _base_of(self, group: int) -> float:
        linear = self._biases[0] + self._biases[1]
        for j in range(len(self.names)):
            linear += self._prior[j] * self._mean[j]
        trees = tree_base(self.trees.root, self.trees.value)
        return float(ensemble_base(linear, trees, self._stack, self._maps[group, 0], self._maps[group, 1], CENTRE))

    def _check(self, matrix: NDArray[np.float64], group: NDArray[np.uint8]) -> None:
        if (
            matrix.dtype != np.float64
            or matrix.ndim != 2
            or matrix.shape[1] != len(self.names)
            or not matrix.flags.c_contiguous
        ):
            raise ValueError(
                f"matrix is {matrix.dtype}{list(matrix.shape)}, expected C-contiguous float64[n, {len(self.names)}]"
            )
        if group.dtype != np.uint8 or group.shape != (len(matrix),):
            raise ValueError(f"group is {group.dtype}{list(group.shape)}, expected uint8[{len(matrix)}]")
        if len(group) and int(group.max()) >= len(self.groups):
            raise ValueError(
                f"group {int(group.max())} is unknown; the snapshot has {len(self.groups)}: {', '.join(self.groups)}"
            )
