"""Detection week after week, as the events come: the protocol of known cards in bounded memory."""

from __future__ import annotations

import numpy as np

from stream.replay.measure.detection import KNOWN_FROM, WEEK, Detection, Scored, measure, without_known_cards


class Weeks:
    """Detection by the protocol of known cards, a test week at a time.

    The first test week starts 14 days after the first event's day (or at ``start_day``, if later). A week is measured
    when event time has gone a day past it; an incomplete one is left out.
    """

    def __init__(self, start_day: int | None = None) -> None:
        self.measured: list[tuple[int, Detection]] = []
        self._start = start_day
        self._week: int | None = None
        self._latest = np.iinfo(np.int64).min
        self._parts: list[Scored] = []

    def add(self, scored: Scored) -> None:
        """Take events in order."""
        if not len(scored):
            return
        if self._week is None:
            first = int(scored.day[0]) + KNOWN_FROM
            self._week = first if self._start is None else max(first, self._start)
        self._parts.append(scored)
        self._latest = max(self._latest, int(scored.day.max()))
        while self._latest > self._week + WEEK:
            self._measure()

    def close(self) -> None:
        """The history ends: measure the last week if its last day has begun."""
        while self._week is not None and self._latest >= self._week + WEEK - 1:
            self._measure()

    def _measure(self) -> None:
        assert self._week is not None
        seen = Scored.joined(self._parts)
        self.measured.append((self._week, measure(without_known_cards(seen, self._week))))
        self._week += WEEK
        # of the days before the next week only the frauds are asked for
        self._parts = [seen.where((seen.day >= self._week) | (seen.fraud & (seen.day >= self._week - KNOWN_FROM)))]
