"""What the second hop has left out because it could not be read or walked: recorded, so that all leave out the same.

A record of ``riskstream-payees-skipped`` names a frame by its offset in the partition, and what of it was left out: the
places of transactions and of feedback, or all of it. Recovery, standby copies and the oracle walk the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from rules.bounded_json import NotReadable, load
from stream.core.frame import Frame, decode_frame

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


@dataclass(slots=True)
class Skips:
    """Those of one partition, by frame."""

    by_frame: dict[int, Skip] = field(default_factory=dict)

    def take(self, value: bytes) -> None:
        """Read one record; NotReadable where it is none."""
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
