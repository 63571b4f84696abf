"""A replica: the rows of one partition of a hop as their changelog has them.

What a recovery begins with, whatever filled it so far: nothing, a snapshot on disk (``row_snapshot.py``), or a standby copy
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
import numpy.typing as npt

from rules.bounded_json import NotReadable
from stream.core.columns import hash_id
from stream.core.table.row_table import RowTable, UnknownSchema
from stream.errors import RiskstreamError
from stream.log.records import Place, Reader, RecordBatch
from stream.log.set_aside import Reason, shown_key
from stream.worker.rows.changelog import (
    RowsRefused,
    first_bytes,
    is_known,
    is_row_of,
    owner_of,
    read_marker,
    strangers,
)
from stream.worker.rows.checkpoint import BESIDE, MARKER_KEY, ROWS, TOMBSTONES, Marker

logger = logging.getLogger("riskstream.recovery")
Core = TypeVar("Core")
TELL_S = 5.0
"""A read that lasts says so often how far it is."""


class ReplicaRefused(RiskstreamError):
    """A replica that must not be trusted: the rows are read from the changelog's beginning instead."""


Key = bytes
PassedOver = Callable[[Place, int, bytes | None, bytes | None, Reason, str], None]


def _always() -> bool:
    return True


def _none_forgotten(table: RowTable, slots: npt.NDArray[np.int64], marker: Marker) -> npt.NDArray[np.bool_]:
    return np.zeros(len(slots), np.bool_)


def _unseen(place: Place, offset: int, key: bytes | None, value: bytes | None, reason: Reason, why: str) -> None:
    logger.warning("%s[%d] offset %d: %s", place.topic, place.partition, offset, why)


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
    passed_over
        Told of records that are neither rows nor markers and change none (:meth:`stream.log.set_aside.SetAside.refuse`).
    """

    place: Place
    core: Core
    table: RowTable
    beside: tuple[RowTable, ...] = ()
    marker: Marker | None = None
    marked: int = -1
    next_offset: int = 0
    vouched: int = -1
    passed_over: PassedOver = _unseen
    forgotten: Callable[[RowTable, npt.NDArray[np.int64], Marker], npt.NDArray[np.bool_]] = _none_forgotten
    """Which rows of a table a marker's horizons have passed: those alone may be taken out."""
    _tombstones: list[tuple[int, Key]] = field(default_factory=list)
    """Offsets and keys of those that no marker has spoken of yet."""
    _passed: int = 0
    _read_before: bool = False
    _unreadable: str = ""
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
        RowsRefused
            A record that cannot be read stands where a row was, or rows are missing.
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
        self._check()
        return True

    def begun_at(self, start: int, vouched: int) -> None:
        """Its rows came from elsewhere: the changelog is read from ``start`` on, to ``vouched`` at least."""
        self.next_offset, self.vouched, self._read_before = start, vouched, True

    def taken(self) -> None:
        """Wait until nobody is in the midst of taking records; whoever is has to ask ``wanted`` after that."""
        with self._lock:
            pass

    @property
    def _name(self) -> str:
        return f"{self.place.topic}[{self.place.partition}]"

    def _take(self, records: RecordBatch) -> None:
        begun = 0
        for at in strangers(records, self.tables).tolist():
            self._put(records.part(begun, at))
            self._pass_over(records, at)
            begun = at + 1
        self._put(records.part(begun, len(records)))
        self.next_offset = records.next_offset

    def _pass_over(self, records: RecordBatch, at: int) -> None:
        """A record that is neither row nor marker: harmless where its key is no row's, as the marker counts the rows."""
        key, offset = records.key(at) or b"", int(records.offsets[at])
        value = records.value(at)
        if value is None and key and key != MARKER_KEY:
            self._tombstones.append((offset, key))
            return
        if value is None:
            what = "a null value"
        else:
            what = f"a value of {len(value)} bytes that is no row of this version under its key"
        version = int.from_bytes(value[:2], "little") if value is not None else 0
        owner, _ = owner_of(key, self.tables)
        if value is not None and is_row_of(key, value, self.table) and not (owner is not None and owner.knows(version)):
            raise UnknownSchema(
                f"{self._name} offset {offset}: a stored row has schema version {version} and {len(value)} bytes; this "
                f"version of riskstream writes version {self.table.schema}: run the version that wrote it"
            )
        if key == MARKER_KEY or is_known(key, self.tables):
            raise RowsRefused(self.place, offset, f"{what}, where key {shown_key(key)} has a row")
        reason: Reason = "deleted" if value is None else "foreign"
        self.passed_over(self.place, offset, key, value, reason, f"{what}; no row has its key: it changes none")

    def _put(self, records: RecordBatch) -> None:
        if not len(records):
            return
        first = first_bytes(records)
        is_marker = first == MARKER_KEY[0]
        markers = np.flatnonzero(is_marker)
        if self._tombstones and len(markers):
            # rows of the checkpoint that the tombstones belong to come before its marker, later ones behind it
            cut = int(markers[0])
            self._put_rows(records.part(0, cut))
            self._take_out(records, cut)
            records = records.part(cut, len(records))
            first, is_marker = first[cut:], is_marker[cut:]
            markers = np.flatnonzero(is_marker)
        if len(markers):
            last = int(markers[-1])
            self.marked, self._unreadable = int(records.offsets[last]), ""
            try:
                self.marker = read_marker(records.values[last])
            except NotReadable as error:
                self._unreadable = str(error)
        self._put_rows(records)

    def _put_rows(self, records: RecordBatch) -> None:
        first = first_bytes(records)
        is_beside = [first == prefix[0] for prefix in BESIDE]
        self.table.put(records.chosen((first != MARKER_KEY[0]) & ~np.any(is_beside, axis=0)).values)
        for table, chosen in zip(self.beside, is_beside, strict=False):
            table.put(records.chosen(chosen).values)

    def _take_out(self, records: RecordBatch, at: int) -> None:
        """A marker stands behind tombstones: those of its checkpoint are of rows that its horizons have passed."""
        try:
            marker = read_marker(records.values[at])
        except NotReadable:
            marker = {}
        known = [(offset, key) for offset, key in self._tombstones if is_known(key, self.tables)]
        ever = marker.get(TOMBSTONES, 0)
        if len(known) > ever - (self.marker or {}).get(TOMBSTONES, 0):
            self._refuse_tombstone(*known[0])
        for offset, key in known:
            table, own = owner_of(key, self.tables)
            assert table is not None, "its key is known"
            slots = table.lookup(np.array([hash_id(own.decode())], np.uint64))
            if slots[0] >= 0:
                # up to there a snapshot may have the row as it is since it came again, which is read further on
                if offset > self.vouched and not self.forgotten(table, slots, marker)[0]:
                    self._refuse_tombstone(offset, key)
                table.remove(slots, told=False)
        self._pass_tombstones(ever)

    def _pass_tombstones(self, ever: int) -> None:
        """What is left of them is of no row; those that checkpoints wrote and whose rows were compacted away are no news."""
        for offset, key in self._tombstones[max(ever - self._passed, 0) :]:
            self.passed_over(
                self.place, offset, key, None, "deleted", "a null value; no row has its key: it changes none"
            )
        self._passed += len(self._tombstones)
        self._tombstones = []

    def _refuse_tombstone(self, offset: int, key: Key) -> None:
        raise RowsRefused(self.place, offset, f"a null value, where key {shown_key(key)} has a row")

    def _check(self) -> None:
        """Rows and marker must agree, or rows were lost."""
        for offset, key in self._tombstones:
            if is_known(key, self.tables):
                self._refuse_tombstone(offset, key)
        self._pass_tombstones((self.marker or {}).get(TOMBSTONES, 0))
        if self._unreadable:
            raise RowsRefused(self.place, self.marked, f"the last marker is none ({self._unreadable})")
        if self.marker is None:
            return
        for name, table in zip(ROWS, self.tables, strict=False):
            if len(table) < self.marker.get(name, 0):
                raise RowsRefused(
                    self.place, self.marked, f"the marker speaks of {self.marker[name]} rows, {len(table)} are here: "
                    f"{self.marker[name] - len(table)} were deleted or written over",
                )  # fmt: skip
            if len(table) > self.marker.get(name, len(table)) and TOMBSTONES in self.marker and self._read_before:
                raise ReplicaRefused(
                    f"{self._name}: {len(table)} rows, the marker speaks of {self.marker[name]}: tombstones of forgotten rows were "
                    "deleted before they were read here"
                )
        self._read_before = True


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
