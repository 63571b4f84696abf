"""Records of a row topic as they may lie there: rows, markers, and what is neither, looked at before anything is taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from rules.bounded_json import NotReadable, load
from rules.exchange_rates import Currencies
from stream.core.columns import hash_id
from stream.core.table.row_keys import same_keys
from stream.core.table.row_table import RowTable
from stream.errors import RiskstreamError
from stream.log.records import Place, RecordBatch
from stream.worker.rows.checkpoint import BESIDE, MARKER_KEY, Marker

MAX_MARKER_BYTES: Final = 4 << 20
RECREATE: Final = "see 'Records that cannot be read' in the operations guide"


class RowsRefused(RiskstreamError):
    """What one partition's rows rest on cannot be read: that partition alone is left alone.

    Parameters
    ----------
    place, offset
        The record; -1 where it is not one record alone.
    """

    def __init__(self, place: Place, offset: int, why: str) -> None:
        at = f" offset {offset}" if offset >= 0 else ""
        super().__init__(
            f"{place.topic}[{place.partition}]{at}: {why}; this partition stands, others go on: {RECREATE}"
        )
        self.place = place
        self.offset = offset


def strangers(records: RecordBatch, tables: Sequence[RowTable]) -> npt.NDArray[np.intp]:
    """Places of records that are neither rows of these tables, under their own keys, nor markers.

    Parameters
    ----------
    tables
        The first one's rows have keys without a prefix, the others those of :data:`~stream.worker.rows.checkpoint.BESIDE`.
    """
    first = first_bytes(records)
    good = _are_rows(records, tables[0], 0)
    for place, prefix in enumerate(BESIDE, 1):
        is_beside = first == prefix[0]
        if is_beside.any():
            owned = place < len(tables)
            good = np.where(is_beside, _are_rows(records, tables[place], len(prefix)) if owned else False, good)
    for at in np.flatnonzero(first == MARKER_KEY[0]).tolist():
        good[at] = records.key(at) == MARKER_KEY and records.value(at) is not None
    return np.flatnonzero(~good)


def first_bytes(records: RecordBatch) -> npt.NDArray[np.uint8]:
    """First byte of each key; 255, which no key begins with, where there is none."""
    found = np.full(len(records), 255, np.uint8)
    some = records.keys.lengths > 0
    found[some] = records.keys.data[records.keys.starts[some]]
    return found


def owner_of(key: bytes, tables: Sequence[RowTable]) -> tuple[RowTable | None, bytes]:
    """The table that a record's key belongs to, None where there is none of its prefix; and the key without it."""
    if key[:1] not in BESIDE:
        return tables[0], key
    place = BESIDE.index(key[:1]) + 1
    return (tables[place] if place < len(tables) else None), key[1:]


def is_known(key: bytes, tables: Sequence[RowTable]) -> bool:
    """Whether there is a row of this record's key."""
    owner, own = owner_of(key, tables)
    if owner is None or not 0 < len(own) <= 64 or not own.isascii():
        return False
    return bool(owner.lookup(np.array([hash_id(own.decode())], np.uint64))[0] >= 0)


def is_row_of(key: bytes, value: bytes, table: RowTable) -> bool:
    """Whether a value looks like a row of another version: rows of all versions have their key at the same place."""
    offset, width = table.key_field
    own = key[1:] if key[:1] in BESIDE else key
    return bool(own) and value[offset : offset + width] == own.ljust(width, b"\0")


def read_marker(value: bytes) -> Marker:
    """A marker: integers, or lists of them, by name; ``topics`` (ids by topic) and ``rates_table`` beside them.

    Raises
    ------
    NotReadable
        It is none.
    """
    marker: Marker = load(value, max_bytes=MAX_MARKER_BYTES, max_depth=5, max_values=500_000)
    if not isinstance(marker, dict):
        raise NotReadable("no marker: no JSON object")
    numbers = {name: said for name, said in marker.items() if name not in ("topics", "rates_table")}
    for name, said in numbers.items():
        if (name == "internal") != isinstance(said, list):
            raise NotReadable(f"no marker: {name[:40]!r} is {'no list' if name == 'internal' else 'a list'}")
        for number in said if isinstance(said, list) else [said]:
            if type(number) is not int or abs(number) >= 2**63:
                raise NotReadable(f"no marker: {name[:40]!r} is no integer")
    topics = marker.get("topics", {})
    if not isinstance(topics, dict) or not all(isinstance(known, str) for known in topics.values()):
        raise NotReadable("no marker: topics are no ids by name")
    table = marker.get("rates_table")
    try:
        if table is not None:
            Currencies.from_document(table)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise NotReadable(f"no marker: rates_table is none ({error})") from error
    return marker


def _are_rows(records: RecordBatch, table: RowTable, prefix: int) -> npt.NDArray[np.bool_]:
    """Which records hold a row that this table reads, under that row's own key behind a prefix."""
    good = table.readable(records.values) & (records.keys.lengths > prefix)
    places = np.flatnonzero(good)
    _, width = table.key_field
    good[places] = same_keys(
        records.keys.data, records.keys.starts[places] + prefix, records.keys.lengths[places] - prefix,
        records.values.data, table.key_starts(records.values.chosen(good)), width,
    )  # fmt: skip
    return good
