"""One customer, several accounts: the same person is not asked twice for the same thing."""

from __future__ import annotations

import numpy as np
import pytest
from accounts_line import Line


@pytest.fixture
def line() -> Line:
    """A customer who has paid the landlord from account a-1 for half a year, and owns a-2, with a computer of its own."""
    line = Line()
    line.pay("a-2", device_id="computer", payee_id="grocer")
    for _ in range(7):
        line.pay("a-1", after_days=30.0)
    return line


def test_a_payee_known_to_one_account_is_known_to_the_customer(line: Line) -> None:
    found = line.pay("a-2")
    assert found["pair_attempts"] == found["pair_payments"] == 0.0
    assert found["customer_pair_payments"] == 6.0
    assert found["customer_pair_age_days"] == pytest.approx(181.0, abs=0.1)
    assert found["customer_pair_idle_days"] == pytest.approx(1.0)
    assert found["amount_to_customer_pair_max"] == pytest.approx(1.0)
    assert line.pay("a-2", amount_minor=30_000)["amount_to_customer_pair_max"] == pytest.approx(3.0, rel=1e-3)


def test_amounts_of_another_currency_say_nothing(line: Line) -> None:
    found = line.pay("a-2", currency="CZK")
    assert np.isnan(found["amount_to_customer_pair_max"])
    assert found["customer_pair_payments"] == 6.0


def test_a_device_of_another_account_is_not_new_and_no_change_of_device(line: Line) -> None:
    assert line.pay("a-2", device_id="phone")["device_new"] == 0.0
    assert np.isnan(line.pay("a-2", device_id="phone")["device_change_days"])
    assert line.pay("a-2", device_id="stolen")["device_new"] == 1.0


@pytest.mark.parametrize(("verdict", "kind"), [("genuine", "review"), ("passed", "challenge_result")])
def test_what_was_cleared_on_one_account_is_cleared_on_the_other(line: Line, verdict: str, kind: str) -> None:
    assert line.pay("a-2")["pair_cleared"] == 0.0
    line.pay("a-1")
    line.tell("a-1", verdict, kind)
    assert line.pay("a-2")["pair_cleared"] == 1.0
    assert line.pay("a-2", amount_minor=16_000)["pair_cleared"] == 0.0
    assert line.pay("a-2", currency="CZK")["pair_cleared"] == 0.0
    assert line.pay("a-9", customer="c-2")["pair_cleared"] == 0.0


def test_a_fraud_on_one_account_makes_the_payee_a_stranger_to_the_customer(line: Line) -> None:
    line.pay("a-1")
    line.tell("a-1", "genuine")
    line.pay("a-1")
    line.tell("a-1", "fraud", "chargeback")
    found = line.pay("a-2")
    assert found["customer_pair_payments"] == 0.0
    assert found["pair_cleared"] == 0.0
    assert np.isnan(found["amount_to_customer_pair_max"])


def test_slips_failed_challenges_and_velocities_add_up_over_accounts(line: Line) -> None:
    line.pay("a-1", slips=["mistyped_name", "wrong_date"], payee_id="new-1")
    line.tell("a-1", "failed", "challenge_result")
    found = line.pay("a-2", after_days=0.01, payee_id="new-2")
    assert found["slips_recent"] > 1.9
    assert found["failed_checks"] > 0.9
    assert found["count_hour"] < 1.1 < 1.7 < found["customer_count_hour"]
    assert found["new_payees_day"] < 1.1 < 1.9 < found["customer_new_payees_day"]


def test_a_bank_with_one_account_a_customer_keeps_no_customer_rows() -> None:
    line = Line()
    for _ in range(3):
        found = line.pay("a-1", customer="a-1")
    assert len(line.hop.customers) == 0
    own = {"customer_count_hour": "count_hour", "customer_count_day": "count_day"}
    own |= {"customer_new_payees_day": "new_payees_day", "customer_pair_payments": "pair_payments"}
    own |= {"customer_pair_age_days": "pair_age_days", "customer_pair_idle_days": "pair_idle_days"}
    own |= {"amount_to_customer_pair_max": "amount_to_pair_max"}
    for name, same in own.items():
        assert np.array_equal(found[name], found[same], equal_nan=True), name


def test_the_table_of_payees_is_bounded_and_keeps_the_familiar(line: Line) -> None:
    for number in range(40):
        line.pay("a-2", payee_id=f"shop-{number}")
    assert line.pay("a-2")["customer_pair_payments"] >= 6.0
