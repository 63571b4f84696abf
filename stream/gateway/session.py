"""One life of the gateway's consumer: read messages, decisions, resolutions and verdicts; write records and answers.

    bank.iso20022.v1 ──────┐              ┌▶ bank.transactions.v1, bank.feedback.v1
    risk.decisions.v1 ─────┼▶ gateway ─┬──┼▶ risk.iso20022.v1
    risk.resolutions.v1 ───┤           │  └▶ bank.iso20022.v1.dlq
    bank.feedback.v1 ──────┘           └▶ riskstream-gateway-rows (payments that are known)

One process works, the others of the group wait: a return names its payment by an id alone, so whoever reads it must know every
payment. Whoever is given the one partition of the rows is the one that works; it reads all partitions of the inputs. What
it reads, writes and remembers commits in one Kafka transaction with its offsets, under the membership of the group, so that a kill at any
point repeats nothing, and whoever was replaced commits nothing more.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, TopicPartition

from stream.contracts.feedback import read_feedback
from stream.contracts.refusal import Refused
from stream.errors import RiskstreamError
from stream.gateway.batch import DecisionRead, GatewayBatch, Resolved
from stream.gateway.gateway_metrics import GatewayMetrics
from stream.gateway.known_payments import KnownPayments
from stream.iso20022.converter import Conversion, convert
from stream.iso20022.follow_up import ACTOR
from stream.iso20022.terms import ReadingTerms
from stream.log.connect import consumer_config
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.log.topics import GATEWAY_ROWS
from stream.log.transactions import Membership, TransactionalPublisher, fence
from stream.message_terms import reject_reasons_of
from stream.settings import Settings
from stream.versions.recorded_trust import RecordedTrust

logger = logging.getLogger("riskstream.gateway")
BATCH: Final = 500
POLL_S: Final = 0.1
TELL_S: Final = 2.0
LOOK_S: Final = 60.0
MAX_WAITING: Final = 10_000
"""Verdicts that wait for the line to take or refuse them; then feedback is not read on."""


class GatewayFailed(RiskstreamError):
    """The session cannot go on and must begin anew."""


@dataclass(frozen=True, slots=True)
class _Member(Membership):
    """The membership of a librdkafka consumer, as that consumer itself writes it down."""

    written: bytes = b""

    def metadata(self) -> bytes:
        return self.written


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A verdict of fraud about a payment that is known, until the line has taken it."""

    offset: int
    timestamp: int
    transaction_id: str


@dataclass(slots=True)
class _Work:
    """What the process that works has."""

    publisher: TransactionalPublisher
    payments: KnownPayments
    trust: RecordedTrust
    partitions: dict[str, int]
    """Of the inputs, by full name."""
    read: dict[Place, int] = field(default_factory=dict)
    """Next offset to read."""
    committed: dict[Place, int] = field(default_factory=dict)
    ended: dict[Place, bool] = field(default_factory=dict)
    """Whether nothing more was there when it was last read."""
    waiting: dict[int, list[_Verdict]] = field(default_factory=dict)
    paused: bool = False


class GatewaySession:
    """See the module.

    Parameters
    ----------
    settings
        Of the installation; the group is ``<group>-gateway``.
    terms
        How messages are read.
    metrics
        Where to count.
    clock
        Monotonic time, s: when to tell and to look, never what to say.
    """

    def __init__(
        self, settings: Settings, terms: ReadingTerms, metrics: GatewayMetrics, clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self.settings, self.terms, self.metrics, self._clock = settings, terms, metrics, clock
        self._reasons = reject_reasons_of(settings)
        self._own = settings.model_copy(update={"group": f"{settings.group}-gateway"})
        self._rows = settings.topic(GATEWAY_ROWS)
        self._messages = settings.topic("bank.iso20022.v1")
        self._decisions = settings.topic("risk.decisions.v1")
        self._resolutions = settings.topic("risk.resolutions.v1")
        self._feedback = settings.topic("bank.feedback.v1")
        self._inputs = (self._messages, self._decisions, self._resolutions, self._feedback)
        self._decision = msgspec.json.Decoder(DecisionRead)
        self._resolution = msgspec.json.Decoder(Resolved)
        self._told = self._looked = clock()
        self._work: _Work | None = None
        self.joined = False
        """Whether the group has said whether this process works or waits."""
        self._consumer = Consumer(self._configuration())
        self._consumer.subscribe([self._rows], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    @property
    def works(self) -> bool:
        """Whether this process is the one that works."""
        return self._work is not None

    def step(self) -> int:
        """Read once, answer, commit; returns how many records were read."""
        messages = self._consumer.consume(BATCH, POLL_S)
        work = self._work
        if work is None:
            return 0
        batch = GatewayBatch(self.settings.topic_prefix, self._reasons)
        count = 0
        for message in messages:
            if self._is_record(message, work):
                count += 1
                self._take(message, work, batch)
        self._judge(work, batch)
        work.payments.forget()
        self._commit(work, batch)
        self._balance(work)
        self._tell(work)
        return count

    def close(self) -> None:
        """Leave the group; what was not committed is done again by whoever comes next."""
        self._release()
        self._consumer.close()

    # --- reading

    def _is_record(self, message: Any, work: _Work) -> bool:
        error = message.error()
        if error is None:
            place = Place(message.topic(), message.partition())
            if place not in work.read:
                return False
            work.read[place] = message.offset() + 1
            work.ended[place] = False
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            work.ended[Place(message.topic(), message.partition())] = True
        elif error.fatal() or not error.retriable():
            raise GatewayFailed(f"reading {message.topic() or 'the inputs'}: {error.str()}")
        else:
            logger.warning("reading the inputs: %s", error.str())
        return False

    def _take(self, message: Any, work: _Work, batch: GatewayBatch) -> None:
        topic = message.topic()
        if topic == self._messages:
            self._convert(message, work, batch)
        elif topic == self._feedback:
            self._note_verdict(message, work)
            return  # its offset moves when the line has taken it
        else:
            self._follow(message, work, batch)
        batch.offsets[Place(topic, message.partition())] = message.offset() + 1

    def _convert(self, message: Any, work: _Work, batch: GatewayBatch) -> None:
        place = Place(message.topic(), message.partition())
        try:
            conversion = convert(message.value() or b"", self.terms, work.payments)
        except Exception:
            # one message that riskstream fails at must not stop all others
            logger.exception("%s[%d] offset %d could not be converted", *place, message.offset())
            batch.send_to_dlq(
                place, message.offset(), message, Refused("internal", "riskstream itself failed at this message")
            )
            batch.messages["dead"] += 1
            return
        self._sort(conversion, message, place, work, batch)

    def _sort(self, conversion: Conversion, message: Any, place: Place, work: _Work, batch: GatewayBatch) -> None:
        for record in conversion.records:
            topic = "bank.transactions.v1" if record.topic == "transaction" else "bank.feedback.v1"
            batch.converted(topic, record.topic, record.key, record.value, place, message.offset())
            if record.original is not None:
                work.payments.add(record.original, message.timestamp()[1])
        refusal = conversion.refusal
        if refusal is not None:
            batch.send_to_dlq(place, message.offset(), message, refusal)
            logger.warning("%s[%d] offset %d: %s", *place, message.offset(), refusal.message)
        batch.messages["converted" if refusal is None else "dead"] += 1

    def _follow(self, message: Any, work: _Work, batch: GatewayBatch) -> None:
        """A decision or a resolution; those of payments that came another way are passed over."""
        decided = message.topic() == self._decisions
        try:
            said = (self._decision if decided else self._resolution).decode(message.value() or b"")
        except msgspec.MsgspecError as error:
            # it is the line's own: what stands there instead is not answered, and said
            logger.error(
                "%s[%d] offset %d cannot be read: %s", message.topic(), message.partition(), message.offset(), error
            )
            return
        case = work.payments.case(said.transaction_id)
        if case is None or case.original.account_id != said.account_id:
            return
        before = (case.outcome, case.result)
        answers = case.decided(said.outcome) if isinstance(said, DecisionRead) else case.resolved(said.result)
        if before != (case.outcome, case.result):
            work.payments.put(case)
            batch.answer(case, answers, message.timestamp()[1])

    def _note_verdict(self, message: Any, work: _Work) -> None:
        try:
            feedback = read_feedback(message.value())
        except Refused:
            return  # the accounts hop buries it
        # what came as a recall is known to whoever sent it: it is asked back already
        if feedback.verdict != "fraud" or feedback.actor == ACTOR:
            return
        case = work.payments.case(feedback.transaction_id)
        if case is not None and case.original.account_id == feedback.account_id and not case.fraud:
            verdict = _Verdict(message.offset(), message.timestamp()[1], feedback.transaction_id)
            work.waiting.setdefault(message.partition(), []).append(verdict)

    def _judge(self, work: _Work, batch: GatewayBatch) -> None:
        """Verdicts that the line has taken by now count; those that it refused do not."""
        work.trust.poll()
        for number in range(work.partitions[self._feedback]):
            waiting = work.waiting.get(number, [])
            until = work.trust.until(number)
            while waiting and waiting[0].offset < until:
                verdict = waiting.pop(0)
                if not work.trust.left_out(number, verdict.offset) and self._trusted(work, number, verdict.offset):
                    self._recall(verdict, work, batch)
            place = Place(self._feedback, number)
            read = waiting[0].offset if waiting else work.read[place]
            if read > work.committed[place]:
                batch.offsets[place] = read

    def _trusted(self, work: _Work, number: int, offset: int) -> bool:
        trusted = work.trust.trusts(number, offset)
        if trusted is None:
            logger.error("%s[%d] offset %d: whether the line took it is not recorded any more; its payment is not asked "
                         "back", self._feedback, number, offset)  # fmt: skip
        return bool(trusted)

    def _recall(self, verdict: _Verdict, work: _Work, batch: GatewayBatch) -> None:
        case = work.payments.case(verdict.transaction_id)
        if case is None or case.fraud:
            return
        answers = case.called_fraud()
        work.payments.put(case)
        batch.answer(case, answers, verdict.timestamp)

    # --- writing

    def _commit(self, work: _Work, batch: GatewayBatch) -> None:
        changes = work.payments.take_changes()
        if not batch.offsets and not changes:
            return
        batch.send(work.publisher, self._rows, changes)
        work.committed.update(batch.offsets)
        for counter, counted in (
            (self.metrics.messages, batch.messages), (self.metrics.records, batch.records), (self.metrics.answers, batch.answers),
        ):  # fmt: skip
            for label, number in counted.items():
                counter.labels(label).inc(number)
        self.metrics.forgotten.inc(work.payments.forgotten_open)
        work.payments.forgotten_open = 0

    def _balance(self, work: _Work) -> None:
        """Let feedback wait while many verdicts are not taken by the line yet."""
        crowded = sum(map(len, work.waiting.values())) > MAX_WAITING
        if crowded == work.paused:
            return
        places = [TopicPartition(self._feedback, number) for number in range(work.partitions[self._feedback])]
        (self._consumer.pause if crowded else self._consumer.resume)(places)
        work.paused = crowded

    def _tell(self, work: _Work) -> None:
        now = self._clock()
        if now - self._told >= TELL_S:
            self._told = now
            self.metrics.lags({place: self._lag(work, place) for place in work.read})
            self.metrics.payments.set(len(work.payments))
            self.metrics.waiting.set(work.payments.waiting)
            since = work.payments.waiting_since_ms
            self.metrics.waiting_seconds.set(0 if since is None else max(0.0, time.time() - since / 1000))
        if now - self._looked >= LOOK_S:
            self._looked = now
            if self._count_partitions() != work.partitions:
                raise GatewayFailed("an input has more partitions than before: beginning anew, so that all are read")

    def _lag(self, work: _Work, place: Place) -> int:
        waiting = work.waiting.get(place.partition, []) if place.topic == self._feedback else []
        if work.ended.get(place):
            return len(waiting)
        # as of the last fetch; control records count, until the end is read
        high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)[1]
        return max(0, high - work.read[place]) + len(waiting)

    # --- the group

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        """Begin to work where the rows are given, else wait."""
        if not assigned:
            consumer.assign([])
            self._joined(works=False)
            return
        partitions = self._count_partitions()
        places = [Place(topic, number) for topic in self._inputs for number in range(partitions[topic])]
        reader = KafkaReader(self._own, self.settings.recovery_timeout_s)
        publisher: TransactionalPublisher | None = None
        try:
            publisher = self._taken_over(reader, places, consumer)
            offsets = self._offsets(reader, places)
            publisher.begin()
            # under the own name, so that the next one knows whom to fence
            publisher.commit(offsets)
            payments = self._recovered(reader)
            trust = RecordedTrust(self.settings)
            work = _Work(publisher, payments, trust, partitions, dict(offsets), dict(offsets))
            self._work = work
            trust.own({place.partition: at for place, at in offsets.items() if place.topic == self._feedback}, reader)
        except BaseException:
            if publisher is not None and self._work is None:
                publisher.close()
            raise
        finally:
            reader.close()
        consumer.assign([TopicPartition(*place, offset) for place, offset in offsets.items()])
        self._joined(works=True)
        logger.info("this process works: %d payments are known, %d wait", len(payments), payments.waiting)

    def _joined(self, *, works: bool) -> None:
        self.joined = True
        self.metrics.active.set(works)

    def _taken_over(self, reader: KafkaReader, places: list[Place], consumer: Consumer) -> TransactionalPublisher:
        """The own publisher, and the last one's fenced, so that nothing of it is pending in what is read now."""
        previous = sorted({owner for owner in reader.owners(places).values() if owner})
        name = self.settings.instance or f"{socket.gethostname()}-{os.getpid()}"
        transactional_id = f"{self.settings.topic_prefix}{self._own.group}-{name}-{secrets.token_hex(6)}"
        member = _Member(self._own.group, 0, "", written=consumer.consumer_group_metadata())
        publisher = TransactionalPublisher(self.settings, transactional_id, member)
        try:
            for each in previous:
                fence(self.settings, each)
        except BaseException:
            publisher.close()
            raise
        return publisher

    def _offsets(self, reader: KafkaReader, places: list[Place]) -> dict[Place, int]:
        """Where the group stands. One that never stood anywhere knows no payment: of the line's topics it needs nothing old."""
        positions = reader.positions(places)
        first = not any(position.owner for position in positions.values())
        return {
            place: reader.watermarks(place)[1] if first and place.topic != self._messages else position.offset
            for place, position in positions.items()
        }

    def _recovered(self, reader: KafkaReader) -> KnownPayments:
        """The payments of the rows.

        Raises
        ------
        GatewayFailed
            A row cannot be read: whom to answer, and what was answered, would be a guess.
        """
        rows: dict[str, bytes] = {}
        for chunk in reader.read(Place(self._rows, 0), 0):
            for record in chunk:
                key = (record.key or b"").decode("utf-8", "replace")
                if record.value is None:
                    rows.pop(key, None)
                else:
                    rows[key] = record.value
        payments = KnownPayments(self.settings.gateway_payments, self.settings.gateway_days)
        try:
            payments.restore(rows.items())
        except ValueError as error:
            raise GatewayFailed(
                f"{self._rows}: {error}; it was written by another version of riskstream, or by something else"
            ) from error
        return payments

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._release()
        consumer.unassign()

    def _release(self) -> None:
        work, self._work = self._work, None
        self.metrics.active.set(0)
        if work is not None:
            for place in work.read:
                self.metrics.lag.labels(place.topic, str(place.partition)).set(0)
            for gauge in (self.metrics.payments, self.metrics.waiting, self.metrics.waiting_seconds):
                gauge.set(0)
            work.trust.close()
            work.publisher.close()

    def _count_partitions(self) -> dict[str, int]:
        reader = KafkaReader(self._own)
        try:
            return {topic: reader.partitions(topic) for topic in self._inputs}
        finally:
            reader.close()

    def _configuration(self) -> dict[str, Any]:
        configuration: dict[str, Any] = {
            **consumer_config(self.settings, self._own.group),
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            # what was asked for and is gone is said, never passed over
            "auto.offset.reset": "error",
            "error_cb": _say,
        }
        if self.settings.instance:
            configuration["group.instance.id"] = f"{self.settings.instance}-gateway"
        return configuration


def _say(error: KafkaError) -> None:
    logger.warning("gateway: %s", error.str())
