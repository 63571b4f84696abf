"""Records that riskstream itself fails at: the real code raises at them, in compiled code too, with rows half changed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import orjson
import pytest
from numba import njit
from simulation.schedules import Schedule
from simulation.traffic import FEEDBACK, TRANSACTIONS, Event

from stream.contracts.mending import STEP_KEY
from stream.core.account import account_outcomes
from stream.core.account import account_walk as account
from stream.core.decision.decide import Decider
from stream.core.payee import payee_walk as payee
from stream.replay.oracle import verify
from stream.worker.hops import account_rows as accounts

Stage = Literal["read", "walk", "payee walk", "decide"]
AMOUNTS: dict[Stage, int] = {"read": 667, "walk": 666, "payee walk": 668, "decide": 669}
"""A payment of this amount raises there."""
FEEDBACK_POISON = b"poison"
OCCURRED = "2026-03-03T03:03:03Z"
"""Feedback of this time raises in the second hop."""
_OCCURRED_US = 1_772_506_983_000_000


@njit(cache=False)
def explode(place: Any) -> None:
    """What compiled code does when it must not go on."""
    if place >= 0:
        raise ValueError("compiled code raised")


def poison(patch: pytest.MonkeyPatch) -> None:
    """Let the real code raise at poisoned records, for as long as the context lasts."""
    patch.setattr(account, "profile", _raising_profile(account.profile))
    patch.setattr(payee, "receive", _raising_receive(payee.receive))
    patch.setattr(account_outcomes, "learn_outcomes", _raising_learn(account_outcomes.learn_outcomes))
    patch.setattr(payee, "learn_outcomes", _raising_hear(payee.learn_outcomes))
    for module in (accounts, verify):
        patch.setattr(module, "decode_transactions", _raising_decode(accounts.decode_transactions))
    patch.setattr(Decider, "decide", _raising_decide(Decider.decide))


def poisoned(schedule: Schedule, seed: int) -> Schedule:
    """The schedule with some payments and feedback poisoned, none of which is repeated."""
    chance = random.Random(seed)
    repeated = {event.repeats for event in schedule.events}
    events = [_poisoned(event, chance) if chance.random() < 0.25 and _single(event, repeated) else event
              for event in schedule.events]  # fmt: skip
    return replace(schedule, events=tuple(events), internal_errors_per_hour=1_000)


def poisoned_as(event: Event, stage: Stage) -> Event:
    """A payment at which the real code raises."""
    value = orjson.dumps(orjson.loads(event.value) | {"amount_minor": AMOUNTS[stage]})
    return replace(event, value=value, expect="decided" if stage == "decide" else "dead")


def _single(event: Event, repeated: set[str]) -> bool:
    if event.place.topic == FEEDBACK:
        return event.expect == "label" and event.key != STEP_KEY
    is_payment = event.place.topic == TRANSACTIONS and event.expect == "decided"
    return is_payment and orjson.loads(event.value)["transaction_id"] not in repeated


def _poisoned(event: Event, chance: random.Random) -> Event:
    if event.place.topic == TRANSACTIONS:
        return poisoned_as(event, chance.choice(list(AMOUNTS)))
    changes: dict[str, str] = chance.choice(({"feedback_id": "poison"}, {"occurred_at": OCCURRED}))
    return replace(event, value=orjson.dumps(orjson.loads(event.value) | changes), expect="dead")


def _first(found: Any, start: int = 0) -> int:
    """The first place from one on where it is true; -1 where it is nowhere."""
    places = np.flatnonzero(found[start:])
    return int(places[0]) + start if len(places) else -1


def _raising_profile(real: Callable[..., Any]) -> Callable[..., Any]:
    def profile(rows: Any, customers: Any, transactions: Any, *rest: Any) -> None:
        *between, start, stop = rest
        at = _first(transactions["amount_minor"] == AMOUNTS["walk"], start)
        real(rows, customers, transactions, *between, start, at if start <= at < stop else stop)
        if start <= at < stop:
            explode(at)

    return profile


def _raising_receive(real: Callable[..., Any]) -> Callable[..., Any]:
    def receive(
        rows: Any, busy: Any, slots: Any, busy_slots: Any, transactions: Any, maturity: Any, features: Any, done: Any
    ) -> Any:
        at = _first(transactions["amount_minor"] == AMOUNTS["payee walk"], done)
        stop = len(transactions) if at < 0 else at
        reached = real(rows, busy, slots[:stop], busy_slots, transactions[:stop], maturity, features[:stop], done)
        if reached == at:
            explode(at)
        return reached

    return receive


def _raising_learn(real: Callable[..., Any]) -> Callable[..., Any]:
    def learn(rows: Any, customers: Any, told: Any, feedback: Any, *rest: Any) -> None:
        real(rows, customers, told, feedback, *rest)
        explode(_first(feedback["feedback_id"] == FEEDBACK_POISON))

    return learn


def _raising_hear(real: Callable[..., Any]) -> Callable[..., Any]:
    def learn(
        rows: Any, busy: Any, slots: Any, busy_slots: Any, hashes: Any, times: Any, occurred: Any, *rest: Any
    ) -> None:
        real(rows, busy, slots, busy_slots, hashes, times, occurred, *rest)
        explode(_first(occurred == _OCCURRED_US))

    return learn


def _raising_decode(real: Callable[..., Any]) -> Callable[..., Any]:
    def decode(values: Any, *rest: Any, **named: Any) -> Any:
        if any(b'"amount_minor":667,' in (value or b"") for value in values):
            raise RuntimeError("reading raised, and here stands what it read: 667")
        return real(values, *rest, **named)

    return decode


def _raising_decide(real: Callable[..., Any]) -> Callable[..., Any]:
    def decide(self: Decider, received: Any) -> Any:
        if (received.transactions["amount_minor"] == AMOUNTS["decide"]).any():
            raise ZeroDivisionError("deciding raised")
        return real(self, received)

    return decide
