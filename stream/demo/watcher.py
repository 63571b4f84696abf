"""Reads what the line puts out, all partitions of it, into a scoreboard."""

from __future__ import annotations

import time
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, TopicPartition

from stream.demo.scoreboard import Scoreboard
from stream.errors import RiskstreamError
from stream.log.connect import consumer_config
from stream.log.topics import partition_counts
from stream.settings import Settings

WATCHED = (
    "risk.decisions.v1",
    "risk.alerts.v1",
    "bank.transactions.v1.dlq",
    "bank.feedback.v1.dlq",
    "riskstream-accounts-batches",
    "risk.learning.v1",
    "risk.models.v1",
)
_ROUNDS = "riskstream.rounds"
_FIRST_CHUNK = b"/0/"
_STATE = b"+state/"
_MOST_RECORDS = 2_000
_RETRIABLE = frozenset((KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT))


class Watcher:
    """A committed reader of the line's output, from its beginning."""

    def __init__(self, settings: Settings, board: Scoreboard, partitions: int) -> None:
        self._board = board
        self._prefix = len(settings.topic_prefix)
        self._consumer = Consumer(
            {
                **consumer_config(settings, "demo-watcher"),
                "fetch.wait.max.ms": 10,
                "log_level": 0,  # errors come with the records
                # records dropped by the broker before they were read must not be passed over in silence
                "auto.offset.reset": "error",
            }
        )
        counts = partition_counts(settings, partitions)
        self._topics = {name: counts[name] for name in map(settings.topic, WATCHED)}
        self._consumer.assign(
            [TopicPartition(name, partition, 0) for name, count in self._topics.items() for partition in range(count)]
        )

    def step(self, timeout: float) -> bool:
        """Read what has come, waiting at most ``timeout`` seconds for the first record; whether there was one."""
        message = self._consumer.poll(timeout)
        if message is None:
            return False
        now = time.monotonic()
        self._take(message, now)
        for other in self._consumer.consume(_MOST_RECORDS, 0):
            self._take(other, now)
        return True

    def learning_ends(self) -> dict[int, int]:
        """Offsets at which the learning topic ends now, by partition."""
        topic = next(name for name in self._topics if name.endswith("risk.learning.v1"))
        places = [TopicPartition(topic, partition) for partition in range(self._topics[topic])]
        return {place.partition: self._consumer.get_watermark_offsets(place, timeout=5.0)[1] for place in places}

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _take(self, message: Any, at: float) -> None:
        error = message.error()
        if error is not None:
            if error.code() in _RETRIABLE:
                return
            raise RiskstreamError(f"reading {message.topic()}[{message.partition()}]: {error.str()}")
        topic = message.topic()[self._prefix :]
        if topic == "risk.decisions.v1":
            self._board.take_decision(orjson.loads(message.value()), at)
        elif topic == "risk.alerts.v1":
            self._board.take_alert(orjson.loads(message.value()))
        elif topic == "bank.transactions.v1.dlq":
            self._board.take_dead(_transaction_id(message.value()))
        elif topic == "bank.feedback.v1.dlq":
            self._board.feedback_dead += 1
        elif topic == "risk.learning.v1":
            self._take_label(message)
        elif topic == "risk.models.v1":
            self._take_model(message)
        else:
            self._board.duplicate += int(orjson.loads(message.value()).get("duplicates", 0))

    def _take_label(self, message: Any) -> None:
        value = message.value() or b""
        if value.startswith(b"{"):  # features are packed
            label = orjson.loads(value)
            self._board.stories.take_label(label["transaction_id"], label, message.partition(), message.offset())

    def _take_model(self, message: Any) -> None:
        key, headers = message.key() or b"", dict(message.headers() or ())
        if message.value() is None or _FIRST_CHUNK not in key or _STATE in key or _ROUNDS not in headers:
            return
        ends = {int(partition): end for partition, end in orjson.loads(headers[_ROUNDS]).items()}
        self._board.take_model(key.split(b"/")[0].decode(), ends)


def _transaction_id(value: bytes | None) -> str | None:
    try:
        document = orjson.loads(value or b"")
    except orjson.JSONDecodeError:  # a dead letter may be anything
        return None
    return document.get("transaction_id") if isinstance(document, dict) else None
