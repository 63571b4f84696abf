"""CloudEvents on the inputs: the envelope of structured mode, and what it may hold.

A value in structured mode is one JSON object with the attributes and the record as ``data``. It is told by what stands in it, not by
a header: an object with ``specversion`` and without a ``transaction_id`` of its own. In binary mode the value is the record itself and
the attributes are headers, which nobody here needs to read. Events are told apart by the record's own id, never by ``id``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from stream.contracts.refusal import Refused

SPECVERSION: Final = "1.0"
REQUIRED: Final = ("id", "source", "type")
_JSON_TYPE = re.compile(r"application/(json|[a-z0-9.!#$&^_-]+\+json)[ \t]*(;.*)?", re.IGNORECASE)


class CloudEvent(BaseModel):
    """A CloudEvent 1.0 in structured mode; other attributes and extensions are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    specversion: Annotated[Literal["1.0"], Field(description="Version of CloudEvents.")]
    id: Annotated[str, Field(min_length=1, description="The event's id; duplicates are told by the record's own id.")]
    source: Annotated[str, Field(min_length=1, description="Who sends, a URI reference.")]
    type: Annotated[str, Field(min_length=1, description="Kind of event, e.g. riskstream.transaction.v1.")]
    datacontenttype: Annotated[
        str | None, Field(pattern=_JSON_TYPE.pattern, description="A JSON media type; absent is application/json.")
    ] = None
    data: Annotated[dict[str, Any], Field(description="The record. data_base64 is not read.")]


def opened(document: dict[str, Any]) -> dict[str, Any]:
    """The record that a JSON object is, or that it holds as a CloudEvent.

    Rules, in order of precedence (the first fault is the reason):

    1. ``unsupported``: a ``specversion`` that is another text than 1.0, ``data_base64``, a ``datacontenttype`` that is no JSON.
    2. ``missing``: ``id``, ``source``, ``type`` or ``data`` is absent, null or "".
    3. ``wrong_type``: an attribute that is no string, ``data`` that is no object.

    Raises
    ------
    Refused
        With the reason and a message that holds no text of the payload.

    Examples
    --------
    >>> opened({"specversion": "1.0", "id": "1", "source": "/core", "type": "paid", "data": {"transaction_id": "t-1"}})
    {'transaction_id': 't-1'}
    >>> opened({"transaction_id": "t-2", "specversion": "an unknown field"})["transaction_id"]
    't-2'
    """
    if _is_absent(document, "specversion") or not _is_absent(document, "transaction_id"):
        return document
    _refuse_unsupported(document)
    for name in (*REQUIRED, "data"):
        if _is_absent(document, name):
            raise Refused("missing", f"CloudEvents attribute {name} is absent, null or empty")
    for name in ("specversion", *REQUIRED, "datacontenttype"):
        if not _is_absent(document, name) and not isinstance(document[name], str):
            raise Refused("wrong_type", f"CloudEvents attribute {name} is not a string")
    record = document["data"]
    if not isinstance(record, dict):
        raise Refused("wrong_type", "CloudEvents data is not a JSON object")
    return record


def _refuse_unsupported(document: dict[str, Any]) -> None:
    spoken, content = document["specversion"], document.get("datacontenttype")
    if isinstance(spoken, str) and spoken != SPECVERSION:
        raise Refused("unsupported", "CloudEvents of another specversion than 1.0")
    if not _is_absent(document, "data_base64"):
        raise Refused("unsupported", "CloudEvents data_base64: send the record as data, a JSON object")
    if isinstance(content, str) and content and _JSON_TYPE.fullmatch(content) is None:
        raise Refused("unsupported", "CloudEvents datacontenttype is no JSON media type")


def _is_absent(document: dict[str, Any], name: str) -> bool:
    return document.get(name) in (None, "")
