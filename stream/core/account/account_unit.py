"""The unit of an account row's amounts, and what happens when it changes.

Rows hold amounts in the reference currency of the rates they are walked with. A row of another unit (another reference
currency, or a row of schema 3, whose amounts are in the account's own) is converted by the rate of the payment that finds it
so; where there is none, its amounts are forgotten: what cannot be compared must not be.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from detectors.elementary import log
from rules.exchange_rates import MOST_MINOR, find_factor
from stream.core.account.account_row import CLEARED, DAY_BINS, MOST_SUM, PAIRS, RECENT, UNKNOWN_AMOUNT


@njit(cache=True, nogil=True)
def take_unit(row: Any, rates: Any, time_us: Any) -> None:
    """Bring the row's amounts into the reference currency of ``rates`` (:class:`rules.exchange_rates.RateArrays`)."""
    if row["unit"] == rates.reference:
        return
    if row["attempts"] > 0:
        factor = find_factor(float(row["unit"]), time_us, rates.codes, rates.factors, rates.starts)
        if math.isnan(factor):
            _forget_amounts(row)
        else:
            _convert_amounts(row, factor)
    row["unit"] = rates.reference


@njit(cache=True, nogil=True)
def _whole(amount: Any, factor: Any) -> Any:
    """A whole amount in the new unit; what is not known, or nothing, stays so."""
    return min(max(np.rint(amount * factor), 1.0), MOST_MINOR) if amount > 0.0 else amount


@njit(cache=True, nogil=True)
def _convert_amounts(row: Any, factor: Any) -> None:
    for i in range(4):
        row["sums"][i] *= factor
    for i in range(3):
        row["last_amounts"][i] = _whole(row["last_amounts"][i], factor)
    row["normal_mean"] = max(row["normal_mean"] + log(factor), 0.0)
    row["normal_max"] *= factor
    row["normal_sum"] *= factor
    for i in range(PAIRS):
        if row["pair_max"][i] > 0.0:
            row["pair_mean"][i] = max(np.float64(row["pair_mean"][i]) + log(factor), 0.0)
            row["pair_max"][i] = max(np.float64(row["pair_max"][i]) * factor, 1.0)
    for i in range(CLEARED):
        row["cleared_max"][i] *= factor
    for i in range(RECENT):
        row["recent_amount"][i] = _whole(row["recent_amount"][i], factor)
    for i in range(DAY_BINS):
        row["day_sums"][i] = np.int64(min(np.rint(row["day_sums"][i] * factor), MOST_SUM))
    row["unauthenticated_sum"] = np.int64(min(np.rint(row["unauthenticated_sum"] * factor), MOST_SUM))


@njit(cache=True, nogil=True)
def _forget_amounts(row: Any) -> None:
    row["normal_count"] = 0
    row["large_week"] = 0.0
    for i in range(4):
        row["sums"][i] = 0.0
    for i in range(3):
        row["last_amounts"][i] = 0.0
    for i in range(PAIRS):
        row["pair_mean"][i] = 0.0
        row["pair_max"][i] = 0.0
    for i in range(CLEARED):
        row["cleared_max"][i] = 0.0
    for i in range(RECENT):
        if row["recent_amount"][i] > 0.0:
            row["recent_amount"][i] = UNKNOWN_AMOUNT
    for i in range(DAY_BINS):
        if row["day_sums"][i] > 0:
            row["day_sums"][i] = 0
            row["day_unknown"] |= 1 << i
    if row["unauthenticated_sum"] > 0:
        row["unauthenticated_sum"] = 0
        row["unauthenticated_unknown"] = 1
