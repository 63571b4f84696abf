"""What waits in front of a worker: records not yet taken, and transactions between the hops.

The number of records between two offsets cannot be had by subtraction: transactions leave control records, and aborted
ones records that nobody sees. So what waits is read, as far as it is short: up to ``PEEK_RECORDS`` of a partition, or
``PEEK_FRAMES`` between the hops, are counted one by one, and what lies behind them is estimated from how densely these
lie. An idle line shows 0 exactly, a line that keeps up shows exact numbers, a line far behind an estimate.

What lies behind a producer's open transaction waits too (``open_transactions.py``). Offsets are all that is told of it at
first; where the transaction stays open, records are counted, those of aborted transactions among them.
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

from stream.core.frame.frame import BrokenFrame, decode_frame
from stream.log.connect import consumer_config
from stream.log.credentials import librdkafka
from stream.log.patience import passes, patiently
from stream.log.records import Place
from stream.settings import Settings
from stream.worker.health.open_transactions import Waiting

PEEK_RECORDS: Final = 64
PEEK_FRAMES: Final = 16
"""A frame holds up to a batch of transactions, some hundred kilobytes: fewer of them say as much."""
PEEK_S: Final = 1.0
REQUEST_TIMEOUT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class WaitingPartition:
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
    first_ms
        Kafka timestamp of the first of them, ms; 0 where it was not read.
    """

    start: int
    end: int
    records: int
    exact: bool
    transactions: Mapping[int, int] = field(default_factory=dict)
    first_ms: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading: where each input partition stands and what waits behind it."""

    positions: dict[Place, int]
    unread: dict[Place, WaitingPartition]
    waiting: dict[Place, Waiting] = field(default_factory=dict)
    """What lies behind open transactions, where there are such."""

    @property
    def lag(self) -> dict[Place, int]:
        """Records not yet read, to the end of the log."""
        return {
            place: unread.records + (self.waiting[place].records if place in self.waiting else 0)
            for place, unread in self.unread.items()
        }

    def of(self, places: Collection[Place]) -> Sample:
        """What was read of these places alone."""
        return Sample(
            {place: at for place, at in self.positions.items() if place in places},
            {place: unread for place, unread in self.unread.items() if place in places},
            {place: waiting for place, waiting in self.waiting.items() if place in places},
        )

    def in_flight(self, transactions: str) -> dict[Place, int]:
        """Transactions not yet decided, by source partition, as far as this worker's partitions hold them.

        Those that the accounts hop has not taken, behind open transactions too, and those in frames that the payees hop has not taken. A frame may
        wait at another worker than the one that took its transactions: the sum over workers is the whole.
        """
        waiting: dict[Place, int] = {}
        lag = self.lag
        for place, unread in self.unread.items():
            if place.topic == transactions:
                waiting[place] = waiting.get(place, 0) + lag[place]
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
        self._peek_behind = Consumer({**peek, "isolation.level": "read_uncommitted"})
        self._stable: dict[Place, int] = {}
        """Where open transactions began, by the last sample."""
        self._known: dict[Place, WaitingPartition] = {}

    def close(self) -> None:
        """Let go of the connections."""
        self._group.close()
        self._peek.close()
        self._peek_behind.close()

    def committed(self, places: Sequence[Place]) -> dict[Place, int]:
        """Where the group stands; places it has never committed are left out.

        Raises
        ------
        KafkaException
            The broker does not answer.
        """
        asked = [TopicPartition(p.topic, p.partition) for p in places]

        def ask() -> list[TopicPartition]:
            answers: list[TopicPartition] = self._group.committed(asked, self._timeout_s)
            failed = next((place.error for place in answers if place.error is not None), None)
            if failed is not None:
                raise KafkaException(failed)
            return answers

        found = patiently(ask, self._timeout_s)
        return {Place(place.topic, place.partition): place.offset for place in found if place.offset >= 0}

    def sample(self, positions: Mapping[Place, int]) -> Sample:
        """What waits behind these positions.

        Raises
        ------
        KafkaException
            The broker does not answer.
        """
        ends = self._ends(list(positions))
        waiting = self._behind(ends)
        unread = {}
        unsure = []
        for place, end in ends.items():
            start, known = positions[place], self._known.get(place)
            if end <= start:
                unread[place] = WaitingPartition(start, end, 0, exact=True)
            elif known is not None and (known.start, known.end) == (start, end):
                unread[place] = known
            elif place.topic == self._frames or end - start <= PEEK_RECORDS or (known and known.start == start):
                unsure.append(place)
            else:
                unread[place] = WaitingPartition(start, end, end - start, exact=False)
        cut: set[Place] = set()
        if unsure:
            counted, cut = self._count(self._peek, {place: (positions[place], ends[place]) for place in unsure})
            unread |= counted
        # what its time cut short is counted again, though nothing may have moved
        self._known = {place: found for place, found in unread.items() if place not in cut}
        return Sample(dict(positions), unread, waiting)

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
        patiently(lambda: self._admin.list_topics(self._frames, self._timeout_s), self._timeout_s)

    def _behind(self, ends: Mapping[Place, int]) -> dict[Place, Waiting]:
        """What lies behind stable ends; counted where one stands still since the last sample."""
        if not ends:
            self._stable = {}
            return {}
        last = self._ends(list(ends), IsolationLevel.READ_UNCOMMITTED)
        waits = {place: (stable, last[place]) for place, stable in ends.items() if stable < last[place]}
        stuck = {place: span for place, span in waits.items() if self._stable.get(place) == span[0]}
        counted = self._count(self._peek_behind, stuck)[0] if stuck else {}
        self._stable = {place: stable for place, (stable, _) in waits.items()}
        found = {place: Waiting(at.start, at.records, at.first_ms) for place, at in counted.items()}
        for place, (stable, end) in waits.items():
            # the hops' own transactions are open all the time, and for some milliseconds each
            found.setdefault(place, Waiting(stable, 0 if place.topic == self._frames else end - stable))
        return found

    def _ends(
        self, places: Sequence[Place], level: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> dict[Place, int]:  # fmt: skip
        if not places:
            self.ping()
            return {}
        return self._ask(places, OffsetSpec.latest(), level)  # type: ignore[no-untyped-call]

    def _ask(
        self, places: Sequence[Place], spec: OffsetSpec, level: IsolationLevel = IsolationLevel.READ_COMMITTED
    ) -> dict[Place, int]:  # fmt: skip
        asked = {TopicPartition(place.topic, place.partition): spec for place in places}

        def ask() -> dict[Place, int]:
            answers = self._admin.list_offsets(asked, isolation_level=level, request_timeout=self._timeout_s)
            return {
                # the request's own time-out comes first, as a KafkaException
                Place(place.topic, place.partition): answer.result(2 * self._timeout_s).offset
                for place, answer in answers.items()
            }

        # librdkafka asks those who led before until it has learned who leads now
        return patiently(ask, self._timeout_s, again=lambda: self._admin.list_topics(timeout=self._timeout_s))

    def _count(
        self, peek: Consumer, spans: Mapping[Place, tuple[int, int]]
    ) -> tuple[dict[Place, WaitingPartition], set[Place]]:  # fmt: skip
        """Read a little of each partition; also returns the places whose records did not come in time."""
        found: dict[Place, list[Any]] = {place: [] for place in spans}
        open_places = set(spans)
        peek.assign([TopicPartition(p.topic, p.partition, start) for p, (start, _) in spans.items()])
        until = time.monotonic() + PEEK_S
        while open_places and time.monotonic() < until:
            messages: list[Any] = peek.consume(PEEK_RECORDS, 0.02)
            for message in messages:
                place = Place(message.topic(), message.partition())
                error = message.error()
                if error is None and message.offset() < spans[place][1] and len(found[place]) < self._most(place):
                    found[place].append(message)
                elif error is not None and error.code() != KafkaError._PARTITION_EOF:
                    if passes(error):
                        continue  # what does not come in time is told from offsets
                    raise KafkaException(error)
                # not paused when there is enough: librdkafka would remember that beyond the assignment
                if (
                    error is not None
                    or message.offset() + 1 >= spans[place][1]
                    or len(found[place]) >= self._most(place)
                ):
                    open_places.discard(place)
        peek.unassign()
        counted = {
            place: self._estimate(place, start, end, found[place], place in open_places)
            for place, (start, end) in spans.items()
        }
        return counted, open_places

    def _most(self, place: Place) -> int:
        """So many records of a partition are counted."""
        return PEEK_FRAMES if place.topic == self._frames else PEEK_RECORDS

    def _estimate(self, place: Place, start: int, end: int, messages: list[Any], cut: bool) -> WaitingPartition:
        """What lies between two offsets, from the first records there."""
        if cut and not messages:
            # nothing came in time: offsets are all there is to tell from
            return WaitingPartition(start, end, end - start, exact=False)
        exact = not cut and len(messages) < self._most(place)
        scale = 1.0 if exact else (end - start) / (messages[-1].offset() + 1 - start)
        sources = _sources(messages) if place.topic == self._frames else {}
        return WaitingPartition(
            start, end, round(len(messages) * scale), exact,
            {source: round(count * scale) for source, count in sources.items()},
            messages[0].timestamp()[1] if messages else 0,
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
