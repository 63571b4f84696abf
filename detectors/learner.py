"""The learner: events and their late labels in, the next snapshot out; a function of its history alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.boosted_trees import BoostedTrees
from detectors.boosted_window import BoostedWindow
from detectors.calibration import CENTRE, calibrated, rank_knots
from detectors.delayed_labels import FRAUD, GENUINE, UNLABELLED, WITHDRAWN, DelayedLabels, LabelledRows
from detectors.elementary import log
from detectors.ensemble_config import DAY, EnsembleConfig
from detectors.half_space_trees import SIZE_LIMIT, add_up, find_leaves, leaf_masses, mass_at, turn_window
from detectors.inputs import standardise_row, transform_row, update_moments
from detectors.online_logistic import adagrad_step
from detectors.scorer import INVERSE, KIND, MEAN, WEIGHT, linear_part, stacked
from detectors.snapshot import Snapshot, SnapshotError, require_array, require_kind
from detectors.stacking import filter_step
from detectors.touch_ceiling import TouchCeiling

VARIANCE_FLOOR = 1e-4
"""Least variance an input is standardised with: a column that never varied stays harmless when it does."""
FIRST_MOMENTS = 200.0
"""Observations that the first means (0) and deviations (1) count for."""
FIRST_SQUARE = 100.0
"""What AdaGrad's sum of squared gradients starts from: the first labels move a weight by little."""
STACK_VARIANCE = np.array([1.0, 0.1, 0.1])
"""Prior variance of the stack's intercept and of each model's coefficient."""
MAP_VARIANCE = np.array([0.25, 0.02])
"""Prior variance of a group map's intercept and slope: what the groups share is the stack's to learn."""
YOUNG_SAMPLE = 4_096
"""Latest payments that a young model is held against."""
FULL, PARTIAL = 0, 1
"""Places of the weight of learned frauds by the trust of their sources."""
PARTIAL_FIRST = 50.0
"""Weight that frauds told by sources below full trust may always have: where there is no other source."""
RANK_FIRST = 1_000
"""Anomaly scores needed before a rate is stated."""


@njit(cache=True, nogil=True)
def _observe(
    matrix: Any, learn: Any, scale: Any, linear: Any, seen: Any, square: Any, memory: float,
    split: Any, at: Any, reference: Any, latest: Any, masses: Any, height: int, window: int, counts: Any, ranks: Any,
) -> None:  # fmt: skip
    """Move means and deviations; score, then learn the anomaly model. ``counts``: running, windows filled, ranks kept.

    Rows are counted in ``latest``'s leaves alone; ``masses`` is what each leaf scores by ``reference``.
    """
    n, m = matrix.shape
    scratch = np.empty((4, m))
    bits = scratch[0].view(np.int64)
    leaf = np.zeros(split.shape[0] // ((1 << height) - 1), dtype=np.uint64)
    nodes = np.uint64((2 << height) - 1)
    most = reference.shape[0] * window
    for i in range(n):
        if not learn[i]:
            continue
        for j in range(m):
            scratch[3, j] = matrix[i, j]  # float32 is widened here, before anything is computed
        transform_row(scratch[3], scale, scratch[0], bits, scratch[1])
        update_moments(scratch[1], seen, linear[MEAN], square, memory)
        for j in range(m):
            linear[INVERSE, j] = 1.0 / np.sqrt(max(square[j], VARIANCE_FLOOR))
        standardise_row(scratch[1], linear[MEAN], linear[INVERSE], scratch[2])
        find_leaves(scratch[2], split, at, height, leaf)
        if counts[1] > 0:
            ranks[counts[2] % ranks.shape[0]] = 1.0 - mass_at(leaf, masses, height) / most
            counts[2] += 1
        for t in range(leaf.shape[0]):
            latest[np.uint64(t) * nodes + leaf[t]] += 1
        counts[0] += 1
        if counts[0] == window:
            add_up(latest, height)
            turn_window(reference, latest, counts)
            leaf_masses(reference, height, SIZE_LIMIT * window, masses)


@njit(cache=True, nogil=True)
def _mature(
    matrix: Any, label: Any, weight: Any, group: Any, margin: Any, with_trees: bool,
    scale: Any, linear: Any, biases: Any, squares: Any, rate: float, ridge: float,
    stack: Any, stack_covariance: Any, stack_keep: float, stack_ceiling: Any,
    maps: Any, map_covariance: Any, map_keep: float, map_ceiling: Any,
) -> None:  # fmt: skip
    """Final labels in order: each row is first scored, then learned by the linear model, the stack and its group's map."""
    scratch = np.empty((3, matrix.shape[1]))
    bits = scratch[0].view(np.int64)
    x, spare = np.empty(3), np.empty(3)
    for i in range(matrix.shape[0]):
        logit = linear_part(matrix[i], scale, linear, biases, scratch, bits)
        adagrad_step(scratch[2], label[i], weight[i], logit, linear[WEIGHT], biases[1:], squares, rate, ridge)
        by_trees = margin[i] if with_trees else logit
        before = stacked(logit, by_trees, stack)
        x[0], x[1], x[2] = 1.0, logit - CENTRE, 0.0
        if with_trees:
            x[2] = by_trees - CENTRE
        filter_step(x, CENTRE, label[i], weight[i], stack, stack_covariance, spare, stack_keep, stack_ceiling)
        stack[1], stack[2] = max(stack[1], 0.0), max(stack[2], 0.0)  # no model is believed by its contrary
        g = group[i]
        x[1] = before - CENTRE
        filter_step(x[:2], CENTRE, label[i], weight[i], maps[g], map_covariance[g], spare, map_keep, map_ceiling)


@njit(cache=True, nogil=True)
def _logits(
    matrix: Any, group: Any, scale: Any, linear: Any, biases: Any, margin: Any, stack: Any, maps: Any, out: Any
) -> None:
    """Calibrated log-odds of float64[n, M] into float64[n]; ``margin`` is what the trees say of each row."""
    scratch = np.empty((3, matrix.shape[1]))
    bits = scratch[0].view(np.int64)
    for i in range(matrix.shape[0]):
        logit = stacked(linear_part(matrix[i], scale, linear, biases, scratch, bits), margin[i], stack)
        out[i] = calibrated(logit, maps[group[i], 0], maps[group[i], 1])


class Learner:
    """Learns from events as they were scored and from labels as they arrive.

    The same calls in the same order give the same snapshots, however the observed rows are cut into calls. Everything
    learns an event once, when it matures and both outcomes are known: frauds that were learned weeks before the genuine
    events of their time would teach that whatever is new (a season, a long history on a young line) is fraud. Each row
    is scored before it is learned.

    Parameters
    ----------
    snapshot
        The model to start from; its training rows are not taken along (:meth:`restore` does that).
    config
        Every number.
    """

    def __init__(self, snapshot: Snapshot, config: EnsembleConfig | None = None) -> None:
        require_kind(snapshot, KIND)
        self.config = config or EnsembleConfig()
        self._description = dict(snapshot.description)
        self._round, self._parent = snapshot.round, snapshot.digest
        self.watermark: int | None = None
        self._began: int | None = None
        self._refit_at: int | None = None
        self._frauds_fit = 0
        self._learned = dict(snapshot.counts)
        self._read_model(snapshot.model)
        m, groups = self._linear.shape[1], len(self._maps)
        self._seen = np.full(m, FIRST_MOMENTS)
        self._square = 1.0 / (self._linear[INVERSE] * self._linear[INVERSE])
        self._squares = np.full(m + 1, FIRST_SQUARE)
        self._stack_covariance = np.diag(STACK_VARIANCE)
        self._map_covariance = np.tile(np.diag(MAP_VARIANCE), (groups, 1, 1))
        self._latest = np.zeros_like(self._reference)
        self._counts = np.zeros(3, dtype=np.int64)
        self._ranks = np.zeros(self.config.rank_sample)
        self._fraud_weight = np.zeros(2)
        self._ceiling = TouchCeiling(groups)
        self._ceiling.load(snapshot.model, None)
        self._pending = DelayedLabels(m, self.config.pending_capacity, self.config.early_label_capacity)
        self._window = BoostedWindow(m, self.config.boosted)
        self.matured: LabelledRows = self._pending.latest(0)
        """Rows that matured at the last :meth:`advance`, as they were scored."""
        self.genuine_by_group: NDArray[np.int64] = np.zeros(groups, dtype=np.int64)
        """Events that matured as genuine since this learner was made or restored; rows let go under load count too."""

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Learner:
        """Go on where ``close_round`` stopped.

        Raises
        ------
        SnapshotError
            The snapshot was stored without its learning state.
        """
        if not snapshot.state:
            raise SnapshotError(f"snapshot {snapshot.version} has no learning state; restore from the full one")
        learner = cls(snapshot, EnsembleConfig.from_description(snapshot.state_description["config"]))
        learner._load(snapshot.state_description, snapshot.state)
        return learner

    def observe(
        self,
        transaction_hash: NDArray[np.uint64],
        event_time: NDArray[np.int64],
        matrix: NDArray[np.floating[Any]],
        group: NDArray[np.uint8],
        suspected: NDArray[np.bool_],
        risk_ppm: NDArray[np.integer[Any]] | None = None,
    ) -> None:
        """Events as they were scored, in order of arrival.

        Parameters
        ----------
        transaction_hash, event_time, matrix, group
            uint64[n] ids, int64[n] µs, float64[n, M] (or float32, where the cells are) and uint8[n] as scored.
        suspected
            bool[n]: kept from the anomaly model and the means until they mature as genuine.
        risk_ppm
            int[n]: the risk they were decided by; None where nobody decided.
        """
        if matrix.ndim != 2 or matrix.shape[1] != self._linear.shape[1]:
            raise ValueError(f"matrix of shape {matrix.shape}: expected [n, {self._linear.shape[1]}]")
        if len(group) and int(group.max()) >= len(self._maps):
            # compiled code indexes the maps by it, unchecked
            raise ValueError(f"group {int(group.max())} is unknown; the snapshot has {len(self._maps)}")
        matrix = np.ascontiguousarray(matrix, dtype=np.float32 if matrix.dtype == np.float32 else np.float64)
        self._learned["events"] += len(matrix)
        if risk_ppm is not None:
            self._ceiling.observe(transaction_hash, risk_ppm)
        self._learn_normal(matrix, ~suspected)
        for row, label, trust in self._pending.add(transaction_hash, event_time, matrix, group, suspected):
            self._pending.set_label(row, label, trust)

    def retract(self, transaction_hash: int) -> None:
        """A label counts no more: while its transaction waits it is as if none had come, later as if it had matured."""
        self._ceiling.label(transaction_hash, False)
        row = self._pending.find(transaction_hash)
        if row is not None:
            self._pending.set_label(row, UNLABELLED, 1.0)
            return
        self._pending.forget_early(transaction_hash)
        if self._window.label_of(transaction_hash):
            self._window.relabel(transaction_hash, False, self.config.trust["maturity"])
            self._learned["frauds"] -= 1

    def withdraw(self, transaction_hash: int, event_time: int) -> None:
        """A transaction was never made: it is neither fraud nor genuine, and never matures; a label that comes later counts
        all the same. One that has matured stays as it was learned.

        Parameters
        ----------
        event_time
            When that was said, µs.
        """
        row = self._pending.find(transaction_hash)
        if row is not None:
            self._pending.set_label(row, WITHDRAWN, 1.0)
        elif self._window.label_of(transaction_hash) is None:
            self._pending.keep_early(transaction_hash, event_time, WITHDRAWN, 1.0)

    def reverse(self, transaction_hash: int, event_time: int) -> None:
        """A transaction came back, wholly or in part: unless somebody says what it was, before or later, it is neither fraud nor
        genuine, and never matures. One that has matured stays as it was learned.

        Parameters
        ----------
        event_time
            When it came back, µs.
        """
        row = self._pending.find(transaction_hash)
        told = self._pending.has_early(transaction_hash) if row is None else self._pending.label_of(row) != UNLABELLED
        if not told:
            self.withdraw(transaction_hash, event_time)

    def label(self, transaction_hash: int, event_time: int, fraud: bool, source: str) -> None:
        """A label arrives; a later one for the same transaction supersedes it.

        Parameters
        ----------
        transaction_hash
            Of the transaction; unknown ones wait for their features (bounded).
        event_time
            Of the label, µs.
        source
            A key of ``config.trust``.

        Raises
        ------
        ValueError
            The source is not in ``config.trust``.
        """
        if source not in self.config.trust:
            raise ValueError(f"label source {source!r} has no trust; known: {', '.join(self.config.trust)}")
        trust = self.config.trust[source]
        label = FRAUD if fraud else GENUINE
        self._ceiling.label(transaction_hash, fraud)
        row = self._pending.find(transaction_hash)
        if row is not None:
            self._pending.set_label(row, label, trust)
            return
        known = self._window.label_of(transaction_hash)
        if known is None:
            self._pending.keep_early(transaction_hash, event_time, label, trust)
            return
        weight = self._bounded(np.array([trust]), np.array([fraud and not known]), np.array([trust]))
        self._window.relabel(transaction_hash, fraud, float(weight[0]))
        if known != fraud:  # outcomes that turn after maturity
            self._learned["frauds"] += 1 if fraud else -1
            self._learned["genuine"] -= 1 if fraud else -1

    def mend(self, until: int) -> None:
        """No event so far was later than ``until``, µs: times beyond it were wrong, and become it."""
        if self.watermark is not None:
            self.watermark = min(self.watermark, until)
        if self._began is not None:
            self._began = min(self._began, until)
        if self._refit_at is not None:
            self._refit_at = min(self._refit_at, until + self.config.refit_us)
        self._pending.mend(until)
        self._window.mend(until)

    def advance(self, watermark: int) -> None:
        """Event time has come so far (µs): what is older than maturity and has no label becomes genuine."""
        self.watermark = watermark if self.watermark is None else max(self.watermark, watermark)
        self._began = self.watermark if self._began is None else self._began
        lived = self.watermark - self.config.maturity_us - self._began
        rows = self._pending.pop_until(self.watermark - self.config.maturity_us)
        if (rows.label == WITHDRAWN).any():
            rows = rows.chosen(rows.label != WITHDRAWN)
        self.matured = rows
        if len(rows):
            self._learn_matured(rows)
        self._ceiling.silent_days = 0 if self._learned["frauds"] else max(lived // DAY, 0)

    def latest(self, most: int) -> LabelledRows:
        """The events observed last that have not matured, at most so many; as they were scored."""
        return self._pending.latest(most)

    def close_round(self, with_state: bool = True) -> Snapshot:
        """Refit the trees if it is time, and freeze everything learned so far.

        Parameters
        ----------
        with_state
            Whether to take along what :meth:`restore` needs (large); version and digest are the same without.
        """
        self._refit_if_due()
        self._ceiling.close()
        self._round += 1
        state_description, state = self._state() if with_state else ({}, {})
        description = {**self._description, "counts": dict(self._learned)}
        snapshot = Snapshot(KIND, self._round, self._parent, description, self._model(), state_description, state)
        self._parent = snapshot.digest
        return snapshot

    def _learn_normal(self, matrix: NDArray[np.floating[Any]], learn: NDArray[np.bool_]) -> None:
        described = self._description
        _observe(
            matrix, learn, self._scale, self._linear, self._seen, self._square, self.config.moments_memory,
            self._split, self._at, self._reference, self._latest, self._masses, described["forest_height"],
            described["forest_window"], self._counts, self._ranks,
        )  # fmt: skip

    def _learn_matured(self, rows: LabelledRows) -> None:
        matrix = rows.matrix.astype(np.float64)
        fraud = rows.label == FRAUD
        trust = np.where(rows.label == UNLABELLED, self.config.trust["maturity"], rows.trust)
        weight = self._bounded(rows.weight.astype(np.float64) * trust, fraud, trust)
        self._learn_normal(matrix, rows.suspected & ~fraud)
        self._learned["frauds"] += int(fraud.sum())
        genuine = np.bincount(rows.group[~fraud], rows.weight[~fraud], len(self._maps)).astype(np.int64)
        self.genuine_by_group += genuine
        self._ceiling.mature(genuine, np.bincount(rows.group[fraud], minlength=len(self._maps)))
        self._learned["genuine"] += int(genuine.sum())  # a row kept under load stands for those let go
        # Where nobody has told of a single fraud, no label may be coming at all: silence is not a base rate of zero,
        # and the first model's prior stands until the first fraud is known.
        if self._learned["frauds"] > 0:
            self._learn_supervised(rows, matrix, fraud, weight)
        self._window.add(rows.hash, rows.time, rows.matrix, weight.astype(np.float32), fraud)

    def _bounded(
        self, weight: NDArray[np.float64], fraud: NDArray[np.bool_], trust: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Weights of matured rows, in order: frauds told by sources below full trust never weigh more, all together,
        than ``partial_share`` of those told by sources in full trust (and a first :data:`PARTIAL_FIRST`); beyond that
        they teach nothing."""
        for i in np.flatnonzero(fraud).tolist():
            if trust[i] >= 1.0:
                self._fraud_weight[FULL] += weight[i]
                continue
            most = PARTIAL_FIRST + self.config.partial_share * self._fraud_weight[FULL]
            room = most - self._fraud_weight[PARTIAL]
            weight[i] = min(weight[i], max(room, 0.0))
            self._fraud_weight[PARTIAL] += weight[i]
        return weight

    def _learn_supervised(
        self, rows: LabelledRows, matrix: NDArray[np.float64], fraud: NDArray[np.bool_], weight: NDArray[np.float64]
    ) -> None:
        """The linear model, the stack and the maps learn from matured rows."""
        c = self.config
        _mature(
            matrix, fraud.astype(np.float64), weight, rows.group, self._trees.margin(matrix), len(self._trees.root) > 0,
            self._scale, self._linear, self._biases, self._squares, c.linear_rate, c.linear_ridge,
            self._stack, self._stack_covariance, 1.0 - 1.0 / c.stack_memory, STACK_VARIANCE,
            self._maps, self._map_covariance, 1.0 - 1.0 / c.calibration_memory, MAP_VARIANCE,
        )  # fmt: skip

    def _refit_if_due(self) -> None:
        """Refit when it is time, and whenever the frauds to learn from have doubled: the first days gain most."""
        if self.watermark is None:
            return
        self._window.forget(self.watermark - self.config.maturity_us - self.config.boosted.window_us)
        frauds = self._window.frauds
        due = self._refit_at is None or self.watermark >= self._refit_at or frauds >= 2 * self._frauds_fit
        if due and frauds >= self.config.boosted.min_frauds:
            self._trees = self._window.fit()
            self._refit_at = self.watermark + self.config.refit_us
            self._frauds_fit = frauds

    def _read_model(self, model: Mapping[str, NDArray[Any]]) -> None:
        self._scale = model["scale"]
        self._linear, self._biases = model["linear"].copy(), model["biases"].copy()
        self._stack, self._maps = model["stack"].copy(), model["maps"].copy()
        self._trees = BoostedTrees.from_arrays(model, "trees.", self._linear.shape[1])
        self._split, self._at = model["forest.feature"], model["forest.threshold"]
        self._reference: NDArray[np.int32] = model["forest.reference"].copy()
        height, window = self._description["forest_height"], self._description["forest_window"]
        self._masses = np.zeros((len(self._split) // (2**height - 1)) << height, dtype=np.int64)
        leaf_masses(self._reference, height, SIZE_LIMIT * window, self._masses)

    def _model(self) -> dict[str, NDArray[Any]]:
        kept = min(int(self._counts[2]), len(self._ranks))
        return {
            "scale": self._scale,
            "linear": self._linear.copy(),
            "biases": self._biases.copy(),
            **self._trees.arrays("trees."),
            "stack": self._stack.copy(),
            "maps": self._maps + np.array([self._young_shift(), 0.0]),
            "forest.feature": self._split,
            "forest.threshold": self._at,
            "forest.reference": self._reference.copy(),
            "knots": rank_knots(self._ranks[:kept]) if kept >= RANK_FIRST else np.zeros(0),
            **self._ceiling.model(),
        }

    def _young_shift(self) -> float:
        """What a young model's log-odds are lowered by, <= 0, so that few of the latest payments stand out.

        Its first frauds and genuine payments are of other days than what it scores: what grows with a line's age (the
        months an account is known, payees met) then looks like fraud. Until ``young_frauds`` are learned, no more of
        the latest payments may be above ``young_risk`` than the frauds known so far and ``young_share`` account for.
        """
        c, learned = self.config, self._learned
        latest = self.latest(YOUNG_SAMPLE)
        if not 0 < learned["frauds"] < c.young_frauds or len(latest) < YOUNG_SAMPLE:
            return 0.0
        matrix, logits = latest.matrix.astype(np.float64), np.empty(len(latest))
        _logits(
            matrix, latest.group, self._scale, self._linear, self._biases, self._trees.margin(matrix), self._stack,
            self._maps, logits,
        )  # fmt: skip
        share = c.young_share + learned["frauds"] / (learned["frauds"] + learned["genuine"])
        highest = np.sort(logits)[::-1][min(int(share * len(logits)), len(logits) - 1)]
        return min(0.0, float(log(c.young_risk / (1.0 - c.young_risk)) - highest))

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        pending_description, pending = self._pending.state()
        window_description, window = self._window.state()
        description = {
            "config": self.config.describe(),
            "watermark": self.watermark,
            "began": self._began,
            "refit_at": self._refit_at,
            "frauds_fit": self._frauds_fit,
            "pending": pending_description,
            "window": window_description,
        }
        add_up(self._latest, self._description["forest_height"])
        own = {name: getattr(self, "_" + name).copy() for name in _OWN}
        arrays = {
            **own,
            **{"pending." + k: v for k, v in pending.items()},
            **{"window." + k: v for k, v in window.items()},
            **{"ceiling." + k: v for k, v in self._ceiling.state().items()},
        }
        return description, arrays

    def _load(self, description: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.watermark, self._refit_at = description["watermark"], description["refit_at"]
        self._began = description["began"]
        self._frauds_fit = int(description["frauds_fit"])
        for name in _OWN:
            have = getattr(self, "_" + name)
            setattr(self, "_" + name, require_array(arrays, name, have.dtype.str, have.shape).copy())
        pending = _under(arrays, "pending.")
        if (require_array(pending, "group", "u1", (-1,)) >= len(self._maps)).any():
            raise SnapshotError(f"pending rows of a group beyond the {len(self._maps)} that the snapshot has")
        self._pending.load(description["pending"], pending)
        self._window.load(description["window"], _under(arrays, "window."))
        self._ceiling.load(self._ceiling.model(), _under(arrays, "ceiling."))


_OWN = ("seen", "square", "squares", "stack_covariance", "map_covariance", "latest", "counts", "ranks", "fraud_weight")


def _under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}
