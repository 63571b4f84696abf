"""Files of every kind as rows, a chunk at a time; one that is not what its name says ends in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stream.errors import RiskstreamError, UsageError
from stream.replay.source.delimited import Wanted, delimited
from stream.replay.source.file_form import FileForm
from stream.replay.source.file_rows import Rows, regrouped
from stream.replay.source.json_rows import json_cells, json_lines
from stream.replay.source.parquet_rows import parquet_rows
from stream.replay.source.sheets import sheet_rows

CHUNK_ROWS = 20_000
_KINDS = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv", ".txt": "csv",
    ".parquet": "parquet", ".pq": "parquet", ".xlsx": "xlsx", ".xlsm": "xlsx", ".xml": "xml",
}  # fmt: skip
_PACKED = ("jsonl", "csv")


def kind_of(path: Path) -> str:
    """``csv``, ``jsonl``, ``parquet``, ``xlsx`` or ``xml``, by the file's name.

    Raises
    ------
    UsageError
        The file does not exist or its name says nothing.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file" if not path.exists() else f"{path}: not a file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] == ".gz"
    if packed:
        suffixes.pop()
    kind = _KINDS.get(suffixes[-1] if suffixes else "")
    if kind is None:
        raise UsageError(
            f"{path}: name it .csv, .tsv, .jsonl, .json, .parquet, .xlsx or .xml, so that it can be read as such"
        )
    if packed and kind not in _PACKED:
        raise UsageError(f"{path}: only CSV and JSON are read from gzip; unpack it")
    return kind


def tables(
    path: Path,
    columns: Sequence[str],
    *,
    form: FileForm = FileForm(),  # noqa: B008 - frozen
    optional: Sequence[str] = (),
    rows: int = CHUNK_ROWS,
    skip: int = 0,
) -> Iterator[Rows]:
    """The wanted columns of a file, in chunks of exactly ``rows`` rows, in the file's order, without the first ``skip``.

    Raises
    ------
    UsageError
        No such file, or it lacks a column.
    RiskstreamError
        The file cannot be read as what its name says.
    """
    yield from regrouped(blocks(path, columns, form=form, optional=optional), rows, skip)


def blocks(path: Path, columns: Sequence[str], *, form: FileForm, optional: Sequence[str] = ()) -> Iterator[Rows]:
    """The same in blocks of any size."""
    kind = kind_of(path)
    try:
        if kind == "parquet":
            yield from parquet_rows(path, form, list(dict.fromkeys([*columns, *optional])), list(optional))
        elif kind == "csv":
            yield from delimited(path, form, (_Numbers if form.header_row == 0 else Wanted)(path, columns, optional))
        elif kind == "xlsx":
            yield from sheet_rows(path, form, Wanted(path, columns, optional))
        else:
            yield from json_cells(path, form, list(dict.fromkeys([*columns, *optional])))
    except OSError as error:
        raise RiskstreamError(f"{path}: {error.strerror or error}") from error


def lines(path: Path, rows: int = CHUNK_ROWS, skip: int = 0) -> Iterator[Rows]:
    """The lines of a JSONL file without their ends, empty ones left out, in chunks; without the first ``skip`` lines."""
    try:
        found = (Rows(np.array(places, np.int64), {}, values) for values, places in json_lines(path, FileForm()))
        yield from regrouped(found, rows, skip)
    except OSError as error:
        raise RiskstreamError(f"{path}: {error.strerror or error}") from error


class _Numbers(Wanted):
    """Columns of a file without a header: numbers from 1."""

    def __call__(self, present: Sequence[str]) -> list[str]:
        wrong = [name for name in self._columns if not name.isdigit() or name == "0"]
        if wrong:
            raise UsageError(f"{self._path}: with header_row 0 columns are numbers from 1; {', '.join(wrong)} is none")
        return list(dict.fromkeys(self._columns))
