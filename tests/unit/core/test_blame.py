"""A bad outcome counts against who is to blame, for a while, and no longer than somebody says otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.edge.decode import decode_feedback, decode_transactions
from stream.core.features import INDEX
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop

DAY_US = 86_400_000_000
DAY_MS = 86_400_000
NOW_MS = 1_795_478_400_000
MATURITY_DAYS = 7


class Account:
    """One account that pays one payee among others, day by day."""

    def __init__(self, kind: str) -> None:
        settings = HopSettings(1, MATURITY_DAYS * DAY_US, 400 * DAY_US)
        self.accounts, self.payees = AccountHop(0, settings), PayeeHop(0, MATURITY_DAYS * DAY_US)
        self.kind, self.at, self.number = kind, NOW_MS, 0

    def pays(
        self, times: int = 1, *, payee: str = "them", amount: int = 1000, every_days: float = 5.0
    ) -> dict[str, float]:
        """Features of the last of so many payments, each so long after the one before."""
        features = np.zeros(0)
        for _ in range(times):
            self.at += round(every_days * DAY_MS)
            self.number += 1
            record = {
                "transaction_id": f"t{self.number}", "account_id": "a", "payee_id": payee, "event_time": self.time(),
                "amount_minor": amount, "currency": "EUR", "channel": "app",
            } | ({"payee_kind": self.kind} if self.kind else {})  # fmt: skip
            stamp, none = np.array([self.at]), np.zeros(0, np.int64)
            rows = decode_transactions([orjson.dumps(record)], stamp * 0, stamp, 0, 1, future_ms=1).columns
            features = self.walk(rows, decode_feedback([], none, none, 0, 1).columns)[-1]
        return {name: float(features[place]) for name, place in INDEX.items()}

    def hears(self, verdict: str, kind: str = "chargeback", *, number: int | None = None, more: str = "") -> None:
        """Feedback about its last payment, or the one of that number."""
        about = self.number if number is None else number
        record = {
            "feedback_id": f"{verdict}-{kind}-{about}{more}", "transaction_id": f"t{about}", "account_id": "a", "payee_id": "them",
            "kind": kind, "verdict": verdict, "actor": "reviewer:x", "occurred_at": self.time(),
        } | ({"supersedes": more} if more else {})  # fmt: skip
        stamp, none = np.array([self.at]), np.zeros(0, np.int64)
        rows = decode_feedback([orjson.dumps(record)], stamp * 0, stamp, 0, 1).columns
        assert len(rows) == 1
        self.walk(decode_transactions([], none, none, 0, 1, future_ms=1).columns, rows)

    def time(self) -> str:
        return f"{np.datetime64(self.at, 'ms')}Z"

    def walk(self, rows: Any, feedback: Any) -> Any:
        profiled = self.accounts.process(rows, feedback)
        return self.payees.process([(0, decode_frame(frame)) for _, frame in profiled.frames]).features


def robbed(kind: str, before: int, amount: int = 1000) -> Account:
    """An account that paid them so often, and then a thief did, which became known two days later."""
    account = Account(kind)
    account.pays(8, payee="others")
    if before:
        account.pays(before)
    account.pays(amount=amount, every_days=1)
    account.at += 2 * DAY_MS
    account.hears("fraud")
    return account


@pytest.mark.parametrize("kind", ["merchant", "biller"])
def test_the_shop_where_a_thief_tried_the_card_stays_the_customers_shop(kind: str) -> None:
    features = robbed(kind, before=10).pays()
    assert features["pair_adverse"] == 0
    assert features["pair_payments"] >= 8
    assert features["amount_to_pair_max"] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["merchant", "person", "", "wallet"])
def test_a_payee_whom_only_the_thief_paid_is_marked(kind: str) -> None:
    features = robbed(kind, before=0).pays()
    assert (features["pair_adverse"], features["pair_payments"]) == (1, 0)


def test_a_takeover_says_nothing_about_the_victims_own_payees_within_what_they_are_paid() -> None:
    account = robbed("person", before=10)
    features = account.pays()
    assert features["pair_adverse"] == 0
    assert features["pair_payments"] >= 8
    assert account.pays(amount=5000)["pair_adverse"] == 1, "a groomer asks for more"


def test_a_person_known_for_days_only_is_to_blame() -> None:
    account = Account("person")
    account.pays(8, payee="others")
    account.pays(8, every_days=1.5)  # the first ones matured
    account.hears("fraud")
    assert account.pays(every_days=1)["pair_adverse"] == 1


def test_the_mark_fades_ninety_days_after_the_last_fraud() -> None:
    account = robbed("person", before=0)
    assert account.pays(every_days=80)["pair_adverse"] == 1
    assert account.pays(every_days=11)["pair_adverse"] == 0


@pytest.mark.parametrize(
    ("verdict", "kind"), [("genuine", "review"), ("genuine", "complaint"), ("passed", "challenge_result")]
)
def test_a_genuine_verdict_and_a_passed_challenge_end_the_mark(verdict: str, kind: str) -> None:
    account = robbed("person", before=0)
    assert account.pays(amount=100)["pair_adverse"] == 1
    account.hears(verdict, kind)
    assert account.pays(amount=100_000)["pair_adverse"] == 0


def test_where_the_passed_challenge_is_taken_back_the_mark_comes_back() -> None:
    account = robbed("person", before=0)
    account.pays()
    account.hears("passed", "challenge_result")
    account.hears("failed", "challenge_result", more=f"passed-challenge_result-{account.number}")
    assert account.pays()["pair_adverse"] == 1


def test_a_fraud_taken_back_leaves_the_pair_as_it_was() -> None:
    account = robbed("person", before=3)
    thiefs = account.number
    account.at += 30 * DAY_MS
    before = account.pays(every_days=1)["pair_payments"]
    account.hears("genuine", "chargeback", number=thiefs, more=f"fraud-chargeback-{thiefs}")
    after = account.pays(every_days=1)
    assert after["pair_adverse"] == 0
    assert after["pair_payments"] >= max(before, 3)


def test_a_fraud_that_had_matured_is_no_payment_of_the_pair_any_more() -> None:
    account = Account("merchant")
    account.pays(8, payee="others")
    account.pays(3, every_days=10)
    matured = account.pays(every_days=20)["pair_payments"]
    account.hears("fraud", number=account.number - 1)
    assert account.pays(every_days=0.01)["pair_payments"] == matured - 1
