"""Gradient-boosted trees as flat arrays: read from LightGBM's text model, walked by compiled code, bit for bit.

Nodes of all trees lie in one array, the two children of a node side by side, so that a step is
``node = first_child[node] + goes_right``. A leaf is its own child and always "goes left": several trees can be walked
in step to a fixed depth without a branch, which hides the latency of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.snapshot import SnapshotError, require_array

LANES = 8
"""Trees walked in step; a model is filled up with trees of one leaf of value 0."""
BLOCK = 32
"""Rows that a few trees walk before the next trees do."""
_DEFAULT_LEFT, _MISSING_NAN = 2, 2
_ONE, _SHIFT, _COLUMN = np.uint64(1), np.uint64(32), np.uint64(0x7FFFFFFF)


@dataclass(frozen=True)
class BoostedTrees:
    """Flat trees; read-only.

    Parameters
    ----------
    root
        int64[T, 2]: where each tree starts, and steps to its deepest leaf. T is a multiple of :data:`LANES`.
    link
        uint64[N]: first child << 32 | column << 1 | whether NaN goes right. A leaf links to itself.
    split
        float64[2, N]: thresholds (``<=`` goes left; +inf at a leaf), and outputs (an inner node's is the mean output
        of the rows it was trained on).
    """

    root: NDArray[np.int64]
    link: NDArray[np.uint64]
    split: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Read-only, as a snapshot's arrays are: compiled code is specialised on that."""
        for array in (self.root, self.link, self.split):
            array.setflags(write=False)

    @property
    def walk(self) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.float64]]:
        """The arrays in the order that the compiled walks take them."""
        return self.root, self.link, self.split

    @classmethod
    def empty(cls) -> BoostedTrees:
        """No trees: every margin is 0."""
        return cls(np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=np.uint64), np.zeros((2, 0)))

    @classmethod
    def from_lightgbm(cls, text: str, bias: float = 0.0) -> BoostedTrees:
        """Read ``Booster.model_to_string()``: numerical splits only, one class.

        Parameters
        ----------
        bias
            What the booster was begun with (its rows' initial score): the first tree takes it up.

        Raises
        ------
        ValueError
            The model has categorical splits or linear leaves.
        """
        nodes: list[tuple[float, int, float]] = []
        roots: list[tuple[int, int]] = []
        for block in text.split("\nTree=")[1:]:
            fields = dict(line.split("=", 1) for line in block.split("\n\n")[0].splitlines()[1:] if "=" in line)
            roots.append((len(nodes), _append_tree(fields, nodes, bias if not roots else 0.0)))
        while len(roots) % LANES:
            roots.append((len(nodes), 0))
            nodes.append((np.inf, len(nodes) << 32, 0.0))
        threshold, link, value = zip(*nodes, strict=True) if nodes else ((), (), ())
        split = np.array([threshold, value], dtype=np.float64).reshape(2, -1)
        return cls(np.array(roots, dtype=np.int64).reshape(-1, 2), np.array(link, dtype=np.uint64), split)

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays under names for a snapshot."""
        return {prefix + "root": self.root, prefix + "link": self.link, prefix + "split": self.split}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, width: int) -> BoostedTrees:
        """Take them back from a snapshot, checked so that no walk over ``width`` columns can leave the arrays.

        Raises
        ------
        SnapshotError
            An array is absent, of another type, or points outside.
        """
        root = require_array(arrays, prefix + "root", "i8", (-1, 2))
        link = require_array(arrays, prefix + "link", "u8", (-1,))
        size = len(link)
        split = require_array(arrays, prefix + "split", "f8", (2, size))
        child, column = (link >> _SHIFT).astype(np.int64), (link >> _ONE) & _COLUMN
        leaf = child == np.arange(size)
        inside = (child + ~leaf < size).all() and (column < width).all() and (split[0][leaf] == np.inf).all()
        start, depth = root[:, 0], root[:, 1]
        if not inside or len(root) % LANES or ((start < 0) | (start >= size) | (depth < 0) | (depth > size)).any():
            raise SnapshotError(f"trees {prefix!r}: a node or root points outside; the snapshot is of another version")
        return cls(root, link, split)

    def margin(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of leaves, float64[n], of float64[n, M]: equal to LightGBM's ``predict(raw_score=True)``."""
        total = np.empty(len(matrix))
        margins(matrix, *self.walk, total)
        return total


def _append_tree(fields: Mapping[str, str], nodes: list[tuple[float, int, float]], bias: float) -> int:
    """Append one tree breadth first, ``bias`` added to its outputs; returns its depth."""
    if fields.get("num_cat", "0") != "0" or fields.get("is_linear", "0") != "0":
        raise ValueError("boosted trees: categorical splits and linear leaves are not supported; train without them")
    leaf_value = [float(v) + bias for v in fields["leaf_value"].split()]
    if int(fields["num_leaves"]) == 1:
        nodes.append((np.inf, len(nodes) << 32, leaf_value[0]))
        return 0
    count = {~i: float(v) for i, v in enumerate(fields["leaf_count"].split())}
    count |= {i: float(v) for i, v in enumerate(fields["internal_count"].split())}
    split = [int(v) for v in fields["split_feature"].split()]
    threshold = [float(v) for v in fields["threshold"].split()]
    kind = [int(v) for v in fields["decision_type"].split()]
    left = [int(v) for v in fields["left_child"].split()]
    right = [int(v) for v in fields["right_child"].split()]
    value = {~i: v for i, v in enumerate(leaf_value)}
    for i in reversed(range(len(split))):  # children have higher numbers than their parents
        value[i] = (value[left[i]] * count[left[i]] + value[right[i]] * count[right[i]]) / (
            count[left[i]] + count[right[i]]
        )
    queue, depth = [(0, 0)], 0
    base = len(nodes)
    for node, level in queue:  # grows while it is walked: breadth first
        depth = max(depth, level)
        here = len(nodes)
        if node < 0:
            nodes.append((np.inf, here << 32, value[node]))
            continue
        link = (base + len(queue)) << 32 | split[node] << 1 | _missing_right(kind[node], threshold[node])
        nodes.append((threshold[node], link, value[node]))
        queue += [(left[node], level + 1), (right[node], level + 1)]
    return depth


def _missing_right(decision_type: int, threshold: float) -> bool:
    """Where NaN goes: the learned side, or as 0 would where training saw no NaN in that column."""
    if (decision_type >> 2) & 3 == _MISSING_NAN:
        return not decision_type & _DEFAULT_LEFT
    return not threshold >= 0.0


@njit(cache=True, nogil=True, inline="always")
def _step(row: Any, link: Any, threshold: Any, node: Any) -> Any:
    here = link[node]
    x = row[(here >> _ONE) & _COLUMN]
    right = (x > threshold[node]) | ((x != x) & ((here & _ONE) != 0))
    return (here >> _SHIFT) + np.uint64(right)


@njit(cache=True, nogil=True)
def margins(matrix: Any, root: Any, link: Any, split: Any, total: Any) -> None:
    """Sums of leaves of float64[n, M] into float64[n], tree after tree as LightGBM adds them.

    Rows are taken in blocks, and a few trees at a time walk a block: both stay in the first-level cache. Arrays as in
    :class:`BoostedTrees`.
    """
    for start in range(0, matrix.shape[0], BLOCK):
        end = min(start + BLOCK, matrix.shape[0])
        total[start:end] = 0.0
        for t in range(0, root.shape[0], LANES):
            _add_leaves(matrix, root[t : t + LANES], link, split[0], split[1], start, end, total)


@njit(cache=True, nogil=True)
def _add_leaves(
    matrix: Any, root: Any, link: Any, threshold: Any, value: Any, start: int, end: int, total: Any
) -> None:
    """Add the leaves of :data:`LANES` trees to the totals of rows ``start`` to ``end``."""
    deepest = 0
    for t in range(LANES):
        deepest = max(deepest, root[t, 1])
    r0, r1, r2, r3 = np.uint64(root[0, 0]), np.uint64(root[1, 0]), np.uint64(root[2, 0]), np.uint64(root[3, 0])
    r4, r5, r6, r7 = np.uint64(root[4, 0]), np.uint64(root[5, 0]), np.uint64(root[6, 0]), np.uint64(root[7, 0])
    for i in range(start, end):
        row = matrix[i]
        n0, n1, n2, n3, n4, n5, n6, n7 = r0, r1, r2, r3, r4, r5, r6, r7
        for _ in range(deepest):
            n0, n1 = _step(row, link, threshold, n0), _step(row, link, threshold, n1)
            n2, n3 = _step(row, link, threshold, n2), _step(row, link, threshold, n3)
            n4, n5 = _step(row, link, threshold, n4), _step(row, link, threshold, n5)
            n6, n7 = _step(row, link, threshold, n6), _step(row, link, threshold, n7)
        sum_so_far = total[i] + value[n0] + value[n1] + value[n2] + value[n3]
        total[i] = sum_so_far + value[n4] + value[n5] + value[n6] + value[n7]


@njit(cache=True, nogil=True)
def add_path_contributions(row: Any, root: Any, link: Any, split: Any, contribution: Any) -> None:
    """Split one row's margin over the columns on its paths.

    Each step from a node to its child credits the change of the mean output to the column split on, so
    ``contribution`` (float64[M], added to) and :func:`base_margin` sum to the margin.

    References
    ----------
    Saabas, Interpreting random forests (2014); the path-based attribution also called approximate TreeSHAP.
    """
    for t in range(root.shape[0]):
        node = np.uint64(root[t, 0])
        for _ in range(root[t, 1]):
            child = _step(row, link, split[0], node)
            if child != node:
                contribution[(link[node] >> _ONE) & _COLUMN] += split[1, child] - split[1, node]
            node = child


@njit(cache=True, nogil=True)
def base_margin(root: Any, split: Any) -> float:
    """Mean margin over the rows the trees were trained on."""
    total = 0.0
    for t in range(root.shape[0]):
        total += split[1, root[t, 0]]
    return total
