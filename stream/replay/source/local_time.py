"""Cells as instants: forms of time, and local times of zones whose clocks are turned."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from stream.replay.source.amounts import Marks, decimal_of
from stream.replay.source.cells import text_of
from stream.replay.source.field_map import PLAIN_FORMATS, UNITS, UNIX_UNITS, FieldMap

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US = 253_402_300_799_999_999
_EARLIEST_US = -62_135_596_800_000_000
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z")
_ISO = re.compile(
    r"\d{4}-?(?:\d{2}-?\d{2}|W\d{2}-?\d)(?:[T ]\d{2}(?::?\d{2}(?::?\d{2}(?:[.,]\d+)?)?)?)?"
    r"(?:Z|[+-]\d{2}(?::?\d{2}(?::?\d{2})?)?)?",
    re.ASCII | re.IGNORECASE,
)
"""What ``datetime.fromisoformat`` may be asked: it takes any character between day and clock, and 10.11 for 10:00:00.11."""
_CLOCK = re.compile(r"\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?", re.ASCII)
REPEATED, NEVER, SECOND = "repeated", "never", "second"


@dataclass
class Turned:
    """Local times read so far that a turned clock makes doubtful.

    Parameters
    ----------
    repeated, second
        Those that come twice; how many of them were read as the second one.
    never
        Those that the clock skipped.
    disordered
        Times that lie before the time of the row before them (after it, where the newest row is the first).
    """

    repeated: int = 0
    second: int = 0
    never: int = 0
    disordered: int = 0


@dataclass
class TimeReader:
    """Reads a field's cells as RFC 3339 in UTC, in the file's order.

    Parameters
    ----------
    field_map
        The field's map.
    marks
        Of numbers in text.
    descending
        Whether the file's newest row is its first.
    turned
        Where doubtful times are counted.
    """

    field_map: FieldMap
    marks: Marks
    descending: bool = False
    turned: Turned = field(default_factory=Turned)

    def __post_init__(self) -> None:
        self._zone = ZoneInfo(self.field_map.zone)
        self._readers = _readers(self.field_map, self.marks)
        self._before: datetime | None = None

    def __call__(self, cell: Any) -> str:
        """A cell's instant.

        Raises
        ------
        ValueError
            It cannot be read, or in more than one way.
        """
        if type(cell) is str and self._readers[0] is _iso and len(self._readers) == 1 and _RFC3339.fullmatch(cell):
            _iso(cell)
            return cell
        found = {self._instant(read) for read in dict.fromkeys(self._readings(cell))}
        if len(found) > 1:
            raise ValueError("two of the formats read it as different times; give the one it has")
        return rendered(found.pop())

    def _readings(self, cell: Any) -> list[datetime]:
        if isinstance(cell, datetime):
            return [cell]
        if isinstance(cell, date):
            return [datetime.combine(cell, time())]
        out: list[datetime] = []
        failure: ValueError | None = None
        for read in self._readers:
            try:
                out.append(read(cell))
            except (ValueError, ArithmeticError, OverflowError) as error:
                failure = failure or ValueError(str(error))
        if not out:
            raise failure or ValueError("no time")
        return out

    def _instant(self, read: datetime) -> datetime:
        if read.tzinfo is not None:
            return read.astimezone(UTC)
        first, second = read.replace(tzinfo=self._zone, fold=0), read.replace(tzinfo=self._zone, fold=1)
        before, after = first.utcoffset(), second.utcoffset()
        assert before is not None, "a zone has offsets"
        assert after is not None, "a zone has offsets"
        instant = _shifted(read, before)
        if before > after:
            instant = self._twice(instant, _shifted(read, after))
        elif before < after:
            self.turned.never += 1
            if self.field_map.repeated == "refuse":
                raise ValueError(f"the clocks of {self.field_map.zone} skip this time")
        if self.field_map.repeated == "by_order":
            last = instant if self._before is None else self._before
            self.turned.disordered += instant > last if self.descending else instant < last
            self._before = instant
        return instant

    def _twice(self, first: datetime, second: datetime) -> datetime:
        """Which of two instants with the same local time is meant."""
        self.turned.repeated += 1
        chosen = first
        if self.field_map.repeated == "refuse":
            raise ValueError(
                f"the clocks of {self.field_map.zone} show this time twice; repeated: says which one it is"
            )
        if self.field_map.repeated == "second":
            chosen = second
        elif self.field_map.repeated == "by_order" and self.descending:
            fits = self._before is None or second <= self._before
            chosen = second if fits or first > (self._before or first) else first
        elif self.field_map.repeated == "by_order" and self._before is not None and first < self._before <= second:
            chosen = second
        self.turned.second += chosen is second
        return chosen


def rendered(instant: datetime) -> str:
    """RFC 3339 in UTC with Z."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _shifted(local: datetime, offset: timedelta) -> datetime:
    try:
        return local.replace(tzinfo=UTC) - offset
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error


def joined(cells: list[Any]) -> Any:
    """The parts of a time as one cell: texts with blanks between, a date and a time of day as such."""
    day = cells[0]
    if isinstance(day, date) and len(cells) == 2:
        start = day.date() if isinstance(day, datetime) else day
        clock = cells[1]
        if isinstance(clock, datetime):
            clock = clock.time()
        if isinstance(clock, str) and _CLOCK.fullmatch(clock):
            clock = time.fromisoformat(clock)
        if isinstance(clock, time):
            return datetime.combine(start, clock)
    if isinstance(day, datetime) and day.time() == time():
        day = day.date()
    return " ".join([text_of(day), *map(text_of, cells[1:])])


def _readers(field: FieldMap, marks: Marks) -> list[Callable[[Any], datetime]]:
    if field.unit is not None:
        start = datetime.fromisoformat(field.start or "")
        return [_counted(start, Decimal(UNITS[field.unit]), marks)]
    return [
        _counted(_EPOCH, UNIX_UNITS[form], marks)
        if form in UNIX_UNITS
        else _iso
        if form in PLAIN_FORMATS
        else _by_pattern(form)
        for form in field.formats
    ]


def _counted(start: datetime, unit: Decimal, marks: Marks) -> Callable[[Any], datetime]:
    origin = round((start - _EPOCH) / timedelta(microseconds=1))

    def read(cell: Any) -> datetime:
        instant = origin + int(decimal_of(cell, marks) * unit)
        if not _EARLIEST_US <= instant <= _LATEST_US:
            raise ValueError("outside the years 1 to 9999; is it seconds or milliseconds?")
        return _EPOCH + timedelta(microseconds=instant)

    return read


def _iso(cell: Any) -> datetime:
    text = text_of(cell)
    if _ISO.fullmatch(text) is None:
        raise ValueError("not an ISO 8601 date and time; format: says what it is")
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("no such day or time of day") from error


def _by_pattern(pattern: str) -> Callable[[Any], datetime]:
    def read(cell: Any) -> datetime:
        try:
            return datetime.strptime(text_of(cell), pattern)  # noqa: DTZ007 - the zone comes next
        except ValueError as error:
            extra = "; blanks around it? file: {strip: true}" if isinstance(cell, str) and cell != cell.strip() else ""
            raise ValueError(f"not a time of the form {pattern}{extra}") from error

    return read
