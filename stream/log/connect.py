"""How riskstream's plain Kafka clients (confluent-kafka) connect, and a clear word when they cannot."""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

from stream.errors import BrokerNotReachable, UsageError
from stream.log.credentials import Configuration, check, librdkafka
from stream.log.diagnosis import diagnose
from stream.settings import Settings

REACH_TIMEOUT_S = 10.0
RECORD_OVERHEAD_BYTES = 64 * 1024
"""Room for key, headers and batch framing, so that a value of exactly ``max_message_bytes`` is accepted."""


def producer_config(settings: Settings) -> Configuration:
    """Settings of an idempotent producer; records go to the partition that Java's murmur2 gives their key.

    >>> producer_config(Settings())["partitioner"]
    'murmur2_random'
    """
    return {
        **librdkafka(settings),
        "client.id": "riskstream",
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "acks": "all",
        "linger.ms": 5,
        "message.max.bytes": settings.max_message_bytes + RECORD_OVERHEAD_BYTES,
        "queue.buffering.max.kbytes": 256 * 1024,
        # A transaction's first answers are often "still finishing the last one": with the default of 100 ms
        # every commit takes that long.
        "retry.backoff.ms": 1,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 500,
    }


def consumer_config(settings: Settings, group: str) -> Configuration:
    """Settings of a consumer that sees committed records only, from the beginning, and commits by itself never.

    >>> consumer_config(Settings(topic_prefix="t-"), "status")["group.id"]
    't-status'
    """
    return {
        **librdkafka(settings),
        "client.id": "riskstream",
        "group.id": settings.topic_prefix + group,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": settings.session_timeout_ms,
        "heartbeat.interval.ms": max(100, settings.session_timeout_ms // 4),
        "fetch.message.max.bytes": settings.max_message_bytes + RECORD_OVERHEAD_BYTES,
        "queued.max.messages.kbytes": 64 * 1024,
    }


def reader_config(settings: Settings) -> Configuration:
    """Settings of a consumer that is given its partitions and commits nothing: no member of any group.

    librdkafka wants the name of a group all the same; it is not the workers', whose offsets and members are theirs.

    >>> reader_config(Settings(topic_prefix="t-"))["group.id"]
    't-riskstream-readers'
    """
    return consumer_config(settings, f"{settings.group}-readers")


def admin(settings: Settings, timeout: float = REACH_TIMEOUT_S) -> AdminClient:
    """An administration client whose connection has been proven.

    Raises
    ------
    BrokerNotReachable
        See :func:`check_reachable`.
    """
    return _connect(settings, timeout)[0]


def check_reachable(settings: Settings, timeout: float = REACH_TIMEOUT_S) -> ClusterMetadata:
    """Ask the broker for its metadata; at most ``timeout`` seconds.

    Raises
    ------
    BrokerNotReachable
        Nothing answers there, its name does not resolve, TLS fails or the credentials are refused: says which.
    UsageError
        The settings cannot be used at all (a certificate file that is not there, an unknown mechanism).
    """
    return _connect(settings, timeout)[1]


def _connect(settings: Settings, timeout: float) -> tuple[AdminClient, ClusterMetadata]:
    check(settings)
    errors: list[KafkaError] = []
    configuration: dict[str, Any] = {
        **librdkafka(settings),
        "client.id": "riskstream",
        "error_cb": errors.append,
        "log_level": 0,  # what went wrong is said once, by the exception, not by librdkafka on stderr again and again
    }
    try:
        client = AdminClient(configuration)
    except KafkaException as error:
        raise UsageError(
            f"Kafka settings cannot be used: {error.args[0].str()}; see `riskstream config show`"
        ) from error
    deadline = time.monotonic() + timeout
    while True:
        remaining = deadline - time.monotonic()
        try:
            return client, client.list_topics(timeout=max(0.1, min(1.0, remaining)))
        except KafkaException as error:
            client.poll(0)  # serves error_cb: the reasons that a time-out itself does not give
            errors.append(error.args[0])
            # Trying again for the whole time would not change a wrong password, certificate or port.
            reason = diagnose(settings) or _refusal(settings, errors)
            if reason or remaining <= 1.0:
                raise BrokerNotReachable(reason or _silence(settings, errors, timeout)) from error


def _refusal(settings: Settings, errors: list[KafkaError]) -> str:
    """What the broker refuses by librdkafka's own words; empty where it refuses nothing."""
    where = f"Kafka at {settings.broker}"
    for error in errors:
        if error.code() == KafkaError._AUTHENTICATION:
            return (
                f"{where} refused user {settings.sasl_username!r} ({settings.sasl_mechanism}): {error.str()}; "
                "check RISKSTREAM_SASL_USERNAME, RISKSTREAM_SASL_PASSWORD and RISKSTREAM_SASL_MECHANISM"
            )
        if error.code() == KafkaError._SSL or "SSL handshake" in error.str():
            return (
                f"{where}: TLS failed: {error.str()}; check RISKSTREAM_SECURITY_PROTOCOL, RISKSTREAM_SSL_CA "
                "and, for mutual TLS, RISKSTREAM_SSL_CERTIFICATE and RISKSTREAM_SSL_KEY"
            )
    return ""


def _silence(settings: Settings, errors: list[KafkaError], timeout: float) -> str:
    where = f"Kafka at {settings.broker}"
    if any(error.code() == KafkaError._RESOLVE for error in errors):
        return f"{where}: the name does not resolve; check RISKSTREAM_BROKER or --broker"
    hint = "check RISKSTREAM_BROKER or --broker"
    if settings.broker == Settings.model_fields["broker"].default:
        hint = "start one with `riskstream kafka up`, or name yours with --broker HOST:PORT"
    return f"{where} did not answer within {timeout:.0f} s: {errors[0].str()}; {hint}"
