"""Every number of the ensemble's learning, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from detectors.boosted_window import BoostedWindowConfig

DAY = 86_400_000_000
FOREST_TREES, FOREST_HEIGHT, FOREST_WINDOW = 25, 8, 5_000


@dataclass(frozen=True, slots=True)
class EnsembleConfig:
    """Every number of learning.

    Parameters
    ----------
    maturity_us
        An event without a label becomes genuine after so long, µs of event time.
    pending_capacity
        Most events that wait for a label (each costs 4 bytes an input and some 80 more).
    early_label_capacity
        Most labels that wait for their event.
    trust
        Weight of a label by its source, 0 to 1; ``maturity`` is the unlabelled that became genuine.
    partial_share
        Frauds told by sources with a trust below 1 weigh together at most this share of those told in full trust.
    refit_us
        Event time between two refits of the boosted trees, µs.
    boosted
        Window and parameters of the boosted trees.
    linear_rate, linear_ridge
        AdaGrad's learning rate and ridge of the linear model.
    moments_memory
        Events over which the inputs' means and deviations fade.
    stack_memory, calibration_memory
        Labelled events over which the stack's and the maps' evidence fades.
    rank_sample
        Most recent anomaly scores that the anomaly rate is read from.
    young_frauds, young_share, young_risk
        Until so many frauds are learned, no more than this share of the latest payments (over the known share of
        frauds) is given a higher risk than that.
    """

    maturity_us: int = 30 * DAY
    pending_capacity: int = 300_000
    early_label_capacity: int = 100_000
    trust: Mapping[str, float] = field(
        default_factory=lambda: {"review": 1.0, "chargeback": 1.0, "complaint": 0.5, "maturity": 1.0}
    )
    partial_share: float = 0.25
    refit_us: int = 2 * DAY
    boosted: BoostedWindowConfig = field(default_factory=BoostedWindowConfig)
    linear_rate: float = 0.2
    linear_ridge: float = 0.0
    moments_memory: float = 100_000.0
    stack_memory: float = 200_000.0
    calibration_memory: float = 200_000.0
    rank_sample: int = 16_384
    young_frauds: int = 500
    young_share: float = 0.002
    young_risk: float = 0.02

    def describe(self) -> dict[str, Any]:
        """All numbers as JSON-able values, for a snapshot."""
        return asdict(self)

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> EnsembleConfig:
        """The inverse of :meth:`describe`."""
        return cls(**{**description, "boosted": BoostedWindowConfig(**description["boosted"])})
