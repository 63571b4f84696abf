"""Scoring on a frozen snapshot: log-odds, anomaly rate, and their split over inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.attribution import ensemble_base, ensemble_contributions, linear_contributions
from detectors.boosted_trees import BoostedTrees, base_margin, margins
from detectors.calibration import CENTRE, KNOTS, calibrated, rank_fractions, rank_ppm
from detectors.half_space_trees import SIZE_LIMIT, find_leaves, leaf_masses, mass_at
from detectors.inputs import standardise_row, transform_row
from detectors.online_logistic import PRIOR_LIMIT, linear_logit
from detectors.snapshot import Snapshot, SnapshotError, require_array, require_kind

KIND = "ensemble/1"
LOGIT_LIMIT = 20.0
"""Calibrated log-odds are clipped to plus or minus this (a probability of 2e-9)."""
MEAN, INVERSE, PRIOR, WEIGHT = 0, 1, 2, 3
"""Rows of the packed linear model, float64[4, M]: mean, 1 / deviation, prior weight, learned weight."""


@njit(cache=True, nogil=True)
def linear_part(row: Any, scale: Any, linear: Any, biases: Any, scratch: Any, bits: Any) -> float:
    """Log-odds of the linear model; leaves the transformed row in ``scratch[1]``, the standardised one in ``scratch[2]``.

    Parameters
    ----------
    row, scale
        float64[M] and uint8[M], as in :func:`~detectors.inputs.transform_row`.
    linear, biases
        float64[4, M] (rows MEAN, INVERSE, PRIOR, WEIGHT) and float64[2] (prior's, learned).
    scratch, bits
        float64[3, M], and the int64 view of its first row.
    """
    transform_row(row, scale, scratch[0], bits, scratch[1])
    standardise_row(scratch[1], linear[MEAN], linear[INVERSE], scratch[2])
    offset = biases[0]
    for j in range(row.shape[0]):
        if linear[PRIOR, j] != 0.0 and scratch[1, j] == scratch[1, j]:
            offset += linear[PRIOR, j] * scratch[1, j]
    return linear_logit(min(max(offset, -PRIOR_LIMIT), PRIOR_LIMIT), scratch[2], linear[WEIGHT], biases[1])


@njit(cache=True, nogil=True)
def stacked(linear: float, margin: float, stack: Any) -> float:
    """Stacked log-odds of the two models' log-odds."""
    logit: float = CENTRE + stack[0] + stack[1] * (linear - CENTRE) + stack[2] * (margin - CENTRE)
    return logit


@njit(cache=True, nogil=True)
def _score(
    matrix: Any, group: Any, scale: Any, linear: Any, biases: Any, root: Any, link: Any, split: Any, stack: Any, maps: Any,
    feature: Any, at: Any, masses: Any, height: int, window: int, ranks: Any, logit_milli: Any, anomaly_ppm: Any,
) -> int:  # fmt: skip
    """Fill both outputs; returns the first group that does not exist, or -1."""
    n, m = matrix.shape
    scratch = np.empty((3, m))
    bits = scratch[0].view(np.int64)
    margin = np.empty(n)
    margins(matrix, root, link, split, margin)
    leaf = np.zeros(feature.shape[0] // ((1 << height) - 1), dtype=np.uint64)
    most = len(leaf) * ((2 << height) - 1) * window
    for i in range(n):
        logit = linear_part(matrix[i], scale, linear, biases, scratch, bits)
        logit = stacked(logit, margin[i], stack)
        g = group[i]
        if g >= maps.shape[0]:
            return int(g)
        logit = calibrated(logit, maps[g, 0], maps[g, 1])
        logit_milli[i] = int(np.rint(1000.0 * min(max(logit, -LOGIT_LIMIT), LOGIT_LIMIT)))
        anomaly_ppm[i] = 0
        if ranks.shape[1]:
            find_leaves(scratch[2], feature, at, height, leaf)
            anomaly_ppm[i] = rank_ppm(1.0 - mass_at(leaf, masses, height) / most, ranks[0], ranks[1])
    return -1


@njit(cache=True, nogil=True)
def _contributions(
    matrix: Any, group: Any, scale: Any, linear: Any, biases: Any, root: Any, link: Any, split: Any, stack: Any, maps: Any,
    base: Any, milli: Any,
) -> int:  # fmt: skip
    """Fill the split; returns the first group that does not exist, or -1."""
    n, m = matrix.shape
    scratch = np.empty((3, m))
    bits = scratch[0].view(np.int64)
    share = np.empty(m)
    for i in range(n):
        if group[i] >= maps.shape[0]:
            return int(group[i])
        transform_row(matrix[i], scale, scratch[0], bits, scratch[1])
        standardise_row(scratch[1], linear[MEAN], linear[INVERSE], scratch[2])
        linear_contributions(
            scratch[1], scratch[2], linear[MEAN], linear[PRIOR], linear[WEIGHT], biases[0], PRIOR_LIMIT, share
        )
        g = group[i]
        ensemble_contributions(matrix[i], share, stack, maps[g, 1], LOGIT_LIMIT, root, link, split, base[g], milli[i])
    return -1


class Scorer:
    """Scores batches on one snapshot; nothing learns here, so one scorer may serve many threads.

    Parameters
    ----------
    snapshot
        From ``genesis`` or ``Learner.close_round``.

    Attributes
    ----------
    version, names, groups
        Of the snapshot, its inputs and its groups.
    base_milli
        int64[G]: each group's log-odds x 1000 of a row to which no input contributes.

    Raises
    ------
    SnapshotError
        The snapshot is of another kind, or its arrays do not fit.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        require_kind(snapshot, KIND)
        arrays, described = snapshot.model, snapshot.description
        self.version = snapshot.version
        self.names: tuple[str, ...] = tuple(described["inputs"])
        self.groups: tuple[str, ...] = tuple(described["groups"])
        self._height, self._window = int(described["forest_height"]), int(described["forest_window"])
        m, g = len(self.names), len(self.groups)
        self.trees = BoostedTrees.from_arrays(arrays, "trees.", m)
        stack, maps = require_array(arrays, "stack", "f8", (3,)), require_array(arrays, "maps", "f8", (g, 2))
        scale = require_array(arrays, "scale", "u1", (m,))
        linear, biases = require_array(arrays, "linear", "f8", (4, m)), require_array(arrays, "biases", "f8", (2,))
        self._model = (scale, linear, biases, *self.trees.walk, stack, maps)
        split, at, reference = _forest(arrays, self._height, m)
        masses = np.zeros((len(split) // (2**self._height - 1)) << self._height, dtype=np.int64)
        leaf_masses(reference, self._height, SIZE_LIMIT * self._window, masses)
        self._anomaly = (split, at, masses, self._height, self._window, _ranks(arrays))
        tree_base = base_margin(self.trees.root, self.trees.split)
        linear_base = biases[0] + biases[1]
        for j in range(m):
            linear_base += linear[PRIOR, j] * linear[MEAN, j]
        self._base = np.array(
            [ensemble_base(linear_base, tree_base, stack, maps[k, 0], maps[k, 1], CENTRE) for k in range(g)]
        )
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
        self._require_known(_score(matrix, group, *self._model, *self._anomaly, logit_milli, anomaly_ppm))
        return logit_milli, anomaly_ppm

    def contributions(self, matrix: NDArray[np.float64], group: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Log-odds x 1000 per input, int32[k, M]; with ``base_milli[group]`` they add up to the score (within 1)."""
        self._check(matrix, group)
        milli = np.empty(matrix.shape, dtype=np.int32)
        self._require_known(_contributions(matrix, group, *self._model, self._base, milli))
        return milli

    def warm_up(self) -> None:
        """Compile, or load the compiled code, before the first customer needs it."""
        matrix = np.zeros((2, len(self.names)))
        group = np.zeros(2, dtype=np.uint8)
        self.score(matrix, group)
        self.contributions(matrix, group)

    def _require_known(self, unknown: int) -> None:
        if unknown >= 0:
            known = ", ".join(self.groups)
            raise ValueError(f"group {unknown} is unknown; the snapshot has {len(self.groups)}: {known}")

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


def _forest(arrays: Any, height: int, width: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Splits, thresholds and masses of the anomaly model, checked against each other."""
    split = require_array(arrays, "forest.feature", "i4", (-1,))
    at = require_array(arrays, "forest.threshold", "f8", split.shape)
    trees, rest = divmod(len(split), 2**height - 1)
    reference = require_array(arrays, "forest.reference", "i4", (trees * (2 ** (height + 1) - 1),))
    if rest or (split < 0).any() or (split >= width).any():
        raise SnapshotError(f"forest: {len(split)} splits of height {height} over {width} columns do not fit")
    return split, at, reference


def _ranks(arrays: Any) -> NDArray[np.float64]:
    """Scores and the shares they stand for, float64[2, KNOTS]; float64[2, 0] before any were learned."""
    knots = require_array(arrays, "knots", "f8", (-1,))
    if len(knots) not in (0, KNOTS):
        raise SnapshotError(f"knots: {len(knots)} of them, expected none or {KNOTS}")
    return np.vstack((knots, rank_fractions()[: len(knots)]))
