"""How long this worker's own transactions take: the measure of how long another worker's may, before it is taken for dead.

Workers share their brokers. Where these are slow every worker's transactions are, and a transaction that readers wait at
for seconds says nothing yet about its owner.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

SPAN_S: Final = 150.0
"""Transactions of the current span of so long and of the one before count: the longest of each is kept."""
MARGIN: Final = 5.0
"""So many times as long as this worker's longest may another one's last."""


class TransactionDurations:
    """Measures transactions from their begin to their commit; from several threads.

    Parameters
    ----------
    clock
        Monotonic time, s.

    Examples
    --------
    >>> now = [0.0]
    >>> durations = TransactionDurations(lambda: now[0])
    >>> durations.longest is None
    True
    >>> durations.begin("a"); now[0] = 0.5; durations.end("a"); durations.longest
    0.5
    >>> durations.begin("a"); now[0] = 3.5; durations.longest  # one that is under way says what it says already
    3.0
    >>> durations.end("a", committed=False); durations.longest
    0.5
    >>> now[0] = 500.0; durations.longest  # the last there was, though it is long ago
    0.5
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._under_way: dict[str, float] = {}
        self._span = 0.0
        self._current = self._before = -1.0

    def begin(self, name: str) -> None:
        """A transaction of this transactional id begins."""
        with self._lock:
            self._under_way[name] = self._clock()

    def end(self, name: str, *, committed: bool = True) -> None:
        """It has ended; one that did not commit took no time that says anything."""
        with self._lock:
            now, began = self._clock(), self._under_way.pop(name, None)
            if began is None or not committed:
                return
            if now - self._span >= SPAN_S:
                # a span without any leaves what was known before
                self._before, self._current, self._span = self._current, -1.0, now
            self._current = max(self._current, now - began)

    @property
    def longest(self) -> float | None:
        """The longest of late, s, with those under way; None before the first."""
        with self._lock:
            now = self._clock()
            under_way = [now - began for began in self._under_way.values()]
        # one that lasts longer was given up together with its publisher
        longest = max([self._current, self._before, *(age for age in under_way if age < SPAN_S)])
        return longest if longest >= 0.0 else None


def hangs_after(longest: float | None, least_s: float, most_s: float) -> float:
    """For how long a transaction may be open before its owner is taken for dead, s.

    Parameters
    ----------
    longest
        This worker's own longest transaction of late, s; None where it has had none: then nothing is known.
    least_s, most_s
        Bounds.

    >>> hangs_after(0.02, 2.0, 30.0), hangs_after(3.0, 2.0, 30.0), hangs_after(20.0, 2.0, 30.0), hangs_after(None, 2.0, 30.0)
    (2.0, 15.0, 30.0, 30.0)
    """
    return most_s if longest is None else min(max(MARGIN * longest, least_s), most_s)
