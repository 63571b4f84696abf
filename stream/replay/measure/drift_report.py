"""Drift: what each week looked like, and how far its risks are from those of the first month."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stream.replay.measure.detection import DAY_US, WEEK
from stream.replay.measure.what_if import BIN_EDGES

REFERENCE_WEEKS = 4
WEEKS = 2_000
"""Most weeks that are kept apart; later ones count for the last."""
COLUMNS = ("events", "genuine", "touched", "frauds", "caught", "reviews")
_SHARE_FLOOR = 1e-6


class DriftByWeek:
    """Counts by week of event time, from the first event's day on.

    Examples
    --------
    >>> drift = DriftByWeek()
    >>> day = np.array([0, 6, 7]) * DAY_US
    >>> drift.add(day, np.array([10, 200, 10]), np.ones((3, len(COLUMNS)), bool))
    >>> [week["events"] for week in drift.table()]
    [2, 1]
    """

    def __init__(self) -> None:
        self._first: int | None = None
        self._counts = np.zeros((0, len(COLUMNS)), np.int64)
        self._risks = np.zeros((0, len(BIN_EDGES) - 1), np.int64)

    def add(self, event_time: npt.NDArray[np.int64], risk_ppm: npt.NDArray[Any], flags: npt.NDArray[np.bool_]) -> None:
        """Count events.

        Parameters
        ----------
        event_time, risk_ppm
            [n]: µs, and ppm.
        flags
            bool[n, columns of COLUMNS].
        """
        day = event_time // DAY_US
        if self._first is None:
            self._first = int(day.min())
        week = np.clip((day - self._first) // WEEK, 0, WEEKS - 1)
        more = int(week.max()) + 1 - len(self._counts)
        if more > 0:
            self._counts = np.vstack((self._counts, np.zeros((more, len(COLUMNS)), np.int64)))
            self._risks = np.vstack((self._risks, np.zeros((more, self._risks.shape[1]), np.int64)))
        for column, flag in enumerate(flags.T):
            self._counts[:, column] += np.bincount(week[flag], minlength=len(self._counts))
        place = np.searchsorted(BIN_EDGES, risk_ppm, side="right") - 1
        kinds = np.bincount(week * self._risks.shape[1] + place, minlength=self._risks.size)
        self._risks += kinds.reshape(self._risks.shape)

    def table(self) -> list[dict[str, Any]]:
        """The weeks as JSON values, with the population stability index of their risks.

        References
        ----------
        Siddiqi, Credit Risk Scorecards (2006), chapter 9: below .1 nothing to see, above .25 another population.
        """
        if self._first is None:
            return []
        reference = self._risks[:REFERENCE_WEEKS].sum(axis=0)
        return [
            {
                "start": str(np.datetime64(self._first + number * WEEK, "D")),
                **dict(zip(COLUMNS, counts.tolist(), strict=True)),
                "stability": round(_stability(reference, risks), 4) if risks.any() else None,
            }
            for number, (counts, risks) in enumerate(zip(self._counts, self._risks, strict=True))
        ]


def _stability(reference: npt.NDArray[np.int64], risks: npt.NDArray[np.int64]) -> float:
    expected = np.maximum(reference / max(int(reference.sum()), 1), _SHARE_FLOOR)
    found = np.maximum(risks / int(risks.sum()), _SHARE_FLOOR)
    return float(np.sum((found - expected) * np.log(found / expected)))
