"""Equal treatment: routine payments meet the same friction at every age.

Two checks. Written: only a rule marked ``protective`` (with its ground in ``why``) may look at age or
vulnerability, and nothing else in a policy may. Probed: for routine payments (a familiar payee, a usual amount, a
known device) in every scenario and at many levels of model risk, no age band and no vulnerable customer may meet
a stricter outcome than a customer of 30-44; a kinder one is fine for older and vulnerable customers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rules.compiled_policy import CompiledPolicy
from rules.condition import check, columns_read
from rules.expression import ConditionError
from rules.fields import Condition
from rules.ladder import RUNGS
from rules.pack import Pack
from rules.pack_schema import Schema
from rules.problem import Problem

PROTECTED_VARIABLES: Final = ("age_band", "vulnerable")
REFERENCE_BAND: Final = "30-44"
PROTECTED_BAND: Final = "65+"
ROUTINE: Final[dict[str, float]] = {
    "account_payments": 120.0,
    "account_age_days": 700.0,
    "amount_minor": 5000.0,
    "amount_to_mean": 1.0,
    "amount_deviation": 0.1,
    "amount_to_max": 0.3,
    "amount_to_pair_mean": 1.0,
    "amount_to_pair_max": 0.9,
    "count_hour": 1.0,
    "count_day": 1.2,
    "count_week": 4.0,
    "count_month": 16.0,
    "outflow_share": 1.0,
    "recent_amount_to_mean": 1.0,
    "hour": 12.0,
    "hour_share": 0.1,
    "channel_share": 0.8,
    "home_distance_km": 2.0,
    "device_age_days": 300.0,
    "idle_hours": 30.0,
    "known_payees": 12.0,
    "has_payee": 1.0,
    "pair_payments": 12.0,
    "pair_attempts": 12.0,
    "pair_age_days": 360.0,
    "pair_idle_days": 30.0,
    "pair_channel_known": 1.0,
    "payee_age_days": 700.0,
    "payee_count_day": 2.0,
    "payee_payers": 4.0,
    "payee_stranger_share": 0.1,
    "amount_to_payee_mean": 1.0,
}
"""A routine payment: the usual amount, to a payee known for a year, from the usual device."""
LOGITS_MILLI: Final = tuple(range(-9000, 4001, 250))


def written_parity(packs: Sequence[Pack], schema: Schema) -> Iterator[Problem]:
    """Everything but a protective rule that looks at age or vulnerability."""
    for pack in packs:
        for rule in pack.rules:
            if not rule.protective and _names(rule.when, schema, pack) & set(PROTECTED_VARIABLES):
                yield rule.when.item.problem(
                    "age or vulnerability may change an outcome only by a written rule: "
                    "add 'protective: true' and 'why:', or remove it"
                )
        for condition in _other_conditions(pack):
            if _names(condition, schema, pack) & set(PROTECTED_VARIABLES):
                yield condition.item.problem("age or vulnerability may stand only in a protective rule; remove it")


def probed_parity(packs: Sequence[Pack], policy: CompiledPolicy) -> Iterator[Problem]:
    """Protective rules that make routine payments harder for somebody."""
    schema = policy.schema
    if not set(PROTECTED_VARIABLES) <= schema.index.keys() or REFERENCE_BAND not in schema["age_band"].values:
        return
    bands = schema["age_band"].values
    reference = _verdicts(policy, bands.index(REFERENCE_BAND), 0)
    for code, band in enumerate(bands):
        for vulnerable in (0, 1):
            probed = _verdicts(policy, code, vulnerable)
            kinder_allowed = vulnerable == 1 or band == PROTECTED_BAND
            worse = probed["rung"] > reference["rung"]
            if not kinder_allowed:
                worse |= probed["rung"] < reference["rung"]
            for place in np.flatnonzero(worse)[:1]:
                yield from _blame(packs, policy, probed[place], reference[place], band, vulnerable)


def _verdicts(policy: CompiledPolicy, band: int, vulnerable: int) -> NDArray[np.void]:
    schema = policy.schema
    cases = [(scenario, logit) for scenario in range(len(policy.scenarios)) for logit in LOGITS_MILLI]
    row = np.array([np.nan if variable.nullable else 0.0 for variable in schema.variables])
    for name, value in ROUTINE.items():
        if name in schema.index:
            row[schema.index[name]] = value
    matrix = np.tile(row, (len(cases), 1))
    matrix[:, schema.index["scenario"]] = [scenario for scenario, _ in cases]
    matrix[:, schema.index["age_band"]] = band
    matrix[:, schema.index["vulnerable"]] = vulnerable
    logits = np.array([logit for _, logit in cases], np.int64)
    ids, times = np.zeros((len(cases), 3), np.uint64), np.zeros(len(cases), np.int64)
    return policy.evaluate(matrix, logits, ids, times)


def _blame(
    packs: Sequence[Pack], policy: CompiledPolicy, probed: np.void, reference: np.void, band: str, vulnerable: int
) -> Iterator[Problem]:
    differing = probed["fired"] ^ reference["fired"]
    names = {rule.id for rule in policy.fired_rules(differing)}
    who = f"age '{band}'" + (" and vulnerable" if vulnerable else "")
    scenario = policy.scenarios[int(probed["scenario"])].name
    for pack in packs:
        for rule in pack.rules:
            if rule.id in names:
                yield rule.when.item.problem(
                    f"parity: on a routine {scenario} payment '{rule.id}' turns '{RUNGS[int(reference['rung'])]}' into "
                    f"'{RUNGS[int(probed['rung'])]}' for {who}; let it hold for scam-shaped payments alone"
                )


def _names(condition: Condition, schema: Schema, pack: Pack) -> set[str]:
    constants = {f"limits.{limit.name}": limit.value for limit in pack.limits}
    try:
        term = check(condition.text, schema, constants)
    except ConditionError:
        return set()
    return {schema.variables[column].name for column in columns_read(term)}


def _other_conditions(pack: Pack) -> Iterator[Condition]:
    common = pack.common
    proceed = common.proceed_first if common else None
    review = pack.review
    candidates = (
        pack.match,
        review.complex_when if review else None,
        common.essential if common else None,
        common.familiarity_lost if common else None,
        proceed.when if proceed else None,
    )
    yield from (condition for condition in candidates if condition is not None)
