"""A challenge ends in exactly one resolution: the precedence table of docs/holds.md, for every pair of events."""

from __future__ import annotations

from itertools import product

import pytest

from stream.core.hold.challenges import challenge_record, read_challenge
from stream.core.hold.holds import Ending, Hold, HoldBook, UnreadableAlert, Verdict

MINUTE = 60_000_000
EXPIRY = 15 * MINUTE
SAID = {
    "passed": ("release", "challenge"),
    "failed": ("decline", "challenge"),
    "genuine": ("release", "reviewer"),
    "fraud": ("decline", "reviewer"),
    "cancelled": ("decline", "customer"),
}
"""What can be said about a challenge, and what it makes of it."""
TIMES = {"in time": 5 * MINUTE, "at its end": EXPIRY, "after it": EXPIRY + MINUTE}


def challenge(held: str = "challenge", on_expiry: str = "decline") -> Hold:
    return Hold("t-1", "t-1", "a-1", "c-1", EXPIRY, on_expiry, held=held)  # type: ignore[arg-type]


def verdict(word: str, at: int) -> Verdict:
    result, cause = SAID[word]
    return Verdict("t-1", "a-1", result, cause, at, f"actor:{word}", f"f-{word}")  # type: ignore[arg-type]


def ends(hold: Hold, said: list[Verdict], opened_after: int) -> tuple[list[Ending], HoldBook]:
    """All that comes of a hold that is opened behind so many of the verdicts, once everything has been read."""
    holds = HoldBook()
    found = [holds.judge(one) for one in said[:opened_after]]
    found.append(holds.open(hold))
    found += [holds.judge(one) for one in said[opened_after:]]
    return [one for one in found if one is not None] + holds.expire(10**18), holds


@pytest.mark.parametrize("held", ["challenge", "review"])
@pytest.mark.parametrize("on_expiry", ["release", "decline"])
@pytest.mark.parametrize("when", TIMES)
@pytest.mark.parametrize("word", SAID)
def test_one_answer_in_time_ends_it_and_one_too_late_leaves_it_to_the_expiry(
    word: str, when: str, on_expiry: str, held: str
) -> None:
    hold, said = challenge(held, on_expiry), verdict(word, TIMES[when])
    expected = Ending.by(hold, said) if when == "in time" else Ending.by_expiry(hold)
    for opened_after in (0, 1):
        found, holds = ends(hold, [said], opened_after)
        assert found == [expected]
        assert holds.late == (when != "in time")


@pytest.mark.parametrize(("first", "second"), list(product(SAID, SAID)))
@pytest.mark.parametrize(("at_first", "at_second"), list(product(TIMES, TIMES)))
def test_of_two_answers_the_first_in_time_counts_whatever_they_say(
    first: str, second: str, at_first: str, at_second: str
) -> None:
    """Also where stamps run backwards, which only a topic does that senders stamp: the partition's order counts."""
    said = [verdict(first, TIMES[at_first]), verdict(second, TIMES[at_second])]
    counting = next((one for one in said if one.stamped_at < EXPIRY), None)
    expected = Ending.by(challenge(), counting) if counting is not None else Ending.by_expiry(challenge())
    for opened_after in range(3):
        found, holds = ends(challenge(), said, opened_after)
        assert found == [expected], f"opened behind {opened_after}"
        assert holds.late == 2 - (counting is not None)


def test_nobody_answers_and_it_ends_at_its_stated_time_as_the_pack_says() -> None:
    for on_expiry in ("decline", "release"):
        holds = HoldBook()
        holds.open(challenge(on_expiry=on_expiry))
        assert holds.expire(EXPIRY - 1) == []
        [ending] = holds.expire(EXPIRY)
        assert (ending.result, ending.cause, ending.at, ending.actor) == (on_expiry, "expiry", EXPIRY, "")


def test_open_challenges_are_counted_apart_through_recovery() -> None:
    holds, again = HoldBook(), HoldBook()
    holds.open(challenge())
    holds.open(Hold("t-2", "t-2", "a-1", "c-1", EXPIRY, "release"))
    for key, row in holds.take_changes():
        again.restore(key, row)
    assert (len(again), again.challenges) == (2, 1)
    again.judge(verdict("cancelled", 1))
    assert (len(again), again.challenges) == (1, 0)
    again.expire(EXPIRY)
    assert (len(again), again.challenges) == (0, 0)


RIGHT = challenge_record((b"t-1", b"a-1", b"c-1"), (b"other", 7, "JPY"), b"2026-01-01T00:15:00.000000", "release")


@pytest.mark.parametrize(
    "value",
    [
        None, b"", b"{}", RIGHT.replace(b"release", b"refund"), RIGHT.replace(b"JPY", b"yen"), RIGHT.replace(b":7", b":-7"),
        RIGHT.replace(b"2026-01-01T00:15:00.000000Z", b"soon"), RIGHT.replace(b"a-1", b"a 1"),
    ],
)  # fmt: skip
def test_what_is_no_challenge_is_refused_with_a_reason(value: bytes | None) -> None:
    assert read_challenge(RIGHT).held == "challenge"
    with pytest.raises(UnreadableAlert, match="only riskstream may write there"):
        read_challenge(value)
