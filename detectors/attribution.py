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
    transformed: Any, standard: Any, mean: Any, prior: Any, weights: Any, prior_bias: float, limit: float, share: Any
) -> None:
    """Write each input's share of the linear log-odds, against a row of means (float64[M]).

    A missing input is credited with not having what its mean adds under the prior. Where the prior was clipped to
    plus or minus ``limit`` its shares shrink alike.
    """
    base, total = prior_bias, 0.0
    for j in range(mean.shape[0]):
        base += prior[j] * mean[j]
        share[j] = -prior[j] * mean[j]
        if prior[j] != 0.0 and transformed[j] == transformed[j]:
            share[j] += prior[j] * transformed[j]
        total += share[j]
    reached = min(max(base + total, -limit), limit)
    shrink = (reached - base) / total if reached != base + total else 1.0
    for j in range(mean.shape[0]):
        share[j] = share[j] * shrink + weights[j] * standard[j]


@njit(cache=True, nogil=True)
def ensemble_contributions(
    row: Any,
    linear: Any,
    stack: Any,
    slope: float,
    limit: float,
    root: Any,
    link: Any,
    split: Any,
    base: float,
    milli: Any,
) -> None:
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
    add_path_contributions(row, root, link, split, path)
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
