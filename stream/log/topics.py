"""The one table of topics: what each holds, how it is keyed, kept and partitioned; and how they come to exist."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, Literal

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import TopicMetadata
from confluent_kafka.cimpl import NewTopic

from stream.errors import BrokerNotReachable, RiskstreamError
from stream.log.connect import REACH_TIMEOUT_S, RECORD_OVERHEAD_BYTES, admin
from stream.log.credentials import uses_sasl
from stream.log.patience import patiently
from stream.settings import Settings

CREATE_TIMEOUT_S = 30.0
_NOT_ALLOWED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
_AGREE = 3
"""So many topics that agree against one are those that were not changed."""
_WORD = 0xFFFF_FFFF_FFFF_FFFF

Cleanup = Literal["delete", "compact"]
Partitioning = Literal["line", "own", "single"]
Stamp = Literal["broker", "either"]
STAMPED_BY_BROKER = "LogAppendTime"
CLOCK_RETENTION_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the line.

    Parameters
    ----------
    name
        As in the contract, without the installation's prefix.
    key
        What a record's key is, in words.
    holds
        What its records are, in words.
    cleanup
        Kafka's ``cleanup.policy``.
    partitioning
        ``line``: as many partitions as ``bank.transactions.v1``, because a worker owns partition p of all of them;
        ``own``: created with the same count, free to differ; ``single``: one partition.
    internal
        True where the format is riskstream's own and may change with a version.
    stamp
        Who must stamp its records: ``broker`` where times are judged by the stamp (``message.timestamp.type``).
    own_numbers
        True where the bank's own numbers stand: rights of its own, and a short retention.
    """

    name: str
    key: str
    holds: str
    cleanup: Cleanup
    partitioning: Partitioning
    internal: bool = False
    stamp: Stamp = "either"
    own_numbers: bool = False


CLOCK = "riskstream-clock"
_CUSTOMER = "customer_id, else account_id"

TOPICS: tuple[Topic, ...] = (
    Topic("bank.transactions.v1", _CUSTOMER, "transactions, written by core banking", "delete", "line", stamp="broker"),
    Topic(
        "bank.feedback.v1",
        _CUSTOMER,
        "verdicts, disputes, complaints, step-up results",
        "delete",
        "line",
        stamp="broker",
    ),
    Topic(
        "risk.profiled.v1", "none (partition by payee_id)", "frames of profiled transactions", "delete", "line", True
    ),
    Topic("risk.decisions.v1", _CUSTOMER, "a decision for every transaction", "delete", "line"),
    Topic("risk.alerts.v1", _CUSTOMER, "what a person must see", "delete", "line"),
    Topic("risk.resolutions.v1", _CUSTOMER, "the end of every held transaction", "delete", "line"),
    Topic("riskstream-escalations", _CUSTOMER, "what was owed and did not come, as alerts", "delete", "line", True),
    Topic("risk.learning.v1", "transaction_id", "features as scored, and labels", "delete", "own"),
    Topic("risk.models.v1", "version + chunk", "model snapshots", "compact", "single", stamp="broker"),
    Topic("risk.policies.v1", "policy version", "policy versions", "compact", "single", stamp="broker"),
    Topic("bank.transactions.v1.dlq", "as the input", "transactions that could not be read", "delete", "own"),
    Topic("bank.feedback.v1.dlq", "as the input", "feedback that could not be read", "delete", "own"),
    Topic("risk.profiled.v1.dlq", "none", "frames that could not be read", "delete", "own", True),
    Topic("riskstream-obligations", _CUSTOMER, "what is owed for payments that proceeded", "delete", "line", True),
    Topic("riskstream-challenges", _CUSTOMER, "what waits for its customer's answer", "delete", "line", True),
    Topic("riskstream-accounts-rows", "account", "account rows, and markers of their offsets", "compact", "line", True),
    Topic("riskstream-accounts-batches", "none", "which offsets of which input a batch took", "delete", "line", True),
    Topic("riskstream-payees-rows", "payee", "payee rows, and markers of their offsets", "compact", "line", True),
    Topic(
        CLOCK, "worker", "records whose stamps tell workers the broker's time", "delete", "single", True, stamp="broker"
    ),
    Topic("riskstream-payees-skipped", "none", "what of which frame was left out", "delete", "line", True),
    Topic("riskstream-dlq-retried", "dead letter", "which dead letters were sent again", "delete", "own", True),
    Topic("riskstream-holds-rows", "transaction_id", "holds that have not ended", "compact", "line", True),
)
"""All topics that the line reads or writes."""

GATEWAY_ROWS = "riskstream-gateway-rows"
GATEWAY_TOPICS: tuple[Topic, ...] = (
    Topic(
        "bank.iso20022.v1", "as the sender likes", "ISO 20022 messages to the line", "delete", "own", own_numbers=True
    ),
    Topic("bank.iso20022.v1.dlq", "as the input", "messages that could not be read", "delete", "own", own_numbers=True),
    Topic("risk.iso20022.v1", _CUSTOMER, "ISO 20022 messages from the line", "delete", "own"),
    Topic(
        GATEWAY_ROWS,
        "transaction_id",
        "payments that are to be answered, or may be recalled",
        "compact",
        "single",
        True,
    ),
)
"""Topics of the gateway, which makes them; an installation without one has none of them."""

INPUT = "bank.transactions.v1"
"""The topic whose partition count the line follows: it is the bank's own."""


def partition_counts(settings: Settings, line: int | None = None) -> dict[str, int]:
    """Partitions of each topic by its full name, for a line of ``line`` partitions (default: the setting).

    >>> counts = partition_counts(Settings(partitions=3, topic_prefix="t-"))
    >>> counts["t-bank.transactions.v1"], counts["t-risk.models.v1"]
    (3, 1)
    """
    count = line or settings.partitions
    return _counts(TOPICS, settings, count)


def _counts(topics: Collection[Topic], settings: Settings, line: int) -> dict[str, int]:
    return {settings.topic(topic.name): 1 if topic.partitioning == "single" else line for topic in topics}


def configuration(topic: Topic, settings: Settings) -> dict[str, str]:
    """Kafka's topic settings for one topic of the table.

    >>> policies = next(topic for topic in TOPICS if topic.name == "risk.policies.v1")
    >>> configuration(policies, Settings())["cleanup.policy"]
    'compact'
    """
    config = {
        "cleanup.policy": topic.cleanup,
        "max.message.bytes": str(settings.max_message_bytes + RECORD_OVERHEAD_BYTES),
        # With three replicas or more an acknowledged record is on two disks at least.
        "min.insync.replicas": "2" if settings.replication_factor >= 3 else "1",
        # whoever writes, the broker says when: no sender dates a record, and a worker whose clock is wrong can still write
        "message.timestamp.type": STAMPED_BY_BROKER,
    }
    if topic.name == CLOCK:
        config |= {"retention.ms": str(CLOCK_RETENTION_MS), "segment.ms": str(CLOCK_RETENTION_MS)}
    elif topic.cleanup == "delete":
        hours = settings.gateway_retention_hours if topic.own_numbers else settings.retention_hours
        config["retention.ms"] = str(hours * 3_600_000)
    else:
        config["segment.ms"] = str(3_600_000)  # only closed segments are compacted: keep recovery short
        config["segment.bytes"] = str(64 * 2**20)
        config["min.cleanable.dirty.ratio"] = "0.3"
    return config


def ensure_topics(settings: Settings, timeout: float = CREATE_TIMEOUT_S) -> int:
    """Create the topics that are missing, check those that are there; return the line's partition count.

    Missing topics follow the partition count of ``bank.transactions.v1`` where the bank has already made it, else
    the setting ``partitions``. Two workers may do this at once.

    Raises
    ------
    BrokerNotReachable
        Nothing answers, or it refuses these credentials.
    RiskstreamError
        Partition counts of existing topics differ, or the broker refuses to create one; says what to do.
    """
    client = admin(settings)
    existing = existing_partitions(client, settings)
    if settings.topic(INPUT) not in existing:
        # First and alone: whoever made it, this worker, another one or the bank, its count is the line's.
        create_topics(
            client, [topic for topic in TOPICS if topic.name == INPUT], settings, settings.partitions, timeout
        )
        existing |= _wait_for(client, settings, {settings.topic(INPUT)}, timeout)
    line = existing[settings.topic(INPUT)]
    _refuse_mismatch(existing, settings, line)
    missing = [topic for topic in TOPICS if settings.topic(topic.name) not in existing]
    if missing:
        create_topics(client, missing, settings, line, timeout)
        existing = _wait_for(client, settings, set(partition_counts(settings)), timeout)
        _refuse_mismatch(existing, settings, line)
    return line


def ensure_gateway_topics(settings: Settings, timeout: float = CREATE_TIMEOUT_S) -> dict[str, int]:
    """The line's topics and the gateway's, created where they are missing; partitions of the gateway's, by full name.

    Raises
    ------
    BrokerNotReachable, RiskstreamError
        As :func:`ensure_topics`.
    """
    line = ensure_topics(settings, timeout)
    client = admin(settings)
    wanted = {settings.topic(topic.name): topic for topic in GATEWAY_TOPICS}
    there = _metadata(client, settings, REACH_TIMEOUT_S)
    missing = [topic for name, topic in wanted.items() if name not in there]
    if missing:
        create_topics(client, missing, settings, line, timeout)
    counts = _wait_for(client, settings, set(wanted), timeout)
    rows = settings.topic(GATEWAY_ROWS)
    if counts[rows] != 1:
        raise RiskstreamError(
            f"{rows} has {counts[rows]} partitions, expected 1: whoever has it is the gateway that works. Stop the "
            "gateways, delete it (payments that are not answered yet are forgotten) and start one again"
        )
    return counts


def _refuse_mismatch(existing: Mapping[str, int], settings: Settings, line: int) -> None:
    problem = mismatch(existing, settings, line)
    if problem:
        raise RiskstreamError(problem)


def existing_partitions(client: AdminClient, settings: Settings, timeout: float = REACH_TIMEOUT_S) -> dict[str, int]:
    """Full name and partition count of the table's topics that the broker has.

    Raises
    ------
    BrokerNotReachable
        It does not answer any more.
    """
    return {name: len(topic.partitions) for name, topic in _existing(client, settings, timeout).items()}


def fewest_copies(client: AdminClient, settings: Settings, timeout: float = REACH_TIMEOUT_S) -> dict[str, int]:
    """Full name of the table's topics that the broker has, and the replicas of the partition that has the fewest.

    Raises
    ------
    BrokerNotReachable
        It does not answer any more.
    """
    return {
        name: min(len(partition.replicas) for partition in topic.partitions.values())
        for name, topic in _existing(client, settings, timeout).items()
        if topic.partitions
    }


def _existing(client: AdminClient, settings: Settings, timeout: float) -> dict[str, TopicMetadata]:
    """The table's topics that the broker has, by full name."""
    names = set(partition_counts(settings))
    topics = _metadata(client, settings, timeout)
    return {name: topic for name, topic in topics.items() if name in names and topic.error is None}


def topic_ids(client: AdminClient, names: Collection[str], timeout: float = REACH_TIMEOUT_S) -> dict[str, str]:
    """The id that the broker gave each topic when it was made, by its full name; topics that it does not have are left
    out. A topic that is deleted and made anew under the same name has another one.

    Raises
    ------
    BrokerNotReachable
        It does not answer.
    """

    def ask() -> dict[str, str]:
        found = {}
        asked = client.describe_topics(TopicCollection(sorted(names)), request_timeout=timeout)
        for name, answer in asked.items():
            try:
                found[name] = hexadecimal(answer.result(2 * timeout).topic_id)
            except KafkaException as error:
                if error.args[0].code() not in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.UNKNOWN_TOPIC_ID):
                    raise
        return found

    try:
        return patiently(ask, timeout)
    except KafkaException as error:
        raise BrokerNotReachable(f"the ids of topics could not be asked: {error.args[0].str()}") from error


def hexadecimal(topic_id: Any) -> str:
    """A topic's id (confluent-kafka's ``Uuid``) in 32 digits."""
    most, least = topic_id.get_most_significant_bits(), topic_id.get_least_significant_bits()
    return f"{most & _WORD:016x}{least & _WORD:016x}"


def _metadata(client: AdminClient, settings: Settings, timeout: float) -> dict[str, TopicMetadata]:
    try:
        return patiently(lambda: client.list_topics(timeout=timeout), timeout).topics
    except KafkaException as error:
        raise BrokerNotReachable(f"Kafka at {settings.broker} answers no more: {error.args[0].str()}") from error


def mismatch(existing: Mapping[str, int], settings: Settings, line: int) -> str:
    """What is wrong with the partition counts of existing topics, and what to do; empty when nothing is.

    >>> mismatch({"bank.transactions.v1": 4, "bank.feedback.v1": 4}, Settings(), 4)
    ''
    """
    expected = partition_counts(settings, line)
    strict = {settings.topic(topic.name) for topic in TOPICS if topic.partitioning != "own"}
    wrong = [
        f"{name} has {existing[name]} partition{'s' if existing[name] != 1 else ''}, expected {count}"
        for name, count in expected.items()
        if name in strict and name in existing and existing[name] != count
    ]
    if not wrong:
        return ""
    line_topics = {settings.topic(t.name) for t in TOPICS if t.partitioning == "line" and t.name != INPUT}
    others = [existing[name] for name in line_topics if name in existing]
    if len(others) >= _AGREE and len(set(others)) == 1 and others[0] != line:
        name = settings.topic(INPUT)
        return (
            f"topics do not fit together: {name} has {line} partitions, all others of the line {others[0]}: it was changed, or deleted and made "
            "anew. What rows and offsets say is of the topic it was. Stop the workers, then begin anew beside it with "
            f"another RISKSTREAM_TOPIC_PREFIX, or, where nothing was sent to it yet, make {name} with {others[0]} partitions"
        )
    return (
        f"topics do not fit together: {'; '.join(wrong)}. A worker owns the same partition of all of them, as many as "
        f"{settings.topic(INPUT)} has. Stop the workers, then delete and recreate the topics named here with the "
        "expected count (what they hold is lost), or set RISKSTREAM_TOPIC_PREFIX to begin anew beside them"
    )


def create_topics(
    client: AdminClient, topics: list[Topic], settings: Settings, line: int, timeout: float = CREATE_TIMEOUT_S
) -> None:
    """Create topics; one that exists already, because another worker was faster, is fine.

    Raises
    ------
    RiskstreamError
        The broker refuses (rights, replication, policy) or does not answer within ``timeout`` seconds.
    """
    counts = _counts(topics, settings, line)
    new = {
        settings.topic(topic.name): NewTopic(
            settings.topic(topic.name),
            num_partitions=counts[settings.topic(topic.name)],
            replication_factor=settings.replication_factor,
            config=configuration(topic, settings),
        )
        for topic in topics
    }
    results = _asked_to_create(client, list(new.values()), timeout)
    for name, result in results.items():
        asked = chain([result], (_asked_to_create(client, [new[name]], timeout)[name] for _ in count()))
        try:
            patiently(lambda asked=asked: next(asked).result(timeout + 5), timeout)  # type: ignore[misc]
        except KafkaException as error:
            reason: KafkaError = error.args[0]
            if reason.code() in _NOT_ALLOWED:
                raise RiskstreamError(_may_not_create(settings, name, topics)) from error
            if reason.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise RiskstreamError(
                    f"topic {name} could not be created: {reason.str()}; create it by hand, "
                    "or give this user the right to, or mend RISKSTREAM_REPLICATION_FACTOR"
                ) from error


def _asked_to_create(client: AdminClient, new: list[NewTopic], timeout: float) -> dict[str, Future[None]]:
    asked: dict[str, Future[None]] = client.create_topics(new, operation_timeout=timeout, request_timeout=timeout)
    return asked


def _may_not_create(settings: Settings, name: str, topics: list[Topic]) -> str:
    if uses_sasl(settings):
        who = f"user {settings.sasl_username!r}"
    else:
        who = f"the client of certificate {settings.ssl_certificate}" if settings.ssl_certificate else "this client"
    absent = ", ".join(settings.topic(topic.name) for topic in topics)
    return (
        f"topic {name} could not be created: {who} may not create topics, and does not see those it may not describe. "
        f"Have somebody who may create them, or grant Create on them (or on the cluster), and Describe; not there: {absent}"
    )


def _wait_for(client: AdminClient, settings: Settings, wanted: set[str], timeout: float) -> dict[str, int]:
    # A new topic is usable only when every partition has a leader in the broker's own metadata.
    deadline = time.monotonic() + timeout
    while True:
        topics = _metadata(client, settings, REACH_TIMEOUT_S)
        ready = {
            name: len(topic.partitions)
            for name, topic in topics.items()
            if name in wanted and topic.error is None and all(p.leader >= 0 for p in topic.partitions.values())
        }
        if len(ready) == len(wanted):
            return ready
        if time.monotonic() > deadline:
            absent = ", ".join(sorted(wanted - ready.keys()))
            raise RiskstreamError(f"topics without a leader after {timeout:.0f} s: {absent}; look at the brokers' logs")
        time.sleep(0.05)
