"""What the worker tells Prometheus; names and labels as in the contract, no account, payee or transaction in one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import get_args

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from detectors.drift import Kind
from rules.ladder import OUTCOMES
from stream.core.account.account_reversal import RESULTS as REVERSAL_RESULTS
from stream.core.columns import ABSENT_TIME, SCENARIOS
from stream.core.decision.decide import CHALLENGE, Decided
from stream.log.records import Place
from stream.log.set_aside import REASONS
from stream.settings import Settings
from stream.worker.health.alert_load import AlertLoad
from stream.worker.health.gauge_table import GaugeTable
from stream.worker.health.health_metrics import HealthMetrics
from stream.worker.hops.counts import BatchTallies

BUCKETS = (0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0)
FAMILIAR_PPM = 500_000
RESULTS = ("decided", "duplicate", "dead")
INTERNAL_ERRORS = (
    *((hop, result) for hop in ("accounts", "payees") for result in ("recovered", "dead_letter", "stopped")),
    ("payees", "undecided"),
    ("payees", "set_aside"),
)
"""Hop and result of each kind of internal error."""
THREADS = (
    "versions", "fetch accounts", "fetch payees", "standbys", "snapshots", "topology", "hanging", "sampler", "probes",
    "learner", "holds",
)  # fmt: skip
"""Threads beside the line, as the metrics name them."""


class LatencyHistogram(Collector):
    """A histogram that takes a whole batch at once; a library call for each decision would cost the line a microsecond.

    >>> histogram = LatencyHistogram("seconds", "A duration.")
    >>> histogram.observe(np.array([0.004, 0.02, 99.0]))
    >>> {s.labels["le"]: s.value for s in next(iter(histogram.collect())).samples if s.name == "seconds_bucket"}["0.02"]
    2.0
    """

    def __init__(self, name: str, documentation: str) -> None:
        self._name, self._documentation = name, documentation
        self._edges = np.array(BUCKETS)
        self._counts = np.zeros(len(BUCKETS) + 1, np.int64)
        self._sum = 0.0

    def observe(self, seconds: npt.NDArray[np.float64]) -> None:
        """Count durations; negative ones (a clock behind the broker's) count as 0."""
        seconds = np.maximum(seconds, 0.0)
        places = np.searchsorted(self._edges, seconds, side="left")
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(seconds.sum())

    def collect(self) -> Iterable[Metric]:
        """The metric, as the registry asks for it."""
        edges = [*(str(edge) for edge in BUCKETS), "+Inf"]
        buckets = [(edge, float(count)) for edge, count in zip(edges, np.cumsum(self._counts).tolist(), strict=True)]
        yield HistogramMetricFamily(self._name, self._documentation, buckets, self._sum)


class Metrics:
    """All metrics of one worker, in a registry of its own.

    Every series whose labels are known is there from the start, at 0: an increase over a series that begins at its first
    event would miss that one.

    Parameters
    ----------
    settings, partitions
        The worker's, and how many partitions its line has; None and 0 where nothing of a topic is to be there.
    """

    def __init__(self, settings: Settings | None = None, partitions: int = 0) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self._make_decision_metrics(registry)
        self._make_model_metrics(registry)
        self._make_row_metrics(registry)
        self._make_failure_metrics(registry)
        self.alert_load = AlertLoad(registry)
        self.health = HealthMetrics(registry, partitions)
        ProcessCollector(registry=registry)
        self.last_commit = time.monotonic()
        self._begin()
        if settings is not None:
            self._begin_topics(settings, partitions)

    def _make_decision_metrics(self, registry: CollectorRegistry) -> None:
        self._records = Counter(
            "riskstream_records_total", "Input records by what became of them.", ("topic", "result"), registry=registry
        )
        self._reversals = Counter(
            "riskstream_reversals_total",
            "Reversals by what became of them; reversed_late: the payment had matured, or is older than the last 16.",
            ("result",),
            registry=registry,
        )
        self._in_flight = Gauge(
            "riskstream_in_flight", "Records profiled and not yet decided.", ("topic", "partition"), registry=registry
        )
        self._decisions = Counter(
            "riskstream_decisions_total", "Decisions.", ("scenario", "outcome"), registry=registry
        )
        self._latency = LatencyHistogram(
            "riskstream_decision_latency_seconds", "Kafka timestamp of the transaction to acknowledged decision."
        )
        registry.register(self._latency)
        self._open_transaction = Gauge(
            "riskstream_open_transaction_seconds",
            "Age of the oldest open transaction that an input's committed readers wait at; 0 without one.",
            ("topic", "partition"),
            registry=registry,
        )
        self._lag = Gauge(
            "riskstream_lag",
            "Records that wait, of own partitions and of those that nobody reads.",
            ("topic", "partition"),
            registry=registry,
        )
        self._touched = Counter(
            "riskstream_touched_total",
            "Challenged, reviewed or declined.",
            ("scenario", "familiar", "outcome"),
            registry=registry,
        )

    def _make_model_metrics(self, registry: CollectorRegistry) -> None:
        self._matured = Counter(
            "riskstream_genuine_matured_total",
            "Transactions that matured without fraud.",
            ("scenario",),
            registry=registry,
        )
        self._drift = Counter(
            "riskstream_drift_total", "Reports of drift, by what moved.", ("scenario", "kind"), registry=registry
        )
        self._refused_models = Counter(
            "riskstream_models_refused_total", "Models that would change the alert rate too much.", registry=registry
        )
        self._set_aside = Gauge(
            "riskstream_refused_control_records", "Records set aside that nobody has quarantined.", ("topic", "reason"),
            registry=registry,
        )  # fmt: skip
        for topic in ("risk.policies.v1", "risk.models.v1"):
            for reason in REASONS:
                self._set_aside.labels(topic, reason)
        self._version = GaugeTable(
            Gauge("riskstream_version_info", "Versions in force.", ("model", "policy"), registry=registry)
        )

    def _make_row_metrics(self, registry: CollectorRegistry) -> None:
        self._transactions = Counter(
            "riskstream_transactions_total", "Kafka transactions by how they ended.", ("result",), registry=registry
        )
        self._missed = Counter(
            "riskstream_deadline_missed_total", "Decisions published past decide_by.", registry=registry
        )
        self._recovered = Counter(
            "riskstream_recovered_total",
            "Recoveries of a partition's rows in one hop, by where they came from.",
            ("source",),
            registry=registry,
        )
        self._standby_lag = Gauge(
            "riskstream_standby_lag",
            "Offsets of a changelog that the standby copy here has not read.",
            ("topic", "partition"),
            registry=registry,
        )
        self._snapshots = Counter(
            "riskstream_snapshots_total", "Local snapshots by what became of them.", ("result",), registry=registry
        )
        self._lost = GaugeTable(Gauge(
            "riskstream_records_lost", "Offsets deleted before they were read; their partition stands.",
            ("topic", "partition"), registry=registry,
        ))  # fmt: skip

    def _make_failure_metrics(self, registry: CollectorRegistry) -> None:
        errors = Counter(
            "riskstream_internal_errors_total",
            "Errors of riskstream itself: batches recovered, records become dead letters, transactions that took the "
            "declared direction, versions set aside, partitions stopped.",
            ("hop", "result"),
            registry=registry,
        )
        # each is there from the start: a rate over a series that begins at its first error would miss that one
        self._internal = {kind: errors.labels(*kind) for kind in INTERNAL_ERRORS}
        refused = Counter(
            "riskstream_batches_refused_total",
            "Batches that did not begin where the rows stand.",
            ("hop",),
            registry=registry,
        )
        self._batches_refused = {hop: refused.labels(hop) for hop in ("accounts", "payees")}
        self._stopped = GaugeTable(Gauge(
            "riskstream_partition_stopped",
            "1 for a partition that stands at a record until its worker is started anew.",
            ("topic", "partition"), registry=registry,
        ))  # fmt: skip
        self._restarts = Counter(
            "riskstream_thread_restarts_total",
            "Threads beside the line that failed and were started again.",
            ("thread",),
            registry=registry,
        )
        for thread in THREADS:
            self._restarts.labels(thread)

    def _begin(self) -> None:
        for scenario, outcome in product(SCENARIOS, OUTCOMES):
            self._decisions.labels(scenario, outcome)
        for scenario, familiar, outcome in product(SCENARIOS, ("true", "false"), OUTCOMES[CHALLENGE:]):
            self._touched.labels(scenario, familiar, outcome)
        for scenario in SCENARIOS:
            self._matured.labels(scenario)
        for scenario, kind in product(SCENARIOS, get_args(Kind)):
            self._drift.labels(scenario, kind)
        for metric, values in (
            (self._transactions, ("committed", "aborted", "fenced")),
            (self._recovered, ("kept", "standby copy", "snapshot", "changelog")),
            (self._snapshots, ("written", "failed", "refused")),
            (self._reversals, REVERSAL_RESULTS),
        ):
            for value in values:
                metric.labels(value)

    def _begin_topics(self, settings: Settings, partitions: int) -> None:
        inputs = [settings.topic(name) for name in ("bank.transactions.v1", "bank.feedback.v1")]
        for topic, result in product(inputs, RESULTS):
            self._records.labels(topic, result)
        for topic in (*inputs, settings.topic("risk.profiled.v1")):
            for partition in range(partitions):
                self._lag.labels(topic, str(partition))
        for partition in range(partitions):
            self._in_flight.labels(inputs[0], str(partition))

    def counted(self, counts: BatchTallies) -> None:
        """A batch of the accounts hop was committed."""
        self._committed()
        for result, number in zip(REVERSAL_RESULTS, counts.reversals, strict=True):
            if number:
                self._reversals.labels(result).inc(number)
        for place, tally in counts.items().items():
            for result in RESULTS:
                number = getattr(tally, result)
                if number:
                    self._records.labels(place.topic, result).inc(number)

    def decided(self, batch: Sequence[Decided]) -> None:
        """A batch of the payees hop was committed."""
        self._committed()
        now_ms = time.time_ns() // 1_000_000
        for decided in batch:
            transactions, verdicts = decided.received.transactions, decided.verdicts
            self._count_outcomes(decided)
            self.alert_load.decided(decided)
            self._latency.observe((now_ms - transactions["timestamp"]) / 1000.0)
            by = transactions["decide_by"]
            self._missed.inc(int(np.count_nonzero((by != ABSENT_TIME) & (by < now_ms * 1000))))
            assert len(verdicts) == len(transactions)

    def transaction_failed(self, *, fenced: bool) -> None:
        """A transaction was refused to a stale owner, or was aborted or ended in doubt."""
        self._transactions.labels("fenced" if fenced else "aborted").inc()

    def internal_error(self, hop: str, result: str, number: int = 1) -> None:
        """Riskstream itself failed at something; see :data:`INTERNAL_ERRORS`."""
        if number:
            self._internal[hop, result].inc(number)

    def batch_refused(self, hop: str) -> None:
        """A batch did not begin where the rows stand."""
        self._batches_refused[hop].inc()

    def stopped(self, places: Iterable[Place]) -> None:
        """Partitions of this worker that stand at a record."""
        self._stopped.show({(place.topic, str(place.partition)): 1 for place in places})

    def matured(self, scenario: int, number: int) -> None:
        """The learner saw transactions mature without fraud."""
        self._matured.labels(SCENARIOS[scenario]).inc(number)

    def drifted(self, scenario: str, kind: str) -> None:
        """The learner reported drift."""
        self._drift.labels(scenario, kind).inc()

    def set_aside(self, counts: Mapping[tuple[str, str], int]) -> None:
        """How many records nobody can read were set aside and are not quarantined, by topic and reason."""
        for (topic, reason), count in counts.items():
            self._set_aside.labels(topic, reason).set(count)

    def model_refused(self) -> None:
        """A model was not followed."""
        self._refused_models.inc()

    def versions(self, model: str, policy: str) -> None:
        """These versions are in force now."""
        self._version.show({(model, policy): 1})

    def thread_restarted(self, thread: str) -> None:
        """A thread failed and is started again."""
        self._restarts.labels(thread).inc()

    def open_transaction(self, place: Place, seconds: float) -> None:
        """For how long readers of an input have waited at a producer's open transaction, s."""
        self._open_transaction.labels(place.topic, str(place.partition)).set(seconds)

    def lag(self, place: Place, records: int) -> None:
        """How many records of a partition wait in Kafka."""
        self._lag.labels(place.topic, str(place.partition)).set(records)

    def in_flight(self, place: Place, records: int) -> None:
        """How many records of a partition are between the hops."""
        self._in_flight.labels(place.topic, str(place.partition)).set(records)

    def recovered(self, sources: Iterable[str]) -> None:
        """Rows were recovered from these sources: ``kept``, ``standby copy``, ``snapshot`` or ``changelog``."""
        for source in sources:
            self._recovered.labels(source).inc()

    def standby(self, place: Place, behind: int | None) -> None:
        """How many offsets of its changelog a standby copy has not read; None where there is none any more."""
        if behind is None:
            self._standby_lag.remove(place.topic, str(place.partition))
        else:
            self._standby_lag.labels(place.topic, str(place.partition)).set(behind)

    def snapshot(self, result: str) -> None:
        """A snapshot was ``written``, ``failed`` or was ``refused`` by a recovery."""
        self._snapshots.labels(result).inc()

    def lost(self, offsets: Mapping[Place, int]) -> None:
        """Partitions of this worker that stand because offsets were deleted unread, and how many."""
        self._lost.show({(place.topic, str(place.partition)): count for place, count in offsets.items()})

    def _committed(self) -> None:
        self.last_commit = time.monotonic()
        self._transactions.labels("committed").inc()

    def _count_outcomes(self, decided: Decided) -> None:
        verdicts = decided.verdicts
        codes, numbers = np.unique(
            verdicts["scenario"].astype(np.int64) * len(OUTCOMES) + verdicts["outcome"], return_counts=True
        )
        for code, number in zip(codes.tolist(), numbers.tolist(), strict=True):
            scenario, outcome = divmod(code, len(OUTCOMES))
            self._decisions.labels(SCENARIOS[scenario], OUTCOMES[outcome]).inc(number)
        for row in np.flatnonzero(verdicts["outcome"] >= CHALLENGE).tolist():
            verdict = verdicts[row]
            familiar = "true" if verdict["familiarity_ppm"] >= FAMILIAR_PPM else "false"
            self._touched.labels(SCENARIOS[verdict["scenario"]], familiar, OUTCOMES[verdict["outcome"]]).inc()
