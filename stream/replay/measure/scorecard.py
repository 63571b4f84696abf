"""A scorecard: points by weight of evidence for what a payment says itself and how much its account paid today.

No habits, no pairs. It is what many banks begin with, and what a replay stands beside.

References
----------
Siddiqi, Credit Risk Scorecards (2006), chapter 6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stream.core.features import INDEX

CARD = ("amount_reference", "hour", "channel", "payee_kind", "cross_border", "abroad", "device_new", "count_day", "sum_day", "name_check")  # fmt: skip
"""Columns the scorecard gives points for."""
BINS = 8
SMOOTHING = 0.5
_PLACES = np.array([INDEX[name] for name in CARD])


def card(features: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The columns of :data:`CARD`, float32[n, 10], of features, float64[n, WIDTH]; NaN is missing."""
    return features[:, _PLACES].astype(np.float32)


def scorecard(
    cards: npt.NDArray[np.float32], fraud: npt.NDArray[np.bool_], learned: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Sum of weights of evidence, float64[n]: bins are quantiles of what is learned from, a missing value is a bin.

    Parameters
    ----------
    cards
        float32[n, columns].
    fraud, learned
        bool[n]: the label, and whether the card is fitted on the payment.

    Examples
    --------
    >>> cards = np.array([[1], [1], [9], [9], [9]], np.float32)
    >>> scorecard(cards, np.array([0, 0, 1, 1, 0], bool), np.array([1, 1, 1, 1, 0], bool)).round(2).tolist()
    [-1.61, -1.61, 1.61, 1.61, 1.61]
    """
    total = np.zeros(len(cards))
    for column in cards.T:
        known = column[learned & ~np.isnan(column)]
        edges: npt.NDArray[Any] = (
            np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.zeros(0)
        )
        place = np.where(np.isnan(column), BINS, np.searchsorted(edges, column, side="right"))
        bad = np.bincount(place[learned & fraud], minlength=BINS + 1) + SMOOTHING
        good = np.bincount(place[learned & ~fraud], minlength=BINS + 1) + SMOOTHING
        total += np.log((bad / bad.sum()) / (good / good.sum()))[place]
    return total
