"""Cuts of risk that keep the share of touched payments below a ceiling, however the risk drifts: for a line too young
for its probabilities to be believed.

For each of a few ceilings one cut is tracked over the risk of the bank's own payments as they were decided. A payment
above the cut in force moves it up by :data:`STEP_MILLI`, every payment moves it down by the ceiling's share of that; a
payment that turns out to be fraud takes its step back, for who is stopped rightly is no friction. This is the quantile
tracker of conformal inference; it needs no assumption about the risk, and no sample.

What holds, whatever is observed, model and policy changing at will: as long as the cut is not at its upper end, of n
payments in a row at most ``rate * n + (cut after - cut before) / STEP_MILLI`` lie above the cut in force and are no known
fraud; where it is at its lower end there are fewer. The cut moves between :data:`LOWEST_MILLI` and
:data:`HIGHEST_MILLI`, so a stretch of any length has at most its share and a fixed number more. Cuts change with
a round of learning: what comes between two rounds is counted against one cut.

References
----------
Gibbs, Candes, Adaptive Conformal Inference Under Distribution Shift, NeurIPS (2021), proposition 4.1.
Angelopoulos, Candes, Tibshirani, Conformal PID Control for Time Series Prediction, NeurIPS (2023), section 2.1 (the same
on the scale of the scores).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.elementary import exp
from detectors.snapshot import SnapshotError, require_array

CEILINGS_PER_10K: Final = (5, 10, 15, 20, 25, 30, 40, 50, 70, 100, 150, 200)
"""Ceilings that a cut is tracked for."""
STEP_MILLI: Final = 80.0
"""Log-odds x 1000 that a touched payment moves a cut by."""
FIRST_MILLI: Final = -4_200.0
"""Where every cut begins: a risk just below 15,000 ppm, the shipped policy's least threshold. The first payments that are
touched move it up."""
LOWEST_MILLI: Final = -4_600.0
"""A cut is never lower: about 10,000 ppm, below the thresholds at which customers are touched."""
HIGHEST_MILLI: Final = 14_000.0
"""A cut is never higher: risk ends here."""
SILENT_DAYS: Final = 90
"""Days of matured payments without one fraud told after which a bank counts as one that never tells."""
SILENT_DOUBLING_DAYS: Final = 30
"""Days more after which such a bank's ceiling has doubled: what rules say is all there will ever be."""
MOST_ABOVE: Final = 8_192
"""Payments above a cut that are remembered until their label comes; the oldest leave first."""
NEVER: Final = -1
"""Cut of a model that is not young: below every risk."""


def cuts_ppm(milli: NDArray[np.float64]) -> NDArray[np.int64]:
    """Cuts as risk in ppm, int64[L], of cuts in log-odds x 1000.

    >>> cuts_ppm(np.array([-3000.0, 0.0])).tolist()
    [47425, 500000]
    """
    return np.array([int(1e6 / (1.0 + exp(-m / 1000.0))) for m in milli.tolist()], np.int64)


class TouchCeiling:
    """The cuts of all ceilings, and how many outcomes each group has.

    Parameters
    ----------
    groups
        Scenarios, by their codes.

    Examples
    --------
    >>> ceiling = TouchCeiling(groups=1)
    >>> ceiling.observe(np.arange(4, dtype=np.uint64), np.array([900_000, 10, 10, 10]))
    >>> before = ceiling.cuts[0]
    >>> ceiling.close()
    >>> bool(ceiling.cuts[0] > before)
    True
    """

    def __init__(self, groups: int) -> None:
        self._milli = np.full(len(CEILINGS_PER_10K), FIRST_MILLI)
        self._seen = 0
        self._hits = np.zeros(len(CEILINGS_PER_10K), np.int64)  # whole numbers: sums of any grouping are one
        self._above: dict[int, tuple[int, bool]] = {}
        self.cuts = cuts_ppm(self._milli)
        """int64[L], ppm: in force until :meth:`close`."""
        self.outcomes = np.zeros((2, groups), np.int64)
        """Genuine payments and frauds that matured, by group."""
        self.silent_days = 0
        """Days of matured payments, as long as no fraud was ever told."""

    def observe(self, payments: NDArray[np.uint64], risk_ppm: NDArray[np.integer[Any]]) -> None:
        """Payments as they were decided.

        Parameters
        ----------
        payments
            uint64[n] ids.
        risk_ppm
            int[n], rules and familiarity within.
        """
        self._seen += len(payments)
        places = np.flatnonzero(risk_ppm > self.cuts.min())
        above = risk_ppm[places, None] > self.cuts
        self._hits += above.sum(axis=0)
        marks = (above.astype(np.int64) << np.arange(len(self.cuts))).sum(axis=1)
        for payment, mark in zip(payments[places].tolist(), marks.tolist(), strict=True):
            self._above[payment] = (mark, False)
        while len(self._above) > MOST_ABOVE:
            del self._above[next(iter(self._above))]

    def label(self, payment: int, fraud: bool) -> None:
        """What a payment turned out to be; a later word replaces an earlier one."""
        mark, credited = self._above.get(payment, (0, False))
        if not mark or fraud == credited:
            return
        levels = (mark >> np.arange(len(self.cuts))) & 1
        self._hits += -levels if fraud else levels
        self._above[payment] = (mark, fraud)

    def mature(self, genuine: NDArray[np.int64], frauds: NDArray[np.int64]) -> None:
        """Outcomes that are final, by group, int64[G] each."""
        self.outcomes[0] += genuine
        self.outcomes[1] += frauds

    def close(self) -> None:
        """A round ends: what was observed moves the cuts. A lower ceiling never has a lower cut than a higher one."""
        allowed = self._seen * np.array(CEILINGS_PER_10K) / 10_000.0
        moved = np.clip(self._milli + STEP_MILLI * (self._hits - allowed), LOWEST_MILLI, HIGHEST_MILLI)
        self._milli = np.ascontiguousarray(np.maximum.accumulate(moved[::-1])[::-1])
        self._seen, self._hits = 0, np.zeros_like(self._hits)
        self.cuts = cuts_ppm(self._milli)

    def model(self) -> dict[str, NDArray[Any]]:
        """What deciding reads, for a snapshot."""
        silent = np.array([self.silent_days], np.int64)
        return {"young.cuts": self.cuts.copy(), "young.outcomes": self.outcomes.copy(), "young.silent_days": silent}

    def state(self) -> dict[str, NDArray[Any]]:
        """The rest, for a snapshot that a learner goes on from."""
        names = np.array(list(self._above), np.uint64)
        marks = np.array([[mark, int(fraud)] for mark, fraud in self._above.values()], np.int64).reshape(-1, 2)
        seen = np.array([self._seen], np.int64)
        return {"milli": self._milli.copy(), "seen": seen, "hits": self._hits.copy(), "above": names, "marks": marks}

    def load(self, model: Mapping[str, NDArray[Any]], state: Mapping[str, NDArray[Any]] | None) -> None:
        """Take up :meth:`model` and :meth:`state` again; without a state the cuts alone.

        Raises
        ------
        SnapshotError
            An array is absent or of another shape.
        """
        if "young.cuts" not in model:
            return
        levels = len(CEILINGS_PER_10K)
        self.cuts = require_array(model, "young.cuts", "i8", (levels,)).copy()
        self.outcomes = require_array(model, "young.outcomes", "i8", self.outcomes.shape).copy()
        self.silent_days = int(require_array(model, "young.silent_days", "i8", (1,))[0])
        if state is None:
            return
        self._milli = require_array(state, "milli", "f8", (levels,)).copy()
        self._seen = int(require_array(state, "seen", "i8", (1,))[0])
        self._hits = require_array(state, "hits", "i8", (levels,)).copy()
        names = require_array(state, "above", "u8", (-1,)).tolist()
        marks = require_array(state, "marks", "i8", (len(names), 2)).tolist()
        self._above = {name: (mark, bool(fraud)) for name, (mark, fraud) in zip(names, marks, strict=True)}


def require_sound_cuts(model: Mapping[str, NDArray[Any]], groups: int) -> None:
    """Refuse cuts that are none; a model without any is not young.

    Raises
    ------
    SnapshotError
        Other types or shapes, risks outside 0 to 1000000, or counts below nothing.
    """
    if "young.cuts" not in model:
        return
    cuts = require_array(model, "young.cuts", "i8", (len(CEILINGS_PER_10K),))
    if (cuts < 0).any() or (cuts > 1_000_000).any() or (np.diff(cuts) > 0).any():
        raise SnapshotError("array 'young.cuts': expected risks in ppm that do not rise")
    if (require_array(model, "young.outcomes", "i8", (2, groups)) < 0).any():
        raise SnapshotError("array 'young.outcomes' counts below nothing")
    require_array(model, "young.silent_days", "i8", (1,))


def cuts_in_force(
    model: Mapping[str, NDArray[Any]], ceiling_per_10k: float, frauds: int, genuine: int, groups: int
) -> NDArray[np.int64]:
    """The cut of each group, int64[groups], ppm; :data:`NEVER` where its probabilities are believed.

    A group is young until so many frauds and genuine payments have matured. Then its ceiling doubles with every further
    ``frauds``, until it lies above all that are tracked: no day brings back at once what was held back. Where no fraud was
    told in :data:`SILENT_DAYS` days nothing is ever learned, and touched frauds are never told from touched customers: then all
    ceilings double with every further :data:`SILENT_DOUBLING_DAYS`.

    Parameters
    ----------
    model
        Arrays of a snapshot.
    ceiling_per_10k
        Payments touched of 10,000; 0 for no ceiling at all.
    frauds, genuine
        Outcomes with which a group is grown.
    groups
        Scenarios there are now; those that a model does not know are as young as can be.

    >>> outcomes = np.array([[0, 9000, 9000], [0, 80, 900]])
    >>> model = {"young.cuts": np.arange(12, 0, -1) * 1000, "young.outcomes": outcomes, "young.silent_days": np.zeros(1)}
    >>> cuts_in_force(model, 20.0, 40, 5000, 4).tolist()
    [9000, 6000, -1, 9000]
    """
    cuts = np.full(groups, NEVER, np.int64)
    if "young.cuts" not in model or ceiling_per_10k <= 0:
        return cuts
    known = model["young.outcomes"]
    silent = max(float(model["young.silent_days"][0]) - SILENT_DAYS, 0.0) / SILENT_DOUBLING_DAYS
    for group in range(groups):
        good, bad = known[:, group].tolist() if group < known.shape[1] else (0, 0)
        beyond = (bad - frauds) / max(frauds, 1) if good >= genuine else 0.0
        ceiling = ceiling_per_10k * 2.0 ** min(max(beyond, silent), 20.0)
        if ceiling <= CEILINGS_PER_10K[-1]:
            level = int(np.searchsorted(CEILINGS_PER_10K, ceiling, side="right")) - 1
            cuts[group] = model["young.cuts"][max(level, 0)]
    return cuts
