"""Start one worker process: topics, versions, line, Faust, and what runs beside them."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from stream.log.allocator import keep_freed_memory
from stream.log.kafka_log import EmbeddedLog, KafkaLog
from stream.log.set_aside import SetAside
from stream.log.topics import ensure_topics
from stream.logs import Format, set_up
from stream.settings import Settings
from stream.warm_up import is_complete, warm_up
from stream.worker.agents.holds_agent import HoldsAgent
from stream.worker.agents.learner_agent import LearnerThread
from stream.worker.agents.versions_agent import Versions
from stream.worker.health.certificates import CertificateExpiry
from stream.worker.health.clock import BrokerClock, wall_us
from stream.worker.health.line_metrics import Metrics
from stream.worker.health.probes import Probes
from stream.worker.ownership.hanging import HangingWatch
from stream.worker.ownership.line import Line
from stream.worker.rows.snapshot_folder import SnapshotFolder
from stream.worker.rows.snapshots import RowSnapshots
from stream.worker.rows.standbys import Standbys
from stream.worker.transport.app import build, execute
from stream.worker.transport.topology import Topology

logger = logging.getLogger("riskstream.worker")
SWITCH_S = 0.0005
"""A hop waits no longer for the interpreter while the learner, the holds or a fetcher have it; Python's own is 5 ms."""


def run_worker(
    settings: Settings,
    *,
    transactional: bool = True,
    partitions: int | None = None,
    now_us: Callable[[], int] = wall_us,
) -> int:
    """Run a worker until it is asked to end; returns the exit status.

    Parameters
    ----------
    transactional
        False on the embedded broker alone.
    partitions
        Partition count of the line where the broker cannot be asked (the embedded one).
    now_us
        This machine's clock, µs since the epoch; tests hand in a wrong one.
    """
    set_up(cast(Format, settings.log_format))
    keep_freed_memory()
    if not is_complete():
        logger.info("compiling the core for these sources, once: half a minute")
        warm_up()
    count = partitions or ensure_topics(settings)
    metrics = Metrics(settings, count)
    metrics.registry.register(CertificateExpiry(settings))
    name = worker_name(settings)
    # the embedded broker is a part of this machine: there is no other clock
    clock = BrokerClock(settings, name, metrics.registry, now_us) if transactional else None
    if clock is not None:
        clock.start()
    aside = SetAside(settings.topic_prefix, metrics.set_aside)
    versions = _versions(settings, clock.policy_us if clock is not None else now_us, aside, metrics)
    log = KafkaLog(settings) if transactional else EmbeddedLog(settings)
    snapshots = _snapshots(settings, log, metrics) if transactional and settings.snapshot_interval_s else None
    standbys = Standbys(log, settings.standby_limit_mb << 20, metrics) if settings.standby_copies else None
    line = Line(
        settings, count, name, versions, metrics, log, snapshots=snapshots, standbys=standbys
    )  # fmt: skip
    line.accounts.aside = line.payees.aside = aside
    line.accounts.broker_ms = clock.broker_ms if clock is not None else lambda: now_us() // 1000
    topology = Topology(settings, count, restarted=metrics.thread_restarted) if transactional else None
    if topology is not None:
        line.accounts.on_wrong_partition = topology.doubt
    learner = LearnerThread(
        settings, versions, metrics, lambda: line.ready and 0 in line.given, transactional=transactional
    )
    metrics.health.ages(lambda: learner.round_age_s, lambda: versions.age_s, lambda: versions.behind_s)
    holds = HoldsAgent(
        settings, versions.trusts, metrics.registry, transactional=transactional,
        expiry_us=clock.expiry_us if clock is not None else now_us, by_record=True, aside=aside,
        restarted=metrics.thread_restarted,
    )  # fmt: skip
    parts = _parts(line, versions, holds, learner, clock)
    hanging = _hanging(settings, count, line, log, metrics) if transactional else None
    beside = [service for service in (snapshots, standbys, topology, hanging) if service is not None]
    parts |= {service.thread.name: partial(getattr, service.thread, "failure") for service in beside}
    probes = Probes(settings, line, metrics, versions, parts, _notes(aside, snapshots, standbys))
    for service in beside:
        service.start()
    versions.start()
    learner.start()
    app = build(settings, line)
    _settle_interpreter()
    try:
        return execute(app, holds, probes)
    finally:
        for thread in (*beside, learner, versions, *([clock] if clock is not None else [])):
            thread.stop()


def _settle_interpreter() -> None:
    """What was imported lives as long as the process: keep the collector from walking it again and again."""
    gc.collect()
    gc.freeze()
    sys.setswitchinterval(SWITCH_S)


def _versions(settings: Settings, now_us: Callable[[], int], aside: SetAside, metrics: Metrics) -> Versions:
    """What models and policies are in force, told to the metrics."""
    versions = Versions(settings, now_us, aside)

    def changed(model: str, policy: str) -> None:
        metrics.versions(model, policy)
        metrics.alert_load.budgets(versions.decider().compiled.budgets)

    versions.on_change = changed
    versions.on_wanted = metrics.health.wanted
    versions.on_set_aside = lambda: metrics.internal_error("payees", "set_aside")
    versions.on_restart = metrics.thread_restarted
    return versions


def _parts(
    line: Line, versions: Versions, holds: HoldsAgent, learner: LearnerThread, clock: BrokerClock | None
) -> dict[str, Callable[[], str]]:
    """Why a part of the worker does not work now, by its name; empty while it does."""
    return {
        "holds": lambda: holds.failure,
        "learner": lambda: learner.failure,
        "versions": lambda: versions.failure or versions.thread.failure,
        "fetch": lambda: line.fetch_failure(),
        "clock": lambda: clock.failure if clock is not None else "",
        "records lost": lambda: "; ".join(line.refused),
        "stopped": lambda: "; ".join(line.standing),
        "internal errors": lambda: line.internal_trouble,
    }


def _hanging(settings: Settings, count: int, line: Line, log: KafkaLog, metrics: Metrics) -> HangingWatch:
    return HangingWatch(
        settings, count, line.is_own, log.fence, lambda: line.ready, time.monotonic, lambda: log.durations.longest,
        metrics.thread_restarted,
    )  # fmt: skip


def _notes(
    aside: SetAside, snapshots: RowSnapshots | None, standbys: Standbys | None
) -> dict[str, Callable[[], object]]:  # fmt: skip
    """What readiness tells besides, and does not depend on."""
    notes: dict[str, Callable[[], object]] = {"refused_records": aside.shown}
    if snapshots is not None:
        notes["snapshots"] = lambda: snapshots.failure or "written"
    if standbys is not None:
        notes["standbys"] = lambda: {
            "of": [f"{place.topic}[{place.partition}]" for place in standbys.places],
            "failure": standbys.failure,
        }
    return notes


def _snapshots(settings: Settings, log: KafkaLog, metrics: Metrics) -> RowSnapshots:
    """The folder of this installation, in the data directory unless the settings say where."""
    directory = Path(settings.snapshot_directory or Path(settings.data_directory) / "snapshots")
    folder = SnapshotFolder(directory, settings.snapshot_limit_mb << 20)
    return RowSnapshots(folder, log.identity, settings.snapshot_interval_s, metrics)


def worker_name(settings: Settings) -> str:
    """A name no other process of the group has: the static instance, else host, process and a random word."""
    return settings.instance or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
