"""What no payment can ever meet: an id, a code or an actor that the contract lets nobody send, a span without a moment.

An entry that matches nothing looks like an entry whose payee is quiet. Whoever writes it wants to know at once. A policy
that is in force already goes on with such an entry, as before: it is refused where it is written, checked or approved.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Final

from rules.document import Item
from rules.expression import (
    Binary,
    Conditional,
    ConditionError,
    Expression,
    Literal,
    MembershipTest,
    Name,
    Unary,
    parse,
)
from rules.fields import Condition
from rules.lists import PARTS, ListEntry, Snooze
from rules.pack import Pack
from rules.pack_schema import Schema, Variable
from rules.problem import Problem

_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_ID_IN_WORDS: Final = "1 to 64 of A-Z a-z 0-9 _ . : -"
_MAX_ACTOR_BYTES: Final = 64
_WILD: Final = frozenset("*?[")
_MOST_SHOWN: Final = 80


def unmatchable(packs: Sequence[Pack], schema: Schema) -> Iterator[Problem]:
    """A problem for each entry, snooze, condition and trusted actor that nothing on the wire can equal."""
    for pack in packs:
        for entry in pack.lists:
            yield from _ids(entry, PARTS)
            if entry.until <= entry.valid_from:
                yield entry.item.problem("never in force: 'until' is not after 'valid_from'; mend the dates")
        for snooze in pack.snoozes:
            yield from _ids(snooze, ("account", "payee"))
        for condition in _conditions(pack):
            yield from _codes(condition, schema)
        yield from _actors(pack)


def _ids(entry: ListEntry | Snooze, parts: Sequence[str]) -> Iterator[Problem]:
    for part in parts:
        text = getattr(entry, part)
        if text and not _ID.fullmatch(text):
            yield _placed(entry.item, part).problem(
                f'no id can be "{_shown(text)}" ({_ID_IN_WORDS}); write the {part} as its payments carry it'
            )


def _placed(item: Item, key: str) -> Item:
    """Where the value of a key stands; a line of a CSV file is one place."""
    return item.value.get(key, item) if isinstance(item.value, dict) else item


def _shown(text: str) -> str:
    """The text without what a terminal would obey, and not too long."""
    plain = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return plain if len(plain) <= _MOST_SHOWN else plain[:_MOST_SHOWN] + "…"


def _conditions(pack: Pack) -> Iterator[Condition]:
    if pack.match is not None:
        yield pack.match
    if pack.review is not None and pack.review.complex_when is not None:
        yield pack.review.complex_when
    if pack.common is not None:
        proceed = pack.common.proceed_first
        named = (pack.common.essential, pack.common.familiarity_lost, proceed.when if proceed else None)
        yield from (condition for condition in named if condition is not None)
    yield from (rule.when for rule in pack.rules)


def _codes(condition: Condition, schema: Schema) -> Iterator[Problem]:
    try:
        tree = parse(condition.text)
    except ConditionError:
        return  # told when the pack was read
    for literal, variable in _compared(tree, schema):
        word = literal.value
        if isinstance(word, str) and variable.codes and word not in variable.codes:
            yield condition.problem(ConditionError(literal.offset, _unknown(word, variable)))


def _unknown(word: str, variable: Variable) -> str:
    near = difflib.get_close_matches(word.upper(), sorted(variable.codes), n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return f'no payment has "{_shown(word)}" as its {variable.name}: not an {variable.unit} code{hint}'


def _compared(tree: Expression, schema: Schema) -> Iterator[tuple[Literal, Variable]]:
    """Every constant with the variable of codes that it is compared with."""
    match tree:
        case Binary():
            for literal, other in ((tree.left, tree.right), (tree.right, tree.left)):
                if isinstance(literal, Literal):
                    yield from ((literal, variable) for variable in _domains(other, schema))
                yield from _compared(other, schema)
        case MembershipTest():
            for variable in _domains(tree.item, schema):
                yield from ((value, variable) for value in tree.values)
            yield from _compared(tree.item, schema)
        case Unary():
            yield from _compared(tree.operand, schema)
        case Conditional():
            for part in (tree.condition, tree.then, tree.otherwise):
                yield from _compared(part, schema)


def _domains(tree: Expression, schema: Schema) -> list[Variable]:
    """The variable whose words this is, or none."""
    if isinstance(tree, Name) and tree.name in schema.index:
        return [schema[tree.name]]
    if isinstance(tree, Conditional):
        return _domains(tree.then, schema) or _domains(tree.otherwise, schema)
    return []


def _actors(pack: Pack) -> Iterator[Problem]:
    named = pack.item.value.get("trusted_actors") if isinstance(pack.item.value, dict) else None
    for item in named.value if named is not None and isinstance(named.value, list) else ():
        text = item.text
        fits = bool(text) and text.isprintable() and len(text.encode()) <= _MAX_ACTOR_BYTES
        if not fits and not _WILD & set(text):
            yield item.problem(
                f'no actor can be "{_shown(text)}" (1 to {_MAX_ACTOR_BYTES} bytes of printable text); '
                "write it as the feedback carries it"
            )
