"""Invariant 3: the same records in the same order give the same bytes, however batches are cut, compiled or plain."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from itertools import islice

import numpy as np
import numpy.typing as npt
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.policy import shipped
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.decision.render import render
from stream.core.edge.decode import decode_feedback, decode_transactions
from stream.core.frame.frame import decode_frame
from stream.core.learning.learning_records import scored_records
from stream.core.payee.payee_hop import PayeeHop, together
from stream.simulate import stream as simulated

DAY_US = 86_400_000_000
COUNT = 300


def traffic(count: int = COUNT) -> tuple[list[bytes], list[bytes]]:
    """Simulated transactions, and a verdict on every tenth of them."""
    events = list(islice(simulated(9, accounts=12, fraud_rate=0.05), count))
    transactions = [event.transaction for event in events]
    verdicts = []
    for number, event in enumerate(events[::10]):
        record = orjson.loads(event.transaction)
        verdict = ("fraud", "genuine")[number % 2]
        verdicts.append(
            orjson.dumps(
                {
                    "feedback_id": f"f{number}",
                    "transaction_id": record["transaction_id"],
                    "account_id": record["account_id"],
                    "customer_id": record.get("customer_id"),
                    "kind": "review",
                    "verdict": verdict,
                    "actor": "reviewer:x",
                    "occurred_at": record["event_time"],
                }
            )
        )
    return transactions, verdicts


def columns(values: list[bytes], first: int) -> npt.NDArray[np.void]:
    offsets = np.arange(first, first + len(values))
    return decode_transactions(values, offsets, np.full(len(values), 2**42), 0, 1, future_ms=2**40).columns


def walk(transactions: list[bytes], verdicts: list[bytes], cuts: list[int]) -> str:
    """SHA-256 of all decisions and rows; verdict i comes right after transaction 10 i + 9."""
    accounts = AccountHop(0, HopSettings(1, 3 * DAY_US, DAY_US))
    payees = PayeeHop(0, 3 * DAY_US)
    decider = Decider(first_snapshot(1), shipped())
    digest = hashlib.sha256()
    stops = sorted({*cuts, *range(10, len(transactions), 10), len(transactions)})
    start = 0
    for offset, stop in enumerate(stops):
        outcome = verdicts[stop // 10 - 1 : stop // 10] if stop % 10 == 0 else []
        feedback = decode_feedback(list(outcome), np.arange(len(outcome)), np.zeros(len(outcome), np.int64), 0, 1)
        profiled = accounts.process(columns(transactions[start:stop], start), feedback.columns)
        received = payees.process([(offset, decode_frame(frame)) for _, frame in profiled.frames])
        if len(received.transactions):
            for decision in render(decider.decide(received), decider).decisions:
                digest.update(decision)
        start = stop
    for table in (accounts.table, accounts.customers, payees.table, payees.busy):
        for row in table.sorted_rows():
            digest.update(row.tobytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def reference() -> tuple[list[bytes], list[bytes], str]:
    transactions, verdicts = traffic()
    return transactions, verdicts, walk(transactions, verdicts, [])


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, COUNT - 1), max_size=40))
def test_any_cut_of_the_batches_gives_the_same_decisions_and_rows(
    reference: tuple[list[bytes], list[bytes], str], cuts: list[int]
) -> None:
    transactions, verdicts, expected = reference
    assert walk(transactions, verdicts, cuts) == expected


def test_one_by_one_equals_whole_batches(reference: tuple[list[bytes], list[bytes], str]) -> None:
    transactions, verdicts, expected = reference
    assert walk(transactions, verdicts, list(range(1, COUNT))) == expected


@pytest.mark.parametrize("environment", [{"NUMBA_DISABLE_JIT": "1"}, {"PYTHONHASHSEED": "7"}])
def test_another_process_computes_the_same(
    reference: tuple[list[bytes], list[bytes], str], environment: dict[str, str]
) -> None:
    """Plain Python instead of compiled code, and another hash seed."""
    script = (
        "import sys, importlib.util as u\n"
        "spec = u.spec_from_file_location('walk', sys.argv[1]); m = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(m); print(m.walk(*m.traffic(), []))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", "import stream\n" + script, __file__],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split()[-1] == reference[2]


def test_partitions_decided_together_give_what_each_gives_alone() -> None:
    transactions, verdicts = traffic()
    accounts = AccountHop(0, HopSettings(3, 3 * DAY_US, DAY_US))
    hops = [PayeeHop(partition, 3 * DAY_US) for partition in range(3)]
    decider = Decider(first_snapshot(1), shipped())
    for start in range(0, len(transactions), 30):
        feedback = decode_feedback(list(verdicts[:1]), np.arange(1), np.zeros(1, np.int64), 0, 1)
        profiled = accounts.process(columns(transactions[start : start + 30], start), feedback.columns)
        parts = [hops[to].process([(start + to, decode_frame(frame))]) for to, frame in profiled.frames]
        parts = [part for part in parts if len(part.transactions)]
        assert len(parts) > 1, "payees are spread over partitions"
        at_once = decider.decide(together(parts))
        apart = [decider.decide(part) for part in parts]
        assert list(render(at_once, decider).decisions) == [
            decision for decided in apart for decision in render(decided, decider).decisions
        ]
        assert list(scored_records(at_once)) == [record for decided in apart for record in scored_records(decided)]
