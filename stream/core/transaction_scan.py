"""Transactions from bytes to columns, compiled: the fast path of the edge.

:func:`scan` reads each record by itself and either fills its row or leaves it to the reference
(:data:`REFERENCE`); it refuses nothing. Only what it has read whole, by the reference's rules, is :data:`ACCEPTED`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.core import columns, rfc3339, words
from stream.core.fingerprint import chain, hash_bytes
from stream.core.json_scan import (
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
from stream.core.partition import murmur2

ACCEPTED, REFERENCE, WRONG_PARTITION, FUTURE = range(4)
"""Status of a record."""
PURPOSE_TEXT, SEGMENT_TEXT, SCENARIO_TEXT, SLIP_TEXTS = range(4)
"""Columns of the hashes of free text, which the content hash covers beside the codes read from it."""
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
_LAT_WORD, _LON_WORD = _at("lat") // 8, _at("lon") // 8

(
    _TYPE,
    _F_TRANSACTION_ID,
    _F_ACCOUNT_ID,
    _F_CUSTOMER_ID,
    _F_PAYEE_ID,
    _DEVICE_ID,
    _EVENT_TIME,
    _DECIDE_BY,
    _AMOUNT,
    _ACCOUNT_AMOUNT,
    _CURRENCY,
    _COUNTRY,
    _PAYEE_COUNTRY,
    _CHANNEL,
    _PAYEE_KIND,
    _NAME_CHECK,
    _SCENARIO,
    _PURPOSE,
    _LAT,
    _LON,
    _CUSTOMER,
    _SLIPS,
) = range(len(words.FIELDS))
_SEGMENT, _AGE_BAND, _HOME_COUNTRY, _VULNERABLE = range(len(words.CUSTOMER_FIELDS))


class Sheet(NamedTuple):
    """What a scan reads and fills.

    Parameters
    ----------
    buf
        uint8: the records, each followed by a NUL byte, then 16 NUL bytes, then room for one record's unescaped text.
    rows, raw
        The n rows, and the same memory as uint8 (n, bytes of a row).
    texts
        uint64 (n, 4): hashes of free text.
    floats
        int64 (n, 2, 2): start and end in ``buf`` of a latitude and longitude that Python has to read; else 0.
    words
        The look-up table of words.
    currencies, countries, id_bytes
        Whether a packed code is in use; whether a byte may stand in an id.
    """

    buf: NDArray[np.uint8]
    rows: NDArray[Any]
    raw: NDArray[np.uint8]
    texts: NDArray[np.uint64]
    floats: NDArray[np.int64]
    words: words.Words
    currencies: NDArray[np.bool_]
    countries: NDArray[np.bool_]
    id_bytes: NDArray[np.bool_]


@njit(cache=True)
def _packed(buf: NDArray[np.uint8], start: int, length: int) -> int:
    """:func:`stream.core.columns.pack_code`; 0 where a byte is no capital letter."""
    code = 0
    for k in range(start, start + length):
        letter = int(buf[k]) - 64
        if letter < 1 or letter > 26:
            return 0
        code = code * 27 + letter
    return code


@njit(cache=True)
def _is_id(sheet: Sheet, start: int, length: int) -> bool:
    if length > columns.ID_BYTES:
        return False
    for k in range(start, start + length):
        if not sheet.id_bytes[sheet.buf[k]]:
            return False
    return True


@njit(cache=True)
def _put_bytes(sheet: Sheet, i: int, at: int, start: int, length: int) -> None:
    for k in range(length):
        sheet.raw[i, at + k] = sheet.buf[start + k]


@njit(cache=True)
def _take_id(sheet: Sheet, i: int, field: int, start: int, length: int) -> bool:
    if not _is_id(sheet, start, length):
        return False
    row = sheet.rows[i]
    hashed = hash_bytes(sheet.buf, start, length)
    if field == _F_TRANSACTION_ID:
        _put_bytes(sheet, i, _TRANSACTION_ID, start, length)
        row["transaction_hash"] = hashed
    elif field == _F_ACCOUNT_ID:
        _put_bytes(sheet, i, _ACCOUNT_ID, start, length)
        row["account_hash"] = hashed
    elif field == _F_CUSTOMER_ID:
        _put_bytes(sheet, i, _CUSTOMER_ID, start, length)
        row["customer_hash"] = hashed
    elif field == _F_PAYEE_ID:
        _put_bytes(sheet, i, _PAYEE_ID, start, length)
        row["payee_hash"] = hashed
    else:
        row["device_hash"] = hashed
    return True


@njit(cache=True)
def _take_time(sheet: Sheet, i: int, field: int, start: int, length: int) -> bool:
    instant = rfc3339.scan(sheet.buf, start, length)
    if instant == rfc3339.INVALID:
        return False
    if field == _EVENT_TIME:
        sheet.rows[i]["event_time"] = instant
    else:
        sheet.rows[i]["decide_by"] = instant
    return True


@njit(cache=True)
def _country_code(sheet: Sheet, start: int, length: int) -> int:
    """Packed code of a country; 0 where it is none."""
    code = _packed(sheet.buf, start, length) if length == 2 else 0
    return code if code > 0 and sheet.countries[code] else 0


@njit(cache=True)
def _take_code(sheet: Sheet, i: int, field: int, start: int, length: int) -> bool:
    if field == _CURRENCY:
        code = _packed(sheet.buf, start, length) if length == 3 else 0
        if code == 0 or not sheet.currencies[code]:
            return False
        sheet.rows[i]["currency"] = code
        return True
    code = _country_code(sheet, start, length)
    if field == _COUNTRY:
        sheet.rows[i]["country"] = code
    else:
        sheet.rows[i]["payee_country"] = code
    return code > 0


@njit(cache=True)
def _purpose(sheet: Sheet, start: int, length: int, scratch: int) -> int:
    """:func:`stream.core.words.purpose_code`; the folded text is written to ``scratch``."""
    buf = sheet.buf
    end = start + length
    while start < end and buf[start] == 32:
        start += 1
    while end > start and buf[end - 1] == 32:
        end -= 1
    first_word = -1
    for k in range(end - start):
        c = buf[start + k]
        if c == 32 and first_word < 0:
            first_word = k
        buf[scratch + k] = c + 32 if 65 <= c <= 90 else c
    code = words.find(sheet.words, words.PURPOSE, buf, scratch, end - start)
    if code < 0 and first_word > 0:
        code = words.find(sheet.words, words.PURPOSE, buf, scratch, first_word)
    return code if code >= 0 else _OTHER_PURPOSE


@njit(cache=True)
def _take_word(sheet: Sheet, i: int, field: int, start: int, length: int, scratch: int) -> bool:
    row = sheet.rows[i]
    buf = sheet.buf
    if field == _CHANNEL:
        code = words.find(sheet.words, words.CHANNEL, buf, start, length)
        row["channel"] = max(code, 0)
    elif field == _PAYEE_KIND:
        code = words.find(sheet.words, words.PAYEE_KIND, buf, start, length)
        row["payee_kind"] = max(code, 0)
    elif field == _NAME_CHECK:
        code = words.find(sheet.words, words.NAME_CHECK, buf, start, length)
        row["name_check"] = max(code, 0)
    elif field == _TYPE:
        code = words.find(sheet.words, words.TYPE, buf, start, length)
    elif field == _SCENARIO:
        code = max(words.find(sheet.words, words.SCENARIO, buf, start, length), 0)
        row["scenario_hint"] = code
        sheet.texts[i, SCENARIO_TEXT] = hash_bytes(buf, start, length)
    elif field == _PURPOSE:
        code = _purpose(sheet, start, length, scratch)
        row["purpose"] = code
        sheet.texts[i, PURPOSE_TEXT] = hash_bytes(buf, start, length)
    else:
        code = -1
    return code >= 0


@njit(cache=True)
def _take_text(sheet: Sheet, i: int, field: int, start: int, length: int, scratch: int) -> bool:
    """A string that is not empty as the value of a field; False where the field does not take it."""
    if _F_TRANSACTION_ID <= field <= _DEVICE_ID:
        return _take_id(sheet, i, field, start, length)
    if field == _EVENT_TIME or field == _DECIDE_BY:
        return _take_time(sheet, i, field, start, length)
    if _CURRENCY <= field <= _PAYEE_COUNTRY:
        return _take_code(sheet, i, field, start, length)
    return _take_word(sheet, i, field, start, length, scratch)


@njit(cache=True)
def _take_place(sheet: Sheet, i: int, field: int, p: int) -> int:
    """A latitude or longitude at ``p``; its range is checked here where it is read here."""
    end = number_end(sheet.buf, p)
    if end < 0:
        return -1
    exact, degrees = exact_float(sheet.buf, p, end)
    which = 0 if field == _LAT else 1
    if not exact:
        sheet.floats[i, which, 0] = p
        sheet.floats[i, which, 1] = end
        return end
    limit = 90.0 if field == _LAT else 180.0
    if degrees < -limit or degrees > limit:
        return -1
    if field == _LAT:
        sheet.rows[i]["lat"] = degrees + 0.0
    else:
        sheet.rows[i]["lon"] = degrees + 0.0
    return end


@njit(cache=True)
def _take_number(sheet: Sheet, i: int, field: int, p: int) -> int:
    if field == _LAT or field == _LON:
        return _take_place(sheet, i, field, p)
    end, value = read_integer(sheet.buf, p)
    if end < 0 or value > _MAX_AMOUNT:
        return -1
    if field == _AMOUNT:
        sheet.rows[i]["amount_minor"] = value
    elif field == _ACCOUNT_AMOUNT:
        sheet.rows[i]["account_amount_minor"] = value
    else:
        return -1
    return end


@njit(cache=True)
def _take_slips(sheet: Sheet, i: int, p: int, scratch: int) -> int:
    """The array of slips whose bracket is at ``p``."""
    buf = sheet.buf
    row = sheet.rows[i]
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
        code = words.find(sheet.words, words.SLIP, buf, start, length)
        mask |= 1 << (code if code >= 0 else _OTHER_SLIP)
        sheet.texts[i, SLIP_TEXTS] = chain(sheet.texts[i, SLIP_TEXTS], hash_bytes(buf, start, length))
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
def _customer_text(sheet: Sheet, i: int, field: int, start: int, length: int) -> bool:
    row = sheet.rows[i]
    if length == 0:
        return True
    if field == _SEGMENT:
        code = words.find(sheet.words, words.SEGMENT, sheet.buf, start, length)
        row["segment"] = code if code > 0 else _OTHER_SEGMENT
        sheet.texts[i, SEGMENT_TEXT] = hash_bytes(sheet.buf, start, length)
        return True
    if field == _AGE_BAND:
        code = words.find(sheet.words, words.AGE_BAND, sheet.buf, start, length)
        row["age_band"] = max(code, 0)
        return code > 0
    if field == _HOME_COUNTRY:
        code = _country_code(sheet, start, length)
        row["home_country"] = code
        return code > 0
    return False


@njit(cache=True)
def _customer_member(sheet: Sheet, i: int, field: int, p: int, scratch: int) -> int:
    buf = sheet.buf
    if field < 0:
        return skip_value(buf, p, scratch)
    if buf[p] == QUOTE:
        p, start, length = read_string(buf, p, scratch)
        return p if p > 0 and _customer_text(sheet, i, field, start, length) else -1
    end = literal_end(buf, p)
    if end < 0 or buf[p] == 110:  # null
        return end
    if field != _VULNERABLE:
        return -1
    sheet.rows[i]["vulnerable"] = 1 if buf[p] == 116 else 0
    return end


@njit(cache=True)
def _member(sheet: Sheet, i: int, field: int, p: int, scratch: int) -> int:
    """The value at ``p`` of a field; the place after it, or -1."""
    buf = sheet.buf
    if field < 0:
        return skip_value(buf, p, scratch)
    c = buf[p]
    if c == QUOTE:
        p, start, length = read_string(buf, p, scratch)
        if p < 0 or length == 0:
            return p
        return p if _take_text(sheet, i, field, start, length, scratch + length) else -1
    if 48 <= c <= 57 or c == 45:
        return _take_number(sheet, i, field, p)
    if c == 110:
        return literal_end(buf, p)
    if c == OPEN_LIST and field == _SLIPS:
        return _take_slips(sheet, i, p, scratch)
    if c == OPEN_OBJECT and field == _CUSTOMER:
        return _customer_object(sheet, i, p, scratch)
    return -1


@njit(cache=True)
def _customer_object(sheet: Sheet, i: int, p: int, scratch: int) -> int:
    """The customer whose brace is at ``p``; the place after it, or -1 (a known name twice is left to the reference)."""
    buf = sheet.buf
    seen = 0
    p = skip_space(buf, p + 1)
    if buf[p] == CLOSE_OBJECT:
        return p + 1
    while buf[p] == QUOTE:
        p, start, length = read_string(buf, p, scratch)
        if p < 0:
            return -1
        field = words.find(sheet.words, words.CUSTOMER_FIELD, buf, start, length)
        p = skip_space(buf, p)
        if buf[p] != COLON or (field >= 0 and seen >> field & 1):
            return -1
        seen |= 1 << field if field >= 0 else 0
        p = _customer_member(sheet, i, field, skip_space(buf, p + 1), scratch)
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
def _record(sheet: Sheet, i: int, p: int, scratch: int) -> int:
    """The record at ``p``, white space around it included; the place after it, or -1."""
    buf = sheet.buf
    seen = 0
    p = skip_space(buf, p)
    if buf[p] != OPEN_OBJECT:
        return -1
    p = skip_space(buf, p + 1)
    while buf[p] == QUOTE:
        p, start, length = read_string(buf, p, scratch)
        if p < 0:
            return -1
        field = words.find(sheet.words, words.FIELD, buf, start, length)
        p = skip_space(buf, p)
        if buf[p] != COLON or (field >= 0 and seen >> field & 1):
            return -1
        seen |= 1 << field if field >= 0 else 0
        p = _member(sheet, i, field, skip_space(buf, p + 1), scratch)
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
def _fill_defaults(sheet: Sheet, i: int) -> bool:
    """Defaults of absent fields; False where a required one is absent."""
    row = sheet.rows[i]
    if row["transaction_hash"] == 0 or row["account_hash"] == 0 or row["currency"] == 0 or row["channel"] == 0:
        return False
    if row["event_time"] == _ABSENT or row["amount_minor"] < 0:
        return False
    if row["account_amount_minor"] < 0:
        row["account_amount_minor"] = row["amount_minor"]
    if row["customer_hash"] == 0:
        row["customer_hash"] = row["account_hash"]
        for k in range(columns.ID_BYTES):
            sheet.raw[i, _CUSTOMER_ID + k] = sheet.raw[i, _ACCOUNT_ID + k]
    return True


@njit(cache=True, nogil=True)
def scan(sheet: Sheet, starts: NDArray[np.int64], scratch: int, status: NDArray[np.uint8]) -> None:
    """Read every record of ``sheet.buf`` into its row.

    Parameters
    ----------
    sheet
        Rows, texts and floats must be zero.
    starts
        int64 (n + 1,): where each record starts; record i ends one byte (its NUL) before ``starts[i + 1]``.
    scratch
        Where in ``sheet.buf`` the room for unescaped text starts.
    status
        uint8 (n,): out, :data:`ACCEPTED` or :data:`REFERENCE`.
    """
    for i in range(len(status)):
        _clear(sheet.rows[i])
        end = _record(sheet, i, starts[i], scratch)
        read = end == starts[i + 1] - 1 and _fill_defaults(sheet, i)
        status[i] = ACCEPTED if read else REFERENCE


@njit(cache=True)
def _content_hash(row: Any, texts: NDArray[np.uint64], bits: NDArray[np.uint64]) -> Any:
    """Over every field a producer can set, as read: two records of the same content have the same hash."""
    h = chain(row["transaction_hash"], row["account_hash"])
    h = chain(h, row["customer_hash"])
    h = chain(h, row["payee_hash"])
    h = chain(h, row["device_hash"])
    h = chain(h, np.uint64(row["event_time"]))
    h = chain(h, np.uint64(row["decide_by"]))
    h = chain(h, np.uint64(row["amount_minor"]))
    h = chain(h, np.uint64(row["account_amount_minor"]))
    h = chain(h, bits[_LAT_WORD])
    h = chain(h, bits[_LON_WORD])
    places = np.uint64(row["currency"]) << np.uint64(32) | np.uint64(row["country"])
    h = chain(h, places)
    h = chain(h, np.uint64(row["payee_country"]) << np.uint64(32) | np.uint64(row["home_country"]))
    codes = np.uint64(row["channel"]) << np.uint64(32) | np.uint64(row["payee_kind"]) << np.uint64(24)
    codes |= np.uint64(row["name_check"]) << np.uint64(16) | np.uint64(row["age_band"]) << np.uint64(8)
    h = chain(h, codes | np.uint64(row["vulnerable"]))
    for k in range(len(texts)):
        h = chain(h, texts[k])
    return h


@njit(cache=True)
def _id_length(raw: NDArray[np.uint8], at: int) -> int:
    length = 0
    while length < columns.ID_BYTES and raw[at + length] != 0:
        length += 1
    return length


@njit(cache=True, nogil=True)
def seal(
    sheet: Sheet,
    bits: NDArray[np.uint64],
    status: NDArray[np.uint8],
    partition: int,
    partitions: int,
    future_ms: int,
) -> None:
    """Content hash of every accepted row, and the two rules that need its place: partition, then future.

    Parameters
    ----------
    sheet
        Rows filled, with their Kafka timestamps.
    bits
        The rows as uint64 (n, words of a row).
    status
        uint8 (n,): in and out; an accepted row may become :data:`WRONG_PARTITION` or :data:`FUTURE`.
    partition, partitions
        Where the records were found; how many partitions the topic has.
    future_ms
        How far an event time may lie ahead of its Kafka timestamp, ms.
    """
    for i in range(len(status)):
        if status[i] != ACCEPTED:
            continue
        row = sheet.rows[i]
        row["content_hash"] = _content_hash(row, sheet.texts[i], bits[i])
        length = _id_length(sheet.raw[i], _CUSTOMER_ID)
        if murmur2(sheet.raw[i], _CUSTOMER_ID, length) % partitions != partition:
            status[i] = WRONG_PARTITION
        elif -(-row["event_time"] // 1000) - future_ms > row["timestamp"]:  # ms, rounded up
            status[i] = FUTURE
