"""The join of features and labels: features as scored wait for their label or for maturity.

Bounded: at most ``capacity`` rows wait. When they would be more, a deterministic half of all transactions (chosen by
their hash) is let go and every row kept counts twice; when the load falls the sampling is undone step by step. Labels that
come before their features wait too, the oldest leave first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.row_index import RowIndex
from detectors.snapshot import require_array

UNLABELLED, GENUINE, FRAUD = -1, 0, 1
WITHDRAWN = 2
"""Of a transaction that was never made: it leaves unlearned."""
CHUNK = 4_096
"""Rows that are kept together: growing copies none, and what left is let go chunk by chunk."""
_COLUMNS: dict[str, str] = {
    "hash": "<u8",  # transaction
    "time": "<i8",  # event time, µs
    "weight": "<f4",  # transactions this row stands for
    "trust": "<f4",  # of the label's source, 0-1
    "label": "<i4",  # UNLABELLED, GENUINE, FRAUD, WITHDRAWN
    "group": "|u1",
    "suspected": "|b1",
    "matrix": "<f4",
}


@dataclass(slots=True)
class LabelledRows:
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

    @classmethod
    def room(cls, count: int, width: int) -> LabelledRows:
        """So many rows, not written yet."""
        shapes = {name: (count, width) if name == "matrix" else (count,) for name in _COLUMNS}
        return cls(**{name: np.empty(shapes[name], dtype) for name, dtype in _COLUMNS.items()})

    @classmethod
    def joined(cls, parts: Sequence[LabelledRows]) -> LabelledRows:
        """Copies of the rows of several, in order; at least one."""
        return cls(**{name: np.concatenate([part.column(name) for part in parts]) for name in _COLUMNS})

    def column(self, name: str) -> NDArray[Any]:
        """One of the arrays."""
        array: NDArray[Any] = getattr(self, name)
        return array

    def part(self, start: int, stop: int) -> LabelledRows:
        """Some of the rows, not copied."""
        return LabelledRows(**{name: self.column(name)[start:stop] for name in _COLUMNS})

    def chosen(self, keep: NDArray[np.bool_]) -> LabelledRows:
        """Copies of the rows that are kept."""
        return LabelledRows(**{name: self.column(name)[keep] for name in _COLUMNS})

    def put(self, at: int, rows: LabelledRows) -> None:
        """Overwrite rows from a place on."""
        for name in _COLUMNS:
            self.column(name)[at : at + len(rows)] = rows.column(name)


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
        self._index = RowIndex()
        self._chunks: list[LabelledRows] = []
        self._start = self._end = 0  # rows are numbered on and on, from a multiple of CHUNK in the first chunk

    def __len__(self) -> int:
        return self._end - self._start

    def add(
        self,
        transaction_hash: NDArray[np.uint64],
        event_time: NDArray[np.int64],
        matrix: NDArray[np.floating[Any]],
        group: NDArray[np.uint8],
        suspected: NDArray[np.bool_],
    ) -> list[tuple[int, int, float]]:
        """Append rows; returns (row, label, trust) for those whose label came first. A hash already here is left alone."""
        kept = self._enter(transaction_hash)
        while len(self) + len(kept) > self.capacity:
            self._halve()
            kept = self._enter(transaction_hash)
        first = self._end
        for start in range(0, len(kept), CHUNK):
            places: Any = kept[start : start + CHUNK]
            if len(places) and places[-1] - places[0] + 1 == len(places):  # all of a span: it need not be gathered
                places = slice(int(places[0]), int(places[-1]) + 1)
            hashes = transaction_hash[places]
            count = len(hashes)
            self._append(
                LabelledRows(
                    hashes, event_time[places], np.full(count, 2.0**self.level, np.float32),
                    np.ones(count, np.float32), np.full(count, UNLABELLED, np.int32), group[places],
                    suspected[places], matrix[places],
                )
            )  # fmt: skip
        return self._early_of(transaction_hash[kept], first) if self._early else []

    def find(self, transaction_hash: int) -> int | None:
        """The row of a waiting transaction, or None."""
        row = self._index.find(transaction_hash, self._start)
        return None if row < 0 else row

    def keep_early(self, transaction_hash: int, time: int, label: int, trust: float) -> None:
        """Keep a label whose features have not come yet; a later one for the same transaction replaces it."""
        self._early.pop(transaction_hash, None)
        self._early[transaction_hash] = (time, label, trust)
        if len(self._early) > self.early_capacity:
            del self._early[next(iter(self._early))]
            self.dropped += 1

    def has_early(self, transaction_hash: int) -> bool:
        """Whether a label waits for its features."""
        return transaction_hash in self._early

    def forget_early(self, transaction_hash: int) -> None:
        """Let go of a label whose features have not come."""
        self._early.pop(transaction_hash, None)

    def label_of(self, row: int) -> int:
        """Of a waiting row."""
        chunk, place = divmod(row - self._first(), CHUNK)
        return int(self._chunks[chunk].label[place])

    def set_label(self, row: int, label: int, trust: float) -> None:
        """Label a waiting row; the last label counts."""
        chunk, place = divmod(row - self._first(), CHUNK)
        self._chunks[chunk].label[place] = label
        self._chunks[chunk].trust[place] = trust

    def mend(self, until: int) -> None:
        """Times beyond ``until``, µs, become it."""
        for part in self._parts(self._start, self._end):
            np.minimum(part.time, until, out=part.time)
        self._early = {name: (min(time, until), *rest) for name, (time, *rest) in self._early.items()}  # type: ignore[misc]

    def latest(self, most: int) -> LabelledRows:
        """The rows that came last, at most so many, as a copy."""
        return LabelledRows.joined(self._parts(max(self._start, self._end - most), self._end))

    def pop_until(self, time: int) -> LabelledRows:
        """Take the oldest rows, up to the first with a later event time (rows leave in the order they came)."""
        end = self._start
        for part in self._parts(self._start, self._end):
            later = np.flatnonzero(part.time > time)
            end += int(later[0]) if len(later) else len(part)
            if len(later):
                break
        rows = LabelledRows.joined(self._parts(self._start, end))
        del self._chunks[: (end - self._first()) // CHUNK]
        self._start = end
        if self.level and len(self) < self.capacity // 8:
            self.level -= 1
        return rows

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Description and arrays for a snapshot."""
        waiting = self.latest(len(self))
        arrays = {name: waiting.column(name) for name in _COLUMNS}
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
        shapes = {name: (n, self.width) if name == "matrix" else (n,) for name in _COLUMNS}
        self._clear()
        self._append(
            LabelledRows(**{name: require_array(arrays, name, dtype, shapes[name]) for name, dtype in _COLUMNS.items()})
        )
        self._index_all()
        names = (("early_hash", "u8"), ("early_time", "i8"), ("early_label", "i4"), ("early_trust", "f8"))
        early = [require_array(arrays, name, dtype, (-1,)).tolist() for name, dtype in names]
        self._early = {h: (t, label, trust) for h, t, label, trust in zip(*early, strict=True)}

    def _enter(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Places of the hashes to keep: the first of each that is not here and belongs to the sample."""
        return self._index.enter(hashes, (1 << self.level) - 1, self._start, self._end)

    def _early_of(self, hashes: NDArray[np.uint64], first: int) -> list[tuple[int, int, float]]:
        """Takes the early labels of rows that have come; their rows are numbered from ``first`` on."""
        came = [(row, h) for row, h in enumerate(hashes.tolist(), first) if h in self._early]
        return [(row, *self._early.pop(h)[1:]) for row, h in came]

    def _halve(self) -> None:
        """Let go of half the transactions by hash; the rest count twice."""
        self.level += 1
        waiting, parts = len(self), self._parts(self._start, self._end)
        self._clear()
        for part in parts:
            kept = part.chosen((part.hash & np.uint64((1 << self.level) - 1)) == 0)
            kept.weight *= 2.0
            self._append(kept)
        self.dropped += waiting - len(self)
        self._index_all()

    def _clear(self) -> None:
        self._chunks, self._start, self._end = [], 0, 0

    def _index_all(self) -> None:
        self._index.clear()
        end = 0
        for part in self._parts(0, self._end):
            self._index.enter(part.hash, 0, 0, end)
            end += len(part)

    def _append(self, rows: LabelledRows) -> None:
        done = 0
        while done < len(rows):
            place = self._end % CHUNK
            if place == 0:
                self._chunks.append(LabelledRows.room(CHUNK, self.width))
            part = rows.part(done, done + CHUNK - place)
            self._chunks[-1].put(place, part)
            done += len(part)
            self._end += len(part)

    def _first(self) -> int:
        """The row that the first chunk begins with."""
        return self._start - self._start % CHUNK

    def _parts(self, start: int, stop: int) -> list[LabelledRows]:
        """Rows by their numbers where they lie, chunk by chunk; an empty part where there are none."""
        first, parts = self._first(), []
        for number in range((start - first) // CHUNK, -(-(stop - first) // CHUNK)):
            begin = first + number * CHUNK
            parts.append(self._chunks[number].part(max(start - begin, 0), stop - begin))
        return parts or [LabelledRows.room(0, self.width)]
