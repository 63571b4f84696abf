"""What the gateway counts; no account, payee or payment in a label."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from stream.log.records import Place

ANSWERS: Final = ("ACTC", "PDNG", "RJCT", "camt.056")


class GatewayMetrics:
    """Counters and gauges of one gateway process, in a registry of its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "riskstream_gateway_messages_total", "Records read: converted whole, or dead letters.", ("result",),
            registry=registry,
        )  # fmt: skip
        self.records = Counter(
            "riskstream_gateway_records_total",
            "Transactions and feedback sent to the line.",
            ("kind",),
            registry=registry,
        )
        self.answers = Counter(
            "riskstream_gateway_answers_total", "Messages written, by status.", ("status",), registry=registry
        )
        self.lag = Gauge(
            "riskstream_gateway_lag", "Records that wait to be read.", ("topic", "partition"), registry=registry
        )
        self.active = Gauge(
            "riskstream_gateway_active", "1 for the process that works, 0 for those that wait.", registry=registry
        )
        self.payments = Gauge("riskstream_gateway_payments", "Payments that are known.", registry=registry)
        self.waiting = Gauge("riskstream_gateway_waiting", "Payments whose last status is to come.", registry=registry)
        self.waiting_seconds = Gauge(
            "riskstream_gateway_waiting_seconds", "Since the message of the oldest of them.", registry=registry
        )
        self.failures = Counter(
            "riskstream_gateway_failures_total", "Sessions that failed and were begun anew.", registry=registry
        )
        self.forgotten = Counter(
            "riskstream_gateway_forgotten_total", "Payments forgotten before their last answer.", registry=registry
        )
        for result in ("converted", "dead"):
            self.messages.labels(result)
        for kind in ("transaction", "feedback"):
            self.records.labels(kind)
        for status in ANSWERS:
            self.answers.labels(status)

    def lags(self, lags: dict[Place, int]) -> None:
        """Records that wait, by place."""
        for place, records in lags.items():
            self.lag.labels(place.topic, str(place.partition)).set(records)
