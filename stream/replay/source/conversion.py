"""Columns of a table to values of fields; what cannot be read is said with its column, and refuses its row alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

from stream.contracts.refusal import Reason
from stream.contracts.token import token
from stream.replay.source.amounts import Marks, by_currency, check_point, decimal_of, is_noisy, minor_units
from stream.replay.source.cells import text_of
from stream.replay.source.field_map import AMOUNTS, LISTS, PLACES, TIMES, FieldMap, SignColumn
from stream.replay.source.file_rows import Rows, listed
from stream.replay.source.local_time import TimeReader, joined

_TRUE = ("true", "1", "yes", "t", "y")
_FALSE = ("false", "0", "no", "f", "n")
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class UnreadCell:
    """A cell that is not what its field wants: the reason its row is refused for, and what is wrong."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class CellTerms:
    """What the reading of cells depends on beside their field.

    Parameters
    ----------
    marks
        Of numbers in text.
    hash_key
        Of tokens; None where no field is hashed.
    """

    marks: Marks = field(default_factory=Marks)
    hash_key: bytes | None = None


def read_at_once(name: str) -> str:
    """The column that holds a time that was read already, in the file's order."""
    return f"\0{name}"


def field_values(name: str, field: FieldMap, rows: Rows, terms: CellTerms) -> list[Any]:
    """The values of a field for every row, as JSON would hold them; None where absent, :class:`UnreadCell` where wrong."""
    if read_at_once(name) in rows.columns:
        return list(rows.columns[read_at_once(name)])
    if name in TIMES and field.column is not None and isinstance(rows.columns[field.column], pa.Array):
        return _native_times(rows.columns[field.column])
    convert = _converter(name, field, terms)
    if field.constant is not None:
        value = _converted([field.constant], convert, field, name)[0]
        return [value] * len(rows)
    return _converted(cells_of(field, rows), convert, field, name)


def time_values(cells: list[Any], reader: TimeReader, field: FieldMap, name: str) -> list[Any]:
    """The instants of cells in the file's order."""
    return _converted(cells, reader, field, name)


def cells_of(field: FieldMap, rows: Rows) -> list[Any]:
    """The cells of a field before they are read: of a template its text, of a join its parts put together."""
    columns = [listed(rows.columns[name]) for name in field.columns]
    if field.column is not None:
        return columns[0]
    if field.join is not None:
        return [
            None if any(cell is None for cell in row) else _attempted(joined, list(row))
            for row in zip(*columns, strict=True)
        ]
    return _templates(field, columns)


def amounts_by_currency(field: FieldMap, rows: Rows, currencies: list[Any], terms: CellTerms) -> list[Any]:
    """Amounts in major units, each by the decimals of its row's currency."""
    out: list[Any] = []
    cells = cells_of(field, rows) if field.constant is None else [field.constant] * len(rows)
    for cell, currency in zip(cells, currencies, strict=True):
        if cell is None:
            out.append(None)
            continue

        def convert(cell: Any, currency: Any = currency) -> int:
            number = _paid(decimal_of(cell, terms.marks), field)
            code = currency if isinstance(currency, str) else ""
            check_point(cell, code, terms.marks)
            return by_currency(number, code, noisy=is_noisy(cell))

        out.append(_one(cell, convert, field, "amount_minor"))
    return out


def _attempted(function: Callable[[Any], Any], argument: Any) -> Any:
    try:
        return function(argument)
    except ValueError as error:
        return UnreadCell("bad_time", str(error))


def _templates(field: FieldMap, columns: list[list[Any]]) -> list[Any]:
    pieces = field.pieces
    if len(columns) == 1 and len(pieces) == 2:  # by far the most frequent
        before, after = pieces[0][0], pieces[1][0]
        return [None if cell is None else _attempted_text(cell, before, after) for cell in columns[0]]
    texts = [text for text, _ in pieces]
    return [None if any(cell is None for cell in row) else _filled(texts, row) for row in zip(*columns, strict=True)]


def _attempted_text(cell: Any, before: str, after: str) -> Any:
    try:
        return f"{before}{text_of(cell)}{after}"
    except ValueError as error:
        return UnreadCell("out_of_range", str(error))


def _filled(texts: list[str], row: tuple[Any, ...]) -> Any:
    try:
        return texts[0] + "".join(text_of(cell) + text for cell, text in zip(row, texts[1:], strict=True))
    except ValueError as error:
        return UnreadCell("out_of_range", str(error))


def _converted(cells: list[Any], convert: Callable[[Any], Any], field: FieldMap, name: str) -> list[Any]:
    try:
        return (
            [None if cell is None else convert(cell) for cell in cells]
            if not isinstance(convert, TimeReader)
            else _slow(cells, convert, field, name)
        )
    except (ValueError, ArithmeticError, LookupError, TypeError, AttributeError):
        return _slow(cells, convert, field, name)


def _slow(cells: list[Any], convert: Callable[[Any], Any], field: FieldMap, name: str) -> list[Any]:
    return [None if cell is None else _one(cell, convert, field, name) for cell in cells]


def _one(cell: Any, convert: Callable[[Any], Any], field: FieldMap, name: str) -> Any:
    if isinstance(cell, UnreadCell):
        return UnreadCell(cell.reason, f"{field.source}: {cell.message}")
    try:
        return convert(cell)
    except OverflowError as error:
        return UnreadCell("out_of_range", f"{field.source}: {error}")
    except LookupError as error:
        shown = str(error.args[0])[:_SHOWN_CHARACTERS]
        return UnreadCell(
            "out_of_range", f"{field.source}: value {shown!r} is not in values; list it or give a default"
        )
    except (ValueError, ArithmeticError, TypeError) as error:
        reason: Reason = (
            "bad_time" if name in TIMES else "wrong_type" if name in (*AMOUNTS, *PLACES) else "out_of_range"
        )
        return UnreadCell(reason, f"{field.source}: {error}")


def _native_times(column: Any) -> list[str | None]:
    """Times of an Arrow timestamp column that are UTC, all at once."""
    instants = column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False).astype("M8[us]")
    whole = instants.astype(np.int64) % 1_000_000 == 0
    texts = np.where(whole, np.datetime_as_string(instants, "s"), np.datetime_as_string(instants, "us")).tolist()
    if column.null_count == 0:
        return [text + "Z" for text in texts]
    valid = column.is_valid().to_pylist()
    return [text + "Z" if there else None for text, there in zip(texts, valid, strict=True)]


def _converter(name: str, field: FieldMap, terms: CellTerms) -> Callable[[Any], Any]:
    if name in TIMES:
        return TimeReader(field, terms.marks)
    if name in AMOUNTS:
        return _amount(name, field, terms.marks)
    if name in PLACES:
        return lambda cell: _degrees(decimal_of(cell, terms.marks))
    word = _word(field, terms)
    if name in LISTS:
        return _list(field, word)
    if name == "customer.vulnerable":
        return lambda cell: _boolean(word(cell))
    return word


def _degrees(number: Decimal) -> float:
    degrees = float(number)
    if not math.isfinite(degrees):
        raise OverflowError("beyond all degrees")
    return degrees


def _list(field: FieldMap, word: Callable[[Any], str]) -> Callable[[Any], list[str]]:
    separator = field.split

    def convert(cell: Any) -> list[str]:
        if isinstance(cell, list):
            return [word(item) for item in cell]
        if separator is None:
            return [word(cell)]
        return [word(item.strip()) for item in text_of(cell).split(separator) if item.strip()]

    return convert


def _word(field: FieldMap, terms: CellTerms) -> Callable[[Any], str]:
    read: Callable[[Any], str] = text_of
    if field.values is not None:
        values, default = field.values, field.default
        read = (
            (lambda cell: values[text_of(cell)])
            if default is None
            else (lambda cell: values.get(text_of(cell), default))
        )
    if not field.hash:
        return read
    key = terms.hash_key
    assert key is not None, "a map with hash has a key"
    return lambda cell: token(key, read(cell))


def _boolean(text: str) -> bool:
    folded = text.lower()
    if folded in _TRUE:
        return True
    if folded in _FALSE:
        return False
    raise ValueError("neither true nor false")


def _amount(name: str, field: FieldMap, marks: Marks) -> Callable[[Any], int]:
    scale = field.scale
    if name == "account_amount_minor" and field.sign is not None:  # amount_minor says that it was paid
        return lambda cell: minor_units(abs(decimal_of(cell, marks)), scale)
    if name == "balance_minor":  # below zero it is overdrawn
        return lambda cell: minor_units(decimal_of(cell, marks), scale)

    def convert(cell: Any) -> int:
        if type(cell) is int and scale == 1 and 0 <= cell < 10**18:
            return cell
        return minor_units(_paid(decimal_of(cell, marks), field), scale)

    return convert


def _paid(number: Decimal, field: FieldMap) -> Decimal:
    """An amount that the account paid, from how the file signs it."""
    if field.sign == "expense_negative":
        number = -number
    if number < 0:
        hint = (
            "; where negative is paid out: sign: expense_negative"
            if field.sign is None
            else f"; {field.sign.column} says that it was paid: correct the row, or what sign: paid: lists"
            if isinstance(field.sign, SignColumn)
            else ""
        )
        raise OverflowError(f"below zero{hint}")
    return number
