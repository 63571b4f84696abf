"""A schedule made by hand: a wrong clock moves what is forgotten a year on, sweeps take out part of it, and times are mended."""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson
from simulation.schedules import Schedule
from simulation.traffic import FEEDBACK, START, TRANSACTIONS, Event, Kind

from stream.contracts.mending import STEP_KEY
from stream.log.records import Place

UNTIL_SWEPT, UNTIL_MEASURED = 12, 3
"""Payments after the wrong one: checkpoints in which sweeps come by, and more until the broker's time is known."""


def mended_after_sweeps(seed: int) -> Schedule:
    """Four payees are paid, a payment of next year is believed, checkpoints follow, times are mended, the four are paid again."""
    events = [_payment(number, 1, number % 3, number % 4) for number in range(4)]
    events += [_payment(len(events) + number, 2, 3, 0) for number in range(4)]
    events.append(_payment(len(events), 2, 4, 0, ahead=timedelta(days=365), expect="dead or decided"))
    events += [_payment(len(events) + number, 3, 5, 0) for number in range(UNTIL_SWEPT)]
    unmeasured = len(events) - UNTIL_MEASURED
    events += [_payment(len(events) + number, 3, 5, 0) for number in range(UNTIL_MEASURED)]
    events.append(_step(4))
    for hour in (4, 5):
        events += [_payment(len(events) + number, hour, number % 3, number % 4) for number in range(4)]
    return Schedule(
        seed, partitions=1, workers=1, batch_records=2, checkpoint_interval_ms=100, events=tuple(events), faults=(),
        checkpoint_records=5, unmeasured=unmeasured,
    )  # fmt: skip


def _payment(
    number: int, hour: int, account: int, payee: int, ahead: timedelta = timedelta(0), expect: Kind = "decided"
) -> Event:
    at = START + timedelta(hours=hour)
    payment = {
        "transaction_id": f"t{number}", "account_id": f"a{account}", "event_time": (at + ahead).isoformat(),
        "payee_id": f"p{payee}", "payee_kind": "person", "amount_minor": 900, "currency": "EUR", "channel": "app",
    }  # fmt: skip
    return Event(
        Place(TRANSACTIONS, 0), _ms(at + ahead), f"a{account}".encode(), orjson.dumps(payment), expect, sent=_ms(at)
    )


def _step(hour: int) -> Event:
    at = START + timedelta(hours=hour)
    said = {"step": "mend_times", "actor": "okafor", "reason": "a clock", "occurred_at": at.isoformat()}
    return Event(Place(FEEDBACK, 0), _ms(at), STEP_KEY, orjson.dumps(said), "label", sent=_ms(at))


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
