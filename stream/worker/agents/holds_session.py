"""One life of the holds agent's consumer: read alerts, challenges, obligations and feedback, end what has ended, commit it all at once.

What counts is decided by :mod:`stream.core.hold.holds` from the times in the data. A clock only says when to look for expiries,
and it is the broker's, which stamps feedback (:mod:`stream.worker.health.clock`): a hold ends by expiry when that has passed its
time by ``GRACE_US`` and every feedback record that the partition had then has been read.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from stream.core.edge.decode import decode_feedback
from stream.core.hold.challenges import read_challenge
from stream.core.hold.hold_rows import OWED, ROW_KEY
from stream.core.hold.holds import Ending, Hold, HoldBook, UnknownRow, UnreadableAlert, read_alert, read_verdicts
from stream.core.hold.obligation_records import escalation, read_obligation, read_supplies
from stream.errors import RiskstreamError
from stream.log.connect import consumer_config
from stream.log.credentials import librdkafka
from stream.log.reader import KafkaReader
from stream.log.records import Headers, Place, Publisher, Record
from stream.log.set_aside import SetAside
from stream.log.transactions import Membership, PlainPublisher, TransactionalPublisher, fence, now_header
from stream.settings import Settings
from stream.versions.recorded_trust import RecordedTrust
from stream.worker.agents.holds_metrics import HoldsMetrics
from stream.worker.agents.holds_partition import HoldsPartition, Look
from stream.worker.rows.changelog import RowsRefused

logger = logging.getLogger("riskstream.holds")

GRACE_US: Final = 1_000_000
"""So long after an expiry it is published: a verdict stamped just before it may still be on its way to the broker."""
TELL_US: Final = 1_000_000
FEEDBACK_READ: Final = "riskstream.feedback"
"""Header of a resolution: topic/partition/offset up to which feedback had been read. No earlier record was missed."""
MAX_WAITING: Final = 10_000
"""Feedback of a partition that waits for its trust to be known; then reading it stops."""
BATCH = 500
POLL_S = 0.1
REQUEST_TIMEOUT_S = 10.0


class HoldsFailed(RiskstreamError):
    """The agent cannot go on with what it has and must begin anew."""


@dataclass(frozen=True, slots=True)
class _Member(Membership):
    """The membership of a librdkafka consumer, as that consumer itself writes it down."""

    written: bytes = b""

    def metadata(self) -> bytes:
        return self.written


@dataclass
class HoldsSession:
    """One life of the consumer and its transactions: from joining the group to the first failure or the end.

    Parameters
    ----------
    settings
        Of the worker; the group is ``<group>-holds``.
    trusts
        Whether the policy in force takes an actor's feedback.
    metrics
        Where to count.
    transactional
        False on the embedded broker alone: nothing is recovered there.
    by_record
        Whether feedback is trusted as the accounts hop's batch records say (``recorded_trust.py``); ``trusts`` is then
        asked where that record is not there any more. Without it, ``trusts`` alone is.
    clock_us
        The wall clock, µs since the epoch.
    expiry_us
        The time up to which things may expire, µs since the epoch: what has come for certain by the clock that stamps
        feedback, 0 while that cannot be said. Without it the wall clock is believed.
    aside
        Where records that are none are set aside.
    """

    settings: Settings
    trusts: Callable[[str], bool]
    metrics: HoldsMetrics
    transactional: bool = True
    by_record: bool = False
    clock_us: Callable[[], int] = lambda: time.time_ns() // 1000
    expiry_us: Callable[[], int] | None = None
    owned: dict[int, HoldsPartition] = field(default_factory=dict)
    aside: SetAside = field(default_factory=SetAside)
    left_alone: dict[int, str] = field(default_factory=dict)  # why partitions that were assigned are not taken

    def __post_init__(self) -> None:
        self._alerts = self.settings.topic("risk.alerts.v1")
        self._obligations = self.settings.topic("riskstream-obligations")
        self._challenges = self.settings.topic("riskstream-challenges")
        self._feedback = self.settings.topic("bank.feedback.v1")
        self._inputs = (self._alerts, self._challenges, self._obligations, self._feedback)
        # group members of the same worker must differ, and so must static members
        self._own = self.settings.model_copy(update={"group": f"{self.settings.group}-holds"})
        self._recorded = RecordedTrust(self.settings) if self.by_record and self.transactional else None
        self._publisher: Publisher | None = None
        self._paused: set[int] = set()
        self._told = 0
        self._admin = AdminClient({**librdkafka(self.settings), "client.id": "riskstream"})
        self.joined = False
        """Whether the group has given this member its share, be it an empty one."""
        self._partitions = self._count_partitions()
        self._consumer = Consumer(self._configuration())
        self._consumer.subscribe(
            list(self._inputs), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def step(self) -> int:
        """Read once, end what has ended, commit; returns how many records were read."""
        batch, count = self._sort(self._consumer.consume(BATCH, POLL_S))
        endings: dict[int, list[Ending]] = {}
        before = {number: owned.feedback for number, owned in self.owned.items()}
        if self._recorded is not None:
            self._recorded.poll()
        for number, owned in self.owned.items():
            alerts = batch.get(Place(self._alerts, number), [])
            asked = batch.get(Place(self._challenges, number), [])
            owed = batch.get(Place(self._obligations, number), [])
            endings[number] = self._open(owned.core, read_alert, self._alerts, number, alerts)
            endings[number] += self._open(owned.core, read_challenge, self._challenges, number, asked)
            endings[number] += self._open(owned.owed, read_obligation, self._obligations, number, owed)
            owned.alerts = alerts[-1].offset + 1 if alerts else owned.alerts
            owned.challenges = asked[-1].offset + 1 if asked else owned.challenges
            owned.obligations = owed[-1].offset + 1 if owed else owned.obligations
            endings[number] += self._judge(owned, number, batch.get(Place(self._feedback, number), []))
        self._look_for_expiries()
        for number, owned in self.owned.items():
            if owned.look is not None and owned.judged_until >= owned.look.feedback:
                endings[number] += [*owned.core.expire(owned.look.until), *owned.owed.expire(owned.look.until)]
                owned.look = None
        moved = {place for place, records in batch.items() if records and place.topic != self._feedback}
        moved |= {
            Place(self._feedback, number) for number, owned in self.owned.items() if owned.feedback > before[number]
        }
        self._commit(endings, moved)
        self._balance()
        if self.clock_us() >= self._told + TELL_US:
            self._told = self.clock_us()
            self.metrics.looked(self.owned, self._told)
        return count

    def close(self) -> None:
        """Leave the group; what was not committed is read again by whoever comes next."""
        self._release()
        self._consumer.close()
        if self._recorded is not None:
            self._recorded.close()

    # --- reading

    def _sort(self, messages: Iterable[Any]) -> tuple[dict[Place, list[Record]], int]:
        """Records by place; notes how far each input is read."""
        batch: dict[Place, list[Record]] = {}
        count = 0
        for message in messages:
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                if error.fatal() or not error.retriable():
                    raise HoldsFailed(f"reading {message.topic() or 'alerts and feedback'}: {error.str()}")
                logger.warning("reading alerts and feedback: %s", error.str())
                continue
            owned = self.owned.get(message.partition())
            if owned is None:
                continue
            ended = error is not None
            if message.topic() in (self._alerts, self._challenges):
                owned.reached[message.topic()] = ended
            elif message.topic() == self._feedback:
                owned.feedback_read = max(owned.feedback_read, message.offset() + (not ended))
            if not ended:
                count += 1
                record = Record(message.offset(), message.timestamp()[1], message.key(), message.value())
                batch.setdefault(Place(message.topic(), message.partition()), []).append(record)
        return batch, count

    def _open(
        self,
        holds: HoldBook,
        read: Callable[[bytes | None], Hold | None],
        topic: str,
        number: int,
        records: list[Record],
    ) -> list[Ending]:
        endings = []
        for record in records:
            try:
                hold = read(record.value)
            except UnreadableAlert as error:
                # it must not stop every other hold of its partition
                place = Place(topic, number)
                self.aside.refuse(place, record.offset, record.key, record.value, "malformed", str(error))
                self.metrics.ignored.labels("unreadable").inc()
                continue
            ending = holds.open(hold) if hold is not None else None
            if ending is not None:
                endings.append(ending)
        return endings

    def _judge(self, owned: HoldsPartition, number: int, records: list[Record]) -> list[Ending]:
        """What is refused here is buried by the accounts hop, which reads the same records."""
        records = self._decided(owned, number, records)
        if not records:
            return []
        owned.feedback = records[-1].offset + 1
        if self._recorded is not None:
            records = [record for record in records if not self._recorded.left_out(number, record.offset)]
            if not records:
                return []
        decoded = decode_feedback(
            [record.value for record in records],
            np.array([record.offset for record in records], np.int64),
            np.array([record.timestamp for record in records], np.int64),
            number,
            self._partitions,
            trusted=self.trusts if self._recorded is None else None,
        ).columns
        trusted = decoded[[self._is_trusted(number, row) for row in decoded]]
        return [
            ending
            for holds, verdicts in ((owned.core, read_verdicts(trusted)), (owned.owed, read_supplies(trusted)))
            for verdict in verdicts
            if (ending := holds.judge(verdict)) is not None
        ]

    def _decided(self, owned: HoldsPartition, number: int, records: list[Record]) -> list[Record]:
        """Feedback, in order, whose trust is known by now; the rest waits."""
        if self._recorded is None:
            return records
        owned.waiting += records
        until = self._recorded.until(number)
        count = next(
            (place for place, record in enumerate(owned.waiting) if record.offset >= until), len(owned.waiting)
        )
        ready = owned.waiting[:count]
        del owned.waiting[:count]
        return ready

    def _is_trusted(self, number: int, row: np.void) -> bool:
        if self._recorded is None:
            return True  # decided when it was read
        recorded = self._recorded.trusts(number, int(row["offset"]))
        return self.trusts(row["actor"].decode()) if recorded is None else recorded

    def _look_for_expiries(self) -> None:
        """Where a hold is past its time for certain, note how much feedback must be read before it may end."""
        until = (self.expiry_us or self.clock_us)() - GRACE_US
        due = []
        for number, owned in self.owned.items():
            at = owned.next_expiry
            if owned.look is None and at is not None and at <= until:
                due.append(number)
        if not due:
            return
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(self._feedback, number): latest for number in due}
        # uncommitted: a transaction that is still open may hold a verdict that was stamped in time
        answers = self._admin.list_offsets(
            asked, isolation_level=IsolationLevel.READ_UNCOMMITTED, request_timeout=REQUEST_TIMEOUT_S
        )
        for place, answer in answers.items():
            # the request's own time-out comes first, as a KafkaException
            self.owned[place.partition].look = Look(until, answer.result(2 * REQUEST_TIMEOUT_S).offset)

    def _balance(self) -> None:
        """Let feedback wait while many verdicts have no alert yet and alerts or challenges are still to be read, or many
        no trust."""
        for number, owned in self.owned.items():
            ended = all(owned.reached.get(topic, False) for topic in (self._alerts, self._challenges))
            crowded = owned.core.unmatched * 2 > owned.core.max_unmatched and not ended
            crowded = crowded or len(owned.waiting) > MAX_WAITING
            if crowded == (number in self._paused):
                continue
            place = [TopicPartition(self._feedback, number)]
            if crowded:
                self._consumer.pause(place)
                self._paused.add(number)
            else:
                self._consumer.resume(place)
                self._paused.discard(number)

    # --- writing

    def _commit(self, endings: Mapping[int, list[Ending]], moved: set[Place]) -> None:
        """Resolutions, rows and offsets in one transaction; nothing where there is nothing to say."""
        changes = {
            number: owned.core.take_changes() + [(OWED + key, row) for key, row in owned.owed.take_changes()]
            for number, owned in self.owned.items()
        }
        if not moved and not any(changes.values()):
            return
        publisher = self._publisher
        assert publisher is not None, "partitions are owned with a publisher"
        publisher.begin()
        for number, ended in endings.items():
            for ending in ended:
                self._publish(publisher, number, ending)
        if self.transactional:
            for number, rows in changes.items():
                for key, value in rows:
                    publisher.send(self.settings.topic("riskstream-holds-rows"), value, key, partition=number)
        offsets = {place: self._position(place) for place in sorted(moved)}
        publisher.commit(offsets)
        if not self.transactional and offsets:
            self._consumer.commit(
                offsets=[TopicPartition(p.topic, p.partition, offset) for p, offset in offsets.items()],
                asynchronous=False,
            )
        self.metrics.committed([ending for ended in endings.values() for ending in ended], self.owned)

    def _publish(self, publisher: Publisher, number: int, ending: Ending) -> None:
        read = f"{self._feedback}/{number}/{self.owned[number].judged_until}".encode()
        headers: Headers = [(FEEDBACK_READ, read), now_header()]
        key = ending.hold.customer_id.encode()
        if not ending.hold.escalation:
            publisher.send(self.settings.topic("risk.resolutions.v1"), ending.resolution(), key, headers=headers)
            return
        alert = escalation(ending)
        if alert is not None:
            publisher.send(self.settings.topic("riskstream-escalations"), alert, key, headers=headers)

    def _position(self, place: Place) -> int:
        owned = self.owned[place.partition]
        return {
            self._alerts: owned.alerts,
            self._challenges: owned.challenges,
            self._obligations: owned.obligations,
            self._feedback: owned.feedback,
        }[place.topic]

    # --- the group

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        """Recover what was assigned and go on where the group stands."""
        numbers = sorted({place.partition for place in assigned})
        places = [Place(topic, number) for number in numbers for topic in self._inputs]
        if {Place(place.topic, place.partition) for place in assigned} != set(places):
            raise HoldsFailed(
                f"{', '.join(self._inputs)} were not assigned alike: a hold and its verdicts must meet in one "
                "worker; all members of the group must run the same version of riskstream"
            )
        reader = KafkaReader(self._own, self.settings.recovery_timeout_s)
        try:
            if self.transactional:
                self._take_over(reader, places, consumer)
            else:
                self._publisher = PlainPublisher(self.settings)
            offsets = {place: position.offset for place, position in reader.positions(places).items()}
            if self.transactional:
                self._claim(offsets)
            for number in numbers:
                feedback = offsets[Place(self._feedback, number)]
                try:
                    core, owed = self._recover(reader, number) if self.transactional else (HoldBook(), HoldBook())
                except RowsRefused as error:
                    logger.error("holds of partition %d are left alone: %s", number, error)
                    self.left_alone[number] = str(error)
                    continue
                alerts, challenges, obligations = (offsets[Place(topic, number)] for topic in self._inputs[:-1])
                self.owned[number] = HoldsPartition(
                    core, owed, alerts, challenges, obligations, feedback, feedback_read=feedback
                )
            if self._recorded is not None:
                self._recorded.own({number: owned.feedback for number, owned in self.owned.items()}, reader)
        finally:
            reader.close()
        read = {place: offset for place, offset in offsets.items() if place.partition in self.owned}
        consumer.assign([TopicPartition(p.topic, p.partition, offset) for p, offset in read.items()])
        self.metrics.committed((), self.owned)
        self.joined = True
        logger.info("holds of partitions %s: %d open", numbers, sum(len(owned.core) for owned in self.owned.values()))

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._release()

    def _release(self) -> None:
        self.metrics.lost(self.owned)
        self.owned.clear()
        self.left_alone.clear()
        self._paused.clear()
        if self._recorded is not None:
            self._recorded.release()
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.close()

    def _take_over(self, reader: KafkaReader, places: list[Place], consumer: Consumer) -> None:
        """Fence the previous owners, so that nothing of theirs is pending in the logs that are read now."""
        previous = sorted({owner for owner in reader.owners(places).values() if owner})
        member = _Member(self._own.group, 0, "", written=consumer.consumer_group_metadata())
        self._publisher = TransactionalPublisher(self.settings, self._transactional_id(), member)
        for transactional_id in previous:
            fence(self.settings, transactional_id)

    def _transactional_id(self) -> str:
        """One for each assignment: whoever fences the last owner must never hit one that lives."""
        name = self.settings.instance or f"{socket.gethostname()}-{os.getpid()}"
        return f"{self.settings.topic_prefix}{self._own.group}-{name}-{secrets.token_hex(6)}"

    def _claim(self, offsets: Mapping[Place, int]) -> None:
        """Write the same offsets under the own name, so that the next owner knows whom to fence."""
        assert self._publisher is not None
        self._publisher.begin()
        self._publisher.commit(offsets)

    def _recover(self, reader: KafkaReader, number: int) -> tuple[HoldBook, HoldBook]:
        """Holds and obligations of a partition.

        Raises
        ------
        RowsRefused
            A record that cannot be read stands where a hold may have stood.
        """
        core, owed = HoldBook(), HoldBook()
        place = Place(self.settings.topic("riskstream-holds-rows"), number)
        for chunk in reader.read(place, 0):
            for record in chunk:
                key = record.key or b""
                holds, own = (owed, key[1:]) if key[:1] == OWED else (core, key)
                if not ROW_KEY.fullmatch(own):
                    self.aside.refuse(place, record.offset, key, record.value, "foreign", "no hold has such a key")
                    continue
                try:
                    holds.restore(own, record.value)
                except UnknownRow as error:
                    raise RowsRefused(place, record.offset, str(error)) from error
        return core, owed

    def _count_partitions(self) -> int:
        topics = self._admin.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        counts = {name: len(topics[name].partitions) if name in topics else 0 for name in self._inputs}
        if 0 in counts.values() or len(set(counts.values())) > 1:
            found = ", ".join(f"{name} has {count} partitions" for name, count in counts.items())
            raise HoldsFailed(f"{found}: they must be there and equal in number; `riskstream doctor` says what to do")
        return counts[self._alerts]

    def _configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = {
            **consumer_config(self.settings, self._own.group),
            # equal partition numbers of the topics go to the same member
            "partition.assignment.strategy": "range",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            "error_cb": _say,
        }
        if self.settings.instance:
            configuration["group.instance.id"] = f"{self.settings.instance}-holds"
        return configuration


def _say(error: KafkaError) -> None:
    logger.warning("holds: %s", error.str())
