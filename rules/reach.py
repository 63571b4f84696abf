"""Which payments a condition can be true for: boxes of intervals, to find rules that are dead or contradict.

A condition is turned into a union of boxes (for each column an interval, a set of words, and whether it has a
value). What cannot be read as a bound on one column (arithmetic, two columns compared) leaves the box open, so
the union only ever covers too much: an empty union is a proof that the condition can never be true.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rules.condition import Term
from rules.pack_schema import Schema, Variable

MAX_BOXES: Final = 400
"""Beyond so many boxes the question is left open (and nothing is reported)."""
_FREE_UNITS: Final = frozenset(("standard deviations", ""))
_NEGATION: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}
_MIRROR: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


class Open(Exception):
    """Too many boxes: the question stays open."""


@dataclass(frozen=True, slots=True)
class ColumnRange:
    """What one column may be.

    Parameters
    ----------
    low, high
        Bounds; ``low_open`` and ``high_open`` where they do not belong to it.
    words
        Allowed values where they are few; None for any within the bounds.
    without
        Values left out.
    present
        Whether it has a value; None for either.
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False
    words: frozenset[float] | None = None
    without: frozenset[float] = frozenset()
    present: bool | None = None

    def meet(self, other: ColumnRange) -> ColumnRange:
        """Both at once."""
        low = max((self.low, self.low_open), (other.low, other.low_open))
        high = min((self.high, not self.high_open), (other.high, not other.high_open))
        words = self.words if other.words is None else other.words if self.words is None else self.words & other.words
        if self.present is None or other.present is None:
            present = self.present if other.present is None else other.present
        elif self.present != other.present:
            return replace(self, words=frozenset(), present=True)
        else:
            present = self.present
        return ColumnRange(low[0], high[0], low[1], not high[1], words, self.without | other.without, present)

    def empty(self) -> bool:
        """Whether nothing is left."""
        if self.present is False:
            return False
        if self.words is not None:
            return not any(self._holds(word) for word in self.words)
        if self.low > self.high or (self.low == self.high and (self.low_open or self.high_open)):
            return True
        return self.low == self.high and self.low in self.without

    def _holds(self, value: float) -> bool:
        above = value > self.low or (value == self.low and not self.low_open)
        below = value < self.high or (value == self.high and not self.high_open)
        return above and below and value not in self.without


Box = dict[int, ColumnRange]
_Boxes = list[Box]


def boxes(term: Term, schema: Schema, truth: bool = True) -> list[Box]:
    """Boxes in which the condition may come out as ``truth``; empty where it never can.

    Raises
    ------
    Open
        There would be more than :data:`MAX_BOXES`.

    >>> from rules.condition import check
    >>> schema = Schema((Variable("amount", "int", "minor units", ""),))
    >>> len(boxes(check("amount > 5 && amount < 6", schema), schema)), len(boxes(check("amount >= 0", schema), schema, False))
    (0, 0)
    """
    return _Reach(schema).boxes(term, truth)


def meet(left: Iterable[Box], right: Iterable[Box], schema: Schema) -> list[Box]:
    """Boxes in which both may hold."""
    reach = _Reach(schema)
    return reach.meet(list(left), list(right))


def overlap(left: Iterable[Box], right: Sequence[Box], schema: Schema) -> bool:
    """Whether both may hold at once; stops at the first box that shows it."""
    reach = _Reach(schema)
    return any(reach.both(one, other) is not None for one in left for other in right)


class _Reach:
    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def boxes(self, term: Term, truth: bool) -> _Boxes:
        operator, operands = term.operator, term.operands
        if operator == "constant":
            return [{}] if bool(term.values[0]) == truth else []
        if operator == "not":
            return self.boxes(operands[0], not truth)
        if operator in ("&&", "||"):
            left, right = self.boxes(operands[0], truth), self.boxes(operands[1], truth)
            return self.meet(left, right) if (operator == "&&") == truth else self.join(left, right)
        if operator == "select" and term.type == "bool":
            then = self.meet(self.boxes(operands[0], True), self.boxes(operands[1], truth))
            otherwise = self.meet(self.boxes(operands[0], False), self.boxes(operands[2], truth))
            return self.join(then, otherwise)
        span = self._span(term, truth)
        if span is None:
            return [{}]
        column, found = span
        whole = found if found.present is False else self._whole(column).meet(found)
        return [] if whole.empty() else [{column: whole}]

    def join(self, left: _Boxes, right: _Boxes) -> _Boxes:
        joined = left + [box for box in right if box not in left]
        if len(joined) > MAX_BOXES:
            raise Open
        return joined

    def meet(self, left: _Boxes, right: _Boxes) -> _Boxes:
        met: _Boxes = []
        if len(left) * len(right) > 20 * MAX_BOXES:
            raise Open
        for one in left:
            for other in right:
                box = self.both(one, other)
                if box is not None and box not in met:
                    met.append(box)
        if len(met) > MAX_BOXES:
            raise Open
        return met

    def both(self, one: Box, other: Box) -> Box | None:
        """The box of both, or None where it is empty."""
        box = dict(one)
        for column, span in other.items():
            if column in box:
                span = self._tight(column, box[column].meet(span))
            if span.empty():
                return None
            box[column] = span
        return box

    def _span(self, term: Term, truth: bool) -> tuple[int, ColumnRange] | None:
        """The bound that an atom puts on one column, or None where it is not of that kind."""
        if term.operator == "column":
            return term.column, ColumnRange(words=frozenset((float(truth),)), present=True)
        if term.operator == "has":
            return term.column, ColumnRange(present=truth)
        if term.operator == "in" and term.operands[0].operator == "column":
            values = frozenset(term.values)
            column = term.operands[0].column
            return column, ColumnRange(words=values, present=True) if truth else ColumnRange(
                without=values, present=True
            )
        if term.operator in _NEGATION and len(term.operands) == 2:
            left, right = term.operands
            operator = term.operator
            if left.operator == "constant" and right.operator == "column":
                left, right, operator = right, left, _MIRROR[operator]
            if left.operator == "column" and right.operator == "constant":
                return left.column, _bound(operator if truth else _NEGATION[operator], right.values[0])
        return None

    def _whole(self, column: int) -> ColumnRange:
        return _domain(self.schema.variables[column])

    def _tight(self, column: int, span: ColumnRange) -> ColumnRange:
        if self.schema.variables[column].kind != "int" or span.words is not None:
            return span
        low = span.low if math.isinf(span.low) else math.floor(span.low) + 1.0 if span.low_open else math.ceil(span.low)
        high = (
            span.high
            if math.isinf(span.high)
            else math.ceil(span.high) - 1.0
            if span.high_open
            else math.floor(span.high)
        )
        return replace(span, low=float(low), high=float(high), low_open=False, high_open=False)


def _bound(operator: str, value: float) -> ColumnRange:
    if operator == "==":
        return ColumnRange(value, value, present=True)
    if operator == "!=":
        return ColumnRange(without=frozenset((value,)), present=True)
    if operator in ("<", "<="):
        return ColumnRange(high=value, high_open=operator == "<", present=True)
    return ColumnRange(low=value, low_open=operator == ">", present=True)


def _domain(variable: Variable) -> ColumnRange:
    """What a column can be at all, by its kind and unit."""
    if variable.kind == "bool":
        return ColumnRange(words=frozenset((0.0, 1.0)))
    if variable.kind == "enum":
        return ColumnRange(words=frozenset(float(code) for code in range(len(variable.values))))
    if variable.kind == "code" or variable.unit in _FREE_UNITS:
        return ColumnRange()
    if variable.unit.startswith("share"):
        return ColumnRange(0.0, 1.0)
    return ColumnRange(low=0.0)
