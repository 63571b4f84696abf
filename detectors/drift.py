"""Drift without labels: what moved in the inputs and in the scores, per group, as event time passes.

Three things are told apart, because they call for different people: more traffic of the same kind (``volume``), other
inputs than usual in the bulk (``population``), and too many rows where hardly any should be, at the top of the scores
(``tail``), which is how an attack looks before its labels come.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.drift_windows import HOUR, DriftConfig, GroupWindows
from detectors.elementary import exp, log, log_each, log_factorial

__all__ = ["HOUR", "Drift", "DriftConfig", "DriftMonitor", "poisson_tail", "stability_index"]

Kind = Literal["volume", "population", "tail"]
CHANCE_DEVIATIONS = 4.0
"""How much more than its mean sampling alone may give before an input has moved."""
NEWS_DEVIATIONS = 4.0
"""How much further than usual, in deviations of its own past index, an input has to move to be told."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One report.

    Parameters
    ----------
    kind, group, at
        What, where (index of the group), and the end of the window, µs.
    seen, expected
        ``tail``: rows in the tail; ``volume``: rows; ``population``: largest stability index and its limit.
    moved
        Inputs that moved most, with their stability index (in the tail against the bulk for ``tail``).
    examples
        Ids of some rows of the window, for ``tail`` of its tail, the highest scores first.
    """

    kind: Kind
    group: int
    at: int
    seen: float
    expected: float
    moved: tuple[tuple[str, float], ...]
    examples: tuple[int, ...]


def stability_index(
    seen: NDArray[np.float64], usual: NDArray[np.float64], deviations: float = 0.0
) -> NDArray[np.float64]:
    """Population stability index per row of two histograms float64[M, B]; half a count is added to each bin.

    What sampling alone may give is taken off, so that small windows do not look like drift: (1/n + 1/m) times a
    chi-square of B - 1 degrees of freedom, its mean and so many ``deviations``.

    >>> same, other = np.array([[50.0, 50.0]]), np.array([[90.0, 10.0]])
    >>> stability_index(same, same).round(2).tolist(), stability_index(other, same).round(2).tolist()
    ([0.0], [0.83])

    References
    ----------
    Yurdakul, Statistical Properties of the Population Stability Index, Western Michigan University (2018).
    """
    bins = seen.shape[1]
    n, m = seen.sum(axis=1, keepdims=True), usual.sum(axis=1, keepdims=True)
    p, q = (seen + 0.5) / (n + bins / 2), (usual + 0.5) / (m + bins / 2)
    index = ((p - q) * log_each((p / q).ravel()).reshape(p.shape)).sum(axis=1)
    chance = (bins - 1 + deviations * math.sqrt(2.0 * (bins - 1))) * (
        1.0 / np.maximum(n, 1.0) + 1.0 / np.maximum(m, 1.0)
    )[:, 0]
    corrected: NDArray[np.float64] = np.maximum(index - chance, 0.0)
    return corrected


def poisson_tail(seen: int, expected: float) -> float:
    """Probability of at least ``seen`` where ``expected`` are usual.

    >>> round(poisson_tail(3, 1.0), 4), poisson_tail(0, 5.0)
    (0.0803, 1.0)
    """
    if seen <= expected:
        return 1.0
    term = exp(-expected + seen * log(expected) - log_factorial(seen)) if expected > 0 else 0.0
    total = 0.0
    for k in range(seen, seen + 1000):
        total += term
        term *= expected / (k + 1)
        if term < total * 1e-12:
            break
    return min(total, 1.0)


@njit(cache=True, nogil=True)
def _by_group(group: Any, rows: Any, sorted_rows: Any, ends: Any) -> bool:
    """Rows group after group, int64[n] written, in their order; ``ends``, int64[G + 1] of 0: where each group's end. False where
    a group is unknown."""
    for row in rows:
        if group[row] + 1 >= ends.shape[0]:
            return False
        ends[group[row] + 1] += 1
    for g in range(1, ends.shape[0]):
        ends[g] += ends[g - 1]
    for row in rows:
        sorted_rows[ends[group[row]]] = row
        ends[group[row]] += 1
    return True


class DriftMonitor:
    """Compares windows of event time with a fading reference, per group.

    Bounded: two histograms an input and group, ``first_rows`` rows a group until its bins are set, a few examples.

    Parameters
    ----------
    names
        Inputs, as columns of the matrices.
    groups
        How many groups there are.
    config
        Windows and limits.
    periodic
        Inputs that move by themselves within a window (hour of the day), never reported.

    Examples
    --------
    >>> rng, config = np.random.default_rng(0), DriftConfig(first_rows=500)
    >>> monitor = DriftMonitor(["amount"], 1, config)
    >>> for hour in range(73):
    ...     rows = rng.lognormal(0.0 if hour < 48 else 1.5, 1.0, (100, 1))
    ...     scores = rng.integers(-6000, -4000, 100)
    ...     for drift in monitor.observe(np.arange(100, dtype=np.uint64), hour * HOUR, rows, np.zeros(100, np.uint8), scores):
    ...         print(drift.kind, drift.at // HOUR, drift.moved[0][0])
    population 72 amount
    """

    def __init__(
        self, names: Sequence[str], groups: int, config: DriftConfig | None = None, periodic: Sequence[str] = ()
    ) -> None:
        self.config = config or DriftConfig()
        self.names = tuple(names)
        self._steady = np.array([name not in periodic for name in names])
        self._groups = [GroupWindows(len(self.names), self.config) for _ in range(groups)]
        self._tail_end: int | None = None
        self._population_end = 0

    def observe(
        self,
        ids: NDArray[np.uint64],
        time: int,
        matrix: NDArray[np.floating[Any]],
        group: NDArray[np.uint8],
        score: NDArray[np.int64],
        rows: NDArray[np.int64] | None = None,
    ) -> list[Drift]:
        """Take a batch that was scored at ``time`` (event time, µs, not decreasing); returns what its coming completed.

        Parameters
        ----------
        ids, matrix, group, score
            uint64[n], float64[n, M] (or float32), uint8[n], int64[n]: as scored.
        rows
            int64[k]: which of them are the batch, in its order; by default all.

        Raises
        ------
        ValueError
            A group that does not exist.
        """
        reports = self._close_until(time)
        if rows is None:
            rows = np.arange(len(ids))
        by_group, ends = np.empty(len(rows), np.int64), np.zeros(len(self._groups) + 1, np.int64)
        if not _by_group(group, rows, by_group, ends):
            raise ValueError(f"group {group[rows].max()} is unknown: there are {len(self._groups)}")
        start = 0
        for own, end in zip(self._groups, ends.tolist(), strict=False):
            if end > start:
                own.take(ids, matrix, score, by_group[start:end])
            start = end
        return reports

    @property
    def kept_ids(self) -> list[int]:
        """Ids that a report may still name as examples; bounded."""
        return [row for group in self._groups for row in group.examples]

    def _close_until(self, time: int) -> list[Drift]:
        if self._tail_end is None:
            self._tail_end = time - time % self.config.tail_window_us + self.config.tail_window_us
            self._population_end = time - time % self.config.population_window_us + self.config.population_window_us
        reports = []
        if time >= self._tail_end:
            for index, group in enumerate(self._groups):
                reports += self._close_tail(index, group, self._tail_end)
            self._tail_end = time - time % self.config.tail_window_us + self.config.tail_window_us
        if time >= self._population_end:
            for index, group in enumerate(self._groups):
                reports += self._close_population(index, group, self._population_end)
            self._population_end = time - time % self.config.population_window_us + self.config.population_window_us
        return reports

    def _close_tail(self, index: int, group: GroupWindows, at: int) -> list[Drift]:
        reports = []
        for level, tail_from in enumerate(group.tail_from.tolist()):
            seen = int(group.scores[tail_from:].sum())
            if not seen:  # no row, or no tail to be watched
                continue
            usual, total = float(group.usual_scores.sum()), int(group.scores.sum())
            expected = (float(group.usual_scores[tail_from:].sum()) + 1.0) / (usual + 1.0) * total
            if poisson_tail(seen, expected) < self.config.tail_error:
                moved = self._moved(stability_index(group.tail_seen[level], group.usual) * self._steady)
                reports.append(Drift("tail", index, at, float(seen), expected, moved, group.examples))
                break
        if not reports and group.edges is not None:  # an attack does not become usual by going on
            group.fade()
        group.clear_tail()
        return reports

    def _close_population(self, index: int, group: GroupWindows, at: int) -> list[Drift]:
        reports = []
        if group.edges is not None and group.rows:
            stability = stability_index(group.seen, group.usual, CHANCE_DEVIATIONS) * self._steady
            moved = self._moved(stability * self._news(group, stability))
            if moved and moved[0][1] >= self.config.stability_limit:
                reports.append(Drift("population", index, at, moved[0][1], self.config.stability_limit, moved, ()))
            usual_rows = group.usual_rows / max(group.windows, 1)
            if group.windows >= 2 and group.rows > self.config.volume_limit * usual_rows:
                reports.append(Drift("volume", index, at, float(group.rows), usual_rows, (), ()))
            keep = 1.0 - 1.0 / self.config.memory
            group.usual = group.usual * keep + group.seen
            group.usual_rows += group.rows
            group.windows += 1
            if group.windows > self.config.memory:
                group.usual_rows *= (group.windows - 1) / group.windows
                group.windows -= 1
        group.seen[:] = 0.0
        group.rows = 0
        return reports

    def _news(self, group: GroupWindows, stability: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Inputs that moved further than they do by themselves from window to window; learns how far that is.

        Rows are not drawn one by one: payments of a payday, a popular payee, a customer's spree come together, and some
        inputs never stand still. What was told once is not news again until it has settled.
        """
        mean, square = group.usual_index
        news: NDArray[np.bool_] = stability >= mean + NEWS_DEVIATIONS * np.sqrt(np.maximum(square - mean * mean, 0.0))
        weight = 1.0 / min(group.windows + 1.0, self.config.memory)
        group.usual_index += weight * (np.stack((stability, stability * stability)) - group.usual_index)
        return news

    def _moved(self, stability: NDArray[np.float64]) -> tuple[tuple[str, float], ...]:
        order = np.argsort(-stability, kind="stable")[:5]
        return tuple((self.names[j], round(float(stability[j]), 4)) for j in order.tolist() if stability[j] > 0.0)
