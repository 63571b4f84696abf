"""CSV, JSONL and Parquet files as bounded tables, a chunk at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from stream.errors import RiskstreamError, UsageError

CHUNK_ROWS = 20_000
MAX_LINE_BYTES = 4 << 20
JSON_LINES = (".jsonl", ".ndjson", ".json")
_CSV_BLOCK_BYTES = 4 << 20


def kind_of(path: Path) -> str:
    """``csv``, ``jsonl`` or ``parquet``, by the file's name.

    Raises
    ------
    UsageError
        The file does not exist or its name says nothing.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix in JSON_LINES:
        return "jsonl"
    if suffix in (".csv", ".tsv"):
        return "csv"
    if suffix in (".parquet", ".pq"):
        return "parquet"
    raise UsageError(f"{path}: name it .csv, .tsv, .jsonl or .parquet, so that it can be read as such")


def tables(
    path: Path, columns: Sequence[str], *, optional: Sequence[str] = (), rows: int = CHUNK_ROWS, skip: int = 0
) -> Iterator[pa.RecordBatch]:
    """The wanted columns of a file, in chunks of at most ``rows`` rows, in the file's order, without the first ``skip``.

    Raises
    ------
    UsageError
        No such file, or it lacks a column.
    RiskstreamError
        The file cannot be read as what its name says.
    """
    kind = kind_of(path)
    try:
        if kind == "parquet":
            yield from _behind(_parquet(path, columns, optional, rows), skip)
        elif kind == "csv":
            yield from _behind(_csv(path, columns, optional, rows), skip)
        else:
            yield from _behind(_json_lines(path, columns, optional, rows), skip)
    except pa.ArrowInvalid as error:
        raise RiskstreamError(f"{path}: not readable as {kind}: {error}") from error


def _behind(tables: Iterator[pa.RecordBatch], skip: int) -> Iterator[pa.RecordBatch]:
    """What lies behind the first ``skip`` rows."""
    for table in tables:
        if skip < table.num_rows:
            yield table.slice(skip) if skip else table
        skip = max(skip - table.num_rows, 0)


def lines(path: Path, rows: int = CHUNK_ROWS, skip: int = 0) -> Iterator[list[bytes]]:
    """The lines of a JSONL file without their ends, empty ones left out, in chunks; without the first ``skip`` lines."""
    chunk: list[bytes] = []
    with pa.input_stream(str(path), compression="detect") as file:
        for block in _split(file, path):
            whole = [line for line in block if line and not line.isspace()]
            if skip:
                skip, whole = max(skip - len(whole), 0), whole[skip:]
            chunk += whole
            while len(chunk) >= rows:
                yield chunk[:rows]
                del chunk[:rows]
    if chunk:
        yield chunk


def _split(file: Any, path: Path) -> Iterator[list[bytes]]:
    """The lines of a file, some at a time."""
    rest = b""
    number = 0
    while block := file.read(1 << 20):
        *whole, rest = (rest + block).split(b"\n")
        number += len(whole)
        if len(rest) > MAX_LINE_BYTES:
            raise RiskstreamError(f"{path}:{number + 1}: a line of more than {MAX_LINE_BYTES} bytes")
        yield whole
    if rest:
        yield [rest]


def _wanted(path: Path, present: Sequence[str], columns: Sequence[str], optional: Sequence[str]) -> list[str]:
    missing = [name for name in columns if name not in present and name not in optional]
    if missing:
        raise UsageError(f"{path}: no column {', '.join(missing)}; it has {', '.join(present)}")
    return [name for name in columns if name in present]


def _parquet(path: Path, columns: Sequence[str], optional: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    with pa.parquet.ParquetFile(path, memory_map=True) as file:
        names = _wanted(path, file.schema_arrow.names, columns, optional)
        yield from file.iter_batches(rows, columns=names, use_threads=False)


def _csv(path: Path, columns: Sequence[str], optional: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """All cells as text: what a column is, the map says, not the first rows of the file."""
    parse = pa.csv.ParseOptions(delimiter="\t" if ".tsv" in path.name.lower() else ",", newlines_in_values=True)
    with pa.csv.open_csv(path, parse_options=parse) as probe:
        present = probe.schema.names
    names = _wanted(path, present, columns, optional)
    convert = pa.csv.ConvertOptions(
        column_types={name: pa.string() for name in names}, include_columns=names, strings_can_be_null=False
    )
    read = pa.csv.ReadOptions(use_threads=False, block_size=_CSV_BLOCK_BYTES)
    with pa.csv.open_csv(path, read_options=read, parse_options=parse, convert_options=convert) as file:
        for table in file:
            for start in range(0, table.num_rows, rows):
                yield table.slice(start, rows)


def _json_lines(path: Path, columns: Sequence[str], optional: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Cells keep their JSON type where all rows of a chunk have the same; else they are text."""
    row = 0
    for chunk in lines(path, rows):
        records: list[dict[str, Any]] = []
        for line in chunk:
            row += 1
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise RiskstreamError(f"{path}:{row}: not JSON: {error}") from error
            if not isinstance(record, dict):
                raise RiskstreamError(f"{path}:{row}: not a JSON object")
            records.append(record)
        if row == len(records):
            _wanted(path, list(dict.fromkeys(name for record in records for name in record)), columns, optional)
        yield pa.RecordBatch.from_pydict({name: _cells(records, name) for name in columns})


def _cells(records: list[dict[str, Any]], name: str) -> Any:
    cells = [record.get(name) for record in records]
    try:
        return pa.array(cells)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if cell is None else str(cell) for cell in cells])
