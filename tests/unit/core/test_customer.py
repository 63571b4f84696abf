"""One customer, several accounts: the same person is not asked twice for the same thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from stream.core.decode import decode_feedback, decode_transactions
from stream.core.features import FEATURES, INDEX
from stream.core.frame import decode_frame
from stream.core.profile import AccountHop, HopSettings

DAY_US = 86_400_000_000
DAY_MS = DAY_US // 1000
FIRST_MS = 1_767_225_600_000


class Line:
    """The accounts hop, fed one record at a time; a day passes with each payment unless said otherwise."""

    def __init__(self) -> None:
        self.hop = AccountHop(0, HopSettings(1, 7 * DAY_US, DAY_US))
        self.now_ms = FIRST_MS
        self.count = 0

    def pay(self, account: str, *, customer: str = "c-1", after_days: float = 1.0, **fields: Any) -> dict[str, float]:
        """Features of one payment."""
        self.now_ms += round(after_days * DAY_MS)
        self.count += 1
        record = {
            "transaction_id": f"t-{self.count}",
            "account_id": account,
            "customer_id": customer,
            "event_time": f"{np.datetime64(self.now_ms, 'ms')}Z",
            "amount_minor": 10_000,
            "currency": "EUR",
            "channel": "app",
            "payee_id": "landlord",
            "device_id": "phone",
            **fields,
        }
        at = np.array([self.now_ms])
        decoded = decode_transactions([orjson.dumps(record)], np.array([self.count]), at, 0, 1, future_ms=300_000)
        assert not decoded.refused
        profiled = self.hop.process(decoded.columns, decode_feedback([], at[:0], at[:0], 0, 1).columns)
        features = decode_frame(profiled.frames[0][1]).transactions["features"][0]
        return {
            feature.name: float(features[INDEX[feature.name]])
            for feature in FEATURES
            if INDEX[feature.name] < len(features)
        }

    def tell(self, account: str, verdict: str, kind: str = "review", transaction: int | None = None) -> None:
        """Feedback on the last payment, or on one of them."""
        record = {
            "feedback_id": f"f-{self.count}-{verdict}",
            "transaction_id": f"t-{transaction or self.count}",
            "account_id": account,
            "customer_id": "c-1",
            "payee_id": "landlord",
            "kind": kind,
            "verdict": verdict,
            "actor": "reviewer:x",
            "occurred_at": f"{np.datetime64(self.now_ms, 'ms')}Z",
        }
        at = np.array([self.now_ms])
        none = decode_transactions([], at[:0], at[:0], 0, 1, future_ms=300_000).columns
        self.hop.process(none, decode_feedback([orjson.dumps(record)], np.array([1]), at, 0, 1).columns)


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
