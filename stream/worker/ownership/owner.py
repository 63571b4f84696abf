"""Carries out what the ownership of partitions commands (:mod:`stream.worker.ownership.ownership`), on a line and its fetchers.

Whoever talks to the group (Faust's consumer in a worker, the simulator in tests) calls :meth:`Owner.assigned` and
:meth:`Owner.revoked`; the line says when a transaction failed, the fetchers when records are lost. What blocks runs on threads,
whose results come back as events of the epoch they were started in.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from typing import Protocol, TypeVar

from confluent_kafka import KafkaException

from stream.errors import RiskstreamError
from stream.log.records import Place
from stream.log.transactions import Membership
from stream.worker.ownership.ownership import (
    Assigned,
    Command,
    Ended,
    Event,
    Fetching,
    FetchLost,
    Ownership,
    Pause,
    Recover,
    Recovered,
    RecoveryFailed,
    Release,
    RetryDue,
    RetryLater,
    Revoked,
    RowsLost,
    StartFetching,
    StopFetching,
    TakeBatches,
)
from stream.worker.ownership.recovery_failure import reason_of

C = TypeVar("C", Recover, StartFetching)
logger = logging.getLogger("riskstream.ownership")
RETRY_S = 1.0
LEAST_RELEASE_S = 0.5
"""So long rows have to be released, though a commit used the budget of a rebalance up."""


class OwnedLine(Protocol):
    """What is asked of a line; see :class:`stream.worker.ownership.line.Line`."""

    ready: bool
    on_lost: Callable[[str], None]

    def recover(
        self, partitions: Iterable[int], membership: Membership, wanted: Callable[[], bool]
    ) -> dict[Place, int]:  # fmt: skip
        """Become the owner; blocks."""

    def recovery_failed(self, error: Exception, reason: str) -> None:
        """Say that an attempt failed."""

    def release(self, wanted: Callable[[], bool]) -> None:
        """Own nothing any more; blocks."""

    async def pause(self, budget_s: float | None = None) -> None:
        """Take no more batches, and wait for the one under way."""

    def resume(self) -> None:
        """Take batches."""


class FetchControl(Protocol):
    """What fetches records into a line's mailboxes."""

    def start(self, partitions: frozenset[int], offsets: Mapping[Place, int]) -> None:
        """Fetch from these offsets on, and nothing else; blocks."""

    def stop(self) -> None:
        """Put nothing more into the mailboxes; blocks."""


class Owner:
    """See the module. Its methods are called on the event loop; threads hand their events over to it.

    Parameters
    ----------
    line, fetchers
        What is commanded.
    threads
        Where what blocks is run: several at a time, for a recovery may be overtaken.
    revoke_budget_s
        How long the group waits at a revocation.
    on_owned
        Called once batches may be taken.
    later
        Calls after so many seconds; the event loop's, where none is named.
    """

    def __init__(
        self, line: OwnedLine, fetchers: FetchControl, threads: Executor, revoke_budget_s: float,
        on_owned: Callable[[], None] = lambda: None, later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:  # fmt: skip
        self.ownership = Ownership()
        self._line = line
        self._fetchers = fetchers
        self._threads = threads
        self._budget_s = revoke_budget_s
        self._on_owned = on_owned
        self._later = later
        self._fetch = threading.Lock()
        self._acting: asyncio.Task[None] | None = None
        self._loop = asyncio.get_event_loop()
        line.on_lost = self.rows_lost

    # --- what is told to it

    def assigned(self, partitions: Iterable[int], membership: Membership) -> None:
        """The group has given partitions; returns at once."""
        self._handle(Assigned(frozenset(partitions), membership))

    async def revoked(self) -> None:
        """The group takes everything back, and waits for this: what has not ended within the budget is given up, and ends by
        itself later, changing nothing."""
        until = self._loop.time() + self._budget_s
        pause, *rest = self.ownership.handle(Revoked()) or (Pause(),)
        self._line.ready = False
        self._stop_acting()
        if isinstance(pause, Pause):
            await self._line.pause(self._budget_s)
        released = asyncio.wrap_future(self._threads.submit(self._release, rest), loop=self._loop)
        await asyncio.wait({released}, timeout=max(until - self._loop.time(), LEAST_RELEASE_S))
        if released.done():
            await released
        else:
            logger.warning(
                "rows are not released within the %.1f s that a rebalance waits: the group goes on, what runs is forgotten "
                "when it ends", self._budget_s,
            )  # fmt: skip
            released.add_done_callback(_tell_late)

    def rows_lost(self, reason: str) -> None:
        """A transaction failed: recover in place, unless a recovery or a rebalance is under way."""
        self._handle(RowsLost())

    def fetch_lost(self, reason: str) -> None:
        """What was fetched may be lost: fetch again from where the rows stand."""
        self._handle(FetchLost(self.ownership.epoch))

    def end(self) -> None:
        """The worker ends; whoever calls stops the fetchers."""
        self.ownership.handle(Ended())
        self._stop_acting()

    # --- carrying out

    def _handle(self, event: Event) -> None:
        commands = self.ownership.handle(event)
        if not commands:
            return
        if isinstance(commands[0], Pause):
            self._line.ready = False
            self._stop_acting()
            self._acting = self._loop.create_task(self._act(commands))
            return
        for command in commands:
            self._carry_out(command)

    async def _act(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            if isinstance(command, Pause):
                await self._line.pause()
            elif not isinstance(command, StopFetching):  # stopped by the thread that goes on with what follows
                self._carry_out(command)

    def _stop_acting(self) -> None:
        if self._acting is not None:
            self._acting.cancel()
            self._acting = None

    def _carry_out(self, command: Command) -> None:
        match command:
            case Recover():
                self._run(self._recover, command)
            case StartFetching():
                self._run(self._start, command)
            case TakeBatches():
                self._line.resume()
                self._on_owned()
            case RetryLater(epoch):
                (self._later or self._loop.call_later)(RETRY_S, lambda: self._handle(RetryDue(epoch)))
            case _:
                raise AssertionError(f"{command} is carried out elsewhere")

    def _run(self, step: Callable[[C], Event], command: C) -> None:
        """Take a step on a thread; the event it ends in is handled here."""

        def hand_over(ended: Future[Event]) -> None:
            event = ended.result()
            # a worker that ends does not wait for its recovery
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._handle, event)

        self._threads.submit(step, command).add_done_callback(hand_over)

    # --- on threads

    def _is_wanted(self, epoch: int) -> bool:
        return self.ownership.epoch == epoch

    def _recover(self, command: Recover) -> Event:
        epoch = command.epoch
        try:
            self._stop_fetching(epoch)
            offsets = self._line.recover(command.partitions, command.membership, lambda: self._is_wanted(epoch))
        except Exception as error:
            # whatever it was, the attempt must not end in silence: it is told, counted and tried again
            reason = reason_of(error) if self._is_wanted(epoch) else "superseded"
            self._line.recovery_failed(error, reason)
            if reason == "refused":
                logger.critical("recovery is refused, and no other attempt will find it otherwise: %s", error)
            elif isinstance(error, KafkaException | RiskstreamError):
                logger.warning("recovery did not succeed, trying again: %s", error)
            else:
                logger.exception("recovery did not succeed")
            return RecoveryFailed(epoch, reason == "refused")
        return Recovered(epoch, offsets)

    def _start(self, command: StartFetching) -> Event:
        with self._fetch:
            # one that was overtaken would put records behind those of another epoch
            if self._is_wanted(command.epoch):
                try:
                    self._fetchers.start(command.partitions, command.offsets)
                except Exception as error:
                    self._line.recovery_failed(error, reason_of(error))
                    logger.exception("fetching did not begin")
                    return RecoveryFailed(command.epoch)
        return Fetching(command.epoch)

    def _release(self, commands: Iterable[Command]) -> None:
        for command in commands:
            match command:
                case StopFetching(epoch):
                    self._stop_fetching(epoch)
                case Release(epoch):
                    self._line.release(partial(self._is_wanted, epoch))

    def _stop_fetching(self, epoch: int) -> None:
        with self._fetch:
            # a thread whose turn comes late would stop what a later epoch fetches, and nothing would start it again
            if self._is_wanted(epoch):
                self._fetchers.stop()


def _tell_late(released: asyncio.Future[None]) -> None:
    if not released.cancelled() and released.exception() is not None:
        logger.error("rows were released late, and that failed: %s", released.exception())
