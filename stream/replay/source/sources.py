"""Sources: a file of history as chunks of transactions, exactly as Kafka would hold them.

Every row becomes the JSON of the contract and goes through the edge (``stream.core.edge.decode``), the same as a record
of the topic would. So what ``produce`` sends and what ``replay`` decides about can never differ, and a row that the
contract refuses is refused here, with the same reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import orjson

from stream.contracts.refusal import PRECEDENCE, Refused
from stream.contracts.transaction import Transaction
from stream.core.edge.decode import Decoded, Refusal, decode_transactions
from stream.errors import UsageError
from stream.replay.source.amounts import Marks
from stream.replay.source.column_map import ColumnMap
from stream.replay.source.conversion import CellTerms, UnreadCell, amounts_by_currency, field_values
from stream.replay.source.file_intake import FileIntake, check_form, hash_key_for
from stream.replay.source.file_rows import Rows, regrouped
from stream.replay.source.json_rows import is_array
from stream.replay.source.labels import UNLABELLED, Labels, TruthFile, fraud_code
from stream.replay.source.tables import CHUNK_ROWS, kind_of, lines
from stream.replay.source.time_order import NO_TIME, in_time_order
from stream.settings import load

if TYPE_CHECKING:
    from stream.iso20022.terms import ReadingTerms

_NO_BOUND_MS = 2**60


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
        Number of the first one among the file's payments, from 0.
    values
        The n rows as JSON of the contract.
    decoded
        What the edge reads from them: offset is the row's number, timestamp the event time in ms.
    labels
        Labels of the accepted rows, in the order of ``decoded.columns``; None where the source has none.
    feedback
        What arrived meanwhile. Where it is given, ``labels`` are for whoever measures, and nobody hears of them.
    position
        Where the source goes on behind the chunk: what :meth:`Source.chunks` takes as ``start``.
    lines
        int64[n]: the line of the file that each row begins on, from 1; None of a topic.
    """

    first_row: int
    values: list[bytes]
    decoded: Decoded
    labels: Labels | None
    feedback: Arrivals | None = None
    position: int = 0
    lines: npt.NDArray[np.int64] | None = None

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
    def truth(self) -> TruthFile | None:
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
        CSV, TSV, JSON, Parquet, a workbook or ISO 20022 messages; CSV and JSON may be gzipped.
    column_map
        How columns become fields; None for JSONL that is contract-shaped already, and for messages.
    truth
        Labels from a file of their own; they go before the map's.
    terms
        What the reading of cells depends on.
    in_time_order
        Whether rows are put in the order of their event times.
    messages
        How ISO 20022 messages are read, where the file holds such.
    """

    def __init__(
        self,
        path: Path,
        column_map: ColumnMap | None,
        truth: TruthFile | None,
        terms: CellTerms = CellTerms(),  # noqa: B008 - frozen
        *,
        in_time_order: bool = False,
        messages: ReadingTerms | None = None,
    ) -> None:
        self.path = path
        self._messages = messages
        self._map = column_map
        self._truth = truth
        self._terms = terms
        self._in_time_order = in_time_order
        self._unlabelled = False
        self._intake: FileIntake | None = None

    @property
    def name(self) -> str:
        """The file's path."""
        return str(self.path)

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return self._truth is not None or (self._map is not None and self._map.labels is not None)

    @property
    def truth(self) -> TruthFile | None:
        """The labels of the TRUTH file, if there is one."""
        return self._truth

    @property
    def expected(self) -> int | None:
        """A file tells by its size (``extent.py``)."""
        return None

    def remarks(self) -> dict[str, Any]:
        """What a reader of the results must know of the rows read so far: see :meth:`FileIntake.remarks`."""
        return {} if self._intake is None else self._intake.remarks()

    def chunks(self, rows: int = CHUNK_ROWS, start: int = 0) -> Iterator[Chunk]:
        """The file from row ``start`` on, at most ``rows`` rows at a time."""
        first_row = start
        for raw in self.raws(rows, start):
            chunk = self.chunk(raw, first_row)
            labels = self.labels(chunk.decoded.columns["transaction_hash"]) or chunk.labels
            yield replace(chunk, labels=labels)
            first_row = chunk.position

    def raws(self, rows: int = CHUNK_ROWS, start: int = 0) -> Iterator[Rows]:
        """The file's payments from number ``start`` on: lines, or the wanted columns of a table.

        What depends on the rows before is done here, where rows go by in order: which rows are payments, and which of
        two instants a local time is.
        """
        if self._messages is not None:
            from stream.replay.source.message_rows import message_rows  # a parser that no other file needs

            chosen = message_rows(self.path, self._messages)
        elif self._map is None:
            chosen = lines(self.path)
        else:
            self._intake = FileIntake(self.path, self._map, self._terms)
            chosen = self._intake.rows()
        if self._in_time_order:
            chosen = in_time_order(chosen, self._event_times)
        yield from regrouped(chosen, rows, start)

    def chunk(self, raw: Rows, first_row: int) -> Chunk:
        """Rows through the edge, with their own labels; those of the TRUTH file are not looked up."""
        wrong: dict[int, UnreadCell] = {}
        values, labels = raw.values, None
        if values is None:
            assert self._map is not None, "a table has a map"
            values = json_rows(self._map, raw, self._terms, wrong)
            if self._truth is None and not self._unlabelled:
                labels = own_labels(self._map, raw, self._terms, wrong)
        else:
            wrong = unread_rows(raw)
        for index in wrong:
            values[index] = b""
        places = np.arange(first_row, first_row + len(values))
        decoded = decode_transactions(values, places, np.zeros(len(values), np.int64), 0, 1, future_ms=_NO_BOUND_MS)
        decoded.columns["timestamp"] = decoded.columns["event_time"] // 1000
        if self._map is not None or wrong:
            decoded = replace(decoded, refused=[_told(one, wrong, self._map) for one in decoded.refused])
        labels = None if labels is None else labels[decoded.accepted]
        return Chunk(first_row, values, decoded, labels, position=first_row + len(values), lines=raw.lines)

    def labels(self, transaction_hash: npt.NDArray[np.uint64]) -> Labels | None:
        """Labels of the TRUTH file, None where there is none."""
        return None if self._truth is None else self._truth.of(np.ascontiguousarray(transaction_hash))

    def reader(self) -> Source:
        """What reads rows elsewhere: this without the TRUTH file's labels."""
        other = Source(self.path, self._map, None, self._terms, messages=self._messages)
        other._unlabelled = self._truth is not None
        return other

    def _event_times(self, raw: Rows) -> npt.NDArray[np.int64]:
        decoded = self.chunk(raw, 0).decoded
        times = np.full(len(raw), NO_TIME, np.int64)
        times[decoded.accepted] = decoded.columns["event_time"]
        return times


def _told(refusal: Refusal, wrong: Mapping[int, UnreadCell], column_map: ColumnMap | None) -> Refusal:
    """A refusal with the column that its field comes from."""
    unread = wrong.get(refusal.index)
    if unread is not None:
        return Refusal(refusal.index, unread.reason, unread.message)
    if column_map is None:
        return refusal
    said = re.match(r"field ([a-z_.]+)", refusal.message)
    names = [said[1], *column_map.fields] if said is not None and said[1] in column_map.fields else column_map.fields
    for name in names:
        field = column_map.fields[name]
        if re.search(rf"(?<![a-z_]){re.escape(name)}(?![a-z_])", refusal.message):
            return Refusal(refusal.index, refusal.reason, f"{refusal.message} ({field.source})")
    return refusal


def json_rows(column_map: ColumnMap, rows: Rows, terms: CellTerms, wrong: dict[int, UnreadCell]) -> list[bytes]:
    """Rows as JSON of the contract: fields in the contract's order, absent ones left out.

    Parameters
    ----------
    wrong
        Filled with the rows that cannot be read, by index; their JSON is empty.
    """
    order = {name: place for place, name in enumerate(Transaction.model_fields)}
    names = sorted(column_map.fields, key=lambda name: order[name.split(".")[0]])
    top = [name for name in names if not name.startswith("customer.")]
    inner = [name for name in names if name.startswith("customer.")]
    values = {
        name: field_values(name, column_map.fields[name], rows, terms)
        for name in names
        if not _by_currency(column_map, name)
    }
    if len(values) < len(names):
        amount = column_map.fields["amount_minor"]
        values["amount_minor"] = amounts_by_currency(amount, rows, values["currency"], terms)
    wrong.update(unread_rows(rows))
    for column in values.values():
        gather_unread(column, wrong)
    documents = _objects(top, [values[name] for name in top])
    if inner:
        customers = _objects([name.removeprefix("customer.") for name in inner], [values[name] for name in inner])
        for document, customer in zip(documents, customers, strict=True):
            if customer:
                document["customer"] = customer
    if not wrong:
        return [orjson.dumps(document) for document in documents]
    return [b"" if index in wrong else orjson.dumps(document) for index, document in enumerate(documents)]


def unread_rows(rows: Rows) -> dict[int, UnreadCell]:
    """Rows that are none of their file, by index."""
    return {
        index: UnreadCell(why.reason, why.message) if isinstance(why, Refused) else UnreadCell("malformed", why)
        for index, why in rows.unreadable.items()
    }


def own_labels(column_map: ColumnMap, rows: Rows, terms: CellTerms, wrong: dict[int, UnreadCell]) -> Labels | None:
    """Labels from a file's own columns; None where the map names none. One that cannot be read refuses its row."""
    if column_map.labels is None:
        return None
    texts = field_values("fraud", column_map.labels.fraud, rows, terms)
    fraud = np.empty(len(rows), np.int8)
    for index, text in enumerate(texts):
        code = fraud_code(text)
        if code is None:
            message = (
                text.message
                if isinstance(text, UnreadCell)
                else f"{column_map.labels.fraud.source}: fraud is neither 0 nor 1"
            )
            wrong.setdefault(index, UnreadCell("out_of_range", message))
        fraud[index] = UNLABELLED if code is None else code
    attack: list[Any] = [""] * len(rows)
    if column_map.labels.attack is not None:
        attack = field_values("attack", column_map.labels.attack, rows, terms)
        gather_unread(attack, wrong)
    return Labels(fraud, [text if isinstance(text, str) else "" for text in attack])


def gather_unread(column: list[Any], wrong: dict[int, UnreadCell]) -> None:
    """Note the rows whose cell cannot be read; of several faults the first in the order of reasons counts."""
    for index, value in enumerate(column):
        if type(value) is UnreadCell:
            known = wrong.get(index)
            if known is None or PRECEDENCE[value.reason] < PRECEDENCE[known.reason]:
                wrong[index] = value


def _by_currency(column_map: ColumnMap, name: str) -> bool:
    return name == "amount_minor" and column_map.fields[name].minor is not None


def _objects(names: list[str], columns: list[list[Any]]) -> list[dict[str, Any]]:
    full = all(value is not None for column in columns for value in column)
    if full:
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns, strict=True)
    ]


def open_source(
    path: Path, column_map: ColumnMap | None = None, truth: Path | None = None, *, in_time_order: bool = False
) -> Source:
    """A source from a file, its map and its labels; ``in_time_order``: rows by event time, whatever the file's order.

    Raises
    ------
    UsageError
        No such file, no map where one is needed, or options of the map that can have no effect on this file.
    """
    kind = kind_of(path)
    messages = None
    if kind == "xml":
        if column_map is not None:
            raise UsageError(f"{path}: ISO 20022 messages say themselves what is what: --columns has no effect on them")
        from stream.message_terms import terms_of

        terms, messages = CellTerms(), terms_of(load())
    elif column_map is None:
        if kind != "jsonl":
            raise UsageError(
                f"{path}: a {kind} file needs a column map: --columns MAP.yaml (riskstream map {path} proposes one)"
            )
        if path.stat().st_size and is_array(path):
            raise UsageError(
                f"{path}: one JSON array, no lines; a column map reads it: riskstream map {path} proposes one"
            )
        terms = CellTerms()
    else:
        check_form(column_map, path, kind)
        terms = CellTerms(Marks(column_map.file.decimal, column_map.file.thousands), hash_key_for(column_map))
    labels = None if truth is None else TruthFile(truth)
    return Source(path, column_map, labels, terms, in_time_order=in_time_order, messages=messages)
