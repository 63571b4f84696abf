"""The customer row: what one person does through several accounts, so that nobody is asked twice for the same thing.

Kept only for a customer with several accounts; until then the account is the customer, its row says which, and nothing is
paid for it. When another account comes, the customer row begins with what the first one knows. It knows the customer's
devices, the payees that any of the accounts knows, what was cleared through any of them, and velocities over all. The
account row stays what it is; where both know something, the features take whichever knows more.

Amounts are in the reference currency of the rates, as in account rows, so that accounts of different currencies are
compared; when that changes they are forgotten, and copied anew from the accounts. What an entry says of a payee is copied from the account's pair when the account
pays it again, so it lags by one payment; a confirmed fraud empties it at once.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from detectors.elementary import exp
from stream.core.account.account_row import ADVERSE_PAIR, DAY_US, PAIRS, find, whole_seconds
from stream.core.account.account_row import DEVICES as ACCOUNT_DEVICES
from stream.core.features import INDEX

SCHEMA_VERSION = 3
PAYEES = 24
DEVICES = 6
CLEARED = 4
PAYEE_BITS = np.uint64((1 << 48) - 1)

CUSTOMER_ROW = np.dtype(
    [
        ("schema", "u2"),
        ("cleared_next", "u1"),
        ("reserved", "u1"),
        ("unit", "u2"),  # packed currency of its amounts
        ("key", "S64"),
        ("attempts", "u4"),
        # decayed to window_time
        ("window_time", "i8"),  # µs
        ("counts", "f8", (2,)),  # hour, day
        ("new_payees_day", "f8"),
        ("slips_month", "f8"),
        ("failed_week", "f8"),
        ("device_hash", "u8", (DEVICES,)),
        ("device_first", "u4", (DEVICES,)),  # s
        ("device_last", "u4", (DEVICES,)),  # s
        ("device_change", "i8"),  # µs, 0 never
        ("pair_payee", "u8", (PAYEES,)),  # PAYEE_BITS of the hash, as many as an account row has
        ("pair_first", "u4", (PAYEES,)),  # s
        ("pair_last", "u4", (PAYEES,)),  # s
        ("pair_max", "f8", (PAYEES,)),  # minor units, matured; 0 while no amount is known
        ("pair_matured", "u2", (PAYEES,)),
        ("cleared_payee", "u8", (CLEARED,)),
        ("cleared_until", "u4", (CLEARED,)),  # s
        ("cleared_max", "f8", (CLEARED,)),  # minor units
    ]
)
"""One customer with several accounts. Packed; a change of layout raises :data:`SCHEMA_VERSION`."""

_COUNT_HOUR, _COUNT_DAY = INDEX["customer_count_hour"], INDEX["customer_count_day"]
_NEW_PAYEES = INDEX["customer_new_payees_day"]
_PAYMENTS, _AGE = INDEX["customer_pair_payments"], INDEX["customer_pair_age_days"]
_IDLE, _TO_MAX = INDEX["customer_pair_idle_days"], INDEX["amount_to_customer_pair_max"]
_OWN = tuple(
    INDEX[name]
    for name in (
        "count_hour", "count_day", "new_payees_day", "pair_payments", "pair_age_days", "pair_idle_days",
        "amount_to_pair_max",
    )
)  # fmt: skip
_OWN_HOUR, _OWN_DAY, _OWN_NEW, _OWN_PAYMENTS, _OWN_AGE, _OWN_IDLE, _OWN_TO_MAX = _OWN
_CLEARED, _SLIPS, _FAILED = INDEX["pair_cleared"], INDEX["slips_recent"], INDEX["failed_checks"]
_DEVICE_NEW, _DEVICE_AGE, _DEVICE_CHANGE = INDEX["device_new"], INDEX["device_age_days"], INDEX["device_change_days"]


@njit(cache=True, nogil=True)
def fill_own(out: Any) -> None:
    """Without a customer row the account is the customer."""
    out[_COUNT_HOUR] = out[_OWN_HOUR]
    out[_COUNT_DAY] = out[_OWN_DAY]
    out[_NEW_PAYEES] = out[_OWN_NEW]
    out[_PAYMENTS] = out[_OWN_PAYMENTS]
    out[_AGE] = out[_OWN_AGE]
    out[_IDLE] = out[_OWN_IDLE]
    out[_TO_MAX] = out[_OWN_TO_MAX]


@njit(cache=True, nogil=True)
def knows_device(customer: Any, device: Any) -> bool:
    """Whether the device was seen on any account of the customer."""
    return find(customer["device_hash"], device) >= 0


@njit(cache=True, nogil=True)
def fill_customer(transaction: Any, customer: Any, amount: Any, out: Any) -> None:
    """Features over all accounts, and what the account alone would ask twice."""
    time_us = transaction["event_time"]
    _advance(customer, time_us)
    payee = transaction["payee_hash"]
    pair = find(customer["pair_payee"], payee & PAYEE_BITS)
    out[_COUNT_HOUR] = max(customer["counts"][0] + 1.0, out[_OWN_HOUR])
    out[_COUNT_DAY] = max(customer["counts"][1] + 1.0, out[_OWN_DAY])
    new = 1.0 if payee != 0 and pair < 0 else 0.0
    out[_NEW_PAYEES] = max(customer["new_payees_day"] + new, out[_OWN_NEW])
    out[_SLIPS] = max(out[_SLIPS], customer["slips_month"])
    out[_FAILED] = max(out[_FAILED], customer["failed_week"])
    _fill_device(transaction, customer, out)
    if pair >= 0:
        _fill_pair(transaction, customer, pair, amount, out)


@njit(cache=True, nogil=True)
def _fill_device(transaction: Any, customer: Any, out: Any) -> None:
    """A device known from another account of the customer is not a new one."""
    position = find(customer["device_hash"], transaction["device_hash"])
    if position < 0 or out[_DEVICE_NEW] == 0.0:
        return
    out[_DEVICE_NEW] = 0.0
    out[_DEVICE_AGE] = _days(customer["device_first"][position], transaction["event_time"] // 1_000_000)
    change = customer["device_change"]
    out[_DEVICE_CHANGE] = math.nan if change == 0 else max(transaction["event_time"] - change, 0) / DAY_US


@njit(cache=True, nogil=True)
def _fill_pair(transaction: Any, customer: Any, pair: Any, amount: Any, out: Any) -> None:
    """What any account knows of the payee, where that is more than this one knows."""
    seconds = whole_seconds(transaction["event_time"])
    cleared = find(customer["cleared_payee"], transaction["payee_hash"])
    in_time = cleared >= 0 and seconds <= np.int64(customer["cleared_until"][cleared])
    if in_time and amount <= customer["cleared_max"][cleared]:
        out[_CLEARED] = 1.0
    if np.int64(customer["pair_matured"][pair]) < out[_OWN_PAYMENTS]:
        return
    out[_PAYMENTS] = np.int64(customer["pair_matured"][pair])
    out[_AGE] = _days(customer["pair_first"][pair], seconds)
    out[_IDLE] = _days(customer["pair_last"][pair], seconds)
    most = customer["pair_max"][pair]
    out[_TO_MAX] = (1.0 + amount) / (1.0 + most) if most > 0.0 else math.nan


@njit(cache=True, nogil=True)
def _days(then_s: Any, now_s: Any) -> Any:
    """Days between two times in seconds, never negative."""
    return max(now_s - np.int64(then_s), 0) / 86_400.0


@njit(cache=True, nogil=True)
def record_customer(transaction: Any, row: Any, pair: Any, customer: Any) -> None:
    """Count the attempt, and copy what the account knows of the payee (``pair`` in its row before this payment, or -1)."""
    time_us = transaction["event_time"]
    behind = max(customer["window_time"] - time_us, 0) / DAY_US
    customer["counts"][0] += exp(-24.0 * behind) if behind > 0.0 else 1.0
    customer["counts"][1] += exp(-behind) if behind > 0.0 else 1.0
    customer["attempts"] = np.int64(customer["attempts"]) + 1
    customer["slips_month"] += transaction["slip_count"]
    _see_device(transaction, customer)
    payee = transaction["payee_hash"]
    if payee == 0:
        return
    seconds = whole_seconds(time_us)
    place = find(customer["pair_payee"], payee & PAYEE_BITS)
    if place < 0:
        customer["new_payees_day"] += 1.0
        place = _claim(customer, payee & PAYEE_BITS, seconds)
    customer["pair_last"][place] = max(np.int64(customer["pair_last"][place]), seconds)
    marked = pair >= 0 and np.int64(row["pair_marks"][pair]) & ADVERSE_PAIR != 0
    if pair >= 0 and row["pair_matured"][pair] > 0 and not marked:
        customer["pair_first"][place] = min(np.int64(customer["pair_first"][place]), np.int64(row["pair_first"][pair]))
        matured = max(np.int64(customer["pair_matured"][place]), np.int64(row["pair_matured"][pair]))
        customer["pair_matured"][place] = matured
        customer["pair_max"][place] = max(customer["pair_max"][place], np.float64(row["pair_max"][pair]))


@njit(cache=True, nogil=True)
def customer_fraud(customer: Any, payee: Any) -> None:
    """A confirmed fraud: the payee is nobody's familiar any more, and nothing about it is cleared."""
    place = find(customer["pair_payee"], payee & PAYEE_BITS)
    if place >= 0:
        customer["pair_matured"][place] = 0
        customer["pair_max"][place] = 0.0
    cleared = find(customer["cleared_payee"], payee)
    if cleared >= 0:
        customer["cleared_until"][cleared] = 0


@njit(cache=True, nogil=True)
def customer_failed(customer: Any, time_us: Any) -> None:
    """A failed challenge on any account."""
    _advance(customer, min(time_us, customer["window_time"]))
    customer["failed_week"] += 1.0


@njit(cache=True, nogil=True)
def customer_recovered(customer: Any) -> None:
    """A failed challenge was taken back: what is left of its count, at most one, is."""
    customer["failed_week"] = max(customer["failed_week"] - 1.0, 0.0)


@njit(cache=True, nogil=True)
def customer_reversed(customer: Any, payee: Any, before: Any) -> None:
    """One payment less to a payee, where the count was the reversing account's (``before``) and not another's larger one."""
    place = find(customer["pair_payee"], payee & PAYEE_BITS)
    if place >= 0 and before > 0 and customer["pair_matured"][place] == before:
        customer["pair_matured"][place] = before - 1
        if before == 1:
            customer["pair_max"][place] = 0.0


@njit(cache=True, nogil=True)
def begin_customer(customers: Any, slot: Any, rows: Any, account: Any, horizon: Any) -> None:
    """A new customer row takes over what the customer's first account knows; it begins no further back than the horizon
    (µs), before which it would be forgotten at once."""
    customer, row = customers[slot], rows[account]
    customer["attempts"] = row["attempts"]
    customer["unit"] = row["unit"]
    customer["window_time"] = row["last_seen"]
    customer["counts"][0] = row["counts"][0]
    customer["counts"][1] = row["counts"][1]
    customer["new_payees_day"] = row["new_payees_day"]
    customer["slips_month"] = row["slips_month"]
    customer["failed_week"] = row["failed_week"]
    for i in range(ACCOUNT_DEVICES):
        customer["device_hash"][i] = row["device_hash"][i]
        customer["device_first"][i] = row["device_first"][i]
        customer["device_last"][i] = row["device_last"][i]
    customer["device_change"] = row["device_change"]
    for i in range(CLEARED):
        customer["cleared_payee"][i] = row["cleared_payee"][i]
        customer["cleared_until"][i] = row["cleared_until"][i]
        customer["cleared_max"][i] = row["cleared_max"][i]
    customer["cleared_next"] = row["cleared_next"]
    for pair in range(PAIRS):
        _take_pair(customer, row, pair)
    _advance(customer, horizon)


@njit(cache=True, nogil=True)
def _take_pair(customer: Any, row: Any, pair: Any) -> None:
    """Copy a payee that an account knows, unless all that are known already are more familiar."""
    payee = np.uint64(row["pair_low"][pair]) | (np.uint64(row["pair_high"][pair]) << np.uint64(32))
    if payee == 0:
        return
    adverse = np.int64(row["pair_marks"][pair]) & ADVERSE_PAIR
    matured, last = np.int64(row["pair_matured"][pair]) * (1 - adverse), np.int64(row["pair_last"][pair])
    place = _weakest(customer)
    if customer["pair_payee"][place] != 0 and _rank(customer, place) >= 1.0e10 * matured + last:
        return
    customer["pair_payee"][place] = payee
    customer["pair_first"][place] = row["pair_first"][pair]
    customer["pair_last"][place] = last
    customer["pair_max"][place] = row["pair_max"][pair] if matured > 0 else 0.0
    customer["pair_matured"][place] = matured


@njit(cache=True, nogil=True)
def take_customer_unit(customer: Any, reference: Any) -> None:
    """Amounts in another currency than the reference (packed) are forgotten."""
    if customer["unit"] == reference:
        return
    customer["unit"] = reference
    for i in range(PAYEES):
        customer["pair_max"][i] = 0.0
    for i in range(CLEARED):
        customer["cleared_max"][i] = 0.0


@njit(cache=True, nogil=True)
def _advance(customer: Any, time_us: Any) -> None:
    """Decay the windows to ``time_us``; a time that lies behind leaves them as they are."""
    elapsed = time_us - customer["window_time"]
    if elapsed <= 0:
        return
    days = elapsed / DAY_US
    customer["window_time"] = time_us
    day = exp(-days)
    customer["counts"][0] *= exp(-24.0 * days)
    customer["counts"][1] *= day
    customer["new_payees_day"] *= day
    customer["failed_week"] *= exp(-days / 7.0)
    customer["slips_month"] *= exp(-days / 30.0)


@njit(cache=True, nogil=True)
def _see_device(transaction: Any, customer: Any) -> None:
    """Remember a device; the one unused for longest makes room."""
    device = transaction["device_hash"]
    if device == 0:
        return
    seconds = whole_seconds(transaction["event_time"])
    position = find(customer["device_hash"], device)
    if position < 0:
        if customer["device_hash"][0] != 0:
            customer["device_change"] = transaction["event_time"]
        position = 0
        for i in range(DEVICES):
            if customer["device_hash"][i] == 0:
                position = i
                break
            if customer["device_last"][i] < customer["device_last"][position]:
                position = i
        customer["device_hash"][position] = device
        customer["device_first"][position] = seconds
    customer["device_last"][position] = seconds


@njit(cache=True, nogil=True)
def _rank(customer: Any, place: Any) -> float:
    """How familiar a known payee is."""
    return 1.0e10 * np.int64(customer["pair_matured"][place]) + np.int64(customer["pair_last"][place])


@njit(cache=True, nogil=True)
def _weakest(customer: Any) -> int:
    """An empty place, else that of the least familiar payee."""
    weakest, weakest_rank = 0, 1.0e300
    for candidate in range(PAYEES):
        if customer["pair_payee"][candidate] == 0:
            return candidate
        rank = _rank(customer, candidate)
        if rank < weakest_rank:
            weakest, weakest_rank = candidate, rank
    return weakest


@njit(cache=True, nogil=True)
def _claim(customer: Any, payee: Any, seconds: Any) -> int:
    """A place for a new payee."""
    weakest = _weakest(customer)
    customer["pair_payee"][weakest] = payee
    customer["pair_first"][weakest] = seconds
    customer["pair_last"][weakest] = seconds
    customer["pair_max"][weakest] = 0.0
    customer["pair_matured"][weakest] = 0
    return weakest
