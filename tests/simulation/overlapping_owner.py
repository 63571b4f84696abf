"""The real owner of a line's partitions, with threads that end when a schedule says so: late, or in another order.

In the other simulator one process is one thread, and a recovery ends before anything else happens. Here what blocks is a job
that waits to be run, and a result that waits to be handed over, so that recoveries overlap with rebalances in every way they can.
The line and its fetchers are stand-ins that know only what must never happen.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any

from simulation.simulated_worker import Thrown, Violation

from stream.log.records import Place
from stream.worker.ownership.owner import Owner
from stream.worker.ownership.ownership import Phase
from stream.worker.ownership.recovery import Superseded

INPUT = Place("bank.transactions.v1", 0)
SPIN_S = 0.02
"""What one turn of the event loop takes, of simulated time."""
BUDGET_S = 0.5
STEPS, MOST_DRAINING = 150, 600
SLEEPS, MOST_SLEEP = 0.1, 60
"""So often a thread that was given something has no turn for long: its machine is busy, or it waits for a lock."""
HAPPENS = {"job": 8, "turn": 12, "group": 1, "fetch": 4, "batch": 6, "trouble": 1, "retry": 3}
"""Weights of what happens next."""


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop that turns once when it is told to, in a time of its own."""

    now = 0.0

    def time(self) -> float:
        """Simulated time, s."""
        return self.now

    def turn(self) -> None:
        """Run what is ready."""
        self.now += SPIN_S
        self.call_soon(self.stop)
        self.run_forever()


@dataclass
class Job:
    """Something that blocks: it waits to be run, then its result waits to be seen."""

    result: Future[Any]
    run: Callable[[], Any] | None
    sleeps: int = 0
    """How often others have a turn before its thread has one."""
    outcome: Callable[[], object] | None = None

    def step(self) -> bool:
        """Run it, or hand its result over; returns whether that was the end of it."""
        if self.run is not None:
            try:
                value = self.run()
                self.outcome = lambda: self.result.set_result(value)
            except Exception as error:  # noqa: BLE001 - as an executor does
                failure = error
                self.outcome = lambda: self.result.set_exception(failure)
            self.run = None
            return False
        assert self.outcome is not None
        self.outcome()
        return True


@dataclass
class SlowThreads(Executor):
    """Jobs in the order in which they were handed in; a schedule takes any of them on, but those that sleep."""

    chance: random.Random
    jobs: list[Job] = field(default_factory=list)

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Let it wait."""
        sleeps = self.chance.randint(1, MOST_SLEEP) if self.chance.random() < SLEEPS else 0
        job = Job(Future(), lambda: fn(*arguments, **named), sleeps)
        self.jobs.append(job)
        return job.result

    def take_on(self) -> None:
        """Let any that does not sleep go on by a step."""
        for job in self.jobs:
            job.sleeps = max(0, job.sleeps - 1)
        if awake := [job for job in self.jobs if not job.sleeps]:
            job = self.chance.choice(awake)
            if job.step():
                self.jobs.remove(job)


class World:
    """A worker's line, fetchers and group, as far as ownership is about them.

    Parameters
    ----------
    seed
        Of what happens when.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.loop = SteppedLoop()
        asyncio.set_event_loop(self.loop)
        self.ready = False
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.generation = 0
        """Of the group, as this worker knows it."""
        self.assigned = False
        self.attempts = 0
        self.rows = 0
        """The attempt by which the rows were recovered; 0: none are here."""
        self.rows_of = 0
        """The generation that attempt was for."""
        self.fetching = 0
        """The attempt from whose offsets records come; 0: none come."""
        self.mailbox: list[int] = []
        """Attempts from whose offsets the records that wait were fetched."""
        self.walking = False
        """A batch is between its first record and its commit."""
        self.given_up = False
        self.revoking: asyncio.Task[None] | None = None
        self.retries: list[Callable[[], None]] = []
        self.failing: list[Exception] = []
        """What the next recoveries end in."""
        self.threads = SlowThreads(self.chance)
        self.owner = Owner(self, self, self.threads, BUDGET_S, later=lambda seconds, again: self.retries.append(again))

    # --- the line

    def recover(self, partitions: Iterable[int], membership: Any, wanted: Callable[[], bool]) -> dict[Place, int]:
        """Rebuild the rows of a generation."""
        if not wanted():
            raise Superseded("overtaken")
        self._let_go_of()
        if self.failing:
            raise self.failing.pop()
        self.attempts += 1
        self.rows, self.rows_of = self.attempts, membership
        return {INPUT: self.attempts}

    def recovery_failed(self, error: Exception, reason: str) -> None:
        """Counted."""

    def release(self, wanted: Callable[[], bool]) -> None:
        """Own nothing."""
        if wanted():
            self._let_go_of()

    async def pause(self, budget_s: float | None = None) -> None:
        """Wait for the batch that is walked, as long as the group does."""
        self.ready = False
        until = None if budget_s is None else self.loop.now + budget_s
        while self.walking:
            if until is not None and self.loop.now >= until:
                self.walking = False  # its publisher is given up: it commits nothing any more
            await asyncio.sleep(0)

    def resume(self) -> None:
        """Take batches."""
        self.ready = True

    def _let_go_of(self) -> None:
        if self.walking:
            raise Violation("rows are dropped while a batch is walked in them")
        self.ready, self.rows, self.mailbox = False, 0, []

    # --- the fetchers

    def start(self, partitions: frozenset[int], offsets: Mapping[Place, int]) -> None:
        """Fetch from a generation's offsets."""
        self.fetching = offsets[INPUT]

    def stop(self) -> None:
        """Fetch nothing more."""
        self.fetching = 0

    # --- what happens

    def play(self) -> None:
        """A schedule, and then everything to its end; checked after every step."""
        try:
            for _ in range(STEPS):
                self._happen()
                self.check()
            if self.chance.random() < 0.3:
                self._leave()
            self._drain()
        finally:
            if self.revoking is not None:
                self.revoking.cancel()
            self.owner.end()
            self.loop.turn()
            self.loop.close()

    def check(self) -> None:
        """What must hold at any time."""
        if self.ready and not (self.assigned and self.rows and self.rows_of == self.generation):
            raise Violation(
                f"batches may be taken: rows of generation {self.rows_of}, the group is at {self.generation}"
            )
        if self.ready and self.owner.ownership.phase is not Phase.OWNING:
            raise Violation(f"batches may be taken while it is {self.owner.ownership.phase}")

    def _happen(self) -> None:
        [kind] = self.chance.choices(list(HAPPENS), list(HAPPENS.values()))
        getattr(self, f"_{kind}")()

    def _turn(self) -> None:
        self.loop.turn()
        if self.revoking is not None and self.revoking.done():
            self.revoking.result()
            self.revoking = None

    def _job(self) -> None:
        self.threads.take_on()

    def _group(self) -> None:
        if self.revoking is not None:
            return
        if self.assigned:
            self.revoking = self.loop.create_task(self._revoke())
        else:
            self.generation += 1
            self.assigned = True
            self.owner.assigned({0}, self.generation)  # type: ignore[arg-type]

    async def _revoke(self) -> None:
        self.assigned = False
        await self.owner.revoked()

    def _fetch(self) -> None:
        if self.fetching:
            self.mailbox.append(self.fetching)

    def _batch(self) -> None:
        if self.walking:
            self.walking = False
            if self.chance.random() < 0.2:
                self.ready = False
                self.on_lost("a commit failed")
        elif self.ready and self.mailbox:
            fetched = self.mailbox.pop(0)
            if fetched != self.rows:
                raise Violation(f"records fetched for attempt {fetched} meet rows of attempt {self.rows}")
            self.walking = True

    def _trouble(self) -> None:
        if self.chance.random() < 0.5:
            self.failing.append(self.chance.choice((Thrown("thrown"), Superseded("elsewhere"))))
        elif self.fetching:
            self.fetching = 0
            self.owner.fetch_lost("a thread died")

    def _retry(self) -> None:
        if self.retries:
            self.retries.pop(0)()

    def _leave(self) -> None:
        """Everything is taken back, and all that was begun ends, in whatever order."""
        if self.revoking is None and self.assigned:
            self._group()
        for _ in range(MOST_DRAINING):
            if self.revoking is None and not self.assigned and not self.threads.jobs:
                if self.fetching:
                    raise Violation("records are fetched though nothing is owned")
                return
            self._turn()
            self._job()
            if self.walking:
                self.walking = False
            self.check()
        raise Violation("what was begun does not end")

    def _drain(self) -> None:
        """Nothing happens any more but what was begun: the owner must come to own."""
        if self.revoking is None and not self.assigned:
            self._group()
        for _ in range(MOST_DRAINING):
            if self.revoking is not None or not self.assigned:
                if self.revoking is None:
                    self._group()
            elif self.ready and self.fetching == self.rows and not self.threads.jobs:
                return
            self._turn()
            self._job()
            self._retry()
            if self.walking:
                self.walking = False
            self.check()
        raise Violation(f"the owner does not get on: {self.owner.ownership.phase}, fetching {self.fetching}")


def failure(seed: int) -> str:
    """What a seed's schedule violates; empty when nothing."""
    world = World(seed)
    try:
        world.play()
    except Violation as error:
        return str(error)
    return ""
