"""JSON of records that anybody with the right to write may have written: bounded before it is parsed."""

from __future__ import annotations

import json
import re
from typing import Any, Final, Never

_STRING: Final = re.compile(rb'"(?:[^"\\]+|\\.)*+"?', re.DOTALL)
"""A string, or what is left of the text where it does not end: each byte is looked at once."""
_BEYOND_64_BITS: Final = 10**20


class NotReadable(ValueError):
    """Not such a JSON text. ``too_large`` tells one that was not looked into from one that is wrong."""

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        super().__init__(message)
        self.too_large = too_large


def load(value: bytes, *, max_bytes: int, max_depth: int, max_values: int) -> Any:
    """Parse a JSON text whose size, depth and number of values have been looked at first.

    Parameters
    ----------
    value
        UTF-8. ``NaN`` and ``Infinity`` are not numbers; an integer beyond 64 bits is read as one out of every range.
    max_bytes, max_depth, max_values
        Longest text; deepest nesting of arrays and objects; most commas and brackets outside of strings.

    Raises
    ------
    NotReadable
        Beyond a limit, or no JSON.

    Examples
    --------
    >>> load(b'{"a": [1]}', max_bytes=100, max_depth=2, max_values=10)
    {'a': [1]}
    >>> load(b'[[[]]]', max_bytes=100, max_depth=2, max_values=10)
    Traceback (most recent call last):
    ...
    rules.bounded_json.NotReadable: nested more than 2 deep
    """
    if len(value) > max_bytes:
        raise NotReadable(f"{len(value)} bytes, at most {max_bytes} are read", too_large=True)
    check_shape(value, max_depth=max_depth, max_values=max_values)
    try:
        return json.loads(value.decode("utf-8"), parse_int=_integer, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise NotReadable(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise NotReadable(f"not JSON: {error.msg} at character {error.pos}") from None


def check_shape(value: bytes, *, max_depth: int, max_values: int | None = None) -> None:
    """Refuse a JSON text that is nested too deep or has too many values, without parsing it.

    Raises
    ------
    NotReadable
        It is beyond a limit.
    """
    opening, commas = value.count(b"[") + value.count(b"{"), value.count(b",")
    if opening <= max_depth and (max_values is None or opening + commas <= max_values):
        return
    bare = _STRING.sub(b"", value)
    if max_values is not None and bare.count(b"[") + bare.count(b"{") + bare.count(b",") > max_values:
        raise NotReadable(f"more than {max_values} values", too_large=True)
    depth = 0
    for bracket in re.finditer(rb"[][{}]", bare):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > max_depth:
            raise NotReadable(f"nested more than {max_depth} deep")


def _integer(digits: str) -> int:
    if len(digits) <= 20:
        return int(digits)
    return -_BEYOND_64_BITS if digits.startswith("-") else _BEYOND_64_BITS


def _constant(name: str) -> Never:
    raise NotReadable(f"not JSON: {name} is no number")
