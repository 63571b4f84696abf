"""Invariant 8: deciding that fails is a dependency that fails. New versions to blame are set aside; else the direction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import orjson
import pytest

from rules.approval import PolicyRecord, encode
from rules.ladder import RUNGS
from rules.policy import Policy
from stream.contracts.decision import Decision
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.decision.undecided_payments import MARK
from stream.core.edge.decode import decode_feedback, decode_transactions
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop, Received
from stream.settings import Settings
from stream.simulate import stream as simulated
from stream.worker.agents.versions_agent import Versions
from stream.worker.hops.deciding import MOST_FOUND, Deciding

DAY_US = 86_400_000_000
COUNT = 60
NOW_US = time.time_ns() // 1000
COMMON = "pack: common\nkind: common\nthresholds: {{remind: {remind}, challenge_light: 9000}}\n{failure}"


def batch() -> Received:
    values = [event.transaction for event in islice(simulated(5, accounts=10), COUNT)]
    none = np.zeros(0, np.int64)
    decoded = decode_transactions(values, np.arange(COUNT), np.full(COUNT, 2**42), 0, 1, future_ms=2**40)
    profiled = AccountHop(0, HopSettings(1, DAY_US, DAY_US)).process(
        decoded.columns, decode_feedback([], none, none, 0, 1).columns
    )
    return PayeeHop(0, DAY_US).process([(7, decode_frame(frame)) for _, frame in profiled.frames])


def policy(failure: str = "", remind: int = 700) -> Policy:
    return Policy.from_files({"common.yaml": COMMON.format(remind=remind, failure=failure).encode()})


class Fixed:
    """One decider, and nothing to go back to."""

    def __init__(self, decider: Decider) -> None:
        self._decider = decider

    def decider(self) -> Decider:
        return self._decider

    def alternatives(self, decider: Decider) -> Iterator[Decider]:
        return iter(())

    def set_aside(self, decider: Decider, instead: Decider, why: str) -> None:
        raise AssertionError("there is nothing else")


def raise_where(patch: pytest.MonkeyPatch, fails: Callable[[Decider, Received], bool]) -> list[int]:
    """Let real deciders raise; returns the sizes of the batches they raised at."""
    real = Decider.decide
    failed: list[int] = []

    def decide(self: Decider, received: Received) -> Any:
        decided = real(self, received)  # columns are filled: what is tried again must not begin with them
        if fails(self, received):
            failed.append(len(received.transactions))
            raise ZeroDivisionError
        return decided

    patch.setattr(Decider, "decide", decide)
    return failed


def decisions(deciding: Deciding, received: Received) -> list[bytes]:
    return [decision for verdict in deciding.decide(received) for decision in verdict.rendered.decisions]


def test_an_error_that_passes_is_tried_again_and_changes_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    deciding = Deciding(Fixed(Decider(first_snapshot(1), policy())))
    expected = decisions(deciding, batch())
    failed = raise_where(monkeypatch, lambda decider, received: not failed)
    assert decisions(deciding, batch()) == expected
    assert failed == [COUNT]
    assert deciding.undecided == 0


def test_only_what_raises_takes_the_direction_and_the_order_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    deciding = Deciding(Fixed(Decider(first_snapshot(1), policy())))
    expected, received = decisions(deciding, batch()), batch()
    poisoned = received.transactions["transaction_id"][[3, 41]]
    raise_where(monkeypatch, lambda _, part: bool(np.isin(part.transactions["transaction_id"], poisoned).any()))
    found = decisions(deciding, received)
    assert [place for place, decision in enumerate(found) if MARK in decision] == [3, 41]
    assert [d for d in found if MARK not in d] == [d for place, d in enumerate(expected) if place not in (3, 41)]
    ids = [Decision.model_validate_json(decision).transaction_id.encode() for decision in found]
    assert ids == received.transactions["transaction_id"].tolist()
    assert deciding.undecided == 2


def test_where_everything_raises_it_is_not_tried_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    deciding = Deciding(Fixed(Decider(first_snapshot(1), policy())))
    failed = raise_where(monkeypatch, lambda decider, received: True)
    found = decisions(deciding, batch())
    assert all(MARK in decision for decision in found)
    assert len(found) == COUNT
    assert len(failed) < 2 + 6 * MOST_FOUND


@pytest.mark.parametrize("rung", RUNGS)
def test_the_declared_direction_is_taken_and_told_in_both_languages(rung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decider = Decider(first_snapshot(1), policy(f"failure: {{decider: {rung}}}\n"))
    raise_where(monkeypatch, lambda decider, received: True)
    verdict = Deciding(Fixed(decider)).decide(batch())[0]
    for decision in map(orjson.loads, verdict.rendered.decisions):
        Decision.model_validate(decision)
        assert decision["degraded"] == [{"dependency": "decider", "direction": rung}]
        assert RUNGS.index(rung) == verdict.decided.verdicts["rung"][0]
        told = decision["reasons"]
        assert (told is None) == (rung == "approve")
        assert told is None or all(told[reader][language] for reader in told for language in ("zh", "en"))
    assert (len(verdict.rendered.alerts) > 0) == (rung == "review")
    assert verdict.scored is None


def test_undeclared_it_is_challenged(monkeypatch: pytest.MonkeyPatch) -> None:
    raise_where(monkeypatch, lambda decider, received: True)
    found = decisions(Deciding(Fixed(Decider(first_snapshot(1), policy()))), batch())
    assert {orjson.loads(decision)["outcome"] for decision in found} == {"challenge"}


def versions(newest: Policy, came_us: int) -> Versions:
    """A founding policy, and one that was approved at a time."""
    made = Versions(Settings(), lambda: NOW_US)
    made.policies.founding = policy()
    files = dict(newest.files)
    record = PolicyRecord(newest.version, files, "chen", came_us, 0, approved_by="okafor", approved_at=came_us)
    made._take("risk.policies.v1", newest.version.encode(), encode(record), 0, came_us // 1000)
    made._refresh()
    assert made.decider().policy_version == newest.version
    return made


def test_a_policy_that_came_within_the_hour_and_is_to_blame_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = policy(remind=5000)
    made = versions(bad, NOW_US - 60_000_000)
    told: list[str] = []
    made.on_set_aside = lambda: told.append("set aside")
    raise_where(monkeypatch, lambda decider, received: decider.policy_version == bad.version)
    deciding = Deciding(made)
    found = decisions(deciding, batch())
    assert not any(MARK in decision for decision in found)
    assert {orjson.loads(decision)["policy_version"] for decision in found} == {policy().version}
    assert made.decider().policy_version == policy().version
    assert f"policy {bad.version} is set aside, {policy().version} goes on" in made.failure
    assert told == ["set aside"]
    made._refresh()
    assert made.decider().policy_version == policy().version, "it stays aside"
    assert bad.version in made.failure
    made.policies.records.clear()  # it was rolled back
    made._refresh()
    assert made.failure == ""


def test_a_policy_in_force_for_longer_is_kept_and_the_direction_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = policy(remind=5000)
    made = versions(bad, NOW_US - 2 * 3_600_000_000)
    raise_where(monkeypatch, lambda decider, received: decider.policy_version == bad.version)
    found = decisions(Deciding(made), batch())
    assert all(MARK in decision for decision in found)
    assert made.decider().policy_version == bad.version
    assert made.failure == ""


def test_a_new_policy_is_not_blamed_for_what_raises_without_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    new = policy(remind=5000)
    made, received = versions(new, NOW_US - 60_000_000), batch()
    poisoned = received.transactions["transaction_id"][5]
    raise_where(monkeypatch, lambda _, part: bool((part.transactions["transaction_id"] == poisoned).any()))
    found = decisions(Deciding(made), received)
    assert [place for place, decision in enumerate(found) if MARK in decision] == [5]
    assert made.decider().policy_version == new.version
