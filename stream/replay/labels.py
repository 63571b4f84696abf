"""Labels of a file's transactions: from its own columns, or from a TRUTH file beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.errors import RiskstreamError, UsageError
from stream.replay.tables import tables
from stream.replay.truth_index import TruthIndex

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

    def __getitem__(self, places: NDArray[np.int64]) -> Labels:
        return Labels(self.fraud[places], [self.attack[place] for place in places.tolist()])


def fraud_codes(values: list[Any], where: str, first_row: int) -> NDArray[np.int8]:
    """0/1, true/false or nothing as codes, whatever the file's type of them.

    >>> fraud_codes([1, 0, None, "1", True], "x.csv", 0).tolist()
    [1, 0, -1, 1, 1]
    """
    codes = np.empty(len(values), np.int8)
    for place, value in enumerate(values):
        text = "" if value is None else str(value).strip().lower()
        if text not in _FRAUD_TEXTS:
            raise RiskstreamError(f"{where}, row {first_row + place + 1}: fraud is neither 0 nor 1; correct the labels")
        codes[place] = _FRAUD_TEXTS[text]
    return codes


class Truth:
    """The labels of a TRUTH file, in memory: 11 bytes a transaction (``truth_index.py``).

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
        row = 0
        for table in tables(path, list(COLUMNS), optional=("attack",)):
            ids = table.column("transaction_id").to_pylist()
            codes = fraud_codes(table.column("fraud").to_pylist(), str(path), row)
            attacks = table.column("attack").to_pylist() if "attack" in table.schema.names else [""] * len(ids)
            self._index.add([_id(name) for name in ids], codes, [str(attack or "") for attack in attacks])
            row += table.num_rows
        if not len(self._index):
            raise UsageError(f"{path}: no labels in it; a TRUTH file has {', '.join(COLUMNS)}")

    def __len__(self) -> int:
        return len(self._index)

    def of(self, transaction_hash: NDArray[np.uint64]) -> Labels:
        """Labels of some transactions, uint64[n]; what the file does not name is unlabelled."""
        return Labels(*self._index.of(transaction_hash))


def _id(value: Any) -> bytes:
    """An id as a transaction would carry it; a whole float is an integer that had gaps in its column."""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).encode()
