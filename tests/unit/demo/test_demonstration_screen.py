"""The live view fits the terminal it is drawn on, and says what it must."""

from __future__ import annotations

import io
import re
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.cells import cell_len
from rich.console import Console

from stream.demo.demonstration import Demonstration, DemonstrationPhase, Past, Plan
from stream.demo.demonstration_screen import ScreenFrame, summary
from stream.demo.demonstration_traffic import chargeback, first_day
from stream.demo.picture import write_picture
from stream.demo.plain_lines import PlainLines
from stream.errors import UsageError
from stream.simulate import SimulatedTruth, stream

REASON = {
    "zh": "个人转账：金额是该客户平时的 16 倍。" * 6,
    "en": "Transfer to a person: 16 times the usual amount. " * 6,
}


def shown(alerts: int) -> Demonstration:
    demonstration = Demonstration(Plan(), 100.0, words="embedded broker: in memory, no transactions, a demo only")
    board = demonstration.board
    for number in range(alerts):
        name = f"t{number:013}"
        truth = SimulatedTruth(name, number % 2, "task_scam" if number % 2 else "", "", "a1", "transfer")
        board.sent(truth, 0.0)
        board.delivered()
        decision: dict[str, Any] = {
            "transaction_id": name, "outcome": "review", "step_up": "none", "risk_ppm": 431_000,
            "reasons": {"reviewer": REASON}, "event_time": "2026-03-01T12:34:56.000Z", "model_version": "m5-0a1b2c3d",
        }  # fmt: skip
        board.take_decision(decision, 101.0)
        board.take_alert({"alert_id": name, "due_at": "2026-01-01T02:00:00Z", "decision": decision})
    return demonstration


def drawn(demonstration: Demonstration, width: int, height: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    console.print(ScreenFrame(demonstration, 103.0))
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (200, 60)])
@pytest.mark.parametrize("alerts", [0, 1, 30])
@pytest.mark.parametrize("phase", list(DemonstrationPhase))
def test_a_frame_fits_its_terminal(width: int, height: int, alerts: int, phase: DemonstrationPhase) -> None:
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


def summed_up(demonstration: Demonstration) -> str:
    console = Console(file=io.StringIO(), width=1000, color_system=None)
    console.print(summary(demonstration))
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def test_the_summary_says_in_both_languages_what_the_numbers_mean() -> None:
    told = summed_up(shown(30))
    assert "15 of 15 frauds were stopped; of 10,000 genuine payments 10000 were asked about" in told
    assert "15 笔欺诈拦下 15 笔" in told


def test_one_alert_is_followed_from_the_payment_to_the_model_that_has_learned_from_it() -> None:
    demonstration = shown(30)
    stories = demonstration.board.stories
    assert "none yet" in summed_up(demonstration)
    stories.take_label("t0000000000005", {"kind": "chargeback", "verdict": "fraud", "feedback_id": "f-5"}, 2, 70)
    assert "the next one learns from it" in summed_up(demonstration)
    stories.take_model("m6-00000006", {2: 70})
    assert "m6-00000006" not in summed_up(demonstration), "its round ended before the verdict"
    stories.take_model("m7-00000007", {2: 71})
    told = summed_up(demonstration)
    for words in (
        "t0000000000005",
        "by model m5-0a1b2c3d",
        REASON["en"].strip(),
        "chargeback: fraud",
        "m7-00000007 has learned",
    ):
        assert words in told


def test_the_summary_says_what_the_bank_had_lived_through() -> None:
    demonstration = shown(2)
    demonstration.past = Past(25_000, 50, 7, 6.4, True)
    assert "60 days of the bank's life in 6 s, 25,000 transactions, 50 frauds among them, 7 models\n" in summed_up(
        demonstration
    )
    cold = shown(2)
    cold.plan = Plan(history_days=0)
    assert "began cold" in summed_up(cold)


def test_what_counts_begins_when_the_past_is_over() -> None:
    board = shown(30).board
    board.take_model("m1-00000001", {0: 5})
    board.begin()
    assert (board.decided, board.alerts, board.caught, board.genuine, board.in_flight) == (0, 0, 0, 0, 0)
    assert board.summary()["outcomes"] == dict.fromkeys(board.summary()["outcomes"], 0)
    assert (board.models, board.learned, board.stories.best) == (1, {0: 5}, None)


def test_the_picture_asks_nobody_for_a_font_and_shows_the_closing_words(tmp_path: Path) -> None:
    write_picture(shown(3), tmp_path / "demo.svg")
    for path in (tmp_path / "demo.svg", Path(__file__).parents[3] / "docs" / "pictures" / "demo.svg"):
        text = path.read_text("utf-8")
        ElementTree.fromstring(text)
        assert set(re.findall(r"https?://[^\s\"<]+", text)) <= {
            "http://www.w3.org/2000/svg",
            "https://www.textualize.io",
        }
        words = text.replace("&#160;", " ")
        assert "frauds were stopped" in words
        assert "One alert, followed" in words
