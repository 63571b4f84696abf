"""The log a worker lives on: Kafka with transactions, or the embedded broker without."""

from __future__ import annotations

from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from stream.log.credentials import librdkafka
from stream.log.patience import patiently
from stream.log.reader import KafkaReader, ReadFailed
from stream.log.records import Publisher
from stream.log.topics import hexadecimal
from stream.log.transaction_durations import TransactionDurations
from stream.log.transactions import Membership, PlainPublisher, TransactionalPublisher, fence
from stream.settings import Settings

IDENTITY_TIMEOUT_S = 10.0


class KafkaLog:
    """A real Kafka; see :class:`stream.worker.ownership.recovery.LineLog`."""

    transactional = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: AdminClient | None = None
        self._cluster = ""
        self.durations = TransactionDurations()
        """Of this worker's transactions."""

    def reader(self) -> KafkaReader:
        """A reader that fails when a recovery gets nothing for as long as the settings say."""
        return KafkaReader(self._settings, self._settings.recovery_timeout_s)

    def identity(self, topic: str) -> str:
        """The ids of a topic and its cluster: names come again when a topic is made anew.

        Raises
        ------
        ReadFailed
            The broker does not say.
        """
        if self._admin is None:
            self._admin = AdminClient({**librdkafka(self._settings), "client.id": "riskstream", "log_level": 0})
        admin, limit = self._admin, IDENTITY_TIMEOUT_S

        def ask() -> Any:
            asked = admin.describe_topics(TopicCollection([topic]), request_timeout=limit)
            if not self._cluster:
                self._cluster = str(admin.describe_cluster(request_timeout=limit).result(2 * limit).cluster_id)
            return asked[topic].result(2 * limit).topic_id

        try:
            found = patiently(ask, self._settings.broker_budget_s)
        except KafkaException as error:
            raise ReadFailed(f"the id of topic {topic}: {error.args[0].str()}") from error
        return f"{self._cluster}/{hexadecimal(found)}"

    def publisher(self, transactional_id: str, membership: Membership) -> Publisher:
        """A transactional producer that commits as this member of the group."""
        return TransactionalPublisher(self._settings, transactional_id, membership, self.durations)

    def fence(self, transactional_id: str) -> None:
        """Take over the id of a previous owner."""
        fence(self._settings, transactional_id)


class EmbeddedLog(KafkaLog):
    """The embedded broker of the demonstration: no isolation, so no transactions and nobody to fence."""

    transactional = False

    def identity(self, topic: str) -> str:
        """None: its topics are those it was started with."""
        return ""

    def publisher(self, transactional_id: str, membership: Membership) -> Publisher:
        """A producer that waits for its acknowledgements."""
        return PlainPublisher(self._settings)
