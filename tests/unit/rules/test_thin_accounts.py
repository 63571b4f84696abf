"""The policy as shipped, without labels, on accounts with a handful of payments a month."""

from __future__ import annotations

import pytest

from benchmarks.thin_accounts import measure
from stream.simulate.thin_accounts import ATTACKS, ThinAccounts


@pytest.mark.parametrize("clock", [True, False])
def test_thin_accounts_are_left_alone_and_attacks_on_them_are_not(clock: bool) -> None:
    found = measure(ThinAccounts(seed=9, accounts=180, attacked=40, clock=clock))
    assert found.genuine > 30_000
    assert found.per_10k <= 32.0
    assert found.familiar_per_3100 <= 1.0
    assert found.caught >= 0.88, found.missed


def test_the_traffic_is_the_same_for_the_same_seed_and_only_attacks_are_fraud() -> None:
    records, truth = ThinAccounts(seed=3, accounts=20, attacked=5, days=400).traffic()
    assert (records, truth) == ThinAccounts(seed=3, accounts=20, attacked=5, days=400).traffic()
    assert records != ThinAccounts(seed=4, accounts=20, attacked=5, days=400).traffic()[0]
    times = [record["event_time"] for record in records]
    assert times == sorted(times)
    assert {row.attack for row in truth if row.fraud} == set(ATTACKS)
    assert len({row.account_id for row in truth if row.fraud}) == 5
    assert all(bool(row.attack) == bool(row.fraud) for row in truth)
