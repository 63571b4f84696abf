"""What the holds agent counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.core.columns import SCENARIOS
from stream.core.hold.hold_rows import NO_SCENARIO
from stream.core.hold.holds import Ending
from stream.worker.agents.holds_partition import HoldsPartition

OVERDUE_US: Final = 30_000_000
"""So long after its expiry a hold that is still open is overdue."""


class HoldsMetrics:
    """What the agent counts, beside the contract's metrics in the worker's registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge(
            "riskstream_holds_open", "Holds of reviews that have not ended.", ("partition",), registry=registry
        )
        self.unmatched = Gauge(
            "riskstream_holds_unmatched", "Verdicts without an alert.", ("partition",), registry=registry
        )
        self.challenges = Gauge(
            "riskstream_challenges_open", "Challenges that have not ended.", ("partition",), registry=registry
        )
        self.overdue = Gauge(
            "riskstream_holds_overdue", "Open holds whose expiry is past and that have not ended.", ("partition",),
            registry=registry,
        )  # fmt: skip
        self.resolutions = Counter(
            "riskstream_resolutions_total", "Ends of holds.", ("result", "cause"), registry=registry
        )
        self.obligations = Gauge(
            "riskstream_obligations_open",
            "Information owed for payments that proceeded.",
            ("partition",),
            registry=registry,
        )
        self.obligations_ended = Counter(
            "riskstream_obligations_total", "Ends of obligations.", ("result",), registry=registry
        )
        self.judged = Counter(
            "riskstream_alerts_judged_total",
            "Alerts that a reviewer judged in time.",
            ("scenario", "verdict"),
            registry=registry,
        )
        for scenario in SCENARIOS:
            for verdict in ("genuine", "fraud"):
                self.judged.labels(scenario, verdict)
        for result, cause in product(("release", "decline"), ("reviewer", "challenge", "customer", "expiry")):
            self.resolutions.labels(result, cause)
        for end in ("supplied", "escalated"):
            self.obligations_ended.labels(end)
        self.ignored = Counter(
            "riskstream_holds_ignored_total",
            "Late verdicts, repeated alerts, unreadable alerts, early verdicts dropped.",
            ("what",),
            registry=registry,
        )
        for what in ("late", "repeated", "unreadable", "dropped"):
            self.ignored.labels(what)

    def looked(self, partitions: Mapping[int, HoldsPartition], now_us: int) -> None:
        """How many holds and obligations are past their expiry, which a grace and a look at the feedback follow."""
        for number, owned in partitions.items():
            past = now_us - OVERDUE_US
            self.overdue.labels(str(number)).set(owned.core.overdue(past) + owned.owed.overdue(past))

    def committed(self, endings: Iterable[Ending], partitions: Mapping[int, HoldsPartition]) -> None:
        """A transaction was committed: count what it held and what stands open now."""
        for ending in endings:
            if ending.hold.escalation:
                self.obligations_ended.labels("escalated" if ending.cause == "expiry" else "supplied").inc()
            else:
                self.resolutions.labels(ending.result, ending.cause).inc()
                if ending.cause == "reviewer" and ending.hold.held == "review":
                    verdict = "genuine" if ending.result == "release" else "fraud"
                    self.judged.labels(ending.hold.scenario or NO_SCENARIO, verdict).inc()
        for number, owned in partitions.items():
            self.obligations.labels(str(number)).set(len(owned.owed))
            owned.owed.late = owned.owed.repeated = owned.owed.dropped = (
                0  # "supplied" where nothing is owed is no fault
            )
            self.challenges.labels(str(number)).set(owned.core.challenges)
            self.open.labels(str(number)).set(len(owned.core) - owned.core.challenges)
            self.unmatched.labels(str(number)).set(owned.core.unmatched)
            for what in ("late", "repeated", "dropped"):
                count = getattr(owned.core, what)
                if count:
                    self.ignored.labels(what).inc(count)
                    setattr(owned.core, what, 0)

    def lost(self, partitions: Iterable[int]) -> None:
        """Another worker shows these from now on."""
        for number in partitions:
            self.open.labels(str(number)).set(0)
            self.challenges.labels(str(number)).set(0)
            self.overdue.labels(str(number)).set(0)
            self.obligations.labels(str(number)).set(0)
            self.unmatched.labels(str(number)).set(0)
