"""How sentences are set: spaces between Chinese and Latin writing, and capitals."""

from __future__ import annotations

import re
from typing import Final

_SPACE: Final = re.compile(
    r"(?<=[A-Za-z0-9%])(?=[\u4e00-\u9fff])(?![年月日])|(?=[A-Za-z0-9<])(?<=[\u4e00-\u9fff])(?<![年月])"
)
"""Where Chinese typesetting puts a space: between Han characters and Latin letters or digits, dates excepted."""


def typeset(text: str, language: str) -> str:
    """A text with the spaces its language asks for.

    Parts that meet at punctuation may be set one by one; done twice it changes nothing.

    >>> typeset("近30天付款2.5倍，2026年3月1日", "zh")
    '近 30 天付款 2.5 倍，2026年3月1日'
    """
    return _SPACE.sub(" ", text) if language == "zh" else text


def capital(sentence: str) -> str:
    """With a capital first letter."""
    return sentence[:1].upper() + sentence[1:]


def uncapital(sentence: str) -> str:
    """With a small first letter."""
    return sentence[:1].lower() + sentence[1:]
