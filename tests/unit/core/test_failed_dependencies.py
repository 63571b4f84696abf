"""Invariant 8: a dependency that fails is named in the decision and takes its declared direction; it is never score 0."""

from __future__ import annotations

from itertools import islice

import numpy as np
import orjson
import pytest

from rules.policy import PACKS, Policy, shipped
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.decision.render import render
from stream.core.edge.decode import decode_feedback, decode_transactions
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop
from stream.simulate import stream as simulated

DAY_US = 86_400_000_000
COUNT = 120


def decisions(policy: Policy, broken: str = "") -> list[dict[str, object]]:
    """Decisions about a batch of simulated traffic, before which a field of every account row may have broken."""
    values = [event.transaction for event in islice(simulated(5, accounts=10), COUNT)]
    accounts, payees = AccountHop(0, HopSettings(1, DAY_US, DAY_US)), PayeeHop(0, DAY_US)
    decider = Decider(first_snapshot(1), policy)
    none = np.zeros(0, np.int64)
    found: list[dict[str, object]] = []
    for start in (0, COUNT // 2):
        part = values[start : start + COUNT // 2]
        if start and broken:
            accounts.table.rows[broken] = np.nan
        decoded = decode_transactions(part, np.arange(len(part)), np.full(len(part), 2**42), 0, 1, future_ms=2**40)
        profiled = accounts.process(
            decoded.columns, decode_feedback([], none, none, 0, 1).columns, policy.common.currencies
        )
        received = payees.process([(start, decode_frame(frame)) for _, frame in profiled.frames])
        found = [orjson.loads(decision) for decision in render(decider.decide(received), decider).decisions]
    return found


@pytest.mark.parametrize("field", ["sums", "counts", "slips_month"])
def test_a_broken_account_row_is_told_and_challenged(field: str) -> None:
    for decision in decisions(shipped(), broken=field):
        assert {"dependency": "state", "direction": "challenge_light"} in decision["degraded"]  # type: ignore[operator]
        assert decision["outcome"] in ("challenge", "review", "decline")


def test_sound_rows_are_not_called_broken() -> None:
    assert all(decision["degraded"] == [] for decision in decisions(shipped()))


def test_lists_out_of_date_are_told_and_challenged() -> None:
    stale = b"pack: stale\nkind: lists\nfresh_until: 2020-01-01\ndeny: []\n"
    files = {path.name: path.read_bytes() for path in PACKS.glob("*.yaml")} | {"stale.yaml": stale}
    for decision in decisions(Policy.from_files(files)):
        assert {"dependency": "list", "direction": "challenge_light"} in decision["degraded"]  # type: ignore[operator]
        assert decision["outcome"] in ("challenge", "review", "decline")


def with_common(change: tuple[str, str]) -> Policy:
    files = {path.name: path.read_bytes() for path in PACKS.glob("*.yaml")}
    text = files["common.yaml"].decode()
    assert change[0] in text
    return Policy.from_files(files | {"common.yaml": text.replace(*change).encode()})


@pytest.mark.parametrize(
    ("change", "direction"),
    [
        (("    - {currency: CNY, digits: 2, rate: 0.128, valid_from: 2000-01-01}\n", ""), "challenge_strong"),
        (("    - {currency: CNY, digits: 2, rate: 0.128, valid_from: 2000-01-01}", "    - {currency: CNY, rate: 0.128, valid_from: 2090-01-01}"), "challenge_strong"),
        (("  reference: EUR\n", "  reference: EUR\n  fresh_until: 2020-01-01\n"), "challenge_strong"),
    ],
    ids=["no rate", "a rate that has not begun", "a table out of date"],
)  # fmt: skip
def test_a_missing_or_stale_rate_is_told_and_challenged(change: tuple[str, str], direction: str) -> None:
    found = [d for d in decisions(with_common(change)) if "fresh_until" in change[1] or is_in_yuan(d)]
    assert found
    for decision in found:
        assert {"dependency": "rates", "direction": direction} in decision["degraded"]  # type: ignore[operator]
        assert decision["outcome"] in ("challenge", "review", "decline")


def is_in_yuan(decision: dict[str, object]) -> bool:
    """By the record it is about; a card verification is worth nothing in every currency."""
    values = (orjson.loads(event.transaction) for event in islice(simulated(5, accounts=10), COUNT))
    record = next(value for value in values if value["transaction_id"] == decision["transaction_id"])
    return bool(record["currency"] == "CNY" and record["amount_minor"] > 0)


def test_no_ratio_of_unlike_units_is_told_where_a_rate_is_missing() -> None:
    gone = "    - {currency: CNY, digits: 2, rate: 0.128, valid_from: 2000-01-01}\n"
    for decision in filter(is_in_yuan, decisions(with_common((gone, "")))):
        told = {entry["feature"] for entry in decision["evidence"]}  # type: ignore[attr-defined]
        assert told.isdisjoint({"amount_to_mean", "amount_to_max", "amount_deviation", "amount_to_pair_max"})
