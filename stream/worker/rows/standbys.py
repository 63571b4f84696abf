"""Standby copies: warm rows of partitions that other workers own, for the moment when one of them is gone.

A thread reads on in the changelogs, up to where their owners' last checkpoints are; it writes nothing and hinders nobody.
Who becomes the owner takes the copy over and reads only what came since. Who keeps a copy of what is settled by the
group's leader (``assignor.py``); here is a bound on their memory, beyond which copies are dropped.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from stream.core.table.row_table import RowsFull, UnknownSchema
from stream.errors import RiskstreamError
from stream.log.records import Place, Reader
from stream.log.supervised import SupervisedThread
from stream.worker.rows.changelog import RowsRefused
from stream.worker.rows.replica import Replica, ReplicaRefused, RowHop

logger = logging.getLogger("riskstream.standbys")
POLL_S: Final = 1.0
RETRY_S: Final = 10.0


class ClosingReader(Reader, Protocol):
    """A reader with a connection."""

    def close(self) -> None:
        """Let go of it."""


class CopiedLog(Protocol):
    """What copies need of the log."""

    def reader(self) -> ClosingReader:
        """A new reader of committed records."""

    def identity(self, topic: str) -> str:
        """The ids of a topic and its cluster."""


class StandbyMetrics(Protocol):
    """What is shown."""

    def standby(self, place: Place, behind: int | None) -> None:
        """Offsets of its changelog that a copy has not read; None where there is no copy any more."""

    def thread_restarted(self, thread: str) -> None:
        """The thread failed and is started again."""


class _Copy:
    def __init__(self, replica: Replica[Any], identity: str) -> None:
        self.replica = replica
        self.identity = identity
        self.end = -1
        """The changelog's end that it was read to."""


class Standbys:
    """See the module.

    Parameters
    ----------
    limit_bytes
        Of all copies together.
    """

    what = "standby copy"

    def __init__(self, log: CopiedLog, limit_bytes: int, metrics: StandbyMetrics) -> None:
        self._log = log
        self._limit_bytes = limit_bytes
        self._metrics = metrics
        self.hops: Sequence[RowHop] = ()
        """Whose rows are copied; set by the line."""
        self.failure = ""
        """Why copies are not kept, or not all of them; empty when they are."""
        self._wanted: list[tuple[RowHop, int]] = []
        self._copies: dict[Place, _Copy] = {}
        self._too_much: set[Place] = set()
        self._lock = threading.Lock()
        self._reader: ClosingReader | None = None
        self.thread = SupervisedThread("standbys", self._run, metrics.thread_restarted)
        self._stopped = self.thread.stopping

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def stop(self) -> None:
        """End the thread."""
        self.thread.stop()

    @property
    def places(self) -> list[Place]:
        """Changelogs of which there is a copy."""
        return sorted(self._copies)

    @property
    def warm(self) -> frozenset[int]:
        """Partitions of which every hop's rows are here, read to where their changelog ended a moment ago."""
        by_partition: dict[int, int] = {}
        for place, copy in dict(self._copies).items():
            by_partition[place.partition] = by_partition.get(place.partition, 0) + (copy.end >= 0)
        return frozenset(p for p, count in by_partition.items() if count == len(self.hops))

    def keep(self, partitions: Iterable[int]) -> None:
        """Keep copies of these partitions and of no others; what is missing is read when there is time."""
        wanted = [(hop, partition) for partition in sorted(partitions) for hop in self.hops]
        with self._lock:
            self._wanted, self._too_much = wanted, set()
            keep = {hop.changelog(partition) for hop, partition in wanted}
            for place in [place for place in self._copies if place not in keep]:
                self._drop(place)

    def take(self, hop: RowHop, partition: int) -> Replica[Any] | None:
        """Hand a copy over, whatever it has read so far; None where there is none.

        Raises
        ------
        ReplicaRefused
            The changelog was made anew since.
        """
        place = hop.changelog(partition)
        with self._lock:
            self._wanted = [item for item in self._wanted if item != (hop, partition)]
            copy = self._drop(place)
        if copy is None:
            return None
        copy.replica.taken()
        if self._log.identity(place.topic) != copy.identity:
            raise ReplicaRefused("the topic was made anew since")
        return copy.replica

    def step(self) -> bool:
        """Read every copy on, beginning those that are missing; returns whether that went well."""
        refused = []
        try:
            for hop, partition in list(self._wanted):
                if self._stopped.is_set():
                    break
                try:
                    self._follow(hop, partition)
                except (RowsRefused, RowsFull, UnknownSchema) as error:
                    # one changelog that cannot be read: the copies of the others are kept up to date
                    refused.append(str(error))
                    with self._lock:
                        self._drop(hop.changelog(partition))
        except RiskstreamError as error:
            self.failure = f"copies are not up to date: {error}"
            logger.warning("%s", self.failure)
            self._forget_reader()
            return False
        if refused:
            self.failure = "; ".join(refused[:3])
            logger.warning("no standby copy: %s", self.failure)
            return False
        self.failure = (
            f"{len(self._too_much)} copies would pass the limit of {self._limit_bytes >> 20} MB and are not kept: "
            "raise RISKSTREAM_STANDBY_LIMIT_MB or add workers"
        ) if self._too_much else ""  # fmt: skip
        return True

    def _follow(self, hop: RowHop, partition: int) -> None:
        place = hop.changelog(partition)
        if self._reader is None:
            self._reader = self._log.reader()
        with self._lock:
            if (hop, partition) not in self._wanted or place in self._too_much:
                return
            copy = self._copies.get(place)
        if copy is None:
            copy = _Copy(hop.replica(partition), self._log.identity(place.topic))
            with self._lock:
                if (hop, partition) not in self._wanted:
                    return
                self._copies[place] = copy
        _, end = self._reader.watermarks(place)
        if end != copy.end:
            self._read_on(self._reader, place, copy, end)
        if self._copies.get(place) is copy and self._affordable(place, copy):
            self._metrics.standby(place, max(end - max(copy.end, copy.replica.next_offset), 0))

    def _read_on(self, reader: ClosingReader, place: Place, copy: _Copy, end: int) -> None:
        def wanted() -> bool:
            return self._copies.get(place) is copy and self._affordable(place, copy)

        try:
            if copy.replica.read_on(reader, wanted):
                copy.end = end
        except ReplicaRefused as error:
            logger.warning("a standby copy is begun anew: %s", error)
            with self._lock:
                self._drop(place)

    def _affordable(self, place: Place, copy: _Copy) -> bool:
        if sum(each.replica.bytes for each in dict(self._copies).values()) <= self._limit_bytes:
            return True
        with self._lock:
            self._too_much.add(place)
            self._drop(place)
        return False

    def _drop(self, place: Place) -> _Copy | None:
        copy = self._copies.pop(place, None)
        if copy is not None:
            self._metrics.standby(place, None)
        return copy

    def _forget_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _run(self, thread: SupervisedThread) -> None:
        try:
            while not thread.stopping.is_set():
                went_well = self.step()
                thread.well()
                thread.stopping.wait(POLL_S if went_well else RETRY_S)
        finally:
            self._forget_reader()
