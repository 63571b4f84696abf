"""Labels of a file's transactions: from its own columns, or from a TRUTH file beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.errors import RiskstreamError, UsageError
from stream.replay.tables import tables

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
    """The labels of a TRUTH file, in memory: some 100 bytes a transaction.

    Parameters
    ----------
    path
        CSV, JSONL or Parquet with transaction_id, fraud (0/1) and attack, which may be empty or left out.
    """

    def __init__(self, path: Path) -> None:
        self._of: dict[str, tuple[int, str]] = {}
        self._path = path
        row = 0
        for table in tables(path, list(COLUMNS), optional=("attack",)):
            ids = table.column("transaction_id").to_pylist()
            codes = fraud_codes(table.column("fraud").to_pylist(), str(path), row).tolist()
            attacks = table.column("attack").to_pylist() if "attack" in table.schema.names else [""] * len(ids)
            for transaction_id, code, attack in zip(ids, codes, attacks, strict=True):
                self._of[str(transaction_id)] = (code, str(attack or ""))
            row += table.num_rows
        if not self._of:
            raise UsageError(f"{path}: no labels in it; a TRUTH file has {', '.join(COLUMNS)}")

    def __len__(self) -> int:
        return len(self._of)

    def of(self, transaction_ids: Iterator[str], count: int) -> Labels:
        """Labels of some transactions; what the file does not name is unlabelled."""
        fraud = np.full(count, UNLABELLED, np.int8)
        attack = [""] * count
        for place, transaction_id in enumerate(transaction_ids):
            fraud[place], attack[place] = self._of.get(transaction_id, (UNLABELLED, ""))
        return Labels(fraud, attack)
