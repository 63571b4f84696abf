"""Producers' transactions that stay open: no reader of committed records gets past them, whatever others send behind.

The bank's core may die in the midst of one; Kafka ends it by its time-out, a minute by most clients' default and up to a
quarter of an hour. What waits meanwhile is lag, though a committed reader cannot see it, and no fault of the worker's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from stream.log.records import Place

EARLIEST_S: Final = 3_600.0
"""A first record stamped longer ago says nothing about the transaction's age: producers may stamp with past times."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What lies behind a partition's stable end.

    Parameters
    ----------
    stable
        Where committed readers end: the first offset of the oldest open transaction.
    records
        Behind it, to the end of the log; what is being aborted too.
    first_ms
        Kafka timestamp of the record at ``stable``, ms; 0 where it was not read.
    """

    stable: int
    records: int
    first_ms: int = 0


@dataclass(frozen=True, slots=True)
class OpenTransaction:
    """A transaction that stays open: where, since when (wall clock, s since the epoch), for how long, before what."""

    place: Place
    offset: int
    since: float
    seconds: float
    records: int

    def __str__(self) -> str:
        since = datetime.fromtimestamp(self.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            f"{self.place.topic}[{self.place.partition}]: {self.records} records wait at a producer's transaction that is "
            f"open since {since} ({self.seconds:.0f} s), first offset {self.offset}: its producer commits, aborts or times "
            "out (kafka-transactions.sh describe-producers names it, abort ends it)"
        )


class OpenTransactionWatch:
    """Judges what was seen, without a clock or connection.

    Parameters
    ----------
    told_s
        A transaction that is open for longer is told of.

    Examples
    --------
    >>> judge, place = OpenTransactionWatch(told_s=5.0), Place("bank.transactions.v1", 3)
    >>> judge.observe(100.0, 1_000.0, {place: Waiting(4, 11, 998_000)})
    ([], [])
    >>> judge.seconds(100.0, place)
    2.0
    >>> found, ended = judge.observe(104.0, 1_004.0, {place: Waiting(4, 12, 998_000)})
    >>> found[0].offset, found[0].seconds, found[0].records
    (4, 6.0, 12)
    >>> judge.observe(105.0, 1_005.0, {})[1]
    [Place(topic='bank.transactions.v1', partition=3)]
    """

    def __init__(self, told_s: float) -> None:
        self._told_s = told_s
        self._since: dict[Place, tuple[int, float, float]] = {}
        """First offset of each open transaction, and since when it is open: monotonic, and by the wall clock."""
        self._told: dict[Place, int] = {}

    def observe(
        self, at: float, wall: float, waiting: Mapping[Place, Waiting]
    ) -> tuple[list[OpenTransaction], list[Place]]:
        """Transactions that are open for long, and places that were told of and get on now.

        Parameters
        ----------
        at, wall
            Monotonic time and wall clock, s.
        waiting
            Partitions whose stable end lies before their end.
        """
        since = {}
        for place, seen in waiting.items():
            offset, began, began_wall = self._since.get(place, (-1, at, wall))
            if offset != seen.stable:
                began, began_wall = at, wall
            age = wall - seen.first_ms / 1000
            if at - began < age <= EARLIEST_S:
                began, began_wall = at - age, wall - age
            since[place] = seen.stable, began, began_wall
        self._since = since
        found = [
            OpenTransaction(place, offset, began_wall, at - began, waiting[place].records)
            for place, (offset, began, began_wall) in sorted(since.items())
            if at - began >= self._told_s
        ]
        now = {each.place: each.offset for each in found}
        ended = sorted(place for place, offset in self._told.items() if now.get(place) != offset)
        self._told = now
        return found, ended

    def seconds(self, at: float, place: Place) -> float:
        """For how long the oldest open transaction of a place is open; 0 without one."""
        found = self._since.get(place)
        return at - found[1] if found else 0.0
