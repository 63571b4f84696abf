"""The fetchers of a line, one a hop: from the log into the mailboxes of its lanes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from stream.log.fetcher import Fetcher
from stream.log.records import Place

if TYPE_CHECKING:
    from stream.worker.ownership.line import Line

logger = logging.getLogger("riskstream.ownership")


class LineFetchers:
    """See the module; :class:`stream.worker.ownership.owner.FetchControl`.

    Parameters
    ----------
    line
        Whose mailboxes are filled.
    arrived
        Called on a fetching thread after records came.
    lost
        Called there with the reason when what was fetched may be lost, or what was to be fetched was deleted.
    starting
        Called with the partitions before they are fetched.
    """

    def __init__(
        self, line: Line, arrived: Callable[[], object], lost: Callable[[str], object],
        starting: Callable[[frozenset[int]], None] = lambda partitions: None,
    ) -> None:  # fmt: skip
        self._line = line
        self._lost = lost
        self._starting = starting
        self._fetchers = {
            name: Fetcher(
                line.settings, lane.mailbox, arrived, self._deleted, lambda reason: lost(f"fetching failed: {reason}"),
                name=f"fetch {name}", restarted=line.metrics.thread_restarted,
                committed=lane.hop.from_own_hop and line.transactional,
            )
            for name, lane in line.lanes.items()
        }  # fmt: skip

    @property
    def failure(self) -> str:
        """Why records are not fetched now; empty while they are."""
        failing = {name: fetcher.thread.failure for name, fetcher in self._fetchers.items()}
        return "; ".join(f"{name}: {failure}" for name, failure in failing.items() if failure)

    def start(self, partitions: frozenset[int], offsets: Mapping[Place, int]) -> None:
        """Fetch from these offsets on, and nothing else; blocks."""
        self._starting(partitions)
        for name, fetcher in self._fetchers.items():
            lane = self._line.lanes[name]
            fetcher.start({place: at for place, at in offsets.items() if self._line.lane_of(place.topic) is lane})

    def stop(self) -> None:
        """Put nothing more into the mailboxes; blocks."""
        for fetcher in self._fetchers.values():
            fetcher.stop()

    def close(self) -> None:
        """End the threads; blocks."""
        for fetcher in self._fetchers.values():
            fetcher.close()

    def _deleted(self, place: Place) -> None:
        logger.error("%s[%d]: the next records to read were deleted", place.topic, place.partition)
        self._lost("records were deleted before they were read")
