"""Faust's transport, feeding agents whole batches: one message a hop and poll instead of one a record.

Stock Faust spends 75 to 450 µs of CPU on a record's way through its queues; here it spends them on a batch's way.
What is overridden, and why:

- records come through ``fetcher.py`` into the line's mailboxes; ``getmany`` yields one signal a hop, and Faust's own
  consumer, which is the member of the group, has its partitions paused;
- commits, gaps and livelock checks do nothing: offsets are committed by the hops' own Kafka transactions;
- ``perform_seek``, Faust's last act of a rebalance, starts the recovery of the line, and the fetchers start
  where the rows then stand;
- the group is assigned by partition number (``assignor.py``), and committed records alone are read.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar, cast

import aiokafka
from confluent_kafka import KafkaException
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, server_list
from faust.transport.drivers.aiokafka import Consumer as KafkaConsumer
from faust.transport.drivers.aiokafka import Transport as KafkaTransport
from faust.types import TP, ConsumerMessage

from stream.errors import RiskstreamError
from stream.log import credentials
from stream.log.fetcher import Fetcher
from stream.log.records import Place
from stream.log.transactions import Membership
from stream.worker.ownership.line import Line
from stream.worker.ownership.recovery import Superseded
from stream.worker.ownership.recovery_failure import reason_of
from stream.worker.transport.assignor import LineAssignor

logger = logging.getLogger("riskstream.transport")
RETRY_S = 1.0
LEAST_RELEASE_S = 0.5
"""So long rows have to be released, though a commit used the budget of a rebalance up."""
POLL_S = 5.0
"""Faust's consumer is asked for records this often: a member of a group that never asks is put out of it."""


class _NoPositions(dict[Any, Any]):
    """Read offsets that are never known: order and repeats are the hops' business, not the fetcher's."""

    def __getitem__(self, key: Any) -> None:
        return None


class BatchConsumerThread(AIOKafkaConsumerThread):
    """The thread that talks to Kafka; only how its consumer is made differs."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        settings = line_of(self.app).settings
        self._assignor = LineAssignor
        standbys = line_of(self.app).standbys
        if standbys is not None:
            LineAssignor.copies = settings.standby_copies
            LineAssignor.warm = lambda: standbys.warm
        session = settings.session_timeout_ms
        return aiokafka.AIOKafkaConsumer(
            client_id="riskstream",
            group_id=self.app.conf.id,
            group_instance_id=settings.instance or None,
            bootstrap_servers=server_list(transport.url, transport.default_port),
            partition_assignment_strategy=[LineAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=None,
            max_poll_interval_ms=600_000,
            max_partition_fetch_bytes=settings.max_message_bytes + 65_536,
            request_timeout_ms=max(10_000, session + 1_000),
            retry_backoff_ms=50,
            session_timeout_ms=session,
            rebalance_timeout_ms=max(session, 10_000),
            heartbeat_interval_ms=max(100, session // 6),
            isolation_level="read_committed",
            metadata_max_age_ms=60_000,
            **credentials.aiokafka(settings),
        )

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Pause what is assigned: this consumer fetches nothing."""
        self._ensure_consumer().pause(*(aiokafka.TopicPartition(*tp) for tp in assigned))
        await super().on_partitions_assigned(assigned, generation_id)

    @property
    def membership(self) -> Membership:
        """This consumer's place in its group now."""
        coordinator = self._ensure_consumer()._coordinator
        return Membership(
            self.app.conf.id, coordinator.generation, coordinator.member_id, line_of(self.app).settings.instance
        )


class LineConsumer(KafkaConsumer):
    """Feeds the line; see the module."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.line = line_of(self.app)
        self.line.on_lost = self._on_lost
        self._read_offset = _NoPositions()
        self._recovery: asyncio.Task[None] | None = None
        self._rebuilding = threading.Lock()
        self._rebuilds = 0
        """How many recoveries and releases have begun: one that comes late does nothing."""
        self._signals = 0
        self._polled = 0.0
        self._arrived = asyncio.Event()
        loop = asyncio.get_event_loop()

        def arrived() -> None:
            loop.call_soon_threadsafe(self._arrived.set)

        def deleted(place: Place) -> None:
            loop.call_soon_threadsafe(self._on_deleted, place)

        def failed(reason: str) -> None:
            loop.call_soon_threadsafe(self._on_fetch_failed, reason)

        self.fetchers = {
            name: Fetcher(
                self.line.settings, lane.mailbox, arrived, deleted, failed,
                name=f"fetch {name}", restarted=self.line.metrics.thread_restarted,
                committed=lane.hop.from_own_hop and self.line.transactional,
            )
            for name, lane in self.line.lanes.items()
        }  # fmt: skip
        self._fetch_failures = 0
        self.line.fetch_failure = lambda: "; ".join(
            f"{name}: {fetcher.thread.failure}" for name, fetcher in self.fetchers.items() if fetcher.thread.failure
        )

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # --- offsets are the hops' own

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Nothing: see the module."""
        return False

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Nothing: see the module."""
        return False

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        return None

    def _new_offset(self, tp: TP) -> int | None:
        return None

    async def verify_all_partitions_active(self) -> None:
        """Nothing: the watchdog looks at offsets."""

    # --- records into mailboxes

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Wait for records; yield a signal for every hop that has something waiting."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type]
        await self._poll()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), min(timeout, 0.2))
        self._arrived.clear()
        if self.should_stop or not self.line.ready:
            return
        for name, lane in self.line.lanes.items():
            if not lane.asked and self.line.waits(name):
                lane.asked = True
                yield self._signal(name)

    async def _poll(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._polled + POLL_S:
            self._polled = now
            await self._getmany(active_partitions=self.assignment(), timeout=0.0)

    def _signal(self, name: str) -> tuple[TP, ConsumerMessage]:
        """A message that says "look into the mailbox"; it carries no record."""
        topic = self.line.lanes[name].hop.sources[0]
        tp = next(tp for tp in self.assignment() if tp.topic == topic)
        self._signals += 1
        message = ConsumerMessage(
            topic, tp.partition, self._signals, 0.0, 0, None, None, name.encode(), None, 0, 0, tp,
            generation_id=self.app.consumer_generation_id,
        )  # fmt: skip
        return tp, message

    # --- rebalance and recovery

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let a commit in flight end, then forget the rows: whoever comes next recovers them. The group waits for this: what
        has not ended within a stated budget is given up, and ends by itself later, changing nothing."""
        loop = asyncio.get_running_loop()
        budget_s = self.line.settings.revoke_budget_ms / 1000
        until = loop.time() + budget_s
        await self.line.pause(budget_s)
        # a commit that failed just now has begun one
        await self._stop_recovery()
        released = loop.run_in_executor(None, self._release)
        await asyncio.wait({released}, timeout=max(until - loop.time(), LEAST_RELEASE_S))
        if released.done():
            await released
        else:
            logger.warning(
                "rows are not released within the %.1f s that a rebalance waits: the group goes on, what runs is forgotten "
                "when it ends", budget_s,
            )  # fmt: skip
            released.add_done_callback(_tell_late)
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        """Start to recover what was assigned; :meth:`getmany` waits until the line is ready."""
        await self._stop_recovery()
        self._recovery = asyncio.get_running_loop().create_task(self._recover())

    def _on_lost(self, reason: str) -> None:
        """A transaction failed: recover in place, unless a rebalance does so anyway."""
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.get_running_loop().create_task(self._recover())

    def _on_deleted(self, place: Place) -> None:
        """Records were deleted before they were read: a recovery says what that means."""
        logger.error("%s[%d]: the next records to read were deleted", place.topic, place.partition)
        self.line.ready = False
        self._on_lost("records were deleted before they were read")

    def _on_fetch_failed(self, reason: str) -> None:
        """What a thread had fetched may be lost: fetch again from where the rows stand."""
        self._fetch_failures += 1
        self.line.ready = False
        self._on_lost(f"fetching failed: {reason}")

    async def _recover(self) -> None:
        loop = asyncio.get_running_loop()
        while not self.should_stop:
            failures = self._fetch_failures
            assigned = self.assignment()
            membership = cast(BatchConsumerThread, self._thread).membership
            await self.line.pause()
            try:
                await loop.run_in_executor(None, self._rebuild, {tp.partition for tp in assigned}, membership)
                if failures != self._fetch_failures:
                    continue
                self.line.resume()
                self._arrived.set()
                return
            except (KafkaException, RiskstreamError) as error:
                if self._failed(error):
                    return
            except Exception as error:
                # whatever it was, its task must not end in silence: it is told, counted and tried again
                logger.exception("recovery did not succeed")
                self._failed(error)
            await asyncio.sleep(RETRY_S)

    def _failed(self, error: Exception) -> bool:
        """Tell of an attempt that failed; returns whether no other one can succeed."""
        reason = reason_of(error)
        self.line.recovery_failed(error, reason)
        if reason == "refused":
            logger.critical("recovery is refused, and no other attempt will find it otherwise: %s", error)
            return True
        logger.warning("recovery did not succeed, trying again: %s", error)
        return False

    def _rebuild(self, partitions: set[int], membership: Membership) -> None:
        """Recover the rows, and fetch from where they stand; what was fetched before is forgotten.

        Cancelling who awaits this does not end it: only the last of several that overlap fetches.
        """
        with self._rebuilding:
            self._rebuilds += 1
            own = self._rebuilds
            for fetcher in self.fetchers.values():
                fetcher.stop()
        offsets = self.line.recover(partitions, membership)
        with self._rebuilding:
            if own != self._rebuilds:
                raise Superseded("a recovery was abandoned: another one has begun")
            self._fetch_from(partitions, offsets)

    def _fetch_from(self, partitions: set[int], offsets: Mapping[Place, int]) -> None:
        if self.line.standbys is not None:
            self.line.standbys.keep(LineAssignor.standby - set(partitions))
        for name, fetcher in self.fetchers.items():
            lane = self.line.lanes[name]
            fetcher.start({place: at for place, at in offsets.items() if self.line.lane_of(place.topic) is lane})

    def _release(self) -> None:
        with self._rebuilding:
            self._rebuilds += 1
            own = self._rebuilds
            for fetcher in self.fetchers.values():
                fetcher.stop()
        self.line.release(lambda: own == self._rebuilds)

    async def on_stop(self) -> None:
        """End the fetching threads."""
        await super().on_stop()
        for fetcher in self.fetchers.values():
            await asyncio.get_running_loop().run_in_executor(None, fetcher.close)

    async def _stop_recovery(self) -> None:
        task, self._recovery = self._recovery, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _tell_late(released: asyncio.Future[None]) -> None:
    if not released.cancelled() and released.exception() is not None:
        logger.error("rows were released late, and that failed: %s", released.exception())


class BatchTransport(KafkaTransport):
    """Faust's Kafka transport with the consumer above."""

    Consumer: ClassVar[type[LineConsumer]] = LineConsumer


def line_of(app: Any) -> Line:
    """The line that an app feeds (``app.py`` puts it there)."""
    line = app.line
    assert isinstance(line, Line)
    return line
