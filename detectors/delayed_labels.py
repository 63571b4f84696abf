"""The join of features and labels: features as scored wait for their label or for maturity.

Bounded: at most ``capacity`` rows wait. When they would be more, a deterministic half of all transactions (chosen by
their hash) is let go and every row kept counts twice; when the load falls the sampling is undone step by step. Labels that
come before their features wait too, the oldest leave first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.snapshot import require_array

UNLABELLED, GENUINE, FRAUD = -1, 0, 1
_COLUMNS: dict[str, str] = {
    "hash": "<u8",  # transaction
    "time": "<i8",  # event time, µs
    "weight": "<f4",  # transactions this row stands for
    "trust": "<f4",  # of the label's source, 0-1
    "label": "<i4",  # UNLABELLED, GENUINE, FRAUD
    "group": "|u1",
    "suspected": "|b1",
}


@dataclass(slots=True)
class Rows:
    """Rows that leave the buffer, oldest first; arrays of equal length, ``matrix`` float32[n, M]."""

    hash: NDArray[np.uint64]
    time: NDArray[np.int64]
    weight: NDArray[np.float32]
    trust: NDArray[np.float32]
    label: NDArray[np.int32]
    group: NDArray[np.uint8]
    suspected: NDArray[np.bool_]
    matrix: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.hash)


class DelayedLabels:
    """Features as scored, waiting.

    Parameters
    ----------
    width
        Columns of the matrix; cells are kept as float32.
    capacity
        Most rows that wait.
    early_capacity
        Most labels that wait for their features.

    Examples
    --------
    >>> waiting = DelayedLabels(width=1, capacity=100, early_capacity=10)
    >>> waiting.add(np.array([7], np.uint64), np.array([0]), np.array([[0.5]]), np.zeros(1, np.uint8), np.zeros(1, bool))
    []
    >>> waiting.find(7)
    0
    >>> waiting.set_label(0, FRAUD, 1.0)
    >>> [int(label) for label in waiting.pop_until(0).label]
    [1]
    """

    def __init__(self, width: int, capacity: int, early_capacity: int) -> None:
        self.width = width
        self.capacity = capacity
        self.early_capacity = early_capacity
        self.level = 0
        self.dropped = 0
        self._early: dict[int, tuple[int, int, float]] = {}
        self._start = 0
        self._end = 0
        self._place: dict[int, int] = {}
        self._columns = {name: np.zeros(0, dtype=dtype) for name, dtype in _COLUMNS.items()}
        self._matrix = np.zeros((0, width), dtype=np.float32)

    def __len__(self) -> int:
        return self._end - self._start

    def add(
        self,
        transaction_hash: NDArray[np.uint64],
        event_time: NDArray[np.int64],
        matrix: NDArray[np.float64],
        group: NDArray[np.uint8],
        suspected: NDArray[np.bool_],
    ) -> list[tuple[int, int, float]]:
        """Append rows; returns (row, label, trust) for those whose label came first. A hash already here is left alone."""
        hashes = transaction_hash.tolist()
        kept = self._new(hashes)
        while len(self) + len(kept) > self.capacity:
            self._halve()
            kept = [i for i in kept if self._sampled(hashes[i])]
        self._reserve(len(kept))
        span = slice(self._end, self._end + len(kept))
        chosen = slice(None) if len(kept) == len(hashes) else kept  # all of them need no copy
        self._columns["hash"][span] = transaction_hash[chosen]
        self._columns["time"][span] = event_time[chosen]
        self._columns["group"][span] = group[chosen]
        self._columns["suspected"][span] = suspected[chosen]
        self._columns["weight"][span] = 2.0**self.level
        self._matrix[span] = matrix[chosen]
        self._end = span.stop
        new = [hashes[i] for i in kept]
        self._place.update(zip(new, range(span.start, span.stop), strict=True))
        early = []
        for h in new if self._early else ():
            if h in self._early:
                _, label, trust = self._early.pop(h)
                early.append((self._place[h], label, trust))
        return early

    def find(self, transaction_hash: int) -> int | None:
        """The row of a waiting transaction, or None."""
        return self._place.get(transaction_hash)

    def keep_early(self, transaction_hash: int, time: int, label: int, trust: float) -> None:
        """Keep a label whose features have not come yet; a later one for the same transaction replaces it."""
        self._early.pop(transaction_hash, None)
        self._early[transaction_hash] = (time, label, trust)
        if len(self._early) > self.early_capacity:
            del self._early[next(iter(self._early))]
            self.dropped += 1

    def set_label(self, row: int, label: int, trust: float) -> None:
        """Label a waiting row; the last label counts."""
        self._columns["label"][row] = label
        self._columns["trust"][row] = trust

    def latest(self, most: int) -> Rows:
        """The rows that came last, at most so many, as a copy."""
        return self._slice(max(self._start, self._end - most), self._end)

    def pop_until(self, time: int) -> Rows:
        """Take the oldest rows, up to the first with a later event time (rows leave in the order they came)."""
        later = np.flatnonzero(self._columns["time"][self._start : self._end] > time)
        end = self._start + int(later[0]) if len(later) else self._end
        rows = self._slice(self._start, end)
        for h in rows.hash.tolist():
            del self._place[h]
        self._start = end
        if self.level and len(self) < self.capacity // 8:
            self.level -= 1
        return rows

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Description and arrays for a snapshot."""
        arrays = {name: column[self._start : self._end].copy() for name, column in self._columns.items()}
        arrays["matrix"] = self._matrix[self._start : self._end].copy()
        early = list(self._early.items())
        arrays["early_hash"] = np.array([h for h, _ in early], dtype=np.uint64)
        arrays["early_time"] = np.array([v[0] for _, v in early], dtype=np.int64)
        arrays["early_label"] = np.array([v[1] for _, v in early], dtype=np.int32)
        arrays["early_trust"] = np.array([v[2] for _, v in early], dtype=np.float64)
        return {"level": self.level, "dropped": self.dropped}, arrays

    def load(self, description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up :meth:`state` again.

        Raises
        ------
        SnapshotError
            An array is absent or of another shape.
        """
        n = len(require_array(arrays, "hash", "u8", (-1,)))
        self.level, self.dropped = int(description["level"]), int(description["dropped"])
        self._columns = {name: require_array(arrays, name, dtype, (n,)).copy() for name, dtype in _COLUMNS.items()}
        self._matrix = require_array(arrays, "matrix", "f4", (n, self.width)).copy()
        self._start, self._end = 0, n
        self._place = {h: at for at, h in enumerate(self._columns["hash"].tolist())}
        names = (("early_hash", "u8"), ("early_time", "i8"), ("early_label", "i4"), ("early_trust", "f8"))
        early = [require_array(arrays, name, dtype, (-1,)).tolist() for name, dtype in names]
        self._early = {h: (t, label, trust) for h, t, label, trust in zip(*early, strict=True)}

    def _new(self, hashes: list[int]) -> list[int]:
        """Places of the hashes to keep: the first of each that is not here and belongs to the sample."""
        if not self.level and len(set(hashes)) == len(hashes) and self._place.keys().isdisjoint(hashes):
            return list(range(len(hashes)))
        first = {h: i for i, h in reversed(list(enumerate(hashes))) if h not in self._place and self._sampled(h)}
        return sorted(first.values())

    def _sampled(self, transaction_hash: int) -> bool:
        return not transaction_hash & ((1 << self.level) - 1)

    def _halve(self) -> None:
        """Let go of half the transactions by hash; the rest count twice."""
        self.level += 1
        hashes = self._columns["hash"][self._start : self._end]
        keep = (hashes & np.uint64((1 << self.level) - 1)) == 0
        self.dropped += int(len(keep) - keep.sum())
        self._repack(keep, len(keep))
        self._columns["weight"][: self._end] *= 2.0

    def _repack(self, keep: NDArray[np.bool_], room: int) -> None:
        """Copy the kept rows to the front of arrays with the given room."""
        span = slice(self._start, self._end)
        kept = int(keep.sum())
        for name, column in self._columns.items():
            self._columns[name] = np.zeros(room, dtype=column.dtype)
            self._columns[name][:kept] = column[span][keep]
        matrix = np.zeros((room, self.width), dtype=np.float32)
        matrix[:kept] = self._matrix[span][keep]
        self._matrix = matrix
        self._start, self._end = 0, kept
        self._place = {h: at for at, h in enumerate(self._columns["hash"][:kept].tolist())}

    def _reserve(self, rows: int) -> None:
        if self._end + rows > len(self._columns["hash"]):
            waiting = len(self)
            self._repack(np.ones(waiting, dtype=np.bool_), max(1024, 2 * (waiting + rows)))
        fresh = slice(self._end, self._end + rows)
        self._columns["label"][fresh] = UNLABELLED
        self._columns["trust"][fresh] = 1.0

    def _slice(self, start: int, end: int) -> Rows:
        columns = {name: column[start:end].copy() for name, column in self._columns.items()}
        return Rows(**columns, matrix=self._matrix[start:end].copy())
