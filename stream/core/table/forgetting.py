"""Forgetting: rows idle for longer than a limit count as new when they are met again.

Idle is measured against the partition's highest event time, record by record, so it depends on the records and their order
alone. What lies before the *horizon* (that time less the limit) is forgotten, and a horizon never goes back, whatever
happens to the limit (but for times that are mended: :meth:`Horizons.go_back`). So a row that is forgotten stays so until it is met, and then it begins anew: whether it was taken out of
memory meanwhile changes no byte. Nothing is forgotten that remembers a fraud.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.core.table.row_table import RowTable

BEFORE_ALL, AFTER_ALL = -(2**62), 2**62
"""Times before and after all times, µs."""
FORGOTTEN, WENT_BACK = "forgotten_until", "forgotten_before_mending"
"""What a marker calls the horizon of rows, and the furthest one that was brought back by mending, if any was."""
_NAMES = (FORGOTTEN, "pairs_forgotten_until")
"""What a marker calls the horizons: of rows, and of an account's or a customer's pairs."""
LOOKED_AT = 16
"""A sweep looks at so many slots for each row that it may take out."""
ROUND_US, MOST_US = 3_600_000_000, 86_400_000_000
"""A round through a table begins when the horizon has reached a row, at the least and at the most so much further on, µs."""


@dataclass(frozen=True, slots=True)
class IdleLimits:
    """After how long without an event rows of the first hop are forgotten, µs; 0: never.

    Parameters
    ----------
    accounts_us
        Rows of accounts and customers, and what accounts were told.
    pairs_us
        What an account or a customer knows of a payee.
    """

    accounts_us: int = 0
    pairs_us: int = 0

    def numbers(self) -> list[int]:
        """As a batch record names them.

        >>> IdleLimits.recorded(IdleLimits(7, 8).numbers())
        IdleLimits(accounts_us=7, pairs_us=8)
        """
        return [self.accounts_us, self.pairs_us]

    @classmethod
    def recorded(cls, numbers: Any) -> IdleLimits:
        """Those of a batch record; of one that names none (it was written before rows were forgotten): never.

        Raises
        ------
        ValueError
            They are none.
        """
        if numbers is None:
            return cls()
        known = isinstance(numbers, list) and len(numbers) == 2
        if not known or not all(type(number) is int and 0 <= number < 2**62 for number in numbers):
            raise ValueError(f"forget: {str(numbers)[:40]!r} are no two limits in µs")
        return cls(*numbers)


NEVER = IdleLimits()
BY_DEFAULT = IdleLimits(400 * 86_400_000_000, 400 * 86_400_000_000)
"""The settings' defaults."""


class Horizons:
    """How far back a partition remembers, as of its last record.

    Parameters
    ----------
    count
        How many horizons there are: 1 of rows, 2 of rows and pairs.

    Examples
    --------
    >>> horizons = Horizons(1)
    >>> horizons.advance(np.array([100, 90, 130]), [50]).tolist()
    [[50], [50], [80]]
    >>> horizons.advance(np.array([140]), [100]).tolist()
    [[80]]
    """

    def __init__(self, count: int) -> None:
        self.reached = BEFORE_ALL
        """The highest event time since anything was first to be forgotten, µs."""
        self.at = [BEFORE_ALL] * count
        """What lies before is forgotten, µs."""
        self.furthest = BEFORE_ALL
        """The furthest that the first of them was before it went back, µs."""

    def copy(self) -> Horizons:
        """The same, to go on from by itself."""
        other = Horizons(len(self.at))
        other.reached, other.at, other.furthest = self.reached, list(self.at), self.furthest
        return other

    def advance(
        self, event_times: npt.NDArray[np.int64], limits: list[int], reached: npt.NDArray[np.int64] | None = None
    ) -> npt.NDArray[np.int64]:
        """The horizons of each record as it is met, int64[n, count].

        Parameters
        ----------
        event_times
            Of all records that could be read, in order, µs.
        limits
            µs, 0 for never, one for each horizon.
        reached
            The highest event time up to each record, where others than these count too.
        """
        horizons = np.empty((len(event_times), len(self.at)), np.int64)
        horizons[:] = self.at
        if not len(event_times) or not any(limits):
            return horizons
        if reached is None:
            reached = np.maximum(np.maximum.accumulate(event_times), self.reached)
        for column, limit in enumerate(limits):
            if limit > 0:
                np.maximum(horizons[:, column], reached - limit, out=horizons[:, column])
        self.reached = int(reached[-1])
        self.at = horizons[-1].tolist()
        return horizons

    def go_back(self, until: int, limits: list[int]) -> None:
        """The highest event time was ahead of the broker's, and is mended to ``until``, µs. Whoever has rows takes out before that
        what is forgotten.

        >>> horizons = Horizons(1)
        >>> _ = horizons.advance(np.array([10_000]), [50])
        >>> horizons.go_back(130, [50])
        >>> horizons.at, horizons.furthest
        ([80], 9950)
        """
        self.furthest = max(self.furthest, self.at[0])
        self.reached = until
        self.at = [min(at, until - limit) for at, limit in zip(self.at, limits, strict=True)]

    def marked(self) -> dict[str, int]:
        """What a marker says of them.

        >>> horizons = Horizons(2)
        >>> _ = horizons.advance(np.array([1000]), [50, 0])
        >>> other = Horizons(2)
        >>> other.take(horizons.marked())
        >>> other.reached, other.at == horizons.at, other.furthest == horizons.furthest
        (1000, True, True)
        """
        brought_back = {} if self.furthest == BEFORE_ALL else {WENT_BACK: self.furthest}
        return {"reached": self.reached, **dict(zip(_NAMES, self.at, strict=False)), **brought_back}

    def take(self, marker: Mapping[str, Any]) -> None:
        """Go on from what a marker says; one of before rows were forgotten says nothing."""
        self.reached = marker.get("reached", BEFORE_ALL)
        self.at = [marker.get(name, BEFORE_ALL) for name in _NAMES[: len(self.at)]]
        self.furthest = marker.get(WENT_BACK, BEFORE_ALL)

    def reach(self, time_us: int, limits: list[int]) -> None:
        """Say that event time has come so far by records that are walked elsewhere."""
        if time_us > self.reached and any(limits):
            self.advance(np.array([time_us]), limits)


def erased_until(marker: Mapping[str, Any]) -> int:
    """Rows last met before it may have been erased by the checkpoints up to a marker's, µs."""
    horizon: int = max(marker.get(FORGOTTEN, BEFORE_ALL), marker.get(WENT_BACK, BEFORE_ALL))
    return horizon


Idle = Callable[[npt.NDArray[np.int64], int], npt.NDArray[np.bool_]]
"""Which rows of some slots are forgotten at a horizon (µs), bool[n]."""


class Sweep:
    """Finds forgotten rows of one table to be taken out, a bounded number at a time, going round and round.

    Parameters
    ----------
    table
        The rows.
    last, unit_us
        Field that says when a row was last met, and in how many µs.
    """

    def __init__(self, table: RowTable, last: str, unit_us: int = 1) -> None:
        self._table = table
        self._last, self._unit_us = last, unit_us
        self._next = 0
        self._due = BEFORE_ALL
        """The horizon at which the next round is worth its while, or the one under way began."""
        self._oldest = AFTER_ALL
        """When the row was last met that the horizon will reach first, of those looked at in this round."""

    def begin_anew(self) -> None:
        """Begin a round: the horizon went back."""
        self._next, self._due, self._oldest = 0, BEFORE_ALL, AFTER_ALL

    def find(self, horizon: int, most: int, idle: Idle) -> npt.NDArray[np.int64]:
        """Slots of up to so many forgotten rows, among the next that are looked at; who asks takes them out."""
        if horizon < self._due:
            return np.zeros(0, np.int64)
        stop = min(self._next + LOOKED_AT * most, self._table.slots)
        slots = np.arange(self._next, stop)[self._table.rows["schema"][self._next : stop] != 0]
        met = self._table.rows[self._last][self._next : stop][slots - self._next].astype(np.int64) * self._unit_us
        self._oldest = min(self._oldest, int(met[met >= horizon].min(initial=AFTER_ALL)))
        old = slots[met < horizon]
        # what its topic has of a row is what whoever reads the tombstone judges it by
        old = old[~self._table.is_changed(old)]
        found: npt.NDArray[np.int64] = old[idle(old, horizon)]
        if len(found) > most:
            found = found[:most]
            stop = int(found[-1]) + 1
        self._next = stop
        if stop >= self._table.slots:
            # rows that were not written yet, or met late, come with a later round
            self._due = horizon + min(max(self._oldest - horizon, ROUND_US), MOST_US)
            self._next, self._oldest = 0, AFTER_ALL
        return found
