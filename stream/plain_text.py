"""Text that came from elsewhere, made fit for one line of a log, a list or a table.

A key, a name or a file's content may hold a line break, and what follows would pass for a line of its own; or a control
character, and a terminal would obey it. Every line that riskstream writes goes through :func:`one_line`, be it a log's
(``logs.py``) or a command's (``cli/say.py``).
"""

from __future__ import annotations

import re
from typing import Final

_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_UNFIT: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # controls
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # these turn the direction in which a terminal writes
    "\u200b\u2028\u2029\u2060\ufeff"  # other line breaks, and what is not seen
    "\ud800-\udfff]"  # halves of characters, which cannot be written at all
)


def one_line(text: object) -> str:
    r"""The text with everything visible that could break the line or steer a terminal.

    >>> one_line("a-1\n2026-01-01T00:00:00Z INFO all well\x1b[2K")
    'a-1\\n2026-01-01T00:00:00Z INFO all well\\x1b[2K'
    >>> one_line("金额 1,000 é")
    '金额 1,000 é'
    """
    return _UNFIT.sub(_shown, str(text))


def one_line_json(document: str) -> str:
    r"""A JSON text whose strings hold nothing that breaks a line or steers a terminal; it means the same.

    >>> one_line_json('{"a": "\x9b\u2028"}')
    '{"a": "\\u009b\\u2028"}'
    """
    return _UNFIT.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return _SHORT.get(found[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
