"""Gradient-boosted trees as flat arrays: read from LightGBM's text model, walked by compiled code, bit for bit.

Nodes of all trees lie in one array, the two children of a node side by side, so that a step is
``node = first_child[node] + goes_right``. A leaf is its own child and always "goes left", which lets several rows be
walked in step, without a branch, to a fixed depth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.snapshot import require_array

_DEFAULT_LEFT, _MISSING_NAN = 2, 2
LANES = 8
"""Rows walked in step."""


@dataclass(frozen=True)
class BoostedTrees:
    """Flat trees.

    Parameters
    ----------
    root
        int32[T]: node where each tree starts.
    depth
        int32[T]: steps from the root to its deepest leaf.
    feature, threshold, first_child, missing_right
        int32, float64, int32 and bool[N]: column, split (``<=`` goes left), left child (the right one follows), and
        where NaN goes. At a leaf: 0, +inf, the leaf itself, False.
    value
        float64[N]: a leaf's output; an inner node's mean output over the rows it was trained on.
    """

    root: NDArray[np.int32]
    depth: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    first_child: NDArray[np.int32]
    missing_right: NDArray[np.bool_]
    value: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Read-only, as a snapshot's arrays are: compiled code is specialised on that."""
        for name in self.__dataclass_fields__:
            getattr(self, name).setflags(write=False)

    @classmethod
    def empty(cls) -> BoostedTrees:
        """No trees: every margin is 0."""
        return cls(*(np.zeros(0, dtype=np.dtype(kind)) for kind in ("i4", "i4", "i4", "f8", "i4", "?", "f8")))

    @classmethod
    def from_lightgbm(cls, text: str) -> BoostedTrees:
        """Read ``Booster.model_to_string()``: numerical splits only, one class.

        Raises
        ------
        ValueError
            The model has categorical splits or linear leaves.
        """
        nodes: list[_Node] = []
        roots, depths = [], []
        for block in text.split("\nTree=")[1:]:
            fields = dict(line.split("=", 1) for line in block.split("\n\n")[0].splitlines()[1:] if "=" in line)
            roots.append(len(nodes))
            depths.append(_append_tree(fields, nodes))
        columns = list(zip(*nodes, strict=True)) or [()] * 5
        return cls(
            np.array(roots, dtype=np.int32),
            np.array(depths, dtype=np.int32),
            np.array(columns[0], dtype=np.int32),
            np.array(columns[1], dtype=np.float64),
            np.array(columns[2], dtype=np.int32),
            np.array(columns[3], dtype=np.bool_),
            np.array(columns[4], dtype=np.float64),
        )

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The arrays under names for a snapshot."""
        return {prefix + name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], prefix: str, width: int) -> BoostedTrees:
        """Take them back from a snapshot, checked so that no walk can leave the arrays.

        Raises
        ------
        SnapshotError
            An array is absent or of another type.
        ValueError
            A node points outside.
        """
        kinds = {
            "root": "i4",
            "depth": "i4",
            "feature": "i4",
            "threshold": "f8",
            "first_child": "i4",
            "missing_right": "?",
            "value": "f8",
        }
        read = {name: require_array(arrays, prefix + name, kind, (-1,)) for name, kind in kinds.items()}
        trees = cls(**read)
        size = len(trees.value)
        lengths = {len(read[name]) for name in ("feature", "threshold", "first_child", "missing_right", "value")}
        if lengths != {size} or len(trees.root) != len(trees.depth):
            raise ValueError("boosted trees: arrays of unequal length; the snapshot is of another version")
        inner = trees.first_child != np.arange(size)
        inside = (trees.first_child >= 0) & (trees.first_child + inner < size)
        if not (inside.all() and ((trees.feature >= 0) & (trees.feature < max(width, 1))).all()):
            raise ValueError("boosted trees: a node points outside; the snapshot is of another version")
        if not ((trees.root >= 0) & (trees.root < max(size, 1)) & (trees.depth >= 0) & (trees.depth <= size)).all():
            raise ValueError("boosted trees: a root or depth is out of range; the snapshot is of another version")
        return trees

    def margin(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of leaves, float64[n], of float64[n, M]: equal to LightGBM's ``predict(raw_score=True)``."""
        total = np.zeros(len(matrix))
        add_margin(
            matrix,
            self.root,
            self.depth,
            self.feature,
            self.threshold,
            self.first_child,
            self.missing_right,
            self.value,
            total,
        )
        return total


_Node = tuple[int, float, int, bool, float]


def _append_tree(fields: Mapping[str, str], nodes: list[_Node]) -> int:
    """Append one tree breadth first; returns its depth."""
    if fields.get("num_cat", "0") != "0" or fields.get("is_linear", "0") != "0":
        raise ValueError("boosted trees: categorical splits and linear leaves are not supported; train without them")
    leaf_value = [float(v) for v in fields["leaf_value"].split()]
    if int(fields["num_leaves"]) == 1:
        nodes.append((0, np.inf, len(nodes), False, leaf_value[0]))
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
            nodes.append((0, np.inf, here, False, value[node]))
            continue
        nodes.append(
            (split[node], threshold[node], base + len(queue), _missing_right(kind[node], threshold[node]), value[node])
        )
        queue += [(left[node], level + 1), (right[node], level + 1)]
    return depth


def _missing_right(decision_type: int, threshold: float) -> bool:
    """Where NaN goes: the learned side, or as 0 would where training saw no NaN in that column."""
    if (decision_type >> 2) & 3 == _MISSING_NAN:
        return not decision_type & _DEFAULT_LEFT
    return not threshold >= 0.0


@njit(cache=True, nogil=True)
def add_margin(
    matrix: Any,
    root: Any,
    depth: Any,
    feature: Any,
    threshold: Any,
    first_child: Any,
    missing_right: Any,
    value: Any,
    total: Any,
) -> None:
    """Add each row's leaves to ``total`` (float64[n]), tree after tree, as LightGBM does."""
    n = matrix.shape[0]
    node = np.zeros(LANES, dtype=np.int64)
    for start in range(0, n, LANES):
        lanes = min(LANES, n - start)
        for t in range(root.shape[0]):
            for k in range(lanes):
                node[k] = root[t]
            for _ in range(depth[t]):
                for k in range(lanes):
                    here = node[k]
                    x = matrix[start + k, feature[here]]
                    right = (x > threshold[here]) | ((x != x) & missing_right[here])
                    node[k] = first_child[here] + right
            for k in range(lanes):
                total[start + k] += value[node[k]]


@njit(cache=True, nogil=True)
def add_path_contributions(
    row: Any,
    root: Any,
    feature: Any,
    threshold: Any,
    first_child: Any,
    missing_right: Any,
    value: Any,
    contribution: Any,
) -> float:
    """Split one row's margin over the columns on its paths; returns the base, the mean margin of all rows.

    Each step from a node to its child credits the change of the mean output to the column split on, so base plus
    ``contribution`` (float64[M], added to) is the margin.

    References
    ----------
    Saabas, Interpreting random forests (2014); the path-based attribution also called approximate TreeSHAP.
    """
    base = 0.0
    for t in range(root.shape[0]):
        here = root[t]
        base += value[here]
        while first_child[here] != here:
            x = row[feature[here]]
            right = (x > threshold[here]) | ((x != x) & missing_right[here])
            child = first_child[here] + (1 if right else 0)
            contribution[feature[here]] += value[child] - value[here]
            here = child
    return base
