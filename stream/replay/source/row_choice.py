"""Which rows of a file are payments; the others are left out and counted by the value that says so."""

from __future__ import annotations

from collections import Counter
from typing import Any

from stream.replay.source.amounts import Marks, negative
from stream.replay.source.cells import text_of
from stream.replay.source.column_map import ColumnMap
from stream.replay.source.field_map import SignColumn
from stream.replay.source.file_rows import Rows, listed

MAX_VALUES = 100
"""Most values of a column that are counted apart."""
MAX_SHOWN = 100
"""Most characters of a value under which it is counted."""
OTHERS = "(others)"
EMPTY = ""


class RowChoice:
    """Chooses rows and counts what is left out: by column, then by value.

    Parameters
    ----------
    column_map
        Its ``rows`` and the ``sign`` of its amount.
    """

    def __init__(self, column_map: ColumnMap) -> None:
        self.left_out: dict[str, Counter[str]] = {}
        self._map = column_map
        self._marks = Marks(column_map.file.decimal, column_map.file.thousands)
        self._sign = column_map.fields["amount_minor"].sign

    def __call__(self, rows: Rows) -> Rows:
        """The rows that are payments, and those that cannot be read."""
        keep = [True] * len(rows)
        for condition in self._map.rows:
            values = set(condition.among if condition.among is not None else condition.not_among or ())
            self._by_value(rows, condition.column, values, condition.among is not None, keep)
        if isinstance(self._sign, SignColumn):
            self._by_value(rows, self._sign.column, set(self._sign.paid), True, keep)
        elif self._sign is not None:
            self._by_sign(rows, keep)
        places = [place for place, kept in enumerate(keep) if kept]
        return rows if len(places) == len(rows) else rows.chosen(places)

    def _by_value(self, rows: Rows, column: str, values: set[str], wanted: bool, keep: list[bool]) -> None:
        for place, cell in enumerate(listed(rows.columns[column])):
            if keep[place]:
                text = _text(cell)
                if (text in values) != wanted and (text or place not in rows.unreadable):
                    keep[place] = False
                    self._count(column, text)

    def _by_sign(self, rows: Rows, keep: list[bool]) -> None:
        column = self._map.fields["amount_minor"].column
        assert column is not None, "sign goes with column"
        received_negative = self._sign == "expense_positive"
        for place, cell in enumerate(listed(rows.columns[column])):
            if keep[place] and negative(cell, self._marks) is received_negative:
                keep[place] = False
                self._count(column, "negative" if received_negative else "positive")

    def _count(self, column: str, value: str) -> None:
        counter = self.left_out.setdefault(column, Counter())
        value = value[:MAX_SHOWN]
        counter[value if value in counter or len(counter) < MAX_VALUES else OTHERS] += 1


def _text(cell: Any) -> str:
    try:
        return EMPTY if cell is None else text_of(cell)
    except ValueError:
        return "(no text)"
