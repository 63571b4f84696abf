"""Alerts against what people can look at, as Prometheus sees it: it counts what was decided and decides nothing.

The budgets are the policy's; an hour is one of event time. No budget takes an alert away, puts one off or makes one up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge

from rules.pack import Budget
from rules.priority import HOUR_US
from stream.core.columns import SCENARIOS
from stream.core.decision.decide import REVIEW, Decided


class AlertLoad:
    """The metrics of alerts and their budgets, of the partitions that one worker has.

    Parameters
    ----------
    registry
        The worker's.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        alerts = Counter("riskstream_alerts_total", "Alerts.", ("scenario",), registry=registry)
        budget = Gauge(
            "riskstream_alert_budget_per_hour", "Alerts an hour that people can look at.", ("scenario",),
            registry=registry,
        )  # fmt: skip
        hour = Gauge(
            "riskstream_alerts_event_hour", "Alerts of the current hour of event time.", ("scenario",),
            registry=registry,
        )  # fmt: skip
        self._hour_begin = Gauge(
            "riskstream_event_hour_seconds", "Begin of the current hour of event time, Unix seconds.", registry=registry
        )
        sampled = Counter(
            "riskstream_below_line_total", "Approvals sampled below the line.", ("scenario",), registry=registry
        )
        # every scenario is there from the start: a rate over a series that begins at its first alert would miss that one
        self._alerts = [alerts.labels(name) for name in SCENARIOS]
        self._budget = [budget.labels(name) for name in SCENARIOS]
        self._of_hour = [hour.labels(name) for name in SCENARIOS]
        self._sampled = [sampled.labels(name) for name in SCENARIOS]
        self._hour = 0

    def budgets(self, budgets: Sequence[Budget]) -> None:
        """The policy in force has these budgets, by scenario code."""
        for gauge, budget in zip(self._budget, budgets, strict=True):
            gauge.set(budget.per_hour)

    def decided(self, decided: Decided) -> None:
        """A batch was decided: an alert is late for an hour that is over, and counts in the total alone."""
        times, scenario = decided.received.transactions["event_time"], decided.verdicts["scenario"]
        hour = int(times.max()) // HOUR_US
        if hour > self._hour:
            self._hour = hour
            self._hour_begin.set(hour * 3600)
            for gauge in self._of_hour:
                gauge.set(0)
        rows = np.flatnonzero(decided.verdicts["outcome"] == REVIEW)
        if len(rows):
            _add(self._alerts, scenario[rows])
            _add(self._of_hour, scenario[rows[times[rows] // HOUR_US == self._hour]])
        if decided.sampled.any():
            _add(self._sampled, scenario[decided.sampled])


def _add(metrics: Sequence[Counter | Gauge], scenario: np.ndarray) -> None:
    """Count codes on the metrics of their scenarios."""
    for metric, number in zip(metrics, np.bincount(scenario, minlength=len(metrics)).tolist(), strict=True):
        if number:
            metric.inc(number)
