"""Dead letter: a record that could not be read, kept raw on ``<topic>.dlq``, and why, in its headers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stream.contracts.offset import Offset
from stream.contracts.record import OutputRecord
from stream.contracts.refusal import Reason, Refused

PREFIX = "__connect.errors."
REASON_HEADER = "riskstream.reason"
_CLASS_NAME = f"{Refused.__module__}.{Refused.__qualname__}"


class DeadLetter(OutputRecord):
    """The headers of a dead letter by their names in Kafka; key and value are the input's, byte for byte.

    The ``__connect.errors.`` names are Kafka Connect's (``DeadLetterQueueReporter``), values in UTF-8.
    """

    topic: Annotated[str, Field(alias=f"{PREFIX}topic", min_length=1, description="Where the record was.")]
    partition: Annotated[int, Field(alias=f"{PREFIX}partition", ge=0, description="In decimal digits.")]
    offset: Annotated[int, Field(alias=f"{PREFIX}offset", ge=0, description="In decimal digits.")]
    exception_class_name: Annotated[str, Field(alias=f"{PREFIX}exception.class.name", description="The error's class.")]
    exception_message: Annotated[
        str, Field(alias=f"{PREFIX}exception.message", description="What was wrong; never text of the payload.")
    ]
    reason: Annotated[Reason, Field(alias=REASON_HEADER, description="One word, for counting.")]

    def headers(self) -> list[tuple[str, bytes]]:
        """As Kafka headers, in a fixed order."""
        return [(name, str(value).encode()) for name, value in self.model_dump(by_alias=True).items()]


def dead_letter(source: Offset, reason: Reason, message: str) -> DeadLetter:
    """The dead letter of a refused record.

    >>> letter = dead_letter(Offset(topic="bank.transactions.v1", partition=0, offset=3), "missing", "field x is absent")
    >>> letter.headers()[-1]
    ('riskstream.reason', b'missing')
    """
    return DeadLetter.model_validate(
        {
            f"{PREFIX}topic": source.topic,
            f"{PREFIX}partition": source.partition,
            f"{PREFIX}offset": source.offset,
            f"{PREFIX}exception.class.name": _CLASS_NAME,
            f"{PREFIX}exception.message": message,
            REASON_HEADER: reason,
        }
    )
