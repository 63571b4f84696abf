"""Becoming the owner of partitions: fence who had them, claim them, rebuild their rows. The order is what makes it safe.

1. Read who committed last (the owner's transactional id stands in the metadata of its offsets).
2. Make publishers under names that nobody had before: this generation's.
3. Fence the previous owners: what they have open is aborted now, and they can commit nothing more.
4. Read where the group stands; nothing of theirs is pending any more.
5. Claim: commit the same offsets under the own names, so that the next owner knows whom to fence.
6. Have the rows: those that this worker had before and nobody has changed since; else as of the last marker, from a
   standby copy, a snapshot or the whole changelog, and then silently what was recorded behind it.

A partition of which records were deleted before they were read, or whose rows rest on records that cannot be read, is left
alone, with a word; the others go on.

Nothing here knows Kafka: the worker runs it on ``kafka_log.py``, the simulator of bad days on a log in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from stream.core.frame.frame import BrokenFrame
from stream.core.table.row_table import RowsFull, UnknownSchema
from stream.errors import RecoveryRefused, RiskstreamError
from stream.log.records import Place, Publisher, Reader
from stream.worker.hops.hop import Hop
from stream.worker.hops.isolation import PartitionStopped
from stream.worker.rows.changelog import RowsRefused
from stream.worker.rows.lost_records import RecordsLost, refuse_lost
from stream.worker.rows.replica import Replica, RowHop, RowSource

if TYPE_CHECKING:
    from stream.log.transactions import Membership

logger = logging.getLogger("riskstream.recovery")
UNREAD = "to be decided"
FOR_GOOD = (RecoveryRefused, UnknownSchema, RowsFull, BrokenFrame)
"""What another attempt would only find again."""
Refused = dict[tuple[str, int], RecordsLost | PartitionStopped | RowsRefused]
"""By hop and partition."""


class Superseded(RiskstreamError):
    """A recovery is of no use any more: another generation has begun."""


class RecoveryReader(Reader, Protocol):
    """A reader that also knows the owners, and how far it got."""

    records_read: int
    """Records given so far: who waits for it sees that it gets on."""

    def owners(self, places: Sequence[Place]) -> dict[Place, str]:
        """Transactional ids that committed these places last, pending transactions aside."""

    def close(self) -> None:
        """Let go of the connection."""


class LineLog(Protocol):
    """What a line needs of the log it lives on."""

    transactional: bool
    """False only on the embedded broker, which has no isolation: nobody is fenced there, and nothing claimed."""

    def reader(self) -> RecoveryReader:
        """A new reader of committed records."""

    def identity(self, topic: str) -> str:
        """Cluster and id of a topic, with a slash between them; empty where the log has none."""

    def publisher(self, transactional_id: str, membership: Membership) -> Publisher:
        """A new publisher; an older one of the same id is fenced."""

    def fence(self, transactional_id: str) -> None:
        """Abort what an id has open and let it commit nothing more."""


@dataclass(frozen=True, slots=True)
class RecoveredLine:
    """What a recovery gives.

    Parameters
    ----------
    publishers
        One for each hop.
    offsets
        Next offset to read of every input.
    refused
        Why partitions of a hop were left alone.
    sources
        What each hop's rows of each partition came from: ``kept``, ``standby copy``, ``snapshot``, ``changelog``.
    """

    publishers: dict[str, Publisher]
    offsets: dict[Place, int]
    refused: Refused
    sources: list[str]


class Recovery:
    """One attempt to become the owner; see the module.

    Parameters
    ----------
    log
        Where the line lives.
    hops
        Those whose rows are rebuilt, in the order of the line; nothing is owned in them yet.
    sources
        Where rows may be had faster than from the changelog's beginning, the best first.
    accept_lost
        Whether what was deleted unread is passed over.
    """

    def __init__(
        self, log: LineLog, hops: Sequence[Hop], sources: Sequence[RowSource] = (), *, accept_lost: bool = False
    ) -> None:  # fmt: skip
        self._log = log
        self._hops = hops
        self._accept = accept_lost
        self._sources = sources
        self._came: list[str] = []
        self.doing = ""
        """What it is at, in words."""
        self._reader: RecoveryReader | None = None
        self._abandoned = False

    @property
    def records_read(self) -> int:
        """Records read so far."""
        return self._reader.records_read if self._reader is not None else 0

    def abandon(self) -> None:
        """Say, from another thread, that this attempt is of no use any more: it fails before the next partition."""
        self._abandoned = True

    def run(
        self, partitions: Sequence[int], names: Mapping[str, str], membership: Membership,
        stopped: Mapping[tuple[str, int], PartitionStopped] = MappingProxyType({}),
    ) -> RecoveredLine:  # fmt: skip
        """Take partitions over; blocks.

        Parameters
        ----------
        names
            The own transactional id of each hop.
        membership
            As what this worker commits.
        stopped
            By hop and partition: those that are left alone.

        Raises
        ------
        RecoveryRefused
            What is stored does not fit: no other attempt will find it otherwise.
        RiskstreamError
            The broker does not give what is needed, or another generation has begun. Whatever was opened is closed.
        """
        reader = self._reader = self._log.reader()
        publishers: dict[str, Publisher] = {}
        refused: Refused = {who: why for who, why in stopped.items() if who[1] in partitions}
        try:
            with _closing_on_failure(publishers):
                self.doing = "taking over from the last owners"
                for each in self._hops:
                    self._know_topics(each, partitions)
                offsets = self._take_over(reader, partitions, names, membership, publishers, refused)
                for number, partition in enumerate(partitions, 1):
                    if self._abandoned:
                        raise Superseded("a recovery was abandoned: another generation has begun")
                    for hop in self._hops:
                        if (hop.name, partition) not in refused:
                            self._have(reader, hop, partition, f"{number} of {len(partitions)}", offsets, refused)
        finally:
            reader.close()
        for (name, partition), why in refused.items():
            logger.error("%s of partition %d are left alone: %s", name, partition, why)
        left = {
            place: offsets[place]
            for hop in self._hops
            for partition in partitions
            if (hop.name, partition) not in refused
            for place in hop.inputs(partition)
        }
        return RecoveredLine(publishers, left, refused, self._came)

    def _know_topics(self, hop: Hop, partitions: Sequence[int]) -> None:
        """Let a hop know its inputs by their ids; rows that it kept of others are of no use any more."""
        topics = sorted({place.topic for partition in partitions for place in hop.inputs(partition)})
        ids = {topic: known for topic in topics if (known := self._log.identity(topic))}
        if topics and ids != hop.topic_ids:
            hop.kept.clear()
            hop.topic_ids = ids

    def _take_over(
        self, reader: RecoveryReader, partitions: Sequence[int], names: Mapping[str, str], membership: Membership,
        publishers: dict[str, Publisher], refused: Refused,
    ) -> dict[Place, int]:  # fmt: skip
        inputs = {hop.name: [place for p in partitions for place in hop.inputs(p)] for hop in self._hops}
        places = [place for its_places in inputs.values() for place in its_places]
        previous = (
            sorted(set(reader.owners(places).values()) - {*names.values(), ""}) if self._log.transactional else []
        )
        for name in inputs:
            publishers[name] = self._log.publisher(names[name], membership)
        for transactional_id in previous:
            self._log.fence(transactional_id)
        stands = {place: position.offset for place, position in reader.positions(places).items()}
        offsets = {}
        for name, its_places in inputs.items():
            for place in its_places:
                if isinstance(refused.get((name, place.partition)), PartitionStopped):
                    offsets[place] = stands[place]
                    continue
                try:
                    offsets[place] = refuse_lost(reader, place, stands[place], UNREAD, accept=self._accept)
                except RecordsLost as error:
                    refused.setdefault((name, place.partition), error)
        for name, its_places in inputs.items():
            publishers[name].begin()
            mine = {place: offsets[place] for place in its_places if (name, place.partition) not in refused}
            publishers[name].commit(mine)
        return offsets

    def _have(
        self, reader: RecoveryReader, hop: Hop, partition: int, number: str,
        offsets: Mapping[Place, int], refused: Refused,
    ) -> None:  # fmt: skip
        """One hop's rows of one partition."""
        self.doing = f"{hop.name} of partition {partition} ({number})"
        stands = {place: offsets[place] for place in hop.inputs(partition)}
        came = "kept"
        try:
            if not hop.take_up(partition, stands):
                came = self._rebuild(hop, partition, lambda replica: hop.recover(reader, partition, stands, replica))
        except (RecordsLost, PartitionStopped, RowsRefused) as error:
            refused[hop.name, partition] = error
            return
        except FOR_GOOD as error:
            raise RecoveryRefused(f"{self.doing}: {error}") from error
        self._came.append(came)
        logger.info("recovered %s: %d rows (%s)", self.doing, len(hop.tables(partition)[1][0]), came)

    def _rebuild(
        self, hop: RowHop, partition: int, recover: Callable[[Replica[Any] | None], None]
    ) -> str:  # fmt: skip
        """Recover from the best source that has the rows; returns which it was."""
        begins = self.doing
        for source in self._sources:
            try:
                replica = source.take(hop, partition)
                if replica is not None:
                    self.doing = f"{begins} from its {source.what}"
                    recover(replica)
                    self.doing = begins
                    return source.what
            except (RecordsLost, PartitionStopped):
                raise
            except RiskstreamError as error:
                logger.warning("%s of partition %d: %s not used: %s", hop.name, partition, source.what, error)
        self.doing = f"{begins} from the changelog"
        recover(None)
        self.doing = begins
        return "changelog"


@contextmanager
def _closing_on_failure(publishers: Mapping[str, Publisher]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for publisher in publishers.values():
            publisher.close()
        raise
