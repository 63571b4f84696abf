"""What becomes of a record that riskstream itself fails at: it is found by halving, and the others go on.

A walk that raises leaves rows half changed: they are dropped and recovered, and the batch is tried again with care, on
copies of the rows that it concerns (``AccountHop.excerpt``, ``PayeeHop.excerpt``). What raises there alone becomes a
dead letter ``internal``, and a record of it stands in the log. Where nothing can be found, or too much within an hour, the
partition stops and the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from stream.errors import RiskstreamError
from stream.log.records import Place, PublishFailed

logger = logging.getLogger("riskstream.isolation")
HOUR_MS: Final = 3_600_000
REASON: Final = "internal"


class WalkFailed(RiskstreamError):
    """A batch of one partition could not be walked; its rows are not to be trusted.

    Parameters
    ----------
    hop, partition
        Whose.
    ends
        For each input the offset behind the batch, and where it began.
    careful
        Whether it failed although no record fails by itself.
    cause
        What was raised.
    """

    def __init__(
        self, hop: str, partition: int, ends: Mapping[Place, tuple[int, int]], cause: Exception, *, careful: bool
    ) -> None:  # fmt: skip
        where = ", ".join(f"{p.topic}[{p.partition}] offsets {first} to {end - 1}" for p, (first, end) in ends.items())
        super().__init__(f"{hop}: {where} could not be walked: {type(cause).__name__}")
        self.hop = hop
        self.partition = partition
        self.ends = {place: end for place, (_, end) in ends.items()}
        self.first = {place: first for place, (first, _) in ends.items()}
        self.careful = careful
        self.cause = cause

    def stopped(self) -> PartitionStopped:
        """What it comes to where no record is to blame."""
        place = next((p for p, end in self.ends.items() if end > self.first[p]), next(iter(self.ends)))
        # the project's own errors say what to do; another's text may hold what it failed at
        told = str(self.cause) if isinstance(self.cause, RiskstreamError) else type(self.cause).__name__
        why = f"the batch from there on cannot be walked, though each of its records can: {told}"
        return PartitionStopped(self.hop, self.partition, place, self.first[place], why)


class PartitionStopped(RiskstreamError):
    """One hop takes no more of a partition until its worker is started anew; the other partitions go on.

    Parameters
    ----------
    hop, partition
        Which.
    place, offset
        The record that it stands at.
    why
        What was wrong with it.
    """

    def __init__(self, hop: str, partition: int, place: Place, offset: int, why: str) -> None:
        super().__init__(
            f"{place.topic}[{place.partition}] stands at offset {offset}: {why}; nothing is lost, what comes behind it "
            "waits. See the worker's log and the operations guide on internal errors"
        )
        self.hop = hop
        self.partition = partition
        self.place = place
        self.offset = offset


class OutOfPlace(RiskstreamError):
    """A batch that does not begin where the rows stand: it is refused, and the rows are recovered."""


def refuse_out_of_place(place: Place, begins: int, stands: int) -> None:
    """A batch must begin where the rows stand, or records would be left out or come twice.

    Parameters
    ----------
    begins
        Where fetching began that brought it, gaps of control records within; below 0 where that is not known or not one
        stretch.
    stands
        Next offset that the rows are to take.

    Raises
    ------
    OutOfPlace
        It does not.

    >>> refuse_out_of_place(Place("t", 0), 7, 7)
    >>> refuse_out_of_place(Place("t", 0), 6, 7)
    Traceback (most recent call last):
    stream.worker.hops.isolation.OutOfPlace: t[0]: a batch begins at offset 6, the rows stand at 7
    """
    if begins != stands:
        raise OutOfPlace(
            f"{place.topic}[{place.partition}]: a batch begins at offset {begins}, the rows stand at {stands}"
        )


@dataclass(frozen=True, slots=True)
class Culprit:
    """A record that fails by itself.

    Parameters
    ----------
    place, offset, timestamp
        Where it is, and its Kafka timestamp, ms.
    message
        What its dead letter says; nothing of the payload.
    """

    place: Place
    offset: int
    timestamp: int
    message: str


def message_of(error: Exception, doing: str) -> str:
    """What a dead letter says of an error: its class alone, for its text may hold what it failed at.

    >>> message_of(ValueError("AT61 1904"), "walked")
    'ValueError while it was walked: an error of riskstream itself, see the log of its worker'
    """
    return f"{type(error).__name__} while it was {doing}: an error of riskstream itself, see the log of its worker"


def culprits(count: int, attempt: Callable[[int, int], None]) -> dict[int, Exception]:
    """Which of so many items fail by themselves, in order.

    Parameters
    ----------
    attempt
        Tries the items from its first argument up to its second. Those that were tried well are not tried again, so what
        is behind them may build on them; one that raises must leave nothing behind.

    >>> def attempt(start, stop):
    ...     if any(item in (3, 6) for item in range(start, stop)):
    ...         raise ValueError
    >>> list(culprits(8, attempt))
    [3, 6]
    """
    found: dict[int, Exception] = {}
    waiting = [(0, count)] if count else []
    while waiting:
        start, stop = waiting.pop()
        try:
            attempt(start, stop)
        except PublishFailed:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a walk raises is what is looked for
            middle = (start + stop) // 2
            if stop - start == 1:
                found[start] = error
            else:
                waiting += [(middle, stop), (start, middle)]
    return found


def refuse_too_many(hop: str, partition: int, found: Iterable[Culprit], before: Iterable[int], limit: int) -> None:
    """Stop at the record that is one too many within an hour, by the times of the records.

    Parameters
    ----------
    before
        Kafka timestamps of those that were left out before, ms.
    limit
        Setting ``internal_errors_per_hour``.

    Raises
    ------
    PartitionStopped
        There are more.
    """
    known = list(before)
    for culprit in found:
        near = sum(1 for at in known if abs(at - culprit.timestamp) < HOUR_MS)
        if near >= limit:
            raise PartitionStopped(
                hop, partition, culprit.place, culprit.offset,
                f"{culprit.message} ({near + 1} such errors within an hour, at most {limit} become dead letters: "
                "RISKSTREAM_INTERNAL_ERRORS_PER_HOUR)",
            )  # fmt: skip
        known.append(culprit.timestamp)


@contextmanager
def walking_again(hop: str, place: Place, offset: int) -> Iterator[None]:
    """In a recovery: what was walked well once and raises now stops its partition alone.

    Raises
    ------
    PartitionStopped
        Something raised that is none of the project's own errors, which say themselves what they mean.
    """
    try:
        yield
    except RiskstreamError:
        raise
    except Exception as error:
        logger.exception("%s: partition %d could not be walked again", hop, place.partition)
        why = f"what was committed before that cannot be walked again: {type(error).__name__}"
        raise PartitionStopped(hop, place.partition, place, offset, why) from error
