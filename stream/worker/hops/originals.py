"""Records of inputs as they came, for dead letters of what only the second hop has found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from stream.log.reader import ReadFailed
from stream.log.records import Place, PublishFailed, Reader, Record

GAP = 500
"""Records that lie so near to each other are read in one go: a request costs more than what it skips."""


class OriginalReader(Reader, Protocol):
    """Reads inputs, and is closed."""

    def close(self) -> None:
        """Let go of the connection."""


def read_originals(
    open_reader: Callable[[], OriginalReader], places: Iterable[tuple[Place, int]]
) -> dict[tuple[Place, int], Record]:
    """Records by place and offset; those that are not there any more are missing.

    Raises
    ------
    PublishFailed
        The broker does not give them: its trouble is not the record's, so the batch is given up and tried again.
    """
    wanted = sorted(set(places))
    found: dict[tuple[Place, int], Record] = {}
    reader = open_reader()
    try:
        for place, start, end in runs(wanted):
            low, _ = reader.watermarks(place)
            for chunk in reader.read(place, max(low, start), end):
                found.update({(place, record.offset): record for record in chunk})
    except ReadFailed as error:
        raise PublishFailed(f"the records of dead letters cannot be read: {error}") from error
    finally:
        reader.close()
    return {at: found[at] for at in wanted if at in found}


def runs(wanted: Sequence[tuple[Place, int]]) -> Iterator[tuple[Place, int, int]]:
    """Spans to read so that each place and offset (sorted) is met, each at most ``GAP`` records further than wanted.

    >>> here, there = Place("in", 0), Place("in", 1)
    >>> [(at.partition, *span) for at, *span in runs([(here, 7), (here, 9), (here, 5_000), (there, 3)])]
    [(0, 7, 10), (0, 5000, 5001), (1, 3, 4)]
    """
    begun: tuple[Place, int, int] | None = None
    for place, offset in wanted:
        if begun is not None and begun[0] == place and offset < begun[2] + GAP:
            begun = place, begun[1], offset + 1
            continue
        if begun is not None:
            yield begun
        begun = place, offset, offset + 1
    if begun is not None:
        yield begun
