"""Reversals: what an account's row holds of a payment whose money came back.

A reversal names its payment by the transaction id. Of a payment among the last :data:`account_row.RECENT`: it never matures; if
it had matured, its pair has one payment less. What came back, at most the payment's amount, leaves the sums of money. That it was
attempted stays counted. Of an older payment only the pair is known: one less. A reversal is no attempt: it takes a place in the
ring, so that a producer's retry is told from a second reversal, and nothing else of the row.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from detectors.elementary import exp
from rules.exchange_rates import reference_minor
from stream.core.account.account_features import REMOTE
from stream.core.account.account_maturity import claim_entry, content_mark, put_state, state_of
from stream.core.account.account_row import (
    ADVERSE_PAIR,
    BIN_US,
    CHANNEL_MASK,
    DAY_BINS,
    DONE,
    NO_PLACE,
    RECENT,
    REVERSAL_MARK,
    REVERSED_MARK,
    UNKNOWN_AMOUNT,
    find,
    find_pair,
    whole_seconds,
)
from stream.core.account.customer import customer_reversed

REVERSED, REVERSED_LATE, REPEATED, UNKNOWN = range(4)
RESULTS = ("reversed", "reversed_late", "repeated", "unknown")
"""What became of a reversal: the payment waited and now never matures; it had matured, or is older than the ring, and the pair has
one less; an earlier reversal named the same payment; neither the payment nor its pair is known."""
_OTHER_WORD = np.uint64(0x9E3779B97F4A7C15)


@njit(cache=True, nogil=True)
def _named(original: Any) -> Any:
    """What a reversal's entry has in place of a payee: the payment it names, as no payee's hash is written."""
    return np.uint64(original) ^ _OTHER_WORD


@njit(cache=True, nogil=True)
def take_reversal(transaction: Any, row: Any, customer: Any, has_customer: Any, rates: Any) -> int:
    """Apply a reversal to its account, and remember its id; returns the place in :data:`RESULTS`.

    Parameters
    ----------
    transaction : columns.TRANSACTION
        With ``original_hash``.
    row : ACCOUNT_ROW
        What is due by the reversal's time has matured.
    customer : CUSTOMER_ROW
        Read and written where ``has_customer``.
    rates : rules.exchange_rates.RateArrays
    """
    original, payee = transaction["original_hash"], transaction["payee_hash"]
    entry, again = find(row["recent_transaction"], original), find(row["recent_payee"], _named(original)) >= 0
    if entry >= 0 and np.int64(row["recent_channel"][entry]) & REVERSAL_MARK != 0:
        entry = -1  # no reversal is reversed
    amount = _amount_at(transaction, transaction["event_time"], rates)
    if entry >= 0:
        payee = row["recent_payee"][entry]
        made_us = np.int64(row["recent_time"][entry]) * 1_000_000
        result = _reverse(row, entry, _amount_at(transaction, made_us, rates))
    else:
        result = REPEATED if again else REVERSED_LATE
    if result == REVERSED_LATE:
        before = one_less(row, payee, amount)
        if before == 0 and entry < 0:
            result = UNKNOWN
        if has_customer:
            customer_reversed(customer, payee, before)
    _remember(transaction, row, amount)
    return result


@njit(cache=True, nogil=True)
def meet_reversals(transaction: Any, row: Any) -> None:
    """A payment was recorded whose reversal had come before it: it is reversed at once."""
    named = _named(transaction["transaction_hash"])
    if find(row["recent_payee"], named) < 0:
        return
    latest = (np.int64(row["recent_next"]) + RECENT - 1) % RECENT
    for entry in range(RECENT):
        if row["recent_payee"][entry] == named:
            _reverse(row, latest, row["recent_amount"][entry])


@njit(cache=True, nogil=True)
def _amount_at(transaction: Any, time_us: Any, rates: Any) -> Any:
    """What came back, in reference minor units of a time; UNKNOWN_AMOUNT where there was no rate."""
    amount = reference_minor(
        transaction["amount_minor"],
        float(transaction["currency"]),
        time_us,
        rates.codes,
        rates.factors,
        rates.starts,
    )
    return UNKNOWN_AMOUNT if math.isnan(amount) else amount


@njit(cache=True, nogil=True)
def _reverse(row: Any, entry: Any, amount: Any) -> int:
    """Mark a payment of the ring, and take what came back out of the sums."""
    marks = np.int64(row["recent_channel"][entry])
    left = row["recent_amount"][entry]
    matured = state_of(row, entry) == DONE and left != 0.0  # a card verification is done from the start
    if amount > 0.0 and left > 0.0:
        _take_out(row, entry, min(amount, left))
    row["recent_channel"][entry] = marks | REVERSED_MARK
    if marks & REVERSED_MARK != 0:
        return REPEATED
    return REVERSED_LATE if matured else REVERSED


@njit(cache=True, nogil=True)
def _take_out(row: Any, entry: Any, amount: Any) -> None:
    """What came back leaves the sums that the payment had been added to, as far as they still hold it."""
    seconds = np.int64(row["recent_time"][entry])
    days_ago = max(row["last_seen"] // 1_000_000 - seconds, 0) / 86_400.0
    for window, days in enumerate((1.0 / 24.0, 1.0, 7.0, 30.0)):
        row["sums"][window] = max(row["sums"][window] - amount * exp(-days_ago / days), 0.0)
    if _is_remote(row, entry):
        number = seconds * 1_000_000 // BIN_US
        if number > np.int64(row["day_bin"]) - DAY_BINS:
            place = number % DAY_BINS
            row["day_sums"][place] = max(row["day_sums"][place] - np.int64(amount), 0)
        if _remote_after(row, entry) < np.int64(row["unauthenticated_count"]):
            row["unauthenticated_sum"] = max(row["unauthenticated_sum"] - np.int64(amount), 0)
    row["recent_amount"][entry] -= amount


@njit(cache=True, nogil=True)
def _is_remote(row: Any, entry: Any) -> bool:
    """Whether an attempt was counted by ``account_row.record_remote``."""
    marks = np.int64(row["recent_channel"][entry])
    payment = row["recent_payee"][entry] != 0 and marks & REVERSAL_MARK == 0
    return bool(payment and (REMOTE >> (marks & CHANNEL_MASK)) & 1 == 1)


@njit(cache=True, nogil=True)
def _remote_after(row: Any, entry: Any) -> int:
    """How many remote attempts were recorded after this one: fewer than since the last passed challenge, if it came after that."""
    count = 0
    place = (np.int64(row["recent_next"]) + RECENT - 1) % RECENT
    while place != entry:
        count += 1 if _is_remote(row, place) else 0
        place = (place + RECENT - 1) % RECENT
    return count


@njit(cache=True, nogil=True)
def one_less(row: Any, payee: Any, amount: Any) -> Any:
    """One payment less to a payee, and no larger band than is left; returns how many there were."""
    pair = find_pair(row, payee)
    if pair < 0 or row["pair_matured"][pair] == 0:
        return 0
    matured = np.int64(row["pair_matured"][pair])
    row["pair_matured"][pair] = matured - 1
    if matured == 1:
        row["pair_mean"][pair] = 0.0
        row["pair_max"][pair] = 0.0
        row["pair_marks"][pair] &= ADVERSE_PAIR
    elif amount >= np.float64(row["pair_max"][pair]) > 0.0:
        # it may have been the largest; what the others were is not kept, what they were like is
        usual = exp(np.float64(row["pair_mean"][pair])) - 1.0
        row["pair_max"][pair] = min(np.float64(row["pair_max"][pair]), max(usual, 1.0))
    return matured


@njit(cache=True, nogil=True)
def _remember(transaction: Any, row: Any, amount: Any) -> None:
    """A reversal's own place in the ring: for its retries, and for a payment that comes behind it."""
    entry = claim_entry(row)
    row["recent_transaction"][entry] = transaction["transaction_hash"]
    row["recent_content"][entry] = content_mark(transaction["content_hash"])
    row["recent_payee"][entry] = _named(transaction["original_hash"])
    row["recent_time"][entry] = whole_seconds(transaction["event_time"])
    row["recent_amount"][entry] = amount
    row["recent_lat"][entry] = NO_PLACE
    row["recent_lon"][entry] = NO_PLACE
    row["recent_channel"][entry] = np.int64(transaction["channel"]) | REVERSAL_MARK
    put_state(row, entry, DONE)
