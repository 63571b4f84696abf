"""The log a worker lives on: Kafka with transactions, or the embedded broker without."""

from __future__ import annotations

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from stream.brokers.credentials import librdkafka
from stream.settings import Settings
from stream.worker.log import Publisher
from stream.worker.reader import KafkaReader, ReadFailed
from stream.worker.transactions import Membership, PlainPublisher, TransactionalPublisher, fence

IDENTITY_TIMEOUT_S = 10.0
_WORD = 0xFFFF_FFFF_FFFF_FFFF


class KafkaLog:
    """A real Kafka; see :class:`stream.worker.recovery.Log`."""

    transactional = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: AdminClient | None = None
        self._cluster = ""

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
        try:
            asked = self._admin.describe_topics(TopicCollection([topic]), request_timeout=IDENTITY_TIMEOUT_S)
            found = asked[topic].result(2 * IDENTITY_TIMEOUT_S).topic_id
            if not self._cluster:
                described = self._admin.describe_cluster(request_timeout=IDENTITY_TIMEOUT_S)
                self._cluster = str(described.result(2 * IDENTITY_TIMEOUT_S).cluster_id)
        except KafkaException as error:
            raise ReadFailed(f"the id of topic {topic}: {error.args[0].str()}") from error
        most, least = found.get_most_significant_bits(), found.get_least_significant_bits()
        return f"{self._cluster}/{most & _WORD:016x}{least & _WORD:016x}"

    def publisher(self, transactional_id: str, membership: Membership) -> Publisher:
        """A transactional producer that commits as this member of the group."""
        return TransactionalPublisher(self._settings, transactional_id, membership)

    def fence(self, transactional_id: str) -> None:
        """Take over the id of a previous owner."""
        fence(self._settings, transactional_id)


class EmbeddedLog(KafkaLog):
    """The embedded broker of the demonstration: no isolation, so no transactions and nobody to fence."""

    transactional = False

    def publisher(self, transactional_id: str, membership: Membership) -> Publisher:
        """A producer that waits for its acknowledgements."""
        return PlainPublisher(self._settings)
