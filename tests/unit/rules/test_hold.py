"""The hold that ends: by elapsed time, or by business days across weekends, holidays and clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

from rules.hold import HOUR_US, BusinessDays, HoldTerms


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * 1_000_000


def shown(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M")


LONDON = BusinessDays(4, "Europe/London", frozenset((date(2026, 12, 25), date(2026, 12, 28), date(2027, 1, 1))))


@pytest.mark.parametrize(
    ("event", "end"),
    [
        ("2026-11-23T10:00:00+00:00", "2026-11-28T00:00"),  # Monday: the end of Friday
        ("2026-11-27T23:30:00+00:00", "2026-12-04T00:00"),  # Friday night: over a weekend
        ("2026-11-28T10:00:00+00:00", "2026-12-04T00:00"),  # Saturday counts as the Friday before
        ("2026-12-23T10:00:00+00:00", "2027-01-01T00:00"),  # Christmas, its substitute day
        ("2026-12-29T10:00:00+00:00", "2027-01-06T00:00"),  # New Year
        ("2026-03-26T10:00:00+00:00", "2026-04-01T23:00"),  # clocks go forward: local midnight is 23:00 UTC
        ("2026-10-22T10:00:00+00:00", "2026-10-29T00:00"),  # clocks go back
        ("2026-06-30T23:30:00+00:00", "2026-07-07T23:00"),  # 00:30 the next day in London
    ],
)
def test_business_days_end_at_local_midnight(event: str, end: str) -> None:
    assert shown(LONDON.end(us(event))) == end


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "Europe/London", "UTC"])
def test_a_hold_always_ends_after_it_began(zone: str) -> None:
    for days in (1, 4, 30):
        for hour in range(0, 24 * 370, 17):
            event = us("2026-01-01T00:00:00+00:00") + hour * HOUR_US
            assert event < BusinessDays(days, zone).end(event) <= event + (days * 2 + 4) * 24 * HOUR_US


def test_a_review_is_never_due_after_the_hold_ends() -> None:
    terms = HoldTerms("contract", due_us=2 * HOUR_US, complex_due_us=24 * HOUR_US, expires=6 * HOUR_US)
    assert [terms.due_at(0), terms.due_at(0, is_complex=True), terms.hold_expires_at(0)] == [
        2 * HOUR_US,
        6 * HOUR_US,
        6 * HOUR_US,
    ]


def test_terms_and_complexity_come_from_the_pack(small: SimpleNamespace) -> None:
    policy = small.compiled("""
pack: person
scenario: person_transfer
match: has_payee
thresholds: {review: 1}
review:
  legal_basis: Article 18
  due: 1h
  complex: {when: "amount_minor > 1000", due: 8h}
  expires: {business_days: 2, timezone: Asia/Shanghai, holidays: [2026-10-01, 2026-10-02]}
  on_expiry: decline
""")
    scenario = policy.schema["scenario"].values.index("person_transfer")
    terms = policy.hold(scenario)
    assert (terms.legal_basis, terms.on_expiry) == ("Article 18", "decline")
    assert shown(terms.hold_expires_at(us("2026-09-30T10:00:00+08:00"))) == "2026-10-06T16:00"
    cases = [small.evaluate(policy, has_payee=True, amount_minor=amount)["complex"] for amount in (10, 5000)]
    assert [terms.due_at(0, bool(case)) // HOUR_US for case in cases] == [1, 8]
    assert policy.hold(0).due_at(0) == 2 * HOUR_US


def test_a_challenge_ends_as_its_pack_says_else_after_a_quarter_of_an_hour_unmade(small: SimpleNamespace) -> None:
    policy = small.compiled("""
pack: person
scenario: person_transfer
match: has_payee
thresholds: {challenge_light: 1}
challenge: {expires: 30m, on_expiry: release}
""")
    scenario = policy.schema["scenario"].values.index("person_transfer")
    own, common = policy.challenge(scenario), policy.challenge(0)
    assert (own.challenge_expires_at(0) // 60_000_000, own.on_expiry) == (30, "release")
    assert (common.challenge_expires_at(0) // 60_000_000, common.on_expiry) == (15, "decline")
