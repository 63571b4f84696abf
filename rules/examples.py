"""Running the examples written in packs: a payment's features, and the outcome its author expects.

``given:`` names the features that matter; the rest is neutral (nullable ones are missing, numbers 0, truths
false, words the first of their enumeration). Examples with a ``history:`` of transactions need the profile of an
account; the caller hands in a function that makes the features of the event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rules.compiled_policy import CompiledPolicy
from rules.condition import pack_code
from rules.document import Item
from rules.ladder import OUTCOMES, STEP_UPS
from rules.pack import Example, Pack
from rules.pack_schema import Schema, Variable
from rules.problem import Problem

PRIOR_LOGIT_MILLI: Final = -6907
"""Log-odds of one fraud in 1,000: what a model without labels knows."""
EXPECTATIONS: Final = ("outcome", "step_up", "scenario", "rules", "not_rules", "hard_rule")
EXAMPLE_TIME: Final = 1_800_000_000_000_000
"""Event time of an example that states none, µs."""

Histories = Callable[[Sequence[Item], Item], np.void]
"""The verdict about an event after its history; raises :class:`ExampleError`."""


class ExampleError(ValueError):
    """An example cannot be run; :attr:`problem` says why."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(str(problem))


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """How one example came out: ``problems`` is empty where it came out as expected."""

    pack: str
    name: str
    outcome: str
    problems: tuple[Problem, ...]


def run_examples(
    packs: Sequence[Pack], policy: CompiledPolicy, histories: Histories | None = None
) -> list[ExampleResult]:
    """Run every example of these packs against the compiled policy.

    Parameters
    ----------
    packs
        Whose examples.
    policy
        What decides.
    histories
        Decides examples that have a history; without it they do not come out as expected.
    """
    return [_run(pack, example, policy, histories) for pack in packs for example in pack.examples]


def _run(pack: Pack, example: Example, policy: CompiledPolicy, histories: Histories | None) -> ExampleResult:
    try:
        if example.event is None:
            verdict = _decide_given(policy, example)
        elif histories is None:
            raise ExampleError(example.item.problem("an example with a history needs 'riskstream rules test'"))
        else:
            verdict = histories(example.history, example.event)
    except ExampleError as error:
        return ExampleResult(pack.name, example.name, "", (error.problem,))
    actual = describe(policy, verdict)
    word = actual["outcome"] if actual["step_up"] == "none" else f"{actual['outcome']} ({actual['step_up']})"
    return ExampleResult(pack.name, example.name, word, tuple(_compare(example, actual)))


def _decide_given(policy: CompiledPolicy, example: Example) -> np.void:
    logit, row = _given(example, policy.schema)
    matrix = row.reshape(1, -1)
    index = policy.schema.index
    times = np.array([EXAMPLE_TIME], np.int64)
    if "amount_reference" in index and np.isnan(matrix[0, index["amount_reference"]]) and "currency" in index:
        matrix[:, index["amount_reference"]] = policy.reference_amount(matrix, times)
    if "scenario" not in example.given:
        matrix[:, index["scenario"]] = policy.match(matrix)
    verdict: np.void = policy.evaluate(matrix, np.array([logit], np.int64), np.zeros((1, 3), np.uint64), times)[0]
    return verdict


def describe(policy: CompiledPolicy, verdict: np.void) -> dict[str, Any]:
    """A verdict in the words of an example's ``expect:``."""
    hard = int(verdict["hard_rule"])
    return {
        "outcome": OUTCOMES[int(verdict["outcome"])],
        "step_up": STEP_UPS[int(verdict["step_up"])],
        "scenario": policy.scenarios[int(verdict["scenario"])].name,
        "rules": [rule.id for rule in policy.fired_rules(verdict["fired"])],
        "hard_rule": policy.rules[hard].id if hard >= 0 else "none",
        "risk_ppm": int(verdict["risk_ppm"]),
    }


def neutral_row(schema: Schema) -> NDArray[np.float64]:
    """A payment that says nothing, float64[F]: missing where that is possible, else 0 or the first word."""
    return np.array([np.nan if variable.nullable else 0.0 for variable in schema.variables])


def encode(value: object, variable: Variable) -> float:
    """One value as its cell of the matrix.

    Raises
    ------
    ValueError
        Not a value of the variable; the message says what it takes.
    """
    if variable.kind == "bool":
        if not isinstance(value, bool):
            raise ValueError(f"'{variable.name}' takes true or false")
        return float(value)
    if variable.kind in ("enum", "code"):
        word = str(value)
        if variable.kind == "code" and word.isascii() and word.isalpha() and word.isupper():
            return float(pack_code(word))
        if word not in variable.values:
            known = ", ".join(variable.values) or "ISO codes in capital letters"
            raise ValueError(f"'{variable.name}' takes {known}")
        return float(variable.values.index(word))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"'{variable.name}' takes a number")
    if variable.kind == "int" and float(value) != int(value):
        raise ValueError(f"'{variable.name}' takes a whole number")
    return float(value)


def _given(example: Example, schema: Schema) -> tuple[int, NDArray[np.float64]]:
    row, logit = neutral_row(schema), PRIOR_LOGIT_MILLI
    for name, item in example.given.items():
        if name == "logit_milli":
            if not isinstance(item.value, int):
                raise ExampleError(item.problem("'logit_milli' takes a whole number"))
            logit = item.value
        elif name not in schema.index:
            raise ExampleError(item.key_problem(f"unknown variable '{name}'; see docs/features.md"))
        else:
            try:
                row[schema.index[name]] = encode(item.value, schema[name])
            except ValueError as error:
                raise ExampleError(item.problem(str(error))) from error
    return logit, row


def _compare(example: Example, actual: Mapping[str, Any]) -> list[Problem]:
    problems = []
    for key, item in example.expect.items():
        if key not in EXPECTATIONS:
            problems.append(item.key_problem(f"unknown expectation '{key}'; use {', '.join(EXPECTATIONS)}"))
        elif key in ("rules", "not_rules"):
            names = [entry.text for entry in item.value] if isinstance(item.value, list) else [item.text]
            for name in names:
                if (name in actual["rules"]) == (key == "not_rules"):
                    verb = "fired" if key == "not_rules" else "did not fire"
                    problems.append(
                        item.problem(f"rule '{name}' {verb}; fired: {', '.join(actual['rules']) or 'none'}")
                    )
        elif actual[key] not in ([entry.text for entry in item.value] if isinstance(item.value, list) else [item.text]):
            detail = f"risk {actual['risk_ppm']} ppm, rules {', '.join(actual['rules']) or 'none'}"
            problems.append(item.problem(f"expected {key} {_wanted(item)}, got '{actual[key]}' ({detail})"))
    return problems


def _wanted(item: Item) -> str:
    words = [entry.text for entry in item.value] if isinstance(item.value, list) else [item.text]
    return " or ".join(f"'{word}'" for word in words)
