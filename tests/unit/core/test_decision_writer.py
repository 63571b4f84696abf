"""The compiled writer of decisions against orjson: the same JSON for any ids, numbers and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.decision_writer import Fragments, write_decisions
from stream.core.frame import PROFILED

IDS = st.text("abcXYZ019_.:-", min_size=1, max_size=64)
PPM = st.integers(0, 1_000_000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999).map(lambda us: EPOCH + timedelta(microseconds=us))
ROWS = st.lists(st.tuples(IDS, IDS, IDS, st.none() | IDS, TIMES, PPM, PPM, PPM), min_size=1, max_size=5)
PIECES = (b"other", b"approve", b"none", b"null", b"[]", b"[]", b"null", b"[]", b'["late"]', b'"policy_version":"p"')


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
