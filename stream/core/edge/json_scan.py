"""A strict JSON scanner over bytes, compiled: what the hot path of the edge reads records with.

It reads a subset on purpose. Every function returns the place after what it read, or -1 for whatever it does not
read: bad grammar, bad UTF-8, half a surrogate pair, nesting beyond :data:`MAX_DEPTH`. The caller then hands the
record to the reference (``stream.contracts``), whose verdict counts; so "-1" costs time and never decides.

Bounds: the buffer ends with NUL bytes (``packed.PADDING``), which no token contains, so that every loop ends inside it;
strings are read by words of eight bytes.

Source: RFC 8259 (JSON), RFC 3629 section 4 (UTF-8).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.arrays.byte_words import WORD_BYTES, load_word, lowest_byte, not_plain

MAX_DEPTH = 32
QUOTE, COMMA, COLON, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = 34, 44, 58, 91, 93, 123, 125
_BACKSLASH, _MINUS, _POINT, _ZERO, _NINE, _PLUS = 92, 45, 46, 48, 57, 43
EXACT_MANTISSA = 2**53
"""Below it an integer is exact as a float64, and so are powers of ten up to 10^22 (Clinger, 1990)."""
_POWERS_OF_TEN = tuple(10.0**k for k in range(23))


@njit(cache=True)
def skip_space(buf: NDArray[np.uint8], p: int) -> int:
    """The first place from ``p`` on that is no white space."""
    while buf[p] <= 32 and (buf[p] == 32 or buf[p] == 10 or buf[p] == 13 or buf[p] == 9):
        p += 1
    return p


@njit(cache=True)
def plain_string_end(buf: NDArray[np.uint8], p: int) -> Any:
    """From ``p``, inside a string: the first byte that is not printable ASCII, or is a quote or backslash."""
    marks = not_plain(load_word(buf, p))
    while marks == 0:
        p += WORD_BYTES
        marks = not_plain(load_word(buf, p))
    return p + lowest_byte(marks)


@njit(cache=True)
def _utf8_length(buf: NDArray[np.uint8], p: int) -> int:
    """Bytes of the well-formed UTF-8 sequence at ``p`` (its first byte is 128 or more); -1 where it is none."""
    first = int(buf[p])
    second = int(buf[p + 1])
    if 0xC2 <= first <= 0xDF:
        return 2 if 0x80 <= second <= 0xBF else -1
    if second < 0x80 or second > 0xBF or buf[p + 2] < 0x80 or buf[p + 2] > 0xBF:
        return -1
    if 0xE0 <= first <= 0xEF:
        overlong = first == 0xE0 and second < 0xA0
        surrogate = first == 0xED and second > 0x9F
        return -1 if overlong or surrogate else 3
    if 0xF0 <= first <= 0xF4 and 0x80 <= buf[p + 3] <= 0xBF:
        overlong = first == 0xF0 and second < 0x90
        too_high = first == 0xF4 and second > 0x8F
        return -1 if overlong or too_high else 4
    return -1


@njit(cache=True)
def _hex4(buf: NDArray[np.uint8], p: int) -> int:
    value = 0
    for k in range(p, p + 4):
        c = int(buf[k])
        if _ZERO <= c <= _NINE:
            digit = c - 48
        elif 65 <= c <= 70:
            digit = c - 55
        elif 97 <= c <= 102:
            digit = c - 87
        else:
            return -1
        value = value * 16 + digit
    return value


@njit(cache=True)
def _put_code_point(buf: NDArray[np.uint8], at: int, code: int) -> int:
    """Write a code point as UTF-8; returns how many bytes."""
    if code < 0x80:
        buf[at] = code
        return 1
    if code < 0x800:
        buf[at] = 0xC0 | code >> 6
        buf[at + 1] = 0x80 | code & 0x3F
        return 2
    if code < 0x10000:
        buf[at] = 0xE0 | code >> 12
        buf[at + 1] = 0x80 | code >> 6 & 0x3F
        buf[at + 2] = 0x80 | code & 0x3F
        return 3
    buf[at] = 0xF0 | code >> 18
    buf[at + 1] = 0x80 | code >> 12 & 0x3F
    buf[at + 2] = 0x80 | code >> 6 & 0x3F
    buf[at + 3] = 0x80 | code & 0x3F
    return 4


@njit(cache=True)
def _escape(buf: NDArray[np.uint8], p: int, at: int) -> tuple[int, int]:
    """Decode the escape whose backslash is at ``p`` to ``at``: (place after it or -1, bytes written)."""
    c = int(buf[p + 1])
    if c == 117:  # u
        code = _hex4(buf, p + 2)
        p += 6
        if 0xD800 <= code < 0xDC00 and buf[p] == _BACKSLASH and buf[p + 1] == 117:
            low = _hex4(buf, p + 2)
            if low < 0xDC00 or low > 0xDFFF:
                return -1, 0
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
            p += 6
        elif code < 0 or 0xD800 <= code < 0xE000:
            return -1, 0
        return p, _put_code_point(buf, at, code)
    if c == QUOTE or c == _BACKSLASH or c == 47:  # noqa: SIM109 - compiled
        decoded = c
    elif c == 98:
        decoded = 8
    elif c == 102:
        decoded = 12
    elif c == 110:
        decoded = 10
    elif c == 114:
        decoded = 13
    elif c == 116:
        decoded = 9
    else:
        return -1, 0
    buf[at] = decoded
    return p + 2, 1


@njit(cache=True)
def read_string(buf: NDArray[np.uint8], p: int, scratch: int) -> tuple[int, int, int]:
    """Read the string whose opening quote is at ``p``.

    Returns
    -------
    (next, start, length)
        The place after the closing quote, or -1; and where its text stands in ``buf``: as it is, or, where it has
        escapes, decoded at ``scratch``; with ``scratch`` 0 there is no room, and escapes are not read.
    """
    start = p + 1
    p = plain_string_end(buf, start)
    if buf[p] == QUOTE:
        return p + 1, start, p - start
    at = scratch
    while buf[p] != QUOTE:
        if buf[p] == _BACKSLASH:
            if scratch == 0:
                return -1, 0, 0
            if at == scratch:
                for k in range(start, p):
                    buf[at] = buf[k]
                    at += 1
            p, written = _escape(buf, p, at)
            if p < 0:
                return -1, 0, 0
            at += written
            continue
        length = 1 if 32 <= buf[p] < 128 else -1
        if buf[p] >= 128:
            length = _utf8_length(buf, p)
        if length < 0:
            return -1, 0, 0
        if at > scratch:
            for k in range(p, p + length):
                buf[at] = buf[k]
                at += 1
        p += length
    if at > scratch:
        return p + 1, scratch, at - scratch
    return p + 1, start, p - start


@njit(cache=True)
def read_integer(buf: NDArray[np.uint8], p: int) -> tuple[int, int]:
    """A non-negative integer of at most 18 digits: (place after it or -1, value). A fraction or exponent is none."""
    start = p
    value = 0
    while _ZERO <= buf[p] <= _NINE and p - start < 19:
        value = value * 10 + int(buf[p]) - 48
        p += 1
    digits = p - start
    if digits == 0 or digits > 18 or (digits > 1 and buf[start] == _ZERO):
        return -1, 0
    if buf[p] == _POINT or buf[p] == 101 or buf[p] == 69:
        return -1, 0
    return p, value


@njit(cache=True)
def _digits_end(buf: NDArray[np.uint8], p: int) -> int:
    while _ZERO <= buf[p] <= _NINE:
        p += 1
    return p


@njit(cache=True)
def number_end(buf: NDArray[np.uint8], p: int) -> int:
    """The place after the number at ``p``, by RFC 8259's grammar; -1 where there is none."""
    if buf[p] == _MINUS:
        p += 1
    whole = _digits_end(buf, p)
    if whole == p or (whole > p + 1 and buf[p] == _ZERO):
        return -1
    p = whole
    if buf[p] == _POINT:
        end = _digits_end(buf, p + 1)
        if end == p + 1:
            return -1
        p = end
    if buf[p] == 101 or buf[p] == 69:
        p += 1
        if buf[p] == _PLUS or buf[p] == _MINUS:
            p += 1
        end = _digits_end(buf, p)
        if end == p:
            return -1
        p = end
    return p


@njit(cache=True)
def exact_float(buf: NDArray[np.uint8], start: int, end: int) -> tuple[bool, float]:
    """The float64 of the number ``buf[start:end]``, where one multiplication or division gives it correctly rounded.

    Returns (False, 0.0) for an exponent, more than 15 digits or so, or more than 22 decimals: then Python reads it.
    """
    negative = buf[start] == _MINUS
    mantissa = 0
    decimals = -1
    for k in range(start + 1 if negative else start, end):
        if buf[k] == _POINT:
            decimals = 0
            continue
        if buf[k] < _ZERO or buf[k] > _NINE or mantissa >= EXACT_MANTISSA // 16:
            return False, 0.0
        mantissa = mantissa * 10 + int(buf[k]) - 48
        if decimals >= 0:
            decimals += 1
    if mantissa > EXACT_MANTISSA or decimals > 22:
        return False, 0.0
    value = float(mantissa)
    if decimals > 0:
        value /= _POWERS_OF_TEN[decimals]
    return True, -value if negative else value


@njit(cache=True)
def literal_end(buf: NDArray[np.uint8], p: int) -> int:
    """The place after ``true``, ``false`` or ``null`` at ``p``; -1 where there is none."""
    if buf[p] == 116 and buf[p + 1] == 114 and buf[p + 2] == 117 and buf[p + 3] == 101:
        return p + 4
    if buf[p] == 110 and buf[p + 1] == 117 and buf[p + 2] == 108 and buf[p + 3] == 108:
        return p + 4
    if buf[p] == 102 and buf[p + 1] == 97 and buf[p + 2] == 108 and buf[p + 3] == 115 and buf[p + 4] == 101:
        return p + 5
    return -1


@njit(cache=True)
def _skip_scalar(buf: NDArray[np.uint8], p: int, scratch: int) -> int:
    if buf[p] == QUOTE:
        end, _start, _length = read_string(buf, p, scratch)
        return end
    if buf[p] == _MINUS or _ZERO <= buf[p] <= _NINE:
        return number_end(buf, p)
    return literal_end(buf, p)


@njit(cache=True)
def _skip_name(buf: NDArray[np.uint8], p: int, scratch: int) -> int:
    """From a member's name to its value."""
    if buf[p] != QUOTE:
        return -1
    p, _start, _length = read_string(buf, p, scratch)
    if p < 0:
        return -1
    p = skip_space(buf, p)
    return skip_space(buf, p + 1) if buf[p] == COLON else -1


@njit(cache=True)
def _after_value(buf: NDArray[np.uint8], p: int, scratch: int, depth: int, objects: int) -> tuple[int, int, int]:
    """After a value: close what closes here, or go to the next one. Returns (place or -1, depth, objects)."""
    while depth > 0:
        p = skip_space(buf, p)
        inside_object = objects & 1
        if buf[p] == COMMA:
            p = skip_space(buf, p + 1)
            return (_skip_name(buf, p, scratch) if inside_object else p), depth, objects
        if buf[p] != (CLOSE_OBJECT if inside_object else CLOSE_LIST):
            return -1, depth, objects
        p += 1
        depth -= 1
        objects >>= 1
    return p, depth, objects


@njit(cache=True)
def skip_value(buf: NDArray[np.uint8], p: int, scratch: int) -> int:
    """The place after the value at ``p``, whatever it is, its grammar checked; -1 where it is not read."""
    depth = 0
    objects = 0  # a bit a level, the innermost lowest: 1 an object, 0 an array
    while True:
        c = buf[p]
        if c == OPEN_OBJECT or c == OPEN_LIST:  # noqa: SIM109 - compiled
            if depth == MAX_DEPTH:
                return -1
            is_object = c == OPEN_OBJECT
            depth += 1
            objects = objects << 1 | (1 if is_object else 0)
            p = skip_space(buf, p + 1)
            if buf[p] != (CLOSE_OBJECT if is_object else CLOSE_LIST):
                if is_object:
                    p = _skip_name(buf, p, scratch)
                if p < 0:
                    return -1
                continue
        else:
            p = _skip_scalar(buf, p, scratch)
            if p < 0:
                return -1
        p, depth, objects = _after_value(buf, p, scratch, depth, objects)
        if p < 0 or depth == 0:
            return p
