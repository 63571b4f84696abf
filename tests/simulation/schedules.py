"""Schedules: what is sent, what goes wrong and when; drawn from a seed, run against the simulated log, checked.

A schedule is plain data. Running it takes randomness from its own seed alone, so a schedule that failed fails again,
and the shrinker may take events and faults away and try.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

from simulation.deciders import SwitchingVersions
from simulation.invariants import assert_exact, assert_rows
from simulation.simulated_disk import Damage, SimulatedDisk
from simulation.simulated_group import SimulatedGroup
from simulation.simulated_log import SimulatedLog
from simulation.simulated_worker import SimulatedWorker, Violation
from simulation.traffic import FORGOTTEN_H, Bank, Event

from stream.settings import Settings

FaultKind = Literal["kill", "freeze", "start", "end", "switch", "disk", "fence", "fetch", "throw", "thread"]
DISKS = 2
"""Machines: a worker that starts finds what one before it has left there."""
MOST_WORKERS = 4
PATIENCE = 200
MOST_TURNS = 5_000
"""A line that has not finished so many turns after the last fault hangs: some 500 s, many time-outs of any kind."""


FORGETS: dict[str, Any] = {
    "forget_accounts_days": FORGOTTEN_H / 24, "forget_pairs_days": 0.5, "forget_payees_days": 0.25,
    "forget_rows_per_checkpoint": 2,
}  # fmt: skip
"""Limits of hours, so that rows are forgotten and met again within a schedule."""
FORGETS_OF_OTHERS: dict[str, Any] = {"forget_accounts_days": 1.0, "forget_pairs_days": 0.0, "forget_payees_days": 0.5}
"""Those of every third worker."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens to one of the workers alive at a turn.

    Parameters
    ----------
    turns
        How long a frozen worker stays so; how far from where it should a fetch is begun anew.
    within
        Wait for a moment in which the worker has a transaction open.
    damage
        What happens to a disk.
    """

    turn: int
    kind: FaultKind
    worker: int
    turns: int = 0
    within: bool = False
    damage: Damage = "torn"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One run."""

    seed: int
    partitions: int
    workers: int
    batch_records: int
    checkpoint_interval_ms: int
    events: tuple[Event, ...]
    faults: tuple[Fault, ...]
    checkpoint_records: int
    standby_copies: int = 0
    snapshot_interval_s: int = 1
    internal_errors_per_hour: int = 3
    unmeasured: int = 0


def draw(seed: int, most_events: int = 40, most_faults: int = 7) -> Schedule:
    """The schedule of a seed."""
    chance = random.Random(seed)
    partitions = chance.choice((1, 2, 2, 3))
    # drawn apart from the rest, as what follows is: the schedule of a seed stays what it was
    unmeasured = random.Random(f"unmeasured {seed}").choice((0, 0, most_events // 2))
    bank = Bank(chance, partitions, unmeasured)
    events = tuple(bank.event() for _ in range(chance.randint(most_events // 4, most_events)))
    kinds: tuple[FaultKind, ...] = ("kill", "kill", "freeze", "freeze", "start", "end", "switch")
    faults = [
        Fault(
            chance.randint(1, 10 * most_events),
            chance.choice(kinds),
            chance.randrange(MOST_WORKERS),
            chance.randint(5, 150),
            chance.random() < 0.6,
        )
        for _ in range(chance.randint(0, most_faults))
    ]
    workers, batch, checkpoint = chance.randint(1, 3), chance.randint(1, 8), chance.choice((300, 1000, 3000))
    kinds_of_damage: tuple[Damage, ...] = ("torn", "flipped", "flipped", "out of date", "full", "emptied")
    faults += [
        Fault(
            chance.randint(1, 10 * most_events), "disk", chance.randrange(DISKS), damage=chance.choice(kinds_of_damage)
        )
        for _ in range(chance.choice((0, 1, 1, 3)))
    ]
    faults += [
        Fault(chance.randint(1, 10 * most_events), "fence", 0, chance.randrange(100))
        for _ in range(chance.choice((0, 0, 1, 3)))
    ]
    # somebody who sleeps while others take over, and comes back with rows that are no longer true
    faults += [
        Fault(chance.randint(1, most_events), "freeze", chance.randrange(MOST_WORKERS), chance.randint(80, 200))
        for _ in range(chance.choice((0, 1, 2)))
    ]
    # a recovery that was abandoned lets fetching begin anew where the rows do not stand; drawn apart from the rest
    stray = random.Random(-seed)
    faults += [
        Fault(
            stray.randint(1, 10 * most_events), "fetch", stray.randrange(MOST_WORKERS), stray.choice((-4, -2, -1, 1, 2))
        )
        for _ in range(stray.choice((0, 0, 1, 2)))
    ]
    # what nobody expects is thrown where fetching begins, and threads that fetch die
    owning = random.Random(f"ownership {seed}")
    faults += [
        Fault(owning.randint(1, 10 * most_events), owning.choice(("throw", "thread")), owning.randrange(MOST_WORKERS))
        for _ in range(owning.choice((0, 0, 1, 2)))
    ]
    return Schedule(
        seed, partitions, workers, batch, checkpoint, events, tuple(sorted(faults, key=lambda fault: fault.turn)),
        chance.choice((5, 20, 1000)), chance.choice((0, 1, 1, 2)), chance.choice((1, 1, 3)),
        unmeasured=unmeasured,
    )  # fmt: skip


def run(schedule: Schedule) -> Simulation:
    """Run a schedule to its end and check every invariant.

    Raises
    ------
    Violation
        An invariant does not hold, or the line does not get on.
    """
    simulation = Simulation(schedule)
    try:
        simulation.play()
        simulation.drain()
        simulation.check()
    finally:
        simulation.close()
    return simulation


class Simulation:
    """One run in progress."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.time = 0.0
        self.turn = 0
        self.versions = SwitchingVersions()
        self.settings = Settings(
            **FORGETS,
            batch_records=schedule.batch_records, checkpoint_interval_ms=schedule.checkpoint_interval_ms,
            checkpoint_records=schedule.checkpoint_records, pace_ms=0,
            internal_errors_per_hour=schedule.internal_errors_per_hour,
            standby_copies=schedule.standby_copies, snapshot_interval_s=schedule.snapshot_interval_s,
        )  # fmt: skip
        self.disks = [SimulatedDisk() for _ in range(DISKS)]
        self._random = random.Random(schedule.seed + 1)
        self.group = SimulatedGroup(schedule.partitions, schedule.standby_copies)
        self.log = SimulatedLog(
            schedule.partitions, random.Random(schedule.seed + 2), lambda: self.time, self.group.valid
        )
        self.log.unmeasured = schedule.unmeasured
        self._started = 0
        self.workers: list[SimulatedWorker] = []
        self._events, self._faults = list(schedule.events), list(schedule.faults)
        self._thaw: list[tuple[int, SimulatedWorker]] = []
        for _ in range(schedule.workers):
            self._start()

    @property
    def alive(self) -> list[SimulatedWorker]:
        """Workers that run, or are frozen."""
        return [worker for worker in self.workers if not worker.ended]

    def play(self) -> None:
        """Turn by turn until everything was sent and every fault has happened."""
        while self._events or self._faults or self._thaw:
            self._turn()

    def drain(self) -> None:
        """Let the line finish, with at least one worker."""
        last = self.turn + MOST_TURNS
        while not self._finished():
            if not self.alive:
                self._start()
            if self.turn > last:
                raise Violation(f"the line does not get on: {self._waiting()}")
            self._turn()

    def check(self) -> None:
        """Every invariant, with the rows of the living and with those that a recovery rebuilds."""
        oracle = assert_exact(self)
        for worker in self.alive:
            if worker.line.ready and self.group.valid(self.group.membership(worker.name)):
                assert_rows(worker.line.accounts, worker.line.payees, oracle, f"rows of {worker.name}")
        if self._random.random() < 0.5:
            for worker in self.alive:
                worker.asked_to_end = True
            while self.alive:
                self._turn()
        oracle.assert_recovered(self)
        oracle.assert_warm(self)

    def close(self) -> None:
        """Leave no thread."""
        for worker in self.workers:
            worker.frozen = False
            worker.kill()

    def _turn(self) -> None:
        self.turn += 1
        self.time += self._random.choice((0.001, 0.01, 0.1, 0.3))
        self._apply_faults()
        for worker in self.alive:
            if not worker.frozen:
                self.group.heartbeat(worker.name, self.time)
        self.group.expire(self.time)
        self.log.expire()
        chance = self._random.random()
        if self._events and chance < 0.15:
            self._send()
        elif chance < 0.3:
            self.log.settle_some()
        elif self.alive:
            self._random.choice(self.alive).run(self._random.choice((1, 2, 3, 5, 20, 100)))

    def _send(self) -> None:
        for event in self._events[: self._random.randint(1, 5)]:
            self._events.pop(0)
            self.log.write(event)

    def _apply_faults(self) -> None:
        while self._faults and self._faults[0].turn <= self.turn and self._is_time(self._faults[0]):
            self._apply(self._faults.pop(0))
        for at, worker in list(self._thaw):
            if at <= self.turn:
                worker.frozen = False
                self._thaw.remove((at, worker))

    def _is_time(self, fault: Fault) -> bool:
        """Whether the moment has come; a worker that has nothing to write is not waited for without end."""
        if not fault.within or fault.kind not in ("kill", "freeze") or self.turn > fault.turn + PATIENCE:
            return True
        return bool(self.alive) and self.log.has_open(self._target(fault).name)

    def _target(self, fault: Fault) -> SimulatedWorker:
        return self.alive[fault.worker % len(self.alive)]

    def _apply(self, fault: Fault) -> None:
        if fault.kind == "switch":
            self.versions.number += 1 + fault.worker
        elif fault.kind == "fence":
            # a worker that took another for dead: wherever that one is, it must come to no harm
            ids = sorted(self.log.epochs)
            if ids:
                self.log.initialise(ids[fault.turns % len(ids)])
        elif fault.kind == "disk":
            self.disks[fault.worker].damage(fault.damage, self._random)
        elif fault.kind == "fetch":
            for worker in self.alive[fault.worker % max(len(self.alive), 1) :][:1]:
                worker.fetch_from_elsewhere(self._random, fault.turns)
        elif fault.kind in ("throw", "thread"):
            for worker in self.alive[fault.worker % max(len(self.alive), 1) :][:1]:
                if fault.kind == "throw":
                    worker.throws += 1
                else:
                    worker.lose_fetch(self._random)
        elif fault.kind == "start" or not self.alive:
            if len(self.alive) < MOST_WORKERS:
                self._start()
        else:
            worker = self._target(fault)
            if fault.kind == "kill":
                worker.frozen = False
                worker.kill()
            elif fault.kind == "freeze":
                worker.frozen = True
                self._thaw.append((self.turn + fault.turns, worker))
            else:
                worker.asked_to_end = True

    def _start(self) -> None:
        self._started += 1
        name, disk = f"w{self._started}", self.disks[self._started % DISKS]
        # limits are changed worker by worker: what was in force when a batch was walked stands in its record
        settings = self.settings.model_copy(update=FORGETS_OF_OTHERS) if self._started % 3 == 0 else self.settings
        self.workers.append(SimulatedWorker(name, settings, self.log, self.group, self.versions, disk))

    def _waiting(self) -> dict[str, int]:
        """Committed records that nobody has taken yet, by place."""
        inputs = ("bank.transactions.v1", "bank.feedback.v1", "risk.profiled.v1")
        waiting = {}
        for place in [place for place in self.log.entries if place.topic in inputs]:
            taken = self.log.group[place].offset if place in self.log.group else 0
            left = sum(
                1 for entry in self.log.entries[place][taken:] if entry.record is not None and self.log.counts(entry)
            )
            if left:
                waiting[f"{place.topic}[{place.partition}]"] = left
        return waiting

    def _finished(self) -> bool:
        return not self.log.unsettled and not self._waiting() and all(w.line.ready for w in self.alive)
