"""Why a record cannot be decided about: the reason of its dead letter."""

from __future__ import annotations

from typing import Literal, get_args

from stream.errors import RiskstreamError

Reason = Literal[
    "too_large",
    "malformed",
    "unsupported",
    "missing",
    "wrong_type",
    "bad_time",
    "unknown_currency",
    "out_of_range",
    "wrong_partition",
    "future",
    "untrusted",
    "id_conflict",
    "internal",
]
REASONS: tuple[Reason, ...] = get_args(Reason)
"""In order of precedence: where a record has several faults, the first of this order is its reason.

too_large: the value is longer than 64 KiB. malformed: not one UTF-8 JSON object. unsupported: a ``type`` that is not
decided about. missing: a required field is absent, null or empty. wrong_type: another JSON type than the field's.
bad_time: a string that is no RFC 3339 time. unknown_currency: a string that is no ISO 4217 code in use at event_time. out_of_range:
the right type outside its pattern, list or limit. wrong_partition: not the partition of its key. future: too far
ahead of its Kafka timestamp. untrusted: the policy does not list the feedback's actor. id_conflict: a transaction id
used again with other content. internal: riskstream itself failed at it; the record may be sound.
"""
PRECEDENCE: dict[str, int] = {reason: place for place, reason in enumerate(REASONS)}


class Refused(RiskstreamError):
    """A record that becomes a dead letter.

    Parameters
    ----------
    reason
        One of :data:`REASONS`.
    message
        What was wrong, for a person: names of fields and rules, never text of the payload.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message
