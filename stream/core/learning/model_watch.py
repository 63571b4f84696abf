"""What watches the models while they decide: drift of what they see and say, and a challenger beside the champion.

Fed by the learner with records as they were scored and with payments as they mature. Nothing here decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.delayed_labels import FRAUD, LabelledRows
from detectors.drift import Drift, DriftConfig, DriftMonitor
from detectors.elementary import log_each
from detectors.ensemble import Scorer
from stream.arrays.rfc3339 import render
from stream.core.columns import SCENARIOS
from stream.core.decision.decide import MODEL_NAMES
from stream.core.features import FEATURES
from stream.core.learning.learning_records import LearningRecords

MOVING = tuple(
    feature.name
    for feature in FEATURES
    if feature.name in ("hour", "weekday")
    or feature.unit == "days"
    or (feature.unit in ("count", "minor units", "reference minor units") and feature.keeps_days >= 90)
)
"""Features that move by themselves, with the hour or with the line's age: no drift."""
TOUCH_RUNG = 1
"""Place of ``challenge_light`` among a scenario's thresholds: from there on a customer is touched."""
PPM = 1_000_000


def log_odds_milli(risk_ppm: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Log-odds x 1000 of risks in ppm, int64[n]; 0 and 1000000 count as half a ppm from there.

    >>> log_odds_milli(np.array([0, 500_000, 20_000])).tolist()
    [-14509, 0, -3892]
    """
    risk = np.clip(risk_ppm.astype(np.float64), 0.5, PPM - 0.5) / PPM
    milli: npt.NDArray[np.int64] = np.rint(1000.0 * log_each(risk / (1.0 - risk))).astype(np.int64)
    return milli


def describe(drift: Drift, names: dict[int, str]) -> dict[str, Any]:
    """A report as JSON-able words; ``names`` are ids of transactions."""
    return {
        "kind": drift.kind,
        "scenario": SCENARIOS[drift.group],
        "at": render(drift.at),
        "seen": drift.seen,
        "expected": round(drift.expected, 3),
        "moved": [{"feature": name, "stability_index": index} for name, index in drift.moved],
        "examples": [names[row] for row in drift.examples if row in names],
    }


class DriftWatch:
    """A drift monitor over records of ``risk.learning.v1``, in the order of event time within each call.

    Bounded as :class:`~detectors.drift.DriftMonitor`, plus the ids of the few rows a report may name.
    """

    def __init__(self, config: DriftConfig | None = None) -> None:
        self._monitor = DriftMonitor(MODEL_NAMES, len(SCENARIOS), config, MOVING)
        self._latest = np.iinfo(np.int64).min
        self._names: dict[int, str] = {}

    def take(self, records: LearningRecords) -> list[dict[str, Any]]:
        """Read records as scored, with their ids; returns what their coming completed."""
        if not len(records):
            return []
        order = np.argsort(records.event_time, kind="stable")
        time, score = records.event_time[order], log_odds_milli(records.risk_ppm)
        hours = np.flatnonzero(np.diff(time // self._monitor.config.tail_window_us)) + 1
        reports: list[dict[str, Any]] = []
        for rows in np.split(order, hours):
            self._latest = max(self._latest, int(records.event_time[rows[0]]))
            found = self._monitor.observe(
                records.payment, self._latest, records.inputs, records.group, score, rows
            )  # fmt: skip
            reports += [describe(drift, self._named(drift.examples, records)) for drift in found]
        self._names = self._named(self._monitor.kept_ids, records)
        return reports

    def _named(self, payments: Iterable[int], records: LearningRecords) -> dict[int, str]:
        """Ids of a few transactions that came now or before."""
        names = {}
        for payment in payments:
            here = np.flatnonzero(records.payment == np.uint64(payment))
            if len(here):
                names[payment] = records.ids[int(here[-1])].decode()
            elif payment in self._names:
                names[payment] = self._names[payment]
        return names


@dataclass(slots=True)
class ModelComparison:
    """Two models side by side on the same payments.

    Parameters
    ----------
    champion, challenger
        Versions: the one in force, and the newest that the learner made (it changes from round to round: the
        challenger is to follow the learner).
    events, champion_alerts, challenger_alerts, both
        Live payments, and how many each would touch by its own score (rules and familiarity left out).
    frauds, champion_caught, challenger_caught
        Of the payments that matured meanwhile.
    genuine, champion_false, challenger_false
        The same of those that matured as genuine.
    """

    champion: str
    challenger: str
    events: int = 0
    champion_alerts: int = 0
    challenger_alerts: int = 0
    both: int = 0
    frauds: int = 0
    champion_caught: int = 0
    challenger_caught: int = 0
    genuine: int = 0
    champion_false: int = 0
    challenger_false: int = 0

    def describe(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


class SideBySide:
    """Counts what champion and challengers would do on live payments, and what became of those.

    Parameters
    ----------
    champion, challenger
        Both read the feature table of this version; :meth:`follow` takes the next challenger.
    limits
        Least risk in ppm, per scenario, from which a customer is touched.
    """

    def __init__(self, champion: Scorer, challenger: Scorer, limits: Sequence[int]) -> None:
        self._scorers = champion, challenger
        self._limits = log_odds_milli(np.minimum(np.array(limits, np.int64), PPM))
        self.tally = ModelComparison(champion.version, challenger.version)

    def follow(self, challenger: Scorer) -> None:
        """The next challenger; counts go on."""
        self._scorers = self._scorers[0], challenger
        self.tally.challenger = challenger.version

    def live(self, matrix: npt.NDArray[np.float64], group: npt.NDArray[np.uint8]) -> None:
        """Payments as they were scored."""
        ours, theirs = self._touched(matrix, group)
        self.tally.events += len(matrix)
        self.tally.champion_alerts += int(ours.sum())
        self.tally.challenger_alerts += int(theirs.sum())
        self.tally.both += int((ours & theirs).sum())

    def matured(self, rows: LabelledRows) -> None:
        """Payments whose outcome is known now; neither model may have learned them."""
        ours, theirs = self._touched(rows.matrix.astype(np.float64), rows.group)
        fraud = rows.label == FRAUD
        self.tally.frauds += int(fraud.sum())
        self.tally.champion_caught += int((ours & fraud).sum())
        self.tally.challenger_caught += int((theirs & fraud).sum())
        self.tally.genuine += int((~fraud).sum())
        self.tally.champion_false += int((ours & ~fraud).sum())
        self.tally.challenger_false += int((theirs & ~fraud).sum())

    def _touched(
        self, matrix: npt.NDArray[np.float64], group: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        first, second = (scorer.score(matrix, group)[0] >= self._limits[group] for scorer in self._scorers)
        return first, second


def alert_rate_change(
    champion: Scorer, challenger: Scorer, rows: LabelledRows, limits: Sequence[int]
) -> tuple[float, float]:
    """Alerts per 10,000 of the same payments: of the champion, of the challenger."""
    both = SideBySide(champion, challenger, limits)
    both.live(rows.matrix.astype(np.float64), rows.group)
    scale = 10_000 / max(both.tally.events, 1)
    return both.tally.champion_alerts * scale, both.tally.challenger_alerts * scale
