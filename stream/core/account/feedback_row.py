"""What an account was told about its payments: the last feedback records, so that each counts once and can be taken back.

Kept for accounts that were told anything, in a table beside account and customer rows. A record is known by its feedback_id as
long as it is among the last :data:`TOLD` of its account, however old its payment is. With it stand what it did to the
account and to the pair: a later record that supersedes it takes exactly that back. A payment is the account's and the transaction's id
together, for ids are unique within an account alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from detectors.elementary import exp
from stream.core.account.account_row import ADVERSE_PAIR, find, find_pair, whole_seconds
from stream.core.table.row_layout import RowLayout

SCHEMA_VERSION = 2
TOLD = 16
"""Feedback records of an account that are remembered; a repeat of an older one would count again."""
FORGOTTEN, IN_FORCE, TAKEN_BACK = 0, 1, 2

FEEDBACK_ROW = np.dtype(
    [
        ("schema", "u2"),
        ("next", "u1"),  # the place to be overwritten next
        ("key", "S64"),
        ("touched", "u4"),  # s: the partition's highest event time when the last record was told, or later its own time
        ("feedback", "u8", (TOLD,)),  # hash of its id, 0 for an empty place
        ("transaction", "u8", (TOLD,)),
        ("payee", "u8", (TOLD,)),
        ("amount", "f8", (TOLD,)),  # reference minor units, UNKNOWN_AMOUNT where not known
        ("occurred", "i8", (TOLD,)),  # µs
        ("seen", "u4", (TOLD,)),  # s: the account's last event when it was told
        ("made", "u4", (TOLD,)),  # s: event time of the payment, 0 where not known
        ("cleared_until", "u4", (TOLD,)),  # s: of the pair, before
        ("matured", "u2", (TOLD,)),  # payments to the payee that a fraud took the credit of
        ("verdict", "u1", (TOLD,)),  # index into columns.VERDICTS
        ("kind", "u1", (TOLD,)),  # index into columns.FEEDBACK_KINDS
        ("state", "u1", (TOLD,)),  # FORGOTTEN, IN_FORCE or TAKEN_BACK
    ]
)
"""Packed; a change of layout raises :data:`SCHEMA_VERSION`."""

_OLD_FIELDS = [
    (name, FEEDBACK_ROW.fields[name][0])  # type: ignore[index]
    for name in FEEDBACK_ROW.names or ()
    if name != "touched"
]


def _touched(old: np.ndarray[Any, np.dtype[np.void]], new: np.ndarray[Any, np.dtype[np.void]]) -> None:
    """Version 1 did not say when an account was last told anything: not before what it was told of."""
    occurred = (old["occurred"].max(axis=1) // 1_000_000).clip(0, 4_294_967_295)
    new["touched"] = np.maximum(old["seen"].max(axis=1), occurred)


OLDER = {1: RowLayout(np.dtype(_OLD_FIELDS), _touched)}

_GENUINE, _FRAUD, _PASSED, _FAILED = 0, 1, 3, 4
_CANCELLED = 5
_LEAST_COUNT = 1.0e-3
"""What is left of a decayed count after a subtraction, below which it is nothing: seconds are counted, not microseconds."""


@njit(cache=True, nogil=True)
def remembered_feedback(told: Any, transaction: Any) -> int:
    """The latest record about a payment, -1 where none is remembered."""
    place = np.int64(told["next"])
    for _ in range(TOLD):
        place = (place + TOLD - 1) % TOLD
        if told["feedback"][place] != 0 and told["transaction"][place] == transaction:
            return place
    return -1


@njit(cache=True, nogil=True)
def is_known_fraud(told: Any, transaction: Any) -> bool:
    """Whether a fraud of this payment has been counted already."""
    for place in range(TOLD):
        counted = told["state"][place] == IN_FORCE and told["verdict"][place] == _FRAUD
        if counted and told["transaction"][place] == transaction:
            return True
    return False


@njit(cache=True, nogil=True)
def is_withdrawn(told: Any, transaction: Any) -> bool:
    """Whether the customer withdrew this payment."""
    for place in range(TOLD):
        withdrew = told["state"][place] == IN_FORCE and told["kind"][place] == _CANCELLED
        if withdrew and told["transaction"][place] == transaction:
            return True
    return False


@njit(cache=True, nogil=True)
def remember(
    told: Any,
    record: Any,
    payee: Any,
    amount: Any,
    made_us: Any,
    last_seen: Any,
    before: Any,
    counts: Any,
    reached: Any,
) -> None:
    """Keep a record that was applied.

    Parameters
    ----------
    before
        What it found at the pair: matured payments (of a fraud: those it took away), and until when it was cleared (s).
    counts
        Whether it did something; a second word of the same fraud does not.
    reached
        The partition's highest event time, µs.
    """
    told["touched"] = max(whole_seconds(reached), whole_seconds(record["occurred_at"]))
    place = np.int64(told["next"])
    told["next"] = (place + 1) % TOLD
    told["feedback"][place] = record["feedback_hash"]
    told["transaction"][place] = record["transaction_hash"]
    told["payee"][place] = payee
    told["amount"][place] = amount
    told["occurred"][place] = record["occurred_at"]
    told["seen"][place] = whole_seconds(last_seen)
    told["made"][place] = whole_seconds(made_us)
    told["matured"][place] = before[0]
    told["cleared_until"][place] = before[1]
    told["verdict"][place] = record["verdict"]
    told["kind"][place] = record["kind"]
    told["state"][place] = IN_FORCE if counts else FORGOTTEN


@njit(cache=True, nogil=True)
def before_of(row: Any, payee: Any) -> Any:
    """What a record finds at the pair; see :func:`remember`."""
    pair, cleared = find_pair(row, payee), find(row["cleared_payee"], payee)
    matured = np.int64(row["pair_matured"][pair]) if pair >= 0 else 0
    return matured, np.int64(row["cleared_until"][cleared]) if cleared >= 0 else 0


@njit(cache=True, nogil=True)
def without(count: Any, elapsed_s: Any, days: Any) -> Any:
    """A decayed count without one that was added so long ago."""
    left = count - exp(-elapsed_s / 86_400.0 / days)
    return left if left > _LEAST_COUNT else 0.0


@njit(cache=True, nogil=True)
def _others(told: Any, place: Any, payee: Any, clears: Any) -> int:
    """Records in force beside this one about the same payee that mark it (or that clear it)."""
    count = 0
    for other in range(TOLD):
        verdict = told["verdict"][other]
        alike = verdict in (_GENUINE, _PASSED) if clears else verdict == _FRAUD
        if other != place and told["state"][other] == IN_FORCE and told["payee"][other] == payee and alike:
            count += 1
    return count


@njit(cache=True, nogil=True)
def _heir(told: Any, place: Any) -> int:
    """A second word of the same fraud, which stands when the first is taken back; -1 for none."""
    for other in range(TOLD):
        alike = told["verdict"][other] == _FRAUD and told["transaction"][other] == told["transaction"][place]
        if alike and other != place and told["feedback"][other] != 0 and told["state"][other] == FORGOTTEN:
            return other
    return -1


@njit(cache=True, nogil=True)
def take_back(row: Any, told: Any, place: Any) -> bool:
    """Take back what a remembered record did to its account and pair; what it let mature stays matured. False where another
    record says the same, which then stands for it."""
    told["state"][place] = TAKEN_BACK
    verdict, payee = told["verdict"][place], told["payee"][place]
    heir = _heir(told, place) if verdict == _FRAUD else -1
    if heir >= 0:
        told["state"][heir] = IN_FORCE
        told["seen"][heir] = told["seen"][place]
        told["matured"][heir] = told["matured"][place]
        told["cleared_until"][heir] = told["cleared_until"][place]
        return False
    elapsed = max(whole_seconds(row["last_seen"]) - np.int64(told["seen"][place]), 0)
    cleared = find(row["cleared_payee"], payee)
    if verdict == _FRAUD:
        row["frauds_month"] = without(row["frauds_month"], elapsed, 30.0)
        _recall_frauds(row, told, told["occurred"][place])
        pair = find_pair(row, payee)
        if pair >= 0 and _others(told, place, payee, False) == 0:
            row["pair_marks"][pair] &= ~ADVERSE_PAIR & 0xFF
            matured = np.int64(row["pair_matured"][pair]) + np.int64(told["matured"][place])
            row["pair_matured"][pair] = min(matured, 65_535)
            if cleared >= 0:
                until = max(np.int64(row["cleared_until"][cleared]), np.int64(told["cleared_until"][place]))
                row["cleared_until"][cleared] = until
    elif verdict == _FAILED:
        row["failed_week"] = without(row["failed_week"], elapsed, 7.0)
    elif verdict in (_GENUINE, _PASSED) and cleared >= 0 and _others(told, place, payee, True) == 0:
        row["cleared_until"][cleared] = told["cleared_until"][place]
        pair = find_pair(row, payee)
        if pair >= 0 and _others(told, place, payee, False) > 0:
            row["pair_marks"][pair] |= ADVERSE_PAIR
    return True


@njit(cache=True, nogil=True)
def _recall_frauds(row: Any, told: Any, occurred: Any) -> None:
    """When the account's last fraud was, and when their run began, without one that was taken back."""
    last, first = np.int64(0), np.int64(0)
    for place in range(TOLD):
        if told["state"][place] == IN_FORCE and told["verdict"][place] == _FRAUD:
            at = told["occurred"][place]
            last = max(last, at)
            first = at if first == 0 else min(first, at)
    if row["fraud_last"] == occurred:
        row["fraud_last"] = last
    if row["fraud_episode"] == occurred or last == 0:
        row["fraud_episode"] = first
