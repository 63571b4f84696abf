"""No amount without its currency: compared by dated rates, and without a rate neither compared nor learned from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from stream.core.account.account_features import UNKNOWN_DAY, UNKNOWN_SINCE
from tests.unit.core.accounts_line import Line


@pytest.fixture
def line() -> Line:
    """An account that has paid 10,000 forints, 25 euros, forty times."""
    line = Line()
    for number in range(40):
        line.pay("a", currency="HUF", amount_minor=1_000_000, payee_id=f"p-{number % 4}")
    return line


def row_of(line: Line) -> Any:
    return line.hop.table.rows[0]


def test_the_same_worth_in_another_currency_is_as_usual(line: Line) -> None:
    found = line.pay("a", currency="EUR", amount_minor=2_500, payee_id="p-1")
    ratios = ("amount_to_mean", "amount_to_max", "amount_to_pair_max", "amount_to_pair_mean", "recent_peak")
    assert [found[name] for name in ratios] == pytest.approx([1.0] * 5, rel=1e-6)


def test_a_fortune_in_another_currency_is_a_fortune(line: Line) -> None:
    same = line.pay("a", currency="HUF", amount_minor=196_000_000, payee_id="new")
    other = Line()
    for number in range(40):
        other.pay("a", currency="HUF", amount_minor=1_000_000, payee_id=f"p-{number % 4}")
    found = other.pay("a", currency="EUR", amount_minor=490_000, payee_id="new")
    for features in (same, found):
        del features["amount_minor"], features["currency"]
    np.testing.assert_equal(found, same)
    assert same["amount_to_max"] == pytest.approx(196, rel=1e-3)


def test_an_amount_without_a_rate_is_neither_compared_nor_learned_from(line: Line) -> None:
    before = row_of(line).copy()
    found = line.pay("a", currency="AED", amount_minor=9_000_000, payee_id="p-1", after_days=0.0)
    for name in ("amount_to_mean", "amount_deviation", "amount_to_max", "outflow_share", "amount_to_pair_max"):
        assert math.isnan(found[name]), name
    row = row_of(line)
    for name in ("normal_mean", "normal_max", "normal_sum", "normal_count"):
        assert row[name] == before[name]
    assert row["sums"].tolist() == before["sums"].tolist()
    assert row["counts"].tolist() == (before["counts"] + 1.0).tolist(), "that it was tried counts"
    after = line.pay("a", currency="HUF", amount_minor=1_000_000, payee_id="p-1", after_days=9.0)
    assert after["amount_to_max"] == pytest.approx(1.0, rel=0.05)
    assert after["pair_payments"] > found["pair_payments"], "what matured is familiar, whatever it was worth"


def test_a_legal_sum_with_an_unknown_amount_in_it_says_so_until_it_has_left(line: Line) -> None:
    line.pay("a", currency="AED", amount_minor=100, payee_id="p-1")
    assert line.sums_unknown == UNKNOWN_DAY, "of the sum since the last challenge it is no part yet"
    line.pay("a", currency="HUF", payee_id="p-1", after_days=0.1)
    assert line.sums_unknown == UNKNOWN_DAY | UNKNOWN_SINCE
    line.pay("a", currency="HUF", payee_id="p-1", after_days=3.0)
    assert line.sums_unknown == UNKNOWN_SINCE
    line.tell("a", "passed", "challenge_result")
    line.pay("a", currency="HUF", payee_id="p-1")
    assert line.sums_unknown == 0


def test_sums_of_money_are_exact() -> None:
    line = Line()
    for _ in range(5):
        line.pay("a", amount_minor=10**12 + 1, after_days=0.001)
    row = row_of(line)
    assert row["unauthenticated_sum"] == 5 * (10**12 + 1)
    assert row["day_sums"].sum() == 5 * (10**12 + 1)
    assert row["recent_amount"][:5].tolist() == [1e12 + 1] * 5


def test_a_card_verification_is_worth_nothing_in_every_currency() -> None:
    line = Line()
    line.pay("a", amount_minor=0, currency="AED")
    assert line.sums_unknown == 0
    assert not np.isnan(line.reference_minor)
