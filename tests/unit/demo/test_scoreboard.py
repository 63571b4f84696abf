"""What a demonstration counts, and how."""

from __future__ import annotations

from typing import Any

import pytest

from stream.demo.scoreboard import KEPT_ALERTS, Scoreboard, catches
from stream.simulate import ATTACKS, SCAMS, SimulatedTruth


def truth(name: str, attack: str = "") -> SimulatedTruth:
    return SimulatedTruth(name, int(bool(attack)), attack, "attack-1" if attack else "", "a1", "transfer")


def decision(name: str, outcome: str = "approve", step_up: str = "none") -> dict[str, Any]:
    return {"transaction_id": name, "outcome": outcome, "step_up": step_up}


def board_of(*decided: tuple[str, str, str]) -> Scoreboard:
    """A board after transactions of (attack, outcome, step_up)."""
    board = Scoreboard()
    for number, (attack, outcome, step_up) in enumerate(decided):
        board.sent(truth(f"t{number}", attack), float(number))
        board.delivered()
        board.take_decision(decision(f"t{number}", outcome, step_up), number + 0.5)
    return board


@pytest.mark.parametrize("attack", ATTACKS[1:])
def test_a_review_or_a_decline_catches_any_fraud_and_lower_rungs_none(attack: str) -> None:
    assert catches("review", "none", attack)
    assert catches("decline", "none", attack)
    assert catches("challenge", "strong", attack) == (attack not in SCAMS)
    assert not catches("challenge", "light", attack)
    assert not catches("remind", "none", attack)
    assert not catches("approve", "none", attack)


def test_each_transaction_counts_once_by_truth_and_outcome() -> None:
    board = board_of(
        ("", "approve", "none"),
        ("", "remind", "none"),
        ("", "challenge", "light"),
        ("account_takeover", "challenge", "strong"),
        ("task_scam", "challenge", "strong"),
        ("task_scam", "review", "none"),
    )
    told = board.summary()
    assert (told["events"], told["decided"], told["in_flight"]) == (6, 6, 0)
    assert told["outcomes"] == {"approve": 1, "remind": 1, "challenge": 3, "review": 1, "decline": 0}
    assert (told["caught"], told["missed"]) == (2, 1)
    assert told["genuine_touched_per_10k"] == 3333.33


def test_a_second_decision_about_a_transaction_counts_apart() -> None:
    board = board_of(("", "approve", "none"))
    board.take_decision(decision("t0"), 2.0)
    assert (board.decided, board.repeated, board.in_flight) == (1, 1, 0)


def test_what_has_not_come_out_is_in_flight() -> None:
    board = Scoreboard()
    for number in range(3):
        board.sent(truth(f"t{number}"), 0.0)
        board.delivered()
    board.take_dead("t1")
    board.take_decision(decision("t0"), 1.0)
    assert (board.events, board.decided, board.dead, board.in_flight) == (3, 1, 1, 1)


def test_latency_leaves_out_what_waited_for_the_worker_to_start() -> None:
    board = Scoreboard()
    board.sent(truth("early"), 0.0)
    board.take_decision(decision("early"), 60.0)
    assert board.latency.count == 0
    board.sent(truth("later"), 60.5)
    board.take_decision(decision("later"), 60.51)
    assert board.latency.percentile(99) == pytest.approx(10, rel=0.02)


@pytest.mark.parametrize("first", ["alert", "decision"])
def test_an_alert_finds_its_truth_whichever_topic_is_read_first(first: str) -> None:
    board = Scoreboard()
    board.sent(truth("t0", "task_scam"), 0.0)
    if first == "alert":
        board.take_alert({"alert_id": "t0"})
        board.take_decision(decision("t0", "review"), 1.0)
    else:
        board.take_decision(decision("t0", "review"), 1.0)
        board.take_alert({"alert_id": "t0"})
    seen = board.newest[0]
    assert seen.truth is not None
    assert seen.truth.attack == "task_scam"


def test_alerts_kept_are_bounded_and_the_newest_come_first() -> None:
    board = Scoreboard()
    for number in range(KEPT_ALERTS + 5):
        board.take_alert({"alert_id": f"t{number}"})
    assert board.alerts == KEPT_ALERTS + 5
    assert [len(board.newest), board.newest[0].alert["alert_id"]] == [KEPT_ALERTS, f"t{KEPT_ALERTS + 4}"]
