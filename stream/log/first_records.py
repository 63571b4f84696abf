"""The first records of an installation: written and acknowledged, or the worker ends and says why."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaError, Message, Producer

from stream.errors import BrokerNotReachable, RiskstreamError
from stream.log.connect import producer_config
from stream.log.records import Headers
from stream.settings import Settings

FOUND_TIMEOUT_S = 30.0
FoundingRecord = tuple[str, bytes, bytes, Headers | None]
"""Topic, key, value, headers."""
_DENIED = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)


def write_founding(settings: Settings, records: Sequence[FoundingRecord]) -> None:
    """Write the first model and policy, and wait until the broker has them.

    Raises
    ------
    BrokerNotReachable
        It does not answer in time.
    RiskstreamError
        It refuses a record: what would be decided could never be computed again.
    """
    refused: dict[str, KafkaError] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            refused.setdefault(message.topic() or "", error)

    producer = Producer(producer_config(settings))
    for topic, key, value, headers in records:
        producer.produce(topic, value, key, headers=headers, on_delivery=delivered)
    left = producer.flush(FOUND_TIMEOUT_S)
    if refused:
        topic, error = min(refused.items())
        remedy = (
            f"give this user Write on {topic}, or let somebody who has it start the first worker"
            if error.code() in _DENIED
            else "mend that, or look at the broker's log"
        )
        raise RiskstreamError(
            f"{topic}: the first records of this installation were refused ({error.str()}), and without them nothing that is "
            f"decided could be computed again: {remedy}; this worker ends"
        )
    if left:
        raise BrokerNotReachable("the first model and policy could not be written; look at the broker's log")
