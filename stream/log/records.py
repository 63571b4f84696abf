"""The seam between the hops and the log they live on: records, where offsets stand, one transaction at a time.

The worker meets it with Kafka (``transactions.py``, ``reader.py``); the simulator of bad days meets it with a log in
memory. Nothing here knows which.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from stream.arrays.packed import Packed
from stream.errors import RiskstreamError

Headers = list[tuple[str, str | bytes | None]]
PackedHeaders = Sequence[tuple[str, Packed | bytes]]


class Place(NamedTuple):
    """A topic (full name) and one of its partitions."""

    topic: str
    partition: int


class Record(NamedTuple):
    """A record as it was read."""

    offset: int
    timestamp: int
    """Kafka timestamp, ms since the epoch."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one partition, in offset order, without an object each.

    Parameters
    ----------
    offsets, timestamps : int64[n]
        Timestamps in ms since the epoch.
    values, keys
    begins
        The offset that reading stood at when these were read: the first one, or one before it with nothing to read in
        between; -1 where that is not known, -2 where they are not one stretch.

    Examples
    --------
    >>> records = RecordBatch.of([Record(7, 0, None, b"a"), Record(9, 0, b"k", None)])
    >>> len(records), records.value(1), records.key(0), records.next_offset
    (2, None, None, 10)
    """

    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    values: Packed
    keys: Packed
    begins: int = -1

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def next_offset(self) -> int:
        """Where to read on; there must be a record."""
        return int(self.offsets[-1]) + 1

    def value(self, place: int) -> bytes | None:
        """One record's value."""
        return self.values.nullable(place)

    def key(self, place: int) -> bytes | None:
        """One record's key."""
        return self.keys.nullable(place)

    def part(self, start: int, stop: int) -> RecordBatch:
        """Some of them, by their places."""
        return RecordBatch(
            self.offsets[start:stop], self.timestamps[start:stop],
            self.values.part(start, stop), self.keys.part(start, stop),
            self.begins if start == 0 else int(self.offsets[start - 1]) + 1,
        )  # fmt: skip

    def chosen(self, wanted: npt.NDArray[np.bool_]) -> RecordBatch:
        """Those that are wanted, their bytes not copied."""
        return RecordBatch(
            self.offsets[wanted], self.timestamps[wanted], self.values.chosen(wanted), self.keys.chosen(wanted),
            self.begins,
        )  # fmt: skip

    def without(self, offsets: Collection[int]) -> RecordBatch:
        """All but those at these offsets."""
        return self.chosen(~np.isin(self.offsets, np.array(sorted(offsets), np.int64))) if offsets else self

    def between(self, start: int, stop: int) -> RecordBatch:
        """Those of offsets from ``start`` up to ``stop``."""
        first, last = np.searchsorted(self.offsets, (start, stop))
        return self.part(int(first), int(last))

    @classmethod
    def of(cls, records: Sequence[Record], begins: int = -1) -> RecordBatch:
        """Records that were read one by one."""
        return cls(
            np.array([record.offset for record in records], np.int64),
            np.array([record.timestamp for record in records], np.int64),
            Packed.of([record.value for record in records]),
            Packed.of([record.key for record in records]),
            begins,
        )

    @classmethod
    def joined(cls, parts: Sequence[RecordBatch]) -> RecordBatch:
        """Those of several, in order."""
        if len(parts) == 1:
            return parts[0]
        empty = np.zeros(0, np.int64)
        return cls(
            np.concatenate([empty, *(part.offsets for part in parts)]),
            np.concatenate([empty, *(part.timestamps for part in parts)]),
            Packed.joined([part.values for part in parts]),
            Packed.joined([part.keys for part in parts]),
            _begins(parts),
        )


def _begins(parts: Sequence[RecordBatch]) -> int:
    """Where the first of some parts begins, if each begins where the one before it ends."""
    filled = [part for part in parts if len(part)]
    if any(after.begins != before.next_offset for before, after in pairwise(filled)):
        return -2
    return filled[0].begins if filled else -1


class Position(NamedTuple):
    """Where a group stands: the next offset to read, and who said so last."""

    offset: int
    owner: str


class PublishFailed(RiskstreamError):
    """A transaction did not commit, or nobody knows whether it did.

    Whoever gets this must forget its rows and its publisher, and recover: what the log holds is the truth.

    Parameters
    ----------
    fenced
        Another owner has taken over: the broker refuses this one.
    """

    def __init__(self, message: str, *, fenced: bool = False) -> None:
        super().__init__(message)
        self.fenced = fenced


class Publisher(Protocol):
    """Writes one transaction at a time."""

    def begin(self) -> None:
        """Open a transaction."""

    acknowledged: dict[Place, int]
    """Last acknowledged offset of each place that a tracked record was sent to."""

    def send(
        self, topic: str, value: bytes | None, key: bytes | None = None, partition: int = -1,
        headers: Headers | None = None, tracked: bool = False,
    ) -> None:  # fmt: skip
        """Add a record; partition -1 means by murmur2 of the key."""

    def send_many(
        self, topic: str, values: Packed, keys: Packed, headers: PackedHeaders = (), partition: int = -1
    ) -> None:
        """Add records, partition -1 as for :meth:`send`; a header's value is one for all, or one for each."""

    def take(self, offsets: Mapping[Place, int]) -> None:
        """Say which input offsets the open transaction stands for, before all its records are there: another thread
        may go on sending meanwhile.

        Raises
        ------
        PublishFailed
            As for :meth:`commit`.
        """

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Commit what was sent together with the input offsets it stands for, taken already or not.

        Raises
        ------
        PublishFailed
            Refused (a stale owner), aborted or unknown.
        """

    def close(self) -> None:
        """Let go of connections; an open transaction is aborted."""


def send_each(
    publisher: Publisher, topic: str, values: Packed, keys: Packed, headers: PackedHeaders = (), partition: int = -1
) -> None:
    """:meth:`Publisher.send_many` one by one, where nothing faster is needed."""
    for place, (value, key) in enumerate(zip(values, keys, strict=True)):
        own: Headers = [(name, column if isinstance(column, bytes) else column[place]) for name, column in headers]
        publisher.send(topic, value, key, partition, own or None)


class Reader(Protocol):
    """Reads committed records."""

    def positions(self, places: Sequence[Place]) -> dict[Place, Position]:
        """Where the group stands; places it never committed stand at the log's beginning, owned by nobody."""

    def watermarks(self, place: Place) -> tuple[int, int]:
        """First offset that the log still has, and its end (last stable offset)."""

    def read(self, place: Place, start: int, stop: int | None = None) -> Iterator[list[Record]]:
        """Committed records from ``start`` up to ``stop`` (exclusive), or to the last stable offset as of now."""

    def read_many(self, place: Place, start: int, stop: int | None = None) -> Iterator[RecordBatch]:
        """The same without an object a record, and without headers."""
