"""Transactions from bytes to columns, compiled: the fast path of the edge.

:func:`scan` reads each record by itself and either fills its row or leaves it to the reference
(:data:`REFERENCE`); it refuses nothing. Only what it has read whole, by the reference's rules, is :data:`ACCEPTED`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.arrays.byte_copy import copy_bytes
from stream.arrays.fingerprint import hash_bytes
from stream.contracts.json_object import MAX_BYTES
from stream.core.edge import words
from stream.core.edge.field_scan import (
    ABSENT,
    ACCEPTED,
    ACCOUNT_ID,
    AGE_BAND,
    CUSTOMER,
    CUSTOMER_ID,
    F_PAYEE_ID,
    F_TRANSACTION_ID,
    HOME_COUNTRY,
    OTHER_SEGMENT,
    PAYEE_ID,
    REFERENCE,
    SEGMENT,
    SLIPS,
    TRANSACTION_ID,
    VULNERABLE,
    Bytes,
    country_code,
    take_number,
    take_slips,
    take_text,
)
from stream.core.edge.json_scan import (
    CLOSE_OBJECT,
    COLON,
    COMMA,
    OPEN_LIST,
    OPEN_OBJECT,
    QUOTE,
    literal_end,
    read_string,
    skip_space,
    skip_value,
)


@njit(cache=True)
def _customer_text(buf: Bytes, tables: Any, row: Any, work: Any, field: int, start: int, length: int) -> bool:
    if length == 0:
        return True
    if field == SEGMENT:
        code = words.find(tables, words.SEGMENT, buf, start, length)
        row["segment"] = code if code > 0 else OTHER_SEGMENT
        work["segment_hash"] = hash_bytes(buf, start, length)
        return True
    if field == AGE_BAND:
        code = words.find(tables, words.AGE_BAND, buf, start, length)
        row["age_band"] = max(code, 0)
        return code > 0
    if field == HOME_COUNTRY:
        code = country_code(buf, tables, start, length)
        row["home_country"] = code
        return code > 0
    return False


@njit(cache=True)
def _customer_member(buf: Bytes, tables: Any, row: Any, work: Any, field: int, p: int, scratch: int) -> int:
    if field < 0:
        return skip_value(buf, p, scratch)
    if buf[p] == QUOTE:
        p, start, length = read_string(buf, p, scratch)
        return p if p > 0 and _customer_text(buf, tables, row, work, field, start, length) else -1
    end = literal_end(buf, p)
    if end < 0 or buf[p] == 110:  # null
        return end
    if field != VULNERABLE:
        return -1
    row["vulnerable"] = 1 if buf[p] == 116 else 0
    return end


@njit(cache=True)
def _member(buf: Bytes, tables: Any, row: Any, work: Any, field: int, p: int, scratch: int) -> int:
    """The value at ``p`` of a field; the place after it, or -1."""
    if field < 0:
        return skip_value(buf, p, scratch)
    c = buf[p]
    if c == QUOTE:
        p, start, length = read_string(buf, p, scratch)
        if p < 0 or length == 0:
            return p
        if start == scratch and F_TRANSACTION_ID <= field <= F_PAYEE_ID:
            return -1  # an id written with escapes: its text would not stay
        return p if take_text(buf, tables, row, work, field, start, length) else -1
    if 48 <= c <= 57 or c == 45:
        return take_number(buf, tables, row, work, field, p)
    if c == 110:
        return literal_end(buf, p)
    if c == OPEN_LIST and field == SLIPS:
        return take_slips(buf, tables, row, work, p, scratch)
    if c == OPEN_OBJECT and field == CUSTOMER:
        return _customer_object(buf, tables, row, work, p, scratch)
    return -1


@njit(cache=True)
def _customer_object(buf: Bytes, tables: Any, row: Any, work: Any, p: int, scratch: int) -> int:
    """The customer whose brace is at ``p``; the place after it, or -1 (a known name twice is left to the reference)."""
    seen = 0
    p = skip_space(buf, p + 1)
    if buf[p] == CLOSE_OBJECT:
        return p + 1
    while buf[p] == QUOTE:
        p, start, length = read_string(buf, p, scratch)
        if p < 0:
            return -1
        field = words.find(tables, words.CUSTOMER_FIELD, buf, start, length)
        p = skip_space(buf, p)
        if buf[p] != COLON or (field >= 0 and seen >> field & 1):
            return -1
        seen |= 1 << field if field >= 0 else 0
        p = _customer_member(buf, tables, row, work, field, skip_space(buf, p + 1), scratch)
        if p < 0:
            return -1
        p = skip_space(buf, p)
        if buf[p] == CLOSE_OBJECT:
            return p + 1
        if buf[p] != COMMA:
            return -1
        p = skip_space(buf, p + 1)
    return -1


@njit(cache=True)
def _record(buf: Bytes, tables: Any, row: Any, work: Any, p: int, scratch: int) -> int:
    """The record at ``p``, white space around it included; the place after it, or -1."""
    seen = 0
    p = skip_space(buf, p)
    if buf[p] != OPEN_OBJECT:
        return -1
    p = skip_space(buf, p + 1)
    while buf[p] == QUOTE:
        p, start, length = read_string(buf, p, scratch)
        if p < 0:
            return -1
        field = words.find(tables, words.FIELD, buf, start, length)
        p = skip_space(buf, p)
        if buf[p] != COLON or (field >= 0 and seen >> field & 1):
            return -1
        seen |= 1 << field if field >= 0 else 0
        p = _member(buf, tables, row, work, field, skip_space(buf, p + 1), scratch)
        if p < 0:
            return -1
        p = skip_space(buf, p)
        if buf[p] == CLOSE_OBJECT:
            return skip_space(buf, p + 1)
        if buf[p] != COMMA:
            return -1
        p = skip_space(buf, p + 1)
    return -1


@njit(cache=True)
def _clear(row: Any) -> None:
    row["event_time"] = ABSENT
    row["decide_by"] = ABSENT
    row["amount_minor"] = -1
    row["account_amount_minor"] = -1
    row["lat"] = np.nan
    row["lon"] = np.nan


@njit(cache=True)
def _fill_defaults(tables: Any, row: Any, work: Any) -> bool:
    """Defaults of absent fields; False where a required one is absent, or the currency had been withdrawn."""
    if row["transaction_hash"] == 0 or row["account_hash"] == 0 or row["currency"] == 0 or row["channel"] == 0:
        return False
    if row["event_time"] == ABSENT or row["amount_minor"] < 0:
        return False
    if row["event_time"] >= tables["currency_ends"][row["currency"]]:
        return False
    if work["is_reversal"] != 0:
        if work["original_hash"] == 0:
            return False
        row["original_hash"] = work["original_hash"]
    if row["account_amount_minor"] < 0:
        row["account_amount_minor"] = row["amount_minor"]
    if row["customer_hash"] == 0:
        row["customer_hash"] = row["account_hash"]
        work["customer_start"] = work["account_start"]
        work["customer_length"] = work["account_length"]
    return True


@njit(cache=True, nogil=True)
def scan(
    buf: Bytes,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    scratch: int,
    tables: NDArray[Any],
    rows: NDArray[Any],
    works: NDArray[Any],
    status: NDArray[np.uint8],
) -> int:
    """Read records, each by itself, into their rows.

    What is read beyond a record's end makes its end the wrong one, and so leaves the record to the reference.

    Parameters
    ----------
    buf
        uint8: the records, and behind them ``packed.PADDING`` NUL bytes.
    starts, lengths
        int64 (n,): where each record stands. One of no bytes, or too many, is left to the reference.
    scratch
        Where in ``buf`` there is room for one record's text, unescaped; 0 where there is none: then a record with
        escapes is left to the reference.
    tables
        Look-up tables: ``words.TABLES``, shape (1,).
    rows, works
        ``columns.TRANSACTION`` and :data:`WORK`, shape (n,): out; zero before.
    status
        uint8 (n,): out, :data:`ACCEPTED` or :data:`REFERENCE`.

    Returns
    -------
    int
        Records with a latitude or longitude that Python has to read.
    """
    inexact = 0
    raw = rows.view(np.uint8)
    for i in range(len(rows)):
        status[i] = REFERENCE
        if lengths[i] <= 0 or lengths[i] > MAX_BYTES:
            continue
        work = works[i]
        _clear(rows[i])
        end = _record(buf, tables[0], rows[i], work, starts[i], scratch)
        if end != starts[i] + lengths[i] or not _fill_defaults(tables[0], rows[i], work):
            continue
        status[i] = ACCEPTED
        inexact += work["lat_end"] != 0 or work["lon_end"] != 0
        at = i * rows.itemsize
        copy_bytes(raw, at + TRANSACTION_ID, buf, work["transaction_start"], work["transaction_length"])
        copy_bytes(raw, at + ACCOUNT_ID, buf, work["account_start"], work["account_length"])
        copy_bytes(raw, at + CUSTOMER_ID, buf, work["customer_start"], work["customer_length"])
        copy_bytes(raw, at + PAYEE_ID, buf, work["payee_start"], work["payee_length"])
    return inexact
