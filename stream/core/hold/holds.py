"""Held transactions of one partition, and what ends each of them: pure, and decided by the times in the data alone.

An alert about a ``review``, or a ``challenge`` (:mod:`stream.core.hold.challenges`), opens a hold with a stated expiry. A reviewer's
verdict, the result of a challenge or the customer who withdraws, stamped before that expiry, ends it; else the expiry does, at
its stated time. Which of several verdicts counts does
not depend on which topic was read first, on when anything was noticed, or on where batches were cut:

- a verdict counts when its record's Kafka timestamp lies before the expiry;
- of those that count, the first in the order of the feedback partition ends the hold, whatever the others say;
- whatever comes later is late: it is counted and changes nothing.

``docs/holds.md`` is the page for people.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

from rules.bounded_json import NotReadable
from rules.endings import Held, ending_sentences
from rules.phrases import MoneyForm
from stream.arrays import rfc3339
from stream.contracts.currency import MINOR_UNIT_DIGITS
from stream.core.columns import FEEDBACK_KINDS, VERDICTS
from stream.core.hold.hold_rows import MAX_ALERT_BYTES, currency_code, identity, read_object, read_row, whole
from stream.errors import RiskstreamError

Result = Literal["release", "decline"]
Cause = Literal["reviewer", "challenge", "customer", "expiry", "supplied"]
"""``supplied`` ends obligations alone (:mod:`stream.core.hold.obligation_records`) and is in no Resolution."""

ROW_VERSION = 3
"""Version 1 had no scenario, priority and due time: its holds end as any other and come last in the queue. Version 2 knew no
challenge, no amount, and not who said a verdict."""
READ_VERSIONS = (1, 2, 3)
MAX_UNMATCHED = 20_000
"""Transactions per partition whose verdict is kept while no alert about them is known."""
MAX_ENDED = 20_000
"""Ended holds per partition that are remembered, so that a repeated alert opens none again."""
MAX_KEPT_STAMPS = 8
"""Verdicts kept of one transaction without an alert; see :meth:`HoldBook.judge`."""

_REVIEW, _CHALLENGE = FEEDBACK_KINDS.index("review"), FEEDBACK_KINDS.index("challenge_result")
_CANCELLED = FEEDBACK_KINDS.index("cancelled")
_MEANING: dict[tuple[int, int], tuple[Result, Cause]] = {
    (_REVIEW, VERDICTS.index("genuine")): ("release", "reviewer"),
    (_REVIEW, VERDICTS.index("fraud")): ("decline", "reviewer"),
    (_CHALLENGE, VERDICTS.index("passed")): ("release", "challenge"),
    (_CHALLENGE, VERDICTS.index("failed")): ("decline", "challenge"),
    (_CANCELLED, VERDICTS.index("inconclusive")): ("decline", "customer"),
}


class UnreadableAlert(RiskstreamError):
    """A record on the alert topic that is no Alert."""


class UnknownRow(RiskstreamError):
    """A stored hold of a schema version that this version does not know."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A transaction that waits.

    Parameters
    ----------
    transaction_id, alert_id, account_id, customer_id
        As in the alert; customer_id is the key of everything published about it.
    expires_at
        When the hold ends by itself, µs since the epoch.
    on_expiry
        What happens then.
    escalation
        Of an obligation: the alert to publish when it is overdue, JSON.
    scenario, priority_milli, due_at
        As in the alert, for whoever looks at the queue; they end nothing. Times are µs since the epoch. Empty and 0 of
        obligations, and of holds stored by a version that did not keep them.
    held
        What the transaction waits for: a reviewer, or its customer's answer to a challenge.
    amount_minor, currency
        As ordered, for the words at the end; no currency where a version before stored the hold.
    """

    transaction_id: str
    alert_id: str
    account_id: str
    customer_id: str
    expires_at: int
    on_expiry: Result
    escalation: str = ""
    scenario: str = ""
    priority_milli: int = 0
    due_at: int = 0
    held: Held = "review"
    amount_minor: int = 0
    currency: str = ""

    @property
    def key(self) -> bytes:
        """What verdicts find it by: a transaction_id is unique within its account only."""
        return _key(self.account_id, self.transaction_id)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Feedback that can end a hold.

    Parameters
    ----------
    transaction_id, account_id
        What it is about.
    result, cause
        What it makes of the hold.
    stamped_at
        Kafka timestamp of its record, µs since the epoch.
    actor, feedback_id
        Who said it and where; empty where a version before kept the verdict.
    """

    transaction_id: str
    account_id: str
    result: Result
    cause: Cause
    stamped_at: int
    actor: str = ""
    feedback_id: str = ""

    @property
    def key(self) -> bytes:
        """See :attr:`Hold.key`."""
        return _key(self.account_id, self.transaction_id)


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a hold.

    Parameters
    ----------
    hold
        What ended.
    result, cause
        How, and by what.
    at
        When, by the times in the data: the verdict's stamp or the stated expiry, µs since the epoch.
    actor, feedback_id
        Of the verdict; empty where there was none, or where a version before kept it.
    """

    hold: Hold
    result: Result
    cause: Cause
    at: int
    actor: str = ""
    feedback_id: str = ""

    @classmethod
    def by(cls, hold: Hold, verdict: Verdict) -> Ending:
        """The end that a verdict is."""
        return cls(hold, verdict.result, verdict.cause, verdict.stamped_at, verdict.actor, verdict.feedback_id)

    @classmethod
    def by_expiry(cls, hold: Hold) -> Ending:
        """The end that comes by itself."""
        return cls(hold, hold.on_expiry, "expiry", hold.expires_at)

    def resolution(self) -> bytes:
        """The Resolution as published.

        >>> hold = Hold("t-1", "t-1", "a-1", "c-1", 3_600_000_000, "release")
        >>> Ending(hold, "release", "expiry", hold.expires_at).resolution()[:80]
        b'{"transaction_id":"t-1","alert_id":"t-1","account_id":"a-1","customer_id":"c-1",'
        """
        return orjson.dumps(
            {
                "transaction_id": self.hold.transaction_id,
                "alert_id": self.hold.alert_id,
                "account_id": self.hold.account_id,
                "customer_id": self.hold.customer_id,
                "result": self.result,
                "cause": self.cause,
                "actor": self.actor or None,
                "feedback_id": self.feedback_id or None,
                "at": rfc3339.render(self.at),
                "reasons": {"customer": self._sentences()},
            }
        )

    def _sentences(self) -> dict[str, str]:
        hold = self.hold
        money = MoneyForm(hold.currency, MINOR_UNIT_DIGITS.get(hold.currency, 2))
        return ending_sentences(hold.held, self.result, self.cause, hold.amount_minor, money)


@dataclass(slots=True)
class Unmatched:
    """Verdicts about a transaction of which no alert is known yet.

    Parameters
    ----------
    seen
        How many there were.
    verdicts
        Those that could be the first before some expiry.
    """

    seen: int = 0
    verdicts: list[Verdict] = field(default_factory=list)


def read_alert(value: bytes | None) -> Hold | None:
    """The hold that an alert opens; None where its decision is not a review.

    Raises
    ------
    UnreadableAlert
        Not an Alert.
    """
    try:
        alert = read_object(value, MAX_ALERT_BYTES)
        decision = alert["decision"]
        if decision["outcome"] != "review":
            return None
        hold = Hold(
            transaction_id=identity(decision["transaction_id"]),
            alert_id=identity(alert["alert_id"]),
            account_id=identity(decision["account_id"]),
            customer_id=identity(decision.get("customer_id") or decision["account_id"]),
            expires_at=whole(rfc3339.microseconds(rfc3339.parse(alert["hold_expires_at"]))),
            on_expiry=alert["on_expiry"],
            scenario=str(decision["scenario"])[:64],
            priority_milli=whole(alert["priority_milli"], -(2**53), 2**53),
            due_at=whole(rfc3339.microseconds(rfc3339.parse(alert["due_at"]))),
            amount_minor=whole(alert.get("amount_minor", 0)),  # an alert of a version before has none
            currency=currency_code(alert.get("currency", "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise UnreadableAlert(f"not an alert: {type(error).__name__}; only riskstream may write there") from error
    if hold.on_expiry not in ("release", "decline"):
        raise UnreadableAlert("not an alert: on_expiry is neither release nor decline; only riskstream may write there")
    return hold


def read_verdicts(feedback: npt.NDArray[np.void]) -> Iterator[Verdict]:
    """What of a batch of decoded feedback (dtype ``columns.FEEDBACK``) can end a hold, in order.

    A review says genuine or fraud, a challenge was passed or failed, a customer withdrew; ``inconclusive`` of others,
    complaints, chargebacks, answers to recalls and supplied documents leave a hold as it is.
    """
    for row in feedback:
        meaning = _MEANING.get((int(row["kind"]), int(row["verdict"])))
        if meaning is not None:
            result, cause = meaning
            yield Verdict(
                row["transaction_id"].decode(), row["account_id"].decode(), result, cause, int(row["timestamp"]) * 1000,
                row["actor"].decode(), row["feedback_id"].decode(),
            )  # fmt: skip


class HoldBook:
    """Open holds, early verdicts and ended holds of one partition.

    Each transaction is in at most one of three states: a verdict without an alert (at most ``max_unmatched``, then the
    oldest goes), open (as many as there are reviews and challenges that have not expired: none may be forgotten), ended (the latest
    ``max_ended``). Every change of state is also a row for the changelog; the rows in log order rebuild the object.

    Parameters
    ----------
    max_unmatched, max_ended
        Limits; see above.

    Examples
    --------
    >>> holds = HoldBook()
    >>> hold = Hold("t-1", "t-1", "a-1", "c-1", 1_000_000, "decline")
    >>> holds.judge(Verdict("t-1", "a-1", "release", "reviewer", 999_000))
    >>> ending = holds.open(hold)
    >>> ending.result, ending.at, holds.expire(2_000_000)
    ('release', 999000, [])
    """

    def __init__(self, max_unmatched: int = MAX_UNMATCHED, max_ended: int = MAX_ENDED) -> None:
        self.max_unmatched = max_unmatched
        self.max_ended = max_ended
        self.late = 0
        """Verdicts that came after the end, or were stamped at or after the expiry."""
        self.repeated = 0
        """Alerts about a transaction that was or had been held already."""
        self.dropped = 0
        """Transactions whose early verdict had to go for want of room."""
        self.challenges = 0
        """Of the open holds, those of challenges."""
        self._open: dict[bytes, Hold] = {}
        self._unmatched: dict[bytes, Unmatched] = {}
        self._ended: dict[bytes, int] = {}
        self._expiries: list[tuple[int, bytes]] = []
        self._changes: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        """How many holds are open."""
        return len(self._open)

    def __iter__(self) -> Iterator[Hold]:
        """The open holds."""
        return iter(self._open.values())

    @property
    def unmatched(self) -> int:
        """How many transactions have a verdict and no alert."""
        return len(self._unmatched)

    @property
    def next_expiry(self) -> int | None:
        """The earliest expiry of an open hold, µs since the epoch; None where nothing is held."""
        while self._expiries:
            at, key = self._expiries[0]
            hold = self._open.get(key)
            if hold is not None and hold.expires_at == at:
                return at
            heapq.heappop(self._expiries)
        return None

    def overdue(self, at: int) -> int:
        """How many open holds should have ended by themselves before ``at``, µs since the epoch."""
        earliest = self.next_expiry
        if earliest is None or earliest >= at:
            return 0
        return sum(hold.expires_at < at for hold in self._open.values())

    def open(self, hold: Hold) -> Ending | None:
        """An alert about a review, or a challenge, was read; returns the end where a verdict was there before it."""
        key = hold.key
        if key in self._open or key in self._ended:
            self.repeated += 1
            return None
        early = self._unmatched.pop(key, None)
        if early is not None:
            first = next((v for v in early.verdicts if v.stamped_at < hold.expires_at), None)
            self.late += early.seen - (first is not None)
            if first is not None:
                return self._end(Ending.by(hold, first))
        self._put(hold)
        self._change(key, _hold_row(hold))
        return None

    def judge(self, verdict: Verdict) -> Ending | None:
        """A verdict was read; returns the end where it ends a hold.

        Of verdicts before their alert only those are kept whose stamp is lower than that of all before them: no
        other can be the first before an expiry that is not known yet. With a clock that does not run backwards that
        is one; at most ``MAX_KEPT_STAMPS`` are.
        """
        key = verdict.key
        if key in self._ended:
            self.late += 1
            return None
        hold = self._open.get(key)
        if hold is None:
            self._keep(key, verdict)
            return None
        if verdict.stamped_at >= hold.expires_at:
            self.late += 1
            return None
        self._take(key)
        return self._end(Ending.by(hold, verdict))

    def expire(self, read_until: int) -> list[Ending]:
        """End what no verdict can end any more, in order of expiry.

        Parameters
        ----------
        read_until
            µs since the epoch: the caller vouches that every verdict stamped before it has been handed to
            :meth:`judge`.
        """
        endings = []
        while (at := self.next_expiry) is not None and at <= read_until:
            hold = self._take(heapq.heappop(self._expiries)[1])
            endings.append(self._end(Ending.by_expiry(hold)))
        return endings

    def take_changes(self) -> list[tuple[bytes, bytes | None]]:
        """Rows changed since the last call, None for one that is gone, in the order of their last change."""
        changes, self._changes = list(self._changes.items()), {}
        return changes

    def restore(self, key: bytes, value: bytes | None) -> None:
        """Put a row back, as :meth:`take_changes` gave it, in log order; into an object that took nothing else yet.

        Raises
        ------
        UnknownRow
            Written by another version, no stored hold at all, or a null value that would let an open hold vanish. What
            was restored before stays.
        """
        if value is None and key in self._open:
            raise UnknownRow("a null value where a hold is open: holds end, they are not deleted")
        try:
            row = read_row(key, value, READ_VERSIONS, MAX_KEPT_STAMPS) if value is not None else {}
        except NotReadable as error:
            raise UnknownRow(f"not a stored hold: {error}; only riskstream may write there") from error
        if value is not None and row.get("version") not in READ_VERSIONS:
            raise UnknownRow(
                f"a stored hold of schema version {row.get('version')}, this version reads 1 to {ROW_VERSION}: run the "
                "version of riskstream that wrote it"
            )
        if key in self._open:
            self._take(key)
        self._unmatched.pop(key, None)
        self._ended.pop(key, None)
        if value is None:
            return
        if row["state"] == "ended":
            self._ended[key] = row["at"]
        elif row["state"] == "unmatched":
            self._unmatched[key] = Unmatched(row["seen"], [Verdict(**verdict) for verdict in row["verdicts"]])
        else:
            self._put(Hold(**row["hold"]))

    def _put(self, hold: Hold) -> None:
        self._open[hold.key] = hold
        self.challenges += hold.held == "challenge"
        heapq.heappush(self._expiries, (hold.expires_at, hold.key))

    def _take(self, key: bytes) -> Hold:
        hold = self._open.pop(key)
        self.challenges -= hold.held == "challenge"
        return hold

    def _end(self, ending: Ending) -> Ending:
        key = ending.hold.key
        self._ended[key] = ending.at
        self._change(key, orjson.dumps({"version": ROW_VERSION, "state": "ended", "at": ending.at}))
        if len(self._ended) > self.max_ended:
            self._forget(self._ended)
        return ending

    def _keep(self, key: bytes, verdict: Verdict) -> None:
        # to the end of the dict: its order is that of the rows' last change, which recovery restores
        early = self._unmatched.pop(key, None) or Unmatched()
        early.seen += 1
        lowest = early.verdicts[-1].stamped_at if early.verdicts else None
        if (lowest is None or verdict.stamped_at < lowest) and len(early.verdicts) < MAX_KEPT_STAMPS:
            early.verdicts.append(verdict)
        self._unmatched[key] = early
        self._change(key, _unmatched_row(early))
        if len(self._unmatched) > self.max_unmatched:
            self._forget(self._unmatched)
            self.dropped += 1

    def _forget(self, states: dict[bytes, Any]) -> None:
        oldest = next(iter(states))
        del states[oldest]
        self._change(oldest, None)

    def _change(self, key: bytes, row: bytes | None) -> None:
        self._changes.pop(key, None)
        self._changes[key] = row


def _key(account_id: str, transaction_id: str) -> bytes:
    # "/" is in no id
    return f"{account_id}/{transaction_id}".encode()


def _hold_row(hold: Hold) -> bytes:
    return orjson.dumps({"version": ROW_VERSION, "state": "open", "hold": hold})


def _unmatched_row(early: Unmatched) -> bytes:
    return orjson.dumps({"version": ROW_VERSION, "state": "unmatched", "seen": early.seen, "verdicts": early.verdicts})
