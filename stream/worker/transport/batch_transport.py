"""Faust's transport, feeding agents whole batches: one message a hop and poll instead of one a record.

Stock Faust spends 75 to 450 µs of CPU on a record's way through its queues; here it spends them on a batch's way.
What is overridden, and why:

- records come through ``fetcher.py`` into the line's mailboxes; ``getmany`` yields one signal a hop, and Faust's own
  consumer, which is the member of the group, has its partitions paused;
- commits, gaps and livelock checks do nothing: offsets are committed by the hops' own Kafka transactions;
- ``on_partitions_revoked`` and ``perform_seek``, Faust's first and last act of a rebalance, tell the owner of the line's
  partitions (``owner.py``), which recovers the rows and lets the fetchers start where they then stand;
- the group is assigned by partition number (``assignor.py``), and committed records alone are read.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, ClassVar, cast

import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, server_list
from faust.transport.drivers.aiokafka import Consumer as KafkaConsumer
from faust.transport.drivers.aiokafka import Transport as KafkaTransport
from faust.types import TP, ConsumerMessage

from stream.log import credentials
from stream.log.transactions import Membership
from stream.worker.ownership.line import Line
from stream.worker.ownership.line_fetchers import LineFetchers
from stream.worker.ownership.owner import Owner
from stream.worker.transport.assignor import LineAssignor

logger = logging.getLogger("riskstream.transport")
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
        self._read_offset = _NoPositions()
        self._signals = 0
        self._polled = 0.0
        self._arrived = asyncio.Event()
        loop = asyncio.get_event_loop()
        self.fetchers = LineFetchers(
            self.line, lambda: loop.call_soon_threadsafe(self._arrived.set),
            lambda reason: loop.call_soon_threadsafe(self.owner.fetch_lost, reason), self._keep_copies,
        )  # fmt: skip
        self.line.fetch_failure = lambda: self.fetchers.failure
        self.owner = Owner(
            self.line, self.fetchers, ThreadPoolExecutor(thread_name_prefix="ownership"),
            self.line.settings.revoke_budget_ms / 1000, self._arrived.set,
        )  # fmt: skip

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
        """Let a commit in flight end, then forget the rows: whoever comes next recovers them."""
        await self.owner.revoked()
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        """Start to recover what was assigned; :meth:`getmany` waits until the line is ready."""
        membership = cast(BatchConsumerThread, self._thread).membership
        self.owner.assigned({tp.partition for tp in self.assignment()}, membership)

    def _keep_copies(self, partitions: frozenset[int]) -> None:
        if self.line.standbys is not None:
            self.line.standbys.keep(LineAssignor.standby - partitions)

    async def on_stop(self) -> None:
        """End the fetching threads."""
        await super().on_stop()
        self.owner.end()
        await asyncio.get_running_loop().run_in_executor(None, self.fetchers.close)


class BatchTransport(KafkaTransport):
    """Faust's Kafka transport with the consumer above."""

    Consumer: ClassVar[type[LineConsumer]] = LineConsumer


def line_of(app: Any) -> Line:
    """The line that an app feeds (``app.py`` puts it there)."""
    line = app.line
    assert isinstance(line, Line)
    return line
