"""A reviewer's verdict on an alert, as a Feedback record."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from confluent_kafka import KafkaError, Producer

from stream.contracts.feedback import Feedback, read_feedback
from stream.desk.alert_topic import FoundAlert
from stream.errors import RiskstreamError, UsageError
from stream.log.connect import producer_config
from stream.log.records import Place
from stream.log.whole_topics import scan
from stream.settings import Settings
from stream.versions.policies import PolicyLog

TOPIC = "bank.feedback.v1"
ACKNOWLEDGE_S = 15.0


class Written(NamedTuple):
    """Where a verdict was written."""

    topic: str
    partition: int
    offset: int


def verdict(alert: Mapping[str, Any], word: str, actor: str, now: datetime) -> Feedback:
    """The Feedback that says ``word`` (genuine, fraud, inconclusive) about an alert's transaction.

    Raises
    ------
    UsageError
        The actor cannot be written (longer than 64 bytes, not printable).
    """
    decision = alert["decision"]
    document = {
        "feedback_id": f"review-{uuid.uuid4().hex}",
        "transaction_id": decision["transaction_id"],
        "account_id": decision["account_id"],
        "customer_id": decision["customer_id"],
        "payee_id": decision["payee_id"],
        "kind": "review",
        "verdict": word,
        "actor": actor,
        "occurred_at": now.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    try:
        # read as the edge will read it, so that a verdict never ends as a dead letter
        return read_feedback(orjson.dumps({name: value for name, value in document.items() if value is not None}))
    except ValueError as error:
        raise UsageError(f"this verdict cannot be written: {error}") from error


def require_trusted(settings: Settings, actor: str) -> None:
    """Raise RiskstreamError where the policy in force does not take feedback of this actor."""
    log = PolicyLog()
    place = Place(settings.topic("risk.policies.v1"), 0)
    scan(settings, {place: 0}, lambda _, message: log.take(message.key(), message.value(), message.offset()))
    policy = log.in_force(time.time_ns() // 1000)
    if not policy.trusts(actor):
        raise RiskstreamError(
            f"policy {policy.version} does not trust actor {actor!r}; it trusts "
            f"{', '.join(sorted(policy.trusted_actors))}: name another with --actor, or add this one to trusted_actors"
        )


def send(settings: Settings, feedback: Feedback, found: FoundAlert) -> Written:
    """Write a verdict under its transaction's key and wait for the broker's acknowledgement.

    Raises
    ------
    RiskstreamError
        It was refused, or not acknowledged within 15 s: then it may or may not have been written.
    """
    outcome: list[tuple[KafkaError | None, Any]] = []
    producer = Producer({**producer_config(settings), "log_level": 0})
    producer.produce(
        settings.topic(TOPIC),
        feedback.model_dump_json(exclude_none=True).encode(),
        found.key if found.key is not None else feedback.owner.encode(),
        on_delivery=lambda error, message: outcome.append((error, message)),
    )
    producer.flush(ACKNOWLEDGE_S)
    if not outcome:
        raise RiskstreamError(f"{settings.topic(TOPIC)}: not acknowledged within {ACKNOWLEDGE_S:.0f} s; try again")
    error, message = outcome[0]
    if error is not None:
        raise RiskstreamError(f"{settings.topic(TOPIC)}: the verdict was not written: {error.str()}")
    return Written(message.topic(), message.partition(), message.offset())
