"""Seeded traffic and a driver for the detectors' tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.boosted_window import BoostedWindowConfig
from detectors.ensemble import EnsembleConfig, Input, Learner, Scorer, Snapshot, genesis

DAY = 86_400_000_000
INPUTS = [Input(f"f{j}", scale) for j, scale in enumerate(("log", "log", "linear", "flag", "code", "linear"))]
CONFIG = EnsembleConfig(
    maturity_us=5 * DAY,
    refit_us=4 * DAY,
    boosted=BoostedWindowConfig(window_us=30 * DAY, min_frauds=20, trees=24, learning_rate=0.15, min_leaf_rows=5),
)


@dataclass(frozen=True)
class Traffic:
    """A labelled stream: two groups, fraud where two inputs meet, missing cells, 3 % fraud."""

    ids: NDArray[np.uint64]
    time: NDArray[np.int64]
    matrix: NDArray[np.float64]
    group: NDArray[np.uint8]
    fraud: NDArray[np.bool_]
    per_day: int

    @property
    def days(self) -> int:
        return len(self.ids) // self.per_day


def make_traffic(seed: int, days: int, per_day: int) -> Traffic:
    rng = np.random.default_rng(seed)
    n = days * per_day
    matrix = np.column_stack(
        (
            np.exp(rng.normal(3, 1, n)),
            np.exp(rng.normal(0, 1, n)),
            rng.normal(0, 1, n),
            (rng.random(n) < 0.2).astype(float),
            rng.integers(0, 4, n).astype(float),
            rng.normal(0, 1, n),
        )
    )
    risk = 1.5 * np.log(matrix[:, 1]) + 2.5 * matrix[:, 3] * (matrix[:, 2] > 0.5) + rng.normal(0, 0.7, n)
    fraud = risk > np.quantile(risk, 0.97)
    matrix = matrix.astype(np.float32).astype(np.float64)  # as the join buffer keeps them
    matrix[rng.random(matrix.shape) < 0.05] = np.nan
    ids = np.random.default_rng(seed + 1).integers(1, 2**63, n, dtype=np.uint64)
    time = (np.arange(n, dtype=np.int64) * DAY) // per_day
    return Traffic(ids, time, matrix, rng.integers(0, 2, n).astype(np.uint8), fraud, per_day)


def learn(
    learner: Learner,
    traffic: Traffic,
    days: range,
    cut: int = 10_000,
    labels: NDArray[np.bool_] | None = None,
    scores: NDArray[np.int64] | None = None,
    scorer: Scorer | None = None,
) -> list[Snapshot]:
    """Days of traffic with labels five days late; batches of ``cut``; one round a day. Scores go before learning."""
    labels = traffic.fraud if labels is None else labels
    snapshots = []
    for day in days:
        first, last = day * traffic.per_day, (day + 1) * traffic.per_day
        for a in range(first, last, cut):
            batch = slice(a, min(a + cut, last))
            if scores is not None and scorer is not None:
                scores[batch] = scorer.score(traffic.matrix[batch], traffic.group[batch])[0]
            suspected = np.zeros(batch.stop - batch.start, dtype=np.bool_)
            learner.observe(
                traffic.ids[batch], traffic.time[batch], traffic.matrix[batch], traffic.group[batch], suspected
            )
        for i in range(max(first - 5 * traffic.per_day, 0), last - 5 * traffic.per_day):
            if labels[i]:
                learner.label(int(traffic.ids[i]), int(traffic.time[i]) + 5 * DAY, True, "chargeback")
        learner.advance((day + 1) * DAY)
        snapshots.append(learner.close_round())
        scorer = Scorer(snapshots[-1])
    return snapshots


def first_snapshot() -> Snapshot:
    return genesis(INPUTS, {"f1": 1.0}, -5.0, ["here", "there"], seed=42)
