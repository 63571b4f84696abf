"""When the bank of a hard simulation hears of its frauds: most after days, some after months, a third never."""

from __future__ import annotations

import numpy as np

from stream.simulate.difficulty import Difficulty

_TELLING = 5
"""Purpose of the generator, beside those of the bank."""
LONGEST_DAYS = 365.0


class Telling:
    """Draws, for each attack apart, how many days after a payment its label comes.

    >>> from stream.simulate.difficulty import HARD
    >>> told = [Telling(1, HARD).days(case) for case in range(1000)]
    >>> round(sum(days is None for days in told) / 1000, 1), max(days for days in told if days) > 60
    (0.3, True)
    """

    def __init__(self, seed: int, hard: Difficulty) -> None:
        self._seed, self._hard = seed, hard

    def days(self, case: int) -> float | None:
        """Days from each payment of that attack to its label, to a tenth; None where nobody ever tells."""
        rng = np.random.default_rng(np.random.SeedSequence(self._seed, spawn_key=(_TELLING, case)))
        if rng.random() < self._hard.never_told:
            return None
        days = self._hard.told_days * float(np.exp(rng.normal(0.0, self._hard.told_spread)))
        return round(min(days, LONGEST_DAYS), 1)
