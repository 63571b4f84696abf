"""A transactional log in memory, as adversarial as Kafka's documentation lets a real one be.

What is modelled: offsets with control records, read committed up to the last stable offset, transactions that stay
open when their owner dies and block readers until somebody fences them or they time out, commits that are refused
(stale generation, fenced epoch), commits nobody knows the outcome of, the markers of a commit that reach one
partition sooner than another and the group's offsets at another time again, records that reach one partition before
another, and the group's offsets with the owner in their metadata (KIP-98, KIP-360, KIP-447, KIP-890's first half).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from simulation.traffic import Event

from stream.arrays.packed import Packed
from stream.core.edge.partition import partition_of
from stream.log.reader import ReadFailed
from stream.log.records import Headers, PackedHeaders, Place, Position, PublishFailed, Record, RecordBatch, send_each
from stream.log.transactions import Membership

TRANSACTION_TIMEOUT_S = 10.0
READ_STALL_S = 30.0
OPEN, COMMITTED, ABORTED = "open", "committed", "aborted"


class Caller(Protocol):
    """The process that uses the log."""

    killed: bool

    def operation(self) -> None:
        """Before each operation: the scheduler may stop or end the process here."""

    def pause(self) -> None:
        """Wait for others."""


@dataclass(eq=False)
class Transaction:
    """One transaction of one producer."""

    transactional_id: str
    began: float
    state: str = OPEN
    places: dict[Place, int] = field(default_factory=dict)
    """First offset in every partition whose marker is not written yet."""
    offsets: dict[Place, int] = field(default_factory=dict)
    """Group offsets that were accepted and whose marker is not written yet."""

    @property
    def settled(self) -> bool:
        """Whether everybody sees how it ended."""
        return self.state != OPEN and not self.places and not self.offsets


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, or a control record where there is none, and its transaction."""

    record: Record | None
    transaction: Transaction | None


class SimulatedLog:
    """Topics, producers and the offsets of one group.

    Parameters
    ----------
    partitions
        Of every topic.
    random
        Decides what Kafka leaves open.
    now
        Time, s.
    valid
        Whether a membership is the group's current one.
    """

    def __init__(
        self, partitions: int, random: random.Random, now: Callable[[], float], valid: Callable[[Membership], bool]
    ) -> None:
        self.partitions = partitions
        self.random = random
        self.now = now
        self.valid = valid
        self.entries: dict[Place, list[Entry]] = {}
        self.low: dict[Place, int] = {}
        """First offset that retention has left, where it has deleted any."""
        self.made: dict[str, int] = {}
        """How often a topic was deleted and made anew."""
        self.group: dict[Place, Position] = {}
        self.epochs: dict[str, int] = {}
        self.unsettled: list[Transaction] = []
        self.timed_out: list[str] = []
        """Ids whose transaction was ended by its time-out."""
        self.fenced_open = 0
        """Transactions that a new producer of the same id found open."""
        self.unmeasured = 0
        """So many events are written before anybody knows the broker's time."""
        self._written, self._broker_ms = 0, 0
        self.memberships: dict[str, Membership] = {}
        """Of each id's owner."""

    def granted(self, membership: Membership) -> bool:
        """Whether the group takes offsets of this membership."""
        return self.valid(membership)

    @property
    def broker_ms(self) -> int | None:
        """The broker's time, None while nobody knows it."""
        return self._broker_ms if self._written > self.unmeasured else None

    # --- records

    def append(self, place: Place, record: Record, transaction: Transaction | None = None) -> int:
        """Add a record; returns its offset."""
        entries = self.entries.setdefault(place, [])
        offset = len(entries)
        entries.append(Entry(record._replace(offset=offset), transaction))
        if transaction is not None:
            transaction.places.setdefault(place, offset)
        return offset

    def write(self, event: Event) -> None:
        """The bank writes; its own transactions leave control records."""
        self._written += 1
        self._broker_ms = max(self._broker_ms, event.sent)
        if event.expect == "gap":
            self.entries.setdefault(event.place, []).append(Entry(None, None))
        else:
            self.append(event.place, Record(-1, event.timestamp, event.key, event.value))

    def end(self, place: Place) -> int:
        """Offset behind the last entry."""
        return len(self.entries.get(place, ()))

    def stable_end(self, place: Place) -> int:
        """Last stable offset: what is behind belongs to transactions that this partition does not know the end of."""
        return min((t.places[place] for t in self.unsettled if place in t.places), default=self.end(place))

    def committed(self, place: Place, start: int, stop: int) -> list[Record]:
        """What a committed reader gets."""
        return [
            entry.record
            for entry in self.entries.get(place, [])[start : min(stop, self.stable_end(place))]
            if entry.record is not None and (entry.transaction is None or entry.transaction.state == COMMITTED)
        ]

    def counts(self, entry: Entry) -> bool:
        """Whether an entry is, or may become, a committed record."""
        return entry.record is not None and (entry.transaction is None or entry.transaction.state != ABORTED)

    # --- transactions

    def initialise(self, transactional_id: str) -> int:
        """A new epoch of an id: its open transaction is aborted, one that is ending is waited for."""
        for transaction in [t for t in self.unsettled if t.transactional_id == transactional_id]:
            if transaction.state == OPEN:
                self.fenced_open += 1
                self.finish(transaction, ABORTED)
            self.settle(transaction)
        self.epochs[transactional_id] = self.epochs.get(transactional_id, -1) + 1
        return self.epochs[transactional_id]

    def begin(self, transactional_id: str) -> Transaction:
        """Open a transaction; the id's last one is waited for."""
        for transaction in [t for t in self.unsettled if t.transactional_id == transactional_id]:
            self.settle(transaction)
        opened = Transaction(transactional_id, self.now())
        self.unsettled.append(opened)
        return opened

    def finish(self, transaction: Transaction, state: str) -> None:
        """Decide how a transaction ended; who is told when is another matter."""
        assert transaction.state == OPEN
        transaction.state = state
        self._forget_if_settled(transaction)

    def settle_some(self) -> None:
        """Tell some partition how some transaction ended."""
        ending = [t for t in self.unsettled if t.state != OPEN]
        if ending:
            transaction = self.random.choice(ending)
            told: list[Place | None] = [*transaction.places, *([None] if transaction.offsets else [])]
            self.mark(transaction, self.random.choice(told))

    def settle(self, transaction: Transaction) -> None:
        """Tell everybody how a transaction ended."""
        for place in list(transaction.places):
            self.mark(transaction, place)
        if transaction.offsets:
            self.mark(transaction, None)

    def has_open(self, member: str) -> bool:
        """Whether a member of the group has a transaction open."""
        return any(
            t.state == OPEN and self.memberships[t.transactional_id].member == member and t.places
            for t in self.unsettled
        )

    def expire(self) -> None:
        """Abort what has been open for too long; its producer is fenced."""
        for transaction in list(self.unsettled):
            if transaction.state == OPEN and self.now() - transaction.began > TRANSACTION_TIMEOUT_S:
                self.timed_out.append(transaction.transactional_id)
                self.epochs[transaction.transactional_id] += 1
                self.finish(transaction, ABORTED)

    def mark(self, transaction: Transaction, place: Place | None) -> None:
        """Write a marker: into a partition, or (None) into the group's offsets."""
        if place is not None:
            del transaction.places[place]
            self.entries[place].append(Entry(None, transaction))
        else:
            if transaction.state == COMMITTED:
                for at, offset in transaction.offsets.items():
                    self.group[at] = Position(offset, transaction.transactional_id)
            transaction.offsets = {}
        self._forget_if_settled(transaction)

    def _forget_if_settled(self, transaction: Transaction) -> None:
        if transaction.settled:
            self.unsettled.remove(transaction)


class SimulatedPublisher:
    """See :class:`stream.log.records.Publisher`."""

    def __init__(self, log: SimulatedLog, caller: Caller, transactional_id: str, membership: Membership) -> None:
        caller.operation()
        self._log = log
        self._caller = caller
        self._id = transactional_id
        self._membership = membership
        self._epoch = log.initialise(transactional_id)
        log.memberships[transactional_id] = membership
        self._open: Transaction | None = None
        self._queues: dict[Place, list[tuple[Record, bool]]] = {}
        self.acknowledged: dict[Place, int] = {}

    def begin(self) -> None:
        """Open a transaction, on this side only: the log hears of it with the first record."""
        assert self._open is None, "begun twice"
        self._queues = {}

    def send(
        self, topic: str, value: bytes | None, key: bytes | None = None, partition: int = -1,
        headers: Headers | None = None, tracked: bool = False,
    ) -> None:  # fmt: skip
        """Queue a record; what has arrived when this one is sent is a matter of chance."""
        number = partition if partition >= 0 else partition_of(key or b"", self._log.partitions)
        named = tuple((name, text.encode() if isinstance(text, str) else text or b"") for name, text in headers or [])
        record = Record(-1, round(self._log.now() * 1000), key, value, named)
        self._queues.setdefault(Place(topic, number), []).append((record, tracked))
        if self._log.random.random() < 0.1:
            self._arrive(self._log.random.choice(list(self._queues)))

    def send_many(
        self, topic: str, values: Packed, keys: Packed, headers: PackedHeaders = (), partition: int = -1
    ) -> None:
        """Queue them one by one."""
        send_each(self, topic, values, keys, headers, partition)

    def take(self, offsets: Mapping[Place, int]) -> None:
        """Send offsets beside the records: before all of them, or somewhere among them."""
        if self._log.random.random() < 0.5:
            self._offsets_arrive(offsets)

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Send what is queued, then offsets not sent yet, then the end: between any two of them everything can happen."""
        arriving: list[Place | None] = [*self._queues, None]
        for place in self._log.random.sample(arriving, len(arriving)):
            if place is not None:
                self._arrive(place)
            else:
                self._offsets_arrive(offsets)
        if self._open is None:
            return
        self._caller.operation()
        transaction, outcome = self._transaction(), self._log.random.random()
        if outcome < 0.02:
            raise PublishFailed(f"transaction of {self._id}: timed out before the broker heard of it")
        self._log.finish(transaction, COMMITTED)
        self._open = None
        self._caller.operation()
        if outcome < 0.04:
            raise PublishFailed(f"transaction of {self._id}: timed out, and the broker has committed it")

    def close(self) -> None:
        """Abort what is open; a dead process and a fenced one reach nobody."""
        opened, self._open = self._open, None
        alive = not self._caller.killed and self._epoch == self._log.epochs[self._id]
        if opened is not None and opened.state == OPEN and alive:
            self._log.finish(opened, ABORTED)

    def _arrive(self, place: Place) -> None:
        self._caller.operation()
        transaction = self._transaction()
        for record, tracked in self._queues.pop(place):
            offset = self._log.append(place, record, transaction)
            if tracked:
                self.acknowledged[place] = offset

    def _offsets_arrive(self, offsets: Mapping[Place, int]) -> None:
        taken = self._open.offsets if self._open is not None else {}
        if all(taken.get(place) == offset for place, offset in offsets.items()):
            return
        self._caller.operation()
        transaction = self._transaction()
        if not self._log.granted(self._membership):
            raise PublishFailed(f"transaction of {self._id}: Broker: Specified group generation id is not valid")
        transaction.offsets.update(offsets)

    def _transaction(self) -> Transaction:
        if self._epoch != self._log.epochs[self._id]:
            raise PublishFailed(f"transaction of {self._id}: fenced by a newer producer, or timed out")
        if self._open is None:
            self._open = self._log.begin(self._id)
        return self._open


class SimulatedReader:
    """See :class:`stream.worker.ownership.recovery.RecoveryReader`."""

    def __init__(self, log: SimulatedLog, caller: Caller) -> None:
        self._log = log
        self._caller = caller
        self.records_read = 0

    def owners(self, places: Sequence[Place]) -> dict[Place, str]:
        """Owners of offsets whose marker has come."""
        self._caller.operation()
        return {place: self._log.group[place].owner for place in places if place in self._log.group}

    def positions(self, places: Sequence[Place]) -> dict[Place, Position]:
        """Where the group stands; offsets that are pending are waited for, and they alone."""
        self._caller.operation()
        deadline = self._log.now() + READ_STALL_S
        while pending := [t for t in self._log.unsettled if t.offsets.keys() & set(places)]:
            for transaction in pending:
                if transaction.state != OPEN:
                    self._log.mark(transaction, None)
            if self._log.now() > deadline:
                raise ReadFailed("offsets of the group: pending for too long")
            if any(t.state == OPEN for t in pending):
                self._caller.pause()
        return {place: self._log.group.get(place, Position(0, "")) for place in places}

    def watermarks(self, place: Place) -> tuple[int, int]:
        """First offset that is still there, and the last stable offset."""
        self._caller.operation()
        return self._log.low.get(place, 0), self._log.stable_end(place)

    def read(self, place: Place, start: int, stop: int | None = None) -> Iterator[list[Record]]:
        """Chunks of committed records up to the last stable offset as of now."""
        self._caller.operation()
        end = self._log.stable_end(place)
        start, stop = max(start, self._log.low.get(place, 0)), end if stop is None else min(stop, end)
        while start < stop:
            upto = min(stop, start + self._log.random.randint(1, 40))
            chunk = self._log.committed(place, start, upto)
            if chunk:
                self.records_read += len(chunk)
                yield chunk
                self._caller.operation()
            start = upto

    def read_many(self, place: Place, start: int, stop: int | None = None) -> Iterator[RecordBatch]:
        """The same without an object a record."""
        for chunk in self.read(place, start, stop):
            yield RecordBatch.of(chunk)

    def close(self) -> None:
        """Nothing to let go of."""


class ConnectedLog:
    """The log as one process sees it; see :class:`stream.worker.ownership.recovery.LineLog`."""

    transactional = True

    def __init__(self, log: SimulatedLog, caller: Caller) -> None:
        self.log = log
        self._caller = caller

    def reader(self) -> SimulatedReader:
        """A new reader."""
        return SimulatedReader(self.log, self._caller)

    def identity(self, topic: str) -> str:
        """The id of a topic, which its name's next bearer does not have."""
        return f"cluster/{topic}/{self.log.made.get(topic, 0)}"

    def publisher(self, transactional_id: str, membership: Membership) -> SimulatedPublisher:
        """A new publisher; an older one of the same id is fenced."""
        return SimulatedPublisher(self.log, self._caller, transactional_id, membership)

    def fence(self, transactional_id: str) -> None:
        """Take over an id."""
        self._caller.operation()
        self.log.initialise(transactional_id)
