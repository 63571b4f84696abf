"""How ISO 20022 messages are read: terms from the settings."""

from __future__ import annotations

from typing import Any, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from stream.arrays.hash_key import HOW, read_hash_key
from stream.contracts.transaction import Channel
from stream.errors import UsageError
from stream.iso20022.limits import DocumentLimits
from stream.iso20022.original import REJECT_REASONS, Rail
from stream.iso20022.terms import ReadingTerms
from stream.settings import Settings


def terms_of(settings: Settings) -> ReadingTerms:
    """The terms that settings say.

    Raises
    ------
    UsageError
        There is no key, or no such zone.
    """
    if not settings.hash_key_file:
        raise UsageError(f"account numbers become tokens, which needs a key: {HOW}")
    try:
        zone = ZoneInfo(settings.iso20022_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"RISKSTREAM_ISO20022_ZONE: no time zone {settings.iso20022_zone!r}: {error}") from error
    return ReadingTerms(
        read_hash_key(settings.hash_key_file), cast(Channel, settings.iso20022_channel), zone,
        DocumentLimits(settings.iso20022_max_bytes, settings.iso20022_max_depth),
    )  # fmt: skip


def reject_reasons_of(settings: Settings) -> dict[Rail, str]:
    """The reason of a refusal for each rail; those that the setting does not name keep theirs.

    >>> reject_reasons_of(Settings(iso20022_reject_reasons="cbpr=AG01"))["cbpr"]
    'AG01'
    """
    said: Any = dict(pair.split("=") for pair in settings.iso20022_reject_reasons.split(","))
    return {**REJECT_REASONS, **said}
