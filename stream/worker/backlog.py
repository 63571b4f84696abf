"""What waits in front of a worker: records not yet taken, and transactions between the hops.

The number of records between two offsets cannot be had by subtraction: transactions leave control records, and aborted
ones records that nobody sees. So what waits is read, as far as it is short: up to ``PEEK_RECORDS`` of a partition, or
``PEEK_FRAMES`` between the hops, are counted one by one, and what lies behind them is estimated from how densely these
lie. An idle line shows 0 exactly, a line that keeps up shows exact numbers, a line far behind an estimate.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from stream.brokers.connect import consumer_config
from stream.brokers.credentials import librdkafka
from stream.core.frame import BrokenFrame, decode_frame
from stream.settings import Settings
from stream.worker.log import Place

PEEK_RECORDS: Final = 64
PEEK_FRAMES: Final = 16
"""A frame holds up to a batch of transactions, some hundred kilobytes: fewer of them say as much."""
PEEK_S: Final = 1.0
REQUEST_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Unread:
    """What waits in one partition.

    Parameters
    ----------
    start, end
        Next offset of the reader, and the partition's end (last stable offset).
    records
        Records between them; an estimate where ``exact`` is False.
    exact
        Whether they were counted one by one, or lie without a gap.
    transactions
        For frames: transactions in them by source partition; estimated with them.
    """

    start: int
    end: int
    records: int
    exact: bool
    transactions: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading: where each input partition stands and what waits behind it."""

    positions: dict[Place, int]
    unread: dict[Place, Unread]

    def of(self, places: Collection[Place]) -> Sample:
        """What was read of these places alone."""
        return Sample(
            {place: at for place, at in self.positions.items() if place in places},
            {place: unread for place, unread in self.unread.items() if place in places},
        )

    def in_flight(self, transactions: str) -> dict[Place, int]:
        """Transactions not yet decided, by source partition, as far as this worker's partitions hold them.

        Those that the accounts hop has not taken, and those in frames that the payees hop has not taken. A frame may
        wait at another worker than the one that took its transactions: the sum over workers is the whole.
        """
        waiting: dict[Place, int] = {}
        for place, unread in self.unread.items():
            if place.topic == transactions:
                waiting[place] = waiting.get(place, 0) + unread.records
            for source, count in unread.transactions.items():
                home = Place(transactions, source)
                waiting[home] = waiting.get(home, 0) + count
        return waiting


class Backlog:
    """Reads what waits; not for use by several threads.

    Parameters
    ----------
    settings
        Where to connect, whose group to ask.
    timeout_s
        How long a request may take.
    """

    def __init__(self, settings: Settings, timeout_s: float = REQUEST_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._frames = settings.topic("risk.profiled.v1")
        # what matters of a connection's troubles is raised by the next request: librdkafka need not say it again and again
        quiet: dict[str, Any] = {"log_level": 0}
        self._admin = AdminClient({**librdkafka(settings), "client.id": "riskstream", **quiet})
        # uncommitted: it answers with the last stable offset at once, where a committed reader waits for a transaction
        group = consumer_config(settings, settings.group)
        self._group = Consumer({**group, **quiet, "isolation.level": "read_uncommitted"})
        peek: dict[str, Any] = {
            **consumer_config(settings, f"{settings.group}-probes"),
            **quiet,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,
            # enough to count; a partition far behind must not be fetched in bulk every second
            "fetch.message.max.bytes": 256 * 1024,
            "queued.min.messages": PEEK_FRAMES,
            "queued.max.messages.kbytes": 4 * 1024,
            "fetch.queue.backoff.ms": 10,
        }
        self._peek = Consumer(peek)
        self._known: dict[Place, Unread] = {}

    def close(self) -> None:
        """Let go of the connections."""
        self._group.close()
        self._peek.close()

    def committed(self, places: Sequence[Place]) -> dict[Place, int]:
        """Where the group stands; places it has never committed are left out.

        Raises
        ------
        KafkaException
            The broker does not answer.
        """
        found = self._group.committed([TopicPartition(p.topic, p.partition) for p in places], self._timeout_s)
        failed = next((place.error for place in found if place.error is not None), None)
        if failed is not None:
            raise KafkaException(failed)
        return {Place(place.topic, place.partition): place.offset for place in found if place.offset >= 0}

    def sample(self, positions: Mapping[Place, int]) -> Sample:
        """What waits behind these positions.

        Raises
        ------
        KafkaException
            The broker does not answer.
        """
        ends = self._ends(list(positions))
        unread = {}
        unsure = []
        for place, end in ends.items():
            start, known = positions[place], self._known.get(place)
            if end <= start:
                unread[place] = Unread(start, end, 0, exact=True)
            elif known is not None and (known.start, known.end) == (start, end):
                unread[place] = known
            elif place.topic == self._frames or end - start <= PEEK_RECORDS or (known and known.start == start):
                unsure.append(place)
            else:
                unread[place] = Unread(start, end, end - start, exact=False)
        cut: set[Place] = set()
        if unsure:
            counted, cut = self._count({place: (positions[place], ends[place]) for place in unsure})
            unread |= counted
        # what its time cut short is counted again, though nothing may have moved
        self._known = {place: found for place, found in unread.items() if place not in cut}
        return Sample(dict(positions), unread)

    def beginnings(self, places: Sequence[Place]) -> dict[Place, int]:
        """The first offset that each of some partitions has.

        Raises
        ------
        KafkaException
            The broker does not answer.
        """
        return self._ask(places, OffsetSpec.earliest())  # type: ignore[no-untyped-call]

    def ping(self) -> None:
        """Ask the broker for anything.

        Raises
        ------
        KafkaException
            It does not answer.
        """
        self._admin.list_topics(self._frames, self._timeout_s)

    def _ends(self, places: Sequence[Place]) -> dict[Place, int]:
        if not places:
            self.ping()
            return {}
        return self._ask(places, OffsetSpec.latest())  # type: ignore[no-untyped-call]

    def _ask(self, places: Sequence[Place], spec: OffsetSpec) -> dict[Place, int]:
        asked = {TopicPartition(place.topic, place.partition): spec for place in places}
        answers = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._timeout_s
        )
        return {
            # the request's own time-out comes first, as a KafkaException
            Place(place.topic, place.partition): answer.result(2 * self._timeout_s).offset
            for place, answer in answers.items()
        }

    def _count(self, spans: Mapping[Place, tuple[int, int]]) -> tuple[dict[Place, Unread], set[Place]]:
        """Read a little of each partition; also returns the places whose records did not come in time."""
        found: dict[Place, list[Any]] = {place: [] for place in spans}
        open_places = set(spans)
        self._peek.assign([TopicPartition(p.topic, p.partition, start) for p, (start, _) in spans.items()])
        until = time.monotonic() + PEEK_S
        while open_places and time.monotonic() < until:
            messages: list[Any] = self._peek.consume(PEEK_RECORDS, 0.02)
            for message in messages:
                place = Place(message.topic(), message.partition())
                error = message.error()
                if error is None and message.offset() < spans[place][1] and len(found[place]) < self._most(place):
                    found[place].append(message)
                elif error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                # not paused when there is enough: librdkafka would remember that beyond the assignment
                if (
                    error is not None
                    or message.offset() + 1 >= spans[place][1]
                    or len(found[place]) >= self._most(place)
                ):
                    open_places.discard(place)
        self._peek.unassign()
        counted = {
            place: self._estimate(place, start, end, found[place], place in open_places)
            for place, (start, end) in spans.items()
        }
        return counted, open_places

    def _most(self, place: Place) -> int:
        """So many records of a partition are counted."""
        return PEEK_FRAMES if place.topic == self._frames else PEEK_RECORDS

    def _estimate(self, place: Place, start: int, end: int, messages: list[Any], cut: bool) -> Unread:
        """What lies between two offsets, from the first records there."""
        if cut and not messages:
            # nothing came in time: offsets are all there is to tell from
            return Unread(start, end, end - start, exact=False)
        exact = not cut and len(messages) < self._most(place)
        scale = 1.0 if exact else (end - start) / (messages[-1].offset() + 1 - start)
        sources = _sources(messages) if place.topic == self._frames else {}
        return Unread(
            start, end, round(len(messages) * scale), exact,
            {source: round(count * scale) for source, count in sources.items()},
        )  # fmt: skip


def _sources(messages: Iterable[Any]) -> dict[int, int]:
    """Transactions in frames, by source partition."""
    counts: dict[int, int] = {}
    for message in messages:
        try:
            numbers = decode_frame(message.value() or b"").transactions["source_partition"]
        except BrokenFrame:
            # another version's frame: the payees hop refuses it with a reason; here it only is not counted
            continue
        sources, found = np.unique(numbers, return_counts=True)
        for source, count in zip(sources.tolist(), found.tolist(), strict=True):
            counts[source] = counts.get(source, 0) + count
    return counts
