"""Records that were deleted before they were read: retention, or somebody's hand, was faster than the line.

Kafka would pass them over without a word. Here nobody goes on by himself: decisions would be missing, and rows would lack
what the bank's customers did. Who has looked at it says so with a setting, and what was lost stays counted.
"""

from __future__ import annotations

import logging

from stream.errors import RiskstreamError
from stream.log.records import Place, Reader

logger = logging.getLogger("riskstream.recovery")
ACCEPT = "RISKSTREAM_ACCEPT_LOST_RECORDS"


class RecordsLost(RiskstreamError):
    """Records that were still to be read are not there any more.

    Parameters
    ----------
    place, offsets
        Where, and how many offsets are gone; control records and gaps count among them.
    """

    def __init__(self, message: str, place: Place, offsets: int) -> None:
        super().__init__(message)
        self.place = place
        self.offsets = offsets


def message(place: Place, start: int, low: int, why: str) -> str:
    """What was lost where, and what to do.

    >>> message(Place("bank.transactions.v1", 3), 10, 14, "to be decided")
    'bank.transactions.v1[3]: offsets 10 to 13 were deleted before they were read (4 offsets, to be decided); this \
partition stands until they are back or given up: produce them again under new transaction ids once it goes on, then \
restart its worker with RISKSTREAM_ACCEPT_LOST_RECORDS=true, and keep that topic longer (retention.ms)'
    """
    return (
        f"{place.topic}[{place.partition}]: offsets {start} to {low - 1} were deleted before they were read "
        f"({low - start} offsets, {why}); this partition stands until they are back or given up: produce them again "
        f"under new transaction ids once it goes on, then restart its worker with {ACCEPT}=true, and keep that topic "
        "longer (retention.ms)"
    )


def refuse_lost(reader: Reader, place: Place, start: int, why: str, *, accept: bool) -> int:
    """Return where to read on, which is ``start`` unless records were lost and that was accepted.

    Raises
    ------
    RecordsLost
        They were, and nobody has accepted it.
    """
    low, _ = reader.watermarks(place)
    if low <= start:
        return start
    if not accept:
        raise RecordsLost(message(place, start, low, why), place, low - start)
    logger.warning("accepted: %s[%d] lost offsets %d to %d (%s)", place.topic, place.partition, start, low - 1, why)
    return low
