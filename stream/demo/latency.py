"""A bounded record of latencies: buckets that grow by 2 per cent, from which percentiles are read."""

from __future__ import annotations

import math

GROWTH = 1.02
LOWEST_MS = 0.1
BUCKETS = 800
"""0.1 ms times 1.02 to the 799th is about 12 minutes; what is slower counts in the last bucket."""


class LatencyRecord:
    """Latencies in milliseconds, each known to within 2 per cent, in constant memory.

    >>> histogram = LatencyRecord()
    >>> for milliseconds in range(1, 101):
    ...     histogram.add(milliseconds)
    >>> histogram.percentile(50), histogram.percentile(99)
    (49.7, 99.3)
    """

    def __init__(self) -> None:
        self.count = 0
        self._buckets = [0] * BUCKETS

    def add(self, milliseconds: float) -> None:
        """Count one latency; below 0.1 ms (or negative, from a clock that was set back) it is the lowest."""
        self.count += 1
        self._buckets[_bucket(milliseconds)] += 1

    def percentile(self, percent: float) -> float | None:
        """Nearest-rank percentile in ms, as the middle of its bucket with 3 digits; None where nothing was counted."""
        if not self.count:
            return None
        rank = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for number, counted in enumerate(self._buckets):
            seen += counted
            if seen >= rank:
                return float(f"{LOWEST_MS * GROWTH ** (number + 0.5):.3g}")
        raise AssertionError("the buckets hold as many as were counted")


def _bucket(milliseconds: float) -> int:
    if milliseconds <= LOWEST_MS:
        return 0
    return min(BUCKETS - 1, int(math.log(milliseconds / LOWEST_MS) / math.log(GROWTH)))
