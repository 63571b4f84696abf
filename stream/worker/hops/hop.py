"""What a hop is to those who run it: to the line, to recoveries, to whoever copies its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from stream.core.table.row_table import RowTable
from stream.log.records import Place, Publisher, Reader, RecordBatch
from stream.worker.hops.counts import HopMetrics
from stream.worker.rows.replica import Replica


class Processed(Protocol):
    """What came of a batch, to be counted once it is committed."""

    def count(self, metrics: HopMetrics) -> None:
        """Add it to the metrics."""


class Hop(Protocol):
    """Takes batches of records of the partitions whose rows it has, and writes what they cause.

    A hop is told where it reads, never which one it is: what differs between hops is in here. The line calls it from one
    thread at a time, within a transaction that it commits or gives up as a whole.
    """

    name: str
    """As metrics, transactional ids and logs call it."""
    from_own_hop: bool
    """Whether its input comes from a hop of this line, thus in transactions alone, each gathered already."""
    suspects: dict[int, dict[Place, int]]
    """Partitions of which a batch could not be walked, and where that batch ended."""
    topic_ids: dict[str, str]
    """Cluster and id of each input topic, where the log has such."""
    forgotten: int
    """Forgotten rows that were taken out so far."""

    @property
    def sources(self) -> Sequence[str]:
        """Its input topics, full names."""

    @property
    def walked(self) -> int:
        """Records so far, of all partitions."""

    @property
    def owned(self) -> dict[int, Any]:
        """Partitions whose rows are here, by number."""

    @property
    def kept(self) -> dict[int, Any]:
        """What was owned before a rebalance, as of its last commit."""

    def inputs(self, partition: int) -> Sequence[Place]:
        """The inputs of one partition, one for each of :attr:`sources`."""

    def input_offsets(self, partition: int) -> dict[Place, int]:
        """Next offset of each input that an owned partition's rows stand for."""

    def process(self, publisher: Publisher, batch: Mapping[Place, RecordBatch]) -> Processed:
        """Walk a batch of owned partitions and write what it causes.

        Raises
        ------
        OutOfPlace
            It does not begin where the rows stand.
        WalkFailed
            Something in it could not be read or walked: the rows are to be recovered, and it is tried again with care.
        PartitionStopped
            That was so too often.
        """

    def checkpoint(self, publisher: Publisher, partition: int) -> int:
        """Write the rows changed since the last checkpoint and a marker of what they stand for; returns how many."""

    def written(self, partition: int) -> None:
        """Say that the last checkpoint was committed."""

    def dirty(self, partition: int) -> bool:
        """Whether rows have changed since the last checkpoint."""

    def unwritten(self, partition: int) -> int:
        """Records since the last checkpoint: no fewer than changed rows."""

    def fullest(self, partition: int) -> int:
        """Rows of the fullest table of a partition."""

    def tables(self, partition: int) -> tuple[Place, tuple[RowTable, ...]]:
        """The rows of an owned partition, and the changelog they are written to."""

    def changelog(self, partition: int) -> Place:
        """Where one partition's rows are written to."""

    def replica(self, partition: int) -> Replica[Any]:
        """An empty replica of one partition's rows."""

    def recover(
        self, reader: Reader, partition: int, offsets: Mapping[Place, int], replica: Any = None
    ) -> None:  # fmt: skip
        """Rebuild the rows of one partition as of where the group stands, and own it."""

    def take_up(self, partition: int, offsets: Mapping[Place, int]) -> bool:
        """Own again what was set aside, if the group still stands where its rows do."""

    def keep(self, publisher: Publisher | None) -> None:
        """Set aside what is owned, which is as the last commit left it."""

    def forget_kept(self, but: Sequence[int]) -> None:
        """Let go of what was set aside, these partitions' aside."""
