"""Has somebody changed the partitions of the line's topics while it runs, or deleted one and made it anew?

A record's partition is its key's hash modulo their number: with partitions added, a customer's next record lies where
none of his history is. A topic made anew has the old one's name and none of its records or offsets. So a worker that sees
either ends, before it commits anything of that kind, and one that is started refuses; what was read and not committed
waits in its topic.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Final

from stream.errors import BrokerNotReachable
from stream.log.connect import admin
from stream.log.made_anew import WHAT_TO_DO
from stream.log.records import PublishFailed
from stream.log.supervised import SupervisedThread
from stream.log.topics import existing_partitions, mismatch, partition_counts, topic_ids
from stream.settings import Settings

logger = logging.getLogger("riskstream.topology")
LOOK_S: Final = 1.0
EXIT_STATUS: Final = 1
GONE_LOOKS: Final = 5
"""A topic that is not there is asked for once more: a broker that has just come back may not know it yet."""


CHANGED: Final = (
    "this worker ends: partitions were added or topics recreated while it ran, so customers' records now come where their "
    "history is not. Nothing is lost: what is not committed waits in its topic."
)


class Topology:
    """Looks at the topics' partition counts and ids, again and again on a thread, and whenever somebody doubts them.

    Parameters
    ----------
    settings, partitions
        The worker's, and how many partitions its line was built for.
    end
        Ends the process at once, with an exit status.
    """

    def __init__(
        self, settings: Settings, partitions: int, end: Callable[[int], None] = os._exit,
        restarted: Callable[[str], None] = lambda name: None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._partitions = partitions
        self._end = end
        self._client = admin(settings)
        self._names = list(partition_counts(settings))
        self._ids: dict[str, str] = {}
        """Of each topic when it was first seen."""
        self._gone: dict[str, int] = {}
        """How many looks in a row a topic was not there."""
        self.thread = SupervisedThread("topology", self._run, restarted)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def stop(self) -> None:
        """End the thread."""
        self.thread.stop(LOOK_S)

    def look(self, *, in_turn: bool = True) -> None:
        """Look once; a change ends the process. Looks out of turn do not count for how long a topic is gone.

        Raises
        ------
        BrokerNotReachable
            It cannot be told.
        """
        anew = self._anew(topic_ids(self._client, self._names), in_turn=in_turn)
        problem = mismatch(existing_partitions(self._client, self._settings), self._settings, self._partitions)
        if anew or problem:
            logger.critical("%s", "; ".join(filter(None, (anew, problem and f"{CHANGED} {problem}"))))
            logging.shutdown()
            self._end(EXIT_STATUS)

    def _anew(self, ids: Mapping[str, str], *, in_turn: bool) -> str:
        """Why this worker ends where topics are not those that it began with; empty where they are."""
        anew = sorted(name for name, known in ids.items() if self._ids.setdefault(name, known) != known)
        self._gone = {name: self._gone.get(name, 0) + in_turn for name in self._ids if name not in ids}
        gone = sorted(name for name, looks in self._gone.items() if looks >= GONE_LOOKS)
        if not anew and not gone:
            return ""
        what = [f"{name} was deleted and made anew (id {self._ids[name]} before, {ids[name]} now)" for name in anew]
        what += [f"{name} was deleted (id {self._ids[name]})" for name in gone]
        return f"this worker ends: {', '.join(what)} while it ran: {WHAT_TO_DO}"

    def doubt(self) -> None:
        """Look because a record lies on a wrong partition: the producer's fault, unless this ends the process.

        Raises
        ------
        PublishFailed
            It cannot be told now: the batch must not be written.
        """
        try:
            self.look(in_turn=False)
        except BrokerNotReachable as error:
            raise PublishFailed(f"a record on a wrong partition, and {error}") from error

    def _run(self, thread: SupervisedThread) -> None:
        while not thread.stopping.wait(LOOK_S):
            try:
                self.look()
                thread.well()
            except BrokerNotReachable:
                # whether the broker is there is the watchdog's question
                logger.debug("partition counts could not be asked", exc_info=True)
