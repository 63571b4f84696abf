"""Dead letters sent to their topics once more, after what was wrong is mended; each of them once.

What is sent and the word that it was (``riskstream-dlq-retried``) are one Kafka transaction, under an id that fences
another run of the same: whatever happens to a run, the next one sends what it had not, and nothing twice. A record that
dies again is a new dead letter with the same bytes, and is known by them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from confluent_kafka import KafkaException, Producer

from stream.contracts.dead_letter import PREFIX, REASON_HEADER
from stream.contracts.feedback import read_feedback
from stream.contracts.refusal import Refused
from stream.contracts.transaction import read_transaction
from stream.core.edge.partition import partition_of
from stream.errors import BrokerNotReachable, RiskstreamError
from stream.log.connect import producer_config
from stream.log.records import Place
from stream.log.whole_topics import partitions_of, scan
from stream.settings import Settings

TRANSACTIONS, FEEDBACK = "bank.transactions.v1", "bank.feedback.v1"
RETRIED: Final = "riskstream-dlq-retried"
PROFILED: Final = "riskstream.profiled"
LOT: Final = 1_000
"""Letters of one Kafka transaction."""
TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter.

    Parameters
    ----------
    place, offset
        Where it lies.
    topic, partition
        Where its record was: the topic's name without prefix.
    reason
        As in its header.
    profiled
        Whether the first hop had taken the record: its account has counted it, and would call it a duplicate.
    """

    place: Place
    offset: int
    topic: str
    partition: int
    reason: str
    key: bytes | None
    value: bytes | None
    profiled: bool

    @property
    def name(self) -> str:
        """What it is known by."""
        return f"{self.place.topic}/{self.place.partition}/{self.offset}"

    @property
    def digest(self) -> str:
        """The same for the same record, sent again and dead again."""
        parts = (self.topic.encode(), self.key or b"", self.value or b"")
        return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()


@dataclass(slots=True)
class Retry:
    """What a run did, or would do.

    Parameters
    ----------
    sent
        Letters by reason.
    before
        Sent by a run before.
    profiled
        Of the second hop: not sent, see :class:`Letter`.
    without_value
        Not sent: their record was not on its topic any more when they were written.
    """

    sent: Counter[str] = field(default_factory=Counter)
    before: int = 0
    profiled: int = 0
    without_value: int = 0

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "retried": self.sent.total(),
            "by_reason": dict(sorted(self.sent.items())),
            "retried_before": self.before,
            "profiled": self.profiled,
            "without_value": self.without_value,
        }


def retry(settings: Settings, reasons: Collection[str], *, limit: int, again: bool, dry_run: bool) -> Retry:
    """Send the dead letters of these reasons to their topics once more.

    Parameters
    ----------
    limit
        Most letters of one run; those that lie there longest come first.
    again
        Send also what was sent before and died again.
    dry_run
        Send nothing.

    Raises
    ------
    BrokerNotReachable
        Nothing answers.
    RiskstreamError
        The line's topics are not there, or a transaction failed: what its message counts was sent, the rest was not.
    """
    topics = [settings.topic(name) for name in (TRANSACTIONS, FEEDBACK)]
    partitions = partitions_of(settings, [*topics, *(f"{name}.dlq" for name in topics), settings.topic(RETRIED)])
    producer = None if dry_run else _producer(settings)  # whoever else was at it can send nothing from here on
    names, digests = _known(settings, partitions)
    result = Retry()
    chosen: list[Letter] = []
    for letter in _letters(settings, partitions, reasons):
        if letter.name in names or (letter.digest in digests and not again):
            result.before += 1
        elif letter.profiled:
            result.profiled += 1
        elif letter.value is None and letter.reason == "internal":
            result.without_value += 1
        elif len(chosen) < limit:
            digests.add(letter.digest)
            chosen.append(letter)
    for lot in (chosen[start : start + LOT] for start in range(0, len(chosen), LOT)):
        if producer is not None:
            _send(settings, producer, lot, partitions, result.sent.total())
        result.sent.update(letter.reason for letter in lot)
    return result


def home(letter: Letter, partitions: int) -> int:
    """The partition that a letter's record belongs into: of its customer, whatever its key says; of its key where the
    record cannot be read.

    >>> letter = Letter(Place("x.dlq", 0), 0, "bank.transactions.v1", 3, "malformed", None, b"{", False)
    >>> home(letter, 4)
    3
    """
    read = read_transaction if letter.topic == TRANSACTIONS else read_feedback
    try:
        owner = read(letter.value).owner.encode()
    except Refused:
        owner = letter.key or b""
    return partition_of(owner, partitions) if owner else letter.partition


def _letters(settings: Settings, partitions: Mapping[str, int], reasons: Collection[str]) -> Iterator[Letter]:
    """Those of these reasons, oldest first within a partition."""
    found: list[Letter] = []

    def take(place: Place, message: Any) -> None:
        headers = dict(message.headers() or ())
        reason = headers.get(REASON_HEADER, b"").decode()
        if reason in reasons:
            topic = headers[f"{PREFIX}topic"].decode().removeprefix(settings.topic_prefix)
            partition = int(headers[f"{PREFIX}partition"])
            found.append(
                Letter(place, message.offset(), topic, partition, reason, message.key(), message.value(), PROFILED in headers)
            )  # fmt: skip

    names = [f"{settings.topic(name)}.dlq" for name in (TRANSACTIONS, FEEDBACK)]
    scan(settings, {Place(name, number): 0 for name in names for number in range(partitions[name])}, take)
    yield from sorted(found, key=lambda letter: (letter.place, letter.offset))


def _known(settings: Settings, partitions: Mapping[str, int]) -> tuple[set[str], set[str]]:
    """Names and digests of what was sent before."""
    names: set[str] = set()
    digests: set[str] = set()

    def take(place: Place, message: Any) -> None:
        names.add((message.key() or b"").decode())
        digests.add(orjson.loads(message.value())["sha256"])

    topic = settings.topic(RETRIED)
    scan(settings, {Place(topic, number): 0 for number in range(partitions[topic])}, take)
    return names, digests


def _producer(settings: Settings) -> Producer:
    producer = Producer(
        {
            **producer_config(settings),
            "transactional.id": f"{settings.topic_prefix}{settings.group}-dlq-retry",
            "log_level": 0,
        }
    )
    try:
        producer.init_transactions(TIMEOUT_S)
    except KafkaException as error:
        raise BrokerNotReachable(
            f"Kafka at {settings.broker}: no transaction can be begun: {error.args[0].str()}"
        ) from error
    return producer


def _send(
    settings: Settings, producer: Producer, lot: Sequence[Letter], partitions: Mapping[str, int], before: int
) -> None:
    try:
        producer.begin_transaction()
        for letter in lot:
            topic = settings.topic(letter.topic)
            producer.produce(topic, letter.value, letter.key, home(letter, partitions[topic]))
            said = {"reason": letter.reason, "topic": letter.topic, "sha256": letter.digest}
            producer.produce(settings.topic(RETRIED), orjson.dumps(said), letter.name)
            producer.poll(0)
        producer.commit_transaction(TIMEOUT_S)
    except (KafkaException, BufferError) as error:
        reason = error.args[0].str() if isinstance(error, KafkaException) else str(error)
        raise RiskstreamError(
            f"{before} dead letters were sent again, the next {len(lot)} were not or nobody knows: {reason}; run it again, "
            "nothing is sent twice"
        ) from error
