"""Gradient-boosted trees refit on a bounded sliding window of labelled rows.

All frauds of the window are kept; of the genuine rows a deterministic sample by transaction hash, whose weights stand
for the rest, so that a refit costs about a second whatever the traffic. Old rows fade, as fast as there are frauds enough
to learn from without them: a thief's methods change, but of few frauds none can be spared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.boosted_trees import BoostedTrees
from detectors.elementary import exp, log, plain
from detectors.online_logistic import probability
from detectors.snapshot import require_array

_COLUMNS: dict[str, str] = {"hash": "<u8", "time": "<i8", "weight": "<f4", "fraud": "|b1"}
WHOLE = 65_536
"""Weights fade in whole numbers: no order of adding can show."""
EIGHTHS = 8
"""Steps of age in a half-life."""
_LEFT = np.array([*(round(WHOLE * plain(exp)(-plain(log)(2.0) * step / EIGHTHS)) for step in range(4 * EIGHTHS)), 0])
"""What is left of a row by its age in steps: nothing behind four half-lives."""
_SAMPLE_SHIFT = 32  # sample by the upper half of the hash: the join buffer samples by the lower one


class _Logistic:
    """The logistic loss for LightGBM: as its own, but by an exponential that is the same on every processor.

    Parameters
    ----------
    weight, fraud
        float32[n]: weights and labels (0 or 1) of the rows.
    """

    def __init__(self, weight: NDArray[np.float32], fraud: NDArray[np.float32]) -> None:
        self._weight, self._fraud = weight, fraud

    def __call__(self, margin: NDArray[np.float64], data: object) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """First and second derivative of the loss at each row's margin."""
        gradient, curvature = np.empty(len(margin), np.float32), np.empty(len(margin), np.float32)
        _derivatives(margin, self._fraud, self._weight, gradient, curvature)
        return gradient, curvature


@njit(cache=True, nogil=True)
def _derivatives(margin: Any, label: Any, weight: Any, gradient: Any, curvature: Any) -> None:
    for i in range(margin.shape[0]):
        p = probability(margin[i])
        gradient[i] = (p - float(label[i])) * float(weight[i])
        curvature[i] = p * (1.0 - p) * float(weight[i])


@njit(cache=True, nogil=True)
def _log_odds(fraud: Any, weight: Any) -> float:
    """Log-odds of the weighted share of frauds; finite where all rows are of one kind."""
    frauds, total = 0.0, 0.0
    for i in range(fraud.shape[0]):
        frauds += float(fraud[i]) * float(weight[i])
        total += float(weight[i])
    share = min(max(frauds / total, 1e-15), 1.0 - 1e-15) if total > 0.0 else 0.5
    return log(share / (1.0 - share))


@dataclass(frozen=True, slots=True)
class BoostedWindowConfig:
    """How the window is kept and trees are fit.

    Parameters
    ----------
    window_us
        How far back rows are kept, µs of event time.
    genuine_capacity, fraud_capacity
        Most rows of each kind.
    min_frauds
        Trees are fit only with at least so many frauds in the window.
    half_life_us, enough_frauds
        A row's weight halves with this age, µs of event time, where the frauds still weigh so much together; else it
        halves as much later as they need, or never. Rows of less than a sixteenth are left out.
    trees, leaves, depth, learning_rate, min_leaf_rows, column_share, row_share, leaf_ridge, bins
        LightGBM's num_iterations, num_leaves, max_depth, learning_rate, min_data_in_leaf, feature_fraction,
        bagging_fraction, lambda_l2 and max_bin.
    seed
        Seed of column and row sampling.
    """

    window_us: int = 180 * 86_400_000_000
    genuine_capacity: int = 60_000
    fraud_capacity: int = 20_000
    min_frauds: int = 50
    half_life_us: int = 30 * 86_400_000_000
    enough_frauds: int = 500
    trees: int = 128
    leaves: int = 15
    depth: int = 5
    learning_rate: float = 0.047
    min_leaf_rows: int = 20
    column_share: float = 0.6
    row_share: float = 0.8
    leaf_ridge: float = 5.0
    bins: int = 255
    seed: int = 42


class BoostedWindow:
    """The window and its refit.

    Examples
    --------
    >>> window = BoostedWindow(2, BoostedWindowConfig(min_frauds=5, trees=20, min_leaf_rows=2))
    >>> rows = np.random.default_rng(0).random((400, 2)).astype(np.float32)
    >>> fraud = rows[:, 0] > 0.9
    >>> window.add(np.arange(400, dtype=np.uint64), np.zeros(400, np.int64), rows, np.ones(400, np.float32), fraud)
    >>> trees = window.fit()
    >>> margin = trees.margin(np.array([[0.95, 0.5], [0.1, 0.5]]))
    >>> bool(margin[0] > margin[1])
    True
    """

    def __init__(self, width: int, config: BoostedWindowConfig) -> None:
        self.width = width
        self.config = config
        self.level = 0
        self._end = 0
        self._columns = {name: np.zeros(0, dtype=dtype) for name, dtype in _COLUMNS.items()}
        self._matrix = np.zeros((0, width), dtype=np.float32)
        self._place: dict[int, int] = {}

    def __len__(self) -> int:
        return self._end

    @property
    def frauds(self) -> int:
        """Frauds in the window."""
        return int(self._columns["fraud"][: self._end].sum())

    def add(
        self,
        transaction_hash: NDArray[np.uint64],
        time: NDArray[np.int64],
        matrix: NDArray[np.float32],
        weight: NDArray[np.float32],
        fraud: NDArray[np.bool_],
    ) -> None:
        """Add labelled rows; a genuine one only if the sample has it. A transaction that is here gets the new label."""
        sampled = self._sampled(transaction_hash) | fraud
        fresh: list[int] = []
        for i in np.flatnonzero(sampled).tolist():
            if not self.relabel(int(transaction_hash[i]), bool(fraud[i]), float(weight[i])):
                self._place[int(transaction_hash[i])] = self._end + len(fresh)
                fresh.append(i)
        self._reserve(len(fresh))
        span = slice(self._end, self._end + len(fresh))
        self._columns["hash"][span] = transaction_hash[fresh]
        self._columns["time"][span] = time[fresh]
        self._columns["fraud"][span] = fraud[fresh]
        scale = np.where(fraud[fresh], 1.0, 2.0**self.level).astype(np.float32)
        self._columns["weight"][span] = weight[fresh] * scale
        self._matrix[span] = matrix[fresh]
        self._end = span.stop
        self._bound()

    def label_of(self, transaction_hash: int) -> bool | None:
        """Whether a row that is here is a fraud; None where it is not here."""
        at = self._place.get(transaction_hash)
        return None if at is None else bool(self._columns["fraud"][at])

    def relabel(self, transaction_hash: int, fraud: bool, weight: float) -> bool:
        """Correct the label of a row that is here, or confirm it with more weight; returns whether it is."""
        at = self._place.get(transaction_hash)
        if at is None:
            return False
        if bool(self._columns["fraud"][at]) != fraud or self._columns["weight"][at] < weight:
            self._columns["fraud"][at] = fraud
            self._columns["weight"][at] = weight
        return True

    def mend(self, until: int) -> None:
        """Event times beyond ``until``, µs, become it."""
        time = self._columns["time"][: self._end]
        np.minimum(time, until, out=time)

    def forget(self, before: int) -> None:
        """Drop rows with an event time before the given one, µs."""
        keep = self._columns["time"][: self._end] >= before
        if not keep.all():
            self._repack(keep)
        if self.level and self._genuine() < self.config.genuine_capacity // 4:
            self.level -= 1

    def fit(self) -> BoostedTrees:
        """Fit trees to the window: one thread, seeded, the same rows give the same bytes."""
        import lightgbm  # loading takes .3 s, and scoring does not need it

        c = self.config
        fading = self._fading()
        kept = np.flatnonzero(fading)
        columns = {name: column[: self._end][kept] for name, column in self._columns.items()}
        fraud = columns["fraud"].astype(np.float32)
        weight = columns["weight"] * (fading[kept] / WHOLE).astype(np.float32)
        bias = _log_odds(fraud, weight)
        parameters = {
            "objective": _Logistic(weight, fraud),
            "num_leaves": c.leaves,
            "max_depth": c.depth,
            "learning_rate": c.learning_rate,
            "min_data_in_leaf": c.min_leaf_rows,
            "min_sum_hessian_in_leaf": 1e-3,
            "feature_fraction": c.column_share,
            "bagging_fraction": c.row_share,
            "bagging_freq": 1 if c.row_share < 1.0 else 0,
            "lambda_l2": c.leaf_ridge,
            "max_bin": c.bins,
            "seed": c.seed,
            "num_threads": 1,
            "deterministic": True,
            "force_col_wise": True,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(
            self._matrix[: self._end][kept], fraud, init_score=np.full(len(kept), bias), params={"max_bin": c.bins}
        )
        booster = lightgbm.train(parameters, data, c.trees)
        return BoostedTrees.from_lightgbm(booster.model_to_string(), bias)

    def _fading(self) -> NDArray[np.int64]:
        """What is left of each row's weight, int64[n] of :data:`WHOLE`."""
        time, fraud = self._columns["time"][: self._end], self._columns["fraud"][: self._end]
        age = time.max() - time
        half_life = self.config.half_life_us
        while half_life < self.config.window_us:
            step = np.minimum(age // (half_life // EIGHTHS), len(_LEFT) - 1)
            left: NDArray[np.int64] = _LEFT[step]
            if int(left[fraud].sum()) >= self.config.enough_frauds * WHOLE:
                return left
            half_life += half_life // 2
        return np.full(self._end, WHOLE)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Description and arrays for a snapshot."""
        arrays = {name: column[: self._end].copy() for name, column in self._columns.items()}
        arrays["matrix"] = self._matrix[: self._end].copy()
        return {"level": self.level}, arrays

    def load(self, description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up :meth:`state` again; SnapshotError where an array does not fit."""
        n = len(require_array(arrays, "hash", "u8", (-1,)))
        self.level = int(description["level"])
        self._columns = {name: require_array(arrays, name, dtype, (n,)).copy() for name, dtype in _COLUMNS.items()}
        self._matrix = require_array(arrays, "matrix", "f4", (n, self.width)).copy()
        self._end = n
        self._place = {h: at for at, h in enumerate(self._columns["hash"].tolist())}

    def _sampled(self, transaction_hash: NDArray[np.uint64]) -> NDArray[np.bool_]:
        mask = np.uint64((1 << self.level) - 1)
        sampled: NDArray[np.bool_] = ((transaction_hash >> np.uint64(_SAMPLE_SHIFT)) & mask) == 0
        return sampled

    def _genuine(self) -> int:
        return self._end - self.frauds

    def _bound(self) -> None:
        """Halve the genuine sample while it is too large; drop the oldest frauds beyond their capacity."""
        while self._genuine() > self.config.genuine_capacity:
            self.level += 1
            fraud = self._columns["fraud"][: self._end]
            keep = fraud | self._sampled(self._columns["hash"][: self._end])
            self._columns["weight"][: self._end][~fraud] *= 2.0
            self._repack(keep)
        surplus = self.frauds - self.config.fraud_capacity
        if surplus > 0:
            keep = np.ones(self._end, dtype=np.bool_)
            keep[np.flatnonzero(self._columns["fraud"][: self._end])[:surplus]] = False
            self._repack(keep)

    def _repack(self, keep: NDArray[np.bool_]) -> None:
        kept = int(keep.sum())
        for column in self._columns.values():
            column[:kept] = column[: self._end][keep]
        self._matrix[:kept] = self._matrix[: self._end][keep]
        self._end = kept
        self._place = {h: at for at, h in enumerate(self._columns["hash"][:kept].tolist())}

    def _reserve(self, rows: int) -> None:
        room = len(self._columns["hash"])
        if self._end + rows <= room:
            return
        larger = max(1024, 2 * (self._end + rows))
        for name, column in self._columns.items():
            self._columns[name] = np.concatenate(
                [column[: self._end], np.zeros(larger - self._end, dtype=column.dtype)]
            )
        self._matrix = np.concatenate(
            [self._matrix[: self._end], np.zeros((larger - self._end, self.width), np.float32)]
        )
