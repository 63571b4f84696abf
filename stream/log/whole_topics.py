"""Reading whole topics once, all their partitions together, up to their committed end as of now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream.errors import BrokerNotReachable, RiskstreamError
from stream.log.connect import check_reachable, reader_config
from stream.log.patience import passes
from stream.log.reader import KafkaReader
from stream.log.records import Place, Position
from stream.settings import Settings

CHUNK = 10_000
STALL_S = 30.0


def partitions_of(settings: Settings, topics: Sequence[str]) -> dict[str, int]:
    """Partition counts of topics (full names).

    Raises
    ------
    BrokerNotReachable
        Nothing answers.
    RiskstreamError
        A topic is not there: no worker has run with these settings yet.
    """
    known = check_reachable(settings).topics
    missing = [name for name in topics if name not in known]
    if missing:
        raise RiskstreamError(
            f"topic {missing[0]} is not on {settings.broker}: has a worker run there with the topic prefix "
            f"{settings.topic_prefix!r}? Start one with `riskstream worker`"
        )
    return {name: len(known[name].partitions) for name in topics}


def group_offsets(reader: KafkaReader, places: Sequence[Place]) -> dict[Place, int]:
    """Next offsets of the workers' group; see :func:`group_positions`."""
    return {place: position.offset for place, position in group_positions(reader, places).items()}


def group_positions(reader: KafkaReader, places: Sequence[Place]) -> dict[Place, Position]:
    """Next offsets of the workers' group and who committed them, asked again for while its coordinator starts or moves.

    Raises
    ------
    RiskstreamError
        The broker refuses, or there is no coordinator within ``broker_budget_s``.
    """
    return reader.positions(places)


def scan(
    settings: Settings, starts: Mapping[Place, int], visit: Callable[[Place, Any], None], *, committed: bool = True
) -> None:
    """Call ``visit`` with every committed record from the given offsets on, in order within a partition; or with every
    one, up to the log's end.

    What is appended while it reads may be read or not; what was committed before is.

    Raises
    ------
    RiskstreamError
        A partition gives nothing for 30 s before its end, or the broker refuses.
    """
    if not starts:
        return
    consumer = Consumer(
        {
            **reader_config(settings),
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            "log_level": 0,
            "isolation.level": "read_committed" if committed else "read_uncommitted",
        }
    )
    left = set(starts)
    try:
        consumer.assign([TopicPartition(place.topic, place.partition, at) for place, at in starts.items()])
        heard = time.monotonic()
        while left:
            messages = consumer.consume(CHUNK, 0.2)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > STALL_S:
                names = ", ".join(f"{place.topic}[{place.partition}]" for place in sorted(left))
                raise RiskstreamError(f"nothing came from {names} for {STALL_S:.0f} s; does a transaction hang there?")
            for message in messages:
                _take(message, left, visit)
    except KafkaException as error:
        raise BrokerNotReachable(f"Kafka at {settings.broker}: {error.args[0].str()}") from error
    finally:
        consumer.close()


def _take(message: Any, left: set[Place], visit: Callable[[Place, Any], None]) -> None:
    place = Place(message.topic(), message.partition())
    error = message.error()
    if error is None:
        if place in left:
            visit(place, message)
    elif error.code() == KafkaError._PARTITION_EOF:
        left.discard(place)
    elif not passes(error):
        raise RiskstreamError(f"{place.topic}[{place.partition}]: {error.str()}")
