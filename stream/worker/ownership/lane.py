"""One hop of a line: its mailbox, its publisher, when its rows are due, and what went wrong last."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from stream.errors import require_seam
from stream.log.mailbox import Mailbox
from stream.log.records import Place, Publisher
from stream.worker.hops.hop import Hop
from stream.worker.ownership.commits import CommitThread


@dataclass
class Lane:
    """What one hop needs to run: its mailbox, its publisher of this generation, when its rows are due."""

    hop: Hop
    mailbox: Mailbox
    publisher: Publisher | None = None
    asked: bool = False
    """Whether it was told to step and has not ended: told again and again its queue would fill, and Faust would wait
    with what it has for the other hop."""
    wrote: int = 0
    """How many records the hop had walked at its last checkpoint, of whichever partition."""
    rested: float = 0.0
    """Monotonic time at which the hop has rested from its last commit."""
    behind: bool = False
    """Whether the last batch was so large that more may wait."""
    sound: bool = False
    """Whether the rows are as the last commit left them: not while a batch is walked, nor after one that failed."""
    trouble: str = ""
    """The error that ended the last batch, where it was none that a recovery is for; empty once one commits."""
    due: dict[int, float] = field(default_factory=dict)
    """Monotonic time of each partition's next checkpoint."""
    written: dict[int, float] = field(default_factory=dict)
    """Monotonic time of each partition's last checkpoint."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    commits: Executor = field(default_factory=CommitThread)
    """Where commits are waited for."""
    waits: asyncio.Event | None = None
    """Set when the commit under way has ended, or is to be given up now."""

    @property
    def name(self) -> str:
        """The hop's."""
        return self.hop.name

    def due_by(self, now: float, checkpoint_records: int) -> list[int]:
        """Partitions whose rows are to be written at a monotonic time, s.

        Those whose time has come; and, while the hop keeps up, after every so many records the one with the most of
        them behind its last checkpoint: what waits behind a commit with thousands of rows waits long.
        """
        due = [partition for partition, at in self.due.items() if at <= now]
        if due or self.behind or not self.due or self.hop.walked < self.wrote + checkpoint_records:
            return due
        return [max(self.due, key=self.hop.unwritten)]

    def require_taken(self, offsets: Mapping[Place, int]) -> None:
        """What is committed is where the rows stand now: neither the line nor the hop may know of more or less.

        Raises
        ------
        SeamBroken
            One does.
        """
        stands: dict[Place, int] = {}
        for partition in {place.partition for place in offsets}:
            stands |= self.hop.input_offsets(partition)
        require_seam(stands == offsets, f"{self.name}: rows stand at other offsets than are committed")
