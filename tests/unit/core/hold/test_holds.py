"""What opens a hold and what ends it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import orjson
import pytest

from stream.contracts.resolution import Resolution
from stream.core.columns import FEEDBACK, FEEDBACK_KINDS, VERDICTS
from stream.core.hold.holds import (
    MAX_KEPT_STAMPS,
    Ending,
    Hold,
    HoldBook,
    UnknownRow,
    UnreadableAlert,
    Verdict,
    read_alert,
    read_verdicts,
)

SECOND = 1_000_000
EXPIRY = 100 * SECOND


def hold(name: str = "t-1", expires_at: int = EXPIRY, on_expiry: str = "release", account: str = "a-1") -> Hold:
    return Hold(name, name, account, "c-1", expires_at, on_expiry)  # type: ignore[arg-type]


def queued() -> Hold:
    return replace(hold(), scenario="ecommerce", priority_milli=880, due_at=50 * SECOND)


def verdict(name: str = "t-1", at: int = 0, result: str = "release", cause: str = "reviewer") -> Verdict:
    return Verdict(name, "a-1", result, cause, at)  # type: ignore[arg-type]


def alert(**changed: object) -> bytes:
    decision = {"transaction_id": "t-1", "account_id": "a-1", "customer_id": "c-1", "outcome": "review"}
    decision["scenario"] = "ecommerce"
    record = {
        "alert_id": "t-1",
        "decision": decision,
        "priority_milli": 880,
        "due_at": "1970-01-01T00:00:50Z",
        "hold_expires_at": "1970-01-01T00:01:40Z",
        "on_expiry": "release",
    }
    decision |= {name: changed.pop(name) for name in list(changed) if name in decision}
    return orjson.dumps({**record, **changed})


def test_an_alert_about_a_review_opens_a_hold_until_its_stated_expiry() -> None:
    assert read_alert(alert()) == queued()


def test_an_alert_about_anything_else_holds_nothing() -> None:
    assert read_alert(alert(outcome="challenge")) is None


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"\xff", b"[]", b"7", b"{}", b'{"decision":null}', alert(on_expiry="refund"),
        alert(hold_expires_at="tomorrow"), alert(hold_expires_at=None), alert(hold_expires_at=7),
        alert(due_at=None), alert(priority_milli="high"),
    ],
)  # fmt: skip
def test_what_is_no_alert_is_refused_with_a_reason(value: bytes | None) -> None:
    with pytest.raises(UnreadableAlert, match="only riskstream may write there"):
        read_alert(value)


@pytest.mark.parametrize("kind", FEEDBACK_KINDS)
@pytest.mark.parametrize("word", VERDICTS)
def test_a_reviewers_verdict_the_result_of_a_challenge_and_a_customer_who_withdraws_end_a_hold_and_nothing_else(
    kind: str, word: str
) -> None:
    rows = np.zeros(1, FEEDBACK)
    rows["transaction_id"], rows["account_id"], rows["timestamp"] = b"t-1", b"a-1", 7
    rows["kind"], rows["verdict"] = FEEDBACK_KINDS.index(kind), VERDICTS.index(word)
    ends = {
        ("review", "genuine"): ("release", "reviewer"),
        ("review", "fraud"): ("decline", "reviewer"),
        ("challenge_result", "passed"): ("release", "challenge"),
        ("challenge_result", "failed"): ("decline", "challenge"),
        ("cancelled", "inconclusive"): ("decline", "customer"),
    }
    rows["actor"], rows["feedback_id"] = b"reviewer:li.wei", b"f-1"
    found = [(v.result, v.cause, v.stamped_at, v.actor, v.feedback_id) for v in read_verdicts(rows)]
    assert found == ([(*ends[kind, word], 7_000, "reviewer:li.wei", "f-1")] if (kind, word) in ends else [])


@pytest.mark.parametrize("on_expiry", ["release", "decline"])
def test_without_a_verdict_the_expiry_ends_a_hold_at_its_stated_time(on_expiry: str) -> None:
    holds = HoldBook()
    holds.open(hold(on_expiry=on_expiry))
    assert holds.expire(EXPIRY - 1) == []
    assert holds.expire(EXPIRY + 5) == [Ending(hold(on_expiry=on_expiry), on_expiry, "expiry", EXPIRY)]  # type: ignore[arg-type]
    assert holds.expire(EXPIRY * 2) == []


def test_a_verdict_stamped_just_before_the_expiry_wins_and_one_stamped_at_it_does_not() -> None:
    early, late = HoldBook(), HoldBook()
    early.open(hold())
    late.open(hold())
    assert early.judge(verdict(at=EXPIRY - 1)) == Ending(hold(), "release", "reviewer", EXPIRY - 1)
    assert late.judge(verdict(at=EXPIRY)) is None
    assert [ending.cause for ending in late.expire(EXPIRY)] == ["expiry"]
    assert late.late == 1


def test_a_second_verdict_is_late_whatever_it_says_and_supersedes() -> None:
    holds = HoldBook()
    holds.open(hold())
    assert holds.judge(verdict(at=5)) is not None
    assert holds.judge(verdict(at=6, result="decline", cause="challenge")) is None
    assert holds.late == 1


def test_a_verdict_about_another_account_of_the_same_transaction_id_ends_nothing() -> None:
    holds = HoldBook()
    holds.open(hold(account="a-2"))
    assert holds.judge(verdict()) is None
    assert (len(holds), holds.unmatched) == (1, 1)


def test_a_repeated_alert_opens_no_second_hold() -> None:
    holds = HoldBook()
    holds.open(hold())
    assert holds.open(hold()) is None
    assert len(holds.expire(EXPIRY)) == 1
    assert holds.open(hold()) is None
    assert (holds.expire(EXPIRY), holds.repeated) == ([], 2)


def test_holds_expire_in_the_order_of_their_times() -> None:
    holds = HoldBook()
    for name, at in (("t-3", 30), ("t-1", 10), ("t-2", 20), ("t-0", 10)):
        holds.open(hold(name, at))
    assert holds.next_expiry == 10
    assert [ending.hold.transaction_id for ending in holds.expire(20)] == ["t-0", "t-1", "t-2"]
    assert holds.next_expiry == 30


def test_early_verdicts_are_bounded_and_the_oldest_goes_first() -> None:
    holds = HoldBook(max_unmatched=2)
    for name in ("t-1", "t-2", "t-3"):
        holds.judge(verdict(name))
    assert (holds.unmatched, holds.dropped) == (2, 1)
    assert holds.open(hold("t-1")) is None
    assert holds.open(hold("t-3")) is not None
    assert dict(holds.take_changes()).keys() == {b"a-1/t-1", b"a-1/t-2", b"a-1/t-3"}


def test_verdicts_kept_of_one_transaction_are_bounded() -> None:
    holds = HoldBook()
    for at in range(3 * MAX_KEPT_STAMPS, 0, -1):
        holds.judge(verdict(at=at))
    row = orjson.loads(holds.take_changes()[0][1] or b"")
    assert len(row["verdicts"]) == MAX_KEPT_STAMPS
    assert row["seen"] == 3 * MAX_KEPT_STAMPS


def test_ended_holds_are_remembered_within_a_bound() -> None:
    holds = HoldBook(max_ended=2)
    for name in ("t-1", "t-2", "t-3"):
        holds.open(hold(name))
        holds.judge(verdict(name))
    changes = holds.take_changes()
    assert [key for key, value in changes if value is None] == [b"a-1/t-1"]
    assert holds.open(hold("t-2")) is None
    assert holds.repeated == 1


def test_a_hold_is_found_again_with_what_the_queue_shows_of_it() -> None:
    before, after = HoldBook(), HoldBook()
    before.open(queued())
    for key, row in before.take_changes():
        after.restore(key, row)
    assert list(after) == [queued()]


def test_a_hold_stored_by_the_version_before_ends_as_any_other() -> None:
    holds = HoldBook()
    row = {"transaction_id": "t-1", "alert_id": "t-1", "account_id": "a-1", "customer_id": "c-1"}
    row |= {"expires_at": EXPIRY, "on_expiry": "release", "escalation": ""}  # type: ignore[dict-item]
    holds.restore(b"a-1/t-1", orjson.dumps({"version": 1, "state": "open", "hold": row}))
    assert list(holds) == [hold()]
    assert holds.expire(EXPIRY) == [Ending(hold(), "release", "expiry", EXPIRY)]


def test_a_row_of_another_version_is_refused() -> None:
    with pytest.raises(UnknownRow, match="schema version 99"):
        HoldBook().restore(b"k", b'{"version":99,"state":"open"}')


def test_a_tombstone_and_a_later_row_take_the_place_of_what_was() -> None:
    holds = HoldBook()
    holds.open(hold())
    [(key, row)] = holds.take_changes()
    again = HoldBook()
    again.restore(key, row)
    with pytest.raises(UnknownRow, match="not deleted"):
        again.restore(key, None)
    again.restore(key, b'{"version":3,"state":"ended","at":1000}')
    again.restore(key, None)
    assert (len(again), again.next_expiry) == (0, None)


def test_a_resolution_is_the_contracts() -> None:
    said = Verdict("t-1", "a-1", "decline", "challenge", 1_500_000, "step-up:app", "f-1")
    asked = replace(hold(), held="challenge", amount_minor=420_000, currency="CNY")
    written = Resolution.model_validate_json(Ending.by(asked, said).resolution())
    assert written.model_dump(mode="json") == {
        "transaction_id": "t-1", "alert_id": "t-1", "account_id": "a-1", "customer_id": "c-1",
        "result": "decline", "cause": "challenge", "actor": "step-up:app", "feedback_id": "f-1",
        "at": "1970-01-01T00:00:01.500000Z",
        "reasons": {
            "customer": {
                "zh": "您这笔人民币 4,200.00 元的付款未通过确认，未予执行，资金仍在您的账户中。如是您本人操作，请重试或前往网点；如不是，请"
                "立即拨打卡背面的电话联系我们。",
                "en": "The confirmation of your payment of CNY 4,200.00 failed, so it is not made; the money is still in your "
                "account. If it was you, please try again or visit a branch; if it was not, call us at once on the number on "
                "your card.",
            }
        },
    }  # fmt: skip


def test_an_expiry_names_nobody_and_an_end_always_says_what_happened_and_what_to_do() -> None:
    ends = [("release", "reviewer"), ("release", "challenge"), ("release", "expiry"), ("decline", "reviewer"),
            ("decline", "challenge"), ("decline", "customer"), ("decline", "expiry")]  # fmt: skip
    told = set()
    for held in ("review", "challenge"):
        for result, cause in ends:
            ended = Ending(replace(hold(), held=held, on_expiry=result), result, cause, 1)  # type: ignore[arg-type]
            written = Resolution.model_validate_json(ended.resolution())
            assert (written.actor, written.feedback_id) == (None, None)
            told |= {(cause if cause != "expiry" else held, result, written.reasons.customer.en)}
            assert "{" not in written.reasons.customer.en + written.reasons.customer.zh
    assert len(told) == len({sentence for _, _, sentence in told}) == 9, "each kind of end has words of its own"


def test_a_hold_and_a_verdict_stored_by_the_version_before_end_without_what_it_did_not_keep() -> None:
    holds = HoldBook()
    row = {"transaction_id": "t-1", "alert_id": "t-1", "account_id": "a-1", "customer_id": "c-1", "expires_at": EXPIRY,
           "on_expiry": "release", "escalation": "", "scenario": "ecommerce", "priority_milli": 1, "due_at": 5}  # fmt: skip
    holds.restore(b"a-1/t-1", orjson.dumps({"version": 2, "state": "open", "hold": row}))
    [ending] = holds.expire(EXPIRY)
    assert Resolution.model_validate_json(ending.resolution()).reasons.customer.en.startswith(
        "The time for checking your"
    )
    early = {"transaction_id": "t-2", "account_id": "a-1", "result": "decline", "cause": "reviewer", "stamped_at": 7}
    holds.restore(b"a-1/t-2", orjson.dumps({"version": 2, "state": "unmatched", "seen": 1, "verdicts": [early]}))
    ended = holds.open(hold("t-2"))
    assert ended is not None
    assert (ended.result, ended.at, ended.actor) == ("decline", 7, "")


def test_a_stored_hold_with_something_that_is_none_is_refused() -> None:
    holds = HoldBook()
    holds.open(replace(hold(), held="challenge", amount_minor=5, currency="EUR"))
    [(key, row)] = holds.take_changes()
    for name, wrong in (("held", "decline"), ("amount_minor", -1), ("amount_minor", "5"), ("currency", "eur")):
        document = orjson.loads(row or b"")
        document["hold"][name] = wrong
        with pytest.raises(UnknownRow):
            HoldBook().restore(key, orjson.dumps(document))
