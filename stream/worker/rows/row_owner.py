"""What both hops do with the partitions whose rows they own: know what has changed, and set rows aside at a rebalance."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from stream.core.table.row_table import RowTable
from stream.log.records import Place


class OwnedPartition(Protocol):
    """One partition's rows and place in its inputs."""

    unwritten: int
    """Records since the last checkpoint: no fewer than changed rows."""


Partition = TypeVar("Partition", bound=OwnedPartition)


@dataclass(kw_only=True)
class RowOwner(ABC, Generic[Partition]):
    """See the module.

    Parameters
    ----------
    owned
        Partitions by number.
    kept
        What was owned before a rebalance, as of its last commit.
    walked
        Records so far, of all partitions.
    topic_ids
        Cluster and id of each input topic, where the log has such: they stand in the markers.
    """

    owned: dict[int, Partition] = field(default_factory=dict)
    kept: dict[int, Partition] = field(default_factory=dict)
    walked: int = 0
    forgotten: int = 0
    """Rows that were taken out so far."""
    topic_ids: dict[str, str] = field(default_factory=dict)
    begun: dict[int, dict[Place, int]] = field(default_factory=dict)
    """Where each partition's rows stood when it became owned."""
    suspects: dict[int, dict[Place, int]] = field(default_factory=dict)
    """Partitions of which a batch could not be walked, and where that batch ended: up to there each is walked with care."""

    def is_suspect(self, partition: int, stands: Mapping[Place, int]) -> bool:
        """Whether a batch that begins here is to be walked with care."""
        ends = self.suspects.get(partition)
        if ends is None:
            return False
        if all(stands.get(place, end) >= end for place, end in ends.items()):
            del self.suspects[partition]
            return False
        return True

    def own(self, partition: int, owner: Partition) -> None:
        """Own a partition from now on."""
        self.owned[partition] = owner
        self.begun[partition] = self.input_offsets(partition)

    def may_take_out(self, partition: int) -> bool:
        """Whether forgotten rows may be taken out at a checkpoint: once records were taken since the partition became owned.

        Another worker may have the rows set aside as they were then, and takes them up again where the group still stands
        there: it would hold, and count in its markers, what has a tombstone.
        """
        return self.input_offsets(partition) != self.begun.get(partition)

    @abstractmethod
    def input_offsets(self, partition: int) -> dict[Place, int]:
        """Input offsets that an owned partition's rows stand for."""

    @abstractmethod
    def tables(self, partition: int) -> tuple[Place, tuple[RowTable, ...]]:
        """The rows of an owned partition, and the changelog they are written to."""

    def count(self, partition: int, records: int) -> None:
        """So many records more of a partition were walked."""
        self.owned[partition].unwritten += records
        self.walked += records

    def unwritten(self, partition: int) -> int:
        """Records since the last checkpoint: no fewer than changed rows."""
        return self.owned[partition].unwritten

    def dirty(self, partition: int) -> bool:
        """Whether rows have changed since the last checkpoint."""
        return any(table.has_changes for table in self.tables(partition)[1])

    def fullest(self, partition: int) -> int:
        """Rows of the fullest table of a partition; 0 where it has just been given away, for another thread may ask."""
        try:
            return max(map(len, self.tables(partition)[1]))
        except KeyError:
            return 0

    def written(self, partition: int) -> None:
        """Say that the last checkpoint was committed."""
        self.owned[partition].unwritten = 0
        for table in self.tables(partition)[1]:
            table.written()

    def forget_kept(self, but: Sequence[int]) -> None:
        """Let go of what was set aside, these partitions' aside: it is another worker's now."""
        self.kept = {partition: kept for partition, kept in self.kept.items() if partition in but}
