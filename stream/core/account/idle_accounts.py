"""Which rows of the first hop are forgotten at a horizon (:mod:`stream.core.table.forgetting`), and what they forget by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.core.account.account_row import ADVERSE_PAIR, PAIRS, RECENT, whole_seconds
from stream.core.account.customer import PAYEES
from stream.core.account.feedback_row import TAKEN_BACK
from stream.core.table.forgetting import AFTER_ALL

_FRAUD = 1


@njit(cache=True, nogil=True)
def last_met(row: Any) -> int:
    """When an account was last met, µs: by an attempt; where there was none, by a reversal; a row that has just begun,
    after all times."""
    if row["attempts"] > 0:
        return row["last_seen"]  # type: ignore[no-any-return]
    latest = np.int64(0)
    for entry in range(RECENT):
        latest = max(latest, np.int64(row["recent_time"][entry]))
    return latest * 1_000_000 if latest > 0 else AFTER_ALL  # type: ignore[return-value]


@njit(cache=True, nogil=True)
def remembers_fraud(row: Any) -> bool:
    """Whether an account row does."""
    found = row["fraud_last"] != 0 or row["fraud_episode"] != 0
    for pair in range(PAIRS):
        found = found or row["pair_marks"][pair] & ADVERSE_PAIR != 0
    return found  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def is_idle_account(row: Any, horizon: Any) -> bool:
    """Whether an account row is forgotten at a horizon (µs)."""
    return last_met(row) < horizon and not remembers_fraud(row)


@njit(cache=True, nogil=True)
def forget_account_pairs(row: Any, horizon: Any) -> None:
    """Empty the places of payees that an account last paid before the horizon (µs)."""
    if row["first_seen"] >= horizon:
        return
    seconds = whole_seconds(horizon)
    for pair in range(PAIRS):
        if row["pair_last"][pair] >= seconds or row["pair_last"][pair] == 0 or row["pair_marks"][pair] & ADVERSE_PAIR:
            continue
        row["pair_low"][pair] = 0
        row["pair_high"][pair] = 0
        row["pair_first"][pair] = 0
        row["pair_last"][pair] = 0
        row["pair_attempts"][pair] = 0
        row["pair_matured"][pair] = 0
        row["pair_mean"][pair] = 0.0
        row["pair_max"][pair] = 0.0
        row["pair_marks"][pair] = 0


@njit(cache=True, nogil=True)
def forget_customer_pairs(customer: Any, horizon: Any) -> None:
    """The same for a customer."""
    seconds = whole_seconds(horizon)
    for pair in range(PAYEES):
        if customer["pair_last"][pair] >= seconds or customer["pair_last"][pair] == 0:
            continue
        customer["pair_payee"][pair] = 0
        customer["pair_first"][pair] = 0
        customer["pair_last"][pair] = 0
        customer["pair_max"][pair] = 0.0
        customer["pair_matured"][pair] = 0


def idle_accounts(rows: npt.NDArray[np.void], horizon: int) -> npt.NDArray[np.bool_]:
    """Which account rows are forgotten, bool[n]: :func:`is_idle_account` of each."""
    idle = np.zeros(len(rows), np.bool_)
    _find_idle_accounts(rows, horizon, idle)
    return idle


@njit(cache=True, nogil=True)
def _find_idle_accounts(rows: Any, horizon: Any, out: Any) -> None:
    for i in range(rows.shape[0]):
        out[i] = is_idle_account(rows[i], horizon)


def idle_customers(rows: npt.NDArray[np.void], horizon: int) -> npt.NDArray[np.bool_]:
    """Which customer rows are forgotten, bool[n]."""
    idle: npt.NDArray[np.bool_] = rows["window_time"] < horizon
    return idle


def idle_feedback(rows: npt.NDArray[np.void], horizon: int) -> npt.NDArray[np.bool_]:
    """Of which accounts it is forgotten what they were told, bool[n]: all of it, and no fraud among it."""
    idle: npt.NDArray[np.bool_] = (rows["touched"].astype(np.int64) * 1_000_000 < horizon) & (
        rows["feedback"] != 0
    ).any(axis=1)
    some = np.flatnonzero(idle)
    found = rows[some]
    fraud = (found["feedback"] != 0) & (found["verdict"] == _FRAUD) & (found["state"] != TAKEN_BACK)
    idle[some] = ~fraud.any(axis=1)
    return idle
