"""One customer, several accounts: the same person is not asked twice for the same thing."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import Any

import numpy as np
import pytest
from accounts_line import Line

from benchmarks.traffic import events
from stream.arrays.packed import Packed
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.columns import FEEDBACK
from stream.core.edge.decode import decode_transactions
from stream.core.frame.frame import decode_frame

DAY_US = 86_400_000_000


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


def test_amounts_of_another_currency_are_compared_by_the_rate_and_without_one_not_at_all(line: Line) -> None:
    found = line.pay("a-2", currency="CZK")
    assert found["amount_to_customer_pair_max"] == pytest.approx(401 / 10_001)
    assert np.isnan(line.pay("a-2", currency="TWD")["amount_to_customer_pair_max"])
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
    assert line.pay("a-2", currency="CZK", amount_minor=400_000)["pair_cleared"] == 0.0
    assert line.pay("a-2", currency="TWD", amount_minor=1)["pair_cleared"] == 0.0
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


def test_a_customer_of_one_account_with_an_id_of_its_own_has_no_row_until_another_account_comes() -> None:
    line = Line()
    for _ in range(7):
        found = line.pay("a-1", after_days=30.0)
        assert found["customer_pair_payments"] == found["pair_payments"]
    line.pay("a-3", customer="c-3")
    assert len(line.hop.customers) == 0
    line.pay("a-2", device_id="phone")
    assert [row["key"] for row in line.hop.customers.sorted_rows()] == [b"c-1"]


def second_account(line: Line) -> dict[str, float]:
    """First payment of a customer's second account, after half a year with the first one."""
    for _ in range(7):
        line.pay("a-1", after_days=30.0, slips=["wrong_date"])
    line.tell("a-1", "failed", "challenge_result")
    line.pay("a-1")
    line.tell("a-1", "genuine")
    return line.pay("a-2", after_days=0.01, payee_id="landlord", device_id="phone")


def test_another_account_finds_all_that_the_first_one_knew() -> None:
    found = second_account(Line())
    assert found["pair_attempts"] == found["account_payments"] == found["device_new"] == 0.0
    assert found["customer_pair_payments"] == 7.0
    assert found["amount_to_customer_pair_max"] == pytest.approx(1.0)
    assert found["pair_cleared"] == 1.0
    assert found["customer_count_hour"] > 1.7
    assert min(found["slips_recent"], found["failed_checks"]) > 0.5


def test_who_has_several_accounts_is_known_after_a_recovery() -> None:
    def again(hop: AccountHop) -> AccountHop:
        recovered = AccountHop(0, hop.settings)
        for ours, theirs in ((hop.table, recovered.table), (hop.customers, recovered.customers)):
            theirs.put(Packed.of_structs(ours.rows[: len(ours)]))
        recovered.highest[:] = hop.highest
        return recovered

    class Restarted(Line):
        def pay(self, account: str, **fields: Any) -> dict[str, float]:
            self.hop = again(self.hop)
            return super().pay(account, **fields)

    once, restarted = Line(), Restarted()
    assert str(second_account(restarted)) == str(second_account(once))
    assert str(restarted.pay("a-1")) == str(once.pay("a-1"))


def test_an_account_of_two_customers_stands_for_the_first() -> None:
    line = Line()
    line.pay("a-1")
    line.pay("a-1", customer="c-2")
    assert [row["key"] for row in line.hop.customers.sorted_rows()] == [b"c-2"]
    line.pay("a-2", customer="c-2")
    assert len(line.hop.customers) == 1
    line.pay("a-2")
    assert len(line.hop.customers) == 2


def test_the_cut_of_batches_does_not_show_in_customers_rows() -> None:
    def walked(size: int) -> tuple[str, list[bytes]]:
        hop, digest = AccountHop(0, HopSettings(1, DAY_US, DAY_US)), hashlib.sha256()
        for start in range(0, len(columns), size):
            part = columns[start : start + size]
            for _, frame in hop.process(part, np.zeros(0, FEEDBACK)).frames:
                digest.update(decode_frame(frame).transactions["features"].tobytes())
        tables = (hop.table, hop.customers)
        return digest.hexdigest(), [row.tobytes() for table in tables for row in table.sorted_rows()]

    values = [event.transaction for event in islice(events(600, 40), 600)]
    columns = decode_transactions(values, np.arange(600), np.zeros(600, np.int64), 0, 1, future_ms=1 << 60).columns
    # every third account belongs to one of five customers
    several = columns["account_hash"] % 3 == 0
    columns["customer_hash"][several] = columns["account_hash"][several] % 5 + 1
    columns["customer_id"][several] = columns["customer_hash"][several].astype("S64")
    whole = walked(600)
    assert walked(1) == walked(37) == whole
    assert 40 < len(whole[1]) <= 46


def test_the_table_of_payees_is_bounded_and_keeps_the_familiar(line: Line) -> None:
    for number in range(40):
        line.pay("a-2", payee_id=f"shop-{number}")
    assert line.pay("a-2")["customer_pair_payments"] >= 6.0
