"""The first model: what is believed before any label, in log-odds over the feature table."""

from __future__ import annotations

from detectors.ensemble import Input, Snapshot, genesis
from stream.core.columns import SCENARIOS
from stream.core.features import FEATURES, MODEL_COLUMNS

INPUTS: tuple[Input, ...] = tuple(Input(FEATURES[c].name, FEATURES[c].scale) for c in MODEL_COLUMNS)  # type: ignore[arg-type]
INTERCEPT = -7.6
"""Log-odds of fraud of a payment about which nothing is known: about 1 in 2,000."""
PRIOR: dict[str, float] = {
    "amount_deviation": 0.25,
    "device_new": 0.8,
    "country_new": 0.6,
    "new_payees_day": 0.4,
    "outflow_share": 0.15,
    "failed_checks": 0.5,
    "account_frauds": 1.0,
    "payee_frauds_week": 1.0,
    "payee_frauds_month": 0.6,
    "payee_strangers_day": 0.1,
    "pair_adverse": 1.0,
    "pair_payments": -0.3,
    "pair_attempts": -0.2,
}
"""Weights over transformed inputs (``detectors.inputs``): mild on purpose; rules speak until labels do."""


def first_snapshot(seed: int) -> Snapshot:
    """The model of an installation that has seen no label.

    >>> first_snapshot(42).version == first_snapshot(42).version
    True
    """
    return genesis(INPUTS, PRIOR, INTERCEPT, SCENARIOS, seed)
