"""Why a decision came out as it did: the inputs that weighed most, with the customer's own normal beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.core.columns import unpack_code
from stream.core.features import FEATURES, INDEX, MODEL_COLUMNS, Feature

_MODEL = np.array(MODEL_COLUMNS)
MOST = 8
LEAST_MILLI = 50
"""Contributions smaller than this (log-odds x 1000) explain nothing."""


class EvidenceEntry(TypedDict):
    """One entry of a decision's evidence."""

    feature: str
    value: str
    normal: str | None
    contribution_milli: int


def evidence(
    features: npt.NDArray[np.float64], contributions: npt.NDArray[np.int32], rules: Sequence[Mapping[str, int]]
) -> list[list[EvidenceEntry]]:
    """What weighed most in each transaction, largest first, ties in the table's order.

    Parameters
    ----------
    features : float64[k, WIDTH]
        All features of the transactions.
    contributions : int32[k, M]
        Log-odds x 1000 of each model input.
    rules
        Log-odds x 1000 that fired rules add, by the feature that shows it; one a transaction.
    """
    weights = np.zeros((len(features), len(FEATURES)), np.int64)
    weights[:, _MODEL] = contributions
    for row, by_feature in enumerate(rules):
        for name, milli in by_feature.items():
            weights[row, INDEX[name]] += milli
    order = np.full((len(features), MOST), -1)
    weightiest(weights, LEAST_MILLI, order)
    return [
        [entry(row, FEATURES[position], milli) for position, milli in zip(places, millis, strict=True) if position >= 0]
        for row, places, millis in zip(
            features.tolist(), order.tolist(), np.take_along_axis(weights, order, axis=1).tolist(), strict=True
        )
    ]


@njit(cache=True, nogil=True)
def weightiest(weights: Any, least: Any, order: Any) -> None:
    """Columns of each row's largest absolute weights into ``order``, largest first, the first of equal ones first.

    Parameters
    ----------
    weights : int64[k, n]
    least
        Smaller ones count for nothing.
    order : int64[k, m]
        Holds -1, and keeps it where there are fewer.

    >>> order = np.full((1, 3), -1)
    >>> weightiest(np.array([[7, -90, 60, 90]]), 50, order)
    >>> order.tolist()
    [[1, 3, 2]]
    """
    most = order.shape[1]
    for i in range(weights.shape[0]):
        found = 0
        for column in range(weights.shape[1]):
            weight = abs(weights[i, column])
            if weight < least or (found == most and weight <= abs(weights[i, order[i, most - 1]])):
                continue
            place = min(found, most - 1)
            while place > 0 and abs(weights[i, order[i, place - 1]]) < weight:
                order[i, place] = order[i, place - 1]
                place -= 1
            order[i, place] = column
            found = min(found + 1, most)


def entry(row: Sequence[float], feature: Feature, contribution_milli: int) -> EvidenceEntry:
    """One feature of a transaction, all of whose features are given, as evidence."""
    return {
        "feature": feature.name,
        "value": shown(feature, row[INDEX[feature.name]]),
        "normal": _normal(row, feature),
        "contribution_milli": contribution_milli,
    }


def shown(feature: Feature, value: float) -> str:
    """A feature's value as text; numbers to three significant digits.

    >>> shown(FEATURES[INDEX["amount_to_mean"]], 4.2371), shown(FEATURES[INDEX["channel"]], 1.0)
    ('4.24', 'app')
    """
    if math.isnan(value):
        return "unknown"
    if feature.kind == "bool":
        return "true" if value else "false"
    if feature.kind == "enum":
        return feature.values[int(value)]
    if feature.kind == "code":
        return unpack_code(int(value))
    if feature.kind == "int" or abs(value) >= 1000.0:
        return str(round(value))
    return format(value + 0.0 if value else 0.0, ".3g")  # never "-0"


def _normal(row: Sequence[float], feature: Feature) -> str | None:
    """What would have been ordinary for this customer, where the row knows it."""
    ratio = _RATIO_TO.get(feature.name)
    if ratio is not None:
        over, amount = row[INDEX[ratio]], row[INDEX["amount_minor"]]
        return None if math.isnan(over) else str(round(amount / over))
    return _ORDINARY.get(feature.name)


_RATIO_TO = {"amount_minor": "amount_to_mean"}
_ORDINARY = {
    "amount_to_mean": "1",
    "amount_to_max": "1",
    "amount_to_pair_mean": "1",
    "amount_to_pair_max": "1",
    "amount_to_payee_mean": "1",
    "recent_amount_to_mean": "1",
    "outflow_share": "1",
    "amount_deviation": "0",
    "device_new": "false",
    "country_new": "false",
    "abroad": "false",
    "cross_border": "false",
    "account_frauds": "0",
    "payee_frauds_week": "0",
    "payee_frauds_month": "0",
    "failed_checks": "0",
}
"""Ordinary values that are the same for everybody: a ratio to one's own habit is ordinarily 1."""
