"""Currencies of a payment: ISO 4217 codes that were in use when it was made (:mod:`rules.iso_4217`)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from rules.iso_4217 import CODES, in_use
from stream.arrays import rfc3339

MINOR_UNIT_DIGITS: dict[str, int] = {code: known.digits for code, known in CODES.items()}
"""Code of each currency, withdrawn ones too, and how many decimal digits its minor unit has; 0 where it has none."""


def is_in_use(code: str, at: datetime) -> bool:
    """Whether a code of :data:`MINOR_UNIT_DIGITS` was in use then.

    >>> from datetime import UTC
    >>> is_in_use("EUR", datetime(2026, 1, 1, tzinfo=UTC)), is_in_use("DEM", datetime(2026, 1, 1, tzinfo=UTC))
    (True, False)
    """
    return in_use(code, rfc3339.microseconds(at))


def _known(code: str, info: ValidationInfo) -> str:
    if code not in CODES:
        raise PydanticCustomError("unknown_currency", "not an ISO 4217 code")
    at = info.data.get("event_time")
    if at is not None and not is_in_use(code, at):
        raise PydanticCustomError("unknown_currency", "an ISO 4217 code that was not in use any more at event_time")
    return code


Currency = Annotated[
    str,
    AfterValidator(_known),
    Field(json_schema_extra={"enum": sorted(MINOR_UNIT_DIGITS)}),
]
"""An ISO 4217 alphabetic code in capital letters, in use at the ``event_time`` of the record, a field before it."""
