"""What a replay writes: scores as Parquet, decisions as JSON lines."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from rules.ladder import OUTCOMES, STEP_UPS
from stream.core.columns import SCENARIOS
from stream.core.render import render
from stream.errors import UsageError
from stream.replay.engine import Step

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


class ScoresFile:
    """``--scores``: one row a decision, in the file's order, written a row group at a time.

    Raises
    ------
    UsageError
        The file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=_DICTIONARIES)
        except OSError as error:
            raise UsageError(f"--scores {path}: {error.strerror or error}") from error
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, step: Step) -> None:
        """Add the decisions of a step."""
        self._waiting.append(score_rows(step))
        self._rows += len(step)
        if self._rows >= GROUP_ROWS:
            self._flush(self._rows // GROUP_ROWS * GROUP_ROWS)

    def __enter__(self) -> ScoresFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush(self._rows)
        self._writer.close()

    def _flush(self, rows: int) -> None:
        if not rows:
            return
        table = pa.Table.from_batches(self._waiting, SCHEMA).combine_chunks()
        self._writer.write_table(table.slice(0, rows), row_group_size=GROUP_ROWS)
        rest = table.slice(rows)
        self._waiting, self._rows = rest.to_batches(), rest.num_rows


class DecisionsFile:
    """``--decisions``: the JSON that a worker would publish, one decision a line, byte for byte.

    Raises
    ------
    UsageError
        The file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise UsageError(f"--decisions {path}: {error.strerror}") from error

    def write(self, step: Step) -> None:
        """Add the decisions of a step."""
        self._file.write(b"\n".join([*render(step.decided, step.decider).decisions, b""]))

    def __enter__(self) -> DecisionsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def score_rows(step: Step) -> Any:
    """The decisions of a step as a record batch of :data:`SCHEMA`."""
    transactions, verdicts = step.decided.received.transactions, step.decided.verdicts
    count = len(step)
    until = pa.nulls(count, pa.int64()) if step.labels_until is None else pa.array(step.labels_until)
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
            pa.array(np.ascontiguousarray(step.decided.anomaly_ppm)),
            pa.array(np.ascontiguousarray(verdicts["familiarity_ppm"])),
            _words(np.zeros(count, np.uint8), (step.decider.model_version,)),
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
