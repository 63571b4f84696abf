"""The log a worker lives on: Kafka with transactions, or the embedded broker without."""

from __future__ import annotations

from stream.settings import Settings
from stream.worker.log import Publisher
from stream.worker.reader import KafkaReader
from stream.worker.transactions import Membership, PlainPublisher, TransactionalPublisher, fence


class KafkaLog:
    """A real Kafka; see :class:`stream.worker.recovery.Log`."""

    transactional = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def reader(self) -> KafkaReader:
        """A reader that fails when a recovery gets nothing for as long as the settings say."""
        return KafkaReader(self._settings, self._settings.recovery_timeout_s)

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
