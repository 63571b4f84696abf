"""One cell, one reading: whatever the format, the type of its column, or the rows that share its chunk."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

EXACT = 2**53
"""From here on a double no longer holds every integer."""
SHEET_DIGITS = 10**15
"""From here on a spreadsheet has turned the digits of a number into zeros."""
_MAX_EXPONENT = 64


class JsonDecimal(Decimal):
    """A number that JSON writes with a point or an exponent, kept to the last digit."""


class SheetNumber(float):
    """A number cell of a spreadsheet: 15 digits are kept."""


class NotText:
    """Bytes that are no text in the encoding they should have."""


def nothing(cell: Any) -> bool:
    """Whether a cell holds no value: null, an empty text, a float or decimal that is no number.

    >>> [nothing(cell) for cell in (None, "", float("nan"), Decimal("NaN"), 0, False)]
    [True, True, True, True, False, False]
    """
    if cell is None or cell == "":
        return True
    if isinstance(cell, float):
        return math.isnan(cell)
    return isinstance(cell, Decimal) and cell.is_nan()


def cleaned(cells: list[Any], strip: bool, null_values: frozenset[str]) -> list[Any]:
    """Cells as values: None for what holds none, bytes as text, texts stripped where that is asked for."""
    out: list[Any] = []
    for cell in cells:
        value = cell
        if type(value) is bytes:
            value = _decoded(value)
        if type(value) is str:
            if strip:
                value = value.strip()
            out.append(None if not value or value in null_values else value)
        else:
            out.append(None if nothing(value) else value)
    return out


def text_of(cell: Any) -> str:
    """A cell that is something, as text.

    A whole number has no point, whatever its type. Times are ISO 8601, in UTC where they have a zone.

    Raises
    ------
    ValueError
        It is a list or an object, or a number that its type cannot hold exactly.

    Examples
    --------
    >>> [text_of(cell) for cell in (12, 12.0, Decimal("12.00"), "12.0", True, 2**64, 12.5, Decimal("12.50"))]
    ['12', '12', '12', '12.0', 'true', '18446744073709551616', '12.5', '12.5']
    >>> text_of(1234567890123456789.0)
    Traceback (most recent call last):
    ...
    ValueError: a float of 2^53 or more has lost digits; write the column as text or as a whole number
    """
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, float | Decimal):
        return _number_text(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(" ") if cell.tzinfo is None else cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, NotText):
        raise ValueError("bytes that are not UTF-8")
    raise ValueError(f"{_kind(cell)} where one value is wanted; a dot reaches into an object")


def _number_text(cell: float | Decimal) -> str:
    if not math.isfinite(cell):
        raise ValueError("not a finite number")
    size = abs(float(cell))
    if isinstance(cell, SheetNumber) and size >= SHEET_DIGITS:
        raise ValueError("a spreadsheet keeps 15 digits of a number; format the column as text before it is filled")
    if isinstance(cell, float | JsonDecimal) and size >= EXACT:
        raise ValueError("a float of 2^53 or more has lost digits; write the column as text or as a whole number")
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(float(cell))
    if cell.adjusted() > _MAX_EXPONENT:
        raise ValueError("a number of more than 64 digits")
    return str(int(cell)) if cell == cell.to_integral_value() else format(cell.normalize(), "f")


def _decoded(raw: bytes) -> str | NotText:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return NotText()


def _kind(cell: Any) -> str:
    if isinstance(cell, dict | list):
        return "an object" if isinstance(cell, dict) else "a list"
    return f"a {type(cell).__name__}"
