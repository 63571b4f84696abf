"""The oracle's look at stored rows: is what a recovery would begin with what the inputs lead to?

A row topic holds changed rows, and markers that name what the rows before them stand for. Everything on it is read as a recovery
reads it; when the oracle has walked as far as the last marker says, its own rows must be the same, byte for byte: none
missing, none more, none other. A tombstone is named: no record leads to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Protocol

import numpy as np

from rules.bounded_json import NotReadable, load
from stream.core.packed import Packed
from stream.core.rows import RowTable
from stream.errors import RiskstreamError

MARKER_KEY: Final = b"\x00marker"
BESIDE: Final = b"\x01"
"""What keys of the second kind of rows begin with."""
_FURTHER: Final = (BESIDE, b"\x02")
"""And of the third."""
_AT_ONCE: Final = 10_000
_SHOWN_FIELDS: Final = 4


class StoredRecord(Protocol):
    """A record of a row topic."""

    @property
    def offset(self) -> int:
        """Where it is."""

    @property
    def key(self) -> bytes | None:
        """Of the row, or of a marker."""

    @property
    def value(self) -> bytes | None:
        """The row; None for a tombstone."""


class Report(Protocol):
    """Where differences go."""

    def differ(self, where: str, what: str) -> None:
        """Note one."""

    def count(self, what: str, number: int = 1) -> None:
        """Count what was compared."""


class StoredRows:
    """The rows of one partition of a row topic, as of its end.

    Parameters
    ----------
    where
        Topic and partition, for messages.
    make
        Empty tables by what their rows are, as a recovery makes them; keys of the second begin with ``BESIDE``,
        those of the third with a byte 2.
    records
        The topic's, from its beginning.
    report
        Told of records that are neither row nor marker.
    """

    def __init__(
        self, where: str, make: Callable[[], Mapping[str, RowTable]], records: Iterator[StoredRecord], report: Report
    ) -> None:
        self.where = where
        self.marker: dict[str, Any] | None = None
        self.marked = -1
        """Offset of the marker."""
        self._make = make
        self._kinds = make()
        self._erased: set[tuple[str, bytes]] = set()
        self._report = report
        self._compared = False
        while batch := list(islice(records, _AT_ONCE)):
            for name, prefix in zip(self._kinds, (b"", *_FURTHER), strict=False):
                self._take(name, prefix, batch)
            self._mark(batch)

    def compare(self, computed: Mapping[str, RowTable], says: Mapping[str, int] | None = None) -> None:
        """Compare with the tables of the oracle, which stands where the marker does; only the first time.

        Parameters
        ----------
        computed
            The oracle's tables.
        says
            What the marker must say besides.
        """
        if self._compared:
            return
        self._compared = True
        for name, value in (says or {}).items():
            if (self.marker or {}).get(name) != value:
                found = (self.marker or {}).get(name)
                self._report.differ(f"{self.where}/{self.marked}", f"its marker says {name} {found}, computed {value}")
        for name, stored in self._kinds.items():
            self._compare(name, stored, computed[name])

    def close(self, what: str) -> None:
        """Say what was never compared: ``what`` is the place of the marker, in words."""
        if self.marker is None and any(len(table) for table in self._kinds.values()):
            self._report.differ(self.where, "rows without a marker that says what they stand for")
        elif self.marker is not None and not self._compared:
            self._report.differ(f"{self.where}/{self.marked}", f"a marker of {what}, which is not on record")

    def _mark(self, batch: list[StoredRecord]) -> None:
        for record in batch:
            if record.key == MARKER_KEY and record.value is not None:
                try:
                    self.marker = load(record.value, max_bytes=4 << 20, max_depth=5, max_values=500_000)
                except NotReadable as error:
                    self._report.differ(f"{self.where}/{record.offset}", str(error))
                    continue
                self.marked = record.offset

    def _take(self, name: str, prefix: bytes, batch: list[StoredRecord]) -> None:
        table, rows = self._kinds[name], []
        for record in batch:
            key = record.key or b""
            if key == MARKER_KEY or (key[:1] if key.startswith(_FURTHER) else b"") != prefix:
                continue
            where, row = f"{self.where}/{record.offset}", (name, key.removeprefix(prefix))
            if not record.value:
                self._report.differ(where, f"the {name} row of {_text(row[1])} was erased; nothing led to that")
                self._erased.add(row)
            elif not self._fits(name, record.value, row[1]):
                self._report.differ(where, f"not the row of {name} {_text(row[1])}")
            else:
                self._erased.discard(row)
                rows.append(record.value)
        if rows:
            table.put(Packed.of(rows))

    def _fits(self, name: str, value: bytes, key: bytes) -> bool:
        """Whether this version can read the row, and it is the key's."""
        table = self._kinds[name]
        place, offset = table.dtype.fields["key"][:2]  # type: ignore[index]
        if len(value) == table.dtype.itemsize and int.from_bytes(value[:2], "little") == table.schema:
            return value[offset : offset + place.itemsize].rstrip(b"\0") == key
        alone = self._make()[name]
        try:
            alone.put(Packed.of([value]))
        except RiskstreamError:
            return False
        return bytes(alone.rows["key"][0]) == key

    def _compare(self, name: str, stored: RowTable, computed: RowTable) -> None:
        found, expected = (table.rows[: table.count] for table in (stored, computed))
        erased = np.array(sorted(key for kind, key in self._erased if kind == name), found["key"].dtype)
        found = found[~np.isin(found["key"], erased)]
        self._report.count(f"{name} row", len(expected))
        for key in np.setdiff1d(expected["key"], found["key"]).tolist():
            self._report.differ(self.where, f"the {name} row of {_text(key)} is gone")
        for key in np.setdiff1d(found["key"], expected["key"]).tolist():
            self._report.differ(self.where, f"a row of {name} {_text(key)} that nothing led to")
        _, ours, theirs = np.intersect1d(expected["key"], found["key"], return_indices=True)
        for start in range(0, len(ours), _AT_ONCE):
            at = slice(start, start + _AT_ONCE)
            some, wanted = found[theirs[at]], expected[ours[at]]
            for place in np.flatnonzero((_bytes(some) != _bytes(wanted)).any(axis=1)).tolist():
                what = f"the {name} row of {_text(bytes(some['key'][place]))} differs: {_parts(some[place], wanted[place])}"
                self._report.differ(self.where, what)


def _bytes(rows: Any) -> Any:
    """uint8[n, bytes of a row]."""
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), rows.dtype.itemsize)


def _text(key: bytes) -> str:
    return key.decode("ascii", "backslashreplace")


def _parts(row: np.void, wanted: np.void) -> str:
    """The first fields in which two rows differ."""
    names = [name for name in row.dtype.names or () if row[name].tobytes() != wanted[name].tobytes()]
    shown = [f"{name} is {_short(row[name])}, computed {_short(wanted[name])}" for name in names[:_SHOWN_FIELDS]]
    more = f" and {len(names) - _SHOWN_FIELDS} more fields" if len(names) > _SHOWN_FIELDS else ""
    return "; ".join(shown) + more if names else "bytes between its fields"


def _short(value: Any) -> str:
    text = str(value.tolist())
    return text if len(text) <= 40 else text[:40] + "…"
