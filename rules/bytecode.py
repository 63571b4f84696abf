"""Conditions as code for registers, and the one compiled interpreter that runs them all.

A policy change must not stall a worker, so nothing is compiled per policy: a program is plain arrays, and
:func:`run` interprets it over a matrix, block by block, each instruction over a whole block of rows (the
dispatch is paid once a block, the inner loops are plain array loops). What several conditions ask is asked once:
equal parts have one register.

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
from rules.registers import Instruction, allocate

FALSE: Final = 0
ERROR: Final = 1
TRUE: Final = 2
BLOCK: Final = 128
"""Rows interpreted together: the registers in use stay in the first-level cache."""
_ROOM: Final = BLOCK + 8
"""Numbers from one register to the next: not a power of two, which would put all registers into few cache sets."""

_RELATIONS: Final = {"<": 0, "<=": 1, ">": 2, ">=": 3, "==": 4, "!=": 5}
# Instructions; what the operands a, b and c are is explained at each. Truths and numbers have registers of their own.
_COMPARE: Final = 0  # 0-5: number a against pool constant c
_RELATE: Final = 6  # 6-11: numbers a and b
_AS_TRUTH: Final = 12  # number a as truth
_HAS: Final = 13  # number a has a value
_AND: Final = 14  # truths a and b
_OR: Final = 15
_NOT: Final = 16  # truth a
_TRUTH: Final = 17  # constant truth c
_IN: Final = 18  # number a among the b constants from pool place c
_SAME: Final = 20  # truths a and b equal
_DIFFER: Final = 21
_SELECT_TRUTH: Final = 22  # truth b where truth a, else truth c
_SELECT_NUMBER: Final = 23  # number b where truth a, else number c
_NUMBER: Final = 25  # pool constant c
_ADD: Final = 26  # numbers a and b
_SUBTRACT: Final = 27
_MULTIPLY: Final = 28
_DIVIDE: Final = 29
_DIVIDE_INT: Final = 30
_NEGATE: Final = 31  # number a
_EXACT: Final = 32  # number a, where an int at or beyond 2^53 is an error
_STORE: Final = 33  # truth a is the verdict of condition c

_ARITHMETIC: Final = {"+": _ADD, "-": _SUBTRACT, "*": _MULTIPLY, "/": _DIVIDE}
_MIRROR: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Program:
    """Conditions ready to run.

    Parameters
    ----------
    code
        int32[instructions, 5]: instruction, register of the result, three operands.
    pool
        float64[...]: constants.
    columns
        int64[k]: columns of the matrix that the number registers 0 to k - 1 hold.
    truths, numbers
        How many registers of each kind, at least 1.
    conditions
        How many verdicts a run stores.
    """

    code: NDArray[np.int32]
    pool: NDArray[np.float64]
    columns: NDArray[np.int64]
    truths: int
    numbers: int
    conditions: int

    def run(self, matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Verdicts uint8[conditions, n] (FALSE, ERROR or TRUE) of float64[n, columns].

        >>> from rules.condition import check
        >>> from rules.pack_schema import Schema, Variable
        >>> schema = Schema((Variable("amount", "int", "", ""), Variable("age", "double", "days", "", nullable=True)))
        >>> program = assemble([check("amount / 2 > 10", schema), check("has(age) && age < 1.0", schema)])
        >>> program.run(np.array([[21.0, np.nan], [22.0, 0.5]])).tolist()
        [[0, 2], [0, 2]]
        """
        verdicts = np.empty((self.conditions, len(matrix)), np.uint8)
        matrix = np.ascontiguousarray(matrix)
        run(self.code, self.pool, self.columns, self.truths, self.numbers, matrix, verdicts)
        return verdicts


def assemble(terms: Sequence[Term]) -> Program:
    """One program that stores the verdict of each condition under its position."""
    writer = _Writer()
    for position, term in enumerate(terms):
        writer.store(position, term)
    code, registers = allocate(writer.code, len(writer.columns))
    pool, columns = np.array(writer.pool or [0.0], np.float64), np.array(writer.columns, np.int64)
    truths, numbers = (max(registers[kind], 1) for kind in ("truth", "number"))
    return Program(code, pool, columns, truths, numbers, len(terms))


class _Writer:
    """Code in which every value is written once: a value is known by the place of the instruction that makes it, a
    column by ``-1 - place`` among the columns."""

    def __init__(self) -> None:
        self.code: list[Instruction] = []
        self.pool: list[float] = []
        self.columns: list[int] = []
        self._known: dict[tuple[object, ...], int] = {}

    def store(self, position: int, term: Term) -> None:
        """Code that stores one verdict."""
        self.code.append(Instruction(_STORE, "", truths=(self.truth(term),), c=position))

    def emit(
        self, instruction: int, result: str = "truth", *, truths: tuple[int, ...] = (), numbers: tuple[int, ...] = (),
        b: int = 0, c: int = 0,
    ) -> int:  # fmt: skip
        """Place of the value that this instruction makes; it is written if it is not there yet."""
        key = (instruction, truths, numbers, b, c)
        if key not in self._known:
            self._known[key] = len(self.code)
            self.code.append(Instruction(instruction, result, truths, numbers, b, c))
        return self._known[key]

    def constants(self, values: tuple[float, ...]) -> int:
        """Where these constants stand in the pool."""
        key = ("pool", tuple(float(value).hex() for value in values))  # 0.0 and -0.0 are two constants
        if key not in self._known:
            self._known[key] = len(self.pool)
            self.pool.extend(values)
        return self._known[key]

    def column(self, column: int) -> int:
        """The number register of a column."""
        if column not in self.columns:
            self.columns.append(column)
        return -1 - self.columns.index(column)

    def truth(self, term: Term) -> int:
        """The place of a truth."""
        operator, operands = term.operator, term.operands
        if operator == "column":
            return self.emit(_AS_TRUTH, numbers=(self.column(term.column),))
        if operator == "constant":
            return self.emit(_TRUTH, c=TRUE if term.values[0] else FALSE)
        if operator == "has":
            return self.emit(_HAS, numbers=(self.column(term.column),))
        if operator == "not":
            return self.emit(_NOT, truths=(self.truth(operands[0]),))
        if operator in ("&&", "||"):
            return self.emit(_AND if operator == "&&" else _OR, truths=self._truths(operands))
        if operator == "in":
            return self._membership(term)
        if operator == "select":
            return self.emit(_SELECT_TRUTH, truths=self._truths(operands))
        return self._relation(term)

    def _truths(self, terms: Sequence[Term]) -> tuple[int, ...]:
        return tuple(self.truth(term) for term in terms)

    def number(self, term: Term) -> int:
        """The place of a number."""
        operator, operands = term.operator, term.operands
        if operator == "column":
            return self.column(term.column)
        if operator == "constant":
            return self.emit(_NUMBER, "number", c=self.constants(term.values))
        if operator == "negate":
            return self.emit(_NEGATE, "number", numbers=(self.number(operands[0]),))
        if operator == "select":
            asked, branches = self.truth(operands[0]), (self.number(operands[1]), self.number(operands[2]))
            return self.emit(_SELECT_NUMBER, "number", truths=(asked,), numbers=branches)
        integer = term.type == "int"
        instruction = _DIVIDE_INT if integer and operator == "/" else _ARITHMETIC[operator]
        value = self.emit(instruction, "number", numbers=(self.number(operands[0]), self.number(operands[1])))
        return self.emit(_EXACT, "number", numbers=(value,)) if integer and operator != "/" else value

    def _relation(self, term: Term) -> int:
        left, right = term.operands
        operator = term.operator
        if left.type == "bool":
            return self.emit(_SAME if operator == "==" else _DIFFER, truths=self._truths(term.operands))
        if left.operator == "constant" and right.operator != "constant":
            left, right, operator = right, left, _MIRROR[operator]
        if right.operator == "constant":
            place = self.constants(right.values)
            return self.emit(_COMPARE + _RELATIONS[operator], numbers=(self.number(left),), c=place)
        return self.emit(_RELATE + _RELATIONS[operator], numbers=(self.number(left), self.number(right)))

    def _membership(self, term: Term) -> int:
        item = term.operands[0]
        if item.type != "bool":
            place = self.constants(term.values)
            return self.emit(_IN, numbers=(self.number(item),), b=len(term.values), c=place)
        # A truth among constants: at most two of them, so two comparisons say it.
        value, wanted = self.truth(item), [value != 0.0 for value in term.values]
        if len(wanted) == 2:
            return self.emit(_SAME, truths=(value, value))  # true unless it is in error
        return value if wanted[0] else self.emit(_NOT, truths=(value,))


@njit(cache=True, nogil=True)
def run(code, pool, columns, truth_count, number_count, matrix, verdicts):  # type: ignore[no-untyped-def]
    """Interpret ``code`` over every row of ``matrix`` into ``verdicts`` uint8[conditions, n]."""
    rows = matrix.shape[0]
    truth = np.empty((truth_count, _ROOM), np.uint8)
    number = np.empty((number_count, _ROOM), np.float64)
    for first in range(0, rows, BLOCK):
        size = min(BLOCK, rows - first)
        for i in range(size):
            for k in range(columns.shape[0]):
                number[k, i] = matrix[first + i, columns[k]]
        for place in range(code.shape[0]):
            op, out, a, b, c = code[place, 0], code[place, 1], code[place, 2], code[place, 3], code[place, 4]
            if op < 6:
                _compare(op, number[a], pool[c], size, truth[out])
            elif op < 12:
                _relate(op - 6, number[a], number[b], size, truth[out])
            elif op < 14:
                _question(op, number[a], size, truth[out])
            elif op < 18:
                _logic(op, truth[a], truth[b], c, size, truth[out])
            elif op == 18:
                _among(number[a], pool[c : c + b], size, truth[out])
            elif op < 23:
                _combine(op, truth[a], truth[b], truth[c], size, truth[out])
            elif op == 23:
                asked, then, otherwise, chosen = truth[a], number[b], number[c], number[out]
                for i in range(size):
                    chosen[i] = np.nan if asked[i] == 1 else (then[i] if asked[i] == 2 else otherwise[i])
            elif op == 25:
                number[out, :size] = pool[c]
            elif op < 33:
                _calculate(op, number[a], number[b], size, number[out])
            else:
                verdicts[c, first : first + size] = truth[a, :size]


@njit(cache=True, nogil=True, inline="always")
def _state(missing, yes):  # type: ignore[no-untyped-def]
    return np.uint8(1) if missing else (np.uint8(2) if yes else np.uint8(0))


@njit(cache=True, nogil=True)
def _compare(op, value, limit, size, out):  # type: ignore[no-untyped-def]
    # One loop for each relation: a choice within the loop would keep it from working on several rows at once.
    if op == 0:
        for i in range(size):
            out[i] = _state(value[i] != value[i], value[i] < limit)
    elif op == 1:
        for i in range(size):
            out[i] = _state(value[i] != value[i], value[i] <= limit)
    elif op == 2:
        for i in range(size):
            out[i] = _state(value[i] != value[i], value[i] > limit)
    elif op == 3:
        for i in range(size):
            out[i] = _state(value[i] != value[i], value[i] >= limit)
    elif op == 4:
        for i in range(size):
            out[i] = _state(value[i] != value[i], value[i] == limit)
    else:
        for i in range(size):
            out[i] = _state(value[i] != value[i], value[i] != limit)


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
def _question(op, value, size, out):  # type: ignore[no-untyped-def]
    if op == 12:
        for i in range(size):
            out[i] = _state(value[i] != value[i], value[i] != 0.0)
    else:
        for i in range(size):
            out[i] = np.uint8(0) if value[i] != value[i] else np.uint8(2)


@njit(cache=True, nogil=True)
def _logic(op, left, right, constant, size, out):  # type: ignore[no-untyped-def]
    if op == 14:
        for i in range(size):
            out[i] = min(left[i], right[i])
    elif op == 15:
        for i in range(size):
            out[i] = max(left[i], right[i])
    elif op == 16:
        for i in range(size):
            out[i] = np.uint8(2) - left[i]
    else:
        out[:size] = constant


@njit(cache=True, nogil=True)
def _among(value, pool, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        v = value[i]
        yes = False
        for k in range(len(pool)):
            yes |= pool[k] == v
        out[i] = 1 if v != v else (2 if yes else 0)


@njit(cache=True, nogil=True)
def _combine(op, asked, then, otherwise, size, out):  # type: ignore[no-untyped-def]
    if op == 22:
        for i in range(size):
            out[i] = 1 if asked[i] == 1 else (then[i] if asked[i] == 2 else otherwise[i])
    else:
        for i in range(size):
            same = (asked[i] == then[i]) == (op == 20)
            out[i] = 1 if asked[i] == 1 or then[i] == 1 else (2 if same else 0)


@njit(cache=True, nogil=True)
def _calculate(op, left, right, size, out):  # type: ignore[no-untyped-def]
    for i in range(size):
        v = left[i]
        w = right[i]
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
        out[i] = v
