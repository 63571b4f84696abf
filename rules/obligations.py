"""Proceed first, supplement later: a payment went on, and something is owed by a time.

Who may proceed first is the policy's condition; what is owed stands in the decision's reason. An obligation ends
in one of two ways, and the times in the data decide which: supplied by its due time, or escalated at its due
time, exactly once. Pure: a shell stores the obligations and calls :func:`supply` and :func:`advance` in log order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

State = Literal["open", "supplied", "escalated"]


@dataclass(frozen=True, slots=True)
class Obligation:
    """Information owed for one transaction.

    Parameters
    ----------
    transaction_id
        The payment that went on.
    due_at
        µs since the epoch.
    state
        ``open``, or how it ended.
    ended_at
        When it ended, µs: the time of the supply, or the due time.
    """

    transaction_id: str
    due_at: int
    state: State = "open"
    ended_at: int | None = None


@dataclass(frozen=True, slots=True)
class Escalation:
    """An obligation that was not met: told once."""

    transaction_id: str
    at: int


def open_obligation(transaction_id: str, event_time: int, due_us: int) -> Obligation:
    """The obligation of a payment that proceeded at ``event_time`` (µs), due ``due_us`` later.

    >>> open_obligation("t-1", 1_000, 500).due_at
    1500
    """
    return Obligation(transaction_id, event_time + due_us)


def advance(obligation: Obligation, now: int) -> tuple[Obligation, Escalation | None]:
    """The obligation when the data's time has reached ``now`` (µs), and its escalation if that is new.

    >>> overdue, escalation = advance(open_obligation("t-1", 0, 500), 501)
    >>> overdue.state, escalation.at, advance(overdue, 900)[1]
    ('escalated', 500, None)
    """
    if obligation.state != "open" or now <= obligation.due_at:
        return obligation, None
    ended = replace(obligation, state="escalated", ended_at=obligation.due_at)
    return ended, Escalation(obligation.transaction_id, obligation.due_at)


def supply(obligation: Obligation, at: int) -> tuple[Obligation, Escalation | None]:
    """The obligation when what is owed arrives in a record stamped ``at`` (µs).

    In time it is met, for good; too late it was escalated at its due time, whether or not that was noticed yet.

    >>> supply(open_obligation("t-1", 0, 500), 500)[0].state, supply(open_obligation("t-1", 0, 500), 501)[0].state
    ('supplied', 'escalated')
    """
    reached, escalation = advance(obligation, at)
    if reached.state != "open":
        return reached, escalation
    return replace(reached, state="supplied", ended_at=at), None
