"""Columns of a table to values of fields, a chunk at a time."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from stream.core.rfc3339 import microseconds
from stream.errors import RiskstreamError
from stream.replay.column_map import AMOUNTS, PLACES, TIMES, FieldMap

_TRUE = ("true", "1", "yes", "t", "y")
_FALSE = ("false", "0", "no", "f", "n")
_AROUND_ONE = re.compile(r"([^{}]*)\{[A-Za-z_][A-Za-z_0-9]*\}([^{}]*)")
_EARLIEST = microseconds(datetime(1, 1, 1, tzinfo=UTC))
_LATEST = microseconds(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))


class NotConvertible(RiskstreamError):
    """A value of a column that is not what its field wants; names file, row and column."""


def field_values(name: str, field: FieldMap, table: pa.RecordBatch, where: str, first_row: int) -> list[Any]:
    """The values of a field for every row of a chunk, as JSON would hold them; None where absent.

    Parameters
    ----------
    name, field
        The field and where it comes from.
    table
        The chunk's columns.
    where, first_row
        File, and row in it of the chunk's first, for messages.

    Raises
    ------
    NotConvertible
        A value cannot be read as what the field wants.
    """
    if field.constant is not None:
        return [_converter(name, field)(field.constant)] * table.num_rows
    if field.template is not None:
        return _templates(field, table)
    assert field.column is not None, "one of three origins"
    column = table.column(field.column)
    if name in TIMES and pa.types.is_timestamp(column.type):
        return _native_times(column, field)
    values = column.to_pylist()
    if name in AMOUNTS and field.scale == 1 and pa.types.is_integer(column.type):
        return values
    if pa.types.is_integer(column.type) and field.values is None and name not in TIMES + PLACES + AMOUNTS:
        return [None if value is None else str(value) for value in values]
    return _converted(values, _converter(name, field), f"{where}, column {field.column}", first_row)


def _converted(values: list[Any], convert: Callable[[Any], Any], where: str, first_row: int) -> list[Any]:
    out: list[Any] = []
    for row, value in enumerate(values):
        if value is None or value == "":
            out.append(None)
            continue
        try:
            out.append(convert(value))
        except (ValueError, ArithmeticError, LookupError, TypeError, OverflowError) as error:
            raise NotConvertible(f"{where}, row {first_row + row + 1}: {_explain(error)}") from error
    return out


def _explain(error: Exception) -> str:
    if isinstance(error, LookupError):
        return f"value {error} is not in values; list it or give a default"
    return f"{error}; correct the file or the column map"


def _templates(field: FieldMap, table: pa.RecordBatch) -> list[str | None]:
    names = field.columns
    template = field.template or ""
    columns = [table.column(name).to_pylist() for name in names]
    plain = _AROUND_ONE.fullmatch(template)
    if plain is not None and table.column(names[0]).null_count == 0:  # by far the most frequent
        before, after = plain[1], plain[2]
        return [None if value == "" else f"{before}{value}{after}" for value in columns[0]]
    rows = zip(*columns, strict=True)
    return [
        None
        if any(value is None or value == "" for value in row)
        else template.format(**dict(zip(names, row, strict=True)))
        for row in rows
    ]


def _native_times(column: Any, field: FieldMap) -> list[str | None]:
    """Times of an Arrow timestamp column, all at once; nanoseconds are cut to microseconds."""
    stamps = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    if column.type.tz is None and field.zone != "UTC":
        zone = ZoneInfo(field.zone)
        return [None if t is None else _rendered(t.replace(tzinfo=zone)) for t in stamps.to_pylist()]
    instants = stamps.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).astype("M8[us]")
    whole = instants.astype(np.int64) % 1_000_000 == 0
    texts = np.where(whole, np.datetime_as_string(instants, "s"), np.datetime_as_string(instants, "us")).tolist()
    if column.null_count == 0:
        return [text + "Z" for text in texts]
    valid = column.is_valid().to_pylist()
    return [text + "Z" if there else None for text, there in zip(texts, valid, strict=True)]


def _converter(name: str, field: FieldMap) -> Callable[[Any], Any]:
    if name in TIMES:
        return _time(field)
    if name in AMOUNTS:
        return _amount(field)
    if name in PLACES:
        return float
    if field.split is not None:
        separator = field.split
        return lambda value: [item.strip() for item in str(value).split(separator) if item.strip()]
    word = _word(field)
    if name == "customer.vulnerable":
        return lambda value: _boolean(word(value))
    if name == "slips":
        return lambda value: [word(item) for item in value] if isinstance(value, list) else [word(value)]
    return word


def _word(field: FieldMap) -> Callable[[Any], str]:
    if field.values is None:
        return _plain
    values, default = field.values, field.default
    if default is None:
        return lambda value: values[_plain(value)]
    return lambda value: values.get(_plain(value), default)


def _plain(value: Any) -> str:
    """A cell as text; a float that is whole loses its point (columns of integers with gaps are read as floats)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _boolean(text: str) -> bool:
    folded = text.lower()
    if folded in _TRUE:
        return True
    if folded in _FALSE:
        return False
    raise ValueError("neither true nor false")


def _amount(field: FieldMap) -> Callable[[Any], int]:
    scale = Decimal(repr(field.scale))

    def convert(value: Any) -> int:
        try:
            scaled = Decimal(str(value)) * scale
            return int(scaled.to_integral_value(ROUND_HALF_EVEN))
        except InvalidOperation:
            raise ValueError("not a number") from None

    return convert


def _time(field: FieldMap) -> Callable[[Any], str]:
    zone = ZoneInfo(field.zone)
    form = field.format or "iso"
    if form in ("unix_s", "unix_ms"):
        unit = Decimal(1_000_000 if form == "unix_s" else 1_000)
        return lambda value: _rendered(_instant(int(Decimal(str(value)) * unit)))

    def convert(value: Any) -> str:
        if isinstance(value, datetime):
            read = value
        elif form in ("iso", "timestamp"):
            read = datetime.fromisoformat(str(value))
        else:
            read = datetime.strptime(str(value), form)  # noqa: DTZ007 - the zone comes next
        return _rendered(read if read.tzinfo is not None else read.replace(tzinfo=zone))

    return convert


def _instant(instant_us: int) -> datetime:
    if not _EARLIEST <= instant_us <= _LATEST:
        raise ValueError("outside the years 1 to 9999; is it seconds or milliseconds?")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant_us)


def _rendered(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
