"""What one batch of records leads to: collected first, then sent in one transaction."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from stream.contracts.dead_letter import dead_letter
from stream.contracts.offset import Offset
from stream.contracts.refusal import Refused
from stream.iso20022.answers import RECALL, STATUS_REPORT, recall, status_report
from stream.iso20022.case import Answer, Case, Recall
from stream.iso20022.original import Rail
from stream.log.records import Headers, Place, Publisher
from stream.log.transactions import now_header

MESSAGE: Final = "riskstream.message"
"""Header of what is written to ``risk.iso20022.v1``: the message's definition."""
SOURCE: Final = "riskstream.source"
"""Header of what is made of a message: topic/partition/offset of its record."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class DecisionRead(msgspec.Struct):
    """What is read of a decision."""

    transaction_id: str
    account_id: str
    outcome: str


class Resolved(msgspec.Struct):
    """What is read of a resolution."""

    transaction_id: str
    account_id: str
    result: str


@dataclass(slots=True)
class Outgoing:
    """A record to send."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class GatewayBatch:
    """Records to send, and what to count when they are committed.

    Parameters
    ----------
    prefix
        Of topics.
    reasons
        Of refusals, by rail.
    """

    prefix: str
    reasons: dict[Rail, str]
    outgoing: list[Outgoing] = field(default_factory=list)
    offsets: dict[Place, int] = field(default_factory=dict)
    messages: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)

    def converted(self, topic: str, kind: str, key: bytes, value: bytes, source: Place, offset: int) -> None:
        """A record for the line."""
        headers: Headers = [(SOURCE, f"{source.topic}/{source.partition}/{offset}".encode())]
        self.outgoing.append(Outgoing(self.prefix + topic, key, value, headers))
        self.records[kind] += 1

    def send_to_dlq(self, source: Place, offset: int, message: Any, refusal: Refused) -> None:
        """A message that is not converted whole, as it is."""
        place = Offset(topic=source.topic, partition=source.partition, offset=offset)
        headers: Headers = list(dead_letter(place, refusal.reason, refusal.message).headers())
        self.outgoing.append(Outgoing(f"{source.topic}.dlq", message.key(), message.value(), headers))

    def answer(self, case: Case, answers: list[Answer], at_ms: int) -> None:
        """Messages about a payment, as of a Kafka timestamp."""
        at = _EPOCH + timedelta(milliseconds=at_ms)
        for answer in answers:
            if isinstance(answer, Recall):
                value, definition, status = recall(case.original, at), RECALL, "camt.056"
            else:
                value, definition, status = (
                    status_report(case.original, answer, at, self.reasons), STATUS_REPORT, str(answer),
                )  # fmt: skip
            headers: Headers = [(MESSAGE, definition.encode())]
            self.outgoing.append(
                Outgoing(f"{self.prefix}risk.iso20022.v1", case.original.owner.encode(), value, headers)
            )
            self.answers[status] += 1

    def send(self, publisher: Publisher, rows: str, changes: list[tuple[bytes, bytes | None]]) -> None:
        """All of it and the changed rows, in one transaction with the offsets."""
        publisher.begin()
        for record in self.outgoing:
            publisher.send(record.topic, record.value, record.key, headers=[*record.headers, now_header()])
        for key, row in changes:
            publisher.send(rows, row, key, partition=0)
        publisher.commit(self.offsets)
