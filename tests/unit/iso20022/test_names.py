"""Every element that a reader asks for is in the tree: what is not listed is passed over unread."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from stream.iso20022 import follow_up, parties, payment
from stream.iso20022.names import AMOUNTS, NAMES, TRANSACTIONS

CODES = {"FDN", "USABA", "SEPA", "INST", "FRAD"}


def asked(path: Path) -> set[str]:
    """Texts in calls that look like names of elements."""
    found = set()
    for call in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(call, ast.Call):
            for inner in ast.walk(call):
                if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
                    found |= (
                        {inner.value}
                        if re.fullmatch(r"[A-Z][A-Za-z]*[a-z][A-Za-z]*|LEI|IBAN|BIC|BICFI|UETR", inner.value)
                        else set()
                    )
    return found


def test_what_is_asked_for_is_read() -> None:
    names = set().union(*(asked(Path(str(module.__file__))) for module in (payment, parties, follow_up)))
    assert len(names) > 60
    assert names - CODES <= NAMES
    assert AMOUNTS | TRANSACTIONS <= NAMES
