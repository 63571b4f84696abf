"""Half-space trees over flat arrays: River's anomaly detector, bit for bit, compiled."""

from __future__ import annotations

import collections
import random
import struct
from collections.abc import Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from river import base

PADDING = 0.15
"""Share of a range, at both ends, where no split is made; River's constant."""
SIZE_LIMIT = 0.1
"""A node lighter than this share of the window ends a walk; from the paper."""


_ONE = np.uint64(1)


@njit(cache=True, nogil=True)
def find_leaves(row: Any, feature: Any, threshold: Any, height: int, leaf: Any) -> None:
    """The leaf each tree puts a complete row in; all trees are walked in step, which hides memory's latency.

    Parameters
    ----------
    row
        float64[F]; NaN is a value like any other: it goes right.
    feature, threshold
        int32 and float64[T * (2^height - 1)]: splits, tree after tree, in heap order (children of i: 2i + 1, 2i + 2).
    leaf
        uint64[T], written: place in heap order.
    """
    inner = np.uint64((1 << height) - 1)
    leaf[:] = np.uint64(0)
    for _ in range(height):
        for t in range(leaf.shape[0]):
            at = np.uint64(t) * inner + leaf[t]
            right = not row[np.uint64(feature[at])] < threshold[at]
            leaf[t] = leaf[t] + leaf[t] + _ONE + np.uint64(right)


@njit(cache=True, nogil=True)
def find_leaves_with_gaps(
    row: Any, present: Any, feature: Any, threshold: Any, latest: Any, height: int, leaf: Any
) -> None:
    """As :func:`find_leaves` for a row with absent cells (bool[F]): there the heavier child of the running window wins."""
    inner = (1 << height) - 1
    nodes = 2 * inner + 1
    for t in range(leaf.shape[0]):
        node = 0
        while node < inner:
            f = feature[t * inner + node]
            left = 2 * node + 1
            if present[f]:
                right = not row[f] < threshold[t * inner + node]
            else:
                right = latest[t * nodes + left] < latest[t * nodes + left + 1]
            node = left + 1 if right else left
        leaf[t] = node


@njit(cache=True, nogil=True)
def path_mass(leaf: Any, reference: Any, height: int, limit: float) -> int:
    """Sum over trees of mass times 2^depth from the root down; high where the row lies in dense places.

    A node's ancestors follow from its place in the heap, so the walk reads memory without waiting for comparisons.
    Whole numbers: the order of adding does not matter.

    Parameters
    ----------
    leaf
        uint64[T], from :func:`find_leaves`.
    reference
        int32[T * (2^(height + 1) - 1)]: mass of the last full window.
    limit
        A node with less mass ends its tree's sum.
    """
    nodes = (2 << height) - 1
    mass_sum = 0
    for t in range(leaf.shape[0]):
        mass_sum += _tree_mass(np.uint64(t * nodes), leaf[t] + _ONE, reference, height, limit)
    return mass_sum


@njit(cache=True, nogil=True)
def leaf_masses(reference: Any, height: int, limit: float, masses: Any) -> None:
    """:func:`path_mass` of every leaf at once, for many rows on one reference.

    Parameters
    ----------
    masses
        int64[T * 2^height], written: tree after tree, leaves from the left; see :func:`mass_at`.
    """
    nodes = (2 << height) - 1
    for k in range(masses.shape[0]):
        place = np.uint64((1 << height) + (k & ((1 << height) - 1)))
        masses[k] = _tree_mass(np.uint64((k >> height) * nodes), place, reference, height, limit)


@njit(cache=True, nogil=True)
def mass_at(leaf: Any, masses: Any, height: int) -> int:
    """:func:`path_mass` of leaves from :func:`leaf_masses`."""
    mass_sum = 0
    leaves = np.uint64(1 << height)
    for t in range(leaf.shape[0]):
        mass_sum += masses[np.uint64(t) * leaves + (leaf[t] + _ONE - leaves)]
    return mass_sum


@njit(cache=True, nogil=True)
def _tree_mass(base: Any, place: Any, reference: Any, height: int, limit: float) -> int:
    total: Any = 0
    alive: Any = True
    for depth in range(height + 1):
        mass = np.int64(reference[base + (place >> np.uint64(height - depth)) - _ONE])
        if alive:
            total += mass << depth
        alive = alive and mass >= limit
    mass_sum: int = total
    return mass_sum


@njit(cache=True, nogil=True)
def add_up(latest: Any, height: int) -> None:
    """Fill every inner node with what its leaves hold: where rows were counted in their leaves alone."""
    nodes = (2 << height) - 1
    for root in range(0, latest.shape[0], nodes):
        for node in range((1 << height) - 2, -1, -1):
            latest[root + node] = latest[root + 2 * node + 1] + latest[root + 2 * node + 2]


@njit(cache=True, nogil=True)
def add_mass(leaf: Any, latest: Any, height: int) -> None:
    """Count a row in every node on the way to its leaves; ``latest`` as ``reference`` in :func:`path_mass`."""
    nodes = (2 << height) - 1
    for t in range(leaf.shape[0]):
        base = np.uint64(t * nodes)
        place = leaf[t] + _ONE
        for depth in range(height + 1):
            latest[base + (place >> np.uint64(height - depth)) - _ONE] += 1


@njit(cache=True, nogil=True)
def path_mass_and_add(leaf: Any, reference: Any, latest: Any, height: int, limit: float) -> int:
    """:func:`path_mass` and :func:`add_mass` in one pass over the paths."""
    nodes = (2 << height) - 1
    total: Any = 0
    for t in range(leaf.shape[0]):
        base = np.uint64(t * nodes)
        place = leaf[t] + _ONE
        alive: Any = True
        for depth in range(height + 1):
            at = base + (place >> np.uint64(height - depth)) - _ONE
            mass = np.int64(reference[at])
            latest[at] += 1
            if alive:
                total += mass << depth
            alive = alive and mass >= limit
    mass_sum: int = total
    return mass_sum


@njit(cache=True, nogil=True)
def walk_rows(
    rows: Any, present: Any, feature: Any, threshold: Any, reference: Any, latest: Any, height: int, window: int,
    counts: Any, learn: bool, mass: Any,
) -> None:  # fmt: skip
    """Score (``mass``: int64[n], or int64[0] for none) and then learn each row in order; a full window becomes the reference.

    ``present`` is bool[F], or bool[0] where all cells are there. ``counts``, int64[2]: rows in the running window,
    windows filled; nothing scores before the first is full.
    """
    leaf = np.zeros(feature.shape[0] // ((1 << height) - 1), dtype=np.uint64)
    limit = SIZE_LIMIT * window
    for i in range(rows.shape[0]):
        if present.shape[0] == 0:
            find_leaves(rows[i], feature, threshold, height, leaf)
        else:
            find_leaves_with_gaps(rows[i], present, feature, threshold, latest, height, leaf)
        scores = mass.shape[0] > 0 and counts[1] > 0
        if scores and learn:
            mass[i] = path_mass_and_add(leaf, reference, latest, height, limit)
        elif scores:
            mass[i] = path_mass(leaf, reference, height, limit)
        elif learn:
            add_mass(leaf, latest, height)
        if learn:
            _count_row(reference, latest, window, counts)


@njit(cache=True, nogil=True)
def walk_row(
    row: Any,
    feature: Any,
    threshold: Any,
    reference: Any,
    latest: Any,
    height: int,
    window: int,
    counts: Any,
    leaf: Any,
) -> int:
    """Score and then learn one complete row, as :func:`walk_rows` does; returns its mass. ``leaf``: scratch uint64[T]."""
    find_leaves(row, feature, threshold, height, leaf)
    mass = path_mass_and_add(leaf, reference, latest, height, SIZE_LIMIT * window)
    _count_row(reference, latest, window, counts)
    return mass


@njit(cache=True, nogil=True)
def _count_row(reference: Any, latest: Any, window: int, counts: Any) -> None:
    counts[0] += 1
    if counts[0] == window:
        turn_window(reference, latest, counts)


@njit(cache=True, nogil=True)
def turn_window(reference: Any, latest: Any, counts: Any) -> None:
    """The running window becomes the reference; ``counts`` as in :func:`walk_rows`."""
    reference[:] = latest
    latest[:] = 0
    counts[0] = 0
    counts[1] += 1


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
        self._counts = np.zeros(2, dtype=np.int64)
        self._feature = np.zeros(0, dtype=np.int32)
        self._threshold = np.zeros(0, dtype=np.float64)
        self._reference = np.zeros(0, dtype=np.int32)
        self._latest = np.zeros(0, dtype=np.int32)
        self._row: Any = np.zeros(0)
        self._mass = np.zeros(1, dtype=np.int64)
        self._present = np.zeros(0, dtype=np.bool_)
        self._values: Any = None
        self._layout = ""
        self._fused: tuple[Any, ...] = ()

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
        self._walk(self._row[None], self._read(x), True, _NO_MASS)

    def score_one(self, x: Mapping[Hashable, Any]) -> float:
        """Anomaly score in [0, 1]: 1 is alone, 0 until the first window is full."""
        if not self._counts[1]:
            return 0.0
        self._walk(self._row[None], self._read(x), False, self._mass)
        return float(1 - self._mass[0] / self._max_score)

    def score_learn_one(self, x: Mapping[Hashable, Any]) -> float:
        """:meth:`score_one`, then :meth:`learn_one`, in one walk."""
        if not self._counts[1]:
            self.learn_one(x)
            return 0.0
        try:
            struct.pack_into(self._layout, self._row, 0, *self._values(x))
        except KeyError:
            self._walk(self._row[None], self._read(x), True, self._mass)
            return float(1 - self._mass[0] / self._max_score)
        score: float = 1 - walk_row(*self._fused) / self._max_score
        return score

    def learn_many(self, X: NDArray[np.float64], features: Sequence[Hashable] | None = None) -> None:
        """Count rows in order; the same as :meth:`learn_one` of each.

        Parameters
        ----------
        X
            float64[n, F]; NaN is a value, absent cells need :meth:`learn_one`.
        features
            Names of the columns, sorted as River visits them; needed once, with the first rows.
        """
        self._plant_columns(features)
        self._walk(self._checked(X), _ALL, True, _NO_MASS)

    def score_many(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores float64[n] of float64[n, F], columns in the order of :attr:`features`."""
        if not self._counts[1]:
            return np.zeros(len(X))
        mass = np.empty(len(X), dtype=np.int64)
        self._walk(self._checked(X), _ALL, False, mass)
        scores: NDArray[np.float64] = 1 - mass / self._max_score
        return scores

    def score_learn_many(
        self, X: NDArray[np.float64], features: Sequence[Hashable] | None = None
    ) -> NDArray[np.float64]:
        """Score each row, then learn it, row after row: the same as :meth:`score_learn_one` of each."""
        self._plant_columns(features)
        mass = np.full(len(X), self._max_score, dtype=np.int64)  # what is not scored yet comes out as 0
        self._walk(self._checked(X), _ALL, True, mass)
        scores: NDArray[np.float64] = 1 - mass / self._max_score
        return scores

    def checkpoint(self) -> bytes:
        """The masses and counters as bytes; :meth:`restore` grows the trees again from the seed."""
        head = np.array([*self._counts, len(self.features)], dtype=np.int64)
        return b"".join((head.tobytes(), self._reference.tobytes(), self._latest.tobytes()))

    def restore(self, data: bytes, features: Sequence[Hashable]) -> None:
        """Take up a :meth:`checkpoint` of a model with the same parameters (a seed among them) and features.

        Raises
        ------
        ValueError
            The model has no seed, or the bytes are of another model.
        """
        if self.seed is None:
            raise ValueError("restore: the trees cannot be grown again without a seed; construct the model with one")
        self.rng = random.Random(self.seed)
        self._plant(list(features))
        size = self._reference.size
        if len(data) != 24 + 8 * size or int.from_bytes(data[16:24], "little") != len(features):
            raise ValueError(f"checkpoint of {len(data)} bytes does not fit {len(features)} features and {size} nodes")
        self._counts[:] = np.frombuffer(data[:16], dtype=np.int64)
        self._reference[:] = np.frombuffer(data[24 : 24 + 4 * size], dtype=np.int32)
        self._latest[:] = np.frombuffer(data[24 + 4 * size :], dtype=np.int32)

    def _plant_columns(self, features: Sequence[Hashable] | None) -> None:
        if self.features:
            return
        if features is None:
            raise ValueError("the first rows name the columns: pass features=[…]")
        if list(features) != sorted(features):  # type: ignore[type-var]
            raise ValueError("columns must be sorted by name, the order in which River visits them")
        self._plant(features)

    def _plant(self, features: Sequence[Hashable]) -> None:
        self.features = tuple(features)
        limits = [self.limits[name] for name in features]
        feature, threshold = grow(limits, self.n_trees, self.height, self.rng)
        self._feature, self._threshold = feature.ravel(), threshold.ravel()
        nodes = self.n_trees * (2 ** (self.height + 1) - 1)
        self._reference, self._latest = np.zeros(nodes, dtype=np.int32), np.zeros(nodes, dtype=np.int32)
        self._row = np.zeros(len(features) + 1)
        self._present = np.ones(len(features), dtype=np.bool_)
        self._values = itemgetter(*features, features[0])  # one name more: a single one would give no tuple
        self._layout = f"={len(features) + 1}d"
        leaf = np.zeros(self.n_trees, dtype=np.uint64)
        self._fused = (
            self._row, self._feature, self._threshold, self._reference, self._latest, self.height, self.window_size,
            self._counts, leaf,
        )  # fmt: skip

    def _read(self, x: Mapping[Hashable, Any]) -> NDArray[np.bool_]:
        """Fill the row; returns which cells are there, or an empty array for all."""
        try:
            struct.pack_into(self._layout, self._row, 0, *self._values(x))
        except KeyError:
            self._present[:] = [name in x for name in self.features]
            self._row[:-1] = [x.get(name, 0.0) for name in self.features]
            return self._present
        return _ALL

    def _checked(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        if X.ndim != 2 or X.shape[1] != len(self.features):
            raise ValueError(f"matrix of shape {X.shape}: expected [n, {len(self.features)}], columns {self.features}")
        return np.ascontiguousarray(X, dtype=np.float64)

    def _walk(
        self, rows: NDArray[np.float64], present: NDArray[np.bool_], learn: bool, mass: NDArray[np.int64]
    ) -> None:
        walk_rows(
            rows, present, self._feature, self._threshold, self._reference, self._latest, self.height, self.window_size,
            self._counts, learn, mass,
        )  # fmt: skip


_ALL = np.zeros(0, dtype=np.bool_)
_NO_MASS = np.zeros(0, dtype=np.int64)
