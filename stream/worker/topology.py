"""Has somebody changed the partitions of the line's topics while it runs?

A record's partition is its key's hash modulo their number: with partitions added, a customer's next record lies where
none of his history is. So a worker that sees it ends, before it commits anything of that kind, and one that is
started refuses; what was read and not committed waits in its topic.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Final

from stream.brokers.connect import admin
from stream.brokers.topics import existing_partitions, mismatch
from stream.errors import BrokerNotReachable
from stream.settings import Settings
from stream.worker.log import PublishFailed

logger = logging.getLogger("riskstream.topology")
LOOK_S: Final = 2.0
EXIT_STATUS: Final = 1


class Topology:
    """Looks at the topics' partition counts, again and again on a thread, and whenever somebody doubts them.

    Parameters
    ----------
    settings, partitions
        The worker's, and how many partitions its line was built for.
    end
        Ends the process at once, with an exit status.
    """

    def __init__(self, settings: Settings, partitions: int, end: Callable[[int], None] = os._exit) -> None:
        self._settings = settings
        self._partitions = partitions
        self._end = end
        self._client = admin(settings)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="topology", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(LOOK_S)

    def look(self) -> None:
        """Look once; a change ends the process.

        Raises
        ------
        BrokerNotReachable
            It cannot be told.
        """
        problem = mismatch(existing_partitions(self._client, self._settings), self._settings, self._partitions)
        if problem:
            logger.critical(
                "this worker ends: partitions were added or topics recreated while it ran, so customers' records now "
                "come where their history is not. Nothing is lost: what is not committed waits in its topic. %s",
                problem,
            )
            logging.shutdown()
            self._end(EXIT_STATUS)

    def doubt(self) -> None:
        """Look because a record lies on a wrong partition: the producer's fault, unless this ends the process.

        Raises
        ------
        PublishFailed
            It cannot be told now: the batch must not be written.
        """
        try:
            self.look()
        except BrokerNotReachable as error:
            raise PublishFailed(f"a record on a wrong partition, and {error}") from error

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self.look()
            except BrokerNotReachable:
                # whether the broker is there is the watchdog's question
                logger.debug("partition counts could not be asked", exc_info=True)
