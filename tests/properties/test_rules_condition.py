"""Our checked subset against a conforming CEL library: same types refused, same verdicts, same errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from cel_expr_python import cel
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.bytecode import BLOCK, ERROR, FALSE, TRUE, assemble
from rules.condition import check
from rules.expression import ConditionError
from rules.pack_schema import Schema, Variable

INTS, DOUBLES, BOOLS, WORDS = ("a", "b", "c"), ("x", "y"), ("p", "q"), ("s", "t")
VOCABULARY = ("none", "red", "blue")
SCHEMA = Schema(
    tuple(Variable(name, "int", "", "") for name in INTS)
    + tuple(Variable(name, "double", "", "") for name in DOUBLES)
    + tuple(Variable(name, "bool", "", "") for name in BOOLS)
    + tuple(Variable(name, "enum", "", "", values=VOCABULARY) for name in WORDS)
)
TYPES = {"int": cel.Type.INT, "double": cel.Type.DOUBLE, "bool": cel.Type.BOOL, "enum": cel.Type.STRING}
ENVIRONMENT = cel.NewEnv(
    variables={v.name: TYPES[v.kind] for v in SCHEMA.variables}
    | {f"has_{v.name}": cel.Type.BOOL for v in SCHEMA.variables}
)
small_ints = st.integers(-20, 20)
small_doubles = st.sampled_from([-2.5, -1.0, -0.5, 0.0, 0.25, 1.0, 1.5, 3.0, 1e6])


def _number(value: float) -> str:
    return repr(value) if value >= 0 else f"({value!r})"


ints = st.recursive(
    st.one_of(st.sampled_from(INTS), small_ints.map(_number)),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"-({t})"),
    ),
    max_leaves=4,
)
# CEL divides doubles by zero into infinity, we into an error: only constants that are not zero divide here.
doubles = st.recursive(
    st.one_of(st.sampled_from(DOUBLES), small_doubles.map(_number)),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from(["2.0", "0.3", "-4.0"])).map(lambda t: f"({t[0]} / {t[1]})"),
    ),
    max_leaves=4,
)
relation = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
words = st.sampled_from(VOCABULARY).map(lambda w: f'"{w}"')
atoms = st.one_of(
    st.sampled_from([*BOOLS, "true", "false"]),
    st.sampled_from([v.name for v in SCHEMA.variables]).map(lambda name: f"has({name})"),
    st.tuples(ints, relation, ints).map(" ".join),
    st.tuples(doubles, relation, doubles).map(" ".join),
    st.tuples(st.sampled_from(WORDS), st.sampled_from(["==", "!="]), st.one_of(words, st.sampled_from(WORDS))).map(
        " ".join
    ),
    st.tuples(st.sampled_from(WORDS), st.lists(words, min_size=1, max_size=2)).map(
        lambda t: f"{t[0]} in [{', '.join(t[1])}]"
    ),
    st.tuples(ints, st.lists(small_ints.map(str), min_size=1, max_size=3)).map(
        lambda t: f"{t[0]} in [{', '.join(t[1])}]"
    ),
)
conditions = st.recursive(
    atoms.map(lambda t: f"({t})"),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||", "==", "!="]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"!{t}"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} ? {t[1]} : {t[2]})"),
    ),
    max_leaves=8,
)
rows = st.fixed_dictionaries(
    {name: st.one_of(st.none(), small_ints) for name in INTS}
    | {name: st.one_of(st.none(), small_doubles) for name in DOUBLES}
    | {name: st.one_of(st.none(), st.booleans()) for name in BOOLS}
    | {name: st.one_of(st.none(), st.sampled_from(VOCABULARY)) for name in WORDS}
)


def _cells(row: dict[str, Any]) -> list[float]:
    return [
        math.nan if row[v.name] is None else VOCABULARY.index(row[v.name]) if v.kind == "enum" else float(row[v.name])
        for v in SCHEMA.variables
    ]


def _ours(text: str, row: dict[str, Any]) -> int:
    return int(assemble([check(text, SCHEMA)]).run(np.array([_cells(row)]))[0, 0])


def _oracle(text: str, row: dict[str, Any]) -> int:
    for variable in SCHEMA.variables:
        text = text.replace(f"has({variable.name})", f"has_{variable.name}")
    known = {name: value for name, value in row.items() if value is not None}
    presence = {f"has_{name}": value is not None for name, value in row.items()}
    result = ENVIRONMENT.compile(text).eval(data=known | presence)
    if result.type().name() == "ERROR":
        return ERROR
    return TRUE if result.value() else FALSE


@settings(max_examples=700, deadline=None)
@given(conditions, rows)
def test_verdict_is_that_of_the_cel_library(text: str, row: dict[str, Any]) -> None:
    assert _ours(text, row) == _oracle(text, row), text


@settings(max_examples=60, deadline=None)
@given(st.lists(conditions, min_size=2, max_size=6), st.lists(rows, min_size=1, max_size=3))
def test_conditions_that_share_registers_are_those_alone(texts: list[str], table: list[dict[str, Any]]) -> None:
    blocks = np.array([_cells(row) for row in table] * BLOCK)
    terms = [check(text, SCHEMA) for text in texts]
    together = assemble([*terms, *terms]).run(blocks)
    assert (together == np.concatenate([assemble([term]).run(blocks) for term in [*terms, *terms]])).all(), texts
    assert together[: len(texts), : len(table)].tolist() == [[_ours(text, row) for row in table] for text in texts]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(ints, doubles, st.sampled_from([*BOOLS, *WORDS])),
    st.sampled_from(["<", "==", "!=", "&&", "||", "+", "-", "*", "/"]),
    st.one_of(ints, doubles, st.sampled_from([*BOOLS, *WORDS])),
)
def test_types_are_refused_where_the_cel_library_refuses_them(left: str, operator: str, right: str) -> None:
    text = f"({left}) {operator} ({right})"
    try:
        ENVIRONMENT.compile(text)
        accepted = True
    except RuntimeError:
        accepted = False
    result_is_truth = operator in ("<", "==", "!=", "&&", "||")
    ordered_words = operator == "<" and left in (*WORDS, *BOOLS)
    added_words = operator == "+" and left in WORDS
    try:
        check(text, SCHEMA)
        ours = True
    except ConditionError:
        ours = False
    # We are stricter on purpose: a condition is a truth, and words have no order and no sum.
    assert ours == (accepted and result_is_truth and not ordered_words and not added_words), text
