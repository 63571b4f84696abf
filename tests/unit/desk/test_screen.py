"""The live view fits the terminal it is drawn on, and says what it must."""

from __future__ import annotations

import io
from datetime import date
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from stream.desk.demonstration import Demonstration, Phase, Plan
from stream.desk.plain_lines import PlainLines
from stream.desk.screen import Frame, summary
from stream.desk.traffic import chargeback, first_day
from stream.errors import UsageError
from stream.simulate import Truth, stream

REASON = {
    "zh": "个人转账：金额是该客户平时的 16 倍。" * 6,
    "en": "Transfer to a person: 16 times the usual amount. " * 6,
}


def shown(alerts: int) -> Demonstration:
    demonstration = Demonstration(Plan(), 100.0, words="embedded broker: in memory, no transactions, a demo only")
    board = demonstration.board
    for number in range(alerts):
        name = f"t{number:013}"
        truth = Truth(name, number % 2, "task_scam" if number % 2 else "", "", "a1", "transfer")
        board.sent(truth, 0.0)
        board.delivered()
        decision: dict[str, Any] = {
            "transaction_id": name, "outcome": "review", "step_up": "none", "risk_ppm": 431_000,
            "reasons": {"reviewer": REASON},
        }  # fmt: skip
        board.take_decision(decision, 101.0)
        board.take_alert({"alert_id": name, "due_at": "2026-01-01T02:00:00Z", "decision": decision})
    return demonstration


def drawn(demonstration: Demonstration, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(Frame(demonstration, 103.0))
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (200, 60)])
@pytest.mark.parametrize("alerts", [0, 1, 30])
@pytest.mark.parametrize("phase", list(Phase))
def test_a_frame_fits_its_terminal(width: int, height: int, alerts: int, phase: Phase) -> None:
    demonstration = shown(alerts)
    demonstration.phase = phase
    lines = drawn(demonstration, width, height)
    assert len(lines) <= height - 1
    assert max(cell_len(line.rstrip()) for line in lines) <= width


def test_eighty_columns_hold_the_numbers_and_the_newest_reason_in_both_languages() -> None:
    text = "\n".join(drawn(shown(3), 80, 24))
    for words in (
        "in memory, no transactions, a demo only",
        "genuine touched 10000.0 per 10,000",
        "fraud caught 1 missed 0",
        "t0000000000002",
        "个人转账",
        "Transfer to a person",
        "truth: genuine",
    ):
        assert words in text


def test_the_summary_counts_what_was_shown() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(summary(shown(4)))
    output = console.file
    assert isinstance(output, io.StringIO)
    assert "4 transactions: 4 decided" in output.getvalue()
    assert "fraud: 2 of 2 caught; genuine: 2 of 2 touched" in output.getvalue()


def test_plain_lines_tell_the_first_alert_at_once_and_no_flood_of_them() -> None:
    lines: list[str] = []
    demonstration = shown(0)
    tell = PlainLines(demonstration, lines.append)
    tell()
    before = len(lines)
    tell()
    assert len(lines) == before  # not yet time for another
    demonstration.board = shown(30).board
    tell()
    assert sum("alert t" in line for line in lines) == 2
    assert any(REASON["zh"] in line for line in lines)


def test_the_simulated_period_ends_before_today_and_begins_with_a_year() -> None:
    for events, accounts in ((25_200, 120), (1, 10), (100_000, 60)):
        for today in (date(2026, 11, 24), date(2027, 1, 1), date(2028, 2, 29)):
            start = first_day(today, events, accounts)
            assert (start.month, start.day) == (1, 1)
            assert (today - start).days >= events / (2.1 * accounts)
    with pytest.raises(UsageError, match="raise --accounts"):
        first_day(date(2026, 11, 24), 72_000_000, 10)


def test_a_chargeback_speaks_of_its_transaction_days_later() -> None:
    event = next(event for event in stream(seed=7, accounts=60) if event.truth.fraud)
    feedback = chargeback(event)
    assert feedback["transaction_id"] == event.truth.transaction_id
    assert (feedback["kind"], feedback["verdict"]) == ("chargeback", "fraud")
    assert feedback["account_id"] == event.truth.account_id
