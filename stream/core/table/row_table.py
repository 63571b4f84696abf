"""A table of fixed-size rows found by the 64-bit hash of their key.

The rows of one hop and one partition: a numpy structured array that grows where it lies (``row_memory.py``), an
index from hash to slot (``slot_index.py``), and the set of slots changed since they were last written. The row's bytes are
its changelog record and its dump. A slot whose row was taken out lies as zeros until another row gets it: memory that rows
once took is used again, and no row ever moves to another slot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.arrays.fingerprint import hash_bytes
from stream.arrays.packed import Packed, put_bytes
from stream.core.columns import hash_id
from stream.core.table.row_layout import RowLayout
from stream.core.table.row_memory import RowMemory
from stream.core.table.slot_index import SlotIndex
from stream.errors import RiskstreamError

_FIRST_ROWS = 64
MOST_ROWS = 20_000_000


class RowsFull(RiskstreamError):
    """The table reached its limit of rows."""


class UnknownSchema(RiskstreamError):
    """A stored row has a layout this version does not know."""


@njit(cache=True, nogil=True)
def _read_keys(data: Any, starts: Any, keys: Any, hashes: Any) -> None:
    """Copy the keys that begin there, which zeros fill up to their width, and hash each as
    :func:`stream.core.columns.hash_id` does."""
    for i in range(keys.shape[0]):
        length = keys.shape[1]
        put_bytes(keys[i], 0, data, starts[i], length)
        while length > 0 and keys[i, length - 1] == 0:
            length -= 1
        hashes[i] = hash_bytes(keys[i], 0, length)


@njit(cache=True, nogil=True)
def _key_lengths(data: Any, starts: Any, width: Any, lengths: Any) -> None:
    """Bytes of each key before the zeros that fill it up; no id has a zero within."""
    for i in range(starts.shape[0]):
        length = 0
        while length < width and data[starts[i] + length] != 0:
            length += 1
        lengths[i] = length


@njit(cache=True, nogil=True)
def _copy_rows(data: Any, starts: Any, rows: Any, slots: Any) -> None:
    for i in range(starts.shape[0]):
        put_bytes(rows[slots[i]], 0, data, starts[i], rows.shape[1])


@njit(cache=True, nogil=True)
def _mark(changed: Any, slots: Any) -> None:
    for i in range(slots.shape[0]):
        if slots[i] >= 0:
            changed[slots[i]] = True


def _key_of(dtype: np.dtype[np.void]) -> tuple[int, int]:
    fields = dtype.fields
    assert fields is not None
    key, offset = fields["key"][:2]
    return int(offset), int(key.itemsize)


class RowTable:
    """Rows of one dtype, found by hash.

    Parameters
    ----------
    dtype
        Struct with the fields ``schema`` (uint16) and ``key`` (S64).
    schema
        Schema version written into new rows.
    limit
        Most rows; one more raises :class:`RowsFull`.
    older
        Layouts of earlier schema versions whose stored rows can be read.
    beside
        Where a layout of those rows splits them: the table of the other parts.

    Examples
    --------
    >>> import numpy as np
    >>> table = RowTable(np.dtype([("schema", "u2"), ("key", "S64"), ("n", "i8")]), schema=1)
    >>> table.claim(np.array([7, 9, 7], "u8"), np.array([b"a", b"b", b"a"], "S64")).tolist()
    [0, 1, 0]
    >>> table.lookup(np.array([9, 8], "u8")).tolist()
    [1, -1]
    """

    def __init__(
        self, dtype: np.dtype[np.void], schema: int, limit: int = MOST_ROWS,
        older: Mapping[int, RowLayout] | None = None, beside: RowTable | None = None,
    ) -> None:  # fmt: skip
        self.dtype = dtype
        self._layouts = {**(older or {}), schema: RowLayout(dtype)}
        self._beside = beside
        self.schema = schema
        self.limit = limit
        self.slots = 0
        """Slots that ever had a row: the first so many of :attr:`rows`, of which some may be empty again."""
        self._free: list[int] = []
        self._gone: list[bytes] = []
        self.loads = 0
        """How often stored rows were put: whoever reads the rows for an index of its own reads them again."""
        self._memory = RowMemory(dtype, _FIRST_ROWS)
        self._index = SlotIndex()
        self._changed = np.zeros(_FIRST_ROWS, np.bool_)

    @property
    def rows(self) -> npt.NDArray[np.void]:
        """All rows, and behind the first :attr:`slots` room for more. Not to be kept: the table moves when it grows."""
        return self._memory.rows

    def __len__(self) -> int:
        return self.slots - len(self._free)

    def taken(self) -> npt.NDArray[np.int64]:
        """Slots that have a row, ascending."""
        if not self._free:
            return np.arange(self.slots)
        return np.flatnonzero(self.rows["schema"][: self.slots])

    def copy(self, first: int, stop: int) -> bytes:
        """The bytes of the rows of some slots; of all methods this one alone may be called by another thread. Rows
        that are being changed may come half old, half new."""
        return self._memory.copy(first, stop)

    @property
    def bytes_held(self) -> int:
        """Memory that rows take, bytes; slots that are empty again are counted."""
        return self.slots * self.dtype.itemsize

    def lookup(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Slots of known keys, -1 for others; int64[n]."""
        return self._index.lookup(hashes)

    @property
    def index(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
        """Where rows are found, for :func:`stream.core.table.slot_index.slot_of`; not to be kept."""
        return self._index.places

    def claim(
        self, hashes: npt.NDArray[np.uint64], keys: npt.NDArray[np.bytes_], *, skip_zero: bool = False
    ) -> npt.NDArray[np.int64]:
        """Slots of keys, made where they are new; with ``skip_zero`` hash 0 means "no key" and yields -1."""
        self._reserve(len(hashes))
        free = np.arange(self.slots, self.slots + len(hashes))
        again = min(len(self._free), len(hashes))
        if again:
            free = np.concatenate((np.array(self._free[-again:], np.int64), free))
        found, created = self._index.claim(hashes, free, skip_zero=skip_zero)
        if len(created):
            with self._memory.still():
                fresh = free[: len(created)]
                self.rows["key"][fresh] = keys[created]
                self.rows["schema"][fresh] = self.schema
            used = min(again, len(created))
            self._free[len(self._free) - again : len(self._free) - again + used] = []
            self.slots += len(created) - used
        return found

    def clear(self, slot: int) -> None:
        """Make a row as if its key had just been claimed."""
        row = self.rows[slot : slot + 1]
        key = row["key"].copy()
        with self._memory.still():
            row.view(np.uint8)[:] = 0
            row["key"], row["schema"] = key, self.schema

    def remove(self, slots: npt.NDArray[np.int64], *, told: bool = True) -> None:
        """Take rows out; their slots are for others.

        Parameters
        ----------
        told
            Whether their keys are :meth:`gone` until the next checkpoint.
        """
        if not len(slots):
            return
        hashes = self.hashes(slots)
        if told:
            self._gone += self.rows["key"][slots].tolist()
        self._index.remove(hashes)
        with self._memory.still():
            self.rows.view(np.uint8).reshape(-1, self.dtype.itemsize)[slots] = 0
        self._changed[slots] = False
        self._free += slots.tolist()

    def hashes(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """Hashes of the keys of rows."""
        key, offset = self._key()
        keys, hashes = np.empty((len(slots), key.itemsize), np.uint8), np.empty(len(slots), np.uint64)
        _read_keys(self.rows.view(np.uint8), slots * self.dtype.itemsize + offset, keys, hashes)
        return hashes

    def gone(self) -> list[bytes]:
        """Keys of rows that were taken out since they were :meth:`written` and have not come again, ascending."""
        if not self._gone:
            return []
        keys = np.unique(np.array(self._gone, self._key()[0]))
        hashes = np.array([hash_id(key.decode()) for key in keys.tolist()], np.uint64)
        return [bytes(key) for key in keys[self.lookup(hashes) < 0].tolist()]

    def written(self) -> None:
        """Say that all rows that differed have been written, and tombstones of those that are gone."""
        self._changed[: self.slots] = False
        self._gone = []

    def _key(self) -> tuple[np.dtype[Any], int]:
        fields = self.dtype.fields
        assert fields is not None
        return fields["key"][:2]

    def mark_changed(self, slots: npt.NDArray[np.int64]) -> None:
        """Remember which rows differ from their last written copy; slots below 0 are passed over."""
        _mark(self._changed, slots)

    def is_changed(self, slots: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of these rows differ from their last written copy."""
        return self._changed[slots]

    @property
    def has_changes(self) -> bool:
        """Whether any row differs from its last written copy, or is to be taken out there."""
        return bool(self._gone) or bool(self._changed[: self.slots].any())

    def changed(self) -> npt.NDArray[np.int64]:
        """Slots changed since :meth:`forget_changes`, ascending."""
        return np.flatnonzero(self._changed[: self.slots])

    def forget_changes(self, slots: npt.NDArray[np.int64]) -> None:
        """Say that these rows have been written."""
        self._changed[slots] = False

    def stored(self, slots: npt.NDArray[np.int64]) -> tuple[Packed, Packed]:
        """Keys and bytes of some rows where they lie: to be used before a row changes, and not to be kept."""
        key, offset = self._key()
        data, starts = self.rows.view(np.uint8), slots * self.dtype.itemsize
        key_lengths = np.empty(len(slots), np.int64)
        _key_lengths(data, starts + offset, key.itemsize, key_lengths)
        return (
            Packed(data, starts + offset, key_lengths),
            Packed(data, starts, np.full(len(slots), self.dtype.itemsize)),
        )

    def copy_to(self, other: RowTable, hashes: npt.NDArray[np.uint64]) -> None:
        """Store copies of the rows of these hashes, as far as there are any, in another table of the same layout."""
        slots = self.lookup(np.ascontiguousarray(hashes))
        other.put(self.stored(slots[slots >= 0])[1])

    def readable(self, stored: Packed) -> npt.NDArray[np.bool_]:
        """Which of these have a schema version that is known here, and its length; bool[n]."""
        found = stored.lengths >= 2
        starts = stored.starts[found]
        versions = np.full(len(stored), -1, np.int64)
        versions[found] = stored.data[starts] + 256 * stored.data[starts + 1].astype(np.int64)
        fits = np.zeros(len(stored), np.bool_)
        for version, layout in self._layouts.items():
            fits |= (versions == version) & (stored.lengths == layout.dtype.itemsize)
        return fits

    def knows(self, version: int) -> bool:
        """Whether rows of a schema version can be read."""
        return version in self._layouts

    @property
    def key_field(self) -> tuple[int, int]:
        """Where the key stands in a row of this version, and how long it is at most in any, bytes."""
        return _key_of(self.dtype)

    def key_starts(self, stored: Packed) -> npt.NDArray[np.int64]:
        """Where the key begins in the bytes of rows that are :meth:`readable`, int64[n]: older versions had it elsewhere."""
        starts = stored.starts.astype(np.int64)
        versions = stored.data[starts] + 256 * stored.data[starts + 1].astype(np.int64)
        offsets = np.zeros(len(stored), np.int64)
        for version, layout in self._layouts.items():
            offsets[versions == version] = _key_of(layout.dtype)[0]
        return starts + offsets

    def put(self, stored: Packed) -> None:
        """Store whole rows as they were written (recovery); later ones of the same key win.

        A row that an older schema version wrote takes this version's layout, and counts as changed until it is
        written anew.

        Raises
        ------
        UnknownSchema
            A row's schema version, or its length for that version, is none that this version knows.
        """
        if len(stored) and int(stored.lengths.min()) < 2:
            raise UnknownSchema("a stored row is too short to have a schema version")
        self.loads += 1
        versions = stored.data[stored.starts] + 256 * stored.data[stored.starts + 1].astype(np.int64)
        if (versions == self.schema).all() and (stored.lengths == self.dtype.itemsize).all():
            slots = self._place(stored.data, stored.starts)
        else:
            slots = self._place_rows(self._upgraded(stored, versions))
        self._changed[slots] = versions != self.schema

    def _place_rows(self, rows: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
        return self._place(rows.view(np.uint8), np.arange(len(rows)) * rows.dtype.itemsize)

    def _place(self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Take whole rows from where they begin in a buffer, later ones of the same key winning; returns their slots."""
        key, offset = self._key()
        keys, hashes = np.empty((len(starts), key.itemsize), np.uint8), np.empty(len(starts), np.uint64)
        _read_keys(data, starts + offset, keys, hashes)
        slots = self.claim(hashes, keys.view(key)[:, 0])
        _copy_rows(data, starts, self.rows.view(np.uint8).reshape(-1, self.dtype.itemsize), slots)
        return slots

    def _upgraded(self, stored: Packed, versions: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
        """Stored rows in this version's layout."""
        rows = np.zeros(len(stored), self.dtype)
        for version in np.unique(versions).tolist():
            chosen = np.flatnonzero(versions == version)
            layout = self._layouts.get(version)
            size = layout.dtype.itemsize if layout else 0
            lengths = stored.lengths[chosen]
            if layout is None or (lengths != size).any():
                raise UnknownSchema(
                    f"a stored row has schema version {version} and {int(lengths[lengths != size][0])} bytes; this "
                    f"version of riskstream writes version {self.schema} with {self.dtype.itemsize} bytes and reads "
                    f"{', '.join(str(known) for known in sorted(self._layouts))}: run the version that wrote it, or "
                    "remove the row topics and replay the input"
                )
            own = Packed(stored.data, stored.starts[chosen], lengths).structs(layout.dtype)
            rows[chosen] = layout.upgraded(own, self.dtype, self.schema)
            if layout.beside is not None and self._beside is not None:
                self._beside.mark_changed(self._beside._place_rows(layout.beside(own)))
        return rows

    def sorted_rows(self) -> Iterator[np.void]:
        """The rows in ascending order of their keys."""
        slots = self.taken()
        for slot in slots[np.argsort(self.rows["key"][slots], kind="stable")]:
            yield self.rows[slot]

    def _reserve(self, extra: int) -> None:
        needed = self.slots + max(extra - len(self._free), 0)
        if needed > self.limit:
            raise RowsFull(
                f"{needed} rows would pass the limit of {self.limit}: raise RISKSTREAM_ROW_LIMIT, forget idle rows sooner "
                "(RISKSTREAM_FORGET_ACCOUNTS_DAYS, RISKSTREAM_FORGET_PAYEES_DAYS), or add partitions"
            )
        if needed > len(self.rows):
            size = max(needed, len(self.rows) + len(self.rows) // 4)
            self._memory.grow(size)
            changed = np.zeros(size, np.bool_)
            changed[: self.slots] = self._changed[: self.slots]
            self._changed = changed

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_memory"]
        return {**state, "_stored": self.rows[: self.slots].copy(), "_changed": self._changed[: self.slots]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        stored = state.pop("_stored")
        self.__dict__.update(state)
        self._memory = RowMemory(self.dtype, max(len(stored), 1))
        self._memory.rows[: len(stored)] = stored
        self._changed = np.resize(self._changed, len(self._memory.rows))
