"""Whether a snapshot can be scored with: looked at before a scorer is made, whoever wrote its bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from detectors.boosted_trees import BoostedTrees
from detectors.calibration import KNOTS
from detectors.inputs import SCALES
from detectors.scorer import KIND
from detectors.snapshot import Snapshot, SnapshotError, require_array, require_kind
from detectors.touch_ceiling import require_sound_cuts

MAX_INPUTS: Final = 1_000
MAX_TREES: Final = 4_096
MAX_DEPTH: Final = 64
"""Deepest boosted tree: what a walk over one row may cost."""
MAX_HEIGHT: Final = 14
MAX_WINDOW: Final = 10_000_000
_COUNTS: Final = ("events", "genuine", "frauds")


def require_sound(snapshot: Snapshot, groups: Sequence[str]) -> None:
    """Refuse a snapshot that no scorer should be made of.

    Parameters
    ----------
    snapshot
        Whatever could be read.
    groups
        Names of the groups in their order; the snapshot knows these, or the first of them.

    Raises
    ------
    SnapshotError
        Another kind; a description of other types; other groups; no anomaly trees; an array of another type or shape,
        or with a number that is none.
    """
    require_kind(snapshot, KIND)
    described = snapshot.description
    inputs, known = _words(described, "inputs", MAX_INPUTS), _words(described, "groups", 256)
    if known != list(groups[: len(known)]):
        raise SnapshotError(f"groups are {', '.join(known)[:200]}; this version has {', '.join(groups)}")
    height = _whole(described, "forest_height", 1, MAX_HEIGHT)
    _whole(described, "forest_window", 1, MAX_WINDOW)
    counts = described.get("counts")
    if not isinstance(counts, dict) or set(counts) != set(_COUNTS):
        raise SnapshotError(f"counts: expected {', '.join(_COUNTS)}")
    for name in _COUNTS:
        _whole(counts, name, 0, 2**53)
    _require_arrays(snapshot, len(inputs), len(known), height)


def _require_arrays(snapshot: Snapshot, m: int, g: int, height: int) -> None:
    arrays = snapshot.model
    for name, shape in {"linear": (4, m), "biases": (2,), "stack": (3,), "maps": (g, 2), "knots": (-1,)}.items():
        if not np.isfinite(require_array(arrays, name, "f8", shape)).all():
            raise SnapshotError(f"array {name!r} has a number that is none")
    scale = require_array(arrays, "scale", "u1", (m,))
    if (scale >= len(SCALES)).any():
        raise SnapshotError("array 'scale' has an unknown scale")
    if len(arrays["knots"]) not in (0, KNOTS) or (np.diff(arrays["knots"]) < 0).any():
        raise SnapshotError(f"knots: expected none, or {KNOTS} ascending")
    require_sound_cuts(arrays, g)
    _require_boosted(arrays, m)
    split = require_array(arrays, "forest.feature", "i4", (-1,))
    trees, rest = divmod(len(split), 2**height - 1)
    if not 1 <= trees <= MAX_TREES or rest or (split < 0).any() or (split >= m).any():
        raise SnapshotError(f"forest: {len(split)} splits of height {height} over {m} columns are no whole trees")
    if np.isnan(require_array(arrays, "forest.threshold", "f8", split.shape)).any():
        raise SnapshotError("array 'forest.threshold' has a number that is none")
    reference = require_array(arrays, "forest.reference", "i4", (trees * (2 ** (height + 1) - 1),))
    if (reference < 0).any():
        raise SnapshotError("array 'forest.reference' counts below nothing")


def _require_boosted(arrays: Mapping[str, Any], m: int) -> None:
    boosted = BoostedTrees.from_arrays(arrays, "trees.", m)
    if len(boosted.root) > MAX_TREES or (boosted.root[:, 1] > MAX_DEPTH).any():
        raise SnapshotError(f"trees: at most {MAX_TREES}, of depth {MAX_DEPTH}, are walked")
    if np.isnan(boosted.split[0]).any() or not np.isfinite(boosted.split[1]).all():
        raise SnapshotError("array 'trees.split' has a number that is none")


def _words(described: Mapping[str, Any], name: str, most: int) -> list[str]:
    words = described.get(name)
    if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
        raise SnapshotError(f"{name}: expected a list of names")
    if not 1 <= len(words) <= most or len(set(words)) < len(words):
        raise SnapshotError(f"{name}: expected 1 to {most} different names")
    return words


def _whole(described: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = described.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SnapshotError(f"{name}: expected an integer from {least} to {most}")
    return value
