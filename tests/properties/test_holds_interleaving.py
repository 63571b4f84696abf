"""Each review and each challenge ends in exactly one resolution, and which one depends on the two logs alone."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.core.hold.holds import Ending, Hold, HoldBook, Verdict

SECOND = 1_000_000
FOREVER = 10**18
NAMES = ("t-0", "t-1", "t-2", "t-3")


@dataclass(frozen=True)
class Logs:
    """One partition of both topics."""

    alerts: list[Hold]
    feedback: list[Verdict]


times = st.integers(0, 12).map(lambda seconds: seconds * SECOND)


@st.composite
def logs(draw: st.DrawFn, *, in_order: bool) -> Logs:
    held = draw(st.permutations(NAMES))[: draw(st.integers(0, len(NAMES)))]
    alerts = [
        Hold(
            name,
            name,
            "a-1",
            "c-1",
            draw(times),
            draw(st.sampled_from(("release", "decline"))),
            held=draw(st.sampled_from(("review", "challenge"))),
        )
        for name in held
    ]
    feedback = [
        Verdict(
            draw(st.sampled_from(NAMES)),
            draw(st.sampled_from(("a-1", "a-1", "a-1", "a-2"))),
            draw(st.sampled_from(("release", "decline"))),
            draw(st.sampled_from(("reviewer", "challenge", "customer"))),
            draw(times),
            draw(st.sampled_from(("one", "two"))),
        )
        for _ in range(draw(st.integers(0, 10)))
    ]
    if in_order:
        feedback.sort(key=lambda verdict: verdict.stamped_at)
    repeats = draw(st.lists(st.sampled_from(alerts), max_size=2)) if alerts else []
    return Logs([*alerts, *repeats], feedback)


def expected(log: Logs) -> set[Ending]:
    """The rule of docs/holds.md, written down as directly as can be."""
    endings = set()
    for hold in log.alerts:
        about = [v for v in log.feedback if (v.transaction_id, v.account_id) == (hold.transaction_id, hold.account_id)]
        first = next((v for v in about if v.stamped_at < hold.expires_at), None)
        if first is None:
            endings.add(Ending(hold, hold.on_expiry, "expiry", hold.expires_at))
        else:
            endings.add(Ending(hold, first.result, first.cause, first.stamped_at, first.actor))
    return endings


def vouched(log: Logs, read: int) -> int:
    """Up to when every verdict has been read, once ``read`` of them have: what a shell may pass to expire()."""
    return min((verdict.stamped_at for verdict in log.feedback[read:]), default=FOREVER)


def walk(log: Logs, draw: st.DataObject, *, crash: bool = False) -> tuple[list[Ending], HoldBook]:
    """Read the two logs in some interleaving, look for expiries at some times, crash at some."""
    holds, changelog = HoldBook(), []
    endings: list[Ending] = []
    alerts, feedback = 0, 0
    while alerts < len(log.alerts) or feedback < len(log.feedback):
        topics = ["alerts"] * (alerts < len(log.alerts)) + ["feedback"] * (feedback < len(log.feedback))
        if draw.draw(st.sampled_from(topics)) == "alerts":
            ended = holds.open(log.alerts[alerts])
            alerts += 1
        else:
            ended = holds.judge(log.feedback[feedback])
            feedback += 1
        endings += [ended] if ended else []
        if draw.draw(st.booleans()):
            endings += holds.expire(vouched(log, feedback))
        if crash and draw.draw(st.booleans()):
            changelog += holds.take_changes()
            late = holds.late
            holds = recovered(changelog)
            holds.late = late
    return endings + holds.expire(FOREVER), holds


def recovered(changelog: list[tuple[bytes, bytes | None]]) -> HoldBook:
    holds = HoldBook()
    for key, value in changelog:
        holds.restore(key, value)
    return holds


@given(logs(in_order=False), st.data())
@settings(max_examples=300, deadline=None)
def test_every_hold_ends_once_and_as_the_rule_says_in_any_interleaving(log: Logs, draw: st.DataObject) -> None:
    endings, holds = walk(log, draw)
    assert len(endings) == len({ending.hold.key for ending in endings}) == len({hold.key for hold in log.alerts})
    assert set(endings) == expected(log)
    assert len(holds) == 0


@given(logs(in_order=True), st.data())
@settings(max_examples=150, deadline=None)
def test_crashes_between_batches_change_nothing(log: Logs, draw: st.DataObject) -> None:
    endings, _ = walk(log, draw, crash=True)
    assert len(endings) == len(set(endings))
    assert set(endings) == expected(log)


@given(logs(in_order=False), st.data())
@settings(max_examples=150, deadline=None)
def test_every_verdict_about_a_held_transaction_ends_it_or_is_late(log: Logs, draw: st.DataObject) -> None:
    endings, holds = walk(log, draw)
    held = {hold.key for hold in log.alerts}
    about = sum(verdict.key in held for verdict in log.feedback)
    by_verdict = sum(ending.cause != "expiry" for ending in endings)
    assert holds.late == about - by_verdict
    assert holds.repeated == len(log.alerts) - len(held)


@given(logs(in_order=False), st.data())
@settings(max_examples=100, deadline=None)
def test_the_rows_in_log_order_rebuild_the_object(log: Logs, draw: st.DataObject) -> None:
    _, holds = walk(log, draw)
    changelog = holds.take_changes()
    again = recovered(changelog)
    assert (len(again), again.unmatched, again.next_expiry) == (len(holds), holds.unmatched, holds.next_expiry)
    for hold in log.alerts:
        assert again.open(hold) is None
    for verdict in log.feedback:
        holds.judge(verdict)
        again.judge(verdict)
    assert again.take_changes() == holds.take_changes()
