"""Cells as numbers and as integer minor units; nothing is guessed about marks, signs or decimals."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from typing import Any

from stream.contracts.currency import MINOR_UNIT_DIGITS
from stream.replay.source.cells import nothing

_PLAIN = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_MINUS = ("-", "\u2212", "\ufe63", "\uff0d")
_MOST = Decimal(10) ** 18
_FLOAT_NOISE = Decimal("1e-6")


@dataclass(frozen=True, slots=True)
class Marks:
    """Marks of numbers in text.

    Parameters
    ----------
    decimal, thousands
        The decimal mark; the mark between groups of digits, None for none.
    """

    decimal: str = "."
    thousands: str | None = None


def decimal_of(cell: Any, marks: Marks) -> Decimal:
    """A cell as a number.

    Raises
    ------
    ValueError
        It is none, as it is written.

    Examples
    --------
    >>> [str(decimal_of(text, Marks(",", "."))) for text in ("4,20", "1.250,00", "-3", "20,00-", "(5,5)")]
    ['4.20', '1250.00', '-3', '-20.00', '-5.5']
    >>> decimal_of("1.25", Marks(",", "."))
    Traceback (most recent call last):
    ...
    ValueError: not a number with decimal "," and thousands "."; file: {decimal: …, thousands: …} says how it is written
    """
    if isinstance(cell, str):
        return _of_text(cell, marks)
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal):
        raise ValueError("not a number")
    number = Decimal(repr(float(cell))) if isinstance(cell, float) else Decimal(cell)
    if not number.is_finite():
        raise ValueError("not a finite number")
    return number


def minor_units(number: Decimal, scale: Decimal) -> int:
    """An amount times ``scale``, rounded half even.

    Raises
    ------
    OverflowError
        It is out of all bounds.
    """
    if number.adjusted() > 30:
        raise OverflowError("beyond all amounts")
    scaled = number * scale
    if not -_MOST < scaled < _MOST:
        raise OverflowError("beyond all amounts")
    return int(scaled.to_integral_value(ROUND_HALF_EVEN))


def by_currency(number: Decimal, currency: str, *, noisy: bool) -> int:
    """An amount in major units by the decimals that ISO 4217 gives its currency.

    Parameters
    ----------
    noisy
        It was a float, whose last digits are no one's: 49.730000000000004 is 49.73.

    Raises
    ------
    ValueError
        It has more decimals than the currency.

    Examples
    --------
    >>> by_currency(Decimal("12.5"), "EUR", noisy=False), by_currency(Decimal("1.234"), "KWD", noisy=False)
    (1250, 1234)
    """
    digits = MINOR_UNIT_DIGITS.get(currency, 0)
    units = minor_units(number, Decimal(10) ** digits)
    difference = abs(number * Decimal(10) ** digits - units)
    if currency in MINOR_UNIT_DIGITS and difference > (_FLOAT_NOISE if noisy else 0):
        raise ValueError(f"more decimals than {currency} has ({digits}); is the currency right, or is it minor units?")
    return units


def check_point(cell: Any, currency: str, marks: Marks) -> None:
    """Refuse an amount in major units whose mark may group thousands: 1.250 is 1250 in some files, and 1.25 in others.

    Raises
    ------
    ValueError
        Its text has three decimals, the last one 0, and its currency has others.
    """
    if not isinstance(cell, str) or marks.thousands is not None or MINOR_UNIT_DIGITS.get(currency) in (None, 3):
        return
    if re.fullmatch(rf"\D*[0-9]{{1,3}}{re.escape(marks.decimal)}[0-9]{{2}}0\D*", cell):
        other = "," if marks.decimal == "." else "."
        raise ValueError(
            f'does "{marks.decimal}" group thousands? file: {{decimal: "{other}", thousands: "{marks.decimal}"}}; '
            f'if it is the decimal mark: file: {{decimal: "{marks.decimal}", thousands: "{other}"}}'
        )


def negative(cell: Any, marks: Marks) -> bool | None:
    """Whether a cell is a number below zero; None for zero and for what is no number."""
    if nothing(cell):
        return None
    try:
        number = decimal_of(cell, marks)
    except ValueError:
        return None
    return None if number == 0 else number < 0


def _of_text(text: str, marks: Marks) -> Decimal:
    if marks.thousands is None and marks.decimal == "." and _PLAIN.fullmatch(text):
        return Decimal(text)
    body, minus = _unsigned(text.strip())
    if _number(marks).fullmatch(body) is None:
        written = f'decimal "{marks.decimal}"' + (f' and thousands "{marks.thousands}"' if marks.thousands else "")
        raise ValueError(f"not a number with {written}; file: {{decimal: …, thousands: …}} says how it is written")
    if marks.thousands is not None:
        body = re.sub(f"[{_group(marks.thousands)}]", "", body)
    number = Decimal(body.replace(marks.decimal, "."))
    return -number if minus else number


def _unsigned(text: str) -> tuple[str, bool]:
    """A number without its sign: before it, behind it, or brackets around it."""
    if text.startswith("(") and text.endswith(")"):
        return text[1:-1].strip(), True
    if text.startswith(_MINUS):
        return text[1:].lstrip(), True
    if text.endswith(_MINUS):
        return text[:-1].rstrip(), True
    return (text[1:].lstrip() if text.startswith("+") else text[:-1].rstrip() if text.endswith("+") else text), False


@lru_cache(maxsize=64)
def _number(marks: Marks) -> re.Pattern[str]:
    """Digits with their marks; groups are of three, or of two before the last (as lakhs are)."""
    whole = "[0-9]+"
    if marks.thousands is not None:
        mark = _group(marks.thousands)
        whole = f"(?:[0-9]{{1,3}}(?:[{mark}][0-9]{{3}})+|[0-9]{{1,2}}(?:[{mark}][0-9]{{2}})*[{mark}][0-9]{{3}}|[0-9]+)"
    point = re.escape(marks.decimal)
    return re.compile(rf"(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]{{1,3}})?")


def _group(mark: str) -> str:
    """Characters that are the same mark: blanks of all widths, apostrophes."""
    if mark in " \u00a0\u202f":
        return " \u00a0\u202f\u2009"
    if mark in "'’":
        return "'’"
    return re.escape(mark)


def is_noisy(cell: Any) -> bool:
    """Whether a cell is a double, whose last digits are not exact."""
    return isinstance(cell, float) and math.isfinite(cell)
