"""What all records share: strict fields, null and "" as absent, and one reason for a refusal."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from stream.contracts.cloud_event import opened
from stream.contracts.json_object import load_object
from stream.contracts.refusal import PRECEDENCE, Reason, Refused


class InputRecord(BaseModel):
    """A record others write: unknown fields are ignored, known ones are of exactly their type."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class OutputRecord(BaseModel):
    """A record riskstream writes: nothing that is not named, integers and strings only."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


Model = TypeVar("Model", bound=InputRecord)

_WRONG_TYPE = {
    "string_type",
    "int_type",
    "float_type",
    "bool_type",
    "list_type",
    "dict_type",
    "model_type",
    "model_attributes_type",
}
_OUT_OF_RANGE = {
    "literal_error",
    "string_pattern_mismatch",
    "greater_than_equal",
    "less_than_equal",
    "too_long",
    "finite_number",
    "unknown_country",
    "text_out_of_range",
    "verdict_of_cancelled",
}


def read(model: type[Model], value: bytes | None) -> Model:
    """A record of ``model`` from the value of a Kafka record: the reference reading.

    An empty string is an absent field at the top and one object below; so is null.

    Raises
    ------
    Refused
        With the first reason in order of precedence and, for it, the first field of the model.
    """
    document = _without_absent(load_record(value))
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _refusal(error) from None


def load_record(value: bytes | None) -> dict[str, Any]:
    """The JSON object of a record, out of its CloudEvent where it comes in one.

    Raises
    ------
    Refused
        As :func:`stream.contracts.json_object.load_object` and :func:`stream.contracts.cloud_event.opened` say.
    """
    return opened(load_object(value))


def _without_absent(document: dict[str, Any]) -> dict[str, Any]:
    present = {name: value for name, value in document.items() if value is not None and value != ""}
    return {
        name: {inner: item for inner, item in value.items() if item is not None and item != ""}
        if isinstance(value, dict)
        else value
        for name, value in present.items()
    }


def _refusal(error: ValidationError) -> Refused:
    faults = [(_reason(detail), detail) for detail in error.errors(include_url=False)]
    reason, detail = min(faults, key=lambda fault: PRECEDENCE[fault[0]])
    return Refused(reason, _message(reason, detail))


def _reason(detail: ErrorDetails) -> Reason:
    kind = detail["type"]
    if kind == "missing":
        return "missing"
    if kind in _WRONG_TYPE or (kind == "literal_error" and not isinstance(detail["input"], str)):
        return "wrong_type"
    if kind == "literal_error" and detail["loc"] == ("type",):
        return "unsupported"
    if kind == "bad_time":
        return "bad_time"
    if kind == "unknown_currency":
        return "unknown_currency"
    if kind not in _OUT_OF_RANGE:
        raise AssertionError(f"validation error {kind!r} has no reason: name one in {__name__}")
    return "out_of_range"


_SAYS = {
    "string_pattern_mismatch": "not 1 to 64 of A-Z a-z 0-9 _ . : -",
    "literal_error": "not one of the words of its list",
    "too_long": "too many items",
}


def _message(reason: Reason, detail: ErrorDetails) -> str:
    """One sentence; pydantic's own messages name expected types and limits, never the input."""
    field = ".".join(str(part) for part in detail["loc"])
    if field == "uetr" and detail["type"] == "string_pattern_mismatch":
        return "field uetr: not a UUID of version 4 in lower case"
    if reason == "missing":
        return f"field {field} is absent, null or empty"
    if reason == "unsupported":
        return "field type: only payments and reversals are taken"
    said = _SAYS.get(detail["type"], detail["msg"])
    return f"field {field}: {said}" if field else said
