"""Parquet as rows: every type that a writer of the field uses, read as the values that stand there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from stream.errors import RiskstreamError
from stream.replay.source.cells import cleaned
from stream.replay.source.delimited import MissingColumns
from stream.replay.source.file_form import FileForm
from stream.replay.source.file_rows import Column, Rows
from stream.replay.source.file_signature import foreign

_BLOCK_ROWS = 16_384


def schema_of(path: Path) -> pa.Schema:
    """Types of a Parquet file's columns.

    Raises
    ------
    RiskstreamError
        It is none, or cut.
    """
    with _opened(path) as file:
        return file.schema_arrow


def count_of(path: Path) -> int:
    """How many rows a Parquet file says it has."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def parquet_rows(path: Path, form: FileForm, columns: list[str], optional: list[str]) -> Iterator[Rows]:
    """The wanted columns of a Parquet file, some rows at a time; a dot reaches into structs."""
    with _opened(path) as file:
        schema = file.schema_arrow
        names = [name for name in columns if _type(schema, name) is not None]
        missing = [name for name in columns if name not in names and name not in optional]
        if missing:
            raise MissingColumns(path, missing, schema.names)
        roots = list(dict.fromkeys(name if name in schema.names else name.split(".")[0] for name in names))
        row = 0
        try:
            for group in range(file.num_row_groups):  # pyarrow reads some nested types only within one
                for batch in file.iter_batches(_BLOCK_ROWS, row_groups=[group], columns=roots, use_threads=False):
                    places = np.arange(row + 1, row + 1 + batch.num_rows)
                    yield Rows(places, {name: _cells(batch, name, form) for name in names})
                    row += batch.num_rows
        except pa.ArrowNotImplementedError as error:
            raise RiskstreamError(
                f"{path}: a column has a type that is not read ({_short(error)}); write it as plain text or numbers"
            ) from error
        except (pa.ArrowException, OSError) as error:
            raise RiskstreamError(f"{path}: damaged after {row:,} rows ({_short(error)}); fetch it again") from error
        if not row:
            raise RiskstreamError(f"{path}: Parquet without a row")


def type_of(schema: pa.Schema, name: str) -> pa.DataType | None:
    """The type of a column, or of a field inside one; None where there is none."""
    return _type(schema, name)


def _opened(path: Path) -> pa.parquet.ParquetFile:
    with path.open("rb") as raw:
        head = raw.read(64)
    if not head:
        raise RiskstreamError(f"{path}: empty, 0 bytes")
    if not head.startswith((b"PAR1", b"PARE")):
        words = foreign(head)
        raise RiskstreamError(f"{path}: not Parquet" + ("; is it text?" if words is None else f"; it is {words}"))
    try:
        return pa.parquet.ParquetFile(path, memory_map=True)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # pyarrow decodes the names of columns unchecked
        raise RiskstreamError(
            f"{path}: Parquet that ends early or is damaged ({_short(error)}): cut in transit? fetch it again"
        ) from error


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:120]


def _type(schema: pa.Schema, name: str) -> pa.DataType | None:
    if name in schema.names:
        kind: pa.DataType = schema.field(schema.names.index(name)).type
        return kind
    first, *rest = name.split(".")
    if first not in schema.names:
        return None
    found: Any = schema.field(schema.names.index(first)).type
    for part in rest:
        if not pa.types.is_struct(found) or found.get_field_index(part) < 0:
            return None
        found = found.field(part).type
    known: pa.DataType = found
    return known


def _cells(batch: pa.RecordBatch, name: str, form: FileForm) -> Column:
    column: Any
    if name in batch.schema.names:
        column = batch.column(batch.schema.names.index(name))
    else:
        first, *rest = name.split(".")
        column = batch.column(batch.schema.names.index(first))
        for part in rest:
            column = _field(column, part)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_timestamp(column.type):
        stamps: Column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
        return stamps
    return cleaned(_values(column), form.strip, frozenset(form.null_values))


def _field(column: Any, name: str) -> Any:
    """A field of structs; where the struct is null, so is the field."""
    return pa.compute.struct_field(column, [column.type.get_field_index(name)])


def _values(column: Any) -> list[Any]:
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        narrow: Any = column.type.to_pandas_dtype()
        # the shortest decimal of the type itself: 0.1 as a float of 32 bits is not 0.10000000149011612
        return [None if value is None else float(str(narrow(value))) for value in column.to_pylist()]
    if pa.types.is_time(column.type) or pa.types.is_duration(column.type):
        return [
            str(value) if value is not None else None
            for value in column.cast(_microseconds(column.type), safe=False).to_pylist()
        ]
    return list(column.to_pylist())


def _microseconds(kind: pa.DataType) -> pa.DataType:
    return pa.time64("us") if pa.types.is_time(kind) else pa.duration("us")
