"""The whole line at work for a while: a broker, a worker, a simulated bank, and who watches."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from types import FrameType

from stream.demo.demonstration_traffic import MOST_IN_FLIGHT, Traffic, first_day
from stream.demo.empty_line import EmptyLine
from stream.demo.scoreboard import Scoreboard
from stream.demo.watcher import Watcher
from stream.demo.worker_process import WorkerProcess
from stream.errors import RiskstreamError

START_TIMEOUT_S = 180.0
"""A first start compiles; a later one decides within seconds."""
DRAIN_TIMEOUT_S = 20.0
STEP_S = 0.05
LEARN_TIMEOUT_S = 20.0
"""The learner is waited for so long when the bank's past is over."""
HISTORY_DAYS = 60
QUIET_S = 0.3
"""Nothing more is expected when nothing came for so long."""


class DemonstrationPhase(Enum):
    """Where a demonstration stands."""

    STARTING = "starting"
    LIVING = "living through the past"
    RUNNING = "running"
    DRAINING = "draining"
    DONE = "done"


@dataclass(frozen=True)
class Plan:
    """What is to be shown: seconds of traffic, transactions a second, the simulated bank, and the days it lives through first
    (0: a line that knows nobody)."""

    seconds: float = 30.0
    rate: float = 900.0
    seed: int = 2
    accounts: int = 400
    history_days: int = HISTORY_DAYS


@dataclass(frozen=True)
class Past:
    """What a bank lived through before the demonstration began: transactions, frauds among them, models, seconds it took."""

    events: int
    frauds: int
    models: int
    seconds: float
    learned: bool
    """Whether the learner had read all of it."""


@dataclass
class Demonstration:
    """One showing. ``began`` and all times are of ``time.monotonic()``."""

    plan: Plan
    began: float
    words: str = ""
    phase: DemonstrationPhase = DemonstrationPhase.STARTING
    board: Scoreboard = field(default_factory=Scoreboard)
    traffic: Traffic | None = None
    interrupted: bool = False
    first_at: float | None = None
    """When the first decision was read, of the past or not."""
    live_at: float | None = None
    """When the traffic that counts began."""
    past: Past | None = None
    """None before it is over, and where there is none."""

    @property
    def first_decision_s(self) -> float | None:
        """Seconds from the start to the first decision read."""
        return None if self.first_at is None else self.first_at - self.began

    @property
    def elapsed(self) -> float:
        """Seconds of traffic so far."""
        return 0.0 if self.live_at is None else min(self.plan.seconds, time.monotonic() - self.live_at)

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
        self.phase = DemonstrationPhase.DONE
        show()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def _begin(self, line: EmptyLine) -> Traffic:
        plan = self.plan
        events = plan.rate * plan.seconds + MOST_IN_FLIGHT
        start = first_day(datetime.now(UTC).date(), events, plan.accounts, plan.history_days)
        self.traffic = Traffic(
            line.settings, self.board, seed=plan.seed, accounts=plan.accounts, start=start, rate=plan.rate,
            history_days=plan.history_days,
        )  # fmt: skip
        self.traffic.start()
        return self.traffic

    def _watch(self, traffic: Traffic, watcher: Watcher, worker: WorkerProcess, show: Callable[[], None]) -> None:
        def look() -> None:
            worker.check()
            traffic.check()
            watcher.step(STEP_S)
            if self.first_at is None:
                self.first_at = self.board.first_at
            show()

        try:
            if self.plan.history_days:
                self._live_through(traffic, watcher, look)
            while not self._over(traffic):
                look()
        finally:
            self.phase = DemonstrationPhase.DRAINING
            traffic.stop()
        self._drain(watcher, worker, show)

    def _live_through(self, traffic: Traffic, watcher: Watcher, look: Callable[[], None]) -> None:
        """Until the line has decided the bank's past and the learner has read it; then all is counted anew."""
        board = self.board
        while not self.interrupted and not (traffic.history_sent.is_set() and board.in_flight == 0):
            look()
            self._started()
            if self.first_at is not None:
                self.phase = DemonstrationPhase.LIVING
        if self.interrupted:
            return
        ends, deadline = watcher.learning_ends(), time.monotonic() + LEARN_TIMEOUT_S
        learned = False
        while not (learned or self.interrupted) and time.monotonic() < deadline:
            look()
            learned = all(board.learned.get(partition, 0) >= end for partition, end in ends.items())
            # alerts are read on their own: those of the past must not be counted later
            learned = learned and board.alerts >= board.outcomes["review"]
        seconds = time.monotonic() - (self.first_at or self.began)
        self.past = Past(board.decided, board.caught + board.missed, board.models, seconds, learned)
        board.begin()
        self.live_at = time.monotonic()
        traffic.go_live()

    def _started(self) -> bool:
        """Whether anything was decided yet."""
        if self.first_at is None and time.monotonic() - self.began > START_TIMEOUT_S:
            raise RiskstreamError(f"nothing was decided within {START_TIMEOUT_S:.0f} s; look at the worker's log")
        return self.first_at is not None

    def _over(self, traffic: Traffic) -> bool:
        if self.interrupted:
            return True
        if not self._started():
            return False
        if self.live_at is None:
            self.live_at = self.first_at
        self.phase = DemonstrationPhase.RUNNING
        return traffic.caught_up or self.elapsed >= self.plan.seconds

    def _drain(self, watcher: Watcher, worker: WorkerProcess, show: Callable[[], None]) -> None:
        """Wait until every transaction has come out; a first Ctrl-C before any decision ends at once."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        while self.board.in_flight and not (self.interrupted and self.first_at is None):
            worker.check()
            watcher.step(STEP_S)
            show()
            if time.monotonic() > deadline:
                return
        # alerts are committed with their decisions, but read on their own
        while watcher.step(QUIET_S):
            show()
