"""Labels of a file's transactions: from its own columns, or from a TRUTH file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.core.columns import ID_BYTES
from stream.errors import RiskstreamError, UsageError
from stream.replay.source.cells import nothing, text_of
from stream.replay.source.file_rows import listed
from stream.replay.source.tables import kind_of, tables
from stream.replay.source.truth_index import TruthIndex

GENUINE, FRAUD, UNLABELLED = 0, 1, -1
COLUMNS = ("transaction_id", "fraud", "attack")
_FRAUD_TEXTS = {"1": FRAUD, "true": FRAUD, "1.0": FRAUD, "0": GENUINE, "false": GENUINE, "0.0": GENUINE, "": UNLABELLED}


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of n transactions.

    Parameters
    ----------
    fraud
        int8 (n,): :data:`FRAUD`, :data:`GENUINE` or :data:`UNLABELLED`.
    attack
        n texts, the kind of attack; empty where there is none.
    """

    fraud: NDArray[np.int8]
    attack: list[str]

    @classmethod
    def joined(cls, parts: Sequence[Labels]) -> Labels:
        """One after the other."""
        return cls(np.concatenate([part.fraud for part in parts]), [text for part in parts for text in part.attack])

    def without(self, excepted: NDArray[np.bool_]) -> Labels:
        """The same, with some of the transactions unlabelled: reversals are no payments, genuine or other."""
        return Labels(np.where(excepted, np.int8(UNLABELLED), self.fraud), self.attack) if excepted.any() else self

    def __getitem__(self, places: NDArray[np.int64]) -> Labels:
        return Labels(self.fraud[places], [self.attack[place] for place in places.tolist()])


def fraud_code(value: Any) -> int | None:
    """0/1, true/false or nothing as a code, whatever the file's type of them; None for what is none of these.

    >>> [fraud_code(value) for value in (1, 0, None, "1", True, float("nan"), "maybe")]
    [1, 0, -1, 1, 1, -1, None]
    """
    if nothing(value):
        return UNLABELLED
    return _FRAUD_TEXTS.get(str(value).strip().lower())


@dataclass(frozen=True, slots=True)
class Met:
    """How many labels of a TRUTH file met a payment.

    Parameters
    ----------
    total
        Transactions that the file names.
    met
        Those of them that were among the payments.
    unmet_example
        One that was not, empty where all were (or the example would lie far in the file).
    """

    total: int
    met: int
    unmet_example: str

    @property
    def nothing(self) -> bool:
        """Whether the file and the payments have nothing in common."""
        return self.met == 0

    def __str__(self) -> str:
        if self.met == self.total:
            return f"all {self.total:,} labels met a payment"
        example = f', for instance not "{_shown(self.unmet_example)}"' if self.unmet_example else ""
        said = f"{self.met:,} of {self.total:,} labels met a payment{example}"
        if self.nothing:
            said += ": do the labels name the payments as the data do? Nothing about fraud could be measured"
        return said


class TruthFile:
    """The labels of a TRUTH file, in memory: 12 bytes a transaction (``truth_index.py``).

    Parameters
    ----------
    path
        CSV, JSONL or Parquet with transaction_id, fraud (0/1) and attack, which may be empty or left out.

    Raises
    ------
    UsageError
        No such file, or no labels in it.
    """

    def __init__(self, path: Path) -> None:
        self._index = TruthIndex()
        self._overlong, self._overlong_example = 0, ""
        told = False
        for table in tables(path, ["transaction_id", "fraud"], optional=("attack",)):
            lines = table.lines.tolist()
            for index, text in table.unreadable.items():
                raise RiskstreamError(f"{path}:{lines[index]}: {text}")
            ids, frauds = listed(table.columns["transaction_id"]), listed(table.columns["fraud"])
            named = [_id(cell, path, line) for cell, line in zip(ids, lines, strict=True)]
            codes = [_code(cell, path, line) for cell, line in zip(frauds, lines, strict=True)]
            attacks = listed(table.columns["attack"]) if "attack" in table.columns else [None] * len(ids)
            kinds = [_attack(cell, path, line) for cell, line in zip(attacks, lines, strict=True)]
            told = told or any(code != UNLABELLED for code in codes)
            self._index.add(named, np.array(codes, np.int8), kinds)
            overlong = [name for name in named if len(name) > ID_BYTES]
            self._overlong += len(overlong)
            self._overlong_example = self._overlong_example or (
                overlong[0].decode(errors="replace") if overlong else ""
            )
        if not len(self._index) and not self._overlong:
            raise UsageError(f"{path}: no labels in it; a TRUTH file has {', '.join(COLUMNS)}")
        if not told and kind_of(path) == "jsonl":
            raise UsageError(f"{path}: no row of it has a value of fraud; a TRUTH file has {', '.join(COLUMNS)}")

    def __len__(self) -> int:
        return len(self._index)

    def of(self, transaction_hash: NDArray[np.uint64]) -> Labels:
        """Labels of some transactions, uint64[n]; what the file does not name is unlabelled."""
        return Labels(*self._index.of(transaction_hash))

    @property
    def met(self) -> Met:
        """What of it met a payment so far."""
        example = self._overlong_example[:ID_BYTES] or self._index.unmet_example
        return Met(len(self._index) + self._overlong, self._index.met, example)

    def marks(self) -> NDArray[np.uint8]:
        """Which labels met a payment, for a checkpoint."""
        return self._index.marks()

    def restore_marks(self, marks: NDArray[np.uint8]) -> None:
        """Go on behind a checkpoint."""
        self._index.restore_marks(marks)


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _id(cell: Any, path: Path, line: int) -> bytes:
    """An id as a transaction would carry it."""
    if cell is None:
        raise RiskstreamError(f"{path}:{line}: no transaction_id; a TRUTH file has {', '.join(COLUMNS)}")
    try:
        return text_of(cell).encode("utf-8", "replace")
    except ValueError as error:
        raise RiskstreamError(f"{path}:{line}: transaction_id: {error}") from error


def _attack(cell: Any, path: Path, line: int) -> str:
    try:
        return "" if cell is None else text_of(cell)
    except ValueError as error:
        raise RiskstreamError(f"{path}:{line}: attack: {error}") from error


def _code(cell: Any, path: Path, line: int) -> int:
    code = fraud_code(cell)
    if code is None:
        raise RiskstreamError(f"{path}:{line}: fraud is neither 0 nor 1; correct the labels")
    return code
