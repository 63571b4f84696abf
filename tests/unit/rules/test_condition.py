"""The condition language: what is refused and where, and what CEL's tri-state logic makes of errors."""

from __future__ import annotations

import numpy as np
import pytest

from rules.bytecode import ERROR, FALSE, TRUE, assemble
from rules.condition import check
from rules.expression import MAX_DEPTH, MAX_LENGTH, ConditionError
from rules.pack_schema import Schema, Variable

SCHEMA = Schema(
    (
        Variable("amount", "int", "minor units", ""),
        Variable("count", "int", "count", ""),
        Variable("share", "double", "share 0-1", ""),
        Variable("age", "double", "days", "", nullable=True),
        Variable("speed", "double", "km/h", "", nullable=True),
        Variable("new", "bool", "", ""),
        Variable("channel", "enum", "", "", values=("none", "app", "web")),
        Variable("kind", "enum", "", "", values=("none", "person")),
        Variable("country", "code", "ISO 3166", "", nullable=True),
        Variable("home", "code", "ISO 3166", ""),
    )
)


def verdict(text: str, **cells: float) -> int:
    row = np.array([np.nan if v.nullable else 0.0 for v in SCHEMA.variables])
    for name, value in cells.items():
        row[SCHEMA.index[name]] = value
    return int(assemble([check(text, SCHEMA)]).run(row.reshape(1, -1))[0, 0])


@pytest.mark.parametrize(
    ("text", "offset", "says"),
    [
        ("amount > 1.5", 7, "'amount' is an int: write 2"),
        ("share > 1", 6, "'share' is a double: write 1.0"),
        ("amount + share > 0", 7, "int + double is not defined"),
        ("amont > 1", 0, "did you mean 'amount'?"),
        ("nothing_like_it > 1", 0, "docs/features.md"),
        ("amount", 0, "must be true or false"),
        ("new + new", 4, "bool + bool is not defined"),
        ("new > false", 4, "bool > bool is not defined"),
        ('channel == "webb"', 11, "it knows none, app, web"),
        ('channel > "app"', 8, "string > string is not defined"),
        ("channel == kind", 8, "hold different words"),
        ('home == "china"', 8, "ISO code"),
        ("age > 1.0", 0, "guard it: has(age) && ..."),
        ("has(age) || age > 1.0", 12, "can be missing"),
        ("!has(age) && age > 1.0", 13, "can be missing"),
        ("has(age) ? speed > 1.0 : false", 11, "can be missing"),
        ("[1, 2].all(x, x > 1)", 0, "a list stands only after 'in'"),
        ("payees.exists(p, p > 1)", 0, "cannot loop"),
        ("size(channel) > 1", 0, "only has(variable) may be called"),
        ('matches(channel, "a+")', 0, "only has(variable) may be called"),
        ("channel[0] == 1", 7, "indexing is refused"),
        ("(amount).x > 1", 8, "selecting a field is refused"),
        ("{1: 2}", 0, "maps and messages are refused"),
        ("amount in [count]", 11, "constants alone"),
        ("amount in []", 7, "never true"),
        ("amount in [1.0]", 11, "values of one type"),
        ("amount = 1", 7, "compare with =="),
        ("amount > 1 & new", 11, "write &&"),
        ("amount % 2 == 0", 7, "% is refused"),
        ("amount > 1u", 10, "not a number of a condition"),
        ("amount > null", 9, "ask has(variable)"),
        ("amount >", 8, "ends too early"),
        ("", 0, "empty"),
        ("amount > 9007199254740992", 9, "exact below 2^53"),
        ("amount > 1 # comment", 11, "has no meaning"),
        ("has(amount > 1)", 11, "expected ')'"),
        ("-new", 0, "takes a number"),
        ("!amount", 0, "takes true or false"),
        ("new ? 1 : 2", 4, "must be true or false"),
        ("new ? 1 > 0 : 2", 4, "one type"),
        ("amount ? new : new", 7, "before ? stands true or false"),
        ('"app" == "app"', 0, "must be compared with a variable"),
        ("new && " * 30 + "(" * (MAX_DEPTH + 1), None, "nested deeper"),
        ("amount > 1 " + " " * MAX_LENGTH, MAX_LENGTH, "longer than"),
        ("new || " * 300 + "new", None, "more than"),
    ],
)
def test_is_refused_with_its_place_and_what_to_do(text: str, offset: int | None, says: str) -> None:
    with pytest.raises(ConditionError) as caught:
        check(text, SCHEMA)
    assert says in caught.value.message
    assert offset is None or caught.value.offset == offset


@pytest.mark.parametrize(
    ("text", "cells", "expected"),
    [
        ("amount > 5", {"amount": 6}, TRUE),
        ("5 < amount", {"amount": 6}, TRUE),
        ("amount > 5", {"amount": 5}, FALSE),
        ("amount / 2 == 3", {"amount": 7}, TRUE),
        ("amount / 2 == -3", {"amount": -7}, TRUE),  # towards zero, as CEL
        ("amount / count > 1", {"amount": 7, "count": 0}, ERROR),
        ("share / 0.0 > 1.0", {"share": 1.0}, ERROR),
        ("amount * amount > 0", {"amount": 2.0**27}, ERROR),
        ("amount + 1 > 0", {"amount": 2.0**53 - 1}, ERROR),
        ("amount * 2 - amount == amount", {"amount": 2.0**51}, TRUE),
        ("-amount < 0", {"amount": 3}, TRUE),
        ("amount - 1 in [1, 2]", {"amount": 3}, TRUE),
        ('channel in ["app", "web"]', {"channel": 2}, TRUE),
        ('"app" != channel', {"channel": 2}, TRUE),
        ('home == "CN"', {"home": 95}, TRUE),
        ("has(country) && country != home", {"country": 95, "home": 95}, FALSE),
        ("has(country) && country != home", {"home": 95}, FALSE),
        ("has(age) && age > 1.0", {}, FALSE),
        ("age > 1.0 && has(age)", {}, FALSE),  # absorbed in either order
        ("!has(age) || age > 1.0", {}, TRUE),
        ("has(age) ? age > 1.0 : new", {"new": 1}, TRUE),
        ("amount / count > 1 && false", {"count": 0}, FALSE),
        ("amount / count > 1 || true", {"count": 0}, TRUE),
        ("false || amount / count > 1", {"count": 0}, ERROR),
        ("true && amount / count > 1", {"count": 0}, ERROR),
        ("!(amount / count > 1)", {"count": 0}, ERROR),
        ("(amount / count > 1) == new", {"count": 0}, ERROR),
        ("(amount / count > 1) ? true : true", {"count": 0}, ERROR),
        ("new ? true : amount / count > 1", {"count": 0, "new": 1}, TRUE),
        ("(new ? amount : count / amount) > 1", {"new": 1, "amount": 3}, TRUE),
        ("amount > 1 ? new : !new", {"amount": 2, "new": 1}, TRUE),
        ("new in [true]", {"new": 1}, TRUE),
        ("new in [false]", {"new": 1}, FALSE),
        ("new in [true, false]", {"new": np.nan}, ERROR),
        ("new == (amount > 1)", {"new": 1, "amount": 2}, TRUE),
        ("amount + count * 2 > 6", {"amount": 1, "count": 3}, TRUE),
        ("amount > 1 && new || count > 1", {"count": 2}, TRUE),
    ],
)
def test_evaluates_as_cel_and_an_error_is_never_a_value(text: str, cells: dict[str, float], expected: int) -> None:
    assert verdict(text, **cells) == expected


def test_verdicts_do_not_depend_on_the_batch() -> None:
    generator = np.random.default_rng(7)
    matrix = np.zeros((700, len(SCHEMA)))
    matrix[:, 0] = generator.integers(-5, 5, 700)
    matrix[:, 1] = generator.integers(-2, 3, 700)
    matrix[:, 3] = np.where(generator.random(700) < 0.3, np.nan, generator.random(700))
    texts = ["amount / count > 1", "has(age) && age > 0.5", "(has(age) ? age : 0.25) * 2.0 > 0.7 || amount in [1, 2]"]
    program = assemble([check(text, SCHEMA) for text in texts])
    whole = program.run(matrix)
    one_by_one = np.hstack([program.run(matrix[i : i + 1]) for i in range(700)])
    assert np.array_equal(whole, one_by_one)
    assert {FALSE, ERROR, TRUE} == set(np.unique(whole).tolist())
