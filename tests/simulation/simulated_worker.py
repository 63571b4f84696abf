"""A worker of the simulation: the real line and its real owner, told of rebalances as Faust's consumer tells it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from typing import Any

from simulation.process import Killed, Process
from simulation.simulated_disk import SimulatedDisk
from simulation.simulated_group import SimulatedGroup
from simulation.simulated_log import OPEN, ConnectedLog, SimulatedLog

from stream.core.decision.decide import Decided
from stream.errors import RiskstreamError
from stream.log.records import Place, RecordBatch
from stream.settings import Settings
from stream.worker.hops.counts import BatchTallies
from stream.worker.ownership.line import Line, VersionsInForce
from stream.worker.ownership.owner import Owner
from stream.worker.ownership.ownership import Phase
from stream.worker.rows.snapshots import RowSnapshots
from stream.worker.rows.standbys import Standbys

FETCHED = 6
"""Most records of one partition that one fetch brings."""
BLOCK_BYTES = 6_000
"""Of a snapshot: two or three rows, so that much happens between two blocks."""
BESIDE = 0.2
"""How often one of the threads beside the hops has a turn."""


UNDER_WAY = (Phase.RECOVERING, Phase.STARTING)
MOST_STEPS = 50
"""Of the event loop, in which an owner that gets on has done what it was told."""


class Violation(AssertionError):
    """An invariant does not hold."""


class Thrown(Exception):
    """What nobody expects, raised where a schedule says so."""


class UncountedMetrics:
    """Counts no records: the simulation counts from the topics, which a crash does not touch."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        """What happened to rows: sources of recoveries, and ends of snapshots."""

    def recovered(self, sources: Iterable[str]) -> None:
        """Rows were recovered from these."""
        self.events.update(sources)

    def thread_restarted(self, thread: str) -> None:
        """A thread failed."""
        self.events[f"restarted {thread}"] += 1

    def counted(self, counts: BatchTallies) -> None:
        """A batch of the accounts hop was committed."""

    def decided(self, batch: list[Decided]) -> None:
        """A batch of the payees hop was committed."""

    def transaction_failed(self, *, fenced: bool) -> None:
        """A transaction was refused, aborted, or ended in doubt."""

    def lost(self, offsets: Mapping[Place, int]) -> None:
        """Offsets were deleted unread."""

    def stopped(self, places: Iterable[Place]) -> None:
        """Partitions that stand at a record."""

    def internal_error(self, hop: str, result: str, number: int = 1) -> None:
        """Riskstream itself failed at something."""
        self.events[f"{hop} {result}"] += number

    def batch_refused(self, hop: str) -> None:
        """A batch did not begin where the rows stand."""
        self.events["refused batch"] += 1

    def snapshot(self, result: str) -> None:
        """A snapshot was written, failed or was refused."""
        self.events[result] += 1

    def standby(self, place: Place, behind: int | None) -> None:
        """A standby copy has been read on."""


class AtOnce(Executor):
    """Runs what it is given in the caller's thread, so that one process is one thread."""

    def submit(self, fn: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        """Run now; what kills a process is not caught."""
        result: Future[Any] = Future()
        try:
            result.set_result(fn(*arguments, **named))
        except Exception as error:  # noqa: BLE001 - an executor hands over whatever was raised
            result.set_exception(error)
        return result


class SimulatedWorker(Process):
    """See the module.

    Parameters
    ----------
    name
        Unique, also among workers that are no more.
    versions
        What decides.
    disk
        Of its machine.
    """

    def __init__(
        self, name: str, settings: Settings, log: SimulatedLog, group: SimulatedGroup, versions: VersionsInForce,
        disk: SimulatedDisk,
    ) -> None:  # fmt: skip
        self.asked_to_end = False
        self._log = log
        self._group = group
        self._generation = -1
        self._retry: Callable[[], None] | None = None
        self._unexpected: Exception | None = None
        self.throws = 0
        """So many recoveries to come raise what nobody expects."""
        self._next: dict[Place, int] = {}
        self._reached: dict[Place, int] = {}
        """Behind the last record that was fetched; what was looked at behind it were gaps."""
        connected = ConnectedLog(log, self)
        self.metrics = metrics = UncountedMetrics()
        self.snapshots = RowSnapshots(
            disk, connected.identity, settings.snapshot_interval_s, metrics, log.now, BLOCK_BYTES
        )  # fmt: skip
        self.standbys = Standbys(connected, settings.standby_limit_mb << 20, metrics)
        self.line = Line(
            settings, log.partitions, name, versions, metrics, connected, log.now, self.snapshots, self.standbys  # type: ignore[arg-type]
        )  # fmt: skip
        self.line.accounts.broker_ms = lambda: log.broker_ms
        for lane in self.line.lanes.values():
            lane.commits = AtOnce()
        self.line.recovery_failed = self._recovery_failed  # type: ignore[method-assign]
        super().__init__(name, self._live)

    def _live(self) -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        self.owner = Owner(
            self.line, self, AtOnce(), self.line.settings.revoke_budget_ms / 1000, later=self._try_later
        )  # fmt: skip
        try:
            while not self.asked_to_end:
                self._poll(loop)
                self.operation()
            loop.run_until_complete(self.line.checkpoint_all())
            loop.run_until_complete(self.owner.revoked())
            self.owner.end()
            self._group.leave(self.name)
        finally:
            loop.close()

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._log.random.random() < BESIDE:
            self.snapshots.step()
        if self._log.random.random() < BESIDE:
            self.standbys.step()
        if self._group.must_join(self.name):
            loop.run_until_complete(self.owner.revoked())
            self._group.join(self.name, self._log.now(), self.standbys.warm)
        if self._group.rebalancing:
            self.pause()
        elif self._generation != self._group.generation:
            membership = self._group.membership(self.name)
            self._generation = membership.generation
            self.owner.assigned(self._group.assignment[self.name], membership)
            self._settle(loop)
        elif self._retry is not None:
            again, self._retry = self._retry, None
            again()
            self._settle(loop)
        elif self.owner.ownership.phase in UNDER_WAY:
            self._settle(loop)
        elif self._fetch() or any(self.line.waits(name) for name in self.line.lanes):
            for name in self.line.lanes:
                loop.run_until_complete(self.line.step(name))
        else:
            self.pause()

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the owner carry out what it was told."""
        for _ in range(MOST_STEPS):
            loop.run_until_complete(asyncio.sleep(0))
            if self.killed:
                raise Killed
            if self._unexpected is not None:
                raise self._unexpected
            if self.owner.ownership.phase not in UNDER_WAY:
                if self._retry is not None:
                    self.pause()
                return
        raise Violation(f"{self.name}: what the owner was told is not carried out")

    def _try_later(self, seconds: float, again: Callable[[], None]) -> None:
        self._retry = again

    def _recovery_failed(self, error: Exception, reason: str) -> None:
        # what no schedule makes happen must not be tried again in silence
        if not isinstance(error, RiskstreamError | Thrown):
            self._unexpected = error

    def start(self, partitions: frozenset[int], offsets: Mapping[Place, int]) -> None:
        """Fetch from where the rows stand."""
        if self.throws:
            self.throws -= 1
            raise Thrown(f"{self.name}: thrown by the schedule")
        self._next, self._reached = dict(offsets), dict(offsets)
        self.standbys.keep(self._group.copies.get(self.name, ()))
        membership = self.owner.ownership.membership
        if self._group.valid(membership):
            try:
                self._refuse_blocked(tuple(sorted(partitions)))
            except Violation as error:
                self._unexpected = error

    def stop(self) -> None:
        """Fetch nothing more."""
        self._next = {}

    def lose_fetch(self, chance: random.Random) -> None:
        """The thread that fetches one of the inputs dies, and says so."""
        if self._next:
            del self._next[chance.choice(sorted(self._next))]
            self.owner.fetch_lost("a thread died")

    def _refuse_blocked(self, partitions: tuple[int, ...]) -> None:
        """An open transaction never blocks readers until its time-out: whoever takes over has fenced its owner."""
        for transaction in self._log.unsettled:
            owner = self._log.memberships[transaction.transactional_id]
            shared = set(partitions) & set(self._group.assigned(owner))
            if transaction.state == OPEN and owner.generation < self._generation and shared:
                raise Violation(f"{self.name} took over, and {transaction.transactional_id} still blocks readers")

    def _fetch(self) -> bool:
        """Read what fits; returns whether anything waits."""
        for place, offset in list(self._next.items()):
            lane = self.line.lane_of(place.topic)
            if not lane.mailbox.has_room(place):
                continue
            stop = min(offset + self._log.random.randint(1, FETCHED), self._log.stable_end(place))
            if stop > offset:
                self.operation()
                records = RecordBatch.of(self._log.committed(place, offset, stop), self._reached[place])
                lane.mailbox.put(place, records)
                self._next[place] = stop
                if len(records):
                    self._reached[place] = records.next_offset
        return any(lane.mailbox for lane in self.line.lanes.values())

    def fetch_from_elsewhere(self, chance: random.Random, by: int) -> None:
        """Begin fetching one partition anew so many offsets from where it is, with records to come from there."""
        if self._next:
            place = chance.choice(sorted(self._next))
            at, end = max(self._next[place] + by, 0), self._log.stable_end(place)
            if at != self._next[place] and self._log.committed(place, at, end):
                self._next[place] = self._reached[place] = at
