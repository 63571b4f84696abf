"""What the learner tells about models beside their snapshots: drift, champion and challenger, and refusals."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import numpy as np
import orjson

from detectors.ensemble import Learner, Scorer, Snapshot
from stream.core.decision.decide import MODEL_NAMES, Decider
from stream.core.learning.learning_records import LearningRecords
from stream.core.learning.model_watch import TOUCH_RUNG, DriftWatch, SideBySide, alert_rate_change
from stream.settings import Settings
from stream.versions.model_records import COMPARISON_KEY, DRIFT_KEY, REFUSED
from stream.versions.models import ModelLog
from stream.worker.health.line_metrics import Metrics

logger = logging.getLogger("riskstream.models")
REPORTS = 20
"""Reports of drift that are kept."""
RECENT_ROWS, LEAST_ROWS = 4_096, 1_000
"""Latest payments that a new model is held against, and how many there must be."""
Note = tuple[bytes, bytes | None]


class FollowedVersions(Protocol):
    """What is looked at of :class:`stream.worker.agents.versions_agent.Versions`."""

    models: ModelLog

    def decider(self) -> Decider:
        """Model and policy in force."""


class ModelNotes:
    """Watches the learner's rounds; what it has to tell goes to ``risk.models.v1`` with the round's snapshot.

    Parameters
    ----------
    learner
        The learner as it was restored: what it counted before was told before.
    """

    def __init__(self, settings: Settings, versions: FollowedVersions, metrics: Metrics, learner: Learner) -> None:
        self._settings = settings
        self._versions = versions
        self._metrics = metrics
        self._learner = learner
        self._told = learner.genuine_by_group.copy()
        self._drift = DriftWatch()
        self._reports: list[dict[str, Any]] = list(versions.models.drift)
        self._sides: SideBySide | None = None

    def observe(self, records: LearningRecords) -> list[Note]:
        """Records of a round, with their ids, before it is learned."""
        if self._sides is not None and len(records):
            self._sides.live(records.inputs.astype(np.float64), records.group)
        reports = self._drift.take(records)
        for report in reports:
            self._metrics.drifted(report["scenario"], report["kind"])
            logger.warning("drift: %s", orjson.dumps(report).decode())
        if not reports:
            return []
        self._reports = [*self._reports, *reports][-REPORTS:]
        return [(DRIFT_KEY, orjson.dumps({"reports": self._reports}))]

    def closed(self, snapshot: Snapshot) -> list[Note]:
        """A round has been learned and led to this snapshot."""
        self._count_matured()
        if self._sides is not None:
            self._sides.matured(self._learner.matured)
        return [*self._refusal(snapshot), *self._compare(snapshot)]

    def _count_matured(self) -> None:
        matured = self._learner.genuine_by_group - self._told
        self._told = self._learner.genuine_by_group.copy()
        for scenario in np.flatnonzero(matured).tolist():
            self._metrics.matured(scenario, int(matured[scenario]))

    def _refusal(self, snapshot: Snapshot) -> list[Note]:
        """Why this snapshot is not to be followed: what it would do to the alert rate."""
        champion, rows = self._versions.models.active, self._learner.latest(RECENT_ROWS)
        if len(rows) < LEAST_ROWS or tuple(champion.description["inputs"]) != MODEL_NAMES:
            return []
        before, after = alert_rate_change(Scorer(champion), Scorer(snapshot), rows, self._limits())
        counts = snapshot.counts
        known = 10_000 * counts["frauds"] / max(counts["frauds"] + counts["genuine"], 1)
        allowed = self._settings.model_alert_change_per_10k + 2 * known
        if abs(after - before) <= allowed:
            return []
        self._metrics.model_refused()
        reason = {
            "version": snapshot.version,
            "champion": champion.version,
            "champion_alerts_per_10k": round(before, 1),
            "alerts_per_10k": round(after, 1),
            "allowed_change_per_10k": round(allowed, 1),
            "payments": len(rows),
        }
        logger.warning("model refused: %s", orjson.dumps(reason).decode())
        return [(REFUSED + snapshot.version.encode(), orjson.dumps(reason))]

    def _compare(self, snapshot: Snapshot) -> list[Note]:
        """Champion and challenger side by side, where the workers do not follow the learner."""
        models = self._versions.models
        champion = models.active
        held = bool(models.pinned) or models.newest.version in models.refused
        if not held or tuple(champion.description["inputs"]) != MODEL_NAMES:
            ended, self._sides = self._sides is not None or bool(models.comparison), None
            return [(COMPARISON_KEY, None)] if ended else []
        if self._sides is None or self._sides.tally.champion != champion.version:
            self._sides = SideBySide(Scorer(champion), Scorer(snapshot), self._limits())
        self._sides.follow(Scorer(snapshot))
        return [(COMPARISON_KEY, orjson.dumps(self._sides.tally.describe()))]

    def _limits(self) -> list[int]:
        return [terms.thresholds[TOUCH_RUNG] for terms in self._versions.decider().compiled.scenarios]
