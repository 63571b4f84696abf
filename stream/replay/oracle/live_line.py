"""A live line as the oracle reads it: committed records, and the deciders of recorded versions."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.ensemble import Snapshot
from stream.core.account.account_row import DAY_US
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import first_snapshot
from stream.hop_settings import hop_settings
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.log.topics import ensure_topics
from stream.replay.oracle.verify import Recorded, RecordedItem, Verified
from stream.replay.oracle.verify_holds import HoldsRead
from stream.replay.oracle.verify_models import verify_models
from stream.settings import Settings
from stream.versions.model_history import ModelHistory
from stream.versions.models import ModelLog
from stream.versions.policies import PolicyLog


class LiveRecord:
    """Reads what a line recorded; :attr:`recorded` is what ``stream.replay.oracle.verify.verify`` takes.

    Parameters
    ----------
    settings
        The line's own: broker, prefix, maturity and bounds must be those it ran with.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._partitions = ensure_topics(settings)
        reader = KafkaReader(settings)
        self._learning = reader.partitions(settings.topic("risk.learning.v1"))
        first = first_snapshot(settings.seed)
        self._models: dict[str, Snapshot] = {first.version: first}
        log = ModelLog(first, keep=None)
        self.policies = PolicyLog()
        for chunk in reader.read(Place(settings.topic("risk.models.v1"), 0), 0):
            for record in chunk:
                log.take(record.key, record.value, record.offset)
        for chunk in reader.read(Place(settings.topic("risk.policies.v1"), 0), 0):
            for record in chunk:
                self.policies.take(record.key, record.value, record.offset)
        reader.close()
        self._models.update(log.complete)
        self._altered = log.altered
        self._deciders: dict[tuple[str, str], Decider] = {}

    @property
    def recorded(self) -> Recorded:
        """The record, for the oracle."""
        return Recorded(
            read=self._read,
            partitions=self._partitions,
            learning_partitions=self._learning,
            decider=self._decider,
            settings=hop_settings(self._settings, self._partitions),
            future_ms=round(self._settings.future_minutes * 60_000),
            prefix=self._settings.topic_prefix,
            holds_read=self._holds_read,
        )

    def verify_models(self, result: Verified) -> None:
        """Walk the learner's rounds again from the first model, as far as the topic still has them all.

        Records of models and policies that are not what was published are named too.
        """
        for topic, versions in (("risk.models.v1", self._altered), ("risk.policies.v1", self.policies.altered)):
            for version in versions:
                result.differ(f"{topic}/{version}", "a record of it was altered: its digest is another")
        log = ModelLog(first_snapshot(self._settings.seed), keep=None)
        log.complete.update(self._models)
        reader = KafkaReader(self._settings)
        try:
            history = ModelHistory(self._settings, log.founding)
            verify_models(history, reader, round(self._settings.maturity_days * DAY_US), result)
        finally:
            reader.close()

    def _holds_read(self, partition: int) -> HoldsRead:
        topic = self._settings.topic
        names = ("risk.alerts.v1", "riskstream-challenges", "riskstream-obligations", "bank.feedback.v1")
        places = [Place(topic(name), partition) for name in names]
        holders = self._settings.model_copy(update={"group": f"{self._settings.group}-holds"})
        reader = KafkaReader(holders)
        try:
            positions = reader.positions(places)
        finally:
            reader.close()
        return HoldsRead(*(positions[place].offset for place in places))

    def _read(self, topic: str, partition: int) -> Iterator[RecordedItem]:
        reader = KafkaReader(self._settings)
        try:
            for chunk in reader.read(Place(self._settings.topic(topic), partition), 0):
                for record in chunk:
                    yield RecordedItem(record.offset, record.timestamp, record.key, record.value, dict(record.headers))  # type: ignore[arg-type]
        finally:
            reader.close()

    def _decider(self, model: str, policy: str) -> Decider:
        known = self._deciders.get((model, policy))
        if known is None:
            if model not in self._models:
                raise KeyError(f"model {model} is not on the topic of models any more")
            known = Decider(self._models[model], self.policies.version(policy))
            self._deciders[model, policy] = known
        return known
