"""What one group's windows have seen: histograms of its inputs and scores, and the reference they are held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

HOUR = 3_600_000_000
SCORE_STEP = 50
"""Scores are counted in steps of this many thousandths of log-odds, within :data:`SCORE_MOST` around 0."""
SCORE_MOST = 20_000
SCORE_BINS = 2 * SCORE_MOST // SCORE_STEP + 1
TAIL_FROM_ROWS = 5
LATE_PART = 10
"""An input that fewer than one in so many of the first rows have is binned later, when enough have come."""
NEVER = np.iinfo(np.int64).max


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


@njit(cache=True, nogil=True)
def _count_rows(
    matrix: Any, rows: Any, score: Any, edges: Any, seen: Any, scores: Any, tail_from: Any, tail_seen: Any
) -> None:
    """Add rows to histograms of cells and scores, and to those of the cells of each tail that the score is in.

    Edges float64[B - 1, M] rise, so that a cell's bin is how many it is above; counts float64[..., M, B + 1], missing
    last.
    """
    m, last = matrix.shape[1], seen.shape[1] - 1
    cells, places = np.empty(m), np.empty(m, np.int64)
    for row in rows:
        for j in range(m):
            cells[j] = matrix[row, j]
            places[j] = last if cells[j] != cells[j] else 0
        for k in range(edges.shape[0]):
            for j in range(m):
                places[j] += np.int64(cells[j] > edges[k, j])  # what is missing is above none
        for j in range(m):
            seen[j, places[j]] += 1.0
        score_bin = (min(max(score[row], -SCORE_MOST), SCORE_MOST) + SCORE_MOST) // SCORE_STEP
        scores[score_bin] += 1
        for level in range(tail_from.shape[0]):
            if score_bin >= tail_from[level]:
                for j in range(m):
                    tail_seen[level, j, places[j]] += 1.0


@njit(cache=True, nogil=True)
def _keep_top(ids: Any, score: Any, rows: Any, top: Any, top_ids: Any, kept: int) -> int:
    """The highest scores so far, int64[E], and their ids, of equal ones the least; returns how many there are.

    Of equal scores of one call only the first can be among them.
    """
    most = top.shape[0]
    best, count = np.empty(most, np.int64), 0
    if most == 0:
        return kept
    for row in rows:
        if count == most and score[row] <= score[best[count - 1]]:
            continue
        count = min(count + 1, most)
        at = count - 1
        while at > 0 and score[best[at - 1]] < score[row]:
            best[at] = best[at - 1]
            at -= 1
        best[at] = row
    for row in best[:count]:
        at = kept
        while at > 0 and (top[at - 1] < score[row] or (top[at - 1] == score[row] and top_ids[at - 1] > ids[row])):
            if at < most:
                top[at], top_ids[at] = top[at - 1], top_ids[at - 1]
            at -= 1
        if at < most:
            top[at], top_ids[at] = score[row], ids[row]
            kept = min(kept + 1, most)
    return kept


@njit(cache=True, nogil=True)
def _keep_late(matrix: Any, rows: Any, columns: Any, values: Any, counts: Any, full: Any) -> bool:
    """Keep the known cells of inputs without bins, float64[L, first rows]; returns whether any has enough of them now.

    ``full``, bool[L], written, says which; of those nothing was kept.
    """
    known = np.zeros(columns.shape[0], np.int64)
    for row in rows:
        for late in range(columns.shape[0]):
            cell = matrix[row, columns[late]]
            known[late] += np.int64(cell == cell)
    for late in range(columns.shape[0]):
        full[late] = counts[late] + known[late] >= values.shape[1]
        if full[late] or known[late] == 0:
            continue
        for row in rows:
            cell = matrix[row, columns[late]]
            if cell == cell:
                values[late, counts[late]] = cell
                counts[late] += 1
    any_full: bool = full.any()
    return any_full


@njit(cache=True, nogil=True)
def _fade(usual: Any, scores: Any, keep: float, shares: Any, tail_from: Any) -> None:
    """Let counts of scores fade and add new ones; then where each tail begins, float64[L] of ordinary rows being in it."""
    for k in range(usual.shape[0]):
        usual[k] = usual[k] * keep + scores[k]
    everything = 0.0
    for k in range(usual.shape[0] - 1, -1, -1):
        everything += usual[k]
    for level in range(shares.shape[0]):
        tail_from[level] = NEVER
        if everything * shares[level] < TAIL_FROM_ROWS:
            continue
        above = 0.0
        for k in range(usual.shape[0] - 1, -1, -1):
            above += usual[k]
            if above > shares[level] * everything:
                break
            tail_from[level] = k


class GroupWindows:
    """What one group's windows have seen.

    Parameters
    ----------
    width
        Inputs.
    """

    def __init__(self, width: int, config: DriftConfig) -> None:
        shape = (width, config.bins + 1)
        self.config = config
        self.first: list[tuple[NDArray[np.float64], NDArray[np.int64]]] = []
        self.edges: NDArray[np.float64] | None = None  # [bins - 1, width]
        # inputs that had too few values to set bins by, and those values
        self.late, self.late_counts = np.zeros((2, 0), np.int64)
        self.late_values = np.zeros((0, config.first_rows))
        levels = len(config.tail_shares)
        self.usual, self.seen = np.zeros(shape), np.zeros(shape)
        self.usual_index = np.zeros((2, width))  # fading mean and mean square of each input's stability index
        self.usual_rows = 0.0
        self.windows = 0
        self.rows = 0
        self.usual_scores = np.zeros(SCORE_BINS)  # fading counts
        self.scores = np.zeros(SCORE_BINS, np.int64)  # of the tail window
        self.tail_shares = np.array(config.tail_shares)
        self.tail_from = np.full(levels, NEVER)  # first bin of each tail
        self.tail_seen = np.zeros((levels, *shape))
        self.top = np.zeros(config.examples, np.int64)  # the highest scores of the tail window, and their ids
        self.top_ids = np.zeros(config.examples, np.uint64)
        self.kept = 0

    @property
    def examples(self) -> tuple[int, ...]:
        """Ids of the highest scores of the tail window."""
        return tuple(self.top_ids[: self.kept].tolist())

    def take(
        self,
        ids: NDArray[np.uint64],
        matrix: NDArray[np.floating[Any]],
        score: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        """Count rows, int64[k], of uint64[n], float64[n, M] (or float32) and int64[n]."""
        if self.edges is None:
            self.first.append((matrix[rows].astype(np.float64), score[rows]))
            if sum(len(s) for _, s in self.first) >= self.config.first_rows:
                self.edges = self._first_edges()
            return
        if len(self.late):
            self._set_late_bins(self.edges, matrix, rows)
        _count_rows(matrix, rows, score, self.edges, self.seen, self.scores, self.tail_from, self.tail_seen)
        self.rows += len(rows)
        self.kept = _keep_top(ids, score, rows, self.top, self.top_ids, self.kept)

    def fade(self) -> None:
        """The tail window's scores become usual, and older ones fade."""
        keep = 1.0 - self.config.tail_window_us / (self.config.memory * self.config.population_window_us)
        _fade(self.usual_scores, self.scores, keep, self.tail_shares, self.tail_from)

    def clear_tail(self) -> None:
        """The next tail window begins."""
        self.scores[:] = 0
        self.tail_seen[:] = 0.0
        self.kept = 0

    def _first_edges(self) -> NDArray[np.float64]:
        """Bins by the first rows, which become the reference."""
        matrix = np.concatenate([rows for rows, _ in self.first])
        score = np.concatenate([scores for _, scores in self.first])
        edges = np.full((self.config.bins - 1, matrix.shape[1]), np.inf)
        late = []
        for j, column in enumerate(matrix.T):
            known = column[~np.isnan(column)]
            if len(known) >= self.config.first_rows // LATE_PART:
                edges[:, j] = self._edges(known)
            else:
                late.append((j, known))
        self.late = np.array([j for j, _ in late], np.int64)
        self.late_counts = np.array([len(known) for _, known in late], np.int64)
        self.late_values = np.empty((len(late), self.config.first_rows))
        for values, (_, known) in zip(self.late_values, late, strict=True):
            values[: len(known)] = known
        self.first = []
        scores, rows = np.zeros_like(self.scores), np.arange(len(matrix))
        _count_rows(matrix, rows, score, edges, self.usual, scores, self.tail_from[:0], self.tail_seen)
        _fade(self.usual_scores, scores, 1.0, self.tail_shares, self.tail_from)
        return edges

    def _edges(self, known: NDArray[np.float64]) -> NDArray[np.float64]:
        """Edges of bins of equal counts."""
        shares = np.arange(1, self.config.bins) / self.config.bins
        ordered = np.sort(known)
        edges: NDArray[np.float64] = ordered[(shares * len(ordered)).astype(np.int64)]
        return edges

    def _set_late_bins(
        self, edges: NDArray[np.float64], matrix: NDArray[np.floating[Any]], rows: NDArray[np.int64]
    ) -> None:
        """An input that hardly any first row had (habits, on a line that has just begun) gets its bins when it has come."""
        full = np.zeros(len(self.late), np.bool_)
        if not _keep_late(matrix, rows, self.late, self.late_values, self.late_counts, full):
            return
        for place in np.flatnonzero(full).tolist():
            j = int(self.late[place])
            column = matrix[rows, j].astype(np.float64)
            kept = self.late_values[place, : self.late_counts[place]]
            edges[:, j] = self._edges(np.concatenate((kept, column[~np.isnan(column)])))
            self.usual[j], self.seen[j] = 0.0, 0.0
        self.late, self.late_counts = self.late[~full], self.late_counts[~full]
        self.late_values = self.late_values[~full]
