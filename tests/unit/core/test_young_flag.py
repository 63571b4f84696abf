"""What a young line's ceiling let go says so, in the decision as it is published, and the learner's cuts reach the decider."""

from __future__ import annotations

from itertools import islice

import numpy as np
import orjson

from detectors.ensemble import Snapshot
from rules.policy import PACKS, Policy
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.decision.render import render
from stream.core.edge.decode import decode_feedback, decode_transactions
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop
from stream.simulate import stream as simulated

DAY_US = 86_400_000_000
COUNT = 400


def policy(ceiling: bool) -> Policy:
    """The shipped policy with thresholds that touch many, with or without a ceiling."""
    files = {path.name: path.read_bytes() for path in PACKS.glob("*.yaml") if path.name == "common.yaml"}
    text = files["common.yaml"].decode()
    text = text.replace(
        "{challenge_light: 20000, challenge_strong: 60000,", "{challenge_light: 300, challenge_strong: 60000,"
    )
    lines = [*text.splitlines(), *(["young: {touch_ceiling_per_10k: 20}"] if ceiling else [])]
    return Policy.from_files({"common.yaml": "\n".join(lines).encode()})


def decisions(snapshot: Snapshot, ceiling: bool) -> list[dict[str, object]]:
    values = [event.transaction for event in islice(simulated(5, accounts=10), COUNT)]
    rules = policy(ceiling)
    accounts, payees = AccountHop(0, HopSettings(1, DAY_US, DAY_US)), PayeeHop(0, DAY_US)
    none = np.zeros(0, np.int64)
    decoded = decode_transactions(values, np.arange(COUNT), np.full(COUNT, 2**42), 0, 1, future_ms=2**40)
    profiled = accounts.process(decoded.columns, decode_feedback([], none, none, 0, 1).columns, rules.common.currencies)
    received = payees.process([(0, decode_frame(frame)) for _, frame in profiled.frames])
    decider = Decider(snapshot, rules)
    return [orjson.loads(decision) for decision in render(decider.decide(received), decider).decisions]


def grown() -> Snapshot:
    """The first model, with outcomes enough in every scenario."""
    first = first_snapshot(1)
    outcomes = np.full_like(first.model["young.outcomes"], 1_000_000)
    return Snapshot(first.kind, 0, "", first.description, {**first.model, "young.outcomes": outcomes})


def test_what_the_ceiling_let_go_is_approved_and_says_young() -> None:
    free, capped = decisions(first_snapshot(1), ceiling=False), decisions(first_snapshot(1), ceiling=True)
    let_go = [after for before, after in zip(free, capped, strict=True) if before["outcome"] != after["outcome"]]
    assert let_go
    assert all(decision["flags"] == ["young"] and decision["outcome"] == "approve" for decision in let_go)
    assert [decision["risk_ppm"] for decision in free] == [decision["risk_ppm"] for decision in capped]
    assert sum("young" in decision["flags"] for decision in capped) == len(let_go)  # type: ignore[operator]
    assert not any("young" in decision["flags"] for decision in free)  # type: ignore[operator]


def test_a_grown_scenario_has_no_ceiling() -> None:
    assert decisions(grown(), ceiling=True) != decisions(first_snapshot(1), ceiling=True)
    assert not any("young" in decision["flags"] for decision in decisions(grown(), ceiling=True))  # type: ignore[operator]
