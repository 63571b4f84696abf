"""Feedback is a fact, not a delivery: it counts once, however old its payment, and what is superseded is taken back."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.account.feedback_row import TOLD
from stream.core.columns import VERDICTS
from stream.core.edge.decode import decode_feedback, decode_transactions
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop

DAY_US = 86_400_000_000
NOW_MS = 1_795_478_400_000
MINUTE_MS = 60_000


class Hops:
    """Both hops over the same records, told one by one."""

    def __init__(self) -> None:
        self.accounts, self.payees = AccountHop(0, HopSettings(1, 30 * DAY_US, DAY_US)), PayeeHop(0, 30 * DAY_US)
        self.at, self.frames, self.repeated = NOW_MS, 0, 0
        self.last = np.zeros(0)

    def pay(self, account: str, number: int, payee: str, amount: int = 1000) -> Any:
        """Features of a payment, a minute later."""
        self.at += MINUTE_MS
        record = {
            "transaction_id": f"{number}", "account_id": account, "payee_id": payee, "event_time": self.time(),
            "amount_minor": amount, "currency": "EUR", "channel": "app", "payee_kind": "person",
        }  # fmt: skip
        stamp, none = np.array([self.at]), np.zeros(0, np.int64)
        # one key for all: only one partition
        rows = decode_transactions([orjson.dumps(record)], stamp * 0, stamp, 0, 1, future_ms=1).columns
        return self._take(rows, decode_feedback([], none, none, 0, 1).columns)[-1]

    def tell(self, account: str, number: int, feedback: str, verdict: str = "fraud", **more: str) -> None:
        """One record of feedback about one of its payments."""
        record = {
            "feedback_id": feedback, "transaction_id": f"{number}", "account_id": account, "payee_id": f"{account}-p{number}",
            "kind": "chargeback", "verdict": verdict, "actor": "chargeback:x", "occurred_at": self.time(), **more,
        }  # fmt: skip
        stamp, none = np.array([self.at]), np.zeros(0, np.int64)
        rows = decode_feedback([orjson.dumps({k: v for k, v in record.items() if v})], stamp * 0, stamp, 0, 1).columns
        assert len(rows) == 1
        self._take(decode_transactions([], none, none, 0, 1, future_ms=1).columns, rows)

    def time(self) -> str:
        return f"{np.datetime64(self.at, 'ms')}Z"

    def _take(self, rows: Any, feedback: Any) -> Any:
        profiled = self.accounts.process(rows, feedback)
        self.repeated += profiled.repeated_feedback
        self.frames += 1
        frames = [(self.frames, decode_frame(frame)) for _, frame in profiled.frames]
        self.told = [frame.feedback for _, frame in frames]
        return self.payees.process(frames).features

    def row(self, account: str) -> Any:
        return next(row for row in self.accounts.table.sorted_rows() if row["key"] == account.encode())


@pytest.fixture
def hops() -> Hops:
    hops = Hops()
    for account in ("told", "clean"):
        for number in range(40):
            hops.pay(account, number, f"{account}-p{number}")
    return hops


def features(hops: Hops, account: str, number: int = 0) -> dict[str, float]:
    from stream.core.features import FEATURES

    values = hops.pay(account, 1000 + number, f"{account}-p{number}")
    return {feature.name: float(value) for feature, value in zip(FEATURES, values, strict=True)}


@pytest.mark.parametrize("number", [0, 35])
def test_told_five_times_it_counts_once_however_old_the_payment(hops: Hops, number: int) -> None:
    for _ in range(5):
        hops.tell("told", number, "f-1")
    assert hops.repeated == 4
    assert hops.row("told")["frauds_month"] == 1.0
    assert features(hops, "told", number)["payee_frauds_month"] == pytest.approx(1.0, rel=1e-2)


@pytest.mark.parametrize("number", [0, 35])
def test_a_second_word_of_the_same_fraud_counts_no_second_time(hops: Hops, number: int) -> None:
    hops.tell("told", number, "f-1")
    hops.tell("told", number, "f-2", kind="review")
    assert hops.row("told")["frauds_month"] == 1.0
    hops.tell("told", number, "f-3", "inconclusive", kind="review", supersedes="f-1")
    assert hops.row("told")["frauds_month"] == 1.0, "the other still says so"
    hops.tell("told", number, "f-4", "inconclusive", kind="review", supersedes="f-2")
    assert hops.row("told")["frauds_month"] == 0.0


def test_a_repeat_is_known_among_so_many(hops: Hops) -> None:
    hops.tell("told", 0, "f-1")
    for number in range(1, TOLD):
        hops.tell("told", number, f"g-{number}", "inconclusive")
    hops.tell("told", 0, "f-1")
    assert hops.repeated == 1


@pytest.mark.parametrize("number", [0, 35])
def test_what_is_superseded_is_taken_back_from_account_pair_and_payee(hops: Hops, number: int) -> None:
    hops.tell("told", number, "f-1")
    hops.pay("told", 900, "another")
    hops.pay("clean", 900, "another-2")
    assert hops.row("told")["fraud_last"] > 0
    hops.tell("told", number, "f-2", "genuine", kind="review", supersedes="f-1")
    corrected, clean = features(hops, "told", number), features(hops, "clean", number)
    for name in (
        "account_frauds", "account_fraud_days", "account_episode_days", "payee_frauds_week", "payee_frauds_month",
        "payee_fraud_days", "payee_episode_days", "payee_rate_month", "pair_adverse",
    ):  # fmt: skip
        np.testing.assert_equal(corrected[name], clean[name], err_msg=name)
    assert corrected["pair_cleared"] == 1.0


def test_the_learner_hears_that_a_label_counts_no_more(hops: Hops) -> None:
    hops.tell("told", 35, "f-1")
    hops.tell("told", 35, "f-2", "inconclusive", kind="review", supersedes="f-1")
    (told,) = hops.told
    assert told["takes_back"].tolist() == [1, 0]
    assert [VERDICTS[verdict] for verdict in told["verdict"].tolist()] == ["fraud", "inconclusive"]
    assert [bytes(name) for name in told["feedback_id"]] == [b"f-2", b"f-2"], (
        "it comes with the record that takes it back"
    )


def test_another_accounts_payment_of_the_same_id_is_another_payment(hops: Hops) -> None:
    hops.tell("told", 35, "f-1", payee_id="shop")
    hops.tell("clean", 35, "f-2", payee_id="shop")
    hops.tell("clean", 35, "f-3", "genuine", kind="review", supersedes="f-2")
    assert (hops.row("told")["frauds_month"], hops.row("clean")["frauds_month"]) == (1.0, 0.0)


@pytest.mark.parametrize("number", [0, 35])
def test_a_verdict_clears_the_pair_up_to_the_band_of_its_payment_however_old_that_is(hops: Hops, number: int) -> None:
    hops.tell("told", number, "f-1", "genuine", kind="review")
    assert features(hops, "told", number)["pair_cleared"] == 1.0
    assert hops.row("told")["cleared_max"][0] == 1500.0


def test_where_no_amount_is_known_nothing_is_cleared(hops: Hops) -> None:
    hops.tell("told", 77, "f-1", "genuine", kind="review", payee_id="never-paid")
    assert hops.row("told")["cleared_payee"].tolist() == [0, 0, 0, 0]
