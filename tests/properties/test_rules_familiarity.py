"""Invariant 5: familiarity lowers friction, bounded. A property for each of its words."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.examples import encode, neutral_row
from rules.familiarity import COLUMNS, FamiliaritySettings, discount_milli, familiarity_ppm
from rules.policy import shipped
from stream.core.columns import hash_id
from stream.core.features import SCHEMA

SETTINGS = FamiliaritySettings().array()
PLACES = np.arange(len(COLUMNS))
POLICY = shipped().compile(SCHEMA, hash_id)
CAP = 3500

counts = st.integers(0, 500)
days = st.floats(0.0, 4000.0)
ratios = st.floats(0.0, 50.0)
maybe_days = st.one_of(st.just(math.nan), days)
pairs = st.fixed_dictionaries(
    {
        "pair_payments": counts,
        "pair_age_days": days,
        "pair_idle_days": days,
        "amount_to_pair_max": ratios,
        "pair_channel_known": st.booleans(),
        "pair_adverse": st.booleans(),
        "device_new": st.booleans(),
        "device_change_days": maybe_days,
    }
)


ELSEWHERE = {
    "customer_pair_payments": "pair_payments",
    "customer_pair_age_days": "pair_age_days",
    "customer_pair_idle_days": "pair_idle_days",
    "amount_to_customer_pair_max": "amount_to_pair_max",
}


def level(pair: dict[str, float], lost: bool = False) -> int:
    """Familiarity; what is not said of the customer's other accounts is what this account knows."""
    whole = {name: pair[own] for name, own in ELSEWHERE.items()} | pair
    row = np.array([float(whole[name]) for name in COLUMNS])
    return int(familiarity_ppm(row, PLACES, SETTINGS, lost))


def decided(pair: dict[str, float], logit: int, **more: object) -> np.void:
    row = neutral_row(SCHEMA)
    given_values = {**pair, "has_payee": True, "pair_attempts": int(pair["pair_payments"]), **more}
    for name, value in given_values.items():
        if isinstance(value, float) and math.isnan(value):
            continue
        row[SCHEMA.index[name]] = encode(value, SCHEMA[name])
    matrix = row.reshape(1, -1)
    matrix[:, SCHEMA.index["scenario"]] = POLICY.match(matrix)
    verdict: np.void = POLICY.evaluate(matrix, np.array([logit]), np.zeros((1, 3), np.uint64), np.array([0]))[0]
    return verdict


@given(pairs)
def test_it_stays_between_nothing_and_everything(pair: dict[str, float]) -> None:
    assert 0 <= level(pair) < 1_000_000


@given(pairs)
def test_it_is_earned_by_matured_payments(pair: dict[str, float]) -> None:
    assert level(pair | {"pair_payments": 0}) == 0
    assert level(pair | {"pair_payments": pair["pair_payments"] + 1}) >= level(pair)


@given(pairs, days)
def test_it_is_earned_over_time(pair: dict[str, float], more: float) -> None:
    assert level(pair | {"pair_age_days": 0.0}) == 0
    assert level(pair | {"pair_age_days": pair["pair_age_days"] + more}) >= level(pair)


@given(pairs, st.floats(0.0, 10.0))
def test_it_shrinks_as_the_amount_leaves_the_band_seen(pair: dict[str, float], more: float) -> None:
    assert level(pair | {"amount_to_pair_max": pair["amount_to_pair_max"] + more}) <= level(pair)


@given(pairs, st.floats(1.25, 1000.0))
def test_grooming_by_small_payments_earns_nothing_above_its_band(pair: dict[str, float], ratio: float) -> None:
    assert level(pair | {"pair_payments": 500, "pair_age_days": 4000.0, "amount_to_pair_max": ratio}) == 0


@given(pairs, days)
def test_it_decays_with_idleness(pair: dict[str, float], more: float) -> None:
    assert level(pair | {"pair_idle_days": pair["pair_idle_days"] + more}) <= level(pair)


@given(pairs)
def test_it_is_lost_on_an_adverse_outcome(pair: dict[str, float]) -> None:
    assert level(pair | {"pair_adverse": True}) == 0


@given(pairs)
def test_it_is_lost_on_a_new_device_and_comes_back_with_the_days(pair: dict[str, float]) -> None:
    assert level(pair | {"device_new": True}) == 0
    after = [level(pair | {"device_new": False, "device_change_days": float(d)}) for d in (0, 1, 5, 60)]
    assert after == sorted(after)
    assert after[0] == 0
    assert after[-1] <= level(pair | {"device_new": False, "device_change_days": math.nan})


@settings(deadline=None)
@given(pairs)
def test_it_is_lost_on_the_payees_own_alarms(pair: dict[str, float]) -> None:
    assert level(pair, lost=True) == 0
    verdict = decided(pair, -6907, payee_fraud_rate=0.2)
    assert (verdict["familiarity_ppm"], verdict["familiarity_milli"]) == (0, 0)
    assert decided(pair, -6907, name_check="no_match")["familiarity_ppm"] == 0


@given(pairs)
def test_an_unknown_channel_never_adds(pair: dict[str, float]) -> None:
    assert level(pair | {"pair_channel_known": False}) <= level(pair | {"pair_channel_known": True})


@given(pairs)
def test_what_another_account_knows_counts_as_through_an_unknown_channel(pair: dict[str, float]) -> None:
    stranger = {"pair_payments": 0, "pair_age_days": 0.0, "pair_idle_days": 0.0, "amount_to_pair_max": math.nan}
    elsewhere = {name: pair[own] for name, own in ELSEWHERE.items()}
    assert level(pair | stranger | elsewhere) == level(pair | {"pair_channel_known": False})


@given(pairs, pairs)
def test_another_account_never_takes_familiarity_away(pair: dict[str, float], other: dict[str, float]) -> None:
    assert level(pair | {name: other[own] for name, own in ELSEWHERE.items()}) >= level(pair)


@given(pairs)
def test_its_discount_is_capped_and_monotone(pair: dict[str, float]) -> None:
    assert 0 <= discount_milli(level(pair), CAP) <= CAP
    assert discount_milli(level(pair), CAP) <= discount_milli(min(level(pair) + 1000, 999_999), CAP)


@settings(deadline=None)
@given(pairs, st.integers(-9000, 6000))
def test_it_lowers_risk_and_never_raises_an_outcome(pair: dict[str, float], logit: int) -> None:
    with_it = decided(pair, logit, pair_attempts=5)
    without = decided(pair | {"pair_age_days": 0.0}, logit, pair_attempts=5)
    assert with_it["weight_milli"] == without["weight_milli"] or with_it["familiarity_ppm"] == 0
    if with_it["weight_milli"] == without["weight_milli"]:
        assert with_it["risk_ppm"] <= without["risk_ppm"]
        assert with_it["rung"] <= without["rung"]


@settings(deadline=None)
@given(pairs, st.integers(-9000, 6000))
def test_it_never_passes_a_hard_rule(pair: dict[str, float], logit: int) -> None:
    verdict = decided(pair | {"pair_adverse": True}, logit)  # a hard rule of the shipped policy
    assert POLICY.rules[verdict["hard_rule"]].id == "adverse_pair"
    assert verdict["rung"] >= 3


def test_a_matured_pair_of_two_weeks_is_already_worth_something() -> None:
    pair = {
        "pair_payments": 3,
        "pair_age_days": 14.0,
        "pair_idle_days": 5.0,
        "amount_to_pair_max": 1.0,
        "pair_channel_known": True,
        "pair_adverse": False,
        "device_new": False,
        "device_change_days": math.nan,
    }
    assert level(pair) > 500_000
