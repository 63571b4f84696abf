"""A file of ISO 20022 messages as rows: a payment or reversal each, what cannot be read among them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stream.contracts.refusal import Refused
from stream.errors import RiskstreamError
from stream.iso20022.converter import Converted, Seen, convert
from stream.iso20022.terms import ReadingTerms
from stream.replay.source.file_rows import Rows

_FEEDBACK = (
    "feedback about a payment, which is no row of a history: the gateway reads it, and riskstream iso20022 convert"
)


def message_rows(path: Path, terms: ReadingTerms) -> Iterator[Rows]:
    """The transactions of a file's messages in its order, each with the line it begins on.

    Raises
    ------
    RiskstreamError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(terms.limits.size + 1)
    except OSError as error:
        raise RiskstreamError(f"{path}: {error.strerror or error}") from error
    values: list[bytes] = []
    lines: list[int] = []
    unreadable: dict[int, str | Refused] = {}
    for part in convert(data, terms, Seen()).parts:
        lines.append(max(part.line, 1))
        if not isinstance(part, Converted):
            unreadable[len(values)] = Refused(part.reason, str(part))
        elif part.topic == "feedback":
            unreadable[len(values)] = Refused("unsupported", _FEEDBACK)
        readable = len(values) not in unreadable
        values.append(part.value if isinstance(part, Converted) and readable else b"")
    yield Rows(np.array(lines, np.int64), {}, values, unreadable)
