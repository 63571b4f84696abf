"""Frames that could not be read or walked: which records in them are to blame, and what is written about those."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stream.core.frame.frame import ForeignFrame, Frame, decode_frame, salvaged
from stream.core.frame.skipped import Skip
from stream.core.payee.payee_hop import PayeeHop
from stream.log.records import Headers, Place, Record, RecordBatch
from stream.worker.hops import isolation
from stream.worker.hops.dead_letters import dead_letter
from stream.worker.hops.isolation import REASON, Culprit, PartitionStopped, message_of

logger = logging.getLogger("riskstream.payees")
PROFILED = "riskstream.profiled"
Originals = Callable[[Iterable[tuple[Place, int]]], Mapping[tuple[Place, int], Record]]
"""Records of inputs as they came, by place and offset; those that are gone are missing."""
TRANSACTIONS, FEEDBACK = "bank.transactions.v1", "bank.feedback.v1"


@dataclass(frozen=True, slots=True)
class LeftOutLetter:
    """A dead letter to be sent."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class FrameCulprit(Culprit):
    """A record of a frame; ``offset`` is the frame's, ``at`` its place there, -1 for a frame that cannot be read."""

    at: int = -1
    is_feedback: bool = False


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """A record of an input that is not walked: whose fault, where it lies, and its place in the frame."""

    culprit: FrameCulprit
    source: Place
    offset: int
    mark: str


class FrameTrial:
    """Tries the frames of a batch on copies of the rows they concern.

    Parameters
    ----------
    hop, place
        Whose frames, and where they are.
    records
        The batch.
    core
        The rows; they are left as they are.
    """

    def __init__(self, hop: str, place: Place, records: RecordBatch, core: PayeeHop) -> None:
        self._hop = hop
        self._place = place
        self._records = records
        self._core = core
        self._frames: list[tuple[int, Frame]] = []

    def culprits(self) -> list[FrameCulprit]:
        """What fails by itself, in order: frames that cannot be read, records that cannot be walked.

        Raises
        ------
        PartitionStopped
            A frame is another version's.
        """
        unread = [culprit for number in range(len(self._records)) if (culprit := self._read(number)) is not None]
        items = [
            (number, is_feedback, at)
            for number, (_, frame) in enumerate(self._frames)
            for is_feedback, records in ((False, frame.transactions), (True, frame.feedback))
            for at in range(len(records))
        ]

        def attempt(start: int, stop: int) -> None:
            tried = _parts(self._frames, items[start:stop])
            core = self._core.excerpt(self._frames)
            core.process(tried)
            self._core = core

        walked = [self._walked(items[at], error) for at, error in isolation.culprits(len(items), attempt).items()]
        return sorted([*unread, *walked], key=lambda culprit: culprit.offset)

    def skips(self, found: Sequence[FrameCulprit]) -> list[Skip]:
        """What is to be recorded about them, a record a frame."""
        skips = []
        for offset in sorted({culprit.offset for culprit in found}):
            mine = [culprit for culprit in found if culprit.offset == offset]
            skips.append(
                Skip(
                    offset,
                    mine[0].timestamp,
                    any(culprit.at < 0 for culprit in mine),
                    frozenset(culprit.at for culprit in mine if culprit.at >= 0 and not culprit.is_feedback),
                    frozenset(culprit.at for culprit in mine if culprit.is_feedback),
                )
            )
        return skips

    def letters(
        self, found: Iterable[FrameCulprit], topic: Callable[[str], str], originals: Originals
    ) -> Iterator[LeftOutLetter]:  # fmt: skip
        """The dead letters: of each transaction and feedback the record that it came from; of a frame that cannot be read
        its bytes too."""
        blamed = list(found)
        frames = dict(self._frames)
        left = [of_record for culprit in blamed for of_record in self._left_out(culprit, frames, topic)]
        known = originals([(record.source, record.offset) for record in left])
        for culprit in blamed:
            if culprit.at < 0:
                headers = dead_letter(self._place, culprit.offset, REASON, culprit.message)
                yield LeftOutLetter(self._place.topic + ".dlq", None, self._bytes(culprit.offset), headers)
        for record in left:
            yield self._letter(record, known.get((record.source, record.offset)))

    def _bytes(self, offset: int) -> bytes:
        """A frame as it came."""
        return self._records.value(self._records.offsets.tolist().index(offset)) or b""

    def _left_out(
        self, culprit: FrameCulprit, frames: Mapping[int, Frame], topic: Callable[[str], str]
    ) -> list[_LeftOut]:  # fmt: skip
        """The records that go with a culprit: itself, or all that a frame holds which cannot be read."""
        if culprit.at >= 0:
            frame = frames[culprit.offset]
            records = (frame.feedback if culprit.is_feedback else frame.transactions)[culprit.at : culprit.at + 1]
            spans = [(culprit.is_feedback, culprit.at, records)]
        else:
            whole = salvaged(self._bytes(culprit.offset))
            spans = [(False, 0, whole.transactions), (True, 0, whole.feedback)]
        return [
            _LeftOut(
                culprit, Place(topic(FEEDBACK if is_feedback else TRANSACTIONS), int(record["source_partition"])),
                int(record["source_offset"]), f"{'f' if is_feedback else ''}{at}",
            )
            for is_feedback, first, records in spans
            for at, record in enumerate(records, first)
        ]  # fmt: skip

    def _letter(self, record: _LeftOut, found: Record | None) -> LeftOutLetter:
        gone = "" if found is not None else "; its record is not on its topic any more"
        mark = f"{self._place.topic}/{self._place.partition}/{record.culprit.offset}/{record.mark}"
        headers = [
            *dead_letter(record.source, record.offset, REASON, record.culprit.message + gone),
            (PROFILED, mark.encode()),
        ]
        return LeftOutLetter(
            record.source.topic + ".dlq", found.key if found is not None else None,
            found.value if found is not None else None, headers,
        )  # fmt: skip

    def _read(self, number: int) -> FrameCulprit | None:
        """Read one frame; what is to blame if it cannot be."""
        offset, timestamp = int(self._records.offsets[number]), int(self._records.timestamps[number])
        try:
            self._frames.append((offset, decode_frame(self._records.values.view(number))))
        except ForeignFrame as error:
            raise PartitionStopped(self._hop, self._place.partition, self._place, offset, str(error)) from error
        except Exception as error:
            logger.error("%s[%d] offset %d could not be read", *self._place, offset, exc_info=error)
            return FrameCulprit(self._place, offset, timestamp, message_of(error, "read"))
        return None

    def _walked(self, item: tuple[int, bool, int], error: Exception) -> FrameCulprit:
        number, is_feedback, at = item
        offset = self._frames[number][0]
        timestamp = int(self._records.timestamps[self._records.offsets.tolist().index(offset)])
        what = "feedback" if is_feedback else "transaction"
        logger.error("%s[%d] offset %d %s %d could not be walked", *self._place, offset, what, at, exc_info=error)
        return FrameCulprit(self._place, offset, timestamp, message_of(error, "walked"), at, is_feedback)


def _parts(frames: Sequence[tuple[int, Frame]], items: Sequence[tuple[int, bool, int]]) -> list[tuple[int, Frame]]:
    """The frames with nothing in them but these records."""
    wanted: dict[int, tuple[list[int], list[int]]] = {}
    for number, is_feedback, at in items:
        wanted.setdefault(number, ([], []))[is_feedback].append(at)
    return [
        (frames[number][0], Frame(frames[number][1].transactions[_span(told)], frames[number][1].feedback[_span(heard)]))
        for number, (told, heard) in wanted.items()
    ]  # fmt: skip


def _span(places: Sequence[int]) -> slice:
    return slice(places[0], places[-1] + 1) if places else slice(0, 0)
