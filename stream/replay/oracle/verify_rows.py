"""The oracle's look at stored rows: is what a recovery would begin with what the inputs lead to?

A row topic holds changed rows, and markers that name what the rows before them stand for. Everything on it is read as a recovery
reads it; when the oracle has walked as far as the last marker says, its own rows must be the same, byte for byte: none
missing, none more, none other. But rows that are forgotten at the last marker may be there or not (``stream.core.table.forgetting``), and the
tombstones that checkpoints wrote are of such rows: each lies before a marker whose horizon its row had not reached, and no more lie
there than the marker speaks of. Any other tombstone is named: no record leads to one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from rules.bounded_json import NotReadable, load
from stream.arrays.packed import Packed
from stream.core.account.idle_accounts import idle_accounts, idle_customers, idle_feedback
from stream.core.columns import hash_id
from stream.core.payee.idle_payees import idle_payees, known_frauds
from stream.core.table.forgetting import BEFORE_ALL, FORGOTTEN, erased_until
from stream.core.table.row_table import RowTable
from stream.errors import RiskstreamError

MARKER_KEY: Final = b"\x00marker"
BESIDE: Final = b"\x01"
"""What keys of the second kind of rows begin with."""
_FURTHER: Final = (BESIDE, b"\x02")
"""And of the third."""
_NUMBERS: Final = ("rows", "rows_beside", "rows_third")
"""What a marker calls the number of rows of each table."""
TOMBSTONES: Final = "tombstones"
"""And of the tombstones ever written."""
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
    forgetting
        Which rows of a table are forgotten as of a marker.
    """

    def __init__(
        self, where: str, make: Callable[[], Mapping[str, RowTable]], records: Iterator[StoredRecord], report: Report,
        forgetting: Forgetting = lambda tables, name, slots, marker, erased: np.zeros(len(slots), np.bool_),
    ) -> None:  # fmt: skip
        self.where = where
        self.marker: dict[str, Any] | None = None
        self.marked = -1
        """Offset of the marker."""
        self._make = make
        self._kinds = make()
        self._forgetting = forgetting
        self._erased: set[tuple[str, bytes]] = set()
        """Rows that a tombstone took which nothing led to, and that did not come again."""
        self._tombstones: list[tuple[int, str, bytes]] = []
        """Offset, table and key of those that no marker has spoken of yet."""
        self._report = report
        self._compared = False
        while batch := list(islice(records, _AT_ONCE)):
            begun = 0
            for at, record in enumerate(batch):
                if record.key == MARKER_KEY or not record.value:
                    self._take_rows(batch[begun:at])
                    begun = at + 1
                    if record.key == MARKER_KEY:
                        self._mark(record)
                    else:
                        self._tombstones.append((record.offset, *self._row_of(record.key or b"")))
            self._take_rows(batch[begun:])
        self._judge_tombstones({})

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
            self._compare(name, stored, computed)
        self._compare_numbers()

    def _compare_numbers(self) -> None:
        """Forgotten rows that were taken out have a tombstone: whoever reads the topic holds no more than whoever wrote it."""
        for said, (name, stored) in zip(_NUMBERS, self._kinds.items(), strict=False):
            number = len(stored) - sum(kind == name for kind, _ in self._erased)
            if TOMBSTONES in (self.marker or {}) and number > (self.marker or {}).get(said, number):
                what = f"{number} {name} rows, its marker speaks of {(self.marker or {})[said]}: some were taken out without a tombstone"
                self._report.differ(f"{self.where}/{self.marked}", what)

    def close(self, what: str) -> None:
        """Say what was never compared: ``what`` is the place of the marker, in words."""
        if self.marker is None and any(len(table) for table in self._kinds.values()):
            self._report.differ(self.where, "rows without a marker that says what they stand for")
        elif self.marker is not None and not self._compared:
            self._report.differ(f"{self.where}/{self.marked}", f"a marker of {what}, which is not on record")

    def _mark(self, record: StoredRecord) -> None:
        if record.value is None:
            return
        try:
            marker = load(record.value, max_bytes=4 << 20, max_depth=5, max_values=500_000)
        except NotReadable as error:
            self._report.differ(f"{self.where}/{record.offset}", str(error))
            return
        self._judge_tombstones(marker)
        self.marker, self.marked = marker, record.offset

    def _row_of(self, key: bytes) -> tuple[str, bytes]:
        """Name of the table that a key belongs to, and the key without its prefix."""
        names = list(self._kinds)
        for name, prefix in zip(names[1:], _FURTHER, strict=False):
            if key.startswith(prefix):
                return name, key.removeprefix(prefix)
        return names[0], key

    def _judge_tombstones(self, marker: Mapping[str, Any]) -> None:
        """Those of forgotten rows are taken for what they are; of keys without a row the comparison tells."""
        allowed = marker.get("tombstones", 0) - (self.marker or {}).get("tombstones", 0)
        for offset, name, key in self._tombstones:
            table = self._kinds[name]
            slots = table.lookup(np.array([hash_id(key)], np.uint64))
            forgotten = slots[0] < 0 or bool(self._forgetting(self._kinds, name, slots, marker, True)[0])
            if allowed <= 0 or not forgotten:
                what = f"the {name} row of {_text(key)} was erased; nothing led to that"
                self._report.differ(f"{self.where}/{offset}", what)
                self._erased.add((name, key))
                continue
            allowed -= 1
            if slots[0] >= 0:
                table.remove(slots, told=False)
        self._tombstones = []

    def _take_rows(self, records: list[StoredRecord]) -> None:
        rows: dict[str, list[bytes]] = {}
        for record in records:
            name, key = self._row_of(record.key or b"")
            if record.value is None or not self._fits(name, record.value, key):
                self._report.differ(f"{self.where}/{record.offset}", f"not the row of {name} {_text(key)}")
            else:
                self._erased.discard((name, key))
                rows.setdefault(name, []).append(record.value)
        for name, values in rows.items():
            self._kinds[name].put(Packed.of(values))

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

    def _compare(self, name: str, stored: RowTable, tables: Mapping[str, RowTable]) -> None:
        computed = tables[name]
        found, expected = (table.rows[table.taken()] for table in (stored, computed))
        erased = np.array(sorted(key for kind, key in self._erased if kind == name), found["key"].dtype)
        found = found[~np.isin(found["key"], erased)]
        self._report.count(f"{name} row", len(expected))
        slots = computed.taken()
        missing = slots[~np.isin(expected["key"], found["key"])]
        forgotten = self._forgetting(tables, name, missing, self.marker or {}, False)
        for key in np.sort(computed.rows["key"][missing[~forgotten]]).tolist():
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


Forgetting = Callable[
    [Mapping[str, RowTable], str, npt.NDArray[np.int64], Mapping[str, Any], bool], npt.NDArray[np.bool_]
]
"""Tables by name, one of them, slots in it, a marker, and whether a checkpoint erased them: which of those rows are forgotten."""


def _horizon(marker: Mapping[str, Any], erased: bool) -> int:
    horizon: int = erased_until(marker) if erased else marker.get(FORGOTTEN, BEFORE_ALL)
    return horizon


def account_forgetting(
    tables: Mapping[str, RowTable], name: str, slots: npt.NDArray[np.int64], marker: Mapping[str, Any],
    erased: bool,
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Of the first hop."""
    horizon, rows = _horizon(marker, erased), tables[name].rows[slots]
    return {"account": idle_accounts, "customer": idle_customers}.get(name, idle_feedback)(rows, horizon)


def payee_forgetting(
    tables: Mapping[str, RowTable], name: str, slots: npt.NDArray[np.int64], marker: Mapping[str, Any],
    erased: bool,
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Of the second; a busy row goes with its payee's."""
    payees, busy = tables["payee"], tables["busy payee"]
    horizon = _horizon(marker, erased)
    hashes = tables[name].hashes(slots)
    of, beside = payees.lookup(hashes), busy.lookup(hashes)
    frauds = (beside >= 0) & known_frauds(busy.rows[np.maximum(beside, 0)])
    idle = (of >= 0) & idle_payees(payees.rows[np.maximum(of, 0)], frauds, horizon)
    # a busy row that was erased may be of a payee that went just before, or has begun anew since and needs none any more
    return ~frauds if erased and name != "payee" else idle
