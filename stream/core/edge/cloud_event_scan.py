"""CloudEvents in structured mode, compiled: where in an envelope the record stands.

:func:`open_envelopes` opens what it has read whole by the rules of :mod:`stream.contracts.cloud_event`, and refuses nothing.
"""

from __future__ import annotations

from typing import Any

from numba import njit
from numpy.typing import NDArray

from stream.core.edge import words
from stream.core.edge.field_scan import REFERENCE, Bytes
from stream.core.edge.json_scan import (
    CLOSE_OBJECT,
    COLON,
    COMMA,
    OPEN_OBJECT,
    QUOTE,
    literal_end,
    read_string,
    skip_space,
    skip_value,
)

_SPECVERSION, _ID, _SOURCE, _TYPE, _CONTENT, _DATA, _BASE64, _TRANSACTION = range(len(words.ENVELOPE_FIELDS))
_NEEDED = 1 << _SPECVERSION | 1 << _ID | 1 << _SOURCE | 1 << _TYPE | 1 << _DATA


@njit(cache=True)
def _attribute(buf: Bytes, tables: Any, field: int, p: int, scratch: int) -> int:
    """The place after an attribute's value at ``p``; -1 where the reference has to look."""
    if field < 0:
        return skip_value(buf, p, scratch)
    if field == _DATA:
        return skip_value(buf, p, scratch) if buf[p] == OPEN_OBJECT else -1
    if buf[p] != QUOTE:  # null is an absent one, and only some may be
        may_be_absent = _CONTENT <= field <= _BASE64
        return literal_end(buf, p) if may_be_absent and buf[p] == 110 else -1
    p, start, length = read_string(buf, p, scratch)
    if p < 0 or length == 0 or field == _BASE64 or field == _TRANSACTION:  # noqa: SIM109 - compiled
        return -1
    if field == _SPECVERSION and words.find(tables, words.SPECVERSION, buf, start, length) < 0:
        return -1
    if field == _CONTENT and words.find(tables, words.CONTENT_TYPE, buf, start, length) < 0:
        return -1
    return p


@njit(cache=True)
def _data(buf: Bytes, tables: Any, p: int, end: int, scratch: int) -> tuple[int, int]:
    """Where the record of the envelope at ``p`` begins and ends; (-1, -1) where it is none that is read here."""
    seen, first, last = 0, -1, -1
    p = skip_space(buf, p)
    if buf[p] != OPEN_OBJECT:
        return -1, -1
    p = skip_space(buf, p + 1)
    while buf[p] == QUOTE:
        p, start, length = read_string(buf, p, scratch)
        if p < 0:
            return -1, -1
        field = words.find(tables, words.ENVELOPE_FIELD, buf, start, length)
        p = skip_space(buf, p)
        if buf[p] != COLON or (field >= 0 and seen >> field & 1):
            return -1, -1
        begin = skip_space(buf, p + 1)
        if field >= 0 and buf[begin] != 110:
            seen |= 1 << field
        p = _attribute(buf, tables, field, begin, scratch)
        if p < 0:
            return -1, -1
        p = skip_space(buf, p)
        if field == _DATA:
            first, last = begin, p
        if buf[p] == CLOSE_OBJECT:
            whole = skip_space(buf, p + 1) == end and seen & _NEEDED == _NEEDED
            return (first, last) if whole else (-1, -1)
        if buf[p] != COMMA:
            return -1, -1
        p = skip_space(buf, p + 1)
    return -1, -1


@njit(cache=True, nogil=True)
def open_envelopes(
    buf: Bytes, starts: Any, lengths: Any, scratch: int, tables: NDArray[Any], status: Any, opened: Any
) -> int:
    """Find the records of CloudEvents among what was left to the reference; returns how many.

    Parameters
    ----------
    buf, starts, lengths, scratch, tables, status
        As :func:`stream.core.edge.transaction_scan.scan` had them; ``starts`` and ``lengths`` of what is opened become its record's.
    opened
        uint8 (n,): out, 1 where one was.
    """
    count = 0
    for i in range(len(starts)):
        if status[i] != REFERENCE or lengths[i] <= 0:
            continue
        first, last = _data(buf, tables[0], starts[i], starts[i] + lengths[i], scratch)
        if first >= 0:
            starts[i] = first
            lengths[i] = last - first
            opened[i] = 1
            count += 1
    return count
