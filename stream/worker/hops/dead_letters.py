"""Dead letters: Kafka Connect's header names, the raw key and value, never payload text in a header."""

from __future__ import annotations

from stream.log.records import Headers, Place


def dead_letter(place: Place, offset: int, reason: str, message: str) -> Headers:
    """Headers of a record that could not be taken.

    Parameters
    ----------
    place, offset
        Where the record was read.
    reason
        One of CONTRACT's reasons.
    message
        What was wrong, in words that carry nothing of the payload.

    >>> dict(dead_letter(Place("bank.transactions.v1", 2), 17, "malformed", "not JSON"))["riskstream.reason"]
    b'malformed'
    """
    return [
        ("__connect.errors.topic", place.topic.encode()),
        ("__connect.errors.partition", str(place.partition).encode()),
        ("__connect.errors.offset", str(offset).encode()),
        ("__connect.errors.exception.class.name", b"stream.contracts.refusal.Refused"),
        ("__connect.errors.exception.message", message.encode()),
        ("riskstream.reason", reason.encode()),
    ]
