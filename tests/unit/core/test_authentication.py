"""What is counted since the last passed challenge, and over a day: the counters of law."""

from __future__ import annotations

import pytest
from accounts_line import Line


def test_earlier_remote_payments_add_up_until_a_challenge_is_passed() -> None:
    line = Line()
    assert line.pay("a-1")["unauthenticated_count"] == 0.0
    second = line.pay("a-1")
    assert (second["unauthenticated_count"], second["unauthenticated_sum"]) == (1.0, 10_000.0)
    line.tell("a-1", "failed", "challenge_result")
    assert line.pay("a-1")["unauthenticated_count"] == 2.0
    line.tell("a-1", "genuine")  # a reviewer's verdict authenticates nobody
    assert line.pay("a-1")["unauthenticated_count"] == 3.0
    line.tell("a-1", "passed", "challenge_result")
    after = line.pay("a-1")
    assert (after["unauthenticated_count"], after["unauthenticated_sum"]) == (0.0, 0.0)


@pytest.mark.parametrize("fields", [{"channel": "pos"}, {"channel": "atm", "payee_id": None}, {"payee_id": None}])
def test_what_is_not_remote_or_names_no_payee_is_not_counted(fields: dict[str, str | None]) -> None:
    line = Line()
    found = line.pay("a-1", **fields)
    assert found["remote_sum_24h"] == 0.0
    assert line.pay("a-1")["unauthenticated_count"] == 0.0


def test_the_sum_of_a_day_takes_in_every_calendar_day_and_lets_go_after_28_hours() -> None:
    line = Line()
    line.pay("a-1")
    assert line.pay("a-1", after_days=0.0)["remote_sum_24h"] == 20_000.0
    assert line.pay("a-1", after_days=23.9 / 24)["remote_sum_24h"] == 30_000.0
    assert line.pay("a-1", after_days=28.1 / 24)["remote_sum_24h"] == 10_000.0
    assert line.pay("a-1", after_days=400.0)["remote_sum_24h"] == 10_000.0


def test_a_payment_that_comes_late_counts_in_its_own_hours() -> None:
    line = Line()
    line.pay("a-1")
    assert line.pay("a-1", after_days=-0.5)["remote_sum_24h"] == 20_000.0
    assert line.pay("a-1", after_days=0.5)["remote_sum_24h"] == 30_000.0
    line.pay("a-1", after_days=-20.0)
    assert line.pay("a-1", after_days=20.0)["remote_sum_24h"] == 40_000.0
