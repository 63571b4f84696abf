"""Which model and which policy are in force: read from their topics at the start, followed while the worker runs.

A batch is decided by the decider it asks for at its beginning; a new one takes over at the next batch. Nothing here
touches rows, so versions may change at any time without changing what recovery rebuilds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator

from confluent_kafka import Consumer, KafkaError, TopicPartition

from detectors.ensemble import Snapshot
from rules.currency import Currencies
from rules.policy import Policy
from stream.brokers.connect import consumer_config
from stream.core.decide import Decider
from stream.core.genesis import first_snapshot
from stream.settings import Settings
from stream.worker.founding import FoundingRecord, write_founding
from stream.worker.models import ROUNDS, ModelLog, chunk_key, chunks
from stream.worker.policies import PolicyLog, baseline, founding_policy, record_of
from stream.worker.supervised import SupervisedThread

logger = logging.getLogger("riskstream.versions")
POLL_S = 0.5
MOST_CAME = 4_096
"""Versions of which the time is known; of those within the hour all."""
FRESH_US = 3_600_000_000
"""A version that came in within so long is set aside where deciding fails with it and not without."""


class Versions:
    """The decider in force, and who keeps it current."""

    def __init__(self, settings: Settings, now_us: Callable[[], int]) -> None:
        self._settings = settings
        self._now_us = now_us
        self.models = ModelLog(first_snapshot(settings.seed))
        self.policies = PolicyLog(founding_policy(settings.packs))
        self._decider = self._make(self.models.active, self.policies.in_force(now_us()))
        self._failure = ""
        self._refused = ("", "")
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
        """Read both topics to their ends, then follow them on a thread."""
        consumer = self._consumer()
        self._follow(consumer, until_end=True)
        self._found()
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
            topic = self._settings.topic("risk.models.v1")
            records += [(topic, key, value, [(ROUNDS, b"{}")]) for key, value in chunks(self.models.first)]
        if not self.policies.records:
            records.append(
                (self._settings.topic("risk.policies.v1"), *record_of(baseline(self.policies.founding)), None)
            )
        if not records:
            return
        write_founding(self._settings, records)
        for topic, key, value, _ in records:
            self._take(topic, key, value)

    def _run(self, thread: SupervisedThread) -> None:
        # what read to the ends reads on; after a failure nobody knows what was taken, and all is read again
        consumer, self._read = self._read or self._consumer(), None
        try:
            while not thread.stopping.is_set():
                self._follow(consumer, until_end=False)
                self._refresh()
                thread.well()
                self._looked = time.monotonic()
        finally:
            consumer.close()

    def _follow(self, consumer: Consumer, *, until_end: bool) -> None:
        ended: set[str] = set()
        while len(ended) < 2 and not self.thread.stopping.is_set():
            messages = consumer.consume(100, POLL_S)
            for message in messages:
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        ended.add(message.topic() or "")
                    else:
                        logger.warning("following versions: %s", error.str())
                    continue
                self._take(message.topic() or "", message.key() or b"", message.value(), message.timestamp()[1])
            if not until_end:
                return

    def _take(self, topic: str, key: bytes, value: bytes | None, at_ms: int = 0) -> None:
        """Read one record; one that is no model or policy is named, logged and passed over."""
        try:
            if topic == self._settings.topic("risk.models.v1"):
                self.models.take(key, value)
                if value and b"/" in key:
                    self._note(chunk_key(key)[0], at_ms * 1000)
            else:
                self.policies.take(key, value)
                record = self.policies.records.get(key.decode())
                if record is not None:
                    self._note(record.version, max(at_ms * 1000, record.valid_from))
        except (ValueError, KeyError, TypeError) as error:
            logger.error("a record on %s is neither model nor policy and is passed over: %s", topic, error)

    def _refresh(self) -> None:
        """Let what is in force now decide; what cannot be used leaves the last decider and is told by ``failure``."""
        try:
            if self._set_aside:
                newest = self._wanted(())
                self._set_aside = "; ".join(self._aside[v.version] for v in newest if v.version in self._aside)
            snapshot, policy = self._wanted(self._aside)
            wanted = snapshot.version, policy.version
            self.on_wanted(*wanted)
            if wanted == self._refused:
                return
            if wanted == (self._decider.model_version, self._decider.policy_version):
                self._usable()
                return
            self._decider = self._make(snapshot, policy)
        except (ValueError, KeyError) as error:
            self._behind_since = self._behind_since or time.monotonic()
            self._failure = f"model and policy that should be in force cannot be used: {error}"
            self._refused = wanted
            logger.error(
                "%s; %s and %s go on", self._failure, self._decider.model_version, self._decider.policy_version
            )
            return
        self._usable()
        logger.info("in force: model %s, policy %s", snapshot.version, policy.version)
        self.on_change(snapshot.version, policy.version)

    def _usable(self) -> None:
        """What should be in force is, be it because what could not be used was taken back."""
        self._failure, self._refused, self._behind_since = "", ("", ""), None

    def _make(self, snapshot: Snapshot, policy: Policy) -> Decider:
        decider = Decider(snapshot, policy)
        decider.scorer.warm_up()
        return decider

    def _consumer(self) -> Consumer:
        consumer = Consumer(
            {**consumer_config(self._settings, "versions"), "enable.partition.eof": True, "fetch.wait.max.ms": 100}
        )
        names = [self._settings.topic("risk.models.v1"), self._settings.topic("risk.policies.v1")]
        consumer.assign([TopicPartition(name, 0, 0) for name in names])
        return consumer
