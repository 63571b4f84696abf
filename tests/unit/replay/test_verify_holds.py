"""How holds ended against what they had to: one end each, by whom the record trusts, and rows that say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from stream.arrays.rfc3339 import render
from stream.core.columns import FEEDBACK, FEEDBACK_KINDS, VERDICTS
from stream.core.hold.challenges import challenge_record, read_challenge
from stream.core.hold.holds import Ending, Hold, HoldBook, read_alert
from stream.replay.oracle.verify import RecordedItem, Verified
from stream.replay.oracle.verify_holds import (
    ALERTS,
    CHALLENGES,
    FEEDBACK_READ,
    HOLDS,
    OBLIGATIONS,
    OWED,
    OWED_ON,
    EndedHolds,
    HoldsRead,
)

T0 = 1_800_000_000_000_000
HOUR = 3_600_000_000


def alert(name: str) -> bytes:
    decision = {"transaction_id": name, "account_id": f"a-{name}", "customer_id": "c", "outcome": "review"}
    return orjson.dumps(
        {"alert_id": name, "decision": {**decision, "scenario": "other"}, "priority_milli": 1, "due_at": render(T0),
         "hold_expires_at": render(T0 + HOUR), "on_expiry": "release"}
    )  # fmt: skip


def hold(name: str) -> Hold:
    found = read_alert(alert(name))
    assert found is not None
    return found


def obligation(name: str) -> bytes:
    return orjson.dumps({"due_at": render(T0 + HOUR), "alert": orjson.loads(alert(name))})


def feedback(*said: tuple[str, str, int], kind: str = "review") -> Any:
    """Decoded feedback: transaction, verdict, µs after the start; offsets from 0."""
    rows = np.zeros(len(said), FEEDBACK)
    for place, (name, verdict, after) in enumerate(said):
        rows[place]["transaction_id"], rows[place]["account_id"] = name.encode(), f"a-{name}".encode()
        rows[place]["kind"], rows[place]["verdict"] = FEEDBACK_KINDS.index(kind), VERDICTS.index(verdict)
        rows[place]["offset"], rows[place]["timestamp"] = place, (T0 + after) // 1000
    return rows


def end(ending: Ending, read: int, offset: int = 0) -> RecordedItem:
    value = ending.resolution()
    return RecordedItem(offset, 0, b"c", value, {FEEDBACK_READ: f"t-bank.feedback.v1/0/{read}".encode()})


def row(key: bytes, state: HoldBook) -> RecordedItem:
    ((_, value),) = [change for change in state.take_changes() if change[0] == key.removeprefix(OWED)]
    return RecordedItem(0, 0, key, value or b"", {})


def ended(one: Hold, at: int) -> RecordedItem:
    return RecordedItem(0, 0, one.key, orjson.dumps({"version": 3, "state": "ended", "at": at}), {})


def told(
    said: Any, ends: list[RecordedItem], rows: list[RecordedItem], kind: Any = HOLDS, opened: tuple[str, ...] = ("t",)
) -> list[str]:
    result = Verified()
    endings = EndedHolds(kind, 0, HoldsRead(10, 10, 10, 10))
    make = alert if kind is HOLDS else obligation
    endings.open(
        ALERTS if kind is HOLDS else OWED_ON,
        (RecordedItem(offset, 0, b"c", make(name), {}) for offset, name in enumerate(opened)),
    )
    endings.judge(said)
    endings.compare_published(ends, result)
    endings.compare_rows(rows, result)
    return [str(difference) for difference in result.differences]


def test_an_end_by_the_first_verdict_in_time_and_one_by_expiry_are_as_computed() -> None:
    one, two = hold("t"), hold("u")
    said = feedback(("t", "fraud", 5_000), ("t", "genuine", 6_000), ("u", "genuine", HOUR))
    ends = [
        end(Ending(one, "decline", "reviewer", T0 + 5_000), 1),
        end(Ending(two, "release", "expiry", two.expires_at), 3),
    ]
    assert told(said, ends, [ended(one, T0 + 5_000), ended(two, two.expires_at)], opened=("t", "u")) == []


def test_a_verdict_that_was_read_after_the_expiry_was_published_is_late() -> None:
    one = hold("t")
    published = end(Ending(one, "release", "expiry", one.expires_at), read=0)
    assert told(feedback(("t", "fraud", 5_000)), [published], [ended(one, one.expires_at)]) == []


def test_an_end_that_only_an_untrusted_verdict_leads_to_is_named() -> None:
    one = hold("t")
    forged = end(Ending(one, "decline", "reviewer", T0 + 5_000), 1)
    (found,) = told(feedback(), [forged], [ended(one, one.expires_at)])
    assert found.startswith("risk.resolutions.v1/0/0: the resolution of a-t/t is {")
    assert '"cause":"expiry"' in found.split("computed")[1]


def test_a_second_end_a_foreign_end_and_no_end_at_all_are_named() -> None:
    one, ghost = hold("t"), hold("ghost")
    said = feedback(("t", "fraud", 5_000), ("u", "genuine", 5_000))
    true = Ending(one, "decline", "reviewer", T0 + 5_000)
    ends = [end(true, 1), end(true, 2, 1), end(Ending(ghost, "release", "expiry", ghost.expires_at), 1, 2)]
    rows = [ended(one, T0 + 5_000), ended(hold("u"), T0 + 5_000)]
    assert told(said, ends, rows, opened=("t", "u")) == [
        "risk.resolutions.v1/0/1: a second resolution of a-t/t",
        "risk.resolutions.v1/0/2: a resolution of ghost that nothing led to",
        "risk.alerts.v1/0/1: no resolution of a-u/u, though bank.feedback.v1/0/1 ended its hold",
    ]


def test_rows_that_are_gone_other_or_foreign_are_named() -> None:
    one, early = hold("t"), HoldBook()
    early.open(one)
    right = row(one.key, early)
    assert told(feedback(), [], [right]) == []
    assert told(feedback(), [], []) == ["riskstream-holds-rows/0: the row of hold a-t/t is gone"]
    assert told(feedback(), [], [right, RecordedItem(1, 0, one.key, b"", {})]) == [
        "riskstream-holds-rows/0/1: the row of hold a-t/t is gone"
    ]
    later = orjson.loads(right.value)
    later["hold"]["expires_at"] += HOUR
    (found,) = told(feedback(), [], [RecordedItem(3, 0, one.key, orjson.dumps(later), {})])
    assert found.startswith("riskstream-holds-rows/0/3: the row of hold a-t/t is ")
    foreign = RecordedItem(4, 0, b"a-x/x", right.value, {})
    assert told(feedback(), [], [right, foreign]) == [
        "riskstream-holds-rows/0/4: a row of hold a-x/x that nothing led to"
    ]


def test_an_escalation_of_what_was_supplied_is_named() -> None:
    said = feedback(("t", "genuine", 5_000), kind="supplied")
    met = RecordedItem(0, 0, OWED + b"a-t/t", orjson.dumps({"version": 3, "state": "ended", "at": T0 + 5_000}), {})
    assert told(said, [], [met], kind=OBLIGATIONS) == []
    value = orjson.dumps(orjson.loads(alert("t")))
    forged = RecordedItem(0, 0, b"c", value, {FEEDBACK_READ: b"t-bank.feedback.v1/0/1"})
    (found,) = told(said, [forged], [met], kind=OBLIGATIONS)
    assert found == "riskstream-escalations/0/0: a-t/t was escalated, though what was owed had come"
    overdue = RecordedItem(
        0, 0, OWED + b"a-t/t", orjson.dumps({"version": 3, "state": "ended", "at": T0 + HOUR + 1}), {}
    )
    late = RecordedItem(0, 0, b"c", value, {FEEDBACK_READ: b"t-bank.feedback.v1/0/0"})
    assert told(feedback(), [late], [overdue], kind=OBLIGATIONS) == []


def asked(name: str) -> bytes:
    return challenge_record(
        (name.encode(), f"a-{name}".encode(), b"c"),
        (b"other", 5, "EUR"),
        render(T0 + HOUR).removesuffix("Z").encode(),
        "decline",
    )


def told_of_challenges(
    said: Any, ends: list[RecordedItem], rows: list[RecordedItem], *names: str, alerts: tuple[str, ...] = ()
) -> list[str]:
    result = Verified()
    endings = EndedHolds(HOLDS, 0, HoldsRead(10, 10, 10, 10))
    endings.open(ALERTS, [RecordedItem(offset, 0, b"c", alert(name), {}) for offset, name in enumerate(alerts)])
    endings.open(CHALLENGES, [RecordedItem(offset, 0, b"c", asked(name), {}) for offset, name in enumerate(names)])
    endings.judge(said)
    endings.compare_published(ends, result)
    endings.compare_rows(rows, result)
    return [str(difference) for difference in result.differences]


def test_challenges_end_as_computed_and_a_forged_or_missing_end_is_named() -> None:
    one, two = read_challenge(asked("t")), read_challenge(asked("u"))
    said = feedback(("t", "passed", 5_000), kind="challenge_result")
    passed = Ending(one, "release", "challenge", T0 + 5_000)
    expired = Ending.by_expiry(two)
    rows = [ended(one, passed.at), ended(two, expired.at)]
    assert told_of_challenges(said, [end(passed, 1), end(expired, 1, 1)], rows, "t", "u") == []
    assert told_of_challenges(said, [end(expired, 1)], rows, "t", "u") == [
        "riskstream-challenges/0/0: no resolution of a-t/t, though bank.feedback.v1/0/0 ended its hold"
    ]
    forged = end(Ending(two, "release", "expiry", expired.at), 1)
    (found,) = told_of_challenges(feedback(), [forged], [ended(two, expired.at)], "u")
    assert '"result":"decline","cause":"expiry"' in found.split("computed")[1]


def test_an_id_that_was_held_for_two_reasons_ended_as_either_says() -> None:
    """Beyond the ring an id is decided again; which of the two was read first stands nowhere."""
    both = [Ending.by_expiry(hold("t")), Ending.by_expiry(read_challenge(asked("t")))]
    for ending in both:
        assert told_of_challenges(feedback(), [end(ending, 0)], [ended(hold("t"), ending.at)], "t", alerts=("t",)) == []
