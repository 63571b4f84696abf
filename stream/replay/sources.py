"""Sources: a file of history as chunks of transactions, exactly as Kafka would hold them.

Every row becomes the JSON of the contract and goes through the edge (``stream.core.decode``), the same as a record
of the topic would. So what ``produce`` sends and what ``replay`` decides about can never differ, and a row that the
contract refuses is refused here, with the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from stream.contracts.transaction import Transaction
from stream.core.decode import Decoded, decode_transactions
from stream.errors import UsageError
from stream.replay.column_map import ColumnMap
from stream.replay.conversion import field_values
from stream.replay.labels import Labels, Truth, fraud_codes
from stream.replay.tables import CHUNK_ROWS, kind_of, lines, tables

_NO_BOUND_MS = 2**60
Raw = list[bytes] | pa.RecordBatch
"""Rows of a file before the edge: JSON lines, or columns."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Feedback among a chunk's transactions, in order of arrival.

    Parameters
    ----------
    rows : columns.FEEDBACK[m]
    after : int64[m]
        How many of the chunk's accepted transactions came before each, ascending.
    """

    rows: npt.NDArray[np.void]
    after: npt.NDArray[np.int64]

    def until(self, kept: int) -> Arrivals:
        """What came before the transactions from number ``kept`` on."""
        there = self.after <= kept
        return Arrivals(self.rows[there], self.after[there])


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a source.

    Parameters
    ----------
    first_row
        Row of the first one in the file, from 0; empty lines do not count.
    values
        The n rows as JSON of the contract.
    decoded
        What the edge reads from them: offset is the row in the file, timestamp the event time in ms.
    labels
        Labels of the accepted rows, in the order of ``decoded.columns``; None where the source has none.
    feedback
        What arrived meanwhile. Where it is given, ``labels`` are for whoever measures, and nobody hears of them.
    position
        Where the source goes on behind the chunk: what :meth:`Source.chunks` takes as ``start``.
    """

    first_row: int
    values: list[bytes]
    decoded: Decoded
    labels: Labels | None
    feedback: Arrivals | None = None
    position: int = 0

    @property
    def accepted_values(self) -> list[bytes]:
        """The JSON of the accepted rows, in the order of ``decoded.columns``."""
        return [self.values[index] for index in self.decoded.accepted.tolist()]


class History(Protocol):
    """Where a replay's transactions come from."""

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""

    @property
    def truth(self) -> Truth | None:
        """The labels of a TRUTH file, if there is one."""

    @property
    def expected(self) -> int | None:
        """How many transactions at most, where that is known."""

    def chunks(self, rows: int = CHUNK_ROWS, start: int = 0) -> Iterator[Chunk]:
        """Its transactions from a position on (0: the beginning), at most ``rows`` at a time."""


class Source:
    """A file of transactions; iterate over :meth:`chunks`.

    Parameters
    ----------
    path
        CSV, TSV, JSONL or Parquet; CSV and JSONL may be gzipped.
    column_map
        How columns become fields; None for JSONL that is contract-shaped already.
    truth
        Labels from a file of their own; they go before the map's.
    """

    def __init__(self, path: Path, column_map: ColumnMap | None, truth: Truth | None) -> None:
        self.path = path
        self._map = column_map
        self._truth = truth
        self._unlabelled = False

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return self._truth is not None or (self._map is not None and self._map.labels is not None)

    @property
    def truth(self) -> Truth | None:
        """The labels of the TRUTH file, if there is one."""
        return self._truth

    @property
    def expected(self) -> int | None:
        """A file tells by its size (``extent.py``)."""
        return None

    def chunks(self, rows: int = CHUNK_ROWS, start: int = 0) -> Iterator[Chunk]:
        """The file from row ``start`` on, at most ``rows`` rows at a time."""
        first_row = start
        for raw in self.raws(rows, start):
            chunk = self.chunk(raw, first_row)
            labels = self.labels(chunk.decoded.columns["transaction_hash"]) or chunk.labels
            yield replace(chunk, labels=labels)
            first_row = chunk.position

    def raws(self, rows: int = CHUNK_ROWS, start: int = 0) -> Iterator[Raw]:
        """The file as it is, from row ``start`` on: lines, or the wanted columns of a table."""
        if self._map is None:
            yield from lines(self.path, rows, skip=start)
        else:
            yield from tables(self.path, self._map.columns, rows=rows, skip=start)

    def chunk(self, raw: Raw, first_row: int) -> Chunk:
        """Rows through the edge, with their own labels; those of the TRUTH file are not looked up."""
        values = raw if isinstance(raw, list) else self._values(raw, first_row)
        places = np.arange(first_row, first_row + len(values))
        decoded = decode_transactions(values, places, np.zeros(len(values), np.int64), 0, 1, future_ms=_NO_BOUND_MS)
        decoded.columns["timestamp"] = decoded.columns["event_time"] // 1000
        own = (
            None
            if isinstance(raw, list) or self._truth is not None or self._unlabelled
            else self._own_labels(raw, first_row)
        )
        labels = None if own is None else own[decoded.accepted]
        return Chunk(first_row, values, decoded, labels, position=first_row + len(values))

    def labels(self, transaction_hash: npt.NDArray[np.uint64]) -> Labels | None:
        """Labels of the TRUTH file, None where there is none."""
        return None if self._truth is None else self._truth.of(np.ascontiguousarray(transaction_hash))

    def reader(self) -> Source:
        """What reads rows elsewhere: this without the TRUTH file's labels."""
        other = Source(self.path, self._map, None)
        other._unlabelled = self._truth is not None
        return other

    def _values(self, table: pa.RecordBatch, first_row: int) -> list[bytes]:
        assert self._map is not None, "a table has a map"
        return json_rows(self._map, table, str(self.path), first_row)

    def _own_labels(self, table: pa.RecordBatch, first_row: int) -> Labels | None:
        if self._map is None or self._map.labels is None:
            return None
        where = str(self.path)
        fraud = fraud_codes(field_values("fraud", self._map.labels.fraud, table, where, first_row), where, first_row)
        attack = [""] * table.num_rows
        if self._map.labels.attack is not None:
            attack = [text or "" for text in field_values("attack", self._map.labels.attack, table, where, first_row)]
        return Labels(fraud, attack)


def json_rows(column_map: ColumnMap, table: pa.RecordBatch, where: str, first_row: int) -> list[bytes]:
    """The rows of a table as JSON of the contract: fields in the contract's order, absent ones left out."""
    order = {name: place for place, name in enumerate(Transaction.model_fields)}
    names = sorted(column_map.fields, key=lambda name: order[name.split(".")[0]])
    top = [name for name in names if not name.startswith("customer.")]
    inner = [name for name in names if name.startswith("customer.")]
    values = {name: field_values(name, column_map.fields[name], table, where, first_row) for name in names}
    customers: list[dict[str, Any]] | None = None
    if inner:
        customers = _objects([name.removeprefix("customer.") for name in inner], [values[name] for name in inner])
    documents = _objects(top, [values[name] for name in top])
    if customers is not None:
        for document, customer in zip(documents, customers, strict=True):
            if customer:
                document["customer"] = customer
    return [orjson.dumps(document) for document in documents]


def _objects(names: list[str], columns: list[list[Any]]) -> list[dict[str, Any]]:
    full = all(value is not None for column in columns for value in column)
    if full:
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns, strict=True)
    ]


def open_source(path: Path, column_map: ColumnMap | None = None, truth: Path | None = None) -> Source:
    """A source from a file, its map and its labels.

    Raises
    ------
    UsageError
        No such file, no map where one is needed, or columns that the file does not have.
    """
    kind = kind_of(path)
    if column_map is None and kind != "jsonl":
        raise UsageError(f"{path}: a {kind} file needs a column map: --columns MAP.yaml (see deploy/maps/)")
    return Source(path, column_map, None if truth is None else Truth(truth))
