"""What the second hop has left out because it could not be read or walked: recorded, so that all leave out the same.

A record of ``riskstream-payees-skipped`` names a frame by its offset in the partition, and what of it was left out: the
places of transactions and of feedback, or all of it. Recovery, standby copies and the oracle walk the rest.

The same log says from which frame on payees are forgotten after how long: what else of that hop's walk no frame says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import orjson

from rules.bounded_json import NotReadable, load
from stream.core.frame.frame import Frame, decode_frame

MAX_BYTES = 1 << 20
"""A batch of a frame has at most some ten thousand places."""


@dataclass(frozen=True, slots=True)
class Skip:
    """One record.

    Parameters
    ----------
    frame
        Offset of the frame.
    at
        Kafka timestamp of the frame, ms: what the bound on such errors is counted by.
    whole
        Whether nothing of it could be read.
    transactions, feedback
        Places that are left out, else.
    """

    frame: int
    at: int
    whole: bool = False
    transactions: frozenset[int] = frozenset()
    feedback: frozenset[int] = frozenset()

    @property
    def errors(self) -> int:
        """How many errors it stands for."""
        return 1 if self.whole else len(self.transactions) + len(self.feedback)

    def encoded(self) -> bytes:
        """The record's value.

        >>> Skip.of(Skip(7, 1_000, transactions=frozenset({2})).encoded()).transactions
        frozenset({2})
        """
        return orjson.dumps(
            {
                "frame": self.frame,
                "at": self.at,
                "whole": self.whole,
                "transactions": sorted(self.transactions),
                "feedback": sorted(self.feedback),
            }
        )

    @classmethod
    def of(cls, value: bytes) -> Skip:
        """Read a record's value.

        Raises
        ------
        NotReadable
            It is none.
        """
        read = load(value, max_bytes=MAX_BYTES, max_depth=2, max_values=100_000)
        if not isinstance(read, dict):
            raise NotReadable("nothing left out: no JSON object")
        places = [read.get("transactions", []), read.get("feedback", [])]
        numbers = [read.get("frame"), read.get("at")]
        for part in places:
            numbers += part if isinstance(part, list) else [None]
        if not all(type(number) is int for number in numbers) or type(read.get("whole", False)) is not bool:
            raise NotReadable("nothing left out: frame, at and places are integers, whole is true or false")
        return cls(
            read["frame"], read["at"], read.get("whole", False), frozenset(places[0]), frozenset(places[1])
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class IdleFrom:
    """From this frame's offset on payees idle for longer than ``idle_us`` (µs; 0: none) are forgotten."""

    from_frame: int
    idle_us: int

    def encoded(self) -> bytes:
        """The record's value.

        >>> IdleFrom.of({"from_frame": 7, "forget_us": 5}) == IdleFrom(7, 5)
        True
        """
        return orjson.dumps({"from_frame": self.from_frame, "forget_us": self.idle_us})

    @classmethod
    def of(cls, read: Any) -> IdleFrom:
        """Read a record's value; NotReadable where it is none."""
        numbers = [read.get("from_frame"), read.get("forget_us")]
        if not all(type(number) is int and 0 <= number < 2**62 for number in numbers):
            raise NotReadable("no limit: from_frame and forget_us are integers")
        return cls(*numbers)


@dataclass(slots=True)
class SkippedFrames:
    """What one partition's log says: by frame what is left out, and limits in the order in which they came into force."""

    by_frame: dict[int, Skip] = field(default_factory=dict)
    limits: list[IdleFrom] = field(default_factory=list)

    def idle_us(self, frame: int) -> int:
        """After how long payees are forgotten as a frame is walked, µs; 0: never.

        >>> skips = SkippedFrames(limits=[IdleFrom(5, 90), IdleFrom(8, 0)])
        >>> [skips.idle_us(frame) for frame in (4, 5, 7, 8)]
        [0, 90, 90, 0]
        """
        for limit in reversed(self.limits):
            if limit.from_frame <= frame:
                return limit.idle_us
        return 0

    def runs(self, frames: Sequence[tuple[int, Frame]]) -> Iterator[tuple[int, list[tuple[int, Frame]]]]:
        """Frames by offset, in runs with one limit each."""
        for idle_us, run in groupby(frames, lambda frame: self.idle_us(frame[0])):
            yield idle_us, list(run)

    def take(self, value: bytes) -> None:
        """Read one record; NotReadable where it is none."""
        read = load(value, max_bytes=MAX_BYTES, max_depth=2, max_values=100_000)
        if isinstance(read, dict) and "from_frame" in read:
            self.limits.append(IdleFrom.of(read))
            return
        skip = Skip.of(value)
        self.by_frame[skip.frame] = skip

    def read(self, offset: int, value: bytes) -> Frame | None:
        """A frame without what is left out; None where all of it is.

        Raises
        ------
        BrokenFrame
            It cannot be read, and is not left out.
        """
        skip = self.by_frame.get(offset)
        if skip is None:
            return decode_frame(value)
        return None if skip.whole else decode_frame(value).without(skip.transactions, skip.feedback)
