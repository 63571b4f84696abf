"""Instants: RFC 3339 with any offset in, UTC inside, ``Z`` out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from stream.arrays import rfc3339


def _read(value: Any) -> datetime:
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "not a string")
    try:
        return rfc3339.parse(value)
    except ValueError as error:
        raise PydanticCustomError("bad_time", "{what}", {"what": str(error)}) from None


def _write(value: datetime) -> str:
    return rfc3339.render(rfc3339.microseconds(value))


Instant = Annotated[
    datetime,
    PlainValidator(_read),
    PlainSerializer(_write, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant to the microsecond; the rule is :mod:`stream.arrays.rfc3339`'s."""
