"""Traffic of the simulation: few accounts, few payees, and everything a producer does on a bad day."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from stream.contracts.mending import STEP_KEY
from stream.core.edge.partition import partition_of
from stream.log.records import Place

TRANSACTIONS, FEEDBACK = "bank.transactions.v1", "bank.feedback.v1"
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
ACCOUNTS, PAYEES, REPEATED = 6, 4, 8
FORGOTTEN_H = 16
"""After so many hours without a payment an account is forgotten, and with it what it paid."""
SURELY_KNOWN_H = 8
"""Well below: payments may be hours late."""

Kind = Literal["decided", "duplicate", "dead", "dead or decided", "label", "label or dead", "untrusted or label", "gap"]


@dataclass(frozen=True, slots=True)
class Event:
    """One record that the bank writes, or a gap that its own transactions leave.

    Parameters
    ----------
    timestamp
        As the producer's clock has it, ms.
    sent
        The time it really is, ms: the broker's clock is right.
    expect
        What must become of it; whether one kind of feedback is trusted depends on the policy in force, and whether a payment
        from a clock that is a little ahead is one from the future on when it was walked.
    repeats
        The transaction_id that was sent before; empty where nothing is repeated.
    """

    place: Place
    timestamp: int
    key: bytes
    value: bytes
    expect: Kind
    repeats: str = ""
    sent: int = 0


class Bank:
    """Makes events; what has been sent decides what a repeat must become.

    Parameters
    ----------
    unmeasured
        So many events are written before anybody knows the broker's time: until then a producer's clock is believed.
    """

    def __init__(self, random: random.Random, partitions: int, unmeasured: int = 0) -> None:
        self._random = random
        self._unmeasured = unmeasured
        self._partitions = partitions
        self._number = 0
        self._sent: dict[str, list[dict[str, Any]]] = {}

    def event(self) -> Event:
        """The next one."""
        self._number += 1
        chance = self._random.random()
        if chance < 0.49:
            return self._payment()
        if chance < 0.55:
            return self._reversal()
        if chance < 0.70:
            return self._repeat()
        if chance < 0.83:
            return self._feedback()
        if chance < 0.95:
            return self._poison()
        return self._record(TRANSACTIONS, {"account_id": self._account()}, "gap")

    def _account(self) -> str:
        return f"a{self._random.randrange(ACCOUNTS)}"

    def _at(self) -> datetime:
        return START + timedelta(hours=self._number)

    def _payment(self) -> Event:
        """Most are in time, some late: those are decided too."""
        account = self._account()
        at = self._at() - timedelta(hours=5 if self._random.random() < 0.1 else 0)
        payment = {
            "transaction_id": f"t{self._number}", "account_id": account, "event_time": at.isoformat(),
            "payee_id": f"p{self._random.randrange(PAYEES)}", "payee_kind": "person",
            "amount_minor": self._random.choice((900, 5_000, 40_000, 2_000_000)), "currency": "EUR", "channel": "app",
        }  # fmt: skip
        self._sent.setdefault(account, []).append(payment)
        return self._record(TRANSACTIONS, payment, "decided")

    def _reversal(self) -> Event:
        """Of a payment that waits, of an old one, of one that never was; whole or in part; once or again."""
        account = self._account()
        if account not in self._sent:
            return self._payment()
        paid = self._random.choice(self._sent[account])
        unknown = self._random.random() < 0.1
        reversal = paid | {
            "type": "reversal", "transaction_id": f"r{self._number}", "event_time": self._at().isoformat(),
            "original_transaction_id": "t-unknown" if unknown else paid["transaction_id"],
            "amount_minor": self._random.choice((paid["amount_minor"], 450)),
        }  # fmt: skip
        self._sent[account].append(reversal)
        return self._record(TRANSACTIONS, reversal, "decided")

    def _repeat(self) -> Event:
        """A producer's retry, A B A too; now and then the id comes back with other content."""
        account = self._account()
        known = self._surely_known(account)
        if not known:
            return self._payment()
        payment = self._random.choice(known[-REPEATED:])
        expect: Kind = "duplicate"
        if self._random.random() < 0.2:
            payment, expect = payment | {"amount_minor": payment["amount_minor"] + 1}, "dead"
        return replace(self._record(TRANSACTIONS, payment, expect), repeats=payment["transaction_id"])

    def _surely_known(self, account: str) -> list[dict[str, Any]]:
        """What was sent since an account was last idle for so long that it may have been forgotten."""
        sent, last = self._sent.get(account, []), self._number
        since = len(sent)
        for place in range(len(sent) - 1, -1, -1):
            number = int(sent[place]["transaction_id"][1:])
            if sent[place].get("type") == "reversal":
                continue  # which keeps no account
            if last - number > SURELY_KNOWN_H:
                break
            since, last = place, number
        return sent[since:]

    def _feedback(self) -> Event:
        account = self._account()
        payment = self._random.choice(self._sent.get(account) or [{"transaction_id": "t-unknown", "payee_id": "p0"}])
        actor, expect = self._random.choice(ACTORS)
        verdict = {
            "feedback_id": f"f{self._number}", "transaction_id": payment["transaction_id"], "account_id": account,
            "payee_id": payment["payee_id"], "kind": "chargeback", "actor": actor,
            "verdict": self._random.choice(("fraud", "genuine")), "occurred_at": self._at().isoformat(),
        }  # fmt: skip
        return self._record(FEEDBACK, verdict, expect)

    def _poison(self) -> Event:
        chance, account = self._random.random(), self._account()
        if chance < 0.3:
            return self._record(TRANSACTIONS, {"account_id": account, "transaction_id": "incomplete"}, "dead")
        if chance < 0.5 and self._number % 2:
            return self._record(FEEDBACK, {"account_id": account, "verdict": "whatever"}, "dead")
        if chance < 0.5:
            return self._step()
        payment = {
            "transaction_id": f"x{self._number}", "account_id": account, "amount_minor": 1, "currency": "EUR",
            "channel": "app", "event_time": (self._at() + timedelta(hours=2)).isoformat(),
        }  # fmt: skip
        if chance < 0.75:
            return self._from_the_future(payment)
        if self._partitions == 1:
            return self._record(TRANSACTIONS, {}, "dead")
        return self._record(TRANSACTIONS, payment | {"event_time": self._at().isoformat()}, "dead", elsewhere=1)

    def _from_the_future(self, payment: dict[str, Any]) -> Event:
        """Ahead of its stamp; or a wrong clock set both, a year ahead, or two hours, which come while others are walked."""
        ahead = (timedelta(0), timedelta(days=365), timedelta(hours=2))[self._number % 3]
        if not ahead:
            return self._record(TRANSACTIONS, payment, "dead")
        payment |= {"event_time": (self._at() + ahead).isoformat(), "payee_id": "p0", "payee_kind": "person"}
        believed = self._number <= self._unmeasured
        expect: Kind = "dead" if ahead.days and not believed else "dead or decided"
        event = self._record(TRANSACTIONS, payment, expect)
        return replace(event, timestamp=event.timestamp + round(ahead.total_seconds() * 1000))

    def _step(self) -> Event:
        """Somebody mends times, with or without need; before the broker's time is known there is none to mend by."""
        said = {"step": "mend_times", "actor": "okafor", "reason": "a clock", "occurred_at": self._at().isoformat()}
        event = self._record(FEEDBACK, said, "label or dead" if self._number <= self._unmeasured else "label")
        partition = self._number // 2 % self._partitions
        return replace(event, place=Place(FEEDBACK, partition), key=STEP_KEY)

    def _record(self, topic: str, document: dict[str, Any], expect: Kind, elsewhere: int = 0) -> Event:
        key = document.get("account_id", "nobody").encode()
        partition = (partition_of(key, self._partitions) + elsewhere) % self._partitions
        timestamp = round(self._at().timestamp() * 1000)
        return Event(Place(topic, partition), timestamp, key, orjson.dumps(document), expect, sent=timestamp)


ACTORS: tuple[tuple[str, Kind], ...] = (
    ("chargeback:both", "label"),
    ("chargeback:both", "label"),
    ("reviewer:one", "untrusted or label"),
    ("mallory", "dead"),
)
"""Who speaks: trusted by both policies, by one, by none."""
