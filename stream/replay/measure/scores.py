"""What a replay writes: scores as Parquet, decisions as JSON lines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from rules.ladder import OUTCOMES, STEP_UPS
from stream.core.columns import SCENARIOS
from stream.errors import UsageError

_FIELDS: list[Any] = [
    pa.field("transaction_id", pa.string(), nullable=False),
    pa.field("account_id", pa.string(), nullable=False),
    pa.field("payee_id", pa.string()),
    pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
    pa.field("scenario", pa.string(), nullable=False),
    pa.field("outcome", pa.string(), nullable=False),
    pa.field("step_up", pa.string(), nullable=False),
    pa.field("risk_ppm", pa.int32(), nullable=False),
    pa.field("anomaly_ppm", pa.int32(), nullable=False),
    pa.field("familiarity_ppm", pa.int32(), nullable=False),
    pa.field("model_version", pa.string(), nullable=False),
    pa.field("labels_until", pa.timestamp("us", tz="UTC")),
]
SCHEMA = pa.schema(_FIELDS)
"""Columns of ``--scores``; ``labels_until`` is the event time up to which labels were known to rows and model."""
GROUP_ROWS = 65_536
"""Rows of a Parquet row group: fixed, so that the file does not depend on how the input was cut."""


class Judgement(Protocol):
    """Decided transactions that can be written down."""

    def score_rows(self) -> Any:
        """Record batch of :data:`SCHEMA`."""

    def rendered(self) -> list[bytes]:
        """The JSON of each decision."""


class ScoresFile:
    """``--scores``: one row a decision, in the file's order, written a row group at a time.

    Parameters
    ----------
    path
        The Parquet file.
    resumable
        Rows first go to a spool beside it (``.partial``), which an interrupted replay goes on with; a Parquet file is
        readable only as a whole.
    at
        Where the spool stood at a checkpoint (:meth:`position`); what was written behind that is dropped.

    Raises
    ------
    UsageError
        The file cannot be written.
    """

    def __init__(self, path: Path, *, resumable: bool = False, at: int | None = None) -> None:
        self._path = path
        try:
            self._spool = _reopened(path.with_name(path.name + ".partial"), at) if resumable else None
            self._writer = None if resumable else _parquet(path)
        except OSError as error:
            raise UsageError(f"--scores {path}: {error.strerror or error}") from error
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, step: Judgement) -> None:
        """Add the decisions of a step."""
        rows = step.score_rows()
        if self._spool is not None:
            data = _ipc(rows)
            self._spool.write(len(data).to_bytes(8, "little") + data)
        else:
            self._add(rows)

    def position(self) -> int:
        """Where the spool stands, on disk."""
        assert self._spool is not None, "only a resumable one has a position"
        return _settled(self._spool)

    def __enter__(self) -> ScoresFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spool is not None:
            self._spool.close()
            if kind is not None:
                return
            self._writer = _parquet(self._path)
            for rows in _spooled(self._path.with_name(self._path.name + ".partial")):
                self._add(rows)
        if kind is None:
            self._flush(self._rows)
        assert self._writer is not None
        self._writer.close()
        if self._spool is not None:
            self._path.with_name(self._path.name + ".partial").unlink()

    def _add(self, rows: Any) -> None:
        self._waiting.append(rows)
        self._rows += rows.num_rows
        if self._rows >= GROUP_ROWS:
            self._flush(self._rows // GROUP_ROWS * GROUP_ROWS)

    def _flush(self, rows: int) -> None:
        if not rows:
            return
        assert self._writer is not None
        table = pa.Table.from_batches(self._waiting, SCHEMA).combine_chunks()
        self._writer.write_table(table.slice(0, rows), row_group_size=GROUP_ROWS)
        rest = table.slice(rows)
        self._waiting, self._rows = rest.to_batches(), rest.num_rows


def _parquet(path: Path) -> Any:
    return pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=_DICTIONARIES)


def _ipc(rows: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _spooled(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        while size := file.read(8):
            with pa.ipc.open_stream(file.read(int.from_bytes(size, "little"))) as reader:
                yield from reader


def _reopened(path: Path, at: int | None) -> BinaryIO:
    """A file to be written from its beginning, or from where a checkpoint left it."""
    if at is None:
        return path.open("wb")
    if not path.exists() or path.stat().st_size < at:
        raise UsageError(f"{path}: shorter than the checkpoint says, or gone; remove the checkpoint to begin anew")
    file = path.open("r+b")
    file.truncate(at)
    file.seek(at)
    return file


def _settled(file: BinaryIO) -> int:
    file.flush()
    os.fsync(file.fileno())
    return file.tell()


class DecisionsFile:
    """``--decisions``: the JSON that a worker would publish, one decision a line, byte for byte.

    Parameters
    ----------
    path
        The file.
    at
        Where it stood at a checkpoint; what was written behind that is dropped. None: begin anew.

    Raises
    ------
    UsageError
        The file cannot be written.
    """

    def __init__(self, path: Path, *, at: int | None = None) -> None:
        try:
            self._file = _reopened(path, at)
        except OSError as error:
            raise UsageError(f"--decisions {path}: {error.strerror}") from error

    def write(self, step: Judgement) -> None:
        """Add the decisions of a step."""
        self._file.write(b"\n".join([*step.rendered(), b""]))

    def position(self) -> int:
        """Where the file stands, on disk."""
        return _settled(self._file)

    def __enter__(self) -> DecisionsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def score_rows(
    transactions: npt.NDArray[np.void],
    verdicts: npt.NDArray[np.void],
    anomaly_ppm: npt.NDArray[np.int32],
    model_version: str,
    labels_until: npt.NDArray[np.int64] | None,
) -> Any:
    """Decisions as a record batch of :data:`SCHEMA`; arrays of ``stream.core.decision.decide.Decided``."""
    count = len(verdicts)
    until = pa.nulls(count, pa.int64()) if labels_until is None else pa.array(labels_until)
    payees: list[bytes | None] = [payee or None for payee in transactions["payee_id"].tolist()]
    return pa.record_batch(
        [
            _texts(transactions["transaction_id"].tolist()),
            _texts(transactions["account_id"].tolist()),
            _texts(payees),
            pa.array(np.ascontiguousarray(transactions["event_time"])).cast(_INSTANT),
            _words(verdicts["scenario"], SCENARIOS),
            _words(verdicts["outcome"], OUTCOMES),
            _words(verdicts["step_up"], STEP_UPS),
            pa.array(np.ascontiguousarray(verdicts["risk_ppm"])),
            pa.array(np.ascontiguousarray(anomaly_ppm)),
            pa.array(np.ascontiguousarray(verdicts["familiarity_ppm"])),
            _words(np.zeros(count, np.uint8), (model_version,)),
            until.cast(_INSTANT),
        ],
        schema=SCHEMA,
    )


_INSTANT = pa.timestamp("us", tz="UTC")
_DICTIONARIES: Any = ["account_id", "payee_id", "scenario", "outcome", "step_up", "model_version", "labels_until"]


def _texts(values: list[bytes | None]) -> Any:
    return pa.array(values, pa.binary()).cast(pa.string())


def _words(codes: npt.NDArray[np.uint8], words: tuple[str, ...]) -> Any:
    return pa.DictionaryArray.from_arrays(np.ascontiguousarray(codes).astype(np.int8), pa.array(words)).cast(
        pa.string()
    )
