"""The whole line at work for a while: a broker, a worker, a simulated bank, and who watches."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from types import FrameType

from stream.desk.empty_line import EmptyLine
from stream.desk.scoreboard import Scoreboard
from stream.desk.traffic import MOST_IN_FLIGHT, Traffic, first_day
from stream.desk.watcher import Watcher
from stream.desk.worker_process import WorkerProcess
from stream.errors import RiskstreamError

START_TIMEOUT_S = 180.0
"""A first start compiles; a later one decides within seconds."""
DRAIN_TIMEOUT_S = 20.0
STEP_S = 0.05
QUIET_S = 0.3
"""Nothing more is expected when nothing came for so long."""


class Phase(Enum):
    """Where a demonstration stands."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    DONE = "done"


@dataclass(frozen=True)
class Plan:
    """What is to be shown: seconds of traffic after the first decision, transactions a second, the simulated bank."""

    seconds: float = 30.0
    rate: float = 900.0
    seed: int = 2
    accounts: int = 60


@dataclass
class Demonstration:
    """One showing. ``began`` and all times are of ``time.monotonic()``."""

    plan: Plan
    began: float
    words: str = ""
    phase: Phase = Phase.STARTING
    board: Scoreboard = field(default_factory=Scoreboard)
    traffic: Traffic | None = None
    interrupted: bool = False

    @property
    def first_decision_s(self) -> float | None:
        """Seconds from the start to the first decision read."""
        return None if self.board.first_at is None else self.board.first_at - self.began

    @property
    def elapsed(self) -> float:
        """Seconds of traffic so far."""
        first = self.board.first_at
        return 0.0 if first is None else min(self.plan.seconds, time.monotonic() - first)

    @property
    def simulated_time(self) -> datetime | None:
        """Event time of the newest transaction."""
        if self.traffic is None or not self.traffic.simulated_ms:
            return None
        return datetime.fromtimestamp(self.traffic.simulated_ms / 1000, UTC)

    def run(self, line: EmptyLine, worker: WorkerProcess, show: Callable[[], None]) -> None:
        """Send traffic, watch, drain; ``show`` is called some 20 times a second.

        Ctrl-C ends the traffic and still drains; a second one ends at once. To be called from the main thread.

        Raises
        ------
        RiskstreamError
            The worker or the traffic ended by themselves, or nothing was decided within 180 s.
        """
        self.words = line.words
        # an exception out of a signal could fall between reading a record and counting it
        before = signal.signal(signal.SIGINT, self._interrupt)
        watcher = Watcher(line.settings, self.board, line.partitions)
        try:
            self._watch(self._begin(line), watcher, worker, show)
        finally:
            watcher.close()
            signal.signal(signal.SIGINT, before)
        self.phase = Phase.DONE
        show()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def _begin(self, line: EmptyLine) -> Traffic:
        plan = self.plan
        start = first_day(datetime.now(UTC).date(), plan.rate * plan.seconds + MOST_IN_FLIGHT, plan.accounts)
        self.traffic = Traffic(
            line.settings, self.board, seed=plan.seed, accounts=plan.accounts, start=start, rate=plan.rate
        )
        self.traffic.start()
        return self.traffic

    def _watch(self, traffic: Traffic, watcher: Watcher, worker: WorkerProcess, show: Callable[[], None]) -> None:
        try:
            while not self._over(traffic):
                worker.check()
                traffic.check()
                watcher.step(STEP_S)
                show()
        finally:
            self.phase = Phase.DRAINING
            traffic.stop()
        self._drain(watcher, worker, show)

    def _over(self, traffic: Traffic) -> bool:
        if self.interrupted:
            return True
        if self.board.first_at is None:
            if time.monotonic() - self.began > START_TIMEOUT_S:
                raise RiskstreamError(f"nothing was decided within {START_TIMEOUT_S:.0f} s; look at the worker's log")
            return False
        self.phase = Phase.RUNNING
        return traffic.caught_up or self.elapsed >= self.plan.seconds

    def _drain(self, watcher: Watcher, worker: WorkerProcess, show: Callable[[], None]) -> None:
        """Wait until every transaction has come out; a first Ctrl-C before any decision ends at once."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while self.board.in_flight and not (self.interrupted and self.board.first_at is None):
            worker.check()
            watcher.step(STEP_S)
            show()
            if time.monotonic() > deadline:
                return
        # alerts are committed with their decisions, but read on their own
        while watcher.step(QUIET_S):
            show()
