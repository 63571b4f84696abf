"""What a file that is sent must be told of: rows that are refused, and rows out of order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from stream.errors import RiskstreamError
from stream.replay.report.replay_screen import LATE_SHARE, kind_lines
from stream.replay.source.sources import Chunk
from stream.replay.walk.file_walk import Intake

_BEFORE_ALL = -(2**62)


class FileWatch:
    """Looks at the chunks of a file as they go by.

    Parameters
    ----------
    file
        For messages.
    lateness_us
        A row further behind a row before it is out of order, µs.
    """

    def __init__(self, file: Path, lateness_us: int) -> None:
        self._file, self._lateness = file, lateness_us
        self._intake = Intake()
        self._highest = _BEFORE_ALL
        self._late = 0
        self._first_late = 0

    def watch(self, chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        """The same chunks, looked at."""
        for chunk in chunks:
            self._intake.add(chunk)
            times = chunk.decoded.columns["event_time"]
            highest = np.maximum.accumulate(np.concatenate(([self._highest], times)))
            late = np.flatnonzero(times < highest[1:] - self._lateness)
            if len(late) and not self._late and chunk.lines is not None:
                self._first_late = int(chunk.lines[chunk.decoded.accepted[late[0]]])
            self._late += len(late)
            self._highest = int(highest[-1])
            yield chunk

    @property
    def refused(self) -> int:
        """Rows that were refused."""
        return sum(self._intake.refused.values())

    @property
    def problem(self) -> bool:
        """Whether rows were refused or out of order."""
        return bool(self.refused or self._disordered)

    @property
    def _disordered(self) -> bool:
        return self._late > LATE_SHARE * self._intake.rows

    def summary(self) -> dict[str, Any]:
        """Counts."""
        return {"refused": self.refused, "refused_by_kind": self._intake.by_kind(), "out_of_order": self._late}

    def lines(self) -> Iterator[str]:
        """What to tell: kinds of refused rows at the place of their first, and disorder."""
        yield from (f"  not sent: {line}" for line in kind_lines(str(self._file), self._intake.by_kind()))
        if self._disordered:
            yield (
                f"  NOT IN ORDER: {self._late:,} rows lie more than the lateness bound behind a row before them, the first "
                f"in line {self._first_late:,}; --sort sends them in the order of their event times"
            )


def first_looked_at(chunks: Iterator[Chunk], file: Path, lateness_us: int) -> Iterator[Chunk]:
    """The chunks, unless the first of them begins with the newest row: then nothing is sent.

    Raises
    ------
    RiskstreamError
        Times go down from the first row on, by more than the lateness bound.
    """
    first = next(chunks, None)
    if first is None:
        return iter(())
    times = first.decoded.columns["event_time"]
    steps = np.sign(np.diff(times))
    if len(times) > 1 and times[0] - times[-1] > lateness_us and (steps < 0).sum() > (steps > 0).sum():
        raise RiskstreamError(f"{file}: the newest rows stand first; nothing was sent. --sort sends them in order")
    return chain([first], chunks)
