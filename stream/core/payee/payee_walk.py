"""The payee loop: walk profiled payments in order, fill the payee's features, then count the payment.

The second keyed hop. A payee (a person, a shop's terminal, a mule) gathers payments of many accounts: fan-in from
strangers, a dormant account that wakes, confirmed frauds as their labels arrive. Rows are fixed-size structs
(``payee_row.py``), walked by one compiled loop in the order of ``risk.profiled.v1``; they depend on nothing but that
order.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from detectors.elementary import exp, log
from stream.core.account.account_outcomes import FRAUD
from stream.core.account.account_row import DAY_US, whole_seconds
from stream.core.account.feedback_row import without
from stream.core.features import ACCOUNT_WIDTH, INDEX, WIDTH
from stream.core.payee.payee_row import (
    BUCKETS,
    LABELS,
    busy_payers_of,
    count_busy_payer,
    count_busy_payment,
    count_payer,
    count_payment,
    outgrown,
    payers_of,
    payments_of,
    turn,
    turn_busy,
)

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
F_PAIR_ATTEMPTS = INDEX["pair_attempts"]


@njit(cache=True, nogil=True)
def _advance(row: Any, busy: Any, is_busy: Any, time_us: Any) -> None:
    """Decay the payee's windows to the ``time_us`` of a payment, which then becomes the time last seen; a time that lies
    behind leaves them as they are."""
    elapsed = time_us - row["last_seen"]
    if elapsed <= 0:
        return
    days = elapsed / DAY_US
    day, week, month = exp(-days), exp(-days / 7.0), exp(-days / 30.0)
    row["count_hour"] *= exp(-24.0 * days)
    row["count_day"] *= day
    row["count_week"] *= week
    row["count_month"] *= month
    row["inflow_day"] *= day
    row["strangers_day"] *= day
    row["strangers_week"] *= week
    if is_busy:
        busy["frauds_week"] *= week
        busy["frauds_month"] *= month


@njit(cache=True, nogil=True)
def _fill_rates(row: Any, busy: Any, is_busy: Any, latest_day: Any, last_day: Any, out: Any) -> None:
    """Fraud rates over the days up to ``last_day``, the newest one whose payments have matured."""
    out[P_RATE_DAY] = MATURED_PRIOR_FRAUDS
    out[P_RATE_WEEK] = MATURED_PRIOR_FRAUDS
    out[P_RATE_MONTH] = MATURED_PRIOR_FRAUDS
    if not is_busy and row["first_seen"] // DAY_US > last_day:
        return
    frauds, payments, rate = 0.0, 0.0, 0.0
    oldest = max(latest_day - BUCKETS + 1, 0)
    for back in range(28):
        day = last_day - back
        if oldest <= day <= latest_day:
            if is_busy:
                frauds += np.float64(busy["day_frauds"][day % BUCKETS])
                payments += np.float64(busy["day_payments"][day % BUCKETS])
            else:
                payments += np.float64(payments_of(row, day))
        rate = (frauds + MATURED_PRIOR_FRAUDS) / (payments + 1.0)
        if back == 1:
            out[P_RATE_DAY] = rate
        if back == 6:
            out[P_RATE_WEEK] = rate
    out[P_RATE_MONTH] = rate


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
    out[P_INFLOW] = row["inflow_day"] + (0.0 if math.isnan(amount) else amount)
    out[P_STRANGER_SHARE] = (row["strangers_week"] + stranger) / (row["count_week"] + 1.0)
    out[P_STRANGERS] = row["strangers_day"] + stranger
    out[P_DORMANT] = max(time_us - row["last_seen"], 0) / DAY_US if known else math.nan
    out[P_TO_MEAN] = (1.0 + amount) / exp(row["mean"]) if row["amounts"] > 0 else math.nan


@njit(cache=True, nogil=True)
def _fill_frauds(row: Any, busy: Any, is_busy: Any, time_us: Any, out: Any) -> None:
    """Confirmed frauds as they stand before this payment."""
    week, month, last, episode = 0.0, 0.0, 0, 0
    if is_busy:
        week, month = busy["frauds_week"], busy["frauds_month"]
        last, episode = busy["fraud_last"], busy["fraud_episode"]
    out[P_FRAUDS_WEEK] = week
    out[P_FRAUDS_MONTH] = month
    out[P_FRAUD_RATE] = (month + RATE_PRIOR_FRAUDS) / (row["count_month"] + RATE_PRIOR_PAYMENTS)
    out[P_FRAUD_DAYS] = _days(last, time_us)
    out[P_EPISODE_DAYS] = _days(episode, time_us)


@njit(cache=True, nogil=True)
def _record(row: Any, time_us: Any, amount: Any, stranger: Any) -> None:
    """Count the payment."""
    row["count_hour"] += 1.0
    row["count_day"] += 1.0
    row["count_week"] += 1.0
    row["count_month"] += 1.0
    row["strangers_day"] += stranger
    row["strangers_week"] += stranger
    if not math.isnan(amount):
        row["inflow_day"] += amount
        logarithm = log(1.0 + amount)
        amounts = np.int64(row["amounts"])
        row["mean"] = logarithm if amounts == 0 else row["mean"] + (logarithm - row["mean"]) / min(amounts + 1, 100)
        row["amounts"] = min(amounts + 1, 4_294_967_295)
    if row["payments"] == 0:
        row["first_seen"] = time_us
        row["last_seen"] = time_us
    else:
        row["first_seen"] = min(row["first_seen"], time_us)
        row["last_seen"] = max(row["last_seen"], time_us)
    row["payments"] = min(np.int64(row["payments"]) + 1, 4_294_967_295)


@njit(cache=True, nogil=True)
def receive(
    rows: Any,
    busy_rows: Any,
    slots: Any,
    busy_slots: Any,
    transactions: Any,
    maturity_us: Any,
    features: Any,
    start: Any,
) -> int:
    """Walk profiled payments in order: features out, payee rows updated.

    Parameters
    ----------
    rows : PAYEE_ROW[capacity]
    busy_rows : BUSY_ROW[capacity, at least 1]
    slots : int64[n]
        Row of each payment's payee, -1 where there is none.
    busy_slots : int64[n]
        Its busy row, -1 where it has none.
    transactions : PROFILED[n]
    maturity_us : int
        Age at which a payment without an adverse outcome counts as genuine, µs.
    features : float64[n, WIDTH]
        Out: account columns copied, payee columns filled, those NaN that are filled when deciding.
    start : int
        Payment to begin with.

    Returns
    -------
    int
        n, or the first payment whose payee needs a busy row (``payee_row.make_busy``) before it can be taken.
    """
    for i in range(start, slots.shape[0]):
        transaction, out = transactions[i], features[i]
        _fill_beside(transaction["features"], out)
        if slots[i] < 0:
            _neutral(out)
            continue
        row, busy = rows[slots[i]], busy_rows[max(busy_slots[i], 0)]
        is_busy = busy_slots[i] >= 0
        account, time_us = transaction["account_hash"], transaction["event_time"]
        if not is_busy and outgrown(row, account, time_us):
            return i
        _take_unit(row, transaction["reference"])
        _receive_one(row, busy, is_busy, account, time_us, transaction["reference_minor"], maturity_us, out)
    return slots.shape[0]


@njit(cache=True, nogil=True)
def next_forgotten(
    rows: Any, busy_rows: Any, slots: Any, busy_slots: Any, transactions: Any, horizons: Any, start: Any
) -> int:
    """The first payment from ``start`` on, n for none, whose payee looks forgotten as it comes.

    The one at ``start`` is then to be made anew; of a later one that is known when those before it have been walked. Whoever
    they meet is no older than it was, nor, where it had no payment yet, than the oldest of them.

    Parameters
    ----------
    horizons : int64[n]
        Payees last met before it are forgotten, µs.
    others
        As of :func:`receive`.
    """
    oldest = transactions[start]["event_time"]
    for i in range(start, slots.shape[0]):
        if slots[i] >= 0:
            row, horizon = rows[slots[i]], horizons[i]
            if row["payments"] == 0:
                if i > start and oldest < horizon:
                    return i
            elif row["last_seen"] < horizon and (busy_slots[i] < 0 or not _has_fraud(busy_rows[busy_slots[i]])):
                return i
        oldest = min(oldest, transactions[i]["event_time"])
    return slots.shape[0]


@njit(cache=True, nogil=True)
def _has_fraud(busy: Any) -> bool:
    found = busy["fraud_last"] != 0 or busy["fraud_episode"] != 0
    for place in range(LABELS):
        found = found or busy["labels"][place] != 0
    return found


@njit(cache=True, nogil=True)
def _take_unit(row: Any, reference: Any) -> None:
    """Amounts in another currency than the reference (packed) are forgotten: they are learned anew within days."""
    if row["unit"] != reference:
        row["unit"] = reference
        row["inflow_day"] = 0.0
        row["amounts"] = 0


@njit(cache=True, nogil=True)
def _fill_beside(account_features: Any, out: Any) -> None:
    """All columns but the payee's."""
    for column in range(ACCOUNT_WIDTH):
        out[column] = account_features[column]
    for column in range(P_LAST, WIDTH):
        out[column] = math.nan


@njit(cache=True, nogil=True)
def _receive_one(
    row: Any, busy: Any, is_busy: Any, account: Any, time_us: Any, amount: Any, maturity_us: Any, out: Any
) -> None:
    """One payment: features as they stand before it, then the payment counted."""
    stranger = 1.0 if out[F_PAIR_ATTEMPTS] == 0.0 else 0.0
    day = time_us // DAY_US
    latest_day = max(row["last_seen"] // DAY_US, day)
    _advance(row, busy, is_busy, time_us)
    if is_busy:
        turn_busy(row, busy, time_us)
        out[P_PAYERS] = busy_payers_of(busy)
    else:
        turn(row, time_us)
        out[P_PAYERS] = payers_of(row)
    _fill_rates(row, busy, is_busy, latest_day, (time_us - maturity_us) // DAY_US, out)
    _fill(row, time_us, amount, stranger, out)
    _fill_frauds(row, busy, is_busy, time_us, out)
    if is_busy:
        count_busy_payer(busy, account)
    else:
        count_payer(row, account)
    if day > latest_day - BUCKETS:
        if is_busy:
            count_busy_payment(busy, day)
        else:
            count_payment(row, day)
    _record(row, time_us, amount, stranger)


@njit(cache=True, nogil=True)
def _place_fraud(row: Any, busy: Any, day: Any) -> None:
    """Count a confirmed fraud on the day its payment was made, as far back as the buckets reach."""
    latest_day = row["last_seen"] // DAY_US
    if latest_day - BUCKETS < day <= latest_day:
        busy["day_frauds"][day % BUCKETS] = min(np.int64(busy["day_frauds"][day % BUCKETS]) + 1, 255)


@njit(cache=True, nogil=True)
def learn_outcomes(
    rows: Any,
    busy_rows: Any,
    slots: Any,
    busy_slots: Any,
    payments: Any,
    event_times: Any,
    occurred_at: Any,
    verdicts: Any,
    takes_back: Any,
    maturity_us: Any,
) -> None:
    """Count confirmed frauds on the payees that received them; a repeated label counts once, one taken back no more.

    Parameters
    ----------
    rows : PAYEE_ROW[capacity]
    busy_rows : BUSY_ROW[capacity, at least 1]
    slots : int64[n]
        Row of the payee a record speaks of, -1 where it is not known.
    busy_slots : int64[n]
        Its busy row; whoever has a confirmed fraud has one.
    payments : uint64[n]
        Account and transaction together (``stream.core.learning.learning_records.payments_of``).
    event_times : int64[n]
        µs: when the payment was made; 0 where that is not known any more, then it is taken to have been
        ``maturity_us`` before the outcome.
    occurred_at : int64[n]
        µs: when the outcome became known.
    verdicts : uint8[n]
        Index into ``columns.VERDICTS``.
    takes_back : uint16[n]
        1: the record tells what was superseded.
    """
    for i in range(slots.shape[0]):
        if slots[i] < 0 or verdicts[i] != FRAUD or (takes_back[i] != 0 and busy_slots[i] < 0):
            continue
        row, busy = rows[slots[i]], busy_rows[busy_slots[i]]
        known = _label_of(busy, payments[i])
        if takes_back[i] != 0:
            if known >= 0:
                _take_back(row, busy, known)
        elif known < 0:
            made = event_times[i] if event_times[i] != 0 else occurred_at[i] - maturity_us
            _count_fraud(row, busy, payments[i], made // DAY_US, occurred_at[i])


@njit(cache=True, nogil=True)
def _label_of(busy: Any, payment: Any) -> int:
    for place in range(LABELS):
        if busy["labels"][place] == payment:
            return place
    return -1


@njit(cache=True, nogil=True)
def _count_fraud(row: Any, busy: Any, payment: Any, day: Any, time_us: Any) -> None:
    """One more confirmed fraud, of a payment made on ``day`` and known at ``time_us``."""
    place = np.int64(busy["labels_next"])
    busy["labels"][place] = payment
    busy["label_occurred"][place] = time_us
    busy["label_seen"][place] = whole_seconds(row["last_seen"])
    busy["label_day"][place] = min(max(day, 0), 4_294_967_295)
    busy["labels_next"] = (place + 1) % LABELS
    _place_fraud(row, busy, day)
    busy["frauds_week"] += 1.0
    busy["frauds_month"] += 1.0
    if busy["fraud_last"] == 0 or time_us - busy["fraud_last"] > EPISODE_US:
        busy["fraud_episode"] = time_us
    busy["fraud_last"] = max(busy["fraud_last"], time_us)


@njit(cache=True, nogil=True)
def _take_back(row: Any, busy: Any, place: Any) -> None:
    """A fraud that was counted is none: exactly what is left of it goes."""
    elapsed = max(whole_seconds(row["last_seen"]) - np.int64(busy["label_seen"][place]), 0)
    busy["frauds_week"] = without(busy["frauds_week"], elapsed, 7.0)
    busy["frauds_month"] = without(busy["frauds_month"], elapsed, 30.0)
    day, latest_day = np.int64(busy["label_day"][place]), row["last_seen"] // DAY_US
    if latest_day - BUCKETS < day <= latest_day:
        busy["day_frauds"][day % BUCKETS] = max(np.int64(busy["day_frauds"][day % BUCKETS]) - 1, 0)
    occurred = busy["label_occurred"][place]
    busy["labels"][place] = 0
    busy["label_occurred"][place] = 0
    last, first = np.int64(0), np.int64(0)
    for other in range(LABELS):
        at = busy["label_occurred"][other]
        last = max(last, at)
        if at != 0:
            first = at if first == 0 else min(first, at)
    if busy["fraud_last"] == occurred:
        busy["fraud_last"] = last
    if busy["fraud_episode"] == occurred or last == 0:
        busy["fraud_episode"] = first
