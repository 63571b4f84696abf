"""One partition of the holds agent's inputs: its holds, its obligations, and how far each input is read."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.core.hold.holds import HoldBook
from stream.log.records import Record


@dataclass(frozen=True, slots=True)
class Look:
    """A look for expiries: when the feedback up to ``feedback`` is read, every verdict stamped before ``until`` is."""

    until: int
    feedback: int


@dataclass(slots=True)
class HoldsPartition:
    """One partition of the inputs.

    Parameters
    ----------
    core
        Its holds, of reviews and of challenges.
    owed
        Its obligations, kept as holds of nothing.
    alerts, challenges, obligations, feedback
        Next offsets of the inputs: what a transaction commits.
    feedback_read
        Feedback is read up to here, control records and aborted ones included.
    reached
        By topic of alerts and challenges: whether nothing more was on it when it was read last.
    look
        The look for expiries that is under way.
    waiting
        Feedback that is read, and of which the record does not say yet whether it is trusted.
    """

    core: HoldBook
    owed: HoldBook
    alerts: int
    challenges: int
    obligations: int
    feedback: int
    feedback_read: int
    reached: dict[str, bool] = field(default_factory=dict)
    look: Look | None = None
    waiting: list[Record] = field(default_factory=list)

    @property
    def judged_until(self) -> int:
        """Feedback below this offset is judged: read, and its trust known."""
        return self.waiting[0].offset if self.waiting else self.feedback_read

    @property
    def next_expiry(self) -> int | None:
        """The earliest time at which something ends by itself, µs since the epoch."""
        times = [at for at in (self.core.next_expiry, self.owed.next_expiry) if at is not None]
        return min(times, default=None)
