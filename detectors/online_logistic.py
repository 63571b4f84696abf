"""Logistic regression that learns one row at a time, around a fixed prior."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from river import base

from detectors.elementary import exp
from detectors.inputs import standardise_row, update_moments

PRIOR_LIMIT = 15.0
"""The prior's log-odds are clipped to plus or minus this."""


@njit(cache=True, nogil=True)
def probability(logit: float) -> float:
    """The logistic function without overflow.

    >>> probability(0.0), probability(-800.0), probability(800.0)
    (0.5, 0.0, 1.0)
    """
    if logit >= 0.0:
        return 1.0 / (1.0 + exp(-logit))
    if logit < -700.0:
        return 0.0
    odds = exp(logit)
    return odds / (1.0 + odds)


@njit(cache=True, nogil=True)
def linear_logit(offset: float, standard: Any, weights: Any, bias: float) -> float:
    """``offset + bias + weights · standard``, added from left to right (no BLAS: its order varies)."""
    total = offset + bias
    for j in range(weights.shape[0]):
        total += weights[j] * standard[j]
    return total


@njit(cache=True, nogil=True)
def adagrad_step(
    standard: Any,
    label: float,
    weight: float,
    logit: float,
    weights: Any,
    bias: Any,
    squares: Any,
    rate: float,
    ridge: float,
) -> None:
    """One step of AdaGrad on the weighted logistic loss.

    Parameters
    ----------
    standard
        float64[M].
    label, weight, logit
        0 or 1; the row's weight; the log-odds predicted before the step.
    weights, bias, squares
        float64[M], float64[1], float64[M + 1]: moved in place; ``squares`` sums squared gradients, the bias's last.
    rate, ridge
        Learning rate; pull of each weight to 0 per unit of row weight.

    References
    ----------
    Duchi, Hazan, Singer, Adaptive Subgradient Methods, JMLR 12 (2011).
    """
    error = weight * (probability(logit) - label)
    m = weights.shape[0]
    for j in range(m):
        gradient = error * standard[j] + weight * ridge * weights[j]
        if gradient != 0.0:
            squares[j] += gradient * gradient
            weights[j] -= rate * gradient / math.sqrt(squares[j])
    if error != 0.0:
        squares[m] += error * error
        bias[0] -= rate * error / math.sqrt(squares[m])


@njit(cache=True, nogil=True)
def _learn(
    rows: Any,
    labels: Any,
    seen: Any,
    mean: Any,
    square: Any,
    weights: Any,
    bias: Any,
    squares: Any,
    rate: float,
    ridge: float,
    memory: float,
) -> None:
    standard = np.empty(rows.shape[1])
    for i in range(rows.shape[0]):
        update_moments(rows[i], seen, mean, square, memory)
        standardise_row(rows[i], mean, 1.0 / np.sqrt(square + 1e-6), standard)
        logit = linear_logit(0.0, standard, weights, bias[0])
        adagrad_step(standard, labels[i], 1.0, logit, weights, bias, squares, rate, ridge)


@njit(cache=True, nogil=True)
def _predict(rows: Any, mean: Any, square: Any, weights: Any, bias: Any) -> Any:
    standard = np.empty(rows.shape[1])
    out = np.empty(rows.shape[0])
    inverse = 1.0 / np.sqrt(square + 1e-6)
    for i in range(rows.shape[0]):
        standardise_row(rows[i], mean, inverse, standard)
        out[i] = probability(linear_logit(0.0, standard, weights, bias[0]))
    return out


class OnlineLogistic(base.Classifier):
    """Logistic regression with AdaGrad over features it standardises itself.

    Good at following a slow change with little data, and cheap to explain (each feature's share is exact); blind to
    interactions, which is what boosted trees add. Batches give the same bytes as single rows.

    Parameters
    ----------
    rate
        AdaGrad's learning rate.
    ridge
        Pull of each weight to 0 per row.
    memory
        Observations over which means and deviations fade.

    Examples
    --------
    >>> model = OnlineLogistic(rate=0.1)
    >>> for i in range(200):
    ...     model.learn_one({"amount": float(i % 7)}, i % 7 > 4)
    >>> model.predict_one({"amount": 6.0}), model.predict_one({"amount": 1.0})
    (True, False)
    """

    def __init__(self, rate: float = 0.05, ridge: float = 0.0, memory: float = 50_000.0) -> None:
        self.rate = rate
        self.ridge = ridge
        self.memory = memory
        self.features: tuple[Hashable, ...] = ()
        self._set_width(0)

    @property
    def _multiclass(self) -> bool:
        return False

    def learn_one(self, x: Mapping[Hashable, Any], y: base.typing.ClfTarget) -> None:
        """Learn one labelled row; the first one fixes the features, later unknown ones are left out."""
        if not self.features:
            self._plant(sorted(x))  # type: ignore[type-var]
        self.learn_many(self._read(x), np.array([y], dtype=np.float64))

    def predict_proba_one(self, x: Mapping[Hashable, Any], **kwargs: Any) -> dict[base.typing.ClfTarget, float]:
        """Probability of each class; a missing feature counts as its mean."""
        if not self.features:
            return {False: 0.5, True: 0.5}
        p = float(self.predict_proba_many(self._read(x))[0])
        return {False: 1.0 - p, True: p}

    def learn_many(
        self, X: NDArray[np.float64], y: NDArray[np.float64], features: Sequence[Hashable] | None = None
    ) -> None:
        """Learn float64[n, F] (NaN: missing) with labels float64[n], in order; ``features`` names columns once."""
        if not self.features:
            self._plant(range(X.shape[1]) if features is None else features)
        if X.shape != (len(y), len(self.features)):
            raise ValueError(f"matrix of shape {X.shape}: expected [{len(y)}, {len(self.features)}]")
        _learn(
            X,
            y,
            self._seen,
            self._mean,
            self._square,
            self._weights,
            self._bias,
            self._squares,
            self.rate,
            self.ridge,
            self.memory,
        )

    def predict_proba_many(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of True for each row of float64[n, F]."""
        out: NDArray[np.float64] = _predict(X, self._mean, self._square, self._weights, self._bias)
        return out

    def _plant(self, features: Sequence[Hashable]) -> None:
        self.features = tuple(features)
        self._set_width(len(self.features))

    def _set_width(self, width: int) -> None:
        self._seen, self._mean, self._square = np.zeros(width), np.zeros(width), np.ones(width)
        self._weights, self._bias, self._squares = np.zeros(width), np.zeros(1), np.full(width + 1, 1e-12)

    def _read(self, x: Mapping[Hashable, Any]) -> NDArray[np.float64]:
        return np.array([[x.get(name, np.nan) for name in self.features]], dtype=np.float64)
