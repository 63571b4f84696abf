"""Measures of detection: average precision, AUC, calibration error, and card precision among the 100 highest a day.

The protocol is the *Fraud Detection Handbook*'s (Le Borgne, Siblini, Lebichot, Bontempi): in a test week that starts on
day w, when day d is tested, accounts known as compromised are left out: those with a fraud in the days from w-14 to
d-8. Figures are means of the weeks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.calibration import expected_calibration_error

DAY_US = 86_400_000_000
TOP = 100
WEEK = 7
KNOWN_FROM, KNOWN_UNTIL = 14, 8
"""Days before the week from which, and days before the day up to which, a fraud makes an account known."""


@dataclass(frozen=True, slots=True)
class Detection:
    """How well frauds were found in one test week, or on average; NaN where it has none.

    Parameters
    ----------
    auc, ap
        Area under the ROC curve; average precision.
    cp100
        Card precision: share of fraud among the 100 accounts with the highest risk of each day.
    ece
        Expected calibration error, 20 equal bins.
    events, frauds
        What was measured on.
    """

    auc: float
    ap: float
    cp100: float
    ece: float
    events: int
    frauds: int


@dataclass(frozen=True, slots=True)
class Scored:
    """Scored events with their truth; arrays of equal length.

    Parameters
    ----------
    day
        int64[n]: days since the epoch, UTC.
    account
        uint64[n] hashes.
    score
        float64[n]: probability of fraud.
    fraud
        bool[n].
    """

    day: npt.NDArray[np.int64]
    account: npt.NDArray[np.uint64]
    score: npt.NDArray[np.float64]
    fraud: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.day)

    def where(self, chosen: npt.NDArray[np.bool_]) -> Scored:
        """Some of the events."""
        return Scored(self.day[chosen], self.account[chosen], self.score[chosen], self.fraud[chosen])

    @classmethod
    def joined(cls, parts: Sequence[Scored]) -> Scored:
        """One after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))


def average_precision(score: npt.NDArray[np.float64], fraud: npt.NDArray[np.bool_]) -> float:
    """Sum over distinct scores, from the highest, of precision times the gain in recall; as scikit-learn's.

    >>> average_precision(np.array([.9, .8, .8, .1]), np.array([True, False, True, False])).__round__(4)
    0.8333
    """
    caught, taken = _by_threshold(score, fraud)
    if not len(caught) or caught[-1] == 0:
        return float("nan")
    gain = np.diff(caught, prepend=0) / caught[-1]
    return float(np.sum(gain * caught / taken))


def area_under_roc(score: npt.NDArray[np.float64], fraud: npt.NDArray[np.bool_]) -> float:
    """Chance that a fraud scores above a genuine payment, ties counting one half.

    >>> area_under_roc(np.array([.9, .8, .8, .1]), np.array([True, False, True, False]))
    0.875
    """
    caught, taken = _by_threshold(score, fraud)
    if not len(caught) or caught[-1] == 0 or caught[-1] == taken[-1]:
        return float("nan")
    false = taken - caught
    steps = np.diff(false, prepend=0) * (caught + np.concatenate(([0], caught[:-1]))) / 2.0
    return float(np.sum(steps) / (float(caught[-1]) * float(false[-1])))


def card_precision(scored: Scored, top: int = TOP) -> float:
    """Mean over days of the share of compromised accounts among the ``top`` of highest risk; an account found leaves.

    Ties are broken by the account, so that the figure does not depend on the order of events.
    """
    found = np.zeros(0, np.uint64)
    shares = []
    for day in np.unique(scored.day).tolist():
        today = scored.where((scored.day == day) & ~np.isin(scored.account, found))
        accounts, place = np.unique(today.account, return_inverse=True)
        highest, compromised = np.full(len(accounts), -np.inf), np.zeros(len(accounts), np.bool_)
        np.maximum.at(highest, place, today.score)
        np.logical_or.at(compromised, place, today.fraud)
        chosen = np.argsort(-highest, kind="stable")[:top]
        hits = accounts[chosen][compromised[chosen]]
        shares.append(len(hits) / top)
        found = np.concatenate((found, hits))
    return float(np.mean(shares)) if shares else float("nan")


def known_accounts(scored: Scored, week: int, day: int) -> npt.NDArray[np.uint64]:
    """Accounts known as compromised when a day of a test week is tested."""
    known = scored.fraud & (scored.day >= week - KNOWN_FROM) & (scored.day <= day - KNOWN_UNTIL)
    return np.unique(scored.account[known])


def without_known_cards(scored: Scored, week: int) -> Scored:
    """The events of the test week that starts on day ``week``, known accounts left out; needs the 14 days before it."""
    keep = np.zeros(len(scored), np.bool_)
    for day in range(week, week + WEEK):
        today = np.flatnonzero(scored.day == day)
        known = known_accounts(scored, week, day)
        keep[today] = ~np.isin(scored.account[today], known)
    return scored.where(keep)


def measure(scored: Scored) -> Detection:
    """All measures of some events, as one period."""
    return Detection(
        area_under_roc(scored.score, scored.fraud),
        average_precision(scored.score, scored.fraud),
        card_precision(scored),
        expected_calibration_error(scored.score, scored.fraud),
        len(scored),
        int(np.count_nonzero(scored.fraud)),
    )


def mean(weeks: Iterable[Detection]) -> Detection:
    """Means of the weeks that had fraud; events and frauds are sums."""
    measured = [week for week in weeks if week.frauds]
    if not measured:
        return Detection(float("nan"), float("nan"), float("nan"), float("nan"), 0, 0)
    auc, ap, cp100, ece = np.mean([(week.auc, week.ap, week.cp100, week.ece) for week in measured], axis=0).tolist()
    return Detection(auc, ap, cp100, ece, sum(week.events for week in measured), sum(week.frauds for week in measured))


def _by_threshold(
    score: npt.NDArray[np.float64], fraud: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Frauds and events at or above each distinct score, from the highest."""
    order = np.argsort(-score, kind="stable")
    ordered = score[order]
    last = np.flatnonzero(np.diff(ordered, append=-np.inf) != 0) if len(ordered) else np.zeros(0, np.int64)
    caught = np.cumsum(fraud[order])
    return caught[last].astype(np.int64), last + 1
