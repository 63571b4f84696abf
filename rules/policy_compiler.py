"""From packs to arrays: conditions typed and assembled, rules and their dated variants laid out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rules.bytecode import assemble
from rules.compiled_policy import ALL_SCENARIOS, CompiledPolicy, Extras, ScenarioTerms, Variants
from rules.condition import Term, check
from rules.familiarity import COLUMNS
from rules.fields import Condition
from rules.fired_rules import RuleInfo
from rules.hold import ChallengeTerms, HoldTerms
from rules.ladder import NEVER_PPM, RUNGS, rung
from rules.lists import ALWAYS_US, list_table, snooze_table
from rules.pack import DEPENDENCIES, Budget, Common, Limit, Pack, Rule, direction
from rules.pack_schema import Schema


@dataclass(frozen=True, slots=True)
class _Variant:
    rule: int
    term: Term
    start: int
    end: int
    scenarios: int


def compile_policy(
    version: str, packs: Sequence[Pack], schema: Schema, hash_id: Callable[[str], int]
) -> CompiledPolicy:
    """Arrays of a policy that was checked against ``schema``."""
    words = schema["scenario"].values
    common_pack = next(pack for pack in packs if pack.common is not None)
    common = common_pack.common
    assert common is not None
    owned = [(pack, rule) for pack in packs for rule in pack.rules]
    rules = tuple(_rule_info(pack, rule) for pack, rule in owned)
    places = {rule.id: place for place, rule in enumerate(rules)}
    variants = [v for place, (pack, rule) in enumerate(owned) for v in _variants(place, pack, rule, schema, words)]
    terms = [variant.term for variant in variants]
    extras = _extras(terms, packs, common, schema, words)
    matching = ordered_scenarios(packs)
    index = schema.index
    return CompiledPolicy(
        version=version,
        schema=schema,
        rules=rules,
        scenarios=tuple(_scenario_terms(word, packs, common_pack) for word in words),
        currencies=common.currencies,
        failure=dict(common.failure),
        matching=assemble([check(condition_of(pack.match), schema) for pack in matching]),
        match_scenarios=np.array([words.index(pack.scenario) for pack in matching], np.uint8),
        program=assemble(terms),
        variants=_layout(variants, rules),
        extras=extras,
        familiarity=common.familiarity,
        familiarity_columns=np.array([index.get(name, -1) for name in COLUMNS], np.int64),
        lists=list_table([entry for pack in packs for entry in pack.lists], hash_id),
        snoozes=snooze_table([snooze for pack in packs for snooze in pack.snoozes], places, hash_id),
        floors=np.array([RUNGS.index(direction(common.failure, name)) for name in DEPENDENCIES], np.int64),
        watch_rung=RUNGS.index(common.watch_outcome),
        lists_fresh_until=min(pack.fresh_until for pack in packs),
        proceed_below_ppm=common.proceed_first.below_ppm if common.proceed_first else 0,
        proceed_due_us=common.proceed_first.due_us if common.proceed_first else 0,
        young=common.young,
    )


def ordered_scenarios(packs: Sequence[Pack]) -> list[Pack]:
    """Scenario packs in the order in which they are asked whether they match."""
    return sorted((pack for pack in packs if pack.kind == "scenario"), key=lambda pack: (pack.order, pack.name))


def condition_of(condition: Condition | None) -> str:
    """Text of a condition that the reader required."""
    assert condition is not None
    return condition.text


def limit_periods(limits: Sequence[Limit], text: str) -> Iterator[tuple[int, int, dict[str, float]]]:
    """Periods (start, end, constants) in which every limit that ``text`` names has one value."""
    named = [limit for limit in limits if f"limits.{limit.name}" in text]
    if not named:
        yield -ALWAYS_US, ALWAYS_US, {}
        return
    cuts = sorted({limit.valid_from for limit in named} | {limit.valid_to for limit in named})
    for start, end in pairwise(cuts):
        constants = {
            f"limits.{limit.name}": limit.value for limit in named if limit.valid_from <= start < limit.valid_to
        }
        if len(constants) == len({limit.name for limit in named}):
            yield start, end, constants


def _variants(place: int, pack: Pack, rule: Rule, schema: Schema, words: tuple[str, ...]) -> Iterator[_Variant]:
    covered = (pack.scenario,) if pack.kind == "scenario" else rule.scenarios
    mask = sum(1 << words.index(word) for word in covered) if covered else ALL_SCENARIOS
    for start, end, constants in limit_periods(pack.limits, rule.when.text):
        term = check(rule.when.text, schema, constants)
        if pack.kind == "jurisdiction":
            term = Term("&&", "bool", (check(condition_of(pack.match), schema), term))
        yield _Variant(place, term, start, end, mask)


def _layout(variants: Sequence[_Variant], rules: Sequence[RuleInfo]) -> Variants:
    return Variants(
        rule=np.array([v.rule for v in variants], np.int16),
        scenarios=np.array([v.scenarios for v in variants], np.int64),
        weight_milli=np.array([rules[v.rule].weight_milli for v in variants], np.int64),
        rung=np.array([rules[v.rule].rung for v in variants], np.int64),
        fades=np.array([rules[v.rule].until_trained for v in variants], np.bool_),
        start=np.array([v.start for v in variants], np.int64),
        end=np.array([v.end for v in variants], np.int64),
    )


def _rule_info(pack: Pack, rule: Rule) -> RuleInfo:
    return RuleInfo(
        id=rule.id,
        pack=pack.name,
        weight_milli=rule.weight_milli,
        rung=rung(rule.outcome, rule.step_up or "none") if rule.hard else 0,
        reason=rule.reason,
        scam=rule.scam,
        protective=rule.protective,
        until_trained=rule.until_trained,
        evidence=rule.evidence,
    )


def _extras(terms: list[Term], packs: Sequence[Pack], common: Common, schema: Schema, words: tuple[str, ...]) -> Extras:
    def place(condition: Condition | None) -> int:
        if condition is None:
            return -1
        terms.append(check(condition.text, schema))
        return len(terms) - 1

    essential = place(common.essential)
    lost = place(common.familiarity_lost)
    proceed = place(common.proceed_first.when if common.proceed_first else None)
    complex_cases = np.full(len(words), -1, np.int64)
    for pack in packs:
        if pack.review is None or pack.review.complex_when is None:
            continue
        position = place(pack.review.complex_when)
        for scenario, word in enumerate(words):
            if word == pack.scenario or (pack.kind == "common" and complex_cases[scenario] < 0):
                complex_cases[scenario] = position
    return Extras(essential, lost, proceed, complex_cases)


def _scenario_terms(word: str, packs: Sequence[Pack], common: Pack) -> ScenarioTerms:
    pack = next((pack for pack in packs if pack.kind == "scenario" and pack.scenario == word), common)
    assert common.common is not None
    review = pack.review or common.review
    cap = pack.familiarity_cap_milli
    return ScenarioTerms(
        name=word,
        pack=pack.name,
        thresholds=pack.thresholds or common.thresholds or (NEVER_PPM,) * 5,
        hold=review.terms if review else HoldTerms("contract"),
        challenge=pack.challenge or common.challenge or ChallengeTerms(),
        budget=pack.budget or common.budget or Budget(),
        familiarity_cap_milli=common.common.familiarity.cap_milli if cap is None else cap,
    )
