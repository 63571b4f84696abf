"""What feedback does to an account row: confirmed frauds, genuine verdicts, challenges passed and failed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from stream.core.account_maturity import find_pending, mature_entry, put_state, state_of
from stream.core.account_row import (
    ADVERSE,
    ADVERSE_PAIR,
    CLEARED_BAND,
    CLEARED_S,
    DONE,
    EPISODE_US,
    OPEN,
    advance_windows,
    authenticated,
    claim_pair,
    find,
    find_pair,
    whole_seconds,
)
from stream.core.customer import customer_failed, customer_fraud

REVIEW, CHARGEBACK, COMPLAINT, CHALLENGE_RESULT, SUPPLIED = 0, 1, 2, 3, 4
GENUINE, FRAUD, INCONCLUSIVE, PASSED, FAILED = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True)
def _on_fraud(row: Any, entry: Any, payee: Any, time_us: Any) -> None:
    """A confirmed fraud: the pair loses its history, the account remembers, the payment never matures."""
    if entry >= 0:
        if state_of(row, entry) == ADVERSE:
            return  # a chargeback after a reviewer's verdict is the same fraud
        put_state(row, entry, ADVERSE)
    # an outcome may be dated ahead of the account's events: windows never run ahead of them
    advance_windows(row, min(time_us, row["last_seen"]))
    row["frauds_month"] += 1.0
    if row["fraud_last"] == 0 or time_us - row["fraud_last"] > EPISODE_US:
        row["fraud_episode"] = time_us
    row["fraud_last"] = max(row["fraud_last"], time_us)
    cleared = find(row["cleared_payee"], payee)
    if cleared >= 0:
        row["cleared_until"][cleared] = 0
    if payee != 0:
        pair = claim_pair(row, payee, whole_seconds(time_us))
        row["pair_marks"][pair] |= ADVERSE_PAIR
        row["pair_matured"][pair] = 0


@njit(cache=True, nogil=True)
def _clear_pair(row: Any, payee: Any, amount: Any, time_us: Any) -> None:
    """Remember that this payee, up to this amount band, was checked and found genuine."""
    if payee == 0:
        return
    position = find(row["cleared_payee"], payee)
    if position < 0:
        position = np.int64(row["cleared_next"])
        row["cleared_next"] = (position + 1) % row["cleared_payee"].shape[0]
        row["cleared_max"][position] = 0.0
    row["cleared_payee"][position] = payee
    row["cleared_until"][position] = min(whole_seconds(time_us) + CLEARED_S, 4_294_967_295)
    row["cleared_max"][position] = max(np.float64(row["cleared_max"][position]), CLEARED_BAND * amount)


@njit(cache=True, nogil=True)
def learn_outcomes(
    rows: Any, customers: Any, feedback: Any, slots: Any, customer_slots: Any, resolved_payee: Any, event_time: Any
) -> None:
    """Apply feedback in order to the rows of its accounts.

    Parameters
    ----------
    rows : ACCOUNT_ROW[capacity]
    customers : CUSTOMER_ROW[capacity]
    feedback : columns.FEEDBACK[n]
    slots : int64[n]
        Row of each record's account, -1 where the account is not known (then only forwarded).
    customer_slots : int64[n]
        Row of its customer, -1 where it has none.
    resolved_payee : uint64[n]
        Out: the payee's hash, from the record or from the pending payment it speaks of; 0 unknown.
    event_time : int64[n]
        Out: µs of the payment it speaks of where that is still pending, else 0.
    """
    for i in range(feedback.shape[0]):
        record = feedback[i]
        payee = record["payee_hash"]
        event_time[i] = 0
        if slots[i] >= 0:
            row = rows[slots[i]]
            entry = find_pending(row, record["transaction_hash"])
            amount = 0.0
            if entry >= 0:
                payee = row["recent_payee"][entry]
                amount = np.float64(row["recent_amount"][entry])
                event_time[i] = np.int64(row["recent_time"][entry]) * 1_000_000
            _apply_outcome(row, record, entry, payee, amount)
            if customer_slots[i] >= 0:
                _tell_customer(customers[customer_slots[i]], record, payee, amount)
        resolved_payee[i] = payee


@njit(cache=True, nogil=True)
def _apply_outcome(row: Any, record: Any, entry: Any, payee: Any, amount: Any) -> None:
    """What one feedback record does to the row it speaks of."""
    time_us, verdict = record["occurred_at"], record["verdict"]
    if verdict == FRAUD:
        _on_fraud(row, entry, payee, time_us)
    elif verdict == GENUINE:
        _clear_pair(row, payee, amount, time_us)
        if entry >= 0 and state_of(row, entry) != DONE:
            mature_entry(row, entry)
        pair = find_pair(row, payee)
        if pair >= 0 and record["kind"] == REVIEW:
            row["pair_marks"][pair] &= ~ADVERSE_PAIR & 0xFF
    elif verdict == PASSED and record["kind"] == CHALLENGE_RESULT:
        _clear_pair(row, payee, amount, time_us)
        authenticated(row)
    elif verdict == FAILED and record["kind"] == CHALLENGE_RESULT:
        advance_windows(row, min(time_us, row["last_seen"]))
        row["failed_week"] += 1.0
        if entry >= 0 and state_of(row, entry) == OPEN:
            put_state(row, entry, ADVERSE)


@njit(cache=True, nogil=True)
def _tell_customer(customer: Any, record: Any, payee: Any, amount: Any) -> None:
    """What the same record means for the customer's other accounts."""
    verdict, challenge = record["verdict"], record["kind"] == CHALLENGE_RESULT
    if verdict == FRAUD:
        customer_fraud(customer, payee)
    elif verdict == GENUINE or (verdict == PASSED and challenge):
        _clear_pair(customer, payee, amount, record["occurred_at"])
    elif verdict == FAILED and challenge:
        customer_failed(customer, record["occurred_at"])
