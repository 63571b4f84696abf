"""Conditions with types: names resolved to columns, every operand of a known type, every missing value guarded.

Rules of CEL kept exactly: no mixing of int and double, ``&&`` and ``||`` absorb errors in either order, ``?:``
evaluates one branch. Stricter than CEL, so that an error is never a value: the double division by zero and an
int beyond 2^53 are errors too (CEL gives infinity, and overflows at 2^63), and a variable that can be missing
must be guarded by ``has``. Strings are words of an enumeration or ISO codes: they can be compared for equality
alone, and only with a word that exists.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from typing import Literal as OneOf

from rules.expression import (
    Binary,
    Conditional,
    ConditionError,
    Expression,
    Has,
    Literal,
    MembershipTest,
    Name,
    Unary,
    parse,
)
from rules.pack_schema import Schema, Variable

Type = OneOf["bool", "int", "double", "string"]
EXACT_LIMIT: Final = 2.0**53
"""Integers are exact below this; a result at or beyond it is an error."""
_CODE: Final = re.compile(r"^[A-Z]{2,3}$")
_ARITHMETIC: Final = frozenset("+-*/")


@dataclass(frozen=True, slots=True)
class Term:
    """A typed node: what the compiler and the analysis read.

    Parameters
    ----------
    operator
        ``column``, ``constant``, ``has``, ``not``, ``negate``, ``in``, ``select``, or the CEL operator.
    type
        Type of the result; words are ``string`` and travel as their numeric code.
    operands
        Typed operands, in order.
    column
        Column of the matrix for ``column`` and ``has``, else -1.
    values
        The constant, or the constants of ``in``, as numbers.
    offset
        Character of the condition's text it came from.
    """

    operator: str
    type: Type
    operands: tuple[Term, ...] = ()
    column: int = -1
    values: tuple[float, ...] = ()
    offset: int = 0


def check(text: str, schema: Schema, constants: Mapping[str, float] | None = None) -> Term:
    """Parse and type one condition.

    Parameters
    ----------
    text
        The condition.
    schema
        The variables it may name.
    constants
        Values of the pack's dated constants, by full name (``limits.daily``); they are doubles.

    Raises
    ------
    ConditionError
        Syntax, an unknown name, a type, an unguarded missing value, or a result that is not true or false.

    >>> schema = Schema((Variable("amount", "int", "", ""), Variable("age", "double", "days", "", nullable=True)))
    >>> check("has(age) && age > 2.0 && amount >= 100", schema).type
    'bool'
    >>> check("amount > 1.5", schema)
    Traceback (most recent call last):
    rules.expression.ConditionError: int > double is not defined; 'amount' is an int: write 2
    """
    term = _Typing(schema, constants or {}).term(parse(text))
    if term.type != "bool":
        raise ConditionError(term.offset, f"a condition must be true or false; this is {_an(term.type)}: compare it")
    _guard(term, frozenset(), schema)
    return term


def pack_code(code: str) -> int:
    """An ISO code as the base-27 integer of :mod:`rules.pack_schema`.

    >>> pack_code("CNY")
    2590
    """
    packed = 0
    for letter in code:
        packed = packed * 27 + (ord(letter) - 64)
    return packed


class _Typing:
    def __init__(self, schema: Schema, constants: Mapping[str, float]) -> None:
        self.schema = schema
        self.constants = constants

    def term(self, tree: Expression) -> Term:
        match tree:
            case Literal():
                return self._literal(tree)
            case Name():
                return self._name(tree)
            case Has():
                column = self._column(tree.name, tree.offset)
                return Term("has", "bool", column=column, offset=tree.offset)
            case Unary():
                return self._unary(tree)
            case MembershipTest():
                return self._membership(tree)
            case Conditional():
                return self._conditional(tree)
            case Binary():
                return self._binary(tree)

    def _literal(self, tree: Literal, domain: Variable | None = None) -> Term:
        value = tree.value
        if isinstance(value, bool):
            return Term("constant", "bool", values=(float(value),), offset=tree.offset)
        if isinstance(value, int):
            if abs(value) >= EXACT_LIMIT:
                raise ConditionError(tree.offset, f"{value} is too large; integers are exact below 2^53")
            return Term("constant", "int", values=(float(value),), offset=tree.offset)
        if isinstance(value, float):
            return Term("constant", "double", values=(value,), offset=tree.offset)
        if domain is None:
            raise ConditionError(tree.offset, f'the word "{value}" must be compared with a variable that holds words')
        return Term("constant", "string", values=(_word(value, domain, tree.offset),), offset=tree.offset)

    def _name(self, tree: Name) -> Term:
        if tree.name in self.constants:
            return Term("constant", "double", values=(self.constants[tree.name],), offset=tree.offset)
        column = self._column(tree.name, tree.offset)
        kind = self.schema.variables[column].kind
        type_: Type = "string" if kind in ("enum", "code") else kind  # type: ignore[assignment]
        return Term("column", type_, column=column, offset=tree.offset)

    def _column(self, name: str, offset: int) -> int:
        column = self.schema.index.get(name, -1)
        if column >= 0:
            return column
        near = difflib.get_close_matches(name, [*self.schema.index, *self.constants], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else "; see the feature table (docs/features.md)"
        raise ConditionError(offset, f"unknown variable '{name}'{hint}")

    def _unary(self, tree: Unary) -> Term:
        inner = self.term(tree.operand)
        if tree.operator == "!":
            if inner.type != "bool":
                raise ConditionError(tree.offset, f"!{inner.type} is not defined; ! takes true or false")
            return Term("not", "bool", (inner,), offset=tree.offset)
        if inner.type not in ("int", "double"):
            raise ConditionError(tree.offset, f"-{inner.type} is not defined; - takes a number")
        return Term("negate", inner.type, (inner,), offset=tree.offset)

    def _conditional(self, tree: Conditional) -> Term:
        condition, then, otherwise = self.term(tree.condition), self.term(tree.then), self.term(tree.otherwise)
        if condition.type != "bool":
            raise ConditionError(tree.offset, f"before ? stands true or false, not {_an(condition.type)}")
        if then.type != otherwise.type:
            raise ConditionError(
                tree.offset, f"both branches of ?: must have one type, not {then.type} and {otherwise.type}"
            )
        return Term("select", then.type, (condition, then, otherwise), offset=tree.offset)

    def _membership(self, tree: MembershipTest) -> Term:
        domain = self._domain(tree.item)
        item = self.term(tree.item)
        if not tree.values:
            raise ConditionError(tree.offset, "'in []' is never true; name the values")
        values = tuple(self._literal(value, domain) for value in tree.values)
        for value in values:
            if value.type != item.type:
                raise ConditionError(
                    value.offset, f"{item.type} in [{value.type}] is not defined; use values of one type"
                )
        numbers = tuple(sorted({value.values[0] for value in values}))
        return Term("in", "bool", (item,), values=numbers, offset=tree.offset)

    def _binary(self, tree: Binary) -> Term:
        if isinstance(tree.left, Literal) and isinstance(tree.left.value, str):
            left = self._literal(tree.left, self._domain(tree.right))
            right = self.term(tree.right)
        elif isinstance(tree.right, Literal) and isinstance(tree.right.value, str):
            left = self.term(tree.left)
            right = self._literal(tree.right, self._domain(tree.left))
        else:
            left, right = self.term(tree.left), self.term(tree.right)
        self._operands(tree, left, right)
        type_: Type = left.type if tree.operator in _ARITHMETIC else "bool"
        return Term(tree.operator, type_, (left, right), offset=tree.offset)

    def _operands(self, tree: Binary, left: Term, right: Term) -> None:
        operator = tree.operator
        if operator in ("&&", "||"):
            allowed: tuple[Type, ...] = ("bool",)
        elif operator in ("==", "!="):
            allowed = ("bool", "int", "double", "string")
        else:
            allowed = ("int", "double")
        if left.type == right.type and left.type in allowed:
            if left.type == "string":
                self._same_words(tree)
            return
        hint = (
            _mixed_hint(tree)
            if {left.type, right.type} == {"int", "double"}
            else f"{operator} takes {' or '.join(allowed)}"
        )
        raise ConditionError(tree.offset, f"{left.type} {operator} {right.type} is not defined; {hint}")

    def _same_words(self, tree: Binary) -> None:
        left, right = self._domain(tree.left), self._domain(tree.right)
        if left and right and (left.kind != right.kind or left.values != right.values):
            raise ConditionError(
                tree.offset, f"'{left.name}' and '{right.name}' hold different words; they never compare"
            )

    def _domain(self, tree: Expression) -> Variable | None:
        if isinstance(tree, Name) and tree.name in self.schema.index:
            variable = self.schema[tree.name]
            return variable if variable.kind in ("enum", "code") else None
        if isinstance(tree, Conditional):
            return self._domain(tree.then) or self._domain(tree.otherwise)
        return None


def _word(word: str, domain: Variable, offset: int) -> float:
    if domain.kind == "code":
        if not _CODE.match(word):
            raise ConditionError(offset, f'"{word}" is not an ISO code; write two or three capital letters')
        return float(pack_code(word))
    if word in domain.values:
        return float(domain.values.index(word))
    raise ConditionError(offset, f'"{word}" is no value of {domain.name}; it knows {", ".join(domain.values)}')


def _mixed_hint(tree: Binary) -> str:
    for literal, other in ((tree.right, tree.left), (tree.left, tree.right)):
        if isinstance(literal, Literal) and isinstance(other, Name):
            if isinstance(literal.value, int):
                return f"'{other.name}' is a double: write {literal.value}.0"
            return f"'{other.name}' is an int: write {round(float(literal.value))}"
    return "use two ints or two doubles"


def _an(type_: str) -> str:
    return f"an {type_}" if type_ == "int" else f"a {type_}"


def _guard(term: Term, known: frozenset[int], schema: Schema) -> None:
    """Refuse a nullable column that is read where nothing proves that it has a value."""
    if term.operator == "column":
        variable = schema.variables[term.column]
        if variable.nullable and term.column not in known:
            raise ConditionError(
                term.offset, f"'{variable.name}' can be missing; guard it: has({variable.name}) && ..."
            )
    elif term.operator in ("&&", "||"):
        # Errors are absorbed in either order, so each side guards the other.
        left, right = term.operands
        truth = term.operator == "&&"
        _guard(left, known | proven(right, truth), schema)
        _guard(right, known | proven(left, truth), schema)
    elif term.operator == "select":
        condition, then, otherwise = term.operands
        _guard(condition, known, schema)
        _guard(then, known | proven(condition, True), schema)
        _guard(otherwise, known | proven(condition, False), schema)
    else:
        for operand in term.operands:
            _guard(operand, known, schema)


def proven(term: Term, truth: bool) -> frozenset[int]:
    """Columns that certainly have a value when ``term`` came out as ``truth``."""
    if term.operator == "has":
        return frozenset((term.column,)) if truth else frozenset()
    if term.operator == "not":
        return proven(term.operands[0], not truth)
    if term.operator in ("&&", "||"):
        left, right = (proven(operand, truth) for operand in term.operands)
        return left | right if (term.operator == "&&") == truth else left & right
    return frozenset()


def columns_read(term: Term) -> frozenset[int]:
    """Every column the condition looks at."""
    own = frozenset((term.column,)) if term.column >= 0 else frozenset()
    return own.union(*(columns_read(operand) for operand in term.operands))
