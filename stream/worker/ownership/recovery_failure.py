"""Why a recovery failed, in one of a few words: what a metric can count and an alarm tell apart."""

from __future__ import annotations

from confluent_kafka import KafkaException

from stream.errors import BrokerNotReachable
from stream.log.reader import ReadFailed
from stream.log.records import PublishFailed
from stream.worker.ownership.recovery import FOR_GOOD, Superseded


def reason_of(error: BaseException) -> str:
    """One of :data:`stream.worker.health.health_metrics.RECOVERY_FAILURES`.

    >>> from stream.core.table.row_table import UnknownSchema
    >>> reason_of(UnknownSchema("a stored row has schema version 9"))
    'refused'
    >>> reason_of(PublishFailed("another owner has taken over", fenced=True)), reason_of(KeyError("x"))
    ('superseded', 'other')
    """
    if isinstance(error, FOR_GOOD):
        return "refused"
    if isinstance(error, Superseded) or (isinstance(error, PublishFailed) and error.fenced):
        return "superseded"
    if isinstance(error, PublishFailed | ReadFailed | BrokerNotReachable | KafkaException):
        return "broker"
    return "other"
