"""A replica: the rows of one partition of a hop as their changelog has them.

What a recovery begins with, whatever filled it so far: nothing, a snapshot on disk (``snapshot.py``), or a standby copy
that followed the changelog (``standbys.py``). :meth:`Replica.read_on` takes it to the changelog's end. Rows and marker of
a checkpoint are one transaction, and a committed reader's end of a partition lies before or behind a transaction, never
within: a replica that has been read to the end holds exactly the rows that its last marker speaks of.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import orjson

from stream.core.rows import RowTable
from stream.errors import RiskstreamError
from stream.worker.checkpoint import BESIDE, MARKER_KEY, Marker
from stream.worker.log import Place, Reader, Records

logger = logging.getLogger("riskstream.recovery")
Core = TypeVar("Core")
TELL_S = 5.0
"""A read that lasts says so often how far it is."""


class ReplicaRefused(RiskstreamError):
    """A replica that must not be trusted: the rows are read from the changelog's beginning instead."""


def _always() -> bool:
    return True


@dataclass(eq=False, slots=True)
class Replica(Generic[Core]):
    """See the module.

    Parameters
    ----------
    place
        Where the changelog is.
    core
        The hop of the pure core that owns the tables.
    table, beside
        The rows; ``beside`` are further tables of the same changelog.
    marker, marked
        The last marker read, and its offset; -1 where there was none.
    next_offset
        Where to read on in the changelog.
    vouched
        Offset of a marker: before it (or a later one) has been read, rows may be newer than the marker says.
    """

    place: Place
    core: Core
    table: RowTable
    beside: tuple[RowTable, ...] = ()
    marker: Marker | None = None
    marked: int = -1
    next_offset: int = 0
    vouched: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def tables(self) -> tuple[RowTable, ...]:
        """All tables."""
        return (self.table, *self.beside)

    @property
    def bytes(self) -> int:
        """Memory of the rows, bytes."""
        return sum(table.bytes_held for table in self.tables)

    def read_on(self, reader: Reader, wanted: Callable[[], bool] = _always) -> bool:
        """Read to the changelog's end as of now; returns whether it came there.

        Parameters
        ----------
        wanted
            Asked before records are taken: somebody else may have taken the replica over meanwhile.

        Raises
        ------
        ReplicaRefused
            The changelog is not the one that the replica was filled from.
        """
        low, end = reader.watermarks(self.place)
        if self.next_offset and not low <= self.next_offset <= end:
            raise ReplicaRefused(
                f"{self._name}: rows up to offset {self.next_offset}, but the changelog holds {low} to {end}"
            )
        told = time.monotonic()
        for records in reader.read_many(self.place, self.next_offset, end):
            with self._lock:
                if not wanted():
                    return False
                self._take(records)
            if time.monotonic() - told > TELL_S:
                told = time.monotonic()
                logger.info("%s: at offset %d of %d, %d rows", self._name, self.next_offset, end, len(self.table))
        if self.marked < self.vouched:
            raise ReplicaRefused(
                f"{self._name}: the marker at offset {self.vouched}, which its rows rest on, is not there any more"
            )
        return True

    def taken(self) -> None:
        """Wait until nobody is in the midst of taking records; whoever is has to ask ``wanted`` after that."""
        with self._lock:
            pass

    @property
    def _name(self) -> str:
        return f"{self.place.topic}[{self.place.partition}]"

    def _take(self, records: Records) -> None:
        first = records.keys.data[records.keys.starts]
        is_marker = first == MARKER_KEY[0]
        markers = np.flatnonzero(is_marker)
        if len(markers):
            last = int(markers[-1])
            self.marker, self.marked = orjson.loads(records.values[last]), int(records.offsets[last])
        is_beside = [first == prefix[0] for prefix in BESIDE]
        self.table.put(records.chosen(~is_marker & ~np.any(is_beside, axis=0)).values)
        for table, chosen in zip(self.beside, is_beside, strict=False):
            table.put(records.chosen(chosen).values)
        self.next_offset = records.next_offset


class RowHop(Protocol):
    """A hop as far as replicas of its rows are concerned."""

    name: str

    def changelog(self, partition: int) -> Place:
        """Where one partition's rows are written to."""

    def replica(self, partition: int) -> Replica[Any]:
        """An empty one."""


class RowSource(Protocol):
    """Where rows can be had faster than from the changelog's beginning."""

    what: str
    """In words, for the log."""

    def take(self, hop: RowHop, partition: int) -> Replica[Any] | None:
        """A replica to read on from, which the source then forgets; None where it has none.

        Raises
        ------
        ReplicaRefused
            What it has cannot be trusted.
        """
