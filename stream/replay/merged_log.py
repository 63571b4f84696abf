"""Partitions of several topics as one log: in the order of their Kafka timestamps, each partition's own order kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


class LogRecord(Protocol):
    """A record as it was read."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """Kafka timestamp, ms since the epoch."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """What it says."""


@dataclass(slots=True)
class Partition:
    """One partition that is merged.

    Parameters
    ----------
    topic
        Number of its topic; at equal timestamps lower ones come first.
    partition
        Its number.
    chunks
        Its records, in order.
    """

    topic: int
    partition: int
    chunks: Iterator[Sequence[LogRecord]]
    waiting: list[tuple[int, int, int, LogRecord]] = field(default_factory=list)
    reached: int = -(2**62)
    ended: bool = False

    def refill(self) -> None:
        """Read the next chunk. A record stamped before the one ahead of it keeps its place behind it."""
        chunk = next(self.chunks, None)
        if chunk is None:
            self.ended = True
            return
        for record in chunk:
            self.reached = max(self.reached, record.timestamp)
            self.waiting.append((self.reached, self.topic, self.partition, record))


def merged(partitions: Sequence[Partition]) -> Iterator[list[tuple[int, int, LogRecord]]]:
    """Runs of (topic number, partition, record) in order; what waits is a chunk or two of each partition.

    >>> from collections import namedtuple
    >>> R = namedtuple("R", "offset timestamp key value")
    >>> a = Partition(0, 0, iter([[R(0, 5, None, b"a"), R(1, 9, None, b"c")]]))
    >>> b = Partition(0, 1, iter([[R(0, 7, None, b"b")], [R(1, 6, None, b"b2")]]))
    >>> [record.value for run in merged([a, b]) for _, _, record in run]
    [b'a', b'b', b'b2', b'c']
    """
    while True:
        for one in partitions:
            while not one.waiting and not one.ended:
                one.refill()
        open_ends = [one.reached for one in partitions if not one.ended]
        # what is stamped as the last record read of a partition may still be followed by more of the same stamp
        limit = min(open_ends) if open_ends else None
        run: list[tuple[int, int, int, LogRecord]] = []
        for one in partitions:
            taken = _below(one.waiting, limit)
            run += one.waiting[:taken]
            del one.waiting[:taken]
        run.sort(key=lambda item: item[:3])
        if run:
            yield [(topic, partition, record) for _, topic, partition, record in run]
        elif limit is None:
            return
        else:
            for one in partitions:
                if not one.ended and one.reached == limit:
                    one.refill()


def _below(waiting: list[tuple[int, int, int, LogRecord]], limit: int | None) -> int:
    """How many records of a partition come before ``limit``."""
    if limit is None:
        return len(waiting)
    low, high = 0, len(waiting)
    while low < high:
        middle = (low + high) // 2
        if waiting[middle][0] < limit:
            low = middle + 1
        else:
            high = middle
    return low
