"""Transactions from bytes to columns, compiled: the fast path of the edge.

:func:`scan` reads each record by itself and either fills its row or leaves it to the reference
(:data:`REFERENCE`); it refuses nothing. Only what it has read whole, by the reference's rules, is :data:`ACCEPTED`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.arrays import rfc3339
from stream.arrays.byte_copy import copy_bytes
from stream.arrays.fingerprint import chain, hash_bytes
from stream.contracts.json_object import MAX_BYTES
from stream.core import columns
from stream.core.edge import words
from stream.core.edge.json_scan import (
    CLOSE_LIST,
    CLOSE_OBJECT,
    COLON,
    COMMA,
    OPEN_LIST,
    OPEN_OBJECT,
    QUOTE,
    exact_float,
    literal_end,
    number_end,
    read_integer,
    read_string,
    skip_space,
    skip_value,
)

ACCEPTED, REFERENCE = range(2)
"""Status of a record after the scan."""
_MAX_AMOUNT = 10**15
_MAX_SLIPS = 8
_OTHER_PURPOSE = columns.PURPOSES.index("other")
_OTHER_SEGMENT = columns.SEGMENTS.index("other")
_OTHER_SLIP = columns.SLIPS.index("other")
_ABSENT = int(columns.ABSENT_TIME)


def _at(name: str) -> int:
    fields = columns.TRANSACTION.fields
    assert fields is not None
    return int(fields[name][1])


_TRANSACTION_ID, _ACCOUNT_ID = _at("transaction_id"), _at("account_id")
_CUSTOMER_ID, _PAYEE_ID = _at("customer_id"), _at("payee_id")

(
    _TYPE, _F_TRANSACTION_ID, _F_ACCOUNT_ID, _F_CUSTOMER_ID, _F_PAYEE_ID, _DEVICE_ID, _EVENT_TIME, _DECIDE_BY,
    _AMOUNT, _ACCOUNT_AMOUNT, _CURRENCY, _COUNTRY, _PAYEE_COUNTRY, _CHANNEL, _PAYEE_KIND, _NAME_CHECK, _SCENARIO,
    _PURPOSE, _LAT, _LON, _CUSTOMER, _SLIPS, _ORIGINAL, _UETR, _BALANCE,
) = range(len(words.FIELDS))  # fmt: skip
_REVERSAL = words.TYPES.index("reversal")
_UETR_BYTES, _UETR_DASHES = 36, (8, 13, 18, 23)
_UETR_VERSION, _UETR_VARIANT = 14, 19
_SEGMENT, _AGE_BAND, _HOME_COUNTRY, _VULNERABLE = range(len(words.CUSTOMER_FIELDS))


WORK = np.dtype(
    [
        ("transaction_start", "i8"),  # where in the buffer an id's text stands
        ("transaction_length", "i8"),
        ("account_start", "i8"),
        ("account_length", "i8"),
        ("customer_start", "i8"),
        ("customer_length", "i8"),
        ("payee_start", "i8"),
        ("payee_length", "i8"),
        ("lat_start", "i8"),  # where a latitude stands that Python has to read; both 0 where none
        ("lat_end", "i8"),
        ("lon_start", "i8"),
        ("lon_end", "i8"),
        ("purpose_hash", "u8"),  # hashes of free text, which the content hash covers beside the codes read from it
        ("segment_hash", "u8"),
        ("scenario_hash", "u8"),
        ("slips_hash", "u8"),
        ("original_hash", "u8"),
        ("uetr_hash", "u8"),
        ("balance_minor", "i8"),
        ("has_balance", "u8"),
        ("is_reversal", "u8"),
    ]
)
"""What is known about a record beside its row while it is read."""
Bytes = NDArray[np.uint8]

# Compiled functions take rows as records, not arrays: a record is a bare pointer, an array is counted at every call.


@njit(cache=True)
def _packed(buf: Bytes, start: int, length: int) -> int:
    """:func:`stream.core.columns.pack_code`; 0 where a byte is no capital letter."""
    code = 0
    for k in range(start, start + length):
        letter = int(buf[k]) - 64
        if letter < 1 or letter > 26:
            return 0
        code = code * 27 + letter
    return code


@njit(cache=True)
def _is_id(buf: Bytes, tables: Any, start: int, length: int) -> bool:
    if length > columns.ID_BYTES:
        return False
    for k in range(start, start + length):  # noqa: SIM110 - compiled
        if tables["id_bytes"][buf[k]] == 0:
            return False
    return True


@njit(cache=True)
def _take_id(buf: Bytes, tables: Any, row: Any, work: Any, field: int, start: int, length: int) -> bool:
    if not _is_id(buf, tables, start, length):
        return False
    hashed = hash_bytes(buf, start, length)
    if field == _F_TRANSACTION_ID:
        work["transaction_start"] = start
        work["transaction_length"] = length
        row["transaction_hash"] = hashed
    elif field == _F_ACCOUNT_ID:
        work["account_start"] = start
        work["account_length"] = length
        row["account_hash"] = hashed
    elif field == _F_CUSTOMER_ID:
        work["customer_start"] = start
        work["customer_length"] = length
        row["customer_hash"] = hashed
    elif field == _F_PAYEE_ID:
        work["payee_start"] = start
        work["payee_length"] = length
        row["payee_hash"] = hashed
    else:
        row["device_hash"] = hashed
    return True


@njit(cache=True)
def _is_uetr(buf: Bytes, start: int, length: int) -> bool:
    """Whether a text is a UUID of version 4 in the lower case form of ISO 20022's UUIDv4Identifier."""
    if length != _UETR_BYTES:
        return False
    for k in range(_UETR_BYTES):
        c = buf[start + k]
        if k in _UETR_DASHES:
            if c != 45:
                return False
        elif not (48 <= c <= 57 or 97 <= c <= 102):
            return False
    variant = buf[start + _UETR_VARIANT]
    return bool(buf[start + _UETR_VERSION] == 52 and (56 <= variant <= 57 or 97 <= variant <= 98))


@njit(cache=True)
def _take_reference(buf: Bytes, tables: Any, work: Any, field: int, start: int, length: int) -> bool:
    """An id that only its hash is kept of: the transaction that is reversed, the UETR."""
    if field == _ORIGINAL:
        work["original_hash"] = hash_bytes(buf, start, length)
        return _is_id(buf, tables, start, length)
    work["uetr_hash"] = hash_bytes(buf, start, length)
    return _is_uetr(buf, start, length)


@njit(cache=True)
def _take_time(buf: Bytes, tables: Any, row: Any, work: Any, field: int, start: int, length: int) -> bool:
    instant = rfc3339.scan(buf, start, length)
    if instant == rfc3339.INVALID:
        return False
    if field == _EVENT_TIME:
        row["event_time"] = instant
    else:
        row["decide_by"] = instant
    return True


@njit(cache=True)
def _country_code(buf: Bytes, tables: Any, start: int, length: int) -> int:
    """Packed code of a country; 0 where it is none."""
    code = _packed(buf, start, length) if length == 2 else 0
    return code if code > 0 and tables["countries"][code] == 1 else 0


@njit(cache=True)
def _take_code(buf: Bytes, tables: Any, row: Any, work: Any, field: int, start: int, length: int) -> bool:
    if field == _CURRENCY:
        code = _packed(buf, start, length) if length == 3 else 0
        if code == 0 or tables["currency_ends"][code] == words.NO_CURRENCY:
            return False
        row["currency"] = code
        return True
    code = _country_code(buf, tables, start, length)
    if field == _COUNTRY:
        row["country"] = code
    else:
        row["payee_country"] = code
    return code > 0


@njit(cache=True)
def _purpose(buf: Bytes, tables: Any, start: int, length: int) -> int:
    """:func:`stream.core.edge.words.purpose_code`."""
    end = start + length
    while start < end and buf[start] == 32:
        start += 1
    while end > start and buf[end - 1] == 32:
        end -= 1
    code = words.find_folded(tables, words.PURPOSE, buf, start, end - start)
    if code < 0:
        first_word = start
        while first_word < end and buf[first_word] != 32:
            first_word += 1
        if start < first_word < end:
            code = words.find_folded(tables, words.PURPOSE, buf, start, first_word - start)
    return code if code >= 0 else _OTHER_PURPOSE


@njit(cache=True)
def _take_word(buf: Bytes, tables: Any, row: Any, work: Any, field: int, start: int, length: int) -> bool:
    if field == _CHANNEL:
        code = words.find(tables, words.CHANNEL, buf, start, length)
        row["channel"] = max(code, 0)
    elif field == _PAYEE_KIND:
        code = words.find(tables, words.PAYEE_KIND, buf, start, length)
        row["payee_kind"] = max(code, 0)
    elif field == _NAME_CHECK:
        code = words.find(tables, words.NAME_CHECK, buf, start, length)
        row["name_check"] = max(code, 0)
    elif field == _TYPE:
        code = words.find(tables, words.TYPE, buf, start, length)
        work["is_reversal"] = 1 if code == _REVERSAL else 0
    elif field == _SCENARIO:
        code = max(words.find(tables, words.SCENARIO, buf, start, length), 0)
        row["scenario_hint"] = code
        work["scenario_hash"] = hash_bytes(buf, start, length)
    elif field == _PURPOSE:
        code = _purpose(buf, tables, start, length)
        row["purpose"] = code
        work["purpose_hash"] = hash_bytes(buf, start, length)
    else:
        code = -1
    return code >= 0


@njit(cache=True)
def _take_text(buf: Bytes, tables: Any, row: Any, work: Any, field: int, start: int, length: int) -> bool:
    """A string that is not empty as the value of a field; False where the field does not take it."""
    if _F_TRANSACTION_ID <= field <= _DEVICE_ID:
        return _take_id(buf, tables, row, work, field, start, length)
    if field == _EVENT_TIME or field == _DECIDE_BY:  # noqa: SIM109 - compiled
        return _take_time(buf, tables, row, work, field, start, length)
    if _CURRENCY <= field <= _PAYEE_COUNTRY:
        return _take_code(buf, tables, row, work, field, start, length)
    if field == _ORIGINAL or field == _UETR:  # noqa: SIM109 - compiled
        return _take_reference(buf, tables, work, field, start, length)
    return _take_word(buf, tables, row, work, field, start, length)


@njit(cache=True)
def _take_place(buf: Bytes, tables: Any, row: Any, work: Any, field: int, p: int) -> int:
    """A latitude or longitude at ``p``; its range is checked here where it is read here."""
    end = number_end(buf, p)
    if end < 0:
        return -1
    exact, degrees = exact_float(buf, p, end)
    if field == _LAT:
        if not exact:
            work["lat_start"] = p
            work["lat_end"] = end
        elif degrees < -90.0 or degrees > 90.0:
            return -1
        row["lat"] = degrees + 0.0
    else:
        if not exact:
            work["lon_start"] = p
            work["lon_end"] = end
        elif degrees < -180.0 or degrees > 180.0:
            return -1
        row["lon"] = degrees + 0.0
    return end


@njit(cache=True)
def _take_number(buf: Bytes, tables: Any, row: Any, work: Any, field: int, p: int) -> int:
    if field == _LAT or field == _LON:  # noqa: SIM109 - compiled
        return _take_place(buf, tables, row, work, field, p)
    negative = field == _BALANCE and buf[p] == 45
    end, value = read_integer(buf, p + 1 if negative else p)
    if end < 0 or value > _MAX_AMOUNT:
        return -1
    if field == _BALANCE:
        work["balance_minor"] = -value if negative else value
        work["has_balance"] = 1
    elif field == _AMOUNT:
        row["amount_minor"] = value
    elif field == _ACCOUNT_AMOUNT:
        row["account_amount_minor"] = value
    else:
        return -1
    return end


@njit(cache=True)
def _take_slips(buf: Bytes, tables: Any, row: Any, work: Any, p: int, scratch: int) -> int:
    """The array of slips whose bracket is at ``p``."""
    p = skip_space(buf, p + 1)
    if buf[p] == CLOSE_LIST:
        return p + 1
    mask = 0
    for count in range(1, _MAX_SLIPS + 1):
        if buf[p] != QUOTE:
            return -1
        p, start, length = read_string(buf, p, scratch)
        if p < 0 or length == 0:
            return -1
        code = words.find(tables, words.SLIP, buf, start, length)
        mask |= 1 << (code if code >= 0 else _OTHER_SLIP)
        work["slips_hash"] = chain(work["slips_hash"], hash_bytes(buf, start, length))
        p = skip_space(buf, p)
        if buf[p] == CLOSE_LIST:
            row["slips"] = mask
            row["slip_count"] = count
            return p + 1
        if buf[p] != COMMA:
            return -1
        p = skip_space(buf, p + 1)
    return -1


@njit(cache=True)
def _customer_text(buf: Bytes, tables: Any, row: Any, work: Any, field: int, start: int, length: int) -> bool:
    if length == 0:
        return True
    if field == _SEGMENT:
        code = words.find(tables, words.SEGMENT, buf, start, length)
        row["segment"] = code if code > 0 else _OTHER_SEGMENT
        work["segment_hash"] = hash_bytes(buf, start, length)
        return True
    if field == _AGE_BAND:
        code = words.find(tables, words.AGE_BAND, buf, start, length)
        row["age_band"] = max(code, 0)
        return code > 0
    if field == _HOME_COUNTRY:
        code = _country_code(buf, tables, start, length)
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
    if field != _VULNERABLE:
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
        if start == scratch and _F_TRANSACTION_ID <= field <= _F_PAYEE_ID:
            return -1  # an id written with escapes: its text would not stay
        return p if _take_text(buf, tables, row, work, field, start, length) else -1
    if 48 <= c <= 57 or c == 45:
        return _take_number(buf, tables, row, work, field, p)
    if c == 110:
        return literal_end(buf, p)
    if c == OPEN_LIST and field == _SLIPS:
        return _take_slips(buf, tables, row, work, p, scratch)
    if c == OPEN_OBJECT and field == _CUSTOMER:
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
    row["event_time"] = _ABSENT
    row["decide_by"] = _ABSENT
    row["amount_minor"] = -1
    row["account_amount_minor"] = -1
    row["lat"] = np.nan
    row["lon"] = np.nan


@njit(cache=True)
def _fill_defaults(tables: Any, row: Any, work: Any) -> bool:
    """Defaults of absent fields; False where a required one is absent, or the currency had been withdrawn."""
    if row["transaction_hash"] == 0 or row["account_hash"] == 0 or row["currency"] == 0 or row["channel"] == 0:
        return False
    if row["event_time"] == _ABSENT or row["amount_minor"] < 0:
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
        copy_bytes(raw, at + _TRANSACTION_ID, buf, work["transaction_start"], work["transaction_length"])
        copy_bytes(raw, at + _ACCOUNT_ID, buf, work["account_start"], work["account_length"])
        copy_bytes(raw, at + _CUSTOMER_ID, buf, work["customer_start"], work["customer_length"])
        copy_bytes(raw, at + _PAYEE_ID, buf, work["payee_start"], work["payee_length"])
    return inexact
