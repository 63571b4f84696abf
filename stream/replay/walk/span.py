"""A range of a topic: from and to a time, or offsets of its partitions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from stream.arrays.rfc3339 import microseconds
from stream.errors import UsageError

_OFFSETS = re.compile(r"[0-9]+:[0-9]+(,[0-9]+:[0-9]+)*")


@dataclass(frozen=True, slots=True)
class Bound:
    """One end of a range.

    Parameters
    ----------
    time_ms
        Kafka timestamp, ms since the epoch: the first record stamped then or later; None where offsets are given.
    offsets
        Offset by partition; a partition that is not named keeps its own end.
    """

    time_ms: int | None
    offsets: Mapping[int, int]


def parse_bound(text: str | None, option: str) -> Bound | None:
    """An end of a range from the command line.

    Raises
    ------
    UsageError
        Neither a time nor offsets.

    >>> parse_bound("2026-07-01T00:00:00Z", "--from").time_ms
    1782864000000
    >>> parse_bound("0:1200,3:7", "--to").offsets
    {0: 1200, 3: 7}
    """
    if text is None:
        return None
    if _OFFSETS.fullmatch(text):
        pairs = [pair.split(":") for pair in text.split(",")]
        offsets = {int(partition): int(offset) for partition, offset in pairs}
        if len(offsets) < len(pairs):
            raise UsageError(f"{option} {text}: a partition is named twice")
        return Bound(None, offsets)
    try:
        read = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{option} {text!r}: write a time, for instance 2026-07-01T00:00:00Z, or offsets by partition, 0:1200,1:900"
        ) from error
    instant = read if read.tzinfo is not None else read.replace(tzinfo=UTC)
    return Bound(microseconds(instant.astimezone(UTC)) // 1000, {})


@dataclass(frozen=True, slots=True)
class Span:
    """From the one to the other, which is left out; None is the log's own end."""

    start: Bound | None = None
    stop: Bound | None = None

    def __post_init__(self) -> None:
        times = [bound.time_ms for bound in (self.start, self.stop) if bound is not None and bound.time_ms is not None]
        if len(times) == 2 and times[0] >= times[1]:
            raise UsageError("--from lies at or behind --to: nothing lies between them")
        if self.start is not None and self.stop is not None:
            for partition, offset in self.start.offsets.items():
                if offset > self.stop.offsets.get(partition, offset):
                    raise UsageError(f"--from lies behind --to in partition {partition}")
