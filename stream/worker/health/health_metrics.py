"""What the worker tells Prometheus of its own health: an outage shows here where counters only stand still."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.log.records import Place
from stream.worker.health.checkpoint_age import HOPS
from stream.worker.health.gauge_table import GaugeTable
from stream.worker.health.watchdog import STARTING, Health

RECOVERY_FAILURES: Final = ("broker", "superseded", "refused", "other")
"""``broker``: Kafka did not give or take what was needed; it is tried again. ``superseded``: another generation of the
group has begun, as at every rebalance. ``refused``: no retry can mend it; the worker ends. ``other``: the log says what."""

PARTS: Final = (
    "broker",
    "recovery",
    "holds",
    "learner",
    "versions",
    "records lost",
    "stopped",
    "internal errors",
    "clock",
)
"""Parts of every worker, by the names that ``/ready`` calls them."""


class HealthMetrics:
    """See the module; part of :class:`stream.worker.health.line_metrics.Metrics`.

    Parameters
    ----------
    registry
        The worker's.
    partitions
        How many partitions the line has.
    """

    def __init__(self, registry: CollectorRegistry, partitions: int = 0) -> None:
        self._registry = registry
        self._health: Callable[[], Health] = lambda: STARTING
        live = Gauge("riskstream_live", "1 while the worker is alive, as /live says.", registry=registry)
        ready = Gauge("riskstream_ready", "1 while the worker is ready, as /ready says.", registry=registry)
        # asked for when Prometheus asks: a thread that hangs cannot leave a 1 standing
        live.set_function(lambda: float(self._health().live))
        ready.set_function(lambda: float(self._health().ready))
        self._part = Gauge("riskstream_part_ok", "1 while a part of the worker works.", ("part",), registry=registry)
        for part in PARTS:
            self._part.labels(part)
        self._owned = Gauge("riskstream_partitions_owned", "Partitions whose rows are here.", registry=registry)
        self._partitions = Gauge("riskstream_partitions", "Partitions that the line has.", registry=registry)
        self._partitions.set(partitions)
        self._end = Gauge(
            "riskstream_end_offset", "Where an input partition ends, as far as it can be read.",
            ("topic", "partition"), registry=registry,
        )  # fmt: skip
        self._committed = Gauge(
            "riskstream_committed_offset", "Where the group stands in an input partition.",
            ("topic", "partition"), registry=registry,
        )  # fmt: skip
        self._failures = Counter(
            "riskstream_recovery_failures_total", "Attempts to recover that failed.", ("reason",), registry=registry
        )
        for reason in RECOVERY_FAILURES:
            self._failures.labels(reason)
        self._rows = GaugeTable(Gauge(
            "riskstream_rows", "Rows of the fullest table of a hop's partition.", ("hop", "partition"), registry=registry
        ))  # fmt: skip
        self._rows_limit = Gauge("riskstream_rows_limit", "Most rows of one table of a partition.", registry=registry)
        self._forgotten = Counter(
            "riskstream_rows_forgotten_total", "Forgotten rows that were taken out of memory and row topics.", ("hop",),
            registry=registry,
        )  # fmt: skip
        self._taken_out: dict[str, int] = {}
        for hop in HOPS:
            self._forgotten.labels(hop)
        self._checkpoint = Gauge(
            "riskstream_checkpoint_age_seconds", "Age of the oldest change of rows that no checkpoint has.", ("hop",),
            registry=registry,
        )  # fmt: skip
        for hop in HOPS:
            self._checkpoint.labels(hop)
        self._ages = {
            name: Gauge(name, documentation, registry=registry)
            for name, documentation in (
                (
                    "riskstream_learner_round_age_seconds",
                    "Since the learner last ended a round or found nothing to learn.",
                ),
                ("riskstream_versions_age_seconds", "Since the topics of models and policies were last looked at."),
                ("riskstream_versions_behind_seconds", "Since when a version that should be in force is not."),
            )
        }
        self._wanted = GaugeTable(Gauge(
            "riskstream_version_wanted_info", "Versions that should be in force.", ("model", "policy"), registry=registry
        ))  # fmt: skip

    def watch(self, health: Callable[[], Health]) -> None:
        """Show this judgement from now on."""
        self._health = health

    def ages(
        self, learner_round: Callable[[], float], versions: Callable[[], float], behind: Callable[[], float]
    ) -> None:
        """Ask for these ages, s, whenever Prometheus asks: they go on growing when the thread is gone."""
        for gauge, age in zip(self._ages.values(), (learner_round, versions, behind), strict=True):
            gauge.set_function(age)

    def parts(self, works: Mapping[str, bool]) -> None:
        """Which parts work now."""
        for part, fine in works.items():
            self._part.labels(part).set(fine)

    def owned(self, partitions: int) -> None:
        """The rows of so many partitions are here."""
        self._owned.set(partitions)

    def offsets(self, stands: Mapping[Place, int], ends: Mapping[Place, int]) -> None:
        """Where the group stands in partitions of the inputs, and where they end."""
        for gauge, offsets in ((self._committed, stands), (self._end, ends)):
            for place, offset in offsets.items():
                gauge.labels(place.topic, str(place.partition)).set(offset)

    def recovery_failed(self, reason: str) -> None:
        """An attempt to recover failed; see :data:`RECOVERY_FAILURES`."""
        self._failures.labels(reason).inc()

    def checkpoints(self, ages: Iterable[tuple[str, float]]) -> None:
        """Ages of the oldest unwritten change of each hop, s."""
        for hop, age in ages:
            self._checkpoint.labels(hop).set(age)

    def rows(self, counts: Mapping[tuple[str, int], int], limit: int) -> None:
        """Rows of the fullest table by hop and partition, of the partitions that are here, and the most there may be."""
        self._rows.show({(hop, str(partition)): count for (hop, partition), count in counts.items()})
        self._rows_limit.set(limit)

    def rows_forgotten(self, forgotten: Mapping[str, int]) -> None:
        """How many rows each hop has taken out so far."""
        for hop, count in forgotten.items():
            self._forgotten.labels(hop).inc(count - self._taken_out.get(hop, 0))
            self._taken_out[hop] = count

    def wanted(self, model: str, policy: str) -> None:
        """These versions should be in force now."""
        self._wanted.show({(model, policy): 1})
