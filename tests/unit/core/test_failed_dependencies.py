"""Invariant 8: a dependency that fails is named in the decision and takes its declared direction; it is never score 0."""

from __future__ import annotations

from itertools import islice

import numpy as np
import orjson
import pytest

from rules.policy import PACKS, Policy, shipped
from stream.core.decide import Decider
from stream.core.decode import decode_feedback, decode_transactions
from stream.core.frame import decode_frame
from stream.core.genesis import first_snapshot
from stream.core.profile import AccountHop, HopSettings
from stream.core.receive import PayeeHop
from stream.core.render import render
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
        profiled = accounts.process(decoded.columns, decode_feedback([], none, none, 0, 1).columns)
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
