"""Fields of a transaction from their JSON tokens into its row, compiled: ids, times, codes, words, numbers, places, slips.

Each ``take_`` fills what its field is, or says that the reference must read the record (see ``transaction_scan.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.arrays import rfc3339
from stream.arrays.fingerprint import chain, hash_bytes
from stream.core import columns
from stream.core.edge import words
from stream.core.edge.json_scan import (
    CLOSE_LIST,
    COMMA,
    QUOTE,
    exact_float,
    number_end,
    read_integer,
    read_string,
    skip_space,
)

ACCEPTED, REFERENCE = range(2)
"""Status of a record after the scan."""
_MAX_AMOUNT = 10**15
_MAX_SLIPS = 8
_OTHER_PURPOSE = columns.PURPOSES.index("other")
OTHER_SEGMENT = columns.SEGMENTS.index("other")
_OTHER_SLIP = columns.SLIPS.index("other")
ABSENT = int(columns.ABSENT_TIME)


def _at(name: str) -> int:
    fields = columns.TRANSACTION.fields
    assert fields is not None
    return int(fields[name][1])


TRANSACTION_ID, ACCOUNT_ID = _at("transaction_id"), _at("account_id")
CUSTOMER_ID, PAYEE_ID = _at("customer_id"), _at("payee_id")

(
    _TYPE, F_TRANSACTION_ID, _F_ACCOUNT_ID, _F_CUSTOMER_ID, F_PAYEE_ID, _DEVICE_ID, _EVENT_TIME, _DECIDE_BY,
    _AMOUNT, _ACCOUNT_AMOUNT, _CURRENCY, _COUNTRY, _PAYEE_COUNTRY, _CHANNEL, _PAYEE_KIND, _NAME_CHECK, _SCENARIO,
    _PURPOSE, _LAT, _LON, CUSTOMER, SLIPS, _ORIGINAL, _UETR, _BALANCE,
) = range(len(words.FIELDS))  # fmt: skip
_REVERSAL = words.TYPES.index("reversal")
_UETR_BYTES, _UETR_DASHES = 36, (8, 13, 18, 23)
_UETR_VERSION, _UETR_VARIANT = 14, 19
SEGMENT, AGE_BAND, HOME_COUNTRY, VULNERABLE = range(len(words.CUSTOMER_FIELDS))


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
    if field == F_TRANSACTION_ID:
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
    elif field == F_PAYEE_ID:
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
def country_code(buf: Bytes, tables: Any, start: int, length: int) -> int:
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
    code = country_code(buf, tables, start, length)
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
def take_text(buf: Bytes, tables: Any, row: Any, work: Any, field: int, start: int, length: int) -> bool:
    """A string that is not empty as the value of a field; False where the field does not take it."""
    if F_TRANSACTION_ID <= field <= _DEVICE_ID:
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
def take_number(buf: Bytes, tables: Any, row: Any, work: Any, field: int, p: int) -> int:
    """An amount, a balance or a degree; where it ends, -1 where the reference must read the record."""
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
def take_slips(buf: Bytes, tables: Any, row: Any, work: Any, p: int, scratch: int) -> int:
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
