"""The worker's own HTTP port: ``/metrics`` for Prometheus, ``/live`` and ``/ready`` for whoever supervises it.

A sampler looks once a second at what the broker says (where the group stands, what waits), sets the gauges of lag and
of records in flight, and lets the watchdog judge. A worker that has not been alive for long ends itself: an exit is
safe at any moment, because whatever it had not committed is done again by whoever comes next.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Protocol

import orjson
from confluent_kafka import KafkaException
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from stream.core.decision.decide import Decider
from stream.errors import RecoveryRefused
from stream.http_port import HttpPort
from stream.log.records import Place
from stream.settings import Settings
from stream.worker.health.backlog import Backlog, Sample
from stream.worker.health.checkpoint_age import CheckpointAges
from stream.worker.health.line_metrics import Metrics
from stream.worker.health.open_transactions import OpenTransactionWatch
from stream.worker.health.unowned import Unowned
from stream.worker.health.watchdog import STARTING, Health, Observation, Watchdog, WatchdogLimits

logger = logging.getLogger("riskstream.probes")

SAMPLE_S: Final = 1.0
EXIT_STATUS: Final = 1
EXIT_STATUS_BROKER: Final = 3
EXIT_STATUS_REFUSED: Final = RecoveryRefused.exit_status
STOP_S: Final = 12.0


class ObservedLine(Protocol):
    """What is looked at of :class:`stream.worker.ownership.line.Line`."""

    ready: bool
    transactional: bool

    @property
    def owned(self) -> list[int]:
        """Partitions whose rows are here."""

    @property
    def inputs(self) -> list[Place]:
        """Every input partition of the line, whoever has it."""

    @property
    def positions(self) -> dict[Place, int]:
        """Next offset to take of each of their inputs."""

    @property
    def progress(self) -> int:
        """A number that changes while a recovery gets on."""

    @property
    def doing(self) -> str:
        """What a recovery is at, in words."""

    def rows(self) -> dict[tuple[str, int], int]:
        """Rows of the fullest table, by hop and partition."""

    def rows_forgotten(self) -> dict[str, int]:
        """Forgotten rows that each hop took out so far."""

    @property
    def unwritten(self) -> list[tuple[str, int, float]]:
        """Hops and partitions with changed rows, and when they were last written."""

    failures: int
    commits: int
    trouble: str
    refusal: str
    """See :class:`stream.worker.health.watchdog.Observation`."""


class ObservedVersions(Protocol):
    """What is looked at of :class:`stream.worker.agents.versions_agent.Versions`."""

    def decider(self) -> Decider:
        """Model and policy in force."""


class Sampler:
    """Looks at the broker and the line, again and again, on a thread.

    Parameters
    ----------
    settings, line, metrics
        The worker's.
    parts
        For each part that works beside the line (``holds``, ``learner``) what says why it does not; empty while it
        does.
    end
        Ends the process at once, with an exit status.
    clock
        Monotonic time, s.
    """

    def __init__(
        self,
        settings: Settings,
        line: ObservedLine,
        metrics: Metrics,
        parts: Mapping[str, Callable[[], str]],
        end: Callable[[int], None] = os._exit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._line = line
        self._metrics = metrics
        self._parts = dict(parts)
        self._end = end
        self._clock = clock
        self._watchdog = Watchdog(
            WatchdogLimits(settings.stall_timeout_s, settings.recovery_timeout_s, refusal_s=settings.refusal_shown_s)
        )
        self._backlog = Backlog(settings)
        self._unowned = Unowned()
        self._checkpoints = CheckpointAges()
        self._own: dict[Place, int] = {}
        self._open = OpenTransactionWatch(settings.open_transaction_s)
        self._waits = ""
        """Which inputs wait at an open transaction, in words."""
        self._told: set[tuple[Place, int]] = set()
        """Where the transactions that the log was told of began."""
        self._shown: set[Place] = set()
        self._flown: set[Place] = set()
        self._judged = STARTING
        self._judged_at = self._clock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)

    @property
    def health(self) -> Health:
        """The last judgement, unless it is old: then the sampler itself hangs."""
        silent = self._clock() - self._judged_at
        if silent > self._settings.stall_timeout_s:
            return Health(live=False, ready=False, reasons=(f"the sampler has not looked for {silent:.0f} s",))
        return self._judged

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(STOP_S)
        self._backlog.close()

    def look(self) -> Health:
        """Look once: set the gauges, judge, and end the process where nothing else helps."""
        seen = self._observe()
        health = self._watchdog.observe(seen)
        if (health.live, health.ready) != (self._judged.live, self._judged.ready):
            level = logging.INFO if health.ready else logging.WARNING
            logger.log(
                level, "live: %s, ready: %s; %s", health.live, health.ready, "; ".join(health.reasons) or "all well"
            )
        self._judged, self._judged_at = health, self._clock()
        self._tell(seen)
        if health.refused:
            logger.critical("this worker ends: %s", "; ".join(health.reasons))
            logging.shutdown()
            self._end(EXIT_STATUS_REFUSED)
        if health.exhausted:
            logger.critical("this worker ends itself, to be started anew: %s", "; ".join(health.reasons))
            logging.shutdown()
            self._end(EXIT_STATUS_BROKER if seen.broker else EXIT_STATUS)
        return health

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_S):
            try:
                self.look()
            except Exception:
                # no judgement is a judgement too: `health` turns old, and liveness fails with it
                logger.exception("the sampler could not look")
                self._metrics.thread_restarted("sampler")

    def _observe(self) -> Observation:
        # taken before the positions: a rebalance in between shows as a line that is not ready
        ready, progress = self._line.ready, self._line.progress
        broker, own = "", Sample({}, {})
        try:
            seen = self._sample()
        except KafkaException as error:
            broker = error.args[0].str()
        else:
            own = seen.of(self._own)
            self._show(seen, own)
        return Observation(
            at=self._clock(),
            broker=broker,
            recovered=ready and self._line.ready,
            progress=progress,
            doing=self._line.doing,
            positions=own.positions,
            lag={place: unread.records for place, unread in own.unread.items()},
            parts={**{name: why() for name, why in self._parts.items()}, "inputs": self._waits},
            failures=self._line.failures,
            commits=self._line.commits,
            trouble=self._line.trouble,
            refusal=self._line.refusal,
        )

    def _tell(self, seen: Observation) -> None:
        """What is not said by offsets: which parts work, how many partitions are here, how old unwritten rows are."""
        told = self._metrics.health
        told.parts(
            {"broker": not seen.broker, "recovery": seen.recovered} | {n: not why for n, why in seen.parts.items()}
        )
        told.owned(len(self._line.owned))
        told.checkpoints(self._checkpoints.ages(self._line.unwritten, self._clock()))
        told.rows(self._line.rows(), self._settings.row_limit)
        told.rows_forgotten(self._line.rows_forgotten())

    def _sample(self) -> Sample:
        """What the broker says; a connection that failed is not used again.

        After a broker's restart librdkafka asks for offsets with the leader epoch it remembers, is refused, and does
        not look for the new one by itself: a new connection does.
        """
        try:
            return self._backlog.sample(self._positions())
        except KafkaException as error:
            self._backlog.close()
            self._backlog = Backlog(self._settings)
            answered = error.args[0].code() > 0
            if not answered:
                raise
            return self._backlog.sample(self._positions())

    def _positions(self) -> dict[Place, int]:
        """Where the group stands in this worker's partitions and in those that nobody seems to read; with neither
        transactions nor commits, where the hops stand in memory."""
        taken = self._line.positions
        if not self._line.transactional:
            self._own = taken
            return taken
        every = self._line.inputs
        committed = self._backlog.committed(every)
        self._own = {place: committed[place] for place in taken if place in committed}
        # where the group has never been it begins with the first record
        never = [place for place in every if place not in committed and place not in taken]
        stands = committed | (self._backlog.beginnings(never) if never else {})
        return self._own | self._unowned.standing(stands, taken)

    def _show(self, sample: Sample, own: Sample) -> None:
        ends = {place: unread.end for place, unread in sample.unread.items()}
        self._metrics.health.offsets(sample.positions, ends)
        lost = dict.fromkeys(sorted(self._shown), 0)
        lag = sample.lag
        self._tell_open(sample)
        in_flight = own.in_flight(self._settings.topic("bank.transactions.v1"))
        for place, records in (lost | lag).items():
            self._metrics.lag(place, records)
        for place, records in (dict.fromkeys(self._flown, 0) | in_flight).items():
            self._metrics.in_flight(place, records)
        self._shown, self._flown = set(lag), set(in_flight)

    def _tell_open(self, sample: Sample) -> None:
        at = self._clock()
        found, ended = self._open.observe(at, time.time(), sample.waiting)
        for place in sorted(self._shown | set(sample.unread)):
            self._metrics.open_transaction(place, self._open.seconds(at, place))
        for each in found:
            if (each.place, each.offset) not in self._told:
                logger.warning("%s", each)
        for place in ended:
            logger.info("%s[%d]: the transaction that readers waited at has ended", place.topic, place.partition)
        self._told = {(each.place, each.offset) for each in found}
        self._waits = "; ".join(map(str, found))


class Probes:
    """Server and sampler, started and stopped with the worker.

    The port is bound when this is made, so that a port in use is said before anything has started.

    Parameters
    ----------
    settings, line, metrics, versions
        The worker's.
    parts
        See :class:`Sampler`.
    notes
        What else the answers say, by name; it makes no worker unready.

    Raises
    ------
    UsageError
        The port cannot be listened on.
    """

    def __init__(
        self,
        settings: Settings,
        line: ObservedLine,
        metrics: Metrics,
        versions: ObservedVersions,
        parts: Mapping[str, Callable[[], str]] | None = None,
        notes: Mapping[str, Callable[[], object]] | None = None,
    ) -> None:
        self._notes = dict(notes or {})
        self._line = line
        self._metrics = metrics
        self._versions = versions
        self.server = HttpPort(
            settings.metrics_host, settings.metrics_port, self.answer, settings.metrics_connections,
            settings.metrics_request_s, metrics.thread_restarted,
        )  # fmt: skip
        self.port: int = self.server.address[1]
        """The port that is listened on, also where the setting was 0."""
        self.sampler = Sampler(settings, line, metrics, parts or {})
        metrics.health.watch(lambda: self.sampler.health)

    def start(self) -> None:
        """Answer from now on: a worker that recovers is alive and not ready."""
        self.server.start()
        self.sampler.start()
        logger.info("metrics, liveness and readiness on http://%s:%d/metrics, /live, /ready", *self.server.address)

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body of a path."""
        path = path.partition("?")[0]
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self._metrics.registry)
        health = self.sampler.health
        fine = {"/live": health.live, "/ready": health.ready}.get(path)
        if fine is None:
            return HTTPStatus.NOT_FOUND, "text/plain", b"/metrics, /live and /ready are here\n"
        decider = self._versions.decider()
        body = {
            "live": health.live,
            "ready": health.ready,
            "reasons": health.reasons,
            "partitions": self._line.owned,
            "model_version": decider.model_version,
            "policy_version": decider.policy_version,
            **{name: note() for name, note in self._notes.items()},
        }
        status = HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE
        return status, "application/json", orjson.dumps(body) + b"\n"

    def stop(self) -> None:
        """Stop answering; waits for the sampler's last step."""
        self.server.stop()
        self.sampler.stop()
