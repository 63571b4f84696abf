"""One replay of a file from its start to its end: chunks in, steps to whoever listens, counts at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from stream.core.account import account_row
from stream.core.account.account_reversal import RESULTS
from stream.replay.source.labels import Labels
from stream.replay.source.sources import Chunk, History
from stream.replay.source.tables import CHUNK_ROWS
from stream.replay.walk.engine import FileReplay, WalkedRun

SHOWN_REFUSALS = 5
MAX_KINDS = 200
"""Most kinds of refused rows that are summed apart."""


class Counted(Protocol):
    """An engine's own counts."""

    status: npt.NDArray[np.int64]
    late: int
    reversals: npt.NDArray[np.int64]


@dataclass
class Intake:
    """What was read, and what of it could not be.

    Parameters
    ----------
    rows
        Rows read.
    refused
        Rows that would be dead letters, by reason.
    examples
        The first few of them: line in the file (of a topic the record's number, from 1), reason and message.
    kinds
        All of them by reason and message, with the line of the first; at most :data:`MAX_KINDS`, the rest together.
    """

    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[int, str, str]] = field(default_factory=list)
    kinds: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    position: int = 0
    """Where the source goes on (``Chunk.position``)."""

    def add(self, chunk: Chunk) -> None:
        """Count a chunk."""
        self.rows += len(chunk.values)
        self.position = chunk.position
        for refusal in chunk.decoded.refused:
            self.refused[refusal.reason] += 1
            line = chunk.first_row + refusal.index + 1 if chunk.lines is None else int(chunk.lines[refusal.index])
            if len(self.examples) < SHOWN_REFUSALS:
                self.examples.append((line, refusal.reason, refusal.message))
            self._sum(refusal.reason, refusal.message, line)

    def by_kind(self) -> list[dict[str, Any]]:
        """What was refused, the most frequent first: reason, what, rows, and the line of the first."""
        kinds = [
            {"reason": reason, "what": what, "rows": rows, "first_line": line}
            for (reason, what), (rows, line) in self.kinds.items()
        ]
        return sorted(kinds, key=lambda kind: (-int(kind["rows"]), kind["first_line"]))

    def _sum(self, reason: str, message: str, line: int) -> None:
        kind = (reason, message)
        if kind not in self.kinds and len(self.kinds) >= MAX_KINDS:
            kind = (reason, "(others)")
        known = self.kinds.setdefault(kind, [0, line])
        known[0] += 1


def replay(
    source: History,
    engine: FileReplay,
    listeners: Sequence[Callable[[WalkedRun], None]],
    *,
    limit: int | None = None,
    chunk_rows: int | None = None,
    on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    intake: Intake | None = None,
) -> Intake:
    """Walk a source through the engine.

    Parameters
    ----------
    source, engine
        What is walked, through what.
    listeners
        Called with every step, in order.
    limit
        Most rows.
    chunk_rows
        Rows read at a time; no result depends on it.
    on_chunk
        Called when a chunk is done, for progress and checkpoints.
    intake
        What was read before, by a replay that was interrupted; the source goes on behind it.
    """
    intake = Intake() if intake is None else intake
    for chunk in read(source, intake, limit=limit, chunk_rows=chunk_rows):
        for step in engine.feed(chunk):
            for listen in listeners:
                listen(step)
        on_chunk(chunk)
    return intake


def read(source: History, intake: Intake, *, limit: int | None, chunk_rows: int | None) -> Iterator[Chunk]:
    """The chunks of a source behind what was read, counted, up to ``limit`` rows in all."""
    left = None if limit is None else limit - intake.rows
    chunks = source.chunks(CHUNK_ROWS if chunk_rows is None else chunk_rows, intake.position)
    for chunk in limited(chunks, left):
        intake.add(chunk)
        yield chunk


def counts(intake: Intake, engine: Counted) -> dict[str, Any]:
    """Conservation in records: read = decided + duplicate + dead."""
    conflicts = int(engine.status[account_row.CONFLICT])
    dead = dict(sorted(intake.refused.items()))
    if conflicts:
        dead["id_conflict"] = dead.get("id_conflict", 0) + conflicts
    return {
        "events": intake.rows,
        "decided": int(engine.status[account_row.DECIDED]),
        "duplicate": int(engine.status[account_row.DUPLICATE]),
        "dead": sum(dead.values()),
        "dead_by_reason": dead,
        "late": engine.late,
        "reversals": dict(zip(RESULTS, engine.reversals.tolist(), strict=True)),
    }


def limited(chunks: Iterator[Chunk], limit: int | None) -> Iterator[Chunk]:
    """Chunks up to so many rows in all; the last one may be cut."""
    left = limit
    if left is not None and left <= 0:
        return
    for chunk in chunks:
        if left is None or len(chunk.values) <= left:
            yield chunk
        elif left > 0:
            yield _first(chunk, left)
        if left is not None:
            left -= len(chunk.values)
            if left <= 0:
                return


def _first(chunk: Chunk, rows: int) -> Chunk:
    """The first rows of a chunk."""
    decoded = chunk.decoded
    kept = int(np.searchsorted(decoded.accepted, rows))
    labels = chunk.labels
    return Chunk(
        chunk.first_row,
        chunk.values[:rows],
        type(decoded)(
            decoded.columns[:kept],
            decoded.accepted[:kept],
            [refusal for refusal in decoded.refused if refusal.index < rows],
        ),
        None if labels is None else Labels(labels.fraud[:kept], labels.attack[:kept]),
        None if chunk.feedback is None else chunk.feedback.until(kept),
        chunk.position,
        None if chunk.lines is None else chunk.lines[:rows],
    )
