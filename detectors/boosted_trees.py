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

NODE = np.dtype([("threshold", "f8"), ("link", "u8"), ("value", "f8")])
"""``link``: first child << 32 | column << 1 | whether NaN goes right. ``value``: output of a leaf, mean output of a node."""
LANES = 8
"""Trees walked in step; a model is filled up with trees of one leaf of value 0."""
MAX_COLUMNS = 1 << 31
_DEFAULT_LEFT, _MISSING_NAN = 2, 2
_ONE, _SHIFT, _COLUMN = np.uint64(1), np.uint64(32), np.uint64(0x7FFFFFFF)


@dataclass(frozen=True)
class BoostedTrees:
    """Flat trees; read-only.

    Parameters
    ----------
    root
        int64[T, 2]: where each tree starts, and steps to its deepest leaf. T is a multiple of :data:`LANES`.
    nodes
        NODE[N]. A node sends ``x <= threshold`` left; a leaf has the threshold +inf and links to itself.
    """

    root: NDArray[np.int64]
    nodes: NDArray[np.void]

    def __post_init__(self) -> None:
        """Read-only, as a snapshot's arrays are: compiled code is specialised on that."""
        self.root.setflags(write=False)
        self.nodes.setflags(write=False)

    @classmethod
    def empty(cls) -> BoostedTrees:
        """No trees: every margin is 0."""
        return cls(np.zeros((0, 2), dtype=np.int64), np.zeros(0, dtype=NODE))

    @classmethod
    def from_lightgbm(cls, text: str) -> BoostedTrees:
        """Read ``Booster.model_to_string()``: numerical splits only, one class.

        Raises
        ------
        ValueError
            The model has categorical splits or linear leaves.
        """
        nodes: list[tuple[float, int, float]] = []
        roots = []
        for block in text.split("\nTree=")[1:]:
            fields = dict(line.split("=", 1) for line in block.split("\n\n")[0].splitlines()[1:] if "=" in line)
            roots.append((len(nodes), _append_tree(fields, nodes)))
        while len(roots) % LANES:
            roots.append((len(nodes), 0))
            nodes.append((np.inf, len(nodes) << 32, 0.0))
        return cls(np.array(roots, dtype=np.int64).reshape(-1, 2), np.array(nodes, dtype=NODE))

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays under names for a snapshot."""
        columns = {prefix + name: np.ascontiguousarray(self.nodes[name]) for name in NODE.names or ()}
        return {prefix + "root": self.root, **columns}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, width: int) -> BoostedTrees:
        """Take them back from a snapshot, checked so that no walk over ``width`` columns can leave the arrays.

        Raises
        ------
        SnapshotError
            An array is absent, of another type, or points outside.
        """
        root = require_array(arrays, prefix + "root", "i8", (-1, 2))
        size = len(require_array(arrays, prefix + "link", "u8", (-1,)))
        nodes = np.zeros(size, dtype=NODE)
        for name in NODE.names or ():
            nodes[name] = require_array(arrays, prefix + name, NODE[name].str, (size,))
        child = (nodes["link"] >> _SHIFT).astype(np.int64)
        leaf = child == np.arange(size)
        column = (nodes["link"] >> _ONE) & _COLUMN
        inside = (child + ~leaf < size).all() and (column < width).all() and (nodes["threshold"][leaf] == np.inf).all()
        start, depth = root[:, 0], root[:, 1]
        if not inside or len(root) % LANES or ((start < 0) | (start >= size) | (depth < 0) | (depth > size)).any():
            raise SnapshotError(f"trees {prefix!r}: a node or root points outside; the snapshot is of another version")
        return cls(root, nodes)

    def margin(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of leaves, float64[n], of float64[n, M]: equal to LightGBM's ``predict(raw_score=True)``."""
        total = np.empty(len(matrix))
        margins(matrix, self.root, self.nodes, total)
        return total


def _append_tree(fields: Mapping[str, str], nodes: list[tuple[float, int, float]]) -> int:
    """Append one tree breadth first; returns its depth."""
    if fields.get("num_cat", "0") != "0" or fields.get("is_linear", "0") != "0":
        raise ValueError("boosted trees: categorical splits and linear leaves are not supported; train without them")
    leaf_value = [float(v) for v in fields["leaf_value"].split()]
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
def _step(row: Any, nodes: Any, node: Any) -> Any:
    link = nodes[node]["link"]
    x = row[(link >> _ONE) & _COLUMN]
    right = (x > nodes[node]["threshold"]) | ((x != x) & ((link & _ONE) != 0))
    return (link >> _SHIFT) + np.uint64(right)


@njit(cache=True, nogil=True)
def row_margin(row: Any, root: Any, nodes: Any) -> float:
    """One row's sum of leaves, tree after tree as LightGBM adds them; arrays as in :class:`BoostedTrees`."""
    total = 0.0
    for t in range(0, root.shape[0], LANES):
        deepest = 0
        for lane in range(LANES):
            deepest = max(deepest, root[t + lane, 1])
        n0, n1, n2, n3 = (
            np.uint64(root[t, 0]),
            np.uint64(root[t + 1, 0]),
            np.uint64(root[t + 2, 0]),
            np.uint64(root[t + 3, 0]),
        )
        n4, n5, n6, n7 = (
            np.uint64(root[t + 4, 0]),
            np.uint64(root[t + 5, 0]),
            np.uint64(root[t + 6, 0]),
            np.uint64(root[t + 7, 0]),
        )
        for _ in range(deepest):
            n0, n1, n2, n3 = _step(row, nodes, n0), _step(row, nodes, n1), _step(row, nodes, n2), _step(row, nodes, n3)
            n4, n5, n6, n7 = _step(row, nodes, n4), _step(row, nodes, n5), _step(row, nodes, n6), _step(row, nodes, n7)
        total += nodes[n0]["value"]
        total += nodes[n1]["value"]
        total += nodes[n2]["value"]
        total += nodes[n3]["value"]
        total += nodes[n4]["value"]
        total += nodes[n5]["value"]
        total += nodes[n6]["value"]
        total += nodes[n7]["value"]
    return total


@njit(cache=True, nogil=True)
def margins(matrix: Any, root: Any, nodes: Any, total: Any) -> None:
    """:func:`row_margin` of float64[n, M] into float64[n]."""
    for i in range(matrix.shape[0]):
        total[i] = row_margin(matrix[i], root, nodes)


@njit(cache=True, nogil=True)
def add_path_contributions(row: Any, root: Any, nodes: Any, contribution: Any) -> None:
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
            child = _step(row, nodes, node)
            if child != node:
                column = (nodes[node]["link"] >> _ONE) & _COLUMN
                contribution[column] += nodes[child]["value"] - nodes[node]["value"]
            node = child


@njit(cache=True, nogil=True)
def base_margin(root: Any, nodes: Any) -> float:
    """Mean margin over the rows the trees were trained on."""
    total = 0.0
    for t in range(root.shape[0]):
        total += nodes[root[t, 0]]["value"]
    return total
