"""A mapped file going by in order: which rows are payments, which instant a local time is, and what must be said of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa

from stream.arrays.hash_key import HOW, read_hash_key
from stream.replay.source.amounts import Marks
from stream.replay.source.column_map import ColumnMap
from stream.replay.source.conversion import CellTerms, cells_of, read_at_once, time_values
from stream.replay.source.delimited import MissingColumns
from stream.replay.source.field_map import TIMES, FieldMap
from stream.replay.source.file_rows import Rows
from stream.replay.source.local_time import TimeReader
from stream.replay.source.parquet_rows import schema_of, type_of
from stream.replay.source.row_choice import RowChoice
from stream.replay.source.tables import blocks, kind_of
from stream.settings import load

ORDER_ROWS = 1_000
"""So many first rows tell whether a file begins with the newest."""


class FileIntake:
    """One pass over a file.

    Parameters
    ----------
    path, column_map, terms
        The file and how it is read.
    """

    def __init__(self, path: Path, column_map: ColumnMap, terms: CellTerms) -> None:
        self._path, self._map = path, column_map
        self._choice = RowChoice(column_map)
        self._readers = {
            name: TimeReader(field, Marks(column_map.file.decimal, column_map.file.thousands))
            for name, field in column_map.fields.items()
            if name in TIMES and _local(field)
        }
        self._unseen = set(column_map.columns) if kind_of(path) == "jsonl" else set()
        self._payments = 0

    def rows(self) -> Iterator[Rows]:
        """The payments of the file, in blocks."""
        chosen = self._chosen()
        if not self._readers:
            yield from chosen
            return
        first: list[Rows] = []
        for block in chosen:
            first.append(block)
            if sum(map(len, first)) >= ORDER_ROWS:
                break
        if not first:
            return
        begun = Rows.joined(first)
        self._find_order(begun[:ORDER_ROWS])
        yield self._timed(begun)
        yield from map(self._timed, chosen)

    def remarks(self) -> dict[str, Any]:
        """What a reader of the results must know.

        ``left_out``: rows that are no payments, by column and value. ``repeated_times``: local times that come twice,
        ``repeated_second``: those of them read as the second one; ``repeated_in_disorder``: those read by the order of
        rows that are in none; ``skipped_times``: those that no clock showed. ``no_payment``: all rows were left out.
        ``columns_without_a_value``: names of the map that no row of a JSON file had.
        """
        turned = [reader.turned for reader in self._readers.values()]
        return {
            "left_out": {column: dict(counter.most_common()) for column, counter in self._choice.left_out.items()},
            "repeated_times": sum(one.repeated for one in turned),
            "repeated_second": sum(one.second for one in turned),
            "repeated_in_disorder": sum(one.repeated for one in turned if one.disordered),
            "skipped_times": sum(one.never for one in turned),
            "columns_without_a_value": sorted(self._unseen),
            "no_payment": bool(self._choice.left_out) and not self._payments,
        }

    def _chosen(self) -> Iterator[Rows]:
        for rows in map(self._choice, self._blocks()):
            self._payments += len(rows)
            if len(rows):
                yield rows

    def _blocks(self) -> Iterator[Rows]:
        try:
            for rows in blocks(self._path, self._map.columns, form=self._map.file):
                if self._unseen:
                    self._unseen -= {
                        name for name in self._unseen if any(cell is not None for cell in rows.columns[name])
                    }
                yield rows
        except MissingColumns as error:
            raise self._map.wrong(self._map.place_of(error.missing[0]), str(error)) from error

    def _find_order(self, rows: Rows) -> None:
        field = self._map.fields["event_time"]
        reader = TimeReader(field.model_copy(update={"repeated": "first"}), next(iter(self._readers.values())).marks)
        times = (
            [
                datetime.fromisoformat(text)
                for text in time_values(cells_of(field, rows), reader, field, "event_time")
                if isinstance(text, str)
            ]
            if not isinstance(field.constant, str)
            else []
        )
        ups = sum(before < after for before, after in pairwise(times))
        downs = sum(before > after for before, after in pairwise(times))
        for reader in self._readers.values():
            reader.descending = downs > ups

    def _timed(self, rows: Rows) -> Rows:
        columns = dict(rows.columns)
        for name, reader in self._readers.items():
            field = self._map.fields[name]
            cells = [field.constant] * len(rows) if field.constant is not None else cells_of(field, rows)
            columns[read_at_once(name)] = time_values(cells, reader, field, name)
        return Rows(rows.lines, columns, rows.values, rows.unreadable)


def check_form(column_map: ColumnMap, path: Path, kind: str) -> None:
    """Refuse options of a map that can have no effect on this file.

    Raises
    ------
    UsageError
        With the place in the map.
    """
    for option, why in column_map.file.useless(kind).items():
        raise column_map.wrong(("file", option), f"file.{option} has no effect on {path.name}: {why}")
    if kind != "parquet":
        return
    schema = schema_of(path)
    for place, field in column_map.every_field.items():
        if place[-1] in TIMES and field.column is not None:
            _check_native(column_map, place, field, type_of(schema, field.column))


def hash_key_for(column_map: ColumnMap) -> bytes | None:
    """The key of tokens, where the map makes some.

    Raises
    ------
    UsageError
        No key is named, or the file holds none.
    """
    place = next((place for place, field in column_map.every_field.items() if field.hash), None)
    if place is None:
        return None
    file = load().hash_key_file
    if not file:
        raise column_map.wrong(
            (*place, "hash"),
            f"hash needs a key: {HOW}",
        )
    return read_hash_key(file)


def _local(field: FieldMap) -> bool:
    return field.unit is None and field.zone != "UTC"


def _check_native(column_map: ColumnMap, place: tuple[str, ...], field: FieldMap, kind: pa.DataType | None) -> None:
    """A column of timestamps or of dates is a time already."""
    if kind is None or not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return
    held = f"{field.column} holds {'timestamps' if pa.types.is_timestamp(kind) else 'dates'}"
    if field.unit is not None:
        raise column_map.wrong((*place, "unit"), f"{place[-1]}: unit has no effect: {held}")
    if field.format is not None and not set(field.formats) & {"timestamp", "iso"}:
        raise column_map.wrong((*place, "format"), f"{place[-1]}: format has no effect: {held}")
    if not isinstance(kind, pa.TimestampType):
        return
    for option in ("zone", "repeated"):
        if kind.tz is not None and option in field.model_fields_set:
            raise column_map.wrong(
                (*place, option),
                f"{place[-1]}: {option} has no effect: timestamps of {field.column} have the zone {kind.tz}",
            )
