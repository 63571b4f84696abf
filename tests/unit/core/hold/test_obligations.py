"""Proceed first, supply later: met in time or escalated once, whatever is read first, and as the rule says."""

from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import obligations as rule
from stream.arrays.rfc3339 import render
from stream.core.columns import FEEDBACK
from stream.core.hold.holds import Ending, Hold, HoldBook, UnreadableAlert, Verdict
from stream.core.hold.obligation_records import escalation, read_obligation, read_supplies

SECOND = 1_000_000
DUE = 3_600 * SECOND
REVIEW, SUPPLIED = 0, 4
GENUINE, FRAUD, INCONCLUSIVE, PASSED, FAILED = range(5)


def record(due_at: int = DUE) -> bytes:
    decision = {"transaction_id": "t-1", "account_id": "a-1", "customer_id": "c-1", "outcome": "remind"}
    return orjson.dumps({"due_at": render(due_at), "alert": {"alert_id": "t-1", "decision": decision}})


def feedback(kind: int, verdict: int, at: int) -> list[Verdict]:
    rows = np.zeros(1, FEEDBACK)
    rows["transaction_id"], rows["account_id"] = b"t-1", b"a-1"
    rows["kind"], rows["verdict"], rows["timestamp"] = kind, verdict, at // 1000
    return list(read_supplies(rows))


def test_an_obligation_carries_the_alert_that_its_escalation_is() -> None:
    owed = read_obligation(record())
    assert owed.customer_id == "c-1"
    ending = Ending(owed, "release", "expiry", owed.expires_at)
    assert orjson.loads(escalation(ending) or b"") == orjson.loads(record())["alert"]
    assert escalation(Ending(owed, "release", "supplied", 1)) is None


@pytest.mark.parametrize("value", [None, b"", b"{}", b"[]", b'{"due_at":"soon","alert":{}}', b'{"due_at":1,"alert":1}'])
def test_what_is_no_obligation_is_told_so(value: bytes | None) -> None:
    with pytest.raises(UnreadableAlert, match="not an obligation"):
        read_obligation(value)


def test_only_what_was_supplied_and_not_found_false_meets_it() -> None:
    assert [len(feedback(SUPPLIED, verdict, 0)) for verdict in range(5)] == [1, 0, 1, 1, 0]
    assert feedback(REVIEW, GENUINE, 0) == []


def walk(steps: list[str], stamp: int, now: int, restart: int | None = None) -> list[str]:
    """How the one obligation ended, for each end, when these were read in this order; ``restart`` recovers from rows."""
    owed, rows, ends = HoldBook(), {}, []
    for place, step in enumerate([*steps, "clock"]):
        if restart == place:
            again = HoldBook()
            for key, row in rows.items():
                again.restore(key, row)
            owed = again
        found: list[Ending | None] = []
        if step == "open":
            found = [owed.open(read_obligation(record()))]
        elif step == "supply":
            found = [owed.judge(verdict) for verdict in feedback(SUPPLIED, GENUINE, stamp)]
        else:
            found = list(owed.expire(now))
        ends += ["escalated" if escalation(end) else "supplied" for end in found if end]
        for key, row in owed.take_changes():
            rows.pop(key, None)
            if row is not None:
                rows[key] = row
    return ends


@given(
    st.permutations(["open", "supply", "supply"]),
    st.integers(-5, 5).map(lambda ms: DUE + ms * 1000),
    st.sampled_from([None, 0, 1, 2, 3]),
)
def test_it_ends_once_as_the_rule_says_in_any_order_and_through_a_restart(
    steps: list[str], stamp: int, restart: int | None
) -> None:
    expected, told = rule.supply(rule.open_obligation("t-1", 0, DUE), stamp)
    assert walk(steps, stamp, DUE + SECOND, restart) == [expected.state]
    assert (told is not None) == (expected.state == "escalated")


def test_an_open_obligation_is_not_escalated_before_it_is_due() -> None:
    owed = HoldBook()
    owed.open(read_obligation(record()))
    assert owed.expire(DUE) == []
    assert [end.cause for end in owed.expire(DUE + 1)] == ["expiry"]
    assert owed.expire(DUE + SECOND) == []


def test_a_repeated_record_opens_none_again() -> None:
    owed = HoldBook()
    owed.open(read_obligation(record()))
    owed.expire(DUE + SECOND)
    assert owed.open(read_obligation(record())) is None
    assert len(owed) == 0


def test_rows_of_holds_written_before_obligations_existed_are_read() -> None:
    hold = {"transaction_id": "t", "alert_id": "t", "account_id": "a", "customer_id": "c", "expires_at": 5}
    holds = HoldBook()
    holds.restore(b"a/t", orjson.dumps({"version": 1, "state": "open", "hold": {**hold, "on_expiry": "decline"}}))
    assert [end.hold for end in holds.expire(5)] == [Hold("t", "t", "a", "c", 5, "decline")]
