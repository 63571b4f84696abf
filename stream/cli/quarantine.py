"""What was set aside on the control topics, listed for a person, and that person's word that it is known."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

from confluent_kafka import Producer

from rules.problem import PackError
from stream.cli.say import say
from stream.core.columns import hash_id
from stream.core.decision.genesis import first_snapshot
from stream.core.features import SCHEMA
from stream.errors import RiskstreamError, UsageError
from stream.log.connect import check_reachable, producer_config
from stream.log.reader import KafkaReader
from stream.log.records import Headers, Place, Record
from stream.log.set_aside import SetAside, SetAsideRecord, known_record, quarantine_record, shown_key
from stream.settings import Settings
from stream.versions.models import ModelLog
from stream.versions.policies import PolicyLog

MODELS, POLICIES = "risk.models.v1", "risk.policies.v1"
INTERNAL = (
    "risk.learning.v1", "risk.alerts.v1", "riskstream-challenges", "riskstream-obligations",
    "riskstream-accounts-batches", "riskstream-accounts-rows", "riskstream-payees-rows", "riskstream-payees-skipped",
    "riskstream-holds-rows",
)  # fmt: skip
"""Topics of which workers alone set records aside, each those of its own partitions."""
ACKNOWLEDGE_S = 30.0


@dataclass
class ControlTopics:
    """Both control topics as they were read, with all that was set aside on them."""

    settings: Settings
    aside: SetAside = field(init=False)
    policies: PolicyLog = field(init=False)
    models: ModelLog = field(init=False)
    before: dict[tuple[str, bytes], Record] = field(default_factory=dict)
    """The last record of each key that was not set aside by itself."""

    def __post_init__(self) -> None:
        """Begin with nothing read."""
        settings = self.settings
        self.aside = SetAside(settings.topic_prefix)
        self.policies = PolicyLog(aside=self.aside, topic=settings.topic(POLICIES))
        self.models = ModelLog(first_snapshot(settings.seed), keep=None, aside=self.aside, topic=settings.topic(MODELS))

    @classmethod
    def read(cls, settings: Settings, *, models: bool = True) -> ControlTopics:
        """Read the topic of policies, and of models unless they are not asked for, to their ends as of now."""
        check_reachable(settings)
        topics = cls(settings)
        reader = KafkaReader(settings)
        try:
            if models:
                for chunk in reader.read(Place(settings.topic(MODELS), 0), 0):
                    for record in chunk:
                        topics.take(MODELS, record)
                topics.models.settle()
            for chunk in reader.read(Place(settings.topic(POLICIES), 0), 0):
                for record in chunk:
                    topics.take(POLICIES, record)
        finally:
            reader.close()
        for policy in list(topics.policies.records.values()):
            if policy.usable:
                topics.compile(policy.version)
        return topics

    def compile(self, version: str) -> None:
        """Set a policy aside that is a record and cannot decide, as a worker does when its time comes."""
        try:
            self.policies.version(version).compile(SCHEMA, hash_id)
        except PackError as error:
            self.policies.unusable(version, f"policy {version} cannot decide: {error}")

    def take(self, topic: str, record: Record) -> None:
        """Read one record."""
        log = self.models if topic == MODELS else self.policies
        log.take(record.key, record.value, record.offset)
        if record.key and not self.aside.holds(topic, 0, record.offset):
            self.before[topic, record.key] = record

    def lines(self, topic: str) -> list[str]:
        """What was set aside on a topic, for a person."""
        return [f"set aside: {refused}" for refused in self._of(topic)]

    def json(self, topic: str) -> list[dict[str, Any]]:
        """The same for a program."""
        return [asdict(refused) for refused in self._of(topic)]

    def _of(self, topic: str) -> list[SetAsideRecord]:
        return [refused for refused in self.aside.listed if refused.topic == topic]

    def quarantine(self, topic: str, partition: int, offset: int, by: str, at: int) -> SetAsideRecord:
        """Write that a record set aside is known, and its key's last good record behind it, or a null value where there
        is none: so that compaction takes the bad one away, and the good one does not go with it.

        Raises
        ------
        RiskstreamError
            Nothing was set aside there.
        """
        found = next((r for r in self._of(topic) if (r.partition, r.offset) == (partition, offset)), None)
        if found is None:
            listed = ", ".join(str(refused.offset) for refused in self._of(topic)) or "none"
            raise RiskstreamError(
                f"{topic}[{partition}]: no record was set aside at offset {offset}; there are: {listed}"
            )
        full = self.settings.topic(topic)
        record = self.record_at(full, partition, offset)
        if record is not None and record.key:
            good = self.before.get((topic, record.key))
            if good is not None and good.offset < offset:
                self.write(full, record.key, good.value, list(good.headers))
            elif good is None and found.reason != "unusable":
                self.write(full, record.key, None, None)
        key, value = quarantine_record(found, by, at)
        self.write(self.settings.topic(POLICIES), key, value, None)
        return found

    def record_at(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record at a place, of a topic by its full name; None where there is none, or none any more."""
        reader = KafkaReader(self.settings)
        try:
            chunks = reader.read(Place(topic, partition), offset, offset + 1)
            return next((record for chunk in chunks for record in chunk if record.offset == offset), None)
        finally:
            reader.close()

    def write(self, topic: str, key: bytes, value: bytes | None, headers: Headers | None) -> None:
        """Write one record and wait until it is acknowledged."""
        failed: list[str] = []
        producer = Producer(producer_config(self.settings))
        producer.produce(
            topic, value, key, partition=0, headers=headers,
            on_delivery=lambda error, _: failed.append(error.str()) if error else None,
        )  # fmt: skip
        if producer.flush(ACKNOWLEDGE_S) or failed:
            raise RiskstreamError(
                f"{topic}: not written: {failed[0] if failed else f'no answer within {ACKNOWLEDGE_S:.0f} s'}"
            )


def quarantine(settings: Settings, topic: str, partition: int, offset: int, by: str, at: int) -> dict[str, Any]:
    """The command: find the record, write the word.

    Raises
    ------
    UsageError
        A topic whose bad records nobody has to speak for.
    RiskstreamError
        Nothing was set aside there, or nothing lies there.
    """
    if topic not in (MODELS, POLICIES, *INTERNAL):
        raise UsageError(f"--topic {topic}: {', '.join((POLICIES, MODELS, *INTERNAL))}")
    if not 0 < len(by.strip()) <= len(by) <= 200 or not by.isprintable():
        raise UsageError("--by: 1 to 200 printable characters")
    place = {"topic": topic, "partition": partition, "offset": offset}
    if topic in INTERNAL:
        return {**place, "sha256": _internal(settings, topic, partition, offset, by, at), "by": by}
    found = ControlTopics.read(settings, models=topic == MODELS).quarantine(topic, partition, offset, by, at)
    say(f"quarantined by {by}: {found}")
    return {**place, "reason": found.reason, "why": found.why, "sha256": found.sha256, "by": by}


def _internal(settings: Settings, topic: str, partition: int, offset: int, by: str, at: int) -> str:
    """Say that a record is known which workers alone judge: those that set it aside take it off their alarms. Nothing is
    written on its own topic, where workers alone write. Returns the digest of its value."""
    check_reachable(settings)
    topics = ControlTopics(settings)
    record = topics.record_at(settings.topic(topic), partition, offset)
    if record is None:
        raise RiskstreamError(
            f"{topic}[{partition}]: no record is at offset {offset}; `/ready` of the workers lists, under "
            "`refused_records`, topic, partition and offset of those that were set aside"
        )
    sha256 = hashlib.sha256(record.value or b"").hexdigest()
    topics.write(settings.topic(POLICIES), *known_record((topic, partition, offset), sha256, by, at), None)
    say(
        f"quarantined by {by}: {topic}[{partition}] offset {offset}, key {shown_key(record.key)}: why it was set aside is "
        "on `/ready` of the worker that reads it"
    )
    return sha256
