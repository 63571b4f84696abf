"""What the reading of messages depends on beside the messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from stream.contracts.transaction import Channel
from stream.iso20022.limits import DocumentLimits


@dataclass(frozen=True, slots=True)
class ReadingTerms:
    """Settings of the reading.

    Parameters
    ----------
    key
        Of the tokens that stand for account numbers, at least 16 bytes.
    channel
        What payments say about how the customer acted: messages do not.
    zone
        Of times without an offset; None: UTC.
    limits
        Of a document.
    """

    key: bytes
    channel: Channel = "api"
    zone: ZoneInfo | None = None
    limits: DocumentLimits = field(default_factory=DocumentLimits)
