"""Attribution: one score split over the inputs it came from, adding up to the score.

The linear part is exact: weight times distance from the mean. Trees are path-based: every step credits the column it
splits on with the change of the mean output. The calibration is affine, so it scales both alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from detectors.boosted_trees import add_path_contributions


@njit(cache=True, nogil=True)
def linear_contributions(
    transformed: Any,
    standard: Any,
    mean: Any,
    prior: Any,
    prior_bias: float,
    limit: float,
    weights: Any,
    bias: float,
    contribution: Any,
) -> float:
    """Write each input's share of the linear log-odds (float64[M]); returns the base, what an average row gets.

    A missing input is credited with what its mean would have added under the prior.
    """
    base = prior_bias
    total = 0.0
    for j in range(mean.shape[0]):
        base += prior[j] * mean[j]
        share = prior[j] * (transformed[j] - mean[j])
        if transformed[j] != transformed[j]:
            share = -prior[j] * mean[j]
        contribution[j] = share
        total += share
    rest = min(max(base + total, -limit), limit) - base
    if base + total != base + rest and total != 0.0:
        for j in range(mean.shape[0]):
            contribution[j] *= rest / total
    for j in range(mean.shape[0]):
        contribution[j] += weights[j] * standard[j]
    return base + bias


@njit(cache=True, nogil=True)
def ensemble_contributions(
    row: Any, linear: Any, stack: Any, slope: float, limit: float,
    root: Any, feature: Any, threshold: Any, first_child: Any, missing_right: Any, value: Any, base: float, milli: Any,
) -> None:  # fmt: skip
    """Split the calibrated log-odds of one row.

    Parameters
    ----------
    linear
        From :func:`linear_contributions`.
    stack, slope, limit
        The stack's coefficients, the slope of the group's map, and the final clip.
    base
        The group's base value, of :func:`ensemble_base`.
    milli
        int32[M], written: log-odds x 1000; they add up to the rounded score less the rounded base.
    """
    path = np.zeros(row.shape[0])
    add_path_contributions(row, root, feature, threshold, first_child, missing_right, value, path)
    total = 0.0
    for j in range(row.shape[0]):
        path[j] = slope * (stack[1] * linear[j] + stack[2] * path[j])
        total += path[j]
    clipped = min(max(base + total, -limit), limit) - base
    shrink = clipped / total if total != 0.0 else 1.0
    reached = 0.0
    before = int(np.rint(1000.0 * base))
    for j in range(row.shape[0]):
        reached += path[j] * shrink
        now = int(np.rint(1000.0 * (base + reached)))
        milli[j] = now - before
        before = now


@njit(cache=True, nogil=True)
def ensemble_base(
    linear_base: float, tree_base: float, stack: Any, intercept: float, slope: float, centre: float
) -> float:
    """Calibrated log-odds of a row to which no input contributes."""
    together: float = stack[0] + stack[1] * (linear_base - centre) + stack[2] * (tree_base - centre)
    return centre + intercept + slope * together


@njit(cache=True, nogil=True)
def tree_base(root: Any, value: Any) -> float:
    """Mean margin of the trees over their training rows."""
    total = 0.0
    for t in range(root.shape[0]):
        total += value[root[t]]
    return total
