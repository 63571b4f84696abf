"""Reading ``risk.alerts.v1``: following it, and finding one alert on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, TopicPartition

from stream.errors import RiskstreamError, UsageError
from stream.log.connect import consumer_config
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.log.whole_topics import partitions_of
from stream.settings import Settings

TOPIC = "risk.alerts.v1"
RESOLUTIONS = "risk.resolutions.v1"
ESCALATIONS = "riskstream-escalations"
"""What was owed for a payment that proceeded and was not supplied in time, in the form of alerts."""
WINDOW = 5_000
SEARCHED = 200_000
"""Offsets of each partition that are searched for an alert, the newest first."""
COMMIT_EVERY = 100


class FoundAlert(NamedTuple):
    """An alert and the key it was written under, which is its transaction's."""

    key: bytes | None
    alert: Mapping[str, Any]


def find_alert(settings: Settings, alert_id: str, account: str = "") -> FoundAlert:
    """The newest alert with this id.

    Parameters
    ----------
    account
        Its account; empty where the id alone says which one is meant.

    Raises
    ------
    UsageError
        Alerts of several accounts have this id, and none of them is named.
    RiskstreamError
        It is not among the last 200,000 offsets of any partition.
    """
    by_account: dict[str, FoundAlert] = {}
    for record in _newest_first(settings, TOPIC, alert_id):
        alert = orjson.loads(record.value)
        of = str(alert["decision"]["account_id"])
        if alert["alert_id"] == alert_id and account in ("", of):
            by_account.setdefault(of, FoundAlert(record.key, alert))
    if len(by_account) > 1:
        raise UsageError(
            f"alert {alert_id} is there for accounts {', '.join(sorted(by_account))}: ids of transactions are unique within "
            "an account only; say which one with --account"
        )
    for found in by_account.values():
        return found
    raise RiskstreamError(
        f"alert {alert_id}{f' of account {account}' if account else ''} is not among the last {SEARCHED:,} records of each "
        f"partition of {settings.topic(TOPIC)}; check the id with `riskstream alerts tail`, and --topic-prefix"
    )


def find_resolution(settings: Settings, alert: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the hold of an alert has ended, None while it has not."""
    decision = alert["decision"]
    for record in _newest_first(settings, RESOLUTIONS, alert["alert_id"]):
        resolution: Mapping[str, Any] = orjson.loads(record.value)
        # before resolutions named the account, their key was the customer
        named = resolution.get("account_id", decision["account_id"]) == decision["account_id"]
        owner = (record.key or b"").decode() in (decision["customer_id"], decision["account_id"])
        if resolution["alert_id"] == alert["alert_id"] and named and owner:
            return resolution
    return None


def _newest_first(settings: Settings, topic: str, identifier: str) -> Iterator[Any]:
    """Committed records of a topic (contract name) whose bytes hold an id: window by window from the end, and those of a
    window from its end."""
    needle, name = identifier.encode(), settings.topic(topic)
    reader = KafkaReader(settings)
    try:
        places = [Place(name, number) for number in range(partitions_of(settings, [name])[name])]
        marks = {place: reader.watermarks(place) for place in places}
        for distance in range(0, SEARCHED, WINDOW):
            for place, (low, high) in marks.items():
                start, stop = max(low, high - distance - WINDOW), high - distance
                if start < stop:
                    # most records are not the one: look at the bytes before reading the JSON
                    read = [record for chunk in reader.read(place, start, stop) for record in chunk]
                    yield from (r for r in reversed(read) if r.value is not None and needle in r.value)
    finally:
        reader.close()


def follow_alerts(
    settings: Settings,
    *,
    group: str = "",
    from_end: bool = False,
    stay: bool = True,
    limit: int | None = None,
    topic: str = TOPIC,
) -> Iterator[Mapping[str, Any]]:
    """Committed alerts as they come.

    Parameters
    ----------
    group
        Consumer group whose offsets say where to go on, and that shares the partitions among its members; an alert
        counts as read when the next one is asked for. Empty for none: then all partitions are read from their
        beginning or end.
    from_end
        Begin with what comes next, where no offset of the group says otherwise.
    stay
        Go on waiting at the end of the topic; else end there.
    limit
        End after so many alerts; None for no limit.
    topic
        Alerts, or :data:`ESCALATIONS`.
    """
    _refuse_the_lines_groups(settings, group)
    topic = settings.topic(topic)
    count = partitions_of(settings, [topic])[topic]
    consumer = Consumer(
        {
            **consumer_config(settings, group or "alerts-tail"),
            "auto.offset.reset": "latest" if from_end else "earliest",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 50,
            "log_level": 0,
        }
    )
    try:
        if group:
            consumer.subscribe([topic])
        else:
            begin = OFFSET_END if from_end else OFFSET_BEGINNING
            consumer.assign([TopicPartition(topic, number, begin) for number in range(count)])
        yield from _alerts(consumer, commits=bool(group), stay=stay, limit=limit)
    finally:
        consumer.close()


def _refuse_the_lines_groups(settings: Settings, group: str) -> None:
    own = (settings.group, f"{settings.group}-holds")
    if group in own:
        raise UsageError(
            f"--group {group}: that group is the workers' own, who would lose partitions to this reader; choose another name"
        )


def _alerts(consumer: Consumer, *, commits: bool, stay: bool, limit: int | None) -> Iterator[Mapping[str, Any]]:
    ended: set[int] = set()
    given = 0
    read: dict[int, TopicPartition] = {}
    try:
        while limit is None or given < limit:
            message: Any = consumer.poll(0.5)
            if message is None:
                _commit(consumer, read)
                continue
            error = message.error()
            if error is None:
                ended.discard(message.partition())
                yield orjson.loads(message.value())
                given += 1
                if commits:  # only now, when the next one is asked for, was it read
                    place = TopicPartition(message.topic(), message.partition(), message.offset() + 1)
                    read[message.partition()] = place
                if given % COMMIT_EVERY == 0:
                    _commit(consumer, read)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
                if not stay and ended >= {place.partition for place in consumer.assignment()}:
                    return
            elif not error.retriable():
                raise RiskstreamError(f"reading alerts: {error.str()}")
    finally:
        _commit(consumer, read)


def _commit(consumer: Consumer, read: dict[int, TopicPartition]) -> None:
    if read:
        consumer.commit(offsets=list(read.values()), asynchronous=False)
        read.clear()
