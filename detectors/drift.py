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

Kind = Literal["volume", "population", "tail"]
HOUR = 3_600_000_000


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """Windows and limits.

    Parameters
    ----------
    bins
        Equal-count bins of each input; missing cells have one of their own.
    first_rows
        Rows of a group from which its bins are set; nothing is reported before.
    tail_window_us, population_window_us
        Event time after which the tail, and the inputs and the volume, are compared with the reference, µs.
    tail_shares
        Shares of ordinary rows that count as the tail of the score, falling: a small attack drowns in a broad tail and
        stands out in a narrow one. A tail is watched once five rows of the reference are in it.
    tail_error
        Most probability, under the reference, of as many rows in a tail and window as were seen: below it is an alarm.
    stability_limit
        Population stability index of an input from which it has moved; .1 is slight, .25 is large by custom.
    volume_limit
        Rows in a window over the usual, from which it is told.
    memory
        Population windows over which the reference fades.
    examples
        Most examples per report.
    """

    bins: int = 10
    first_rows: int = 2_000
    tail_window_us: int = HOUR
    population_window_us: int = 24 * HOUR
    tail_shares: tuple[float, ...] = (0.005, 0.0005, 0.00005)
    tail_error: float = 1e-6
    stability_limit: float = 0.25
    volume_limit: float = 2.0
    memory: float = 14.0
    examples: int = 5


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


@njit(cache=True, nogil=True)
def _count(matrix: Any, chosen: Any, edges: Any, counts: Any) -> None:
    """Add the chosen rows to histograms: edges float64[M, B - 1], counts float64[M, B + 1], missing last."""
    n, m = matrix.shape
    last = counts.shape[1] - 1
    for i in range(n):
        if not chosen[i]:
            continue
        for j in range(m):
            x = matrix[i, j]
            place = 0
            if x != x:
                place = last
            else:
                while place < edges.shape[1] and x > edges[j, place]:
                    place += 1
            counts[j, place] += 1.0


SCORE_STEP = 50
"""Scores are counted in steps of this many thousandths of log-odds, within :data:`SCORE_MOST` around 0."""
SCORE_MOST = 20_000
_SCORE_BINS = 2 * SCORE_MOST // SCORE_STEP + 1
TAIL_FROM_ROWS = 5
CHANCE_DEVIATIONS = 4.0
"""How much more than its mean sampling alone may give before an input has moved."""
NEWS_DEVIATIONS = 4.0
"""How much further than usual, in deviations of its own past index, an input has to move to be told."""
LATE_PART = 10
"""An input that fewer than one in so many of the first rows have is binned later, when enough have come."""
NEVER = np.iinfo(np.int64).max


def score_bins(score: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bin of each score, int64[n]: 0 the lowest.

    >>> score_bins(np.array([-20_000, -19_999, 0, 30_000])).tolist()
    [0, 0, 400, 800]
    """
    bins: NDArray[np.int64] = (np.clip(score, -SCORE_MOST, SCORE_MOST) + SCORE_MOST) // SCORE_STEP
    return bins


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
    index = ((p - q) * np.log(p / q)).sum(axis=1)
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
    term = math.exp(-expected + seen * math.log(expected) - math.lgamma(seen + 1)) if expected > 0 else 0.0
    total = 0.0
    for k in range(seen, seen + 1000):
        total += term
        term *= expected / (k + 1)
        if term < total * 1e-12:
            break
    return min(total, 1.0)


class _Group:
    """What one group's windows have seen."""

    def __init__(self, width: int, config: DriftConfig) -> None:
        shape = (width, config.bins + 1)
        self.first: list[tuple[NDArray[np.float64], NDArray[np.int64]]] = []
        self.edges: NDArray[np.float64] | None = None
        self.late: dict[int, NDArray[np.float64]] = {}  # values of inputs that had too few to set bins by
        levels = len(config.tail_shares)
        self.usual, self.seen = np.zeros(shape), np.zeros(shape)
        self.usual_index = np.zeros((2, width))  # fading mean and mean square of each input's stability index
        self.usual_rows = 0.0
        self.windows = 0
        self.rows = 0
        self.usual_scores = np.zeros(_SCORE_BINS)  # fading counts
        self.scores = np.zeros(_SCORE_BINS, np.int64)  # of the tail window
        self.tail_from = np.full(levels, NEVER)  # first bin of each tail
        self.tail_seen = np.zeros((levels, *shape))
        self.top: list[tuple[int, int]] = []  # (-score, id), the highest of the tail window

    def set_tails(self, shares: Sequence[float]) -> None:
        """Where each tail begins, by the reference: no more than its share of rows is in it."""
        above = np.cumsum(self.usual_scores[::-1])[::-1]
        for level, share in enumerate(shares):
            inside = np.flatnonzero(above <= share * above[0])
            self.tail_from[level] = inside[0] if above[0] * share >= TAIL_FROM_ROWS and len(inside) else NEVER


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
        self._groups = [_Group(len(self.names), self.config) for _ in range(groups)]
        self._tail_end: int | None = None
        self._population_end = 0

    def observe(
        self,
        ids: NDArray[np.uint64],
        time: int,
        matrix: NDArray[np.float64],
        group: NDArray[np.uint8],
        score: NDArray[np.int64],
    ) -> list[Drift]:
        """Take a batch that was scored at ``time`` (event time, µs, not decreasing); returns what its coming completed.

        Parameters
        ----------
        ids, matrix, group, score
            uint64[n], float64[n, M], uint8[n], int64[n]: as scored.
        """
        reports = self._close_until(time)
        for index in np.unique(group).tolist():
            chosen = group == index
            self._take(self._groups[index], ids[chosen], matrix[chosen], score[chosen])
        return reports

    def _take(
        self, group: _Group, ids: NDArray[np.uint64], matrix: NDArray[np.float64], score: NDArray[np.int64]
    ) -> None:
        if group.edges is None:
            group.first.append((matrix.copy(), score.copy()))
            if sum(len(s) for _, s in group.first) >= self.config.first_rows:
                self._set_bins(group)
            return
        if group.late:
            self._set_late_bins(group, matrix)
        everything = np.ones(len(matrix), dtype=np.bool_)
        _count(matrix, everything, group.edges, group.seen)
        bins = score_bins(score)
        for level, tail_from in enumerate(group.tail_from.tolist()):
            tail = bins >= tail_from
            if tail.any():
                _count(matrix, tail, group.edges, group.tail_seen[level])
        group.rows += len(matrix)
        group.scores += np.bincount(bins, minlength=_SCORE_BINS)
        best = np.argsort(-score, kind="stable")[: self.config.examples]
        group.top = sorted([*group.top, *zip((-score[best]).tolist(), ids[best].tolist(), strict=True)])
        del group.top[self.config.examples :]

    @property
    def kept_ids(self) -> list[int]:
        """Ids that a report may still name as examples; bounded."""
        return [row for group in self._groups for _, row in group.top]

    def _set_bins(self, group: _Group) -> None:
        matrix = np.concatenate([rows for rows, _ in group.first])
        score = np.concatenate([scores for _, scores in group.first])
        edges = np.full((len(self.names), self.config.bins - 1), np.inf)
        for j, column in enumerate(matrix.T):
            known = column[~np.isnan(column)]
            if len(known) >= self.config.first_rows // LATE_PART:
                edges[j] = self._edges(known)
            else:
                group.late[j] = known
        group.edges = edges
        group.first = []
        group.usual_scores += np.bincount(score_bins(score), minlength=_SCORE_BINS)
        group.set_tails(self.config.tail_shares)
        _count(matrix, np.ones(len(matrix), dtype=np.bool_), edges, group.usual)

    def _edges(self, known: NDArray[np.float64]) -> NDArray[np.float64]:
        """Edges of bins of equal counts."""
        shares = np.arange(1, self.config.bins) / self.config.bins
        ordered = np.sort(known)
        edges: NDArray[np.float64] = ordered[(shares * len(ordered)).astype(np.int64)]
        return edges

    def _set_late_bins(self, group: _Group, matrix: NDArray[np.float64]) -> None:
        """An input that hardly any first row had (habits, on a line that has just begun) gets its bins when it has come."""
        assert group.edges is not None
        late = np.array(list(group.late))
        known = ~np.isnan(matrix[:, late])
        for j in late[known.any(axis=0)].tolist():
            column = matrix[:, j]
            # joined at once, so that no more is kept than the first rows, however many batches they come in
            values = group.late[j] = np.concatenate((group.late[j], column[~np.isnan(column)]))
            if len(values) >= self.config.first_rows:
                group.edges[j] = self._edges(values)
                group.usual[j], group.seen[j] = 0.0, 0.0
                del group.late[j]

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

    def _close_tail(self, index: int, group: _Group, at: int) -> list[Drift]:
        reports = []
        usual, total = float(group.usual_scores.sum()), int(group.scores.sum())
        for level, tail_from in enumerate(group.tail_from.tolist()):
            if tail_from == NEVER:
                continue
            seen = int(group.scores[tail_from:].sum())
            expected = (float(group.usual_scores[tail_from:].sum()) + 1.0) / (usual + 1.0) * total
            if poisson_tail(seen, expected) < self.config.tail_error:
                moved = self._moved(stability_index(group.tail_seen[level], group.usual) * self._steady)
                examples = tuple(row for _, row in group.top)
                reports.append(Drift("tail", index, at, float(seen), expected, moved, examples))
                break
        if not reports and group.edges is not None:  # an attack does not become usual by going on
            keep = 1.0 - self.config.tail_window_us / (self.config.memory * self.config.population_window_us)
            group.usual_scores = group.usual_scores * keep + group.scores
            group.set_tails(self.config.tail_shares)
        group.scores[:] = 0
        group.tail_seen[:] = 0.0
        group.top = []
        return reports

    def _close_population(self, index: int, group: _Group, at: int) -> list[Drift]:
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

    def _news(self, group: _Group, stability: NDArray[np.float64]) -> NDArray[np.bool_]:
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
