"""The seam between the hops and the log they live on: records, where offsets stand, one transaction at a time.

The worker meets it with Kafka (``transactions.py``, ``reader.py``); the simulator of bad days meets it with a log in
memory. Nothing here knows which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from stream.core.packed import Packed
from stream.errors import RiskstreamError

Headers = list[tuple[str, str | bytes | None]]
PackedHeaders = Sequence[tuple[str, Packed | bytes]]


class Place(NamedTuple):
    """A topic (full name) and one of its partitions."""

    topic: str
    partition: int


class Record(NamedTuple):
    """A record as it was read."""

    offset: int
    timestamp: int
    """Kafka timestamp, ms since the epoch."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class Position(NamedTuple):
    """Where a group stands: the next offset to read, and who said so last."""

    offset: int
    owner: str


class PublishFailed(RiskstreamError):
    """A transaction did not commit, or nobody knows whether it did.

    Whoever gets this must forget its rows and its publisher, and recover: what the log holds is the truth.
    """


class Publisher(Protocol):
    """Writes one transaction at a time."""

    def begin(self) -> None:
        """Open a transaction."""

    acknowledged: dict[Place, int]
    """Last acknowledged offset of each place that a tracked record was sent to."""

    def send(
        self, topic: str, value: bytes | None, key: bytes | None = None, partition: int = -1,
        headers: Headers | None = None, tracked: bool = False,
    ) -> None:  # fmt: skip
        """Add a record; partition -1 means by murmur2 of the key."""

    def send_many(self, topic: str, values: Packed, keys: Packed, headers: PackedHeaders = ()) -> None:
        """Add records, partitions by murmur2 of their keys; a header's value is one for all, or one for each."""

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Commit what was sent together with the input offsets it stands for.

        Raises
        ------
        PublishFailed
            Refused (a stale owner), aborted or unknown.
        """

    def close(self) -> None:
        """Let go of connections; an open transaction is aborted."""


def send_each(publisher: Publisher, topic: str, values: Packed, keys: Packed, headers: PackedHeaders = ()) -> None:
    """:meth:`Publisher.send_many` one by one, where nothing faster is needed."""
    for place, (value, key) in enumerate(zip(values, keys, strict=True)):
        own: Headers = [(name, column if isinstance(column, bytes) else column[place]) for name, column in headers]
        publisher.send(topic, value, key, headers=own or None)


class Reader(Protocol):
    """Reads committed records."""

    def positions(self, places: Sequence[Place]) -> dict[Place, Position]:
        """Where the group stands; places it never committed stand at the log's beginning, owned by nobody."""

    def read(self, place: Place, start: int, stop: int | None = None) -> Iterator[list[Record]]:
        """Committed records from ``start`` up to ``stop`` (exclusive), or to the last stable offset as of now."""
