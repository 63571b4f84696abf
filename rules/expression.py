"""The grammar of conditions: a subset of CEL, parsed into a tree with positions.

Source: Common Expression Language, language definition (cel-spec, ``doc/langdef.md``), grammar section. Kept:
literals, variables, ``has(x)``, ``! - * / + <= < >= > == != in && || ?:`` with CEL's precedence. Refused, each
with a reason: comprehensions and other calls, indexing, message and map construction, ``%``, unsigned and bytes
literals. So the cost of a condition is known when it is loaded: nothing in it can loop.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NoReturn

MAX_LENGTH: Final = 4096
"""Longest condition, characters."""
MAX_DEPTH: Final = 40
"""Deepest nesting."""
MAX_TERMS: Final = 400
"""Most operators and operands of one condition."""

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+|//[^\n]*)
      |(?P<double>(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?))
      |(?P<int>0[xX][0-9a-fA-F]+|\d+)
      |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)
      |(?P<operator>&&|\|\||<=|>=|==|!=|[<>!+\-*/?:(),\[\]%{}.=&|])""",
    re.VERBOSE,
)
_MACROS: Final = frozenset(("all", "exists", "exists_one", "map", "filter"))
_RELATIONS: Final = frozenset(("<", "<=", ">", ">=", "==", "!=", "in"))
_ESCAPES: Final = {"\\\\": "\\", "\\'": "'", '\\"': '"'}


class ConditionError(ValueError):
    """A condition is refused; ``offset`` is the character of its text where, counted from 0."""

    def __init__(self, offset: int, message: str) -> None:
        self.offset = offset
        self.message = message
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: bool, int, double or string."""

    offset: int
    value: bool | int | float | str


@dataclass(frozen=True, slots=True)
class Name:
    """A variable, or a dated constant of the pack (``limits.NAME``)."""

    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Has:
    """``has(x)``: whether the variable has a value."""

    offset: int
    name: str


@dataclass(frozen=True, slots=True)
class Unary:
    """``!x`` or ``-x``."""

    offset: int
    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """An arithmetic, comparing or joining operator; ``offset`` is the operator's."""

    offset: int
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class MembershipTest:
    """``item in [constants]``."""

    offset: int
    item: Expression
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Conditional:
    """``condition ? then : otherwise``."""

    offset: int
    condition: Expression
    then: Expression
    otherwise: Expression


Expression = Literal | Name | Has | Unary | Binary | MembershipTest | Conditional


def parse(text: str) -> Expression:
    """The tree of one condition.

    Raises
    ------
    ConditionError
        Not of the grammar, or using something that is refused.

    >>> parse("amount > 3.0").operator
    '>'
    >>> parse("payees.all(p, p > 1)")
    Traceback (most recent call last):
    rules.expression.ConditionError: 'payees.all(...)' is refused: a condition cannot loop; write the cases out with && and ||
    """
    if len(text) > MAX_LENGTH:
        raise ConditionError(MAX_LENGTH, f"longer than {MAX_LENGTH} characters; split it into several rules")
    return _Parser(text).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


def _tokens(text: str) -> list[_Token]:
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ConditionError(position, f"'{text[position]}' has no meaning in a condition; remove it")
        kind = str(match.lastgroup)
        if kind != "space":
            found.append(_Token(kind, match.group(), position))
        position = match.end()
    found.append(_Token("end", "", len(text)))
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.position = 0
        self.terms = 0
        self.depth = 0

    def whole(self) -> Expression:
        if self.here.kind == "end":
            raise ConditionError(0, "the condition is empty; write an expression, or 'true'")
        tree = self.conditional()
        if self.here.kind != "end":
            self._unexpected()
        return tree

    @property
    def here(self) -> _Token:
        return self.tokens[self.position]

    def take(self) -> _Token:
        token = self.here
        self.position += 1
        self.terms += 1
        if self.terms > MAX_TERMS:
            raise ConditionError(token.offset, f"more than {MAX_TERMS} terms; split it into several rules")
        return token

    def at(self, *texts: str) -> bool:
        return self.here.kind in ("operator", "name") and self.here.text in texts

    def expect(self, text: str) -> _Token:
        if not self.at(text):
            self._unexpected(f"expected '{text}'")
        return self.take()

    def conditional(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ConditionError(self.here.offset, f"nested deeper than {MAX_DEPTH}; split it into several rules")
        condition = self.joined("||")
        if self.at("?"):
            offset = self.take().offset
            then = self.joined("||")
            self.expect(":")
            condition = Conditional(offset, condition, then, self.conditional())
        self.depth -= 1
        return condition

    def joined(self, operator: str) -> Expression:
        left = self._below_joined(operator)
        while self.at(operator):
            left = Binary(self.take().offset, operator, left, self._below_joined(operator))
        return left

    def _below_joined(self, operator: str) -> Expression:
        return self.joined("&&") if operator == "||" else self.relation()

    def relation(self) -> Expression:
        left = self.sum(("+", "-"))
        while self.here.text in _RELATIONS and self.here.kind in ("operator", "name"):
            token = self.take()
            if token.text == "in":
                left = MembershipTest(token.offset, left, self.constants())
            else:
                left = Binary(token.offset, token.text, left, self.sum(("+", "-")))
        return left

    def sum(self, operators: tuple[str, ...]) -> Expression:
        left = self._below_sum(operators)
        while self.at(*operators):
            token = self.take()
            left = Binary(token.offset, token.text, left, self._below_sum(operators))
        return left

    def _below_sum(self, operators: tuple[str, ...]) -> Expression:
        return self.sum(("*", "/")) if operators == ("+", "-") else self.unary()

    def unary(self) -> Expression:
        if not self.at("!", "-"):
            return self.primary()
        token = self.take()
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ConditionError(token.offset, f"nested deeper than {MAX_DEPTH}; split it into several rules")
        operand = self.unary()
        self.depth -= 1
        if token.text == "-" and isinstance(operand, Literal) and type(operand.value) in (int, float):
            assert isinstance(operand.value, int | float)
            return Literal(token.offset, -operand.value)
        return Unary(token.offset, token.text, operand)

    def primary(self) -> Expression:
        token = self.here
        if token.kind in ("int", "double", "string"):
            return self.literal()
        if token.kind == "name" and token.text != "in":
            return self.name()
        if self.at("("):
            self.take()
            inner = self.conditional()
            self.expect(")")
            return self._no_selection(inner)
        if self.at("["):
            raise ConditionError(token.offset, "a list stands only after 'in'; a condition cannot loop over one")
        if self.at("{"):
            raise ConditionError(token.offset, "maps and messages are refused; compare single variables")
        self._unexpected()

    def name(self) -> Expression:
        token = self.take()
        if token.text in ("true", "false"):
            return Literal(token.offset, token.text == "true")
        if token.text == "null":
            raise ConditionError(token.offset, "null is refused; ask has(variable)")
        if not self.at("("):
            return self._no_selection(Name(token.offset, token.text))
        if token.text != "has":
            self._refuse_call(token)
        self.take()
        argument = self.take()
        if argument.kind != "name" or argument.text in ("true", "false", "null", "in"):
            raise ConditionError(argument.offset, "has() takes the name of one variable")
        self.expect(")")
        return Has(token.offset, argument.text)

    def literal(self) -> Literal:
        token = self.take()
        if token.kind == "string":
            return Literal(token.offset, re.sub(r"\\.", lambda m: self._escape(m.group(), token), token.text[1:-1]))
        if self.here.kind == "name" and self.here.offset == token.offset + len(token.text):
            raise ConditionError(self.here.offset, f"'{token.text}{self.here.text}' is not a number of a condition")
        return Literal(token.offset, int(token.text, 0) if token.kind == "int" else float(token.text))

    def constants(self) -> tuple[Literal, ...]:
        self.expect("[")
        values: list[Literal] = []
        while not self.at("]"):
            item = self.unary()
            if not isinstance(item, Literal):
                raise ConditionError(item.offset, "a list after 'in' holds constants alone; use == and ||")
            values.append(item)
            if not self.at("]"):
                self.expect(",")
        self.take()
        return tuple(values)

    def _no_selection(self, inner: Expression) -> Expression:
        if self.at("["):
            raise ConditionError(self.here.offset, "indexing is refused; name one variable for each case")
        if self.at("."):
            raise ConditionError(self.here.offset, "selecting a field is refused; a variable is one plain name")
        return inner

    def _escape(self, escape: str, token: _Token) -> str:
        if escape not in _ESCAPES:
            raise ConditionError(token.offset, f"the escape {escape} is refused; write the character itself")
        return _ESCAPES[escape]

    def _refuse_call(self, token: _Token) -> NoReturn:
        if token.text.rsplit(".", 1)[-1] in _MACROS:
            raise ConditionError(
                token.offset,
                f"'{token.text}(...)' is refused: a condition cannot loop; write the cases out with && and ||",
            )
        raise ConditionError(token.offset, f"the call '{token.text}(...)' is refused; only has(variable) may be called")

    def _unexpected(self, wanted: str = "expected a value") -> NoReturn:
        token = self.here
        hints = {"=": "; compare with ==", "&": "; write &&", "|": "; write ||", "%": "; % is refused"}
        hints |= {"and": "; write &&", "or": "; write ||", "not": "; write !", "AND": "; write &&", "OR": "; write ||"}
        if token.kind == "end":
            raise ConditionError(token.offset, f"the condition ends too early; {wanted}")
        raise ConditionError(token.offset, f"'{token.text}' is not expected here{hints.get(token.text, '')}; {wanted}")
