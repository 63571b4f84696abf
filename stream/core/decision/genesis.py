"""The first model: what is believed before any label, in log-odds over the feature table."""

from __future__ import annotations

from detectors.ensemble import Input, Snapshot, genesis
from detectors.inputs import Unusual
from stream.core.columns import SCENARIOS
from stream.core.features import FEATURES, MODEL_COLUMNS

UNUSUAL: dict[str, Unusual] = {
    # more than this account, this payee is used to
    **dict.fromkeys(("amount_to_mean", "amount_deviation", "amount_to_max", "outflow_share", "count_hour"), "high"),
    **dict.fromkeys(("device_new", "country_new", "new_payees_day", "amount_to_payee_mean"), "high"),
    # less known, at another hour, through another channel than usual
    **dict.fromkeys(("pair_attempts", "pair_age_days", "payee_age_days", "device_age_days"), "low"),
    **dict.fromkeys(("hour_share", "channel_share"), "low"),
}
"""Where the anomaly model looks, and on which side of the usual: what is odd about the payment itself. History that any
busy account has (sums, months) and what labels tell are left out: rows that are rare there are rare for harmless reasons."""
INPUTS: tuple[Input, ...] = tuple(
    Input(FEATURES[c].name, FEATURES[c].scale, UNUSUAL.get(FEATURES[c].name, "no"))  # type: ignore[arg-type]
    for c in MODEL_COLUMNS
)
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
