"""The demonstration as a live terminal view: everything on one screen of 80 by 24, more where there is room."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from stream.demo.closing_words import meaning, past_words, story_lines
from stream.demo.demonstration import Demonstration, DemonstrationPhase
from stream.demo.scoreboard import OUTCOMES, Scoreboard, SeenAlert, catches

REFRESH_S = 0.25
COLOURS = {"approve": "green", "remind": "cyan", "challenge": "yellow", "review": "magenta", "decline": "red"}
_ABOVE_ALERTS = 12
"""Lines that are not alerts."""
WAITING = (DemonstrationPhase.STARTING, DemonstrationPhase.LIVING)
_BAR = "█"
WIDE = 120
LINES_IN_FULL = 4
_MEASURE = Console(width=200)


class Screen:
    """Shows a demonstration on a terminal, at most four times a second.

    It is the callback of :meth:`Demonstration.run` and a context manager; the last frame stays on the terminal.
    """

    def __init__(self, demonstration: Demonstration, console: Console) -> None:
        self._demonstration = demonstration
        self._live = Live(console=console, auto_refresh=False, transient=False, vertical_overflow="crop")
        self._due = 0.0

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._live.stop()

    def __call__(self) -> None:
        """Draw, if it is time to."""
        now = time.monotonic()
        if now >= self._due or self._demonstration.phase is DemonstrationPhase.DONE:
            self._due = now + REFRESH_S
            self._live.update(ScreenFrame(self._demonstration, now), refresh=True)


class ScreenFrame:
    """One picture of a demonstration, laid out for the console it is drawn on."""

    def __init__(self, demonstration: Demonstration, now: float) -> None:
        self._shown = demonstration
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        board = self._shown.board
        room = max(3, (options.height or console.height) - _ABOVE_ALERTS - 1)
        yield Group(
            _line(("riskstream demo  ", "bold"), (self._shown.words, "dim")),
            _progress(self._shown, self._now),
            _rates(board),
            Rule("decisions (bars on a log scale)", style="dim"),
            _ladder(board, options.max_width),
            _verdict(board),
            Rule("newest alerts 最新警报", style="dim"),
            *_alerts(board, options.max_width, room),
        )


def _line(*parts: tuple[str, str]) -> Text:
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _progress(shown: Demonstration, now: float) -> RenderableType:
    seconds = shown.plan.seconds
    bar = ProgressBar(total=seconds, completed=shown.elapsed, pulse=shown.phase in WAITING, animation_time=now)
    row = Table.grid(padding=(0, 1), expand=True)
    row.add_column(ratio=1)
    row.add_column(no_wrap=True)
    row.add_row(bar, Text(_progress_words(shown, now), style="bold"))
    return row


def _progress_words(shown: Demonstration, now: float) -> str:
    if shown.phase is DemonstrationPhase.STARTING:
        waited = now - shown.began
        return f"worker starts, {waited:.0f} s" + (" (a first start compiles)" if waited > 5 else "")
    if shown.phase is DemonstrationPhase.LIVING:
        words = f"first the bank lives {shown.plan.history_days} days"
    elif shown.phase is DemonstrationPhase.RUNNING:
        words = f"{shown.plan.seconds - shown.elapsed:.0f} s left"
    else:
        words = {DemonstrationPhase.DRAINING: "letting the line run empty", DemonstrationPhase.DONE: "done"}[
            shown.phase
        ]
    simulated = shown.simulated_time
    return words + (f", simulated day {simulated:%Y-%m-%d}" if simulated else "")


def _rates(board: Scoreboard) -> Text:
    parts = [
        (f"{board.events_per_s:,.0f}/s", "bold"),
        (f" · {board.decided:,} decided · {max(board.in_flight, 0):,} in flight · {board.duplicate:,} duplicate", ""),
        (f" · {board.dead:,} dead", "red" if board.dead else ""),
    ]
    low, high = board.latency.percentile(50), board.latency.percentile(99)
    if low is not None and high is not None:
        parts.append((f" · p50/p99 {low:.0f}/{high:.0f} ms", ""))
    return _line(*parts)


def bar_length(count: int, largest: int, width: int) -> int:
    """Length of a bar on a scale of orders of magnitude, in cells: 0 for nothing, at least 1 for anything.

    >>> [bar_length(n, 9_999, 40) for n in (0, 1, 99, 9_999)]
    [0, 3, 20, 40]
    """
    if count <= 0:
        return 0
    return max(1, round(width * math.log10(count + 1) / math.log10(max(largest, count) + 1)))


def _ladder(board: Scoreboard, width: int) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=9)
    table.add_column(width=max(8, width - 32))
    table.add_column(justify="right", width=9)
    table.add_column(justify="right", width=8)
    largest = max(board.outcomes.values(), default=1)
    for outcome in OUTCOMES:
        count = board.outcomes[outcome]
        bar = Text(_BAR * bar_length(count, largest, max(8, width - 32)), style=COLOURS[outcome])
        share = 100 * count / board.decided if board.decided else 0.0
        table.add_row(Text(outcome, style=COLOURS[outcome]), bar, f"{count:,}", f"{share:.2f} %")
    return table


def _verdict(board: Scoreboard) -> Text:
    return _line(
        ("genuine touched ", ""),
        (f"{board.touched_per_10k:.1f} per 10,000", "bold"),
        ("  fraud caught ", ""),
        (str(board.caught), "bold green"),
        (" missed ", ""),
        (str(board.missed), "bold red"),
        (f"   chargebacks {board.feedback}", "dim"),
    )


def _alerts(board: Scoreboard, width: int, room: int) -> Iterator[Text]:
    if not board.newest:
        yield Text("none yet: what a person must see comes here, with its reason", style="dim")
        return
    for number, seen in enumerate(list(board.newest)):
        # the newest is told in full, the older ones as far as a line goes
        lines = _alert_lines(seen, width, in_full=number == 0 or width >= WIDE)
        if number > 0 and len(lines) > room:
            return
        room -= len(lines)
        yield from lines


def _alert_lines(seen: SeenAlert, width: int, *, in_full: bool) -> list[Text]:
    decision: dict[str, Any] = seen.alert["decision"]
    outcome: str = decision["outcome"]
    due = seen.alert["due_at"][:16].replace("T", " ")
    head = _line(
        (outcome, f"bold {COLOURS[outcome]}"),
        (f" {decision['transaction_id']}  risk {decision['risk_ppm'] / 10_000:.1f} %  due {due}Z  ", ""),
        _truth_words(seen),
    )
    reviewer = (decision["reasons"] or {}).get("reviewer", {})
    lines = [head]
    for language in ("zh", "en"):
        if language in reviewer:
            lines += _told(reviewer[language], width, in_full=in_full)
    return lines


def _told(sentence: str, width: int, *, in_full: bool) -> list[Text]:
    if not in_full:
        return [Text("  " + sentence, no_wrap=True, overflow="ellipsis")]
    lines = list(Text(sentence).wrap(_MEASURE, width - 2))
    shown = lines[:LINES_IN_FULL]
    if len(lines) > LINES_IN_FULL:
        shown[-1] = Text(shown[-1].plain.rstrip() + "…")
    return [Text.assemble("  ", line, no_wrap=True, overflow="ellipsis") for line in shown]


def _truth_words(seen: SeenAlert) -> tuple[str, str]:
    if seen.truth is None:
        return ("", "")
    if not seen.truth.fraud:
        return ("truth: genuine", "yellow")
    decision = seen.alert["decision"]
    caught = catches(decision["outcome"], decision["step_up"], seen.truth.attack)
    return (f"truth: {seen.truth.attack}", "green" if caught else "red")


def summary(shown: Demonstration) -> Group:
    """What to say at the end."""
    board = shown.board
    touched, genuine = board.genuine_touched, board.genuine
    frauds = board.caught + board.missed
    low, high = board.latency.percentile(50) or 0.0, board.latency.percentile(99) or 0.0
    first = "no decision" if shown.first_decision_s is None else f"first decision after {shown.first_decision_s:.1f} s"
    lines = [
        Text(("Stopped early. " if shown.interrupted else "") + f"{shown.words}", style="dim"),
        Text(
            f"{board.events:,} transactions: {board.decided:,} decided, {board.duplicate:,} duplicate, {board.dead:,} dead, {board.in_flight:,} in flight"
        ),
        Text(f"{first}; {board.events_per_s:,.0f} events/s; sent to read {low:.0f} ms (median), {high:.0f} ms (99 %)"),
        Text(
            "outcomes: "
            + ", ".join(f"{outcome} {board.outcomes[outcome]:,}" for outcome in OUTCOMES)
            + f"; {board.alerts:,} alerts"
        ),
        *(Text(line) for line in past_words(shown)),
        Text(
            f"fraud: {board.caught} of {frauds} caught; genuine: {touched:,} of {genuine:,} touched, {board.touched_per_10k:.1f} per 10,000"
        ),
    ]
    lines += [Text(line, style="bold") for line in meaning(shown)]
    lines += [Text(line) for line in story_lines(board.stories.best)]
    if board.repeated:
        lines.append(
            Text(
                f"{board.repeated} decisions came twice: without Kafka transactions that happens after a crash",
                style="red",
            )
        )
    if board.feedback_dead:
        lines.append(
            Text(
                f"{board.feedback_dead} of {board.feedback} chargebacks were dead letters: does the policy trust their actor?",
                style="red",
            )
        )
    return Group(*lines)
