"""Calibration: log-odds that mean what they say, per group, and an anomaly score that is a rate.

Log-odds are calibrated by an affine map per group (Platt's), followed online by the filter of :mod:`stacking`; being
affine it keeps a split of the log-odds over features exact. Anomaly scores are calibrated by rank.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.elementary import exp, log

CENTRE = -5.0
"""Log-odds around which maps turn (a fraud rate of .7 %): keeps slope and intercept nearly independent."""
KNOTS = 257
_LN10 = log(10.0)


def rank_fractions() -> NDArray[np.float64]:
    """Shares of rows below each knot of a rank calibration, float64[KNOTS]: dense where rare, 1e-5 at the end.

    >>> shares = rank_fractions()
    >>> shares[0], bool((np.diff(shares) > 0).all()), round(1 - float(shares[-1]), 6)
    (np.float64(0.0), True, 1e-05)
    """
    steps = np.arange(KNOTS) / (KNOTS - 1)
    fractions: NDArray[np.float64] = 1.0 - np.array([exp(-5.0 * _LN10 * s) for s in steps.tolist()])
    return fractions


def rank_knots(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores at :func:`rank_fractions`, non-decreasing float64[KNOTS], of a non-empty sample float64[n].

    The sample's k-th smallest stands for the share k / (n + 1): beyond its largest value nothing is extrapolated.
    """
    ordered = np.sort(scores)
    places = np.minimum((rank_fractions() * (len(ordered) + 1)).astype(np.int64), len(ordered) - 1)
    knots: NDArray[np.float64] = ordered[places]
    return knots


@njit(cache=True, nogil=True)
def rank_ppm(score: float, knots: Any, fractions: Any) -> int:
    """Rate of ordinary rows scoring below, in ppm: 0 for nothing learned or the commonest, 1000000 never reached.

    A score equal to many knots gets the lowest of their shares: ties never make a row look rarer than it is.
    """
    if knots.shape[0] == 0:
        return 0
    low, high = 0, knots.shape[0]
    while low < high:
        middle = (low + high) // 2
        if knots[middle] < score:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        return 0
    if low == knots.shape[0]:
        return int(1e6 * fractions[low - 1])
    part = (score - knots[low - 1]) / (knots[low] - knots[low - 1])
    return int(1e6 * (fractions[low - 1] + part * (fractions[low] - fractions[low - 1])))


@njit(cache=True, nogil=True)
def calibrated(logit: float, intercept: float, slope: float) -> float:
    """``CENTRE + intercept + slope * (logit - CENTRE)``; intercept 0 and slope 1 change nothing."""
    return CENTRE + intercept + slope * (logit - CENTRE)


def expected_calibration_error(probability: NDArray[np.float64], label: NDArray[np.bool_], bins: int = 20) -> float:
    """Mean distance between predicted and observed rate over equal bins of probability, weighted by rows.

    >>> expected_calibration_error(np.array([0.1, 0.1, 0.9, 0.9]), np.array([False, False, True, True]))
    0.1

    References
    ----------
    Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI (2015).
    """
    bin_of = np.minimum((probability * bins).astype(np.int64), bins - 1)
    predicted = np.bincount(bin_of, probability, bins)
    observed = np.bincount(bin_of, label.astype(np.float64), bins)
    return round(float(np.abs(predicted - observed).sum() / max(len(probability), 1)), 12)
