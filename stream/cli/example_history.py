"""Histories written in a pack's examples: transactions are made of them and walked through the whole core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import orjson

from rules.document import Item
from rules.examples import ExampleError
from rules.policy import Policy
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.columns import FEEDBACK
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.edge.decode import decode_transactions
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop
from stream.settings import Settings

EVENT_TIME: Final = "2027-01-15T10:00:00Z"
"""When the event of an example happens if it does not say."""
MAX_TRANSACTIONS: Final = 5_000
_NEUTRAL: Final[dict[str, Any]] = {"account_id": "example", "currency": "EUR", "channel": "app"}
_DAY_US: Final = 86_400_000_000


class ExampleHistories:
    """Decides the events of examples, each in an empty bank, with the model of an installation without labels.

    Parameters
    ----------
    policy
        The policy under test.
    settings
        Maturity, lateness and the model's seed.
    """

    def __init__(self, policy: Policy, settings: Settings) -> None:
        self._hop = HopSettings(
            partitions=1,
            maturity_us=round(settings.maturity_days * _DAY_US),
            lateness_us=round(settings.lateness_minutes * 60_000_000),
        )
        self._decider = Decider(first_snapshot(settings.seed), policy)

    def __call__(self, history: Sequence[Item], event: Item) -> np.void:
        """The verdict about the event after its history.

        Raises
        ------
        ExampleError
            Something that is no transaction, or a history that is too long.
        """
        last = _NEUTRAL | {"event_time": EVENT_TIME} | _plain(event)
        moment = _moment(last["event_time"], event)
        records = [(when, record) for item in history for when, record in _repeated(item, last, moment)]
        if len(records) >= MAX_TRANSACTIONS:
            raise ExampleError(event.problem(f"more than {MAX_TRANSACTIONS} transactions of history; shorten it"))
        records.sort(key=lambda pair: pair[0])
        return self._decide([*records, (moment, last)], event)

    def _decide(self, records: Sequence[tuple[datetime, dict[str, Any]]], event: Item) -> np.void:
        values, stamps = [], []
        for place, (when, record) in enumerate(records):
            complete = {"transaction_id": f"example-{place}"} | record | {"event_time": _text(when)}
            values.append(orjson.dumps(complete))
            stamps.append(round(when.timestamp() * 1000))
        decoded = decode_transactions(values, np.arange(len(values)), np.array(stamps), 0, 1, future_ms=1)
        for refusal in decoded.refused:
            where = (
                "the event" if refusal.index == len(values) - 1 else f"transaction {refusal.index + 1} of the history"
            )
            raise ExampleError(event.problem(f"{where} is refused ({refusal.reason}): {refusal.message}"))
        account, payee = AccountHop(0, self._hop), PayeeHop(0, self._hop.maturity_us)
        profiled = account.process(decoded.columns, np.zeros(0, FEEDBACK), self._decider.compiled.currencies)
        received = payee.process([(place, decode_frame(frame)) for place, (_, frame) in enumerate(profiled.frames)])
        verdict: np.void = self._decider.decide(received).verdicts[-1]
        return verdict


def _repeated(item: Item, event: dict[str, Any], moment: datetime) -> Iterator[tuple[datetime, dict[str, Any]]]:
    """The transactions of one line of history: ``times`` of them, the last ``days_ago``, ``every_days`` apart."""
    record = _plain(item)
    timing = {name: record.pop(name, default) for name, default in (("days_ago", 1), ("times", 1), ("every_days", 1))}
    for name, value in timing.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 10_000:
            raise ExampleError(item.problem(f"'{name}' must be a number above 0"))
    if timing["times"] > MAX_TRANSACTIONS:
        raise ExampleError(item.problem(f"'times' must be at most {MAX_TRANSACTIONS}"))
    shared = {name: event[name] for name in ("account_id", "currency", "channel", "customer") if name in event}
    for count in range(int(timing["times"])):
        if "event_time" in record:
            yield _moment(record["event_time"], item), shared | record
        else:
            yield moment - timedelta(days=timing["days_ago"] + count * timing["every_days"]), shared | record


def _plain(item: Item) -> Any:
    """A document without its places; the top must be a mapping."""
    value = _without_places(item)
    if not isinstance(value, dict):
        raise ExampleError(item.problem("a transaction must be 'field: value' lines; fields as in the input topic"))
    return value


def _without_places(item: Item) -> Any:
    if isinstance(item.value, dict):
        return {key: _without_places(inner) for key, inner in item.value.items()}
    if isinstance(item.value, list):
        return [_without_places(inner) for inner in item.value]
    return item.value


def _moment(text: object, item: Item) -> datetime:
    moment: datetime | None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ExampleError(item.problem(f"event_time '{text}' must be a time with its offset, such as {EVENT_TIME}"))
    return moment.astimezone(UTC)


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
