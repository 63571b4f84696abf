"""Half-space trees over flat arrays: River's anomaly detector, bit for bit, compiled."""

from __future__ import annotations

import collections
import random
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from river import base

PADDING = 0.15
"""Share of a range, at both ends, where no split is made; River's constant."""
SIZE_LIMIT = 0.1
"""A node lighter than this share of the window ends a walk; from the paper."""


@njit(cache=True, nogil=True)
def score_mass(row: Any, present: Any, feature: Any, threshold: Any, reference: Any, latest: Any, limit: float) -> int:
    """Sum over trees of mass times 2^depth along the row's path; high where the row lies in dense places.

    Whole numbers, so the order of adding does not matter.

    Parameters
    ----------
    row, present
        float64[F] and bool[F]: cells, and whether the cell is there at all (NaN is a value: it goes right).
    feature, threshold
        int32[T, 2^h - 1] and float64: splits in heap order (children of i are 2i + 1 and 2i + 2).
    reference, latest
        int64[T, 2^(h+1) - 1]: mass of the last full window, which is scored; mass of the running one, which says
        where a missing cell goes.
    limit
        A node with less reference mass ends the walk.
    """
    total = 0
    inner = feature.shape[1]
    for t in range(feature.shape[0]):
        node = 0
        power = 1
        while True:
            mass = reference[t, node]
            total += mass * power
            if node >= inner or mass < limit:
                break
            node = _step(row, present, feature, threshold, latest, t, node)
            power *= 2
    return total


@njit(cache=True, nogil=True)
def add_mass(row: Any, present: Any, feature: Any, threshold: Any, latest: Any) -> None:
    """Count the row in every node of its path; arguments as in :func:`score_mass`."""
    inner = feature.shape[1]
    for t in range(feature.shape[0]):
        node = 0
        while node < inner:
            latest[t, node] += 1
            node = _step(row, present, feature, threshold, latest, t, node)
        latest[t, node] += 1


@njit(cache=True, nogil=True, inline="always")
def _step(row: Any, present: Any, feature: Any, threshold: Any, latest: Any, t: int, node: int) -> int:
    f = feature[t, node]
    left = 2 * node + 1
    if present[f]:
        return left if row[f] < threshold[t, node] else left + 1
    return left + 1 if latest[t, left] < latest[t, left + 1] else left


@njit(cache=True, nogil=True)
def learn_rows(
    rows: Any, present: Any, feature: Any, threshold: Any, reference: Any, latest: Any, count: int, window: int
) -> int:
    """Learn float64[n, F] in order; a full window becomes the reference. Returns the new running count."""
    for i in range(rows.shape[0]):
        add_mass(rows[i], present, feature, threshold, latest)
        count += 1
        if count == window:
            reference[:] = latest
            latest[:] = 0
            count = 0
    return count


@njit(cache=True, nogil=True)
def score_rows(rows: Any, present: Any, feature: Any, threshold: Any, reference: Any, latest: Any, limit: float) -> Any:
    """:func:`score_mass` of float64[n, F] as int64[n]."""
    masses = np.empty(rows.shape[0], dtype=np.int64)
    for i in range(rows.shape[0]):
        masses[i] = score_mass(rows[i], present, feature, threshold, reference, latest, limit)
    return masses


def grow(
    limits: Sequence[tuple[float, float]], n_trees: int, height: int, rng: random.Random
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Splits of random trees over the given ranges, in heap order, drawn from ``rng`` exactly as River draws them.

    Returns
    -------
    feature, threshold
        int32[n_trees, 2^height - 1], float64 of the same shape.
    """
    inner = 2**height - 1
    feature = np.zeros((n_trees, inner), dtype=np.int32)
    threshold = np.zeros((n_trees, inner), dtype=np.float64)
    for t in range(n_trees):
        _split(list(limits), 0, feature[t], threshold[t], rng)
    return feature, threshold


def _split(
    ranges: list[tuple[float, float]],
    node: int,
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    rng: random.Random,
) -> None:
    if node >= len(feature):
        return
    chosen = rng.choices(range(len(ranges)), weights=[high - low for low, high in ranges])[0]
    low, high = ranges[chosen]
    at = rng.uniform(low + PADDING * (high - low), high - PADDING * (high - low))
    feature[node], threshold[node] = chosen, at
    for child, part in ((2 * node + 1, (low, at)), (2 * node + 2, (at, high))):
        ranges[chosen] = part
        _split(ranges, child, feature, threshold, rng)
    ranges[chosen] = (low, high)


def _unit_range() -> tuple[float, float]:
    return (0.0, 1.0)


class HalfSpaceTrees(base.AnomalyDetector):
    """Half-space trees: random splits of the feature space, and how many rows of the last window fell where.

    Scores equal :class:`river.anomaly.HalfSpaceTrees` bit for bit for the same seed and rows, missing, emerging, NaN,
    bool and reordered features included; numbers beyond 2^53 are the exception, they are read as float64. Good at
    rows that lie alone; blind to anomalies that come packed together, and to any single feature among many: on the
    handbook's card stream it finds next to nothing by itself (see docs/models/half_space_trees.md).

    Parameters
    ----------
    n_trees
        Number of trees.
    height
        Depth of each tree: ``2 ** (height + 1) - 1`` nodes.
    window_size
        Rows after which the running window becomes the reference. Nothing scores before the first is full.
    limits
        Range of each feature; [0, 1] where not given.
    seed
        Seed of the splits.

    Examples
    --------
    >>> model = HalfSpaceTrees(n_trees=5, height=3, window_size=3, seed=42)
    >>> for x in (0.5, 0.45, 0.43):
    ...     model.learn_one({"x": x})
    >>> for x in (0.5, 0.45, 0.0):
    ...     model.learn_one({"x": x})
    ...     print(f"{model.score_one({'x': x}):.3f}")
    0.107
    0.071
    0.569

    References
    ----------
    Tan, Ting, Liu, Fast Anomaly Detection for Streaming Data, IJCAI (2011).
    """

    def __init__(
        self,
        n_trees: int = 10,
        height: int = 8,
        window_size: int = 250,
        limits: dict[base.typing.FeatureName, tuple[float, float]] | None = None,
        seed: int | None = None,
    ) -> None:
        self.n_trees = n_trees
        self.height = height
        self.window_size = window_size
        self.limits: collections.defaultdict[base.typing.FeatureName, tuple[float, float]]
        self.limits = collections.defaultdict(_unit_range)
        if limits is not None:
            self.limits.update(limits)
        self.seed = seed
        self.rng = random.Random(seed)
        self.features: tuple[Hashable, ...] = ()
        self.counter = 0
        self._scores = False
        self._feature = np.zeros((0, 0), dtype=np.int32)
        self._threshold = np.zeros((0, 0), dtype=np.float64)
        self._reference = np.zeros((0, 0), dtype=np.int64)
        self._latest = np.zeros((0, 0), dtype=np.int64)
        self._row = np.zeros(0)
        self._present = np.zeros(0, dtype=np.bool_)
        self._all = np.zeros(0, dtype=np.bool_)

    @property
    def size_limit(self) -> float:
        """Reference mass below which a walk ends."""
        return SIZE_LIMIT * self.window_size

    @property
    def _max_score(self) -> int:
        nodes: int = 2 ** (self.height + 1) - 1
        return self.n_trees * self.window_size * nodes

    def learn_one(self, x: Mapping[Hashable, Any]) -> None:
        """Count the row; the very first one fixes the features, sorted by name."""
        if not self.features:
            self._plant(sorted(x))  # type: ignore[type-var]
        self._learn(self._row[None, :], self._read(x))

    def score_one(self, x: Mapping[Hashable, Any]) -> float:
        """Anomaly score in [0, 1]: 1 is alone, 0 until the first window is full."""
        if not self._scores:
            return 0
        return float(self._score(self._row[None, :], self._read(x))[0])

    def score_learn_one(self, x: Mapping[Hashable, Any]) -> float:
        """:meth:`score_one`, then :meth:`learn_one`, reading the row once."""
        if not self._scores:
            self.learn_one(x)
            return 0
        present = self._read(x)
        mass = score_mass(
            self._row, present, self._feature, self._threshold, self._reference, self._latest, self.size_limit
        )
        self._learn(self._row[None, :], present)
        return 1 - mass / self._max_score

    def learn_many(self, X: NDArray[np.float64], features: Sequence[Hashable] | None = None) -> None:
        """Count rows in order; the same as :meth:`learn_one` of each.

        Parameters
        ----------
        X
            float64[n, F], C-contiguous.
        features
            Names of the columns; needed once, for the first rows. Later rows keep the order of :attr:`features`.
        """
        if not self.features:
            if features is None:
                raise ValueError("learn_many: the first call names the columns: pass features=[…]")
            order = sorted(range(len(features)), key=lambda i: features[i])  # type: ignore[arg-type,return-value]
            if order != list(range(len(features))):
                raise ValueError("learn_many: columns must be sorted by name, the order River visits them in")
            self._plant(list(features))
        self._learn(self._checked(X), self._all)

    def score_many(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores float64[n] of float64[n, F], columns in the order of :attr:`features`."""
        if not self._scores:
            return np.zeros(len(X))
        return self._score(self._checked(X), self._all)

    def checkpoint(self) -> bytes:
        """The masses and counters as bytes; trees are regrown from the seed by :meth:`restore`."""
        head = np.array([self.counter, int(self._scores), len(self.features)], dtype=np.int64)
        return b"".join((head.tobytes(), self._reference.tobytes(), self._latest.tobytes()))

    def restore(self, data: bytes, features: Sequence[Hashable]) -> None:
        """Take up a :meth:`checkpoint` of a model with the same parameters and features."""
        self.rng = random.Random(self.seed)
        self._plant(list(features))
        values = np.frombuffer(data, dtype=np.int64)
        size = self._reference.size
        if len(values) != 3 + 2 * size or values[2] != len(features):
            raise ValueError(f"checkpoint of {len(data)} bytes does not fit {len(features)} features and {size} nodes")
        self.counter, self._scores = int(values[0]), bool(values[1])
        self._reference = values[3 : 3 + size].reshape(self._reference.shape).copy()
        self._latest = values[3 + size :].reshape(self._latest.shape).copy()

    def _plant(self, features: Sequence[Hashable]) -> None:
        self.features = tuple(features)
        limits = [self.limits[name] for name in features]
        self._feature, self._threshold = grow(limits, self.n_trees, self.height, self.rng)
        shape = (self.n_trees, 2 ** (self.height + 1) - 1)
        self._reference, self._latest = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        self._row = np.zeros(len(features))
        self._present = np.ones(len(features), dtype=np.bool_)
        self._all = np.ones(len(features), dtype=np.bool_)

    def _read(self, x: Mapping[Hashable, Any]) -> NDArray[np.bool_]:
        try:
            self._row[:] = [x[name] for name in self.features]
        except KeyError:
            self._present[:] = [name in x for name in self.features]
            self._row[:] = [x.get(name, 0.0) for name in self.features]
            return self._present
        return self._all

    def _checked(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        if X.ndim != 2 or X.shape[1] != len(self.features):
            raise ValueError(f"matrix of shape {X.shape}: expected [n, {len(self.features)}], columns {self.features}")
        return np.ascontiguousarray(X, dtype=np.float64)

    def _learn(self, rows: NDArray[np.float64], present: NDArray[np.bool_]) -> None:
        before = self.counter
        self.counter = learn_rows(
            rows, present, self._feature, self._threshold, self._reference, self._latest, before, self.window_size
        )
        self._scores = self._scores or before + len(rows) >= self.window_size

    def _score(self, rows: NDArray[np.float64], present: NDArray[np.bool_]) -> NDArray[np.float64]:
        masses = score_rows(
            rows, present, self._feature, self._threshold, self._reference, self._latest, self.size_limit
        )
        scores: NDArray[np.float64] = 1 - masses / self._max_score
        return scores
