"""Snapshots of the rows of owned partitions, taken now and then on a thread beside the hops.

The hops only say when a checkpoint was committed (:meth:`RowSnapshots.marked`); nothing waits for the disk. What goes wrong
with it is told and counted, and the worker goes on: a recovery then reads the changelog. See ``row_snapshot.py``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from stream.core.table.row_table import RowTable
from stream.errors import RiskstreamError
from stream.log.records import Place
from stream.log.supervised import SupervisedThread
from stream.worker.rows.replica import Replica, RowHop
from stream.worker.rows.row_snapshot import BLOCK_BYTES, HEADER_BYTES, Copying, fill

logger = logging.getLogger("riskstream.snapshots")
SHARE: Final = 0.2
"""Of its time the thread copies; the rest the core is the hops'."""
LONGEST_REST_S: Final = 1.0


class Folder(Protocol):
    """Where snapshots lie: :class:`stream.worker.rows.snapshot_folder.SnapshotFolder`."""

    def create(self, name: str, size: int) -> BinaryIO:
        """A temporary file."""

    def publish(self, name: str, file: BinaryIO) -> None:
        """Make it the snapshot of this name."""

    def discard(self, name: str, file: BinaryIO) -> None:
        """Give it up."""

    def open(self, name: str) -> tuple[BinaryIO, int] | None:
        """A snapshot and its size."""


class SnapshotMetrics(Protocol):
    """What is counted."""

    def snapshot(self, result: str) -> None:
        """One was ``written``, ``failed`` (the disk), or ``refused`` when a recovery wanted to use it."""

    def thread_restarted(self, thread: str) -> None:
        """The thread failed and is started again."""


@dataclass(slots=True)
class _Job:
    copying: Copying
    file: BinaryIO | None = None
    identity: str = ""
    copied: bool = False
    vouched: int | None = None
    """Offset of the first marker that was committed after the copy had ended."""


class RowSnapshots:
    """See the module. One is due for each partition and hop every so often, beginning at a checkpoint.

    Parameters
    ----------
    folder
        Where they lie.
    identity
        The ids of a topic and its cluster; asks the broker.
    interval_s
        Between two snapshots of a partition.
    """

    what = "snapshot"

    def __init__(
        self, folder: Folder, identity: Callable[[str], str], interval_s: float, metrics: SnapshotMetrics,
        clock: Callable[[], float] = time.monotonic, block_bytes: int = BLOCK_BYTES,
    ) -> None:  # fmt: skip
        self._folder = folder
        self._identity = identity
        self._interval_s = interval_s
        self._metrics = metrics
        self._clock = clock
        self._block_bytes = block_bytes
        self.failure = ""
        """Why the last one could not be written; empty when it was."""
        self.blocks_read = 0
        """By recoveries: who waits sees that it gets on."""
        self._due: dict[Place, float] = {}
        self._began = clock()
        self._jobs: dict[Place, _Job] = {}
        self._abandoned: list[_Job] = []
        self._lock = threading.Lock()
        self._asked = threading.Event()
        self.thread = SupervisedThread("snapshots", self._run, metrics.thread_restarted)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def stop(self) -> None:
        """End the thread; what is in the making is given up."""
        self.thread.stopping.set()
        self.forget()
        self._asked.set()
        self.thread.stop()

    # --- called by the line

    def marked(self, place: Place, tables: tuple[RowTable, ...], acknowledged: Mapping[Place, int]) -> None:
        """A checkpoint was committed and no row has changed since; its marker's offset is in ``acknowledged``."""
        marker = acknowledged.get(place)
        if marker is None:
            return
        with self._lock:
            job = self._jobs.get(place)
            if job is not None and job.copied and job.vouched is None:
                job.vouched = marker
            elif job is None and self._clock() >= self._due.get(place, self._began + self._interval_s):
                self._jobs[place] = _Job(Copying(place, tables, marker + 1, self._block_bytes))
            else:
                return
        self._asked.set()

    def awaits(self, place: Place) -> bool:
        """Whether a snapshot is complete but for a marker."""
        job = self._jobs.get(place)
        return job is not None and job.copied and job.vouched is None

    def forget(self) -> None:
        """The tables are not the hops' any more: nothing vouches for what was copied of them."""
        with self._lock:
            given_up = [place for place, job in self._jobs.items() if job.vouched is None]
            self._abandoned += [self._jobs.pop(place) for place in given_up]
        self._asked.set()

    # --- called by a recovery

    def take(self, hop: RowHop, partition: int) -> Replica[Any] | None:
        """A replica filled from the snapshot, None where there is none.

        Raises
        ------
        ReplicaRefused
            It is not to be trusted; counted.
        """
        try:
            opened = self._folder.open(_name(hop.changelog(partition)))
            if opened is None:
                return None
            replica = hop.replica(partition)
            file, size = opened
            with file:
                fill(file, replica, self._identity(replica.place.topic), size, self._read)
        except OSError as error:
            self._metrics.snapshot("refused")
            raise RiskstreamError(f"it cannot be read: {error.strerror}") from error
        except RiskstreamError:
            self._metrics.snapshot("refused")
            raise
        return replica

    def _read(self) -> None:
        self.blocks_read += 1

    # --- on the thread

    def step(self) -> bool:
        """One block, or one file put in its place; returns whether there was anything to do."""
        with self._lock:
            given_up = self._abandoned.pop() if self._abandoned else None
            ready = [(p, j) for p, j in self._jobs.items() if not j.copied or j.vouched is not None]
        if given_up is not None:
            self._discard(given_up)
            return True
        if not ready:
            return False
        place, job = ready[0]
        try:
            self._work(place, job)
        except (OSError, RiskstreamError) as error:
            self._failed(place, job, error)
        except Exception as error:
            # given up all the same: the thread would fail of it again and again
            self._failed(place, job, RiskstreamError(f"{type(error).__name__}: {error}"))
            raise
        return True

    def _work(self, place: Place, job: _Job) -> None:
        if job.vouched is not None and job.file is not None:
            if self._identity(place.topic) != job.identity:
                raise RiskstreamError("the topic was made anew meanwhile")
            job.file.seek(0)
            job.file.write(job.copying.header(job.identity, job.vouched).encoded())
            self._folder.publish(_name(place), job.file)
            self._metrics.snapshot("written")
            self.failure = ""
            self._end(place, job)
            return
        if job.file is None:
            job.identity = self._identity(place.topic)
            job.file = self._folder.create(_name(place), job.copying.file_bytes)
            job.file.write(bytes(HEADER_BYTES))
        if job.copying.step(job.file):
            with self._lock:
                job.copied = True

    def _failed(self, place: Place, job: _Job, error: OSError | RiskstreamError) -> None:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.failure = f"{place.topic}[{place.partition}]: no snapshot: {why}; a recovery reads the changelog instead"
        logger.warning("%s", self.failure)
        self._metrics.snapshot("failed")
        self._discard(job)
        self._end(place, job)

    def _discard(self, job: _Job) -> None:
        if job.file is not None:
            with suppress(OSError):  # the disk has failed already, and that was told
                self._folder.discard(_name(job.copying.place), job.file)

    def _end(self, place: Place, job: _Job) -> None:
        with self._lock:
            if self._jobs.get(place) is job:
                del self._jobs[place]
            elif job in self._abandoned:
                self._abandoned.remove(job)
            self._due[place] = self._clock() + self._interval_s

    def _run(self, thread: SupervisedThread) -> None:
        while not thread.stopping.is_set():
            began = time.monotonic()
            worked = self.step()
            thread.well()
            if worked:
                # a block at a time, and then the hops have the core
                time.sleep(min((time.monotonic() - began) * (1 / SHARE - 1), LONGEST_REST_S))
            else:
                self._asked.wait()
                self._asked.clear()
        while self.step():
            pass


def _name(place: Place) -> str:
    return f"{place.topic}-{place.partition}"
