"""Which model and which policy are in force: read from their topics at the start, followed while the worker runs.

A batch is decided by the decider it asks for at its beginning; a new one takes over at the next batch. Nothing here
touches rows, so versions may change at any time without changing what recovery rebuilds. A record that is neither model
nor policy is set aside (``set_aside.py``) and changes nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator

from confluent_kafka import Consumer, KafkaError, TopicPartition

from detectors.ensemble import Snapshot
from rules.exchange_rates import Currencies
from rules.policy import Policy
from stream.core.columns import hash_id
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.features import SCHEMA
from stream.errors import BrokerNotReachable
from stream.log.connect import consumer_config
from stream.log.first_records import FoundingRecord, write_founding
from stream.log.set_aside import SetAside
from stream.log.supervised import SupervisedThread
from stream.settings import Settings
from stream.versions.model_records import CHUNK
from stream.versions.models import ROUNDS, ModelLog, chunks
from stream.versions.policies import PolicyLog, baseline, founding_policy, record_of

logger = logging.getLogger("riskstream.versions")
POLL_S = 0.5
MOST_CAME = 4_096
"""Versions of which the time is known; of those within the hour all."""
FRESH_US = 3_600_000_000
"""A version that came in within so long is set aside where deciding fails with it and not without."""


class Versions:
    """The decider in force, and who keeps it current.

    Parameters
    ----------
    now_us
        The wall clock, µs since the epoch: which policy's time has come.
    aside
        Where records are set aside.
    """

    def __init__(self, settings: Settings, now_us: Callable[[], int], aside: SetAside | None = None) -> None:
        self._settings = settings
        self._now_us = now_us
        self.aside = aside or SetAside(settings.topic_prefix)
        self._models_topic, self._policies_topic = settings.topic("risk.models.v1"), settings.topic("risk.policies.v1")
        self.models = ModelLog(first_snapshot(settings.seed), aside=self.aside, topic=self._models_topic)
        self.policies = PolicyLog(founding_policy(settings.packs), self.aside, self._policies_topic)
        self._decider = self._make(self.models.active, self.policies.in_force(now_us()))
        self._failure = ""
        self._came: dict[str, int] = {}
        """When a version was written, or took effect by what it says: µs."""
        self._aside: dict[str, str] = {}
        """Versions that are set aside, and why."""
        self._set_aside = ""
        """Why, of those that would be in force."""
        self._read: Consumer | None = None
        """The consumer that has read both topics to their ends."""
        self.thread = SupervisedThread("versions", self._run, lambda name: self.on_restart(name))
        self.on_restart: Callable[[str], None] = lambda name: None
        self._trouble = ""
        self.on_change: Callable[[str, str], None] = lambda model, policy: None
        self.on_wanted: Callable[[str, str], None] = lambda model, policy: None
        self._looked = time.monotonic()
        self._behind_since: float | None = None
        self.on_set_aside: Callable[[], None] = lambda: None
        """Called when versions are set aside."""

    @property
    def failure(self) -> str:
        """Why what should be in force is not, empty while it is."""
        return "; ".join(why for why in (self._failure, self._set_aside) if why)

    def decider(self) -> Decider:
        """The decider in force now."""
        return self._decider

    def trusts(self, actor: str) -> bool:
        """Whether the policy in force takes this actor's feedback."""
        return self._decider.policy.trusts(actor)

    @property
    def age_s(self) -> float:
        """Since the topics were last looked at, s: it grows while the thread hangs or is gone."""
        return time.monotonic() - self._looked

    @property
    def behind_s(self) -> float:
        """For how long what should be in force has not been, s."""
        since = self._behind_since
        return 0.0 if since is None else time.monotonic() - since

    def alternatives(self, decider: Decider) -> Iterator[Decider]:
        """What would decide without the versions of this decider that came in within the last hour."""
        now = self._now_us()
        fresh = [
            version for version in (decider.model_version, decider.policy_version)
            if version in self._came and now - self._came[version] < FRESH_US
        ]  # fmt: skip
        fresh.sort(key=lambda version: self._came[version], reverse=True)
        for without in [{version} for version in fresh] + ([set(fresh)] if len(fresh) > 1 else []):
            model, policy = self._wanted({*self._aside, *without})
            if not {model.version, policy.version} & without:
                yield self._make(model, policy)

    def set_aside(self, decider: Decider, instead: Decider, why: str) -> None:
        """Let another decider go on; the versions that it has not are used no more by this process."""
        for what, version, other in (
            ("model", decider.model_version, instead.model_version),
            ("policy", decider.policy_version, instead.policy_version),
        ):
            if version != other:
                self._aside[version] = f"{what} {version} is set aside, {other} goes on: deciding failed with {why}"
                logger.critical("%s; roll it back, or mend and publish it anew", self._aside[version])
                self._set_aside = self._aside[version]
        self._decider = instead
        self.on_set_aside()
        self.on_change(instead.model_version, instead.policy_version)

    def _note(self, version: str, at_us: int) -> None:
        """When a version came; what came long ago is forgotten."""
        self._came[version] = at_us
        if len(self._came) > MOST_CAME:
            self._came = {known: at for known, at in self._came.items() if at > at_us - FRESH_US}

    def _wanted(self, aside: Collection[str]) -> tuple[Snapshot, Policy]:
        """What is to be in force, of what is not set aside."""
        return self.models.active_without(aside), self.policies.in_force(self._now_us(), aside)

    def rates(self) -> Currencies:
        """Rates of the policy in force."""
        return self._decider.compiled.currencies

    def start(self) -> None:
        """Read both topics to their ends, then follow them on a thread.

        Raises
        ------
        BrokerNotReachable
            They do not come to their ends within the time that a recovery may stand still.
        """
        consumer = self._consumer()
        try:
            self._read_to_the_end(consumer)
            self.models.settle()
            self._found()
        except BaseException:
            consumer.close()
            raise
        self._refresh()
        if self._settings.packs and self._decider.policy_version != self.policies.founding.version:
            logger.warning(
                "the packs in %s (%s) are not in force, policy %s is: publish and approve them",
                self._settings.packs, self.policies.founding.version, self._decider.policy_version,
            )  # fmt: skip
        self.on_change(self._decider.model_version, self._decider.policy_version)
        self._read = consumer
        self.thread.start()

    def stop(self) -> None:
        """End the thread."""
        self.thread.stop()

    def _found(self) -> None:
        """Write the first model and policy of an installation, so that what they decided can be computed again after
        an upgrade has brought others. Workers that start at once write the same bytes."""
        records: list[FoundingRecord] = []
        if not self.models.complete:
            records += [(self._models_topic, key, value, [(ROUNDS, b"{}")]) for key, value in chunks(self.models.first)]
        if not self.policies.records and not self.policies.lost:
            records.append((self._policies_topic, *record_of(baseline(self.policies.founding)), None))
        if not records:
            return
        write_founding(self._settings, records)
        for topic, key, value, _ in records:
            self._take(topic, key, value, -1)

    def _run(self, thread: SupervisedThread) -> None:
        # what read to the ends reads on; after a failure nobody knows what was taken, and all is read again
        consumer, self._read = self._read or self._consumer(), None
        try:
            while not thread.stopping.is_set():
                self._follow(consumer)
                self._refresh()
                thread.well()
                self._looked = time.monotonic()
        finally:
            consumer.close()

    def _read_to_the_end(self, consumer: Consumer) -> None:
        waiting = {self._models_topic, self._policies_topic}
        budget = self._settings.recovery_timeout_s
        self._trouble, got_on = "", time.monotonic()
        while waiting:
            read, ended = self._follow(consumer)
            waiting -= ended
            if read or ended:
                got_on = time.monotonic()
            if time.monotonic() - got_on > budget:
                raise BrokerNotReachable(
                    f"{' and '.join(sorted(waiting))}: nothing came for {budget:.0f} s, and their ends are not reached"
                    f"{': ' + self._trouble if self._trouble else ''}; look whether those topics are there and have a "
                    "leader, at this user's right to read them, and at the broker's log"
                )

    def _follow(self, consumer: Consumer) -> tuple[int, set[str]]:
        """Read once; returns how many records came, and which topics are at their ends."""
        read, ended = 0, set[str]()
        for message in consumer.consume(100, POLL_S):
            error = message.error()
            if error is None:
                read += 1
                self._take(
                    message.topic() or "", message.key(), message.value(), message.offset() or 0, message.timestamp()[1]
                )
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.topic() or "")
            else:
                self._trouble = error.str()
                logger.warning("following versions: %s", self._trouble)
        return read, ended

    def _take(self, topic: str, key: bytes | None, value: bytes | None, offset: int, at_ms: int = 0) -> None:
        """Read one record, and note when a version came."""
        if topic == self._models_topic:
            self.models.take(key, value, offset)
            found = CHUNK.fullmatch(key or b"")
            if found is not None and value and not self._is_aside("risk.models.v1", offset):
                self._note((found[1] + (found[2] or b"")).decode(), at_ms * 1000)
            return
        self.policies.take(key, value, offset)
        record = self.policies.records.get((key or b"").decode("ascii", "replace"))
        if record is not None and not self._is_aside("risk.policies.v1", offset):
            self._note(record.version, max(at_ms * 1000, record.valid_from))

    def _is_aside(self, topic: str, offset: int) -> bool:
        return self.aside.holds(topic, 0, offset)

    def _refresh(self) -> None:
        """Let what is in force now decide. A policy or model that cannot is set aside, and the next one asked; where
        that leaves nothing that the topic says, ``failure`` tells."""
        failure = ""
        if self._set_aside:
            newest = self._wanted(())
            self._set_aside = "; ".join(self._aside[v.version] for v in newest if v.version in self._aside)
        while not failure:
            snapshot, policy = self._wanted(self._aside)
            self.on_wanted(snapshot.version, policy.version)
            if (snapshot.version, policy.version) == (self._decider.model_version, self._decider.policy_version):
                break
            failure = self._let_decide(snapshot, policy)
        failure = self._failure = failure or self._lost()
        self._behind_since = (self._behind_since or time.monotonic()) if failure else None

    def _lost(self) -> str:
        """Why nothing that was approved can be read, empty where something can."""
        lost = self.policies.lost
        if not lost or any(record.usable for record in self.policies.records.values()):
            return ""
        return (
            f"of policy {', '.join(lost[:5])} no record can be read any more: `riskstream policy list` says which were "
            f"set aside, `riskstream policy quarantine` that they are known; until then {self._decider.policy_version} "
            "decides"
        )

    def _let_decide(self, snapshot: Snapshot, policy: Policy) -> str:
        """Let these take over, or set aside what is to blame that they cannot; why not, where it is the last resort."""
        try:
            policy.compile(SCHEMA, hash_id)
        except Exception as error:
            logger.exception("policy %s cannot decide", policy.version)
            if policy is self.policies.founding:
                return f"policy {policy.version}, the last to fall back on, cannot be used: {error}"
            self.policies.unusable(policy.version, f"policy {policy.version} cannot decide: {error}")
            return ""
        try:
            self._decider = self._make(snapshot, policy)
        except Exception as error:
            logger.exception("model %s cannot score", snapshot.version)
            if snapshot is self.models.first:
                return f"model {snapshot.version}, the last to fall back on, cannot be used: {error}"
            self.models.unusable(snapshot.version, f"model {snapshot.version} cannot score: {error}")
            return ""
        logger.info("in force: model %s, policy %s", snapshot.version, policy.version)
        self.on_change(snapshot.version, policy.version)
        return ""

    def _make(self, snapshot: Snapshot, policy: Policy) -> Decider:
        decider = Decider(snapshot, policy)
        decider.scorer.warm_up()
        return decider

    def _consumer(self) -> Consumer:
        consumer = Consumer(
            {**consumer_config(self._settings, "versions"), "enable.partition.eof": True, "fetch.wait.max.ms": 100}
        )
        consumer.assign([TopicPartition(name, 0, 0) for name in (self._models_topic, self._policies_topic)])
        return consumer
