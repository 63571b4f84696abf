"""Reading bytes as one JSON object: the grammar part of the reference reading."""

from __future__ import annotations

import json
from typing import Any, Never

from rules.bounded_json import NotReadable, check_shape
from stream.contracts.refusal import Refused

MAX_BYTES = 64 * 1024
"""Longest value of an input record, bytes."""
MAX_DEPTH = 128
"""Deepest nesting of arrays and objects, the record itself included (RFC 8259 section 9 lets a reader set one)."""
_BEYOND_64_BITS = 10**20


def load_object(value: bytes | None, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """One JSON object from the value of a record.

    Rules, beyond RFC 8259: the text is UTF-8 without a byte order mark; ``NaN`` and ``Infinity`` are not numbers;
    a ``\\u`` escape of half a surrogate pair is no text; nesting is at most :data:`MAX_DEPTH` deep; of a name that
    comes twice the last counts; an integer beyond 64 bits is read as one that is out of every range.

    Raises
    ------
    Refused
        ``too_large`` for more than ``max_bytes``, ``malformed`` for anything but one object.

    Examples
    --------
    >>> load_object(b'{"a": 1, "a": 2}')
    {'a': 2}
    >>> load_object(b'[1]')
    Traceback (most recent call last):
    ...
    stream.contracts.refusal.Refused: a JSON array, not an object
    """
    if value is None:
        raise Refused("malformed", "no value (a null record)")
    if len(value) > max_bytes:
        raise Refused("too_large", f"{len(value)} bytes, at most {max_bytes} are read")
    _check_depth(value)
    try:
        text = value.decode("utf-8")
        document = json.loads(text, parse_int=_integer, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise Refused("malformed", f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise Refused("malformed", f"not JSON: {error.msg} at character {error.pos}") from None
    if not isinstance(document, dict):
        kind = {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(document), "number")
        raise Refused("malformed", f"a JSON {kind}, not an object")
    if "\\u" in text:
        _check_surrogates(document)
    return document


def _integer(digits: str) -> int:
    if len(digits) <= 20:
        return int(digits)
    return -_BEYOND_64_BITS if digits.startswith("-") else _BEYOND_64_BITS


def _constant(name: str) -> Never:
    raise Refused("malformed", f"not JSON: {name} is no number")


def _check_depth(value: bytes) -> None:
    try:
        check_shape(value, max_depth=MAX_DEPTH)
    except NotReadable as error:
        raise Refused("malformed", str(error)) from None


def _check_surrogates(document: dict[str, Any]) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise Refused("malformed", "an escape of half a surrogate pair") from None
