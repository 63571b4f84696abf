"""Bad days that take long (`make soak`): many kills, a storm of rebalances, frozen owners, a broker that comes and goes.

Each ends with one decision an id, every input partition balanced, and the oracle's bytes.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from bad_traffic import BadTraffic, Sender, assert_exact, bad_traffic, outcome

from stream.log.topics import ensure_topics
from stream.settings import Settings

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("RISKSTREAM_SOAK_KILLS", "24"))
RATE = 400.0
SESSION_S = 6.0
MOMENTS = ("under load", "while it recovers", "at a checkpoint", "while it starts")
"""What a worker is doing when it is killed, in turn."""


class Day:
    """A line under load, and what is done to it."""

    def __init__(self, line: Any, traffic: BadTraffic, until: Any, seed: int) -> None:
        self.line, self.traffic, self.until = line, traffic, until
        self.chance = random.Random(seed)
        self.sender = Sender(line, traffic, RATE)

    @property
    def alive(self) -> list[subprocess.Popen[bytes]]:
        return [worker for worker in self.line.workers if worker.poll() is None]

    def number(self, worker: subprocess.Popen[bytes]) -> int:
        return int(self.line.workers.index(worker))

    def decided(self) -> int:
        return len(self.line.records("risk.decisions.v1"))

    def wait_for_progress(self) -> None:
        """Decisions come again, as long as there is something to decide."""
        before = self.decided()
        self.until(lambda: self.decided() > before or self.finished(), "decisions to come again", 120)

    def finished(self) -> bool:
        return bool(outcome(self.line) == self.traffic.expected)

    def wait_for_line(self, worker: subprocess.Popen[bytes], pattern: str, seconds: float) -> None:
        """Wait, closely, for a line in a worker's log; whoever does not write it in time is killed anyway."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.line.log(self.number(worker))) and time.monotonic() < deadline:
            time.sleep(0.01)

    def end(self) -> None:
        """Everything is sent, accounted for, and as the oracle says."""
        self.sender.join(600)
        assert self.sender.unsent == 0
        self.until(self.finished, "every record to be accounted for", 180)
        assert_exact(self.line, self.traffic)


def test_many_kills_at_every_step_are_exact(line: Any, until: Any) -> None:
    day = Day(line, bad_traffic(round(KILLS * 12 * RATE), seed=21), until, seed=21)
    line.worker(checkpoint_interval_ms=500)
    line.worker(checkpoint_interval_ms=500)
    day.wait_for_progress()
    for number in range(KILLS):
        moment = MOMENTS[number % len(MOMENTS)]
        victim = day.chance.choice(day.alive)
        if moment in ("while it recovers", "while it starts"):
            victim.kill()
            victim = line.worker(checkpoint_interval_ms=500)
            pattern = "generation id" if moment == "while it recovers" else "Starting"
            day.wait_for_line(victim, pattern, 60)
        time.sleep(day.chance.uniform(0, 0.5) if moment != "at a checkpoint" else day.chance.uniform(0.4, 0.6))
        victim.kill()
        line.worker(checkpoint_interval_ms=500)
        day.wait_for_progress()
    day.end()


def test_a_storm_of_rebalances_is_exact(line: Any, until: Any) -> None:
    day = Day(line, bad_traffic(round(100 * RATE), seed=22), until, seed=22)
    line.worker()
    day.wait_for_progress()
    for _ in range(15):
        if len(day.alive) < 3 or (day.chance.random() < 0.5 and len(day.alive) < 4):
            line.worker()
        else:
            day.chance.choice(day.alive).send_signal(signal.SIGTERM)
        time.sleep(day.chance.uniform(0.5, 5.0))
    if not day.alive:
        line.worker()
    day.end()
    for number, worker in enumerate(line.workers):
        before_it_began = worker.poll() == -signal.SIGTERM and "Starting" not in line.log(number)
        assert worker.poll() in (None, 0) or before_it_began, (
            f"asked to end, it ended badly:\n{line.log(number)[-2000:]}"
        )


def test_frozen_owners_that_wake_are_refused(line: Any, until: Any) -> None:
    day = Day(line, bad_traffic(round(110 * RATE), seed=23), until, seed=23)
    line.worker()
    line.worker()
    day.wait_for_progress()
    for number in range(6):
        frozen = day.alive[number % len(day.alive)]
        os.kill(frozen.pid, signal.SIGSTOP)
        # from shorter than the session to longer than the transaction's time-out
        time.sleep((0.5, 1.3, 2.2)[number % 3] * SESSION_S)
        os.kill(frozen.pid, signal.SIGCONT)
        day.wait_for_progress()
    day.end()


def test_a_broker_that_comes_and_goes_is_waited_for(
    own_kafka: Any, line_class: Any, tmp_path: Path, until: Any
) -> None:
    settings = Settings(broker=own_kafka.bootstrap, topic_prefix="storm-")
    ensure_topics(settings)
    line = line_class(settings, tmp_path)
    try:
        day = Day(line, bad_traffic(round(60 * RATE), seed=24), until, seed=24)
        line.worker()
        line.worker()
        day.wait_for_progress()
        for _ in range(3):
            own_kafka.restart()
            day.wait_for_progress()
            time.sleep(day.chance.uniform(0, 5))
            for worker in line.workers:
                if worker.poll() is not None:
                    line.worker()  # as a supervisor would
                    break
        day.end()
    finally:
        line.stop()
