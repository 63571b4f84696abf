"""Times on the wire: RFC 3339 in, RFC 3339 UTC with ``Z`` out, microseconds since the epoch inside.

Two readers of one rule: :func:`parse` (plain Python, the reference) and :func:`scan` (compiled, over bytes).

The rule is RFC 3339 section 5.6 to the letter: ``T`` and ``Z`` in either case, nothing else between date and time;
a numeric offset of up to 23:59 either way (``-00:00`` reads as UTC); a fraction of any length, cut (not rounded) to
microseconds. Second 60 is read only where leap seconds are: 23:59:60 UTC on the last day of a month (section 5.7);
like POSIX time it is the first second of the next day. The instant must lie in the years 1 to 9999 of UTC.

Source: Klyne and Newman, RFC 3339, 2002. Days from a civil date: Hinnant, "chrono-compatible low-level date
algorithms", 2013.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

INVALID = -(2**63)
"""What :func:`scan` returns for bytes that are no time."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = -62_135_596_800_000_000
_LATEST = 253_402_300_799_999_999

_FORM = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


def parse(text: str) -> datetime:
    """The instant a text names, in UTC.

    Raises
    ------
    ValueError
        The text is not RFC 3339, or its instant lies outside the years 1 to 9999.

    Examples
    --------
    >>> parse("2026-11-24T08:00:00.5+08:00")
    datetime.datetime(2026, 11, 24, 0, 0, 0, 500000, tzinfo=datetime.timezone.utc)
    >>> parse("2016-12-31T23:59:60Z")
    datetime.datetime(2017, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    >>> parse("2026-11-24")
    Traceback (most recent call last):
    ...
    ValueError: not an RFC 3339 date and time with an offset
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError("not an RFC 3339 date and time with an offset")
    year, month, day, hour, minute, second = (int(part) for part in form.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hour, offset_minute = form.group(7, 8, 9, 10)
    offset = timedelta(0)
    if sign is not None:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            raise ValueError("the offset is more than 23:59")
        offset = timedelta(hours=int(offset_hour), minutes=int(offset_minute)) * (1 if sign == "+" else -1)
    microsecond = int(f"{fraction or '0':0<6.6}")
    leap = second == 60
    try:
        instant = datetime(
            year, month, day, hour, minute, 59 if leap else second, microsecond, tzinfo=timezone(offset)
        ).astimezone(UTC)
        if not leap:
            return instant
        if (instant.hour, instant.minute) == (23, 59) and (instant + timedelta(days=1)).day == 1:
            return instant + timedelta(seconds=1)
    except OverflowError:
        raise ValueError("outside the years 1 to 9999") from None
    raise ValueError("second 60 where no leap second can be")


def microseconds(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime.

    >>> microseconds(parse("1970-01-01T00:00:01Z"))
    1000000
    """
    return (instant - EPOCH) // _MICROSECOND


def render(instant_us: int) -> str:
    """An instant in microseconds since the epoch as RFC 3339 UTC; the fraction only where there is one.

    >>> render(1_000_000), render(1_500_000)
    ('1970-01-01T00:00:01Z', '1970-01-01T00:00:01.500000Z')
    """
    return (EPOCH + timedelta(microseconds=int(instant_us))).isoformat().replace("+00:00", "Z")


@njit(cache=True)
def _number(buf: NDArray[np.uint8], start: int, digits: int) -> int:
    value = 0
    for k in range(start, start + digits):
        digit = int(buf[k]) - 48
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value


@njit(cache=True)
def _days(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the proleptic Gregorian calendar (Hinnant's days_from_civil)."""
    shifted = year - 1 if month <= 2 else year
    era = shifted // 400
    year_of_era = shifted - era * 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468


@njit(cache=True)
def _month_length(year: int, month: int) -> int:
    if month == 2:
        return 29 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@njit(cache=True)
def _offset_minutes(buf: NDArray[np.uint8], p: int, end: int) -> int:
    """Minutes east of UTC of the offset that must fill ``buf[p:end]``; 10,000 where it is none."""
    if p == end - 1 and (buf[p] == 90 or buf[p] == 122):
        return 0
    if p != end - 6 or buf[p + 3] != 58 or (buf[p] != 43 and buf[p] != 45):
        return 10_000
    hours, minutes = _number(buf, p + 1, 2), _number(buf, p + 4, 2)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return 10_000
    offset = hours * 60 + minutes
    return offset if buf[p] == 43 else -offset


@njit(cache=True)
def _last_second_of_month(instant: int) -> bool:
    """Whether a whole second (in s) is 23:59:59 of the last day of a month, UTC."""
    if instant % 86_400 != 86_399:
        return False
    # day of the month of the following day, by Hinnant's civil_from_days
    days = instant // 86_400 + 1 + 719_468
    day_of_era = days % 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    return day_of_year - (153 * month + 2) // 5 == 0


@njit(cache=True)
def scan(buf: NDArray[np.uint8], start: int, length: int) -> int:
    """The instant named by ``buf[start:start + length]``, µs since the epoch; :data:`INVALID` where it names none."""
    end = start + length
    if length < 20 or buf[start + 4] != 45 or buf[start + 7] != 45 or buf[start + 13] != 58 or buf[start + 16] != 58:
        return INVALID
    if buf[start + 10] != 84 and buf[start + 10] != 116:
        return INVALID
    year, month, day = _number(buf, start, 4), _number(buf, start + 5, 2), _number(buf, start + 8, 2)
    hour, minute, second = _number(buf, start + 11, 2), _number(buf, start + 14, 2), _number(buf, start + 17, 2)
    if year < 1 or month < 1 or month > 12 or day < 1 or day > _month_length(year, month):
        return INVALID
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 60:
        return INVALID
    p = start + 19
    fraction = 0
    if buf[p] == 46:
        p += 1
        unit = 100_000
        first = p
        while p < end and buf[p] >= 48 and buf[p] <= 57:
            fraction += (int(buf[p]) - 48) * unit
            unit //= 10
            p += 1
        if p == first:
            return INVALID
    offset = _offset_minutes(buf, p, end)
    if offset == 10_000:
        return INVALID
    instant = _days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + min(second, 59) - offset * 60
    if second == 60:
        if not _last_second_of_month(instant):
            return INVALID
        instant += 1
    instant = instant * 1_000_000 + fraction
    return instant if _EARLIEST <= instant <= _LATEST else INVALID


@njit(cache=True, nogil=True)
def put_instant(out: Any, at: Any, instant_us: Any) -> Any:
    """Write an instant of the years 0 to 9999 as ``2026-01-01T00:00:00.000000``; returns where the next byte goes."""
    seconds, micros = np.int64(instant_us) // 1_000_000, np.int64(instant_us) % 1_000_000
    days, second = seconds // 86_400, seconds % 86_400
    # Hinnant's civil_from_days
    days += 719_468
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    year = year_of_era + era * 400 + (1 if month <= 2 else 0)
    at = _put_digits(out, at, year, 4, 45)
    at = _put_digits(out, at, month, 2, 45)
    at = _put_digits(out, at, day_of_year - (153 * shifted + 2) // 5 + 1, 2, 84)
    at = _put_digits(out, at, second // 3600, 2, 58)
    at = _put_digits(out, at, second // 60 % 60, 2, 58)
    at = _put_digits(out, at, second % 60, 2, 46)
    return _put_digits(out, at, micros, 6, 0) - 1


@njit(cache=True, nogil=True)
def _put_digits(out: Any, at: Any, number: Any, digits: Any, then: Any) -> Any:
    """Write a number with leading zeros and the byte that follows it; returns where the next one goes."""
    for k in range(digits - 1, -1, -1):
        out[at + k] = 48 + number % 10
        number //= 10
    if then:
        out[at + digits] = then
    return at + digits + 1


def scan_text(text: str) -> Any:
    """:func:`scan` of a text, for tests and for reading single values.

    >>> scan_text("1970-01-01T00:00:01Z")
    1000000
    """
    data = np.frombuffer(text.encode() + b"\0" * 8, np.uint8)
    return int(scan(data, 0, len(data) - 8))
