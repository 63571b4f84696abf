"""How many rows a history has, as well as can be said before it is read: for the time left."""

from __future__ import annotations

from pathlib import Path

from stream.replay.source.parquet_rows import count_of
from stream.replay.source.tables import kind_of

_SAMPLE_BYTES = 1 << 20


class Extent:
    """Rows done, and an estimate of all rows.

    Parquet says how many it has, and a topic's offsets bound them; of JSON lines and CSV the length of the first lines
    tells; of compressed files nothing is claimed.

    Parameters
    ----------
    path
        The file; None for a topic.
    limit
        Most rows that will be read.
    done
        Rows that were done before.
    expected
        Of a topic, its offsets in the range.
    """

    def __init__(self, path: Path | None, limit: int | None, done: int = 0, expected: int | None = None) -> None:
        self.rows = done
        self._limit = limit
        self._known = expected if path is None else _rows_of(path)

    @property
    def total(self) -> int | None:
        """All rows, or None where nothing can be said."""
        total = self._known if self._known is None else max(self._known, self.rows)
        if self._limit is None or (total is not None and total < self._limit):
            return total
        return self._limit

    def add(self, rows: int) -> None:
        """Count rows that are done."""
        self.rows += rows


def _rows_of(path: Path) -> int | None:
    """Rows of a file: counted where it says so, else by the length of its first lines."""
    if kind_of(path) == "parquet":
        return count_of(path)
    if kind_of(path) in ("xlsx", "xml") or path.suffix.lower() == ".gz":
        return None
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
    lines = sample.count(b"\n")
    return round(lines * path.stat().st_size / len(sample)) if lines else None
