"""The one small hierarchy of errors riskstream raises on purpose.

A message says what was wrong, where (topic, partition, offset or file, line) and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable


class RiskstreamError(Exception):
    """Something was wrong that the user can mend; the command line prints the message and exits with 1.

    Parameters
    ----------
    message
        One line: a line break in it came from what it quotes, and is shown, not obeyed.
    details
        Lines that belong below it, such as the end of another program's log.
    """

    exit_status = 1

    def __init__(self, message: str = "", details: Iterable[str] = ()) -> None:
        self.message = message
        self.details = tuple(details)
        super().__init__("\n".join([message, *(f"  {line}" for line in self.details)]))


class UsageError(RiskstreamError):
    """The command was called in a way it cannot serve; exit status 2."""

    exit_status = 2


class BrokerNotReachable(RiskstreamError):
    """No Kafka answered, or it refused who asked; exit status 3."""

    exit_status = 3


class RecoveryRefused(RiskstreamError):
    """Rows that no retry can rebuild: what is stored does not fit what the group took, or this version; exit status 4."""

    exit_status = 4


class SeamBroken(RiskstreamError):
    """What one part of the line hands to the next is not what the next was promised: an error of riskstream's own. The batch is given
    up as a whole, and tried again from the log."""


def require_seam(holds: bool, what: str) -> None:
    """Hold both sides of a seam to what they agreed on; cheap enough to stay on in production.

    Raises
    ------
    SeamBroken
        It does not hold.

    >>> require_seam(1 + 1 == 2, "arithmetic")
    """
    if not holds:
        raise SeamBroken(f"internal: {what}")
