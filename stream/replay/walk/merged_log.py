"""Logs in one order: by the time each record stands for, every log's own order kept."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


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


class TopicLog(Protocol):
    """Where topics are read."""

    def partitions(self, topic: str) -> int:
        """How many partitions a topic (contract name) has."""

    def read(self, topic: str, partition: int, *, ranged: bool) -> Iterator[Sequence[LogRecord]]:
        """Its committed records in chunks, in order; ``ranged``: those of the asked range, else all."""

    def last(self, topic: str, partition: int) -> LogRecord | None:
        """The last record of the asked range."""

    def records(self, topic: str) -> int:
        """How many records the asked range has at most."""


class Timed(NamedTuple, Generic[T]):
    """Something and the time it stands for, µs."""

    time: int
    what: T


@dataclass(slots=True)
class _Ahead(Generic[T]):
    """One log, read a chunk ahead."""

    chunks: Iterator[Sequence[Timed[T]]]
    times: list[int] = field(default_factory=list)
    waiting: list[T] = field(default_factory=list)
    reached: int = -(2**62)
    ended: bool = False

    def refill(self) -> None:
        """Read the next chunk. What is timed before the one ahead of it keeps its place behind it."""
        chunk = next(self.chunks, None)
        if chunk is None:
            self.ended = True
            return
        for time, what in chunk:
            self.reached = max(self.reached, time)
            self.times.append(self.reached)
            self.waiting.append(what)

    def take(self, limit: int | None) -> list[tuple[int, T]]:
        """What is timed before ``limit``."""
        taken = len(self.times) if limit is None else bisect_left(self.times, limit)
        run = list(zip(self.times[:taken], self.waiting[:taken], strict=True))
        del self.times[:taken], self.waiting[:taken]
        return run


def merged(logs: Sequence[Iterator[Sequence[Timed[T]]]]) -> Iterator[list[T]]:
    """Runs of all logs' records in order; at equal times earlier logs come first. A chunk or two of each log waits.

    >>> a = iter([[Timed(5, "a"), Timed(9, "c")]])
    >>> b = iter([[Timed(7, "b")], [Timed(6, "behind b")]])
    >>> [record for run in merged([a, b]) for record in run]
    ['a', 'b', 'behind b', 'c']
    """
    ahead = [_Ahead(chunks) for chunks in logs]
    while True:
        for one in ahead:
            while not one.waiting and not one.ended:
                one.refill()
        # what is timed as the last one read of a log may still be followed by more of the same time
        limit = min((one.reached for one in ahead if not one.ended), default=None)
        run: list[tuple[int, T]] = []
        for one in ahead:
            run += one.take(limit)
        run.sort(key=_time)
        if run:
            yield [what for _, what in run]
        elif limit is None:
            return
        else:
            for one in ahead:
                if not one.ended and one.reached == limit:
                    one.refill()


def _time(item: tuple[int, object]) -> int:
    return item[0]
