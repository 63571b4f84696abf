"""What if: each threshold of risk against the alerts it makes, the hours they cost, the fraud it finds and who it touches.

Counts are kept for every value of ``risk_ppm``, so a prediction for a threshold is the count of applying it to the
same scores, not an estimate. What it cannot know: another threshold would also change which payments the learner
holds for suspected; for that, replay the changed policy (``--policy`` and ``--against``).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.replay.source.labels import FRAUD, GENUINE

VALUES = 1_000_001
BIN_EDGES = (0, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 600_000, 900_000, VALUES)
"""Bins of the calibration, ppm: two a decade, since most payments have a risk far below one per cent."""
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Point:
    """One threshold.

    Parameters
    ----------
    threshold_ppm
        Payments with at least this risk are alerts.
    alerts
        How many there are.
    frauds, genuine, familiar
        Frauds among them, genuine payments, and those of familiar pairs; the rest has no label yet.
    review_ms
        Time that reviewing them takes, ms.
    """

    threshold_ppm: int
    alerts: int
    frauds: int
    genuine: int
    familiar: int
    review_ms: int


class WhatIf:
    """Counts by risk: 40 MB, whatever the history's length.

    Examples
    --------
    >>> counts = WhatIf()
    >>> counts.add(np.array([10, 20, 20, 900]), np.array([0, 0, 1, 1]), np.array([True, False, False, False]), np.array([6, 6, 4, 4]))
    >>> counts.at(20)
    Point(threshold_ppm=20, alerts=3, frauds=2, genuine=1, familiar=0, review_ms=14)
    """

    def __init__(self) -> None:
        self._events = np.zeros(VALUES, np.int64)
        self._frauds = np.zeros(VALUES, np.int64)
        self._genuine = np.zeros(VALUES, np.int64)
        self._familiar = np.zeros(VALUES, np.int64)
        self._review_ms = np.zeros(VALUES, np.int64)

    def add(
        self,
        risk_ppm: npt.NDArray[Any],
        label: npt.NDArray[Any],
        familiar: npt.NDArray[np.bool_],
        review_ms: npt.NDArray[np.int64],
    ) -> None:
        """Count events.

        Parameters
        ----------
        risk_ppm, label, familiar
            [n]: risk, label (``stream.replay.source.labels``), whether the pair is familiar.
        review_ms
            int64[n]: what a review of each would take, ms (``review_minutes`` of its scenario's alert budget).
        """
        np.add.at(self._review_ms, risk_ppm, review_ms)
        np.add.at(self._events, risk_ppm, 1)
        np.add.at(self._frauds, risk_ppm[label == FRAUD], 1)
        np.add.at(self._genuine, risk_ppm[label == GENUINE], 1)
        np.add.at(self._familiar, risk_ppm[familiar & (label == GENUINE)], 1)

    def at(self, threshold_ppm: int) -> Point:
        """What a threshold makes."""
        counts = (
            int(table[threshold_ppm:].sum())
            for table in (self._events, self._frauds, self._genuine, self._familiar, self._review_ms)
        )
        return Point(threshold_ppm, *counts)

    def thresholds(self, points: int = 24) -> list[int]:
        """Thresholds from the highest risk there is down to one that alerts a tenth of all events, by rank."""
        above = np.cumsum(self._events[::-1])
        total = int(above[-1])
        if not total:
            return []
        ranks = np.unique(np.geomspace(1, max(total // 10, 1), points).astype(np.int64))
        places = np.searchsorted(above, ranks)
        return sorted({VALUES - 1 - place for place in places.tolist()}, reverse=True)

    def threshold_for(
        self, days: float, *, alerts_per_day: float | None = None, false_per_10k: float | None = None
    ) -> int:
        """The lowest threshold that stays within a budget: on this history, of alerts a day, of genuine per 10,000, or both.

        1,000,001 where nothing does. Nobody needs to use a budget up: a threshold that alerts less is a threshold too.

        Parameters
        ----------
        days
            Length of the history, days.

        >>> counts = WhatIf()
        >>> counts.add(np.array([10, 20, 20, 900]), np.array([0, 0, 1, 1]), np.zeros(4, bool), np.ones(4, np.int64))
        >>> counts.threshold_for(2.0, alerts_per_day=0.5), counts.threshold_for(2.0, false_per_10k=5_000.0)
        (21, 11)
        """
        lowest = 0
        genuine = int(self._genuine.sum())
        for table, most in (
            (self._events, None if alerts_per_day is None else alerts_per_day * days),
            (self._genuine, None if false_per_10k is None else false_per_10k * genuine / 10_000),
        ):
            if most is not None:
                above = np.cumsum(table[::-1])[::-1]
                lowest = max(lowest, int(np.count_nonzero(above > most)))
        return lowest if lowest < VALUES else VALUES

    def calibration(self) -> list[dict[str, Any]]:
        """Stated and observed share of fraud by bins of risk, lowest first; empty bins are left out."""
        bins = []
        for low, high in pairwise(BIN_EDGES):
            known = self._frauds[low:high] + self._genuine[low:high]
            events, frauds = known, int(self._frauds[low:high].sum())
            count = int(events.sum())
            if count:
                stated = float(np.dot(events, np.arange(low, high))) / count / 1e6
                bins.append(
                    {
                        "from_ppm": low,
                        "events": count,
                        "predicted": round(stated, 6),
                        "observed": round(frauds / count, 6),
                    }
                )
        return bins

    def table(self, days: float, thresholds: list[int] | None = None) -> list[dict[str, Any]]:
        """The curve as JSON values, from the highest threshold down.

        Parameters
        ----------
        days
            Length of the history, days.
        thresholds
            In ppm; None for :meth:`thresholds`.
        """
        frauds, genuine, familiar = (int(t.sum()) for t in (self._frauds, self._genuine, self._familiar))
        rows = []
        for threshold in self.thresholds() if thresholds is None else thresholds:
            point = self.at(threshold)
            touched = point.genuine
            rows.append(
                {
                    "threshold_ppm": point.threshold_ppm,
                    "alerts": point.alerts,
                    "alerts_per_day": round(point.alerts / days, 3),
                    "reviewer_hours_per_day": round(point.review_ms / days / _HOUR_MS, 3),
                    "frauds_found": point.frauds,
                    "frauds_missed": frauds - point.frauds,
                    "genuine_touched": touched,
                    "genuine_touched_per_10k": round(10_000 * touched / genuine, 4) if genuine else None,
                    "familiar_touched": point.familiar,
                    "familiar_touched_per_10k": round(10_000 * point.familiar / familiar, 4) if familiar else None,
                }
            )
        return rows
