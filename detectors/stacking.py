"""Stacking: how much each model's log-odds count, learned online with a memory.

A handful of coefficients is followed by a logistic Kalman filter: the full covariance lets a new model take over from
an old one within tens of labels, and the memory bounds how far back evidence reaches.
"""

from __future__ import annotations

import math
from typing import Any

from numba import njit

from detectors.online_logistic import probability


@njit(cache=True, nogil=True)
def filter_step(
    x: Any,
    offset: float,
    label: float,
    weight: float,
    coefficients: Any,
    covariance: Any,
    scratch: Any,
    keep: float,
    ceiling: Any,
) -> None:
    """One step of an iterated extended Kalman filter for logistic regression.

    Parameters
    ----------
    x
        float64[d]: regressors, the first one 1.
    offset
        Log-odds with all coefficients 0.
    label, weight
        0 or 1; how many rows this one stands for.
    coefficients, covariance
        float64[d], float64[d, d]: estimate and its uncertainty, moved in place.
    scratch
        float64[d].
    keep
        Evidence kept from row to row: 1 - 1/memory.
    ceiling
        float64[d]: largest variance each coefficient may reach by forgetting (its prior variance).

    References
    ----------
    Penny, Roberts, Dynamic logistic regression, IJCNN (1999); West, Harrison, Migon, Dynamic Generalized Linear
    Models, JASA 80 (1985), for the discount factor.
    """
    d = x.shape[0]
    logit = offset
    for a in range(d):
        logit += coefficients[a] * x[a]
    spread = 0.0
    for a in range(d):
        scratch[a] = 0.0
        for b in range(d):
            scratch[a] += covariance[a, b] * x[b]
        spread += scratch[a] * x[a]
    after = _settled(logit, spread * weight, label)
    p = probability(after)
    curvature = weight * p * (1.0 - p)
    gain = curvature / (1.0 + curvature * spread)
    for a in range(d):
        coefficients[a] += scratch[a] * weight * (label - p)
        for b in range(d):
            covariance[a, b] -= gain * scratch[a] * scratch[b]
    _forget(covariance, keep, ceiling)


@njit(cache=True, nogil=True)
def _settled(logit: float, spread: float, label: float) -> float:
    """The log-odds after the step: solves ``eta = logit + spread (label - p(eta))``, so no step overshoots."""
    eta = logit
    for _ in range(8):
        p = probability(eta)
        eta -= (eta - logit - spread * (label - p)) / (1.0 + spread * p * (1.0 - p))
    low, high = min(logit, logit + spread * (2.0 * label - 1.0)), max(logit, logit + spread * (2.0 * label - 1.0))
    return min(max(eta, low), high)


@njit(cache=True, nogil=True)
def _forget(covariance: Any, keep: float, ceiling: Any) -> None:
    """Grow uncertainty by 1/keep, no coefficient beyond its ceiling (rows and columns shrink together)."""
    d = covariance.shape[0]
    for a in range(d):
        for b in range(d):
            covariance[a, b] /= keep
    for a in range(d):
        if covariance[a, a] > ceiling[a]:
            shrink = math.sqrt(ceiling[a] / covariance[a, a])
            for b in range(d):
                covariance[a, b] *= shrink
                covariance[b, a] *= shrink
