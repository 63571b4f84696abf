"""Topics as history: ranges by time or offset, for ``riskstream replay TOPIC``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.errors import RiskstreamError, UsageError
from stream.log.connect import reader_config
from stream.log.patience import patiently
from stream.log.reader import REQUEST_TIMEOUT_S, KafkaReader
from stream.log.records import Place, Record
from stream.replay.walk.span import Bound, Span
from stream.settings import Settings

_LOOK_BACK = 200
"""Offsets before the end among which the last record is looked for: the rest may be control records."""


class TopicHistory:
    """Reads topics of an installation (``stream.replay.walk.merged_log.TopicLog``); nothing is committed.

    Parameters
    ----------
    settings
        Broker, prefix and how to connect.
    topic
        The topic (contract name) whose range is asked for.
    span
        The range.

    Raises
    ------
    UsageError
        The topic does not exist, or the range names a partition that it does not have.
    """

    def __init__(self, settings: Settings, topic: str, span: Span) -> None:
        self._settings = settings
        self._span = span
        self._counts: dict[str, int] = {}
        count = self.partitions(topic)
        for bound in (span.start, span.stop):
            unknown = [] if bound is None else [partition for partition in bound.offsets if partition >= count]
            if unknown:
                raise UsageError(f"{settings.topic(topic)} has partitions 0 to {count - 1}, not {unknown[0]}")

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        name = self._settings.topic(topic)
        if name not in self._counts:
            consumer = self._consumer()
            try:
                topics = patiently(
                    lambda: consumer.list_topics(timeout=REQUEST_TIMEOUT_S), self._settings.broker_budget_s
                )
                found = topics.topics.get(name)
            except KafkaException as error:
                raise RiskstreamError(f"{name}: {error.args[0].str()}; is the broker well?") from error
            finally:
                consumer.close()
            if found is None or found.error is not None:
                raise UsageError(f"{name}: no such topic; look at --topic-prefix, or start a worker, which makes it")
            self._counts[name] = len(found.partitions)
        return self._counts[name]

    def read(self, topic: str, partition: int, *, ranged: bool) -> Iterator[Sequence[Record]]:
        """Committed records in chunks: of the range, or all."""
        place = Place(self._settings.topic(topic), partition)
        reader = KafkaReader(self._settings)
        try:
            start, stop = self._ends(reader, place) if ranged else (0, None)
            yield from reader.read(place, start, stop)
        finally:
            reader.close()

    def last(self, topic: str, partition: int) -> Record | None:
        """The last record of the range, None where there is none."""
        place = Place(self._settings.topic(topic), partition)
        reader = KafkaReader(self._settings)
        try:
            start, stop = self._ends(reader, place)
            back = _LOOK_BACK
            while True:
                found = [r for chunk in reader.read(place, max(start, stop - back), stop) for r in chunk[-1:]]
                if found or stop - back <= start:
                    return found[-1] if found else None
                back *= 10
        finally:
            reader.close()

    def records(self, topic: str) -> int:
        """Offsets in the range, all partitions: an upper bound of the records."""
        reader = KafkaReader(self._settings)
        try:
            ends = [self._ends(reader, Place(self._settings.topic(topic), p)) for p in range(self.partitions(topic))]
        finally:
            reader.close()
        return sum(max(stop - start, 0) for start, stop in ends)

    def _ends(self, reader: KafkaReader, place: Place) -> tuple[int, int]:
        low, high = reader.watermarks(place)
        start = self._offset(self._span.start, place, low, high)
        return max(start, low), min(self._offset(self._span.stop, place, high, high), high)

    def _offset(self, bound: Bound | None, place: Place, default: int, end: int) -> int:
        if bound is None:
            return default
        if bound.time_ms is None:
            return bound.offsets.get(place.partition, default)
        consumer, asked = self._consumer(), [TopicPartition(place.topic, place.partition, bound.time_ms)]

        def ask() -> TopicPartition:
            found: TopicPartition = consumer.offsets_for_times(asked, REQUEST_TIMEOUT_S)[0]
            if found.error is not None:
                raise KafkaException(found.error)
            return found

        try:
            found = patiently(ask, self._settings.broker_budget_s)
        except KafkaException as error:
            raise RiskstreamError(f"{place.topic}[{place.partition}]: {error.args[0].str()}") from error
        finally:
            consumer.close()
        return int(found.offset) if found.offset >= 0 else end

    def _consumer(self) -> Consumer:
        return Consumer({**reader_config(self._settings)})
