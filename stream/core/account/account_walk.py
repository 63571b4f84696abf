"""The account loop: walk a batch in order, fill the features of each payment, then record the attempt.

An attempt counts at once in velocities; what it teaches waits until it matures (``account_maturity.py``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from detectors.elementary import exp
from rules.exchange_rates import reference_minor
from stream.core.account.account_features import (
    fill_amount,
    fill_device,
    fill_habits,
    fill_pair,
    fill_place,
    fill_remote,
    fill_transaction,
    unknown_sums,
)
from stream.core.account.account_maturity import content_mark, mature_due, push_recent
from stream.core.account.account_reversal import meet_reversals, take_reversal
from stream.core.account.account_row import (
    CONFLICT,
    COUNTRIES,
    DAY_US,
    DECIDED,
    DEVICES,
    DUPLICATE,
    LARGE,
    advance_windows,
    claim_pair,
    find,
    find_pair,
    record_remote,
    whole_seconds,
)
from stream.core.account.account_unit import take_unit
from stream.core.account.customer import fill_customer, fill_own, knows_device, record_customer, take_customer_unit
from stream.core.account.idle_accounts import forget_account_pairs, forget_customer_pairs
from stream.core.frame.frames import put_reversal, put_transaction


@njit(cache=True, nogil=True)
def _repeat(row: Any, transaction: Any, content: Any) -> int:
    """Whether a transaction id was among the last ones: DECIDED (new), DUPLICATE or CONFLICT."""
    position = find(row["recent_transaction"], transaction)
    if position < 0:
        return DECIDED
    return DUPLICATE if row["recent_content"][position] == content_mark(content) else CONFLICT


@njit(cache=True, nogil=True)
def _see_device(row: Any, device: Any, seconds: Any, time_us: Any, known: Any) -> None:
    """Remember a device; the one unused for longest makes room. ``known``: the customer has it from another account."""
    if device == 0:
        return
    position = find(row["device_hash"], device)
    if position < 0:
        if row["device_hash"][0] != 0 and not known:
            row["device_change"] = time_us
        position = 0
        for i in range(DEVICES):
            if row["device_hash"][i] == 0:
                position = i
                break
            if row["device_last"][i] < row["device_last"][position]:
                position = i
        row["device_hash"][position] = device
        row["device_first"][position] = seconds
    row["device_last"][position] = seconds


@njit(cache=True, nogil=True)
def _see_place(transaction: Any, row: Any) -> None:
    """Remember the last place and the countries seen, the first of which is taken for home."""
    if not math.isnan(transaction["lat"]) and not math.isnan(transaction["lon"]):
        row["last_lat"] = transaction["lat"]
        row["last_lon"] = transaction["lon"]
        row["last_place_time"] = transaction["event_time"]
    country = transaction["country"]
    if country == 0:
        return
    if row["home_country"] == 0:
        row["home_country"] = country
    for i in range(COUNTRIES):
        if row["countries"][i] == country:
            return
        if row["countries"][i] == 0:
            row["countries"][i] = country
            return
    # the first stays: it is home; the others make room in turn
    for i in range(1, COUNTRIES - 1):
        row["countries"][i] = row["countries"][i + 1]
    row["countries"][COUNTRIES - 1] = country


@njit(cache=True, nogil=True)
def _record_attempt(transaction: Any, row: Any, amount: Any, new_payee: Any, device_known: Any) -> None:
    """Count the attempt at once; what it teaches waits in the pending ring. An amount that is not known teaches nothing."""
    time_us = transaction["event_time"]
    seconds = whole_seconds(time_us)
    known = not math.isnan(amount)
    behind = max(row["last_seen"] - time_us, 0) / DAY_US
    for window, days in enumerate((1.0 / 24.0, 1.0, 7.0, 30.0)):
        weight = exp(-behind / days) if behind > 0.0 else 1.0
        row["counts"][window] += weight
        if known:
            row["sums"][window] += weight * amount
    row["new_payees_day"] += new_payee
    if known:
        if row["normal_count"] > 0 and 1.0 + amount > LARGE * exp(row["normal_mean"]):
            row["large_week"] += 1.0
        row["last_amounts"][2] = row["last_amounts"][1]
        row["last_amounts"][1] = row["last_amounts"][0]
        row["last_amounts"][0] = amount
    row["slips_month"] += transaction["slip_count"]
    payee = transaction["payee_hash"]
    if payee != 0:
        pair = claim_pair(row, payee, seconds)
        row["pair_attempts"][pair] = min(np.int64(row["pair_attempts"][pair]) + 1, 65_535)
        row["pair_last"][pair] = max(np.int64(row["pair_last"][pair]), seconds)
    _see_device(row, transaction["device_hash"], seconds, time_us, device_known)
    _see_place(transaction, row)
    push_recent(transaction, row, amount, seconds)
    if row["attempts"] == 0 or time_us < row["first_seen"]:
        row["first_seen"] = time_us
    row["last_seen"] = max(row["last_seen"], time_us) if row["attempts"] > 0 else time_us
    row["attempts"] = np.int64(row["attempts"]) + 1


@njit(cache=True, nogil=True)
def profile(
    rows: Any,
    customers: Any,
    transactions: Any,
    slots: Any,
    customer_slots: Any,
    rates: Any,
    maturity_us: Any,
    lateness_us: Any,
    highest: Any,
    partition: Any,
    to: Any,
    next_place: Any,
    records: Any,
    status: Any,
    reversals: Any,
    horizons: Any,
    start: Any,
    stop: Any,
) -> None:
    """Walk part of a batch of transactions in order: features out, rows updated.

    Parameters
    ----------
    rows : ACCOUNT_ROW[capacity]
        Updated in place.
    customers : CUSTOMER_ROW[capacity]
        The same, of customers with several accounts.
    transactions : columns.TRANSACTION[n]
    slots : int64[n]
        Row of each transaction's account.
    customer_slots : int64[n]
        Row of its customer, -1 where the account alone stands for it.
    rates : rules.exchange_rates.RateArrays
        What amounts are compared by.
    maturity_us, lateness_us : int
        Settings, µs.
    highest : int64[1]
        The partition's highest event time so far, µs; updated in place.
    partition : int
        Input partition of the transactions.
    to, next_place, records
        Of the batch's :class:`stream.core.frame.frames.FrameRoom`: a record is put for each transaction that is DECIDED.
    status : uint8[n]
        DECIDED, DUPLICATE or CONFLICT.
    reversals : int64[4]
        How many by what became of them (``account_reversal.RESULTS``); added to.
    horizons : int64[n, 2]
        What is forgotten as each transaction comes: accounts and customers, which have been made anew already, and pairs
        that were last paid before, µs.
    start, stop : int
        The part.
    """
    for i in range(start, stop):
        transaction = transactions[i]
        row = rows[slots[i]]
        status[i] = _repeat(row, transaction["transaction_hash"], transaction["content_hash"])
        if status[i] != DECIDED:
            continue
        time_us = transaction["event_time"]
        place = next_place[to[i]]
        next_place[to[i]] += 1
        amount = reference_minor(
            transaction["amount_minor"],
            float(transaction["currency"]),
            time_us,
            rates.codes,
            rates.factors,
            rates.starts,
        )
        put_transaction(transactions, i, records, place, partition, time_us < highest[0] - lateness_us)
        records[place]["reference_minor"] = amount
        records[place]["reference"] = rates.reference
        highest[0] = max(highest[0], time_us)
        take_unit(row, rates, time_us)
        mature_due(row, time_us, maturity_us)
        forget_account_pairs(row, horizons[i, 1])
        customer = customers[max(customer_slots[i], 0)]
        if customer_slots[i] >= 0:
            forget_customer_pairs(customer, horizons[i, 1])
        if transaction["original_hash"] != 0:
            reversals[take_reversal(transaction, row, customer, customer_slots[i] >= 0, rates)] += 1
            put_reversal(records, place)
            continue
        advance_windows(row, time_us)
        if customer_slots[i] >= 0:
            take_customer_unit(customer, rates.reference)
        unknown = _walk_one(transaction, row, amount, customer, customer_slots[i] >= 0, records[place]["features"])
        records[place]["unknown"] = unknown


@njit(cache=True, nogil=True)
def _walk_one(transaction: Any, row: Any, amount: Any, customer: Any, has_customer: Any, out: Any) -> int:
    """Features of one payment as it comes, then the payment recorded; returns which of its sums are not whole."""
    time_us = transaction["event_time"]
    pair = find_pair(row, transaction["payee_hash"])
    fill_transaction(transaction, row, out)
    fill_amount(row, time_us, amount, out)
    fill_habits(transaction, row, amount, out)
    fill_place(transaction, row, out)
    fill_device(transaction, row, out)
    remote = fill_remote(transaction, row, amount, out)
    unknown = unknown_sums(row, remote and math.isnan(amount))
    new_payee = fill_pair(transaction, row, pair, amount, out)
    fill_own(out)
    device_known = False
    if has_customer:
        device_known = knows_device(customer, transaction["device_hash"])
        fill_customer(transaction, customer, amount, out)
        record_customer(transaction, row, pair, customer)
    _record_attempt(transaction, row, amount, new_payee, device_known)
    if remote:
        record_remote(row, time_us, amount)
    meet_reversals(transaction, row)
    return unknown
