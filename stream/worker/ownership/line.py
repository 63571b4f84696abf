"""Both hops of one worker: recover them for the partitions it owns, run their batches, keep their transactions.

The line knows no Faust. Its owner (the Faust consumer in ``batch_transport.py``) tells it which partitions it has in
which generation of the group, puts fetched records into the mailboxes, and lets the agents step.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

from rules.exchange_rates import Currencies
from stream.log.mailbox import Mailbox
from stream.log.records import Place, Publisher, PublishFailed, RecordBatch
from stream.log.transactions import Membership
from stream.settings import Settings
from stream.worker.health.line_metrics import Metrics
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.hops.deciding import DeciderSource
from stream.worker.hops.hop import Hop
from stream.worker.hops.isolation import OutOfPlace, PartitionStopped, WalkFailed
from stream.worker.hops.originals import read_originals
from stream.worker.hops.payee_processor import PayeeProcessor
from stream.worker.ownership.commits import CommitThread
from stream.worker.ownership.lane import Lane
from stream.worker.ownership.recovery import LineLog, Recovery, Superseded
from stream.worker.rows.changelog import RowsRefused
from stream.worker.rows.lost_records import RecordsLost
from stream.worker.rows.snapshots import RowSnapshots
from stream.worker.rows.standbys import Standbys

logger = logging.getLogger("riskstream.line")
BEHIND_RECORDS = 2_000
"""A transaction of so many records says that the hop does not keep up: it does not rest, and writes rows less often."""
RESTLESS_RECORDS = 128
"""A transaction of so many records is worth what it costs."""
AGAIN_S = 1.0
"""Before a batch is tried again that failed for no reason that the line knows."""
QUICK_S = 0.009
"""A transaction that takes no longer found an idle broker; a longer one is followed by a rest twice as long as the delay."""


class VersionsInForce(DeciderSource, Protocol):
    """What a line asks of :class:`stream.worker.agents.versions_agent.Versions`."""

    def trusts(self, actor: str) -> bool:
        """Whether the policy in force lists an actor."""

    def rates(self) -> Currencies:
        """Currency rates in force."""


class Line:
    """See the module.

    Parameters
    ----------
    settings, partitions
        Settings, and how many partitions the line's topics have.
    worker
        Name of this process, unique in the group: part of its transactional ids.
    log
        What the line lives on.
    clock
        Monotonic time, s: paces checkpoints, decides nothing.
    snapshots, standbys
        Rows on disk, and copies of other workers' rows in memory; None for none.
    """

    def __init__(
        self, settings: Settings, partitions: int, worker: str, versions: VersionsInForce, metrics: Metrics, log: LineLog,
        clock: Callable[[], float] = time.monotonic, snapshots: RowSnapshots | None = None,
        standbys: Standbys | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings
        self.partitions = partitions
        self.worker = worker
        self.transactional = log.transactional
        self.metrics = metrics
        self.accounts = AccountProcessor(settings, partitions, versions.trusts, versions.rates)
        self.payees = PayeeProcessor(settings, versions, partial(read_originals, log.reader))
        if standbys is not None:
            standbys.hops = (self.accounts, self.payees)
        self.hops: tuple[Hop, ...] = (self.accounts, self.payees)
        room = 2 * settings.batch_records, 2 * settings.batch_bytes  # one batch waits while one is walked
        self.lanes = {hop.name: Lane(hop, Mailbox(*room)) for hop in self.hops}
        self._many = min(BEHIND_RECORDS, settings.batch_records)
        self.ready = False
        self.snapshots = snapshots
        self.standbys = standbys
        self.refused: list[str] = []
        """Why partitions that this worker was given are left alone."""
        self.refusal = ""
        """Why its recovery can never succeed; empty while it can."""
        self.trouble = ""
        """What the last attempt to recover or commit failed of; empty once a batch was committed or rows are here."""
        self.failures = self.commits = 0
        """Attempts to recover or commit that failed (another owner's coming is none); batches that were committed, partitions that stopped."""
        self._blocks_before = 0
        self.standing: list[str] = []
        """Why partitions that this worker was given stand at a record."""
        self.stopped: dict[tuple[str, int], PartitionStopped] = {}
        """By hop and partition: those that stand at a record until this worker is started anew."""
        self.given: frozenset[int] = frozenset()
        """Partitions that this worker was given, also those that it leaves alone."""
        self._log = log
        self._clock = clock
        self._recovering: Recovery | None = None
        self._one_recovery = threading.Lock()
        self.fetch_failure: Callable[[], str] = lambda: ""
        """Why records are not fetched now; empty while they are."""
        self.on_lost: Callable[[str], None] = lambda reason: None
        """Called when a transaction failed: rows are no longer to be trusted."""
        self.commit_limit_s = 3 * settings.transaction_timeout_ms / 1000
        """A commit that lasts longer (each of its two requests may take the time-out) never ends: see ``commits.py``."""
        self._lane_of = {topic: lane for lane in self.lanes.values() for topic in lane.hop.sources}

    @property
    def topics(self) -> list[str]:
        """Input topics of both hops."""
        return list(self._lane_of)

    @property
    def owned(self) -> list[int]:
        """Partitions whose rows are here; during a recovery those that are done."""
        return sorted(set.intersection(*(set(hop.owned) for hop in self.hops)))

    @property
    def inputs(self) -> list[Place]:
        """Every input partition of the line, whoever has it."""
        return [Place(topic, partition) for topic in self._lane_of for partition in range(self.partitions)]

    @property
    def positions(self) -> dict[Place, int]:
        """Next offset to take of every input partition whose rows are here."""
        found: dict[Place, int] = {}
        for hop in self.hops:
            for partition in list(hop.owned):
                # another thread may let go of it between two looks
                with suppress(KeyError):
                    found |= hop.input_offsets(partition)
        return found

    @property
    def unwritten(self) -> list[tuple[str, int, float]]:
        """Hops and partitions whose rows have changed since their last checkpoint, and when that was (monotonic, s)."""
        found = []
        for name, lane in self.lanes.items():
            for partition in list(lane.hop.owned) if self.transactional else ():
                # another thread may let go of it between two looks
                with suppress(KeyError):
                    if lane.hop.dirty(partition):
                        found.append((name, partition, lane.written.get(partition, 0.0)))
        return found

    @property
    def progress(self) -> int:
        """A number that grows while a recovery gets on: partitions done, records and blocks read; of this attempt alone."""
        recovery = self._recovering
        blocks = self.snapshots.blocks_read - self._blocks_before if self.snapshots and recovery else 0
        return sum(len(hop.owned) for hop in self.hops) + (recovery.records_read if recovery else 0) + blocks

    @property
    def internal_trouble(self) -> str:
        """What fails again and again for a reason that the line does not know, and is tried again."""
        return "; ".join(lane.trouble for lane in self.lanes.values() if lane.trouble)

    @property
    def doing(self) -> str:
        """What a recovery is at, in words; empty while there is none."""
        recovery = self._recovering
        return recovery.doing if recovery is not None else ""

    def lane_of(self, topic: str) -> Lane:
        """The lane that an input topic belongs to."""
        return self._lane_of[topic]

    def recover(
        self, partitions: Iterable[int], membership: Membership, wanted: Callable[[], bool] = lambda: True
    ) -> dict[Place, int]:
        """Become the owner of partitions: fence who had them, rebuild their rows; blocks. ``wanted`` is asked when its turn has
        come, as for :meth:`release`.

        Returns
        -------
        The next offset to read of every input partition.

        Raises
        ------
        RiskstreamError
            The broker does not give what is needed, or another generation has begun.
        """
        with self._alone(wanted) as has_turn:
            if not has_turn:
                raise Superseded("a recovery was overtaken before it began")
            self._release()
            return self._recover(sorted(partitions), membership, wanted)

    @contextmanager
    def _alone(self, wanted: Callable[[], bool]) -> Iterator[bool]:
        """Whoever changes what the hops own does so alone: a recovery that runs is told to end, and waited for. Only by who is
        still wanted; and once that one has its turn it is asked again: yields whether it is."""
        if wanted():
            self.abandon()
            with self._one_recovery:
                yield wanted()
        else:
            yield False

    def _recover(self, owned: list[int], membership: Membership, wanted: Callable[[], bool]) -> dict[Place, int]:
        began = self._clock()
        for lane in self.lanes.values():
            lane.hop.forget_kept(owned)
            # what an attempt that fails has rebuilt is as the group left it, too
            lane.sound = True
        sources = [source for source in (self.standbys, self.snapshots) if source is not None]
        self._blocks_before = self.snapshots.blocks_read if self.snapshots else 0
        self._recovering = Recovery(self._log, self.hops, sources, accept_lost=self.settings.accept_lost_records)
        try:
            if not wanted():  # what overtook it until now found nothing to abandon
                raise Superseded("a recovery was overtaken before it began")
            recovered = self._recovering.run(owned, self._names(membership), membership, self.stopped)
        finally:
            self._recovering = None
        for name, publisher in recovered.publishers.items():
            self.lanes[name].publisher = publisher
        self.given = frozenset(owned)
        refused = recovered.refused.values()
        self.refused = [str(error) for error in refused if isinstance(error, RecordsLost)]
        self.standing = [str(error) for error in refused if isinstance(error, PartitionStopped | RowsRefused)]
        self.metrics.recovered(recovered.sources)
        self.metrics.lost({error.place: error.offsets for error in refused if isinstance(error, RecordsLost)})
        self.metrics.stopped([error.place for error in refused if isinstance(error, PartitionStopped | RowsRefused)])
        self._schedule_checkpoints()
        self.refusal = ""
        logger.info("recovered %d partitions in %.1f s", len(owned), self._clock() - began)
        return recovered.offsets

    def recovery_failed(self, error: Exception, reason: str) -> None:
        """Say that an attempt to recover failed, and for which of the known reasons."""
        # at a rebalance attempts are given up for the next one: nothing is wrong
        self.failures += reason != "superseded"
        self.trouble = str(error) or repr(error)
        self.refusal = self.trouble if reason == "refused" else ""
        self.metrics.health.recovery_failed(reason)

    def rows(self) -> dict[tuple[str, int], int]:
        """Rows of the fullest table, by hop and partition."""
        return {(hop.name, partition): hop.fullest(partition) for hop in self.hops for partition in list(hop.owned)}

    def rows_forgotten(self) -> dict[str, int]:
        """Forgotten rows that each hop took out so far."""
        return {hop.name: hop.forgotten for hop in self.hops}

    def resume(self) -> None:
        """Take batches: rows are recovered and the consumer stands where they do."""
        self.ready = True

    def abandon(self) -> None:
        """Let a recovery that runs on another thread end before its next partition: it is of no use any more."""
        if (running := self._recovering) is not None:
            running.abandon()

    def release(self, wanted: Callable[[], bool] = lambda: True) -> None:
        """Own nothing any more: what the log holds is the truth. Rows that are as the log has them are set aside, in
        case the group gives them back unchanged; waiting records and publishers are forgotten. Blocks; ``wanted`` is asked
        when its turn has come, which may be after a later recovery's."""
        with self._alone(wanted) as has_turn:
            if has_turn:
                self._release()

    def _release(self) -> None:
        self.ready = False
        self.refused, self.standing, self.given = [], [], frozenset()
        if self.snapshots is not None:
            self.snapshots.forget()
        for lane in self.lanes.values():
            if lane.sound:
                lane.hop.keep(lane.publisher)
            lane.sound = lane.asked = False
            lane.mailbox.clear()
            lane.due.clear()
            if lane.publisher is not None:
                lane.publisher.close()
                lane.publisher = None
        for hop in self.hops:
            hop.owned.clear()

    async def pause(self, budget_s: float | None = None) -> None:
        """Take no more batches, and wait until none is between its first record and its commit: a batch that is walked
        while rows are set aside would leave its mark in them without being committed. Commits that have not ended after
        ``budget_s`` are given up, with their publishers and rows; None: each has its own limit."""
        self.ready = False
        until = None if budget_s is None else asyncio.get_running_loop().time() + budget_s
        for lane in self.lanes.values():
            try:
                async with asyncio.timeout_at(until), lane.lock:
                    continue
            except TimeoutError:
                if lane.waits is not None:
                    lane.waits.set()
            async with lane.lock:
                pass

    async def step(self, name: str) -> None:
        """Take what waits for a hop, walk it, and commit it as one transaction, with the rows that are due; until
        nothing waits and no changed rows are due."""
        lane = self.lanes[name]
        try:
            while self.waits(name):
                await self._rest(lane)
                async with lane.lock:
                    if not self.ready or lane.publisher is None:
                        return
                    batch = lane.mailbox.take(self.settings.batch_records, self.settings.batch_bytes)
                    await self._run(lane, batch, self._due(lane))
        finally:
            lane.asked = False

    def _rest_after(self, records: int, took_s: float) -> float:
        """How long to let records gather after a transaction of so many that took so long, s.

        A broker that is busy, or whose code is not compiled yet, gets fewer and larger transactions; and after small
        ones, which cost as much as others, as much time passes as they took.
        """
        small = took_s * max(0.0, 1.0 - records / RESTLESS_RECORDS)
        return min(took_s, self.settings.pace_ms / 1000, max(small, 2.0 * (took_s - QUICK_S)))

    async def _rest(self, lane: Lane) -> None:
        """Let records gather; not behind a backlog, and not when nothing came for a while."""
        left = lane.rested - self._clock()
        if left > 0 and not lane.behind:
            await asyncio.sleep(left)

    def waits(self, name: str) -> bool:
        """Whether a hop has something to do: records, or changed rows that are due though no records come."""
        lane = self.lanes[name]
        return bool(lane.mailbox) or (self.ready and any(self._asks(lane, partition) for partition in self._due(lane)))

    def _asks(self, lane: Lane, partition: int) -> bool:
        """Whether a partition has changed rows to write, or a snapshot that waits for its marker."""
        awaited = self.snapshots is not None and self.snapshots.awaits(lane.hop.tables(partition)[0])
        return awaited or lane.hop.dirty(partition)

    async def checkpoint_all(self) -> None:
        """Write every changed row now: the last act of a worker that is asked to end."""
        for lane in self.lanes.values():
            async with lane.lock:
                if self.ready and lane.publisher is not None and self.transactional:
                    await self._run(lane, {}, list(lane.due))

    async def _run(self, lane: Lane, batch: Mapping[Place, RecordBatch], due: list[int]) -> None:
        publisher = lane.publisher
        assert publisher is not None
        lane.sound = False
        began, walked = self._clock(), lane.hop.walked
        taken: Future[None] | None = None
        try:
            publisher.begin()
            offsets = self._offsets(lane, batch, due)
            # which offsets the batch takes is known before it is walked: the requests that say so run beside the walk
            taken = lane.commits.submit(publisher.take, offsets)
            processed = lane.hop.process(publisher, batch)
            lane.require_taken(offsets)
            for partition in due:
                lane.hop.checkpoint(publisher, partition)
            await self._commit(lane, publisher, offsets, taken)
        except Exception as error:  # noqa: BLE001 - whatever it was, the log is the truth
            await self._give_up(lane, error, taken)
            return
        lane.trouble = ""
        ended = self._clock()
        records = lane.hop.walked - walked
        lane.rested = ended + self._rest_after(records, ended - began)
        lane.behind = records >= self._many
        lane.wrote = lane.hop.walked if due else lane.wrote
        for partition in due:
            lane.hop.written(partition)
            lane.written[partition] = self._clock()
            lane.due[partition] = lane.written[partition] + self.settings.checkpoint_interval_ms / 1000
            if self.snapshots is not None:
                self.snapshots.marked(*lane.hop.tables(partition), publisher.acknowledged)
        lane.sound = True
        self.commits += 1
        self.trouble = ""
        processed.count(self.metrics)

    async def _give_up(self, lane: Lane, error: Exception, taken: Future[None] | None) -> None:
        """A batch was not committed: its rows are dropped, and what the log holds is recovered."""
        self.ready = False
        # a publisher is not closed while it is asked for something
        if taken is not None and not isinstance(error, PublishFailed):
            await self._ended(lane, asyncio.wrap_future(taken))
        fenced = isinstance(error, PublishFailed) and error.fenced
        self.failures += not fenced
        self.trouble = str(error) or repr(error)
        self.metrics.transaction_failed(fenced=fenced)
        self._note(lane, error)
        if lane.trouble:
            await asyncio.sleep(AGAIN_S)
        self.on_lost(str(error))

    def _note(self, lane: Lane, error: Exception) -> None:
        """What the next attempt must know of an error."""
        if isinstance(error, WalkFailed) and error.careful:
            self._stop(error.stopped(), error.cause)
        elif isinstance(error, WalkFailed):
            lane.hop.suspects[error.partition] = error.ends
            self.metrics.internal_error(lane.name, "recovered")
            logger.error("%s; recovering, and trying again with care", error, exc_info=error.cause)
        elif isinstance(error, PartitionStopped):
            self._stop(error, error)
        elif isinstance(error, OutOfPlace):
            self.metrics.batch_refused(lane.name)
            logger.error("%s: %s; recovering", lane.name, error)
        elif isinstance(error, PublishFailed):
            logger.warning("%s: %s; recovering", lane.name, error)
        else:
            lane.trouble = f"{lane.name}: a batch ended in {type(error).__name__}, see the log; it is tried again"
            self.metrics.internal_error(lane.name, "recovered")
            logger.error("%s: a batch could not be written; recovering", lane.name, exc_info=error)

    def _stop(self, error: PartitionStopped, cause: Exception) -> None:
        # each stop is progress: however many partitions come to it, no attempt fails again and again
        self.commits += (error.hop, error.partition) not in self.stopped
        self.stopped[error.hop, error.partition] = error
        self.metrics.internal_error(error.hop, "stopped")
        logger.critical("%s", error, exc_info=cause)

    def _offsets(self, lane: Lane, batch: Mapping[Place, RecordBatch], due: Iterable[int]) -> dict[Place, int]:
        """Where a hop stands once a batch is walked. Rows alone are fenced like a batch: by the offsets they stand for."""
        offsets: dict[Place, int] = {}
        for partition in sorted({place.partition for place in batch} | set(due)):
            offsets.update(lane.hop.input_offsets(partition))
        offsets.update({place: records.next_offset for place, records in batch.items() if len(records)})
        return offsets

    async def _commit(
        self, lane: Lane, publisher: Publisher, offsets: Mapping[Place, int], taken: Future[None]
    ) -> None:  # fmt: skip
        def commit_taken() -> None:
            taken.result()
            publisher.commit(offsets)

        began = self._clock()
        commit = asyncio.get_running_loop().run_in_executor(lane.commits, commit_taken)
        if await self._ended(lane, commit):
            return await commit
        raise PublishFailed(f"a commit has not ended within {self._clock() - began:.0f} s and is given up")

    async def _ended(self, lane: Lane, request: asyncio.Future[None]) -> bool:
        """Wait for what a publisher was asked; False once it took longer than a commit may, or a rebalance does not wait
        for it any more: the lane lets go of that publisher then."""
        waits = lane.waits = asyncio.Event()
        request.add_done_callback(lambda _: waits.set())
        with suppress(TimeoutError):
            async with asyncio.timeout(self.commit_limit_s):
                await waits.wait()
        lane.waits = None
        if request.done():
            return True
        # nothing else may be asked of it; the next one of its name fences it
        request.add_done_callback(lambda late: late.cancelled() or late.exception())
        lane.commits, lane.publisher = CommitThread(), None
        return False

    def is_own(self, transactional_id: str) -> bool:
        """Whether a transactional id is, or was, one of this worker's."""
        return transactional_id.startswith(self._id_prefix)

    @property
    def _id_prefix(self) -> str:
        return f"{self.settings.topic_prefix}{self.settings.group}-{self.worker}-"

    def _names(self, membership: Membership) -> dict[str, str]:
        """Transactional ids of this worker in this generation of the group, by hop."""
        return {name: f"{self._id_prefix}{membership.generation}-{name}" for name in self.lanes}

    def _schedule_checkpoints(self) -> None:
        """Let the partitions take turns, so that their rows do not come in one burst."""
        interval = self.settings.checkpoint_interval_ms / 1000
        for order, lane in enumerate(self.lanes.values()):
            for number, partition in enumerate(lane.hop.owned):
                share = (number + order / 2) / len(lane.hop.owned)
                lane.due[partition] = self._clock() + interval * (0.1 + share)

    def _due(self, lane: Lane) -> list[int]:
        """Partitions whose rows are to be written now."""
        return lane.due_by(self._clock(), self.settings.checkpoint_records) if self.transactional else []
