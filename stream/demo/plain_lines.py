"""The demonstration as log lines, where there is no terminal to draw on."""

from __future__ import annotations

import time
from collections.abc import Callable

from stream.demo.demonstration import Demonstration, DemonstrationPhase

EVERY_S = 2.0
ALERTS_A_LINE = 2
"""Newest alerts told with each line: a log is read, not watched."""


class PlainLines:
    """Says how a demonstration stands every two seconds, with its newest alerts; a callback like ``Screen``."""

    def __init__(self, demonstration: Demonstration, write: Callable[[str], None]) -> None:
        self._demonstration = demonstration
        self._write = write
        self._due = 0.0
        self._told = 0

    def __call__(self) -> None:
        """Write, if it is time to."""
        now = time.monotonic()
        # a first decision and a first alert are news at once
        shown = self._demonstration
        first_alert = self._told == 0 and shown.board.alerts > 0 and shown.phase is not DemonstrationPhase.LIVING
        news = first_alert or shown.phase is DemonstrationPhase.DONE
        if now < self._due and not news:
            return
        self._due = now + EVERY_S
        self._write(self._standing(now))
        if shown.phase is DemonstrationPhase.LIVING:  # alerts of the past are not told
            return
        for line in self._new_alerts():
            self._write(line)

    def _standing(self, now: float) -> str:
        shown, board = self._demonstration, self._demonstration.board
        if shown.phase is DemonstrationPhase.STARTING:
            return f"{now - shown.began:5.1f} s  {shown.words}; the worker starts"
        if shown.phase is DemonstrationPhase.LIVING:
            return (
                f"{now - shown.began:5.1f} s  first the bank lives {shown.plan.history_days} days, so that the line knows its "
                f"customers: {board.decided:,} decided, {board.models} models learned"
            )
        ladder = " ".join(f"{outcome}={count}" for outcome, count in sorted(board.outcomes.items()))
        return (
            f"{now - shown.began:5.1f} s  {shown.phase.value}: {board.decided} decided, {board.in_flight} in flight, "
            f"{board.events_per_s:.0f}/s, {ladder}, caught {board.caught}, missed {board.missed}, "
            f"genuine touched {board.touched_per_10k:.1f} per 10,000"
        )

    def _new_alerts(self) -> list[str]:
        board = self._demonstration.board
        fresh = min(board.alerts - self._told, ALERTS_A_LINE)
        self._told = board.alerts
        lines = []
        for seen in list(board.newest)[:fresh]:
            decision = seen.alert["decision"]
            reviewer = (decision["reasons"] or {}).get("reviewer", {})
            lines += [f"         alert {decision['transaction_id']} {decision['outcome']}"]
            lines += [f"           {reviewer[language]}" for language in ("zh", "en") if language in reviewer]
        return lines
