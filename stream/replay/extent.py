"""How many rows a file has, as well as can be said before it is read: for the time left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from stream.replay.tables import kind_of


class Extent:
    """Rows done, and an estimate of all rows.

    Parquet says how many it has; of JSON lines the size of what was read tells; of compressed files, and CSV (whose
    rows no longer are what was read), nothing is claimed.

    Parameters
    ----------
    path
        The file; None for a topic, of which nothing is claimed.
    limit
        Most rows that will be read.
    done
        Rows that were done before.
    """

    def __init__(self, path: Path | None, limit: int | None, done: int = 0) -> None:
        self.rows = done
        self._bytes = 0
        self._counted = 0
        self._limit = limit
        self._size = 0
        self._known: int | None = None
        self._kind = ""
        if path is None:
            return
        self._kind = kind_of(path)
        self._size = path.stat().st_size if path.suffix.lower() != ".gz" else 0
        self._known = pq.ParquetFile(path).metadata.num_rows if self._kind == "parquet" else None

    @property
    def total(self) -> int | None:
        """All rows, or None where nothing can be said."""
        total = self._known
        if total is None and self._kind == "jsonl" and self._size and self._bytes:
            total = max(self.rows, round(self._counted * self._size / self._bytes))
        if self._limit is None or (total is not None and total < self._limit):
            return total
        return self._limit

    def add(self, values: Sequence[bytes]) -> None:
        """Count rows that are done."""
        self.rows += len(values)
        self._counted += len(values)
        self._bytes += sum(map(len, values)) + len(values)
