"""The compiled writer of decisions against orjson: the same JSON for any ids, numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from stream.arrays.byte_copy import copy_bytes
from stream.core.decision.decision_writer import Fragments, group_rows, write_decisions
from stream.core.frame.frame import PROFILED

IDS = st.text("abcXYZ019_.:-", min_size=1, max_size=64)
PPM = st.integers(0, 1_000_000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999).map(lambda us: EPOCH + timedelta(microseconds=us))
ROWS = st.lists(st.tuples(IDS, IDS, IDS, st.none() | IDS, TIMES, PPM, PPM, PPM), min_size=1, max_size=5)
PIECES = (
    b'Z","scenario":"other","outcome":"approve","step_up":"none","scope":"transaction","risk_ppm":',
    b',"hard_rule":null,"rules":[],"evidence":[],"reasons":null,"degraded":[],"flags":["late"],"policy_version":"p"}',
)


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_every_decision_is_the_json_of_its_fields(rows: list[tuple]) -> None:  # type: ignore[type-arg]
    transactions = np.zeros(len(rows), PROFILED)
    numbers = np.zeros((len(rows), 3), np.int64)
    for row, (transaction, customer, account, payee, at, *ppm) in enumerate(rows):
        transactions[row]["transaction_id"] = transaction.encode()
        transactions[row]["customer_id"] = customer.encode()
        transactions[row]["account_id"] = account.encode()
        transactions[row]["payee_id"] = (payee or "").encode()
        transactions[row]["event_time"] = (at - EPOCH) // timedelta(microseconds=1)
        numbers[row] = ppm
    fragments = Fragments(PIECES)
    places = np.tile(np.array([fragments.place(piece) for piece in PIECES]), (len(rows), 1))
    written = write_decisions(transactions, numbers, places, fragments.packed())
    assert [orjson.loads(value) for value in written] == [
        {
            "transaction_id": transaction, "customer_id": customer, "account_id": account, "payee_id": payee,
            "event_time": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0"), "scenario": "other",
            "outcome": "approve", "step_up": "none", "scope": "transaction", "risk_ppm": risk, "anomaly_ppm": anomaly,
            "familiarity_ppm": familiarity, "hard_rule": None, "rules": [], "evidence": [], "reasons": None,
            "degraded": [], "flags": ["late"], "policy_version": "p",
        }
        for transaction, customer, account, payee, at, risk, anomaly, familiarity in rows
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 2**63, 2**64 - 1])), max_size=70))
def test_rows_are_grouped_in_order_of_first_occurrence(rows: list[tuple[int, int]]) -> None:
    group, members = group_rows(np.array(rows, np.uint64).reshape(-1, 2))
    distinct = list(dict.fromkeys(rows))
    assert group.tolist() == [distinct.index(row) for row in rows]
    assert members.tolist() == [rows.index(row) for row in distinct]


@njit
def compiled_copy(out, at, data, start, length):  # type: ignore[no-untyped-def]
    copy_bytes(out, at, data, start, length)


@settings(deadline=None)  # the first example compiles
@given(st.binary(min_size=100, max_size=100), st.integers(0, 60), st.integers(0, 60), st.integers(-1, 40))
def test_compiled_and_plain_copies_are_the_same(data: bytes, at: int, start: int, length: int) -> None:
    plain, compiled = np.full(100, 7, np.uint8), np.full(100, 7, np.uint8)
    copy_bytes(plain, at, np.frombuffer(data, np.uint8), start, length)
    compiled_copy(compiled, at, np.frombuffer(data, np.uint8), start, length)
    expected = bytearray(b"\x07" * 100)
    expected[at : at + max(length, 0)] = data[start : start + max(length, 0)]
    assert plain.tobytes() == compiled.tobytes() == bytes(expected)
