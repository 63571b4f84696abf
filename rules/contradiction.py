"""Dead and contradictory rules: what can never be true, what never decides, and what says two things at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from rules.condition import Term, check, columns_read
from rules.expression import ConditionError
from rules.ladder import rung
from rules.pack import Pack, Rule
from rules.pack_schema import Schema
from rules.policy_compiler import condition_of, limit_periods, ordered_scenarios
from rules.problem import Problem
from rules.reach import Box, Open, boxes, meet, overlap


@dataclass(frozen=True, slots=True)
class _Reached:
    """A rule with the payments it can be true for, and those it can be false for."""

    pack: Pack
    rule: Rule
    term: Term
    true: list[Box]
    false: list[Box]

    @property
    def rung(self) -> int:
        return rung(self.rule.outcome, self.rule.step_up or "none") if self.rule.hard else 0


def contradictions(packs: Sequence[Pack], schema: Schema) -> Iterator[Problem]:
    """Every dead or contradictory rule and match of these packs; conditions that do not type are skipped."""
    yield from _matches(packs, schema)
    reached: list[_Reached] = []
    for pack in packs:
        for rule in pack.rules:
            yield from _rule(pack, rule, schema, reached)
    for first, second in combinations(reached, 2):
        if _share_scope(first, second) and columns_read(first.term) == columns_read(second.term):
            yield from _pair(first, second, schema)


def _matches(packs: Sequence[Pack], schema: Schema) -> Iterator[Problem]:
    left: list[Box] = [{}]
    for pack in ordered_scenarios(packs):
        try:
            term = check(condition_of(pack.match), schema)
            here = boxes(term, schema)
            reached = meet(here, left, schema)
            left = meet(left, boxes(term, schema, False), schema)
        except (ConditionError, Open):
            continue
        assert pack.match is not None
        if not here:
            yield pack.match.item.problem("this match can never be true; mend its bounds")
        elif not reached:
            yield pack.match.item.problem(
                "never reached: packs with a lower 'order' match all of this; lower its order"
            )


def _rule(pack: Pack, rule: Rule, schema: Schema, reached: list[_Reached]) -> Iterator[Problem]:
    for _, _, constants in list(limit_periods(pack.limits, rule.when.text))[:1]:
        try:
            term = check(rule.when.text, schema, constants)
            true, false = boxes(term, schema), boxes(term, schema, False)
            within = meet(true, _scope(pack, schema), schema)
        except (ConditionError, Open):
            return
        if not true:
            yield rule.when.item.problem(f"dead rule: '{rule.id}' can never be true; mend its bounds or remove it")
        elif not within:
            yield rule.when.item.problem(
                f"dead rule: '{rule.id}' can never be true where its pack matches; mend it or move it to another pack"
            )
        else:
            if not false:
                yield rule.when.item.warning(f"'{rule.id}' is true for every payment; put its weight into thresholds")
            reached.append(_Reached(pack, rule, term, true, false))


def _scope(pack: Pack, schema: Schema) -> list[Box]:
    # A hint can choose a scenario whose match is not true; only a jurisdiction's match binds its rules for certain.
    if pack.match is None or (pack.kind == "scenario" and "scenario_hint" in schema.index):
        return [{}]
    return boxes(check(pack.match.text, schema), schema)


def _share_scope(first: _Reached, second: _Reached) -> bool:
    if first.pack.kind == second.pack.kind == "scenario":
        return first.pack.scenario == second.pack.scenario
    one = set(first.rule.scenarios) or {first.pack.scenario}
    other = set(second.rule.scenarios) or {second.pack.scenario}
    return bool(one & other) or "" in one or "" in other


def _pair(first: _Reached, second: _Reached, schema: Schema) -> Iterator[Problem]:
    first_within = not overlap(first.true, second.false, schema)
    second_within = not overlap(second.true, first.false, schema)
    same = _same(first.term, second.term) or (first_within and second_within)
    one, other = first.rule, second.rule
    at, where = other.when.item, f"{one.when.item.file}:{one.when.item.line}"
    if same and one.hard and other.hard and first.rung != second.rung:
        yield at.problem(
            f"contradiction: '{other.id}' and '{one.id}' ({where}) hold for the same payments, with different outcomes; keep one"
        )
    elif same and not one.hard and not other.hard and one.weight_milli * other.weight_milli < 0:
        yield at.problem(
            f"contradiction: '{other.id}' and '{one.id}' ({where}) hold for the same payments, with opposite weights; keep one"
        )
    elif same and one.hard == other.hard:
        yield at.warning(f"'{other.id}' repeats the condition of '{one.id}' ({where}); merge them")
    elif one.hard and other.hard:
        for inner, outer, within in ((first, second, first_within), (second, first, second_within)):
            if within and outer.rung >= inner.rung:
                yield inner.rule.when.item.warning(
                    f"'{inner.rule.id}' never decides: '{outer.rule.id}' holds wherever it does, at least as strict"
                )


def _same(one: Term, other: Term) -> bool:
    alike = (one.operator, one.type, one.column, one.values) == (other.operator, other.type, other.column, other.values)
    return alike and len(one.operands) == len(other.operands) and all(map(_same, one.operands, other.operands))
