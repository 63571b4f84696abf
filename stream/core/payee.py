"""The payee row: who pays this payee, how much, and what became of it.

The second keyed hop. A payee (a person, a shop's terminal, a mule) gathers payments of many accounts: fan-in from
strangers, a dormant account that wakes, confirmed frauds as their labels arrive. Rows are fixed-size structs, walked
by one compiled loop in the order of ``risk.profiled.v1``; they depend on nothing but that order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from stream.core.account_outcomes import FRAUD
from stream.core.account_row import DAY_US
from stream.core.features import ACCOUNT_WIDTH, INDEX

SCHEMA_VERSION = 1
PAYER_WORDS = 4
LABELS = 8
BUCKETS = 64
"""Days of payments and confirmed frauds by the day of the payment; a fraud further back is not placed any more."""

PAYEE_ROW = np.dtype(
    [
        ("schema", "u2"),
        ("labels_next", "u1"),
        ("reserved", "u1"),
        ("payments", "u4"),
        ("key", "S64"),
        ("first_seen", "i8"),  # µs
        ("last_seen", "i8"),  # µs
        ("window_time", "i8"),  # µs
        ("count_hour", "f8"),
        ("count_day", "f8"),
        ("count_week", "f8"),
        ("count_month", "f8"),
        ("inflow_day", "f8"),  # minor units
        ("strangers_day", "f8"),
        ("strangers_week", "f8"),
        ("frauds_week", "f8"),
        ("frauds_month", "f8"),
        ("fraud_last", "i8"),  # µs, 0 never
        ("fraud_episode", "i8"),  # µs, 0 none
        ("mean", "f8"),  # of ln(1 + amount)
        ("payers_week", "i8"),  # number of the week that `payers` counts
        ("payers", "u8", (PAYER_WORDS,)),  # linear-counting bitmap of this week's payers
        ("payers_before", "u8", (PAYER_WORDS,)),  # of the week before
        ("latest_day", "i4"),  # number of the newest day in the buckets
        ("day_payments", "u2", (BUCKETS,)),  # by day modulo BUCKETS
        ("day_frauds", "u1", (BUCKETS,)),
        ("labels", "u8", (LABELS,)),  # transactions whose fraud was counted, for repeated labels
    ]
)
"""One payee. Packed; a change of this layout raises :data:`SCHEMA_VERSION`."""

WEEK_US = 7 * DAY_US
EPISODE_US = 14 * DAY_US
RATE_PRIOR_FRAUDS, RATE_PRIOR_PAYMENTS = 0.005, 5.0
MATURED_PRIOR_FRAUDS = 0.01

_OFFSET = {name: position for name, position in INDEX.items() if position >= ACCOUNT_WIDTH}
P_AGE = _OFFSET["payee_age_days"]
P_COUNT_HOUR = _OFFSET["payee_count_hour"]
P_COUNT_DAY = _OFFSET["payee_count_day"]
P_COUNT_MONTH = _OFFSET["payee_count_month"]
P_INFLOW = _OFFSET["payee_inflow_day"]
P_PAYERS = _OFFSET["payee_payers"]
P_STRANGER_SHARE = _OFFSET["payee_stranger_share"]
P_STRANGERS = _OFFSET["payee_strangers_day"]
P_DORMANT = _OFFSET["payee_dormant_days"]
P_TO_MEAN = _OFFSET["amount_to_payee_mean"]
P_FRAUDS_WEEK = _OFFSET["payee_frauds_week"]
P_FRAUDS_MONTH = _OFFSET["payee_frauds_month"]
P_FRAUD_RATE = _OFFSET["payee_fraud_rate"]
P_RATE_DAY = _OFFSET["payee_rate_day"]
P_RATE_WEEK = _OFFSET["payee_rate_week"]
P_RATE_MONTH = _OFFSET["payee_rate_month"]
P_FRAUD_DAYS = _OFFSET["payee_fraud_days"]
P_EPISODE_DAYS = _OFFSET["payee_episode_days"]
P_LAST = P_EPISODE_DAYS + 1
F_AMOUNT = INDEX["amount_minor"]
F_PAIR_ATTEMPTS = INDEX["pair_attempts"]


@njit(cache=True, nogil=True)
def _advance(row: Any, time_us: Any) -> None:
    """Decay the payee's windows to ``time_us``; a time that lies behind leaves them as they are."""
    elapsed = time_us - row["window_time"]
    if elapsed <= 0:
        return
    days = elapsed / DAY_US
    row["window_time"] = time_us
    day, week, month = math.exp(-days), math.exp(-days / 7.0), math.exp(-days / 30.0)
    row["count_hour"] *= math.exp(-24.0 * days)
    row["count_day"] *= day
    row["count_week"] *= week
    row["count_month"] *= month
    row["inflow_day"] *= day
    row["strangers_day"] *= day
    row["strangers_week"] *= week
    row["frauds_week"] *= week
    row["frauds_month"] *= month


@njit(cache=True, nogil=True)
def _turn_week(row: Any, time_us: Any) -> None:
    """Start a new bitmap of payers when the week turns."""
    week = time_us // WEEK_US
    if week <= row["payers_week"]:
        return
    keep = week == row["payers_week"] + 1
    for i in range(PAYER_WORDS):
        row["payers_before"][i] = row["payers"][i] if keep else np.uint64(0)
        row["payers"][i] = np.uint64(0)
    row["payers_week"] = week


@njit(cache=True, nogil=True)
def _turn_day(row: Any, day: Any) -> None:
    """Empty the buckets of the days that have passed since the newest one."""
    newest = np.int64(row["latest_day"])
    if day <= newest:
        return
    for passed in range(max(newest + 1, day - BUCKETS + 1), day + 1):
        row["day_payments"][passed % BUCKETS] = 0
        row["day_frauds"][passed % BUCKETS] = 0
    row["latest_day"] = day


@njit(cache=True, nogil=True)
def _fill_matured(row: Any, last_day: Any, out: Any) -> None:
    """Fraud rates over the days up to ``last_day``, the newest one whose payments have matured."""
    frauds, payments = 0.0, 0.0
    oldest = max(np.int64(row["latest_day"]) - BUCKETS + 1, 0)
    for back in range(28):
        day = last_day - back
        if oldest <= day <= np.int64(row["latest_day"]):
            frauds += np.float64(row["day_frauds"][day % BUCKETS])
            payments += np.float64(row["day_payments"][day % BUCKETS])
        rate = (frauds + MATURED_PRIOR_FRAUDS) / (payments + 1.0)
        if back == 1:
            out[P_RATE_DAY] = rate
        if back == 6:
            out[P_RATE_WEEK] = rate
    out[P_RATE_MONTH] = rate


@njit(cache=True, nogil=True)
def _distinct_payers(row: Any) -> float:
    """Linear counting over both weeks' bitmaps (Whang, Vander-Zanden, Taylor 1990)."""
    bits = PAYER_WORDS * 64
    empty = 0
    for i in range(PAYER_WORDS):
        word = row["payers"][i] | row["payers_before"][i]
        for shift in range(64):
            if (word >> np.uint64(shift)) & np.uint64(1) == np.uint64(0):
                empty += 1
    return -bits * math.log(max(empty, 1) / bits)


@njit(cache=True, nogil=True)
def _days(then_us: Any, now_us: Any) -> float:
    return math.nan if then_us == 0 else max(now_us - then_us, 0) / DAY_US


@njit(cache=True, nogil=True)
def _neutral(out: Any) -> None:
    """Where there is no payee (cash): nothing known, nothing counted."""
    for i in range(ACCOUNT_WIDTH, P_LAST):
        out[i] = 0.0
    out[P_DORMANT] = math.nan
    out[P_TO_MEAN] = math.nan
    out[P_FRAUD_DAYS] = math.nan
    out[P_EPISODE_DAYS] = math.nan
    out[P_FRAUD_RATE] = RATE_PRIOR_FRAUDS / RATE_PRIOR_PAYMENTS
    out[P_RATE_DAY] = MATURED_PRIOR_FRAUDS
    out[P_RATE_WEEK] = MATURED_PRIOR_FRAUDS
    out[P_RATE_MONTH] = MATURED_PRIOR_FRAUDS


@njit(cache=True, nogil=True)
def _fill(row: Any, time_us: Any, amount: Any, stranger: Any, out: Any) -> None:
    """Features of the payee as they stand before this payment, counts with it."""
    known = row["payments"] > 0
    out[P_AGE] = max(time_us - row["first_seen"], 0) / DAY_US if known else 0.0
    out[P_COUNT_HOUR] = row["count_hour"] + 1.0
    out[P_COUNT_DAY] = row["count_day"] + 1.0
    out[P_COUNT_MONTH] = row["count_month"] + 1.0
    out[P_INFLOW] = row["inflow_day"] + amount
    out[P_PAYERS] = _distinct_payers(row)
    out[P_STRANGER_SHARE] = (row["strangers_week"] + stranger) / (row["count_week"] + 1.0)
    out[P_STRANGERS] = row["strangers_day"] + stranger
    out[P_DORMANT] = max(time_us - row["last_seen"], 0) / DAY_US if known else math.nan
    out[P_TO_MEAN] = (1.0 + amount) / math.exp(row["mean"]) if known else math.nan
    out[P_FRAUDS_WEEK] = row["frauds_week"]
    out[P_FRAUDS_MONTH] = row["frauds_month"]
    out[P_FRAUD_RATE] = (row["frauds_month"] + RATE_PRIOR_FRAUDS) / (row["count_month"] + RATE_PRIOR_PAYMENTS)
    out[P_FRAUD_DAYS] = _days(row["fraud_last"], time_us)
    out[P_EPISODE_DAYS] = _days(row["fraud_episode"], time_us)


@njit(cache=True, nogil=True)
def _record(row: Any, account: Any, time_us: Any, amount: Any, stranger: Any) -> None:
    """Count the payment."""
    row["count_hour"] += 1.0
    row["count_day"] += 1.0
    row["count_week"] += 1.0
    row["count_month"] += 1.0
    row["inflow_day"] += amount
    row["strangers_day"] += stranger
    row["strangers_week"] += stranger
    bit = account % np.uint64(PAYER_WORDS * 64)
    word = np.int64(bit // np.uint64(64))
    row["payers"][word] |= np.uint64(1) << (bit % np.uint64(64))
    logarithm = math.log(1.0 + amount)
    if row["payments"] == 0:
        row["first_seen"] = time_us
        row["last_seen"] = time_us
        row["mean"] = logarithm
    else:
        row["mean"] += (logarithm - row["mean"]) / min(np.int64(row["payments"]) + 1, 100)
        row["first_seen"] = min(row["first_seen"], time_us)
        row["last_seen"] = max(row["last_seen"], time_us)
    row["payments"] = min(np.int64(row["payments"]) + 1, 4_294_967_295)


@njit(cache=True, nogil=True)
def receive(rows: Any, slots: Any, accounts: Any, event_times: Any, maturity_us: Any, features: Any) -> None:
    """Walk profiled payments in order: payee features out, payee rows updated.

    Parameters
    ----------
    rows : PAYEE_ROW[capacity]
    slots : int64[n]
        Row of each payment's payee, -1 where there is none.
    accounts : uint64[n]
        Hash of the paying account.
    event_times : int64[n]
        µs.
    maturity_us : int
        Age at which a payment without an adverse outcome counts as genuine, µs.
    features : float64[n, WIDTH]
        Account columns filled; the payee columns are filled here.
    """
    for i in range(slots.shape[0]):
        out = features[i]
        if slots[i] < 0:
            _neutral(out)
            continue
        row = rows[slots[i]]
        time_us = event_times[i]
        amount = out[F_AMOUNT]
        stranger = 1.0 if out[F_PAIR_ATTEMPTS] == 0.0 else 0.0
        _advance(row, time_us)
        _turn_week(row, time_us)
        day = time_us // DAY_US
        _turn_day(row, day)
        _fill_matured(row, (time_us - maturity_us) // DAY_US, out)
        if day > np.int64(row["latest_day"]) - BUCKETS:
            row["day_payments"][day % BUCKETS] = min(np.int64(row["day_payments"][day % BUCKETS]) + 1, 65_535)
        _fill(row, time_us, amount, stranger, out)
        _record(row, accounts[i], time_us, amount, stranger)


@njit(cache=True, nogil=True)
def _place_fraud(row: Any, day: Any) -> None:
    """Count a confirmed fraud on the day its payment was made, as far back as the buckets reach."""
    if np.int64(row["latest_day"]) - BUCKETS < day <= np.int64(row["latest_day"]):
        row["day_frauds"][day % BUCKETS] = min(np.int64(row["day_frauds"][day % BUCKETS]) + 1, 255)


@njit(cache=True, nogil=True)
def learn_outcomes(
    rows: Any, slots: Any, transactions: Any, event_times: Any, occurred_at: Any, verdicts: Any, maturity_us: Any
) -> None:
    """Count confirmed frauds on the payees that received them; a repeated label counts once.

    Parameters
    ----------
    rows : PAYEE_ROW[capacity]
    slots : int64[n]
        Row of the payee a record speaks of, -1 where it is not known.
    transactions : uint64[n]
        Hash of the transaction.
    event_times : int64[n]
        µs: when the payment was made; 0 where that is not known any more, then it is taken to have been
        ``maturity_us`` before the outcome.
    occurred_at : int64[n]
        µs: when the outcome became known.
    verdicts : uint8[n]
        Index into ``columns.VERDICTS``.
    """
    for i in range(slots.shape[0]):
        if slots[i] < 0 or verdicts[i] != FRAUD:
            continue
        row = rows[slots[i]]
        known = False
        for j in range(LABELS):
            if row["labels"][j] == transactions[i]:
                known = True
        if known:
            continue
        position = np.int64(row["labels_next"])
        row["labels"][position] = transactions[i]
        row["labels_next"] = (position + 1) % LABELS
        time_us = occurred_at[i]
        _advance(row, min(time_us, row["last_seen"]))  # an outcome's date never runs ahead of the payee's payments
        made = event_times[i] if event_times[i] != 0 else time_us - maturity_us
        _place_fraud(row, made // DAY_US)
        row["frauds_week"] += 1.0
        row["frauds_month"] += 1.0
        if row["fraud_last"] == 0 or time_us - row["fraud_last"] > EPISODE_US:
            row["fraud_episode"] = time_us
        row["fraud_last"] = max(row["fraud_last"], time_us)
