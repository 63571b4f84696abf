"""Conditions as postfix bytecode, and the one compiled interpreter that runs them all.

A policy change must not stall a worker, so nothing is compiled per policy: a program is plain arrays, and
:func:`run` interprets it over a matrix, block by block, each instruction over a whole block of rows (the
dispatch is paid once a block, the inner loops are plain array loops).

A truth value is FALSE = 0, ERROR = 1, TRUE = 2: with this order CEL's absorbing ``&&`` and ``||`` are the
minimum and the maximum, and ``!x`` is ``2 - x`` (Kleene's strong logic). A number in error is NaN, which every
arithmetic instruction passes on; NaN in the matrix is a missing value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rules.condition import EXACT_LIMIT, Term

FALSE: Final = 0
ERROR: Final = 1
TRUE: Final = 2
BLOCK: Final = 128
"""Rows interpreted together: the stacks of a block stay in the first-level cache."""

_RELATIONS: Final = {"<": 0, "<=": 1, ">": 2, ">=": 3, "==": 4, "!=": 5}
# Instructions; the argument columns a, b and the constant c are explained at each.
_COLUMN_RELATION: Final = 0  # 0-5: column a against constant c
_RELATION: Final = 6  # 6-11: two numbers from the stack
_COLUMN_BOOL: Final = 12  # column a as truth
_HAS: Final = 13  # column a has a value
_AND: Final = 14
_OR: Final = 15
_NOT: Final = 16
_TRUTH: Final = 17  # constant truth a
_COLUMN_IN: Final = 18  # column a among b constants from pool place c
_IN: Final = 19  # number from the stack among b constants from pool place c
_SAME: Final = 20  # two truths equal
_DIFFER: Final = 21
_SELECT_TRUTH: Final = 22
_SELECT_NUMBER: Final = 23
_COLUMN_NUMBER: Final = 24  # column a as number
_NUMBER: Final = 25  # constant c
_ADD: Final = 26
_SUBTRACT: Final = 27
_MULTIPLY: Final = 28
_DIVIDE: Final = 29
_DIVIDE_INT: Final = 30
_NEGATE: Final = 31
_EXACT: Final = 32  # an int at or beyond 2^53 is an error
_STORE: Final = 33  # the truth on the stack is the verdict of condition a

_ARITHMETIC: Final = {"+": _ADD, "-": _SUBTRACT, "*": _MULTIPLY, "/": _DIVIDE}
_MIRROR: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Program:
    """Conditions ready to run.

    Parameters
    ----------
    code
        int32[instructions, 4]: instruction and its three arguments.
    pool
        float64[...]: constants.
    truths, numbers
        Deepest truth stack and number stack, at least 1.
    conditions
        How many verdicts a run stores.
    """

    code: NDArray[np.int32]
    pool: NDArray[np.float64]
    truths: int
    numbers: int
    conditions: int

    def run(self, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Verdicts uint8[conditions, n] (FALSE, ERROR or TRUE) of float64[n, columns].

        >>> from rules.condition import check
        >>> from rules.schema import Schema, Variable
        >>> schema = Schema((Variable("amount", "int", "", ""), Variable("age", "double", "days", "", nullable=True)))
        >>> program = assemble([check("amount / 2 > 10", schema), check("has(age) && age < 1.0", schema)])
        >>> program.run(np.array([[21.0, np.nan], [22.0, 0.5]])).tolist()
        [[0, 2], [0, 2]]
        """
        verdicts = np.empty((self.conditions, len(matrix)), np.uint8)
        run(self.code, self.pool, self.truths, self.numbers, np.ascontiguousarray(matrix), verdicts)
        return verdicts


def assemble(terms: Sequence[Term]) -> Program:
    """One program that stores the verdict of each condition under its position."""
    writer = _Writer()
    for position, term in enumerate(terms):
        writer.truth(term)
        writer.emit(_STORE, position, truths=-1)
    code = np.array(writer.code, np.int32).reshape(-1, 4)
    pool = np.array(writer.pool or [0.0], np.float64)
    return Program(code, pool, max(writer.deepest_truth, 1), max(writer.deepest_number, 1), len(terms))


class _Writer:
    def __init__(self) -> None:
        self.code: list[tuple[int, int, int, int]] = []
        self.pool: list[float] = []
        self.truths = self.numbers = self.deepest_truth = self.deepest_number = 0

    def emit(self, instruction: int, a: int = 0, b: int = 0, c: int = 0, *, truths: int = 0, numbers: int = 0) -> None:
        self.code.append((instruction, a, b, c))
        self.truths += truths
        self.numbers += numbers
        self.deepest_truth = max(self.deepest_truth, self.truths)
        self.deepest_number = max(self.deepest_number, self.numbers)

    def constants(self, values: Sequence[float]) -> int:
        self.pool.extend(values)
        return len(self.pool) - len(values)

    def truth(self, term: Term) -> None:
        """Code that leaves one truth value on the stack."""
        operator, operands = term.operator, term.operands
        if operator == "column":
            self.emit(_COLUMN_BOOL, term.column, truths=1)
        elif operator == "constant":
            self.emit(_TRUTH, TRUE if term.values[0] else FALSE, truths=1)
        elif operator == "has":
            self.emit(_HAS, term.column, truths=1)
        elif operator == "not":
            self.truth(operands[0])
            self.emit(_NOT)
        elif operator in ("&&", "||"):
            self.truth(operands[0])
            self.truth(operands[1])
            self.emit(_AND if operator == "&&" else _OR, truths=-1)
        elif operator == "in":
            self._membership(term)
        elif operator == "select":
            for operand in operands:
                self.truth(operand)
            self.emit(_SELECT_TRUTH, truths=-2)
        else:
            self._relation(term)

    def number(self, term: Term) -> None:
        """Code that leaves one number on the stack."""
        operator, operands = term.operator, term.operands
        if operator == "column":
            self.emit(_COLUMN_NUMBER, term.column, numbers=1)
        elif operator == "constant":
            self.emit(_NUMBER, c=self.constants(term.values), numbers=1)
        elif operator == "negate":
            self.number(operands[0])
            self.emit(_NEGATE)
        elif operator == "select":
            self.truth(operands[0])
            self.number(operands[1])
            self.number(operands[2])
            self.emit(_SELECT_NUMBER, truths=-1, numbers=-1)
        else:
            self.number(operands[0])
            self.number(operands[1])
            integer = term.type == "int"
            self.emit(_DIVIDE_INT if integer and operator == "/" else _ARITHMETIC[operator], numbers=-1)
            if integer and operator != "/":
                self.emit(_EXACT)

    def _relation(self, term: Term) -> None:
        left, right = term.operands
        operator = term.operator
        if left.type == "bool":
            self.truth(left)
            self.truth(right)
            self.emit(_SAME if operator == "==" else _DIFFER, truths=-1)
            return
        if left.operator == "constant" and right.operator == "column":
            left, right, operator = right, left, _MIRROR[operator]
        if left.operator == "column" and right.operator == "constant":
            place = self.constants(right.values)
            self.emit(_COLUMN_RELATION + _RELATIONS[operator], left.column, c=place, truths=1)
            return
        self.number(left)
        self.number(right)
        self.emit(_RELATION + _RELATIONS[operator], truths=1, numbers=-2)

    def _membership(self, term: Term) -> None:
        item, place = term.operands[0], self.constants(term.values)
        if item.type == "bool":
            # A truth among constants: at most two of them, so two comparisons say it.
            self.truth(item)
            wanted = [value != 0.0 for value in term.values]
            if len(wanted) == 2:
                self.truth(item)  # true unless it is in error
                self.emit(_SAME, truths=-1)
            elif not wanted[0]:
                self.emit(_NOT)
        elif item.operator == "column":
            self.emit(_COLUMN_IN, item.column, len(term.values), place, truths=1)
        else:
            self.number(item)
            self.emit(_IN, 0, len(term.values), place, truths=1, numbers=-1)


@njit(cache=True, nogil=True)
def run(code, pool, truth_depth, number_depth, matrix, verdicts):  # type: ignore[no-untyped-def]
    """Interpret ``code`` over every row of ``matrix`` into ``verdicts`` uint8[conditions, n]."""
    rows = matrix.shape[0]
    truth = np.empty((truth_depth, BLOCK), np.uint8)
    number = np.empty((number_depth, BLOCK), np.float64)
    for first in range(0, rows, BLOCK):
        size = min(BLOCK, rows - first)
        t = 0  # height of the truth stack
        x = 0  # height of the number stack
        for place in range(code.shape[0]):
            op = code[place, 0]
            a = code[place, 1]
            if op < 6:
                _relate_column(op, matrix, first, size, a, pool[code[place, 3]], truth[t])
                t += 1
            elif op < 12:
                x -= 2
                _relate(op - 6, number[x], number[x + 1], size, truth[t])
                t += 1
            elif op == 12:
                for i in range(size):
                    v = matrix[first + i, a]
                    truth[t, i] = 1 if v != v else (2 if v != 0.0 else 0)
                t += 1
            elif op == 13:
                for i in range(size):
                    v = matrix[first + i, a]
                    truth[t, i] = 0 if v != v else 2
                t += 1
            elif op == 14:
                t -= 1
                for i in range(size):
                    truth[t - 1, i] = min(truth[t - 1, i], truth[t, i])
            elif op == 15:
                t -= 1
                for i in range(size):
                    truth[t - 1, i] = max(truth[t - 1, i], truth[t, i])
            elif op == 16:
                for i in range(size):
                    truth[t - 1, i] = 2 - truth[t - 1, i]
            elif op == 17:
                for i in range(size):
                    truth[t, i] = a
                t += 1
            elif op == 18:
                for i in range(size):
                    truth[t, i] = _among(matrix[first + i, a], pool, code[place, 3], code[place, 2])
                t += 1
            elif op == 19:
                x -= 1
                for i in range(size):
                    truth[t, i] = _among(number[x, i], pool, code[place, 3], code[place, 2])
                t += 1
            elif op < 24:
                t, x = _combine(op, truth, number, t, x, size)
            elif op == 24:
                for i in range(size):
                    number[x, i] = matrix[first + i, a]
                x += 1
            elif op == 25:
                for i in range(size):
                    number[x, i] = pool[code[place, 3]]
                x += 1
            elif op < 33:
                x = _calculate(op, number, x, size)
            else:
                t -= 1
                for i in range(size):
                    verdicts[a, first + i] = truth[t, i]


@njit(cache=True, nogil=True)
def _relate_column(op, matrix, first, size, column, limit, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        v = matrix[first + i, column]
        if op == 0:
            yes = v < limit
        elif op == 1:
            yes = v <= limit
        elif op == 2:
            yes = v > limit
        elif op == 3:
            yes = v >= limit
        elif op == 4:
            yes = v == limit
        else:
            yes = v != limit
        out[i] = 1 if v != v else (2 if yes else 0)


@njit(cache=True, nogil=True)
def _relate(op, left, right, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        v = left[i]
        w = right[i]
        if op == 0:
            yes = v < w
        elif op == 1:
            yes = v <= w
        elif op == 2:
            yes = v > w
        elif op == 3:
            yes = v >= w
        elif op == 4:
            yes = v == w
        else:
            yes = v != w
        out[i] = 1 if v != v or w != w else (2 if yes else 0)


@njit(cache=True, nogil=True)
def _among(value, pool, first, count):  # type: ignore[no-untyped-def]
    if value != value:
        return 1
    for k in range(first, first + count):
        if pool[k] == value:
            return 2
    return 0


@njit(cache=True, nogil=True)
def _combine(op, truth, number, t, x, size):  # type: ignore[no-untyped-def]
    if op == 20 or op == 21:
        t -= 1
        for i in range(size):
            left = truth[t - 1, i]
            right = truth[t, i]
            same = (left == right) == (op == 20)
            truth[t - 1, i] = 1 if left == 1 or right == 1 else (2 if same else 0)
    elif op == 22:
        t -= 2
        for i in range(size):
            asked = truth[t - 1, i]
            truth[t - 1, i] = 1 if asked == 1 else (truth[t, i] if asked == 2 else truth[t + 1, i])
    else:
        t -= 1
        x -= 1
        for i in range(size):
            asked = truth[t, i]
            number[x - 1, i] = np.nan if asked == 1 else (number[x - 1, i] if asked == 2 else number[x, i])
    return t, x


@njit(cache=True, nogil=True)
def _calculate(op, number, x, size):  # type: ignore[no-untyped-def]
    if op < 31:
        x -= 1
    for i in range(size):
        v = number[x - 1, i]
        w = number[x, i] if op < 31 else 0.0
        if op == 26:
            v = v + w
        elif op == 27:
            v = v - w
        elif op == 28:
            v = v * w
        elif op == 29 or op == 30:
            v = np.nan if w == 0.0 else v / w
            if op == 30:
                v = np.trunc(v)
        elif op == 31:
            v = -v
        elif abs(v) >= EXACT_LIMIT:
            v = np.nan
        number[x - 1, i] = v
    return x
