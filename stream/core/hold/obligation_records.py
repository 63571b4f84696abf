"""Proceed first, supply later: what is owed for a payment that went on, and what becomes of it.

A verdict with an open obligation (a reminder to a customer who may proceed first) leads to a record on
``riskstream-obligations`` with a due time. Feedback of kind ``supplied``, stamped no later than that, meets it; else it is
escalated at its due time, exactly once: the alert that stands ready in the record is published. An obligation is kept,
ended, recovered and forgotten as a hold is (:mod:`stream.core.hold.holds`), by the times in the data alone; what the states
mean stands in :mod:`rules.obligations`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import orjson

from stream.arrays import rfc3339
from stream.core.columns import FEEDBACK_KINDS, VERDICTS
from stream.core.hold.hold_rows import MAX_ALERT_BYTES, identity, read_object, whole
from stream.core.hold.holds import Ending, Hold, UnreadableAlert, Verdict

_SUPPLIED = FEEDBACK_KINDS.index("supplied")
_REFUSED = (VERDICTS.index("fraud"), VERDICTS.index("failed"))


def read_obligation(value: bytes | None) -> Hold:
    """The obligation of a record: a hold of nothing, that ends a microsecond after it is due.

    Raises
    ------
    UnreadableAlert
        Not an obligation.

    >>> alert = b'{"alert_id":"t-1","decision":{"transaction_id":"t-1","account_id":"a-1"}}'
    >>> read_obligation(b'{"due_at":"1970-01-01T01:00:00Z","alert":' + alert + b"}").expires_at
    3600000001
    """
    try:
        record = read_object(value, MAX_ALERT_BYTES)
        alert, decision = record["alert"], record["alert"]["decision"]
        return Hold(
            transaction_id=identity(decision["transaction_id"]),
            alert_id=identity(alert["alert_id"]),
            account_id=identity(decision["account_id"]),
            customer_id=identity(decision.get("customer_id") or decision["account_id"]),
            expires_at=whole(rfc3339.microseconds(rfc3339.parse(record["due_at"]))) + 1,
            on_expiry="release",
            escalation=orjson.dumps(alert).decode(),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UnreadableAlert(f"not an obligation: {type(error).__name__}; only riskstream may write there") from error


def read_supplies(feedback: npt.NDArray[np.void]) -> Iterator[Verdict]:
    """What of a batch of decoded feedback (dtype ``columns.FEEDBACK``) meets an obligation, in order.

    What was supplied and found false (``fraud``, ``failed``) meets nothing.
    """
    for row in feedback:
        if int(row["kind"]) == _SUPPLIED and int(row["verdict"]) not in _REFUSED:
            yield Verdict(
                row["transaction_id"].decode(),
                row["account_id"].decode(),
                "release",
                "supplied",
                int(row["timestamp"]) * 1000,
            )


def escalation(ending: Ending) -> bytes | None:
    """The alert to publish where an obligation ended overdue; None where it was met."""
    return ending.hold.escalation.encode() if ending.cause == "expiry" else None
