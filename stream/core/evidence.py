"""Why a decision came out as it did: the inputs that weighed most, with the customer's own normal beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from stream.core.columns import unpack_code
from stream.core.features import FEATURES, INDEX, MODEL_COLUMNS, Feature

_MODEL = np.array(MODEL_COLUMNS)
MOST = 8
LEAST_MILLI = 50
"""Contributions smaller than this (log-odds x 1000) explain nothing."""


class Evidence(TypedDict):
    """One entry of a decision's evidence."""

    feature: str
    value: str
    normal: str | None
    contribution_milli: int


def evidence(
    row: npt.NDArray[np.float64], contributions: npt.NDArray[np.int32], rules: Mapping[str, int]
) -> list[Evidence]:
    """What weighed most, largest first, ties in the table's order.

    Parameters
    ----------
    row : float64[WIDTH]
        All features of the transaction.
    contributions : int32[M]
        Log-odds x 1000 of each model input.
    rules
        Log-odds x 1000 that fired rules add, by the feature that shows it.
    """
    weights = np.zeros(len(FEATURES), np.int64)
    weights[_MODEL] = contributions
    for name, milli in rules.items():
        weights[INDEX[name]] += milli
    order = np.argsort(-np.abs(weights), kind="stable")[:MOST]
    return [
        entry(row, FEATURES[position], int(weights[position]))
        for position in order.tolist()
        if abs(int(weights[position])) >= LEAST_MILLI
    ]


def entry(row: npt.NDArray[np.float64], feature: Feature, contribution_milli: int) -> Evidence:
    """One feature of a transaction as evidence."""
    return {
        "feature": feature.name,
        "value": shown(feature, float(row[INDEX[feature.name]])),
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


def _normal(row: npt.NDArray[np.float64], feature: Feature) -> str | None:
    """What would have been ordinary for this customer, where the row knows it."""
    ratio = _RATIO_TO.get(feature.name)
    if ratio is not None:
        over = float(row[INDEX[ratio]])
        amount = float(row[INDEX["amount_minor"]])
        return None if math.isnan(over) else str(max(round((1.0 + amount) / over - 1.0), 0))
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
