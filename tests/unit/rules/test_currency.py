"""Amounts in the reference currency: dated, exact in their digits, and missing where there is no rate."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rules.condition import pack_code
from rules.exchange_rates import Currencies, Rate
from rules.policy import Policy
from rules.policy_check import outdated
from rules.problem import PackError
from stream.core.features import SCHEMA

TABLE = Currencies(
    "EUR",
    (
        Rate("EUR", 2, 1.0, 0),
        Rate("CNY", 2, 0.128, 100),
        Rate("CNY", 2, 0.2, 200),
        Rate("JPY", 0, 0.0062, 0),
    ),
)


def reference(currency: str, amount: float, when: int | None = None) -> float:
    codes = np.array([float(pack_code(currency))])
    times = None if when is None else np.array([when])
    return float(TABLE.reference(codes, np.array([amount]), times)[0])


def test_the_rate_in_force_at_the_event_counts_and_without_a_time_the_newest() -> None:
    assert [reference("CNY", 100_000, when) for when in (100, 199, 200, 10**18)] == [128.0, 128.0, 200.0, 200.0]
    assert reference("CNY", 100_000) == 200.0


def test_digits_of_the_minor_unit_count() -> None:
    assert reference("JPY", 1000) == pytest.approx(6.2)
    assert reference("EUR", 250) == 2.5


def test_no_rate_is_missing_and_never_zero() -> None:
    assert np.isnan(reference("USD", 100))
    assert np.isnan(reference("CNY", 100, 99))
    assert np.isnan(reference("", 100))
    assert np.isnan(Currencies("EUR", ()).reference(np.array([1.0]), np.array([1.0])))[0]


@pytest.mark.parametrize(
    ("currencies", "says"),
    [
        ("{reference: EUR, rates: [{currency: USD, rate: 1, valid_from: 2026-01-01}]}", "needs a rate of 1"),
        ("{reference: EUR, rates: [{currency: euro, rate: 1, valid_from: 2026-01-01}]}", "no ISO 4217 currency"),
        ("{reference: EUR, rates: [{currency: EUR, rate: 0, valid_from: 2026-01-01}]}", "from 1e-09"),
        (
            "{reference: EUR, rates: [{currency: JPY, digits: 2, rate: 1, valid_from: 2026-01-01}]}",
            "JPY has 0 decimals",
        ),
        ("{reference: EUR, rates: [{currency: RMB, rate: 1, valid_from: 2026-01-01}]}", "no ISO 4217 currency"),
        ("{reference: EUR, rates: [{currency: EUR, rate: 1}]}", "needs 'valid_from:'"),
        (
            "{reference: EUR, rates: [{currency: EUR, rate: 1, valid_from: 2026-01-01}, {currency: USD, rate: 0.9, valid_from: "
            "2026-01-01}, {currency: USD, rate: 0.8, valid_from: 2026-01-01}]}",
            "c.yaml:3:140: a second rate of USD",
        ),
        (
            "{reference: EUR, rates: [{currency: EUR, rate: 1, valid_from: 2026-01-01}, {currency: EUR, rate: 1.1, valid_from: "
            "2026-02-01}]}",
            "its rate is 1, not 1.1",
        ),
    ],
)
def test_a_bad_rate_is_refused(currencies: str, says: str) -> None:
    with pytest.raises(PackError, match=says):
        Policy.from_files({"c.yaml": f"pack: c\nkind: common\ncurrencies: {currencies}\n".encode()})


def test_the_version_is_of_reference_and_rates_and_of_nothing_else() -> None:
    again = Currencies("EUR", tuple(reversed(TABLE.rates)), fresh_until=7)
    assert again.version == TABLE.version
    assert Currencies("CNY", TABLE.rates).version != TABLE.version
    assert Currencies("EUR", TABLE.rates[:-1]).version != TABLE.version
    assert Currencies.from_document(json.loads(json.dumps(TABLE.document()))).version == TABLE.version


PERSON = """\
pack: person
scenario: person_transfer
match: has_payee && payee_kind == "person"
thresholds: {review: 350000}
rules:
  - {id: limit, when: "%s", %s}
"""


@pytest.mark.parametrize(
    ("when", "what", "warned"),
    [
        ("has(amount_reference) && amount_reference > 6400.0", "outcome: challenge", True),
        ("has(remote_day_reference) && remote_day_reference > 6400.0", "outcome: review", True),
        ("has(amount_reference) && amount_reference > 6400.0", "weight: 1", False),
        ("count_day > 9.0", "outcome: challenge", False),
        ("sum_day > 900.0", "outcome: challenge", True),
        ("remote_sum_24h > 900.0", "outcome: challenge", True),
        ("payee_inflow_day > 900.0", "outcome: challenge", True),
        ("payee_inflow_day > 900.0", "weight: 1", False),
    ],
)
def test_a_hard_rule_that_hangs_on_rates_is_warned_of(when: str, what: str, warned: bool) -> None:
    problems = Policy.from_files({"person.yaml": (PERSON % (when, what)).encode()}).check(SCHEMA)
    found = [problem for problem in problems if "currency without a rate" in problem.message]
    assert [(problem.severity, problem.line) for problem in found] == ([("warning", 6)] if warned else [])
    assert all("challenge_strong" in problem.message for problem in found)


@pytest.mark.parametrize(("now_us", "warned"), [(0, []), (1_785_000_000_000_000, [2, 3])])
def test_rates_and_lists_that_are_out_of_date_already_are_warned_of(now_us: int, warned: list[int]) -> None:
    text = "pack: c\nfresh_until: 2026-01-08\ncurrencies: {reference: EUR, fresh_until: 2026-01-09, rates: "
    text += "[{currency: EUR, rate: 1, valid_from: 2026-01-01}]}\nkind: common\n"
    found = sorted(outdated(Policy.from_files({"c.yaml": text.encode()}).packs, now_us))
    assert [(problem.severity, problem.line) for problem in found] == [("warning", line) for line in warned]
