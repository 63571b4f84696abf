"""What a reversal does to its account, and what it does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest
from accounts_line import Line
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.policy import shipped
from stream.core.account.account_reversal import RESULTS
from stream.core.account.account_row import RECENT, find_pair
from stream.core.columns import hash_id
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.decision.render import render
from stream.core.decision.undecided_payments import render_undecided, undecided
from stream.core.frame.frame import VERSION, VERSION_WITH_REVERSALS, decode_frame, reversals_of
from stream.core.learning.learning_records import scored_records
from stream.core.payee.payee_hop import PayeeHop, Received

SUMS = ("sum_hour", "sum_day", "sum_week", "sum_month", "remote_sum_24h", "unauthenticated_sum")
COUNTS = ("count_hour", "count_day", "count_week", "count_month", "unauthenticated_count", "pair_attempts")


def reverse(line: Line, original: str, account: str = "a", **fields: Any) -> str:
    """Send a reversal; returns what became of it."""
    line.pay(
        account, **{"type": "reversal", "original_transaction_id": original, "after_days": 0.001, "device_id": None} | fields
    )  # fmt: skip
    counted = dict(zip(RESULTS, line.profiled.reversals, strict=True))
    assert sum(counted.values()) == 1
    return next(result for result, number in counted.items() if number)


def row_of(line: Line, account: str = "a") -> Any:
    return line.hop.table.rows[line.hop.table.lookup(np.array([hash_id(account)], np.uint64))[0]]


def pair_payments(line: Line, payee: str = "landlord") -> int:
    row = row_of(line)
    pair = find_pair(row, np.uint64(hash_id(payee)))
    return int(row["pair_matured"][pair]) if pair >= 0 else 0


def test_a_reversed_payment_never_matures_and_its_amount_leaves_all_sums_while_the_attempt_stays() -> None:
    kept, reversed_ = Line(), Line()
    for line in (kept, reversed_):
        line.pay("a", amount_minor=300, payee_id="cafe")
        line.pay("a", after_days=0.01, amount_minor=50_000)
    assert reverse(reversed_, "t-2", amount_minor=50_000) == "reversed"
    reversed_.now_ms = kept.now_ms
    with_it, without = (line.pay("a", after_days=0.1, amount_minor=1) for line in (kept, reversed_))
    for name in SUMS:
        assert without[name] < with_it[name] - 5_000 or (name == "sum_hour" and without[name] < with_it[name]), name
    assert without["remote_sum_24h"] == 301
    assert without["unauthenticated_sum"] == 300
    assert without["sum_day"] == pytest.approx(with_it["sum_day"] - 50_000 * np.exp(-0.1), rel=1e-4)
    assert [without[name] for name in COUNTS] == [with_it[name] for name in COUNTS]
    for line in (kept, reversed_):
        line.pay("a", after_days=8.0, payee_id="cafe")
    assert (pair_payments(kept), pair_payments(reversed_)) == (2, 1)


def test_a_matured_payment_is_reversed_late_its_pair_has_one_less() -> None:
    line = Line()
    for _ in range(12):
        line.pay("a")
    before = pair_payments(line)
    assert before > 2
    assert reverse(line, "t-1") == "reversed_late"
    assert pair_payments(line) == before - 1
    assert reverse(line, "t-1") == "repeated"
    assert pair_payments(line) == before - 1


def test_a_payment_older_than_the_ring_is_known_by_its_payee_alone() -> None:
    line = Line()
    for _ in range(RECENT + 3):
        line.pay("a")
    before = pair_payments(line)
    assert reverse(line, "t-1", payee_id=None) == "unknown"
    assert pair_payments(line) == before
    assert reverse(line, "t-2") == "reversed_late"
    assert reverse(line, "t-2") == "repeated"
    assert pair_payments(line) == before - 1


def test_the_last_payment_of_a_pair_takes_its_band_with_it_and_the_largest_one_lowers_it() -> None:
    line = Line()
    line.pay("a", amount_minor=900_000)
    line.pay("a", amount_minor=1_000)
    line.pay("a", after_days=9.0, payee_id="cafe")
    assert pair_payments(line) == 2
    assert reverse(line, "t-1", amount_minor=900_000) == "reversed_late"
    row = row_of(line)
    pair = find_pair(row, np.uint64(hash_id("landlord")))
    assert 1_000 < row["pair_max"][pair] < 900_000 / 2
    assert reverse(line, "t-2", amount_minor=1_000) == "reversed_late"
    assert (row["pair_matured"][pair], row["pair_max"][pair], row["pair_mean"][pair]) == (0, 0.0, 0.0)


def test_of_a_partial_reversal_the_rest_stays_in_the_sums_and_the_payment_never_matures() -> None:
    line = Line()
    line.pay("a", amount_minor=10_000)
    assert reverse(line, "t-1", amount_minor=4_000) == "reversed"
    assert row_of(line)["unauthenticated_sum"] == 6_000
    assert reverse(line, "t-1", amount_minor=5_000) == "repeated"
    assert row_of(line)["unauthenticated_sum"] == 1_000
    assert reverse(line, "t-1", amount_minor=9_000) == "repeated", "no more than was paid comes back"
    assert row_of(line)["unauthenticated_sum"] == 0
    line.pay("a", after_days=9.0, payee_id="cafe")
    assert pair_payments(line) == 0


def test_a_reversal_in_another_currency_is_converted_at_the_payments_time() -> None:
    line = Line()
    line.pay("a", amount_minor=10_000, currency="EUR")
    paid = float(row_of(line)["unauthenticated_sum"])
    assert reverse(line, "t-1", amount_minor=10_000, currency="HUF") == "reversed"
    assert 0.99 * paid < row_of(line)["unauthenticated_sum"] < paid
    other = Line()
    other.pay("a", amount_minor=10_000, currency="HUF")
    assert reverse(other, "t-1", amount_minor=10_000, currency="HUF") == "reversed"
    assert row_of(other)["unauthenticated_sum"] == 0


def test_a_reversal_of_an_amount_without_a_rate_leaves_the_sums_and_the_payment_never_matures() -> None:
    line = Line()
    line.pay("a", amount_minor=10_000)
    assert reverse(line, "t-1", amount_minor=10_000, currency="KPW") == "reversed"
    assert row_of(line)["unauthenticated_sum"] == 10_000


def test_a_reversal_that_comes_before_its_payment_reverses_it_when_it_comes() -> None:
    line = Line()
    line.pay("a", payee_id="cafe", amount_minor=100)
    assert reverse(line, "t-3", amount_minor=10_000) == "unknown"
    line.pay("a", after_days=0.01)
    assert row_of(line)["unauthenticated_sum"] == 100
    line.pay("a", after_days=9.0, payee_id="cafe")
    assert pair_payments(line) == 0


def test_a_reversal_of_an_account_never_seen_is_approved_and_counted_unknown() -> None:
    line = Line()
    assert reverse(line, "t-9") == "unknown"
    row = row_of(line)
    assert (row["attempts"], row["counts"].sum(), row["sums"].sum(), row["last_seen"]) == (0, 0, 0, 0)
    assert line.pay("a")["account_payments"] == 0


def test_a_reversal_sent_again_is_a_duplicate_and_one_of_the_same_id_with_other_content_a_conflict() -> None:
    line = Line()
    line.pay("a")
    reverse(line, "t-1", transaction_id="r-1", event_time="2026-01-02T00:00:10Z")
    statuses = []
    for amount in (10_000, 9_999):
        with pytest.raises(IndexError):  # no frame: nothing is decided
            reverse(line, "t-1", transaction_id="r-1", event_time="2026-01-02T00:00:10Z", amount_minor=amount)
        statuses += line.profiled.status.tolist()
    assert statuses == [1, 2]
    with pytest.raises(IndexError):
        line.pay("a", transaction_id="r-1")
    assert line.profiled.status.tolist() == [2]


def test_a_reversal_is_not_reversed() -> None:
    line = Line()
    line.pay("a")
    reverse(line, "t-1", transaction_id="r-1")
    assert reverse(line, "r-1", payee_id=None) == "unknown"


def test_another_accounts_payment_is_not_reversed() -> None:
    line = Line()
    line.pay("b")
    assert reverse(line, "t-1", account="a") == "unknown"
    assert row_of(line, "b")["unauthenticated_sum"] == 10_000


def test_after_a_passed_challenge_only_what_was_counted_since_leaves_the_sum_since() -> None:
    line = Line()
    line.pay("a", amount_minor=700)
    line.tell("a", "passed", "challenge_result")
    line.pay("a", after_days=0.01, amount_minor=900)
    assert reverse(line, "t-1", amount_minor=700) == "reversed"
    assert row_of(line)["unauthenticated_sum"] == 900
    assert reverse(line, "t-2", amount_minor=900) == "reversed"
    assert row_of(line)["unauthenticated_sum"] == 0


@pytest.mark.parametrize("verdict", ["genuine", "fraud"])
def test_a_label_that_comes_later_is_heard_and_the_payment_still_never_matures(verdict: str) -> None:
    line = Line()
    line.pay("a")
    reverse(line, "t-1")
    line.tell("a", verdict, transaction=1)
    row = row_of(line)
    assert row["frauds_month"] == (1.0 if verdict == "fraud" else 0.0)
    assert pair_payments(line) == 0
    line.pay("a", after_days=9.0, payee_id="cafe")
    assert pair_payments(line) == 0


def test_what_is_said_of_a_reversal_itself_does_nothing_to_the_account() -> None:
    line = Line()
    line.pay("a")
    reverse(line, "t-1")
    before = row_of(line).tobytes()
    line.tell("a", "fraud")
    assert row_of(line).tobytes() == before


def test_a_customers_other_accounts_forget_the_payment_too() -> None:
    line = Line()
    for _ in range(10):
        line.pay("a")
    line.pay("b", payee_id="cafe", after_days=0.0)
    line.pay("a", after_days=0.1)
    customer = line.hop.customers.rows[0]
    known = int(customer["pair_matured"].max())
    assert known == pair_payments(line) > 0
    reverse(line, "t-1")
    assert int(customer["pair_matured"].max()) == known - 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9_000), st.floats(0.0, 3.0)), min_size=1, max_size=40))
def test_whatever_is_reversed_no_sum_is_negative_no_attempt_is_lost_and_what_is_reversed_does_not_mature(
    steps: list[tuple[int, int, float]],
) -> None:
    line, paid, taken_back = Line(), 0, 0
    for which, amount, after in steps:
        if which == 0 and paid:
            result = reverse(line, f"t-{1 + amount % line.count}", amount_minor=amount, after_days=after)
            taken_back += result in ("reversed", "reversed_late")
        else:
            line.pay("a", amount_minor=amount, after_days=after)
            paid += 1
    row = row_of(line)
    assert row["attempts"] == paid
    assert (row["sums"] >= 0).all()
    assert (row["day_sums"] >= 0).all()
    assert row["unauthenticated_sum"] >= 0
    assert row["pending_count"] <= RECENT
    assert pair_payments(line) <= paid - taken_back


def decided(line: Line) -> Received:
    hop = PayeeHop(0, 30 * 86_400_000_000)
    received = hop.process([(0, decode_frame(line.profiled.frames[0][1]))])
    assert len(hop.table) == 0, "a reversal pays nobody"
    return received


def test_a_reversal_is_approved_and_nothing_is_learned_from_it() -> None:
    line = Line()
    line.pay("a")
    reverse(line, "t-1", amount_minor=10**15, currency="KPW")
    received = decided(line)
    decider = Decider(first_snapshot(0), shipped())
    verdict = decider.decide(received)
    decision = orjson.loads(next(iter(render(verdict, decider).decisions)))
    assert (decision["outcome"], decision["scenario"], decision["risk_ppm"], decision["anomaly_ppm"]) == (
        "approve",
        "other",
        0,
        0,
    )
    assert (decision["rules"], decision["degraded"], decision["hard_rule"], decision["flags"]) == ([], [], None, [])
    assert len(scored_records(verdict)) == 1
    assert reversals_of(verdict.received.transactions).tolist() == [True]


def test_a_reversal_is_approved_even_where_deciding_fails() -> None:
    line = Line()
    line.pay("a")
    reverse(line, "t-1")
    decider = Decider(first_snapshot(0), shipped())
    verdict = undecided(decided(line), decider)
    rendered = render_undecided(verdict, decider)
    decision = orjson.loads(next(iter(rendered.decisions)))
    assert (decision["outcome"], decision["step_up"], decision["reasons"], rendered.alerts) == (
        "approve",
        "none",
        None,
        [],
    )
    assert decision["degraded"] != []


def test_a_frame_says_that_it_holds_a_reversal_so_that_an_older_worker_refuses_it() -> None:
    line = Line()
    line.pay("a")
    assert line.profiled.frames[0][1][4] == VERSION
    reverse(line, "t-1")
    assert line.profiled.frames[0][1][4] == VERSION_WITH_REVERSALS
