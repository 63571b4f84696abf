"""What feedback does to an account row: confirmed frauds, genuine verdicts, challenges passed and failed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from stream.core.account.account_maturity import find_pending, mature_entry, put_state, state_of
from stream.core.account.account_reversal import one_less
from stream.core.account.account_row import (
    ADVERSE,
    ADVERSE_PAIR,
    CLEARED_BAND,
    CLEARED_S,
    DONE,
    EPISODE_US,
    OPEN,
    RECENT,
    REVERSAL_MARK,
    UNKNOWN_AMOUNT,
    advance_windows,
    authenticated,
    claim_pair,
    find,
    find_pair,
    whole_seconds,
)
from stream.core.account.customer import customer_failed, customer_fraud, customer_recovered
from stream.core.account.feedback_row import (
    IN_FORCE,
    before_of,
    is_known_fraud,
    is_withdrawn,
    remember,
    remembered_feedback,
    take_back,
)
from stream.core.account.idle_accounts import forget_account_pairs, forget_customer_pairs

REVIEW, CHARGEBACK, COMPLAINT, CHALLENGE_RESULT, SUPPLIED, CANCELLED, RECALL_ANSWER = 0, 1, 2, 3, 4, 5, 6
GENUINE, FRAUD, INCONCLUSIVE, PASSED, FAILED = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True)
def _on_fraud(row: Any, entry: Any, payee: Any, amount: Any, time_us: Any) -> None:
    """A confirmed fraud: the pair is marked, the account remembers, the payment never matures; one that had matured is none of
    the pair's any more. What else matured with this payee stays: ``account_features.counts_against`` says what it is worth."""
    had_matured = entry < 0 or state_of(row, entry) == DONE
    if entry >= 0:
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
        if had_matured and row["pair_matured"][pair] > 1:
            one_less(row, payee, amount)
        elif had_matured:
            row["pair_matured"][pair] = 0


@njit(cache=True, nogil=True)
def _clear_pair(row: Any, payee: Any, amount: Any, time_us: Any) -> None:
    """Remember that this payee, up to this amount band, was checked and found genuine; where no amount is known, nothing."""
    if payee == 0 or not amount > 0.0:
        return
    position = find(row["cleared_payee"], payee)
    if position < 0:
        position = np.int64(row["cleared_next"])
        row["cleared_next"] = (position + 1) % row["cleared_payee"].shape[0]
        row["cleared_max"][position] = 0.0
    row["cleared_payee"][position] = payee
    row["cleared_until"][position] = min(whole_seconds(time_us) + CLEARED_S, 4_294_967_295)
    row["cleared_max"][position] = max(row["cleared_max"][position], CLEARED_BAND * amount)


@njit(cache=True, nogil=True)
def _unmark_pair(row: Any, payee: Any) -> None:
    """Nothing is held against this payee any more."""
    pair = find_pair(row, payee)
    if pair >= 0:
        row["pair_marks"][pair] &= ~ADVERSE_PAIR & 0xFF


@njit(cache=True, nogil=True)
def _band_of(row: Any, payee: Any) -> float:
    """Where the amount of a payment is not known any more: the largest matured or attempted to its payee, 0 for none."""
    most, pair = 0.0, find_pair(row, payee)
    if pair >= 0:
        most = np.float64(row["pair_max"][pair])
    for entry in range(RECENT):
        if payee != 0 and row["recent_payee"][entry] == payee:
            most = max(most, row["recent_amount"][entry])
    return most


TOLD_OF = np.dtype(
    [
        ("status", "u1"),
        ("takes_back", "u1"),  # 1 where what it supersedes was in force, and of the next two fields
        ("superseded_verdict", "u1"),
        ("superseded_kind", "u1"),
        ("superseded_transaction", "u8"),
        ("superseded_payee", "u8"),
        ("payee", "u8"),
        ("event_time", "i8"),
    ]
)
"""What came of a record: APPLIED or REPEATED; the payee it concerns, 0 where that is not known; µs of the payment it speaks of, 0
where that is not known any more; and what it took back."""
APPLIED, REPEATED = 0, 1


@njit(cache=True, nogil=True)
def learn_outcomes(
    rows: Any,
    customers: Any,
    told_rows: Any,
    feedback: Any,
    superseded: Any,
    slots: Any,
    customer_slots: Any,
    told_slots: Any,
    out: Any,
    reached: Any,
    pairs_horizon: Any,
) -> None:
    """Apply feedback in order to the rows of its accounts: each record once, and in place of the one it supersedes.

    Parameters
    ----------
    rows : ACCOUNT_ROW[capacity]
    customers : CUSTOMER_ROW[capacity]
    told_rows : FEEDBACK_ROW[capacity]
    feedback : columns.FEEDBACK[n]
    superseded : uint64[n]
        Hash of the feedback id that a record supersedes, 0 for none.
    slots : int64[n]
        Row of each record's account, -1 where the account is not known (then only forwarded).
    customer_slots : int64[n]
        Row of its customer, -1 where it has none.
    told_slots : int64[n]
        Row of what its account was told.
    out : TOLD_OF[n]
    reached : int
        The partition's highest event time, µs.
    pairs_horizon : int
        Pairs last paid before it are forgotten, µs.
    """
    for i in range(feedback.shape[0]):
        record, told, found = feedback[i], told_rows[told_slots[i]], out[i]
        if find(told["feedback"], record["feedback_hash"]) >= 0:
            found["status"] = REPEATED
            continue
        if slots[i] < 0:
            found["payee"] = record["payee_hash"]
            remember(told, record, record["payee_hash"], UNKNOWN_AMOUNT, 0, 0, (0, 0), False, reached)
            continue
        row = rows[slots[i]]
        forget_account_pairs(row, pairs_horizon)
        if customer_slots[i] >= 0:
            forget_customer_pairs(customers[customer_slots[i]], pairs_horizon)
        earlier = find(told["feedback"], superseded[i])
        if earlier >= 0 and told["state"][earlier] == IN_FORCE:
            found["takes_back"] = _supersede(row, told, earlier, found)
            if customer_slots[i] >= 0 and told["verdict"][earlier] == FAILED:
                customer_recovered(customers[customer_slots[i]])
        _apply_record(row, told, record, found, customers[max(customer_slots[i], 0)], customer_slots[i] >= 0, reached)


@njit(cache=True, nogil=True)
def _supersede(row: Any, told: Any, earlier: Any, found: Any) -> int:
    """Take an earlier record back; returns 1 where nothing else says the same."""
    found["superseded_verdict"] = told["verdict"][earlier]
    found["superseded_kind"] = told["kind"][earlier]
    found["superseded_transaction"] = told["transaction"][earlier]
    found["superseded_payee"] = told["payee"][earlier]
    if not take_back(row, told, earlier):
        return 0
    entry = find_pending(row, told["transaction"][earlier])
    transaction = told["transaction"][earlier]
    stands = is_known_fraud(told, transaction) or is_withdrawn(told, transaction)
    if entry >= 0 and state_of(row, entry) == ADVERSE and not stands:
        put_state(row, entry, OPEN)
    return 1


@njit(cache=True, nogil=True)
def _apply_record(row: Any, told: Any, record: Any, found: Any, customer: Any, has_customer: Any, reached: Any) -> None:
    """Find the payment that a record speaks of, apply it, and remember it."""
    payee, amount, made = record["payee_hash"], UNKNOWN_AMOUNT, np.int64(0)
    entry = find(row["recent_transaction"], record["transaction_hash"])
    if entry >= 0 and np.int64(row["recent_channel"][entry]) & REVERSAL_MARK != 0:
        # a reversal is no payment: nothing can be said of it that an account would have to know
        remember(told, record, 0, amount, made, row["last_seen"], (0, 0), False, reached)
        return
    entry, earlier = (
        find_pending(row, record["transaction_hash"]),
        remembered_feedback(told, record["transaction_hash"]),
    )
    if entry >= 0:
        payee = row["recent_payee"][entry]
        amount = row["recent_amount"][entry]
        made = np.int64(row["recent_time"][entry]) * 1_000_000
    elif earlier >= 0:
        payee = payee if payee != 0 else told["payee"][earlier]
        amount = told["amount"][earlier]
        made = np.int64(told["made"][earlier]) * 1_000_000
    band = amount if amount > 0.0 else _band_of(row, payee)
    found["payee"], found["event_time"] = payee, made
    counts = record["kind"] != RECALL_ANSWER  # it says what becomes of the money, not what the payment was
    if counts and record["verdict"] == FRAUD:
        counts = not is_known_fraud(told, record["transaction_hash"])
        if entry >= 0 and earlier < 0:  # said before there was a memory of it
            counts = state_of(row, entry) != ADVERSE
    before = before_of(row, payee)
    last_seen = row["last_seen"]
    if counts:
        _apply_outcome(row, record, entry, payee, band, is_withdrawn(told, record["transaction_hash"]))
        if has_customer:
            _tell_customer(customer, record, payee, band)
        if record["verdict"] == FRAUD:  # what it took from the pair: as much as comes back when it is taken back
            before = (before[0] - before_of(row, payee)[0], before[1])
    remember(told, record, payee, amount, made, last_seen, before, counts, reached)


@njit(cache=True, nogil=True)
def _apply_outcome(row: Any, record: Any, entry: Any, payee: Any, amount: Any, withdrawn: Any) -> None:
    """What one feedback record does to the row it speaks of."""
    time_us, verdict = record["occurred_at"], record["verdict"]
    if record["kind"] == CANCELLED:
        if entry >= 0 and state_of(row, entry) == OPEN:
            put_state(row, entry, ADVERSE)  # it was not made: it never matures
    elif verdict == FRAUD:
        _on_fraud(row, entry, payee, amount, time_us)
    elif verdict == GENUINE:
        _clear_pair(row, payee, amount, time_us)
        if entry >= 0 and state_of(row, entry) != DONE and not withdrawn:
            mature_entry(row, entry)
        _unmark_pair(row, payee)
    elif verdict == PASSED and record["kind"] == CHALLENGE_RESULT:
        _clear_pair(row, payee, amount, time_us)
        _unmark_pair(row, payee)
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
