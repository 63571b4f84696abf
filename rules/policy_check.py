"""What can be wrong with a policy once its words and types are known: names, types, lists, references."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator, Sequence

from rules.compiled_policy import MAX_RULES
from rules.condition import Term, check, columns_read
from rules.contradiction import contradictions
from rules.expression import ConditionError
from rules.fields import Condition
from rules.pack import Common, Pack, Rule, direction
from rules.pack_schema import Schema
from rules.parity import probed_parity, written_parity
from rules.policy_compiler import compile_policy, limit_periods
from rules.problem import Problem, errors
from rules.tolerance import SLIP_VARIABLES


def check_policy(packs: Sequence[Pack], schema: Schema) -> list[Problem]:
    """Every finding about these packs under a schema, in file order."""
    problems: list[Problem] = []
    if "scenario" not in schema.index:
        raise ValueError("the schema lacks the variable 'scenario'")
    problems.extend(_structure(packs, schema))
    common = next((pack.common for pack in packs if pack.common is not None), Common())
    for pack in packs:
        problems.extend(_pack_conditions(pack, schema))
        for rule in pack.rules:
            problems.extend(_rule(pack, rule, schema, common))
    problems.extend(contradictions(packs, schema))
    problems.extend(written_parity(packs, schema))
    if not errors(problems):
        problems.extend(probed_parity(packs, compile_policy("", packs, schema, _no_hash)))
    return sorted(set(problems))


def _no_hash(text: str) -> int:
    return zlib.crc32(text.encode()) + 1  # probes carry no ids: list entries never apply to them


def _structure(packs: Sequence[Pack], schema: Schema) -> Iterator[Problem]:
    words = schema["scenario"].values
    yield from _repeated([(pack.name, pack.item.problem) for pack in packs], "pack")
    yield from _repeated([(rule.id, rule.item.problem) for pack in packs for rule in pack.rules], "rule")
    scenarios = [(pack.scenario, pack.item.problem) for pack in packs if pack.kind == "scenario"]
    yield from _repeated(scenarios, "pack for scenario")
    owned = [rule for pack in packs for rule in pack.rules]
    if len(owned) > MAX_RULES:
        yield owned[MAX_RULES].item.problem(f"more than {MAX_RULES} rules in one policy; merge or remove some")
    commons = [pack for pack in packs if pack.kind == "common"]
    for pack in commons[1:]:
        yield pack.item.problem(f"a second common pack; {commons[0].file} is one already: merge them")
    rules = {rule.id: rule for pack in packs for rule in pack.rules}
    for pack in packs:
        if pack.kind == "scenario" and (pack.scenario not in words or pack.scenario == "other"):
            keys = pack.item.value
            named = keys.get("scenario", pack.item) if isinstance(keys, dict) else pack.item
            yield named.problem(f"unknown scenario '{pack.scenario}'; use one of {', '.join(words[1:])}")
        for snooze in pack.snoozes:
            if snooze.rule not in rules:
                yield snooze.item.problem(f"snoozes the unknown rule '{snooze.rule}'; see 'riskstream rules check'")
            elif rules[snooze.rule].hard:
                yield snooze.item.problem(f"'{snooze.rule}' is a hard rule and cannot be snoozed; change its condition")


def _repeated(named: Sequence[tuple[str, Callable[[str], Problem]]], what: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for name, problem in named:
        if name in seen:
            yield problem(f"a second {what} '{name}'; names are unique in a policy")
        seen.add(name)


def _pack_conditions(pack: Pack, schema: Schema) -> Iterator[Problem]:
    if pack.match is not None:
        term = yield from _typed(pack.match, schema)
        if term is not None and pack.kind == "scenario" and _calculates(term):
            yield pack.match.item.problem("a match may not calculate (it must not fail); compare plain variables")
    if pack.review is not None and pack.review.complex_when is not None:
        yield from _typed(pack.review.complex_when, schema)
    if pack.common is not None:
        proceed = pack.common.proceed_first
        for condition in (pack.common.essential, pack.common.familiarity_lost, proceed.when if proceed else None):
            if condition is not None:
                yield from _typed(condition, schema)


def _typed(
    condition: Condition, schema: Schema, constants: dict[str, float] | None = None
) -> Generator[Problem, None, Term | None]:
    try:
        term = check(condition.text, schema, constants)
        _refuse_division_by_zero(term)
        return term
    except ConditionError as error:
        yield condition.problem(error)
    return None


def _refuse_division_by_zero(term: Term) -> None:
    """An int over a written 0 is an error for every payment, which types alone do not see."""
    if term.operator == "/" and term.type == "int":
        divisor = term.operands[1]
        if divisor.operator == "constant" and divisor.values == (0.0,):
            raise ConditionError(
                divisor.offset, "a division by 0 is an error for every payment; divide by another number"
            )
    for operand in term.operands:
        _refuse_division_by_zero(operand)


def _calculates(term: Term) -> bool:
    return term.operator in ("+", "-", "*", "/") or any(_calculates(operand) for operand in term.operands)


def _rule(pack: Pack, rule: Rule, schema: Schema, common: Common) -> Iterator[Problem]:
    yield from _references(pack, rule, schema)
    periods = list(limit_periods(pack.limits, rule.when.text))
    if not periods:
        yield rule.when.item.problem("no time at which all limits it names are in force; mend their dates")
    for _, _, constants in periods:
        term = yield from _typed(rule.when, schema, constants)
        if term is not None:
            yield from _forbidden(rule, term, schema)
            yield from _history(rule, term, schema)
            yield from _rates(rule, term, schema, common)


def _references(pack: Pack, rule: Rule, schema: Schema) -> Iterator[Problem]:
    words = schema["scenario"].values
    if rule.scenarios and pack.kind == "scenario":
        yield rule.item.problem("'scenarios' stands in packs for several scenarios; this pack has one")
    for word in rule.scenarios:
        if word not in words:
            yield rule.item.problem(f"unknown scenario '{word}'; use one of {', '.join(words)}")
    for feature in rule.evidence:
        if feature not in schema.index:
            yield rule.item.problem(f"evidence names the unknown variable '{feature}'; see docs/features.md")


def _forbidden(rule: Rule, term: Term, schema: Schema) -> Iterator[Problem]:
    names = {schema.variables[column].name for column in columns_read(term)}
    raises = rule.hard or rule.weight_milli > 0
    if raises and names & set(SLIP_VARIABLES):
        yield rule.when.item.problem("slips lead to a reminder alone; remove slips from this condition")


def outdated(packs: Sequence[Pack], now_us: int) -> Iterator[Problem]:
    """Warnings of lists and rates that are out of date for every payment from ``now_us`` on, µs since 1970."""
    for pack in packs:
        keys = pack.item.value if isinstance(pack.item.value, dict) else {}
        if pack.fresh_until <= now_us and "fresh_until" in keys:
            yield keys["fresh_until"].warning(_OUTDATED.format("lists", "list"))
        table = keys["currencies"].value if "currencies" in keys else None
        if pack.common is not None and pack.common.currencies.fresh_until <= now_us and isinstance(table, dict):
            yield table["fresh_until"].warning(_OUTDATED.format("rates", "rates"))


_OUTDATED = (
    "this time has passed: the {0} are out of date, and every payment is decided with the failed dependency '{1}'; "
    "bring the {0} up to date, then this time"
)
_BY_RATES = ("amount_reference", "remote_day_reference", "unauthenticated_reference")
_SUMS_BY_RATES = (
    "sum_hour", "sum_day", "sum_week", "sum_month", "remote_sum_24h", "unauthenticated_sum", "payee_inflow_day",
)  # fmt: skip


def _rates(rule: Rule, term: Term, schema: Schema, common: Common) -> Iterator[Problem]:
    """A hard rule that hangs on rates does not see a payment in a currency without one."""
    names = {schema.variables[column].name for column in columns_read(term)}
    found = [name for name in (*_BY_RATES, *_SUMS_BY_RATES) if name in names]
    if rule.hard and found:
        lack = "is missing for" if found[0] in _BY_RATES else "leaves out"
        known = len({rate.currency for rate in common.currencies.rates})
        yield rule.when.item.warning(
            f"hangs on '{found[0]}', which {lack} a payment in a currency without a rate ({known} have one): this "
            f"rule does not see it, and 'failure: rates: {direction(common.failure, 'rates')}' decides; add the rates "
            "of currencies that you expect"
        )


def _history(rule: Rule, term: Term, schema: Schema) -> Iterator[Problem]:
    for column in sorted(columns_read(term)):
        variable = schema.variables[column]
        if rule.window_days and 0.0 < variable.keeps_days < rule.window_days:
            yield rule.when.item.problem(
                f"the window is {rule.window_days:g} days, but '{variable.name}' keeps {variable.keeps_days:g}; "
                "shorten the window or use another variable"
            )
    for limit, name, keeps in _day_limits(term, schema):
        if 0.0 < keeps < limit:
            yield rule.when.item.problem(f"asks for {limit:g} days of '{name}', but history keeps {keeps:g}")


def _day_limits(term: Term, schema: Schema) -> Iterator[tuple[float, str, float]]:
    if term.operator in ("<", "<=", ">", ">=", "==") and len(term.operands) == 2:
        for left, right in (term.operands, term.operands[::-1]):
            if left.operator == "column" and right.operator == "constant":
                variable = schema.variables[left.column]
                scale = {"days": 1.0, "hours": 1 / 24}.get(variable.unit)
                if scale is not None:
                    yield right.values[0] * scale, variable.name, variable.keeps_days
    for operand in term.operands:
        yield from _day_limits(operand, schema)
