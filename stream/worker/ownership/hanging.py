"""Transactions that hang: a worker died in the midst of one, and readers of its outputs wait at it.

The group notices a dead worker when its session has timed out, Kafka ends its transaction when that has: until then no
committed reader gets past it, also not to what the living have decided. So every worker looks at the ends of the outputs.
Where a partition's stable end stands still although there is more behind it, the transactional ids of owners whose offsets
stand still as well are fenced: the broker aborts what they have open. How long they may stand is measured: several times as
long as this worker's own transactions take on the same brokers (``transaction_durations.py``). Fencing a living one by
mistake is safe; it recovers, with the rows that it has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from stream.log.connect import consumer_config
from stream.log.credentials import librdkafka
from stream.log.records import Place, Position, PublishFailed
from stream.log.supervised import SupervisedThread
from stream.log.transaction_durations import hangs_after
from stream.settings import Settings

logger = logging.getLogger("riskstream.hanging")
LOOK_S: Final = 0.5
AGAIN_S: Final = 30.0
"""An id is fenced so often at most."""
REQUEST_TIMEOUT_S: Final = 3.0


@dataclass(slots=True)
class HangingTransactions:
    """Judges what was seen, without a connection.

    Parameters
    ----------
    own
        Whether a transactional id is this worker's.
    after_s
        For how long a transaction may be open now before its owner is taken for dead, s.

    Examples
    --------
    >>> judge = HangingTransactions(own=lambda name: name.startswith("me-"), after_s=lambda: 2.0)
    >>> decisions, inputs = Place("risk.decisions.v1", 0), [Place("bank.transactions.v1", p) for p in (0, 1)]
    >>> dead, me = Position(7, "other-1"), Position(9, "me-1")
    >>> judge.observe(0.0, {decisions: (100, 120)}, dict(zip(inputs, (dead, me))))
    []
    >>> judge.observe(2.5, {decisions: (100, 140)}, dict(zip(inputs, (dead, me))))
    ['other-1']
    >>> judge.observe(5.5, {decisions: (100, 160)}, dict(zip(inputs, (dead, me))))  # not again and again
    []
    """

    own: Callable[[str], bool]
    after_s: Callable[[], float]
    _stuck: dict[Place, tuple[float, int]] = field(default_factory=dict)
    _still: dict[str, tuple[float, dict[Place, int]]] = field(default_factory=dict)
    _fenced: dict[str, float] = field(default_factory=dict)

    def observe(
        self, at: float, ends: Mapping[Place, tuple[int, int]], stands: Mapping[Place, Position]
    ) -> list[str]:  # fmt: skip
        """Ids to fence now.

        Parameters
        ----------
        at
            Monotonic time, s.
        ends
            Of the outputs' partitions the stable end and the end.
        stands
            Where the group stands, and who committed that.
        """
        self._stuck = {
            place: (at, stable) if self._stuck.get(place, (at, -1))[1] != stable else self._stuck[place]
            for place, (stable, end) in ends.items()
            if stable < end
        }
        owners: dict[str, dict[Place, int]] = {}
        for place, position in stands.items():
            owners.setdefault(position.owner, {})[place] = position.offset
        self._still = {
            owner: self._still[owner] if owner in self._still and self._still[owner][1] == offsets else (at, offsets)
            for owner, offsets in owners.items()
            if owner and not self.own(owner)
        }
        self._fenced = {owner: since for owner, since in self._fenced.items() if at - since < AGAIN_S}
        after = self.after_s()
        if not any(at - since >= after for since, _ in self._stuck.values()):
            return []
        hanging = [owner for owner, (since, _) in self._still.items() if at - since >= after]
        chosen = sorted(set(hanging) - self._fenced.keys())
        self._fenced |= dict.fromkeys(chosen, at)
        return chosen


class HangingWatch:
    """Looks, again and again on a thread, and fences.

    Parameters
    ----------
    settings, partitions
        The worker's.
    own
        Whether a transactional id is this worker's.
    fence
        Aborts what an id has open.
    active
        Whether this worker's own hops run: one that recovers fences by itself whom it takes over from, and is in no
        position to judge others.
    clock
        Monotonic time, s.
    longest
        This worker's own longest transaction of late, s; None where it has had none.
    restarted
        Told when the thread failed and is started again.
    """

    def __init__(
        self, settings: Settings, partitions: int, own: Callable[[str], bool], fence: Callable[[str], None],
        active: Callable[[], bool], clock: Callable[[], float], longest: Callable[[], float | None],
        restarted: Callable[[str], None] = lambda name: None,
    ) -> None:  # fmt: skip
        def places(*topics: str) -> list[TopicPartition]:
            return [TopicPartition(settings.topic(name), number) for name in topics for number in range(partitions)]

        self._settings = settings
        self._own = own
        self._longest = longest
        self._judge = HangingTransactions(own, self._after)
        self._fence = fence
        self._active = active
        self._clock = clock
        self._outputs = places("risk.decisions.v1", "risk.profiled.v1")
        self._inputs = places("bank.transactions.v1", "bank.feedback.v1", "risk.profiled.v1")
        self.thread = SupervisedThread("hanging", self._run, restarted)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def stop(self) -> None:
        """End the thread."""
        self.thread.stop(2 * REQUEST_TIMEOUT_S)

    def _after(self) -> float:
        least, most = self._settings.fence_after_least_ms / 1000, self._settings.fence_after_most_ms / 1000
        return hangs_after(self._longest(), least, most)

    def _run(self, thread: SupervisedThread) -> None:
        quiet: dict[str, Any] = {"log_level": 0}
        admin = AdminClient({**librdkafka(self._settings), "client.id": "riskstream", **quiet})
        # uncommitted: a committed reader waits for the very transactions that are looked for
        group: dict[str, Any] = {**consumer_config(self._settings, self._settings.group), **quiet}
        consumer = Consumer({**group, "isolation.level": "read_uncommitted"})
        try:
            while not thread.stopping.wait(LOOK_S):
                if not self._active():
                    self._judge = HangingTransactions(self._own, self._after)
                    continue
                try:
                    for transactional_id in self._judge.observe(
                        self._clock(), self._ends(admin), self._positions(consumer)
                    ):
                        logger.warning(
                            "readers wait at a transaction of %s for more than %.1f s (own ones take up to %.3f s): fencing it",
                            transactional_id, self._after(), self._longest() or 0.0,
                        )  # fmt: skip
                        self._fence(transactional_id)
                    thread.well()
                except (KafkaException, PublishFailed) as error:
                    # whether the broker is there is the watchdog's question
                    logger.debug("hanging transactions could not be looked for: %s", error)
        finally:
            consumer.close()

    def _ends(self, admin: AdminClient) -> dict[Place, tuple[int, int]]:
        latest: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = dict.fromkeys(self._outputs, latest)
        stable, last = (
            admin.list_offsets(asked, isolation_level=level, request_timeout=REQUEST_TIMEOUT_S)
            for level in (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        )
        return {
            Place(place.topic, place.partition): (
                stable[place].result(2 * REQUEST_TIMEOUT_S).offset,
                last[place].result(2 * REQUEST_TIMEOUT_S).offset,
            )
            for place in self._outputs
        }

    def _positions(self, consumer: Consumer) -> dict[Place, Position]:
        found = consumer.committed(self._inputs, REQUEST_TIMEOUT_S)
        return {
            Place(p.topic, p.partition): Position(p.offset, p.metadata or "")
            for p in found
            if p.offset >= 0 and p.error is None
        }
