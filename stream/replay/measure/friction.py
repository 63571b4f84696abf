"""Friction at equal recall: how many genuine customers a score touches while it finds a given share of fraud.

Pure functions over arrays of scored events with their truth. Two engines are compared where both find the same share of
the frauds; each one's threshold is chosen on the period before the one it is measured on. Friction of familiar pairs
is shown beside the familiar frauds found, and all friction beside both, so that a discount cannot hide harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RECALLS = (0.60, 0.70, 0.80)
RESAMPLES = 1_000
COUNTED = ("touched", "genuine", "caught", "frauds", "familiar_touched", "familiar")
"""What is counted by account for intervals; all but caught and frauds are genuine events."""
WEEK_US = 7 * 86_400_000_000
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EventTruth:
    """What is true of n events, in their order.

    Parameters
    ----------
    event_time
        int64[n], µs.
    account
        uint64[n] hashes.
    fraud, familiar
        bool[n]: the label, and whether the pair is familiar (``familiar_pairs.py``).
    """

    event_time: npt.NDArray[np.int64]
    account: npt.NDArray[np.uint64]
    fraud: Bools
    familiar: Bools

    def __len__(self) -> int:
        return len(self.fraud)

    def where(self, chosen: Bools) -> EventTruth:
        """Some of the events."""
        return EventTruth(self.event_time[chosen], self.account[chosen], self.fraud[chosen], self.familiar[chosen])


@dataclass(frozen=True, slots=True)
class Friction:
    """What touching certain events does; ratios are NaN where nothing is there to divide by.

    Parameters
    ----------
    frauds, caught
        Fraud events, and those touched.
    genuine, touched
        Genuine events, and those touched.
    familiar, familiar_touched
        Genuine events of familiar pairs, and those touched.
    familiar_frauds, familiar_caught
        Fraud events of familiar pairs, and those touched.
    """

    frauds: int
    caught: int
    genuine: int
    touched: int
    familiar: int
    familiar_touched: int
    familiar_frauds: int
    familiar_caught: int

    @property
    def recall(self) -> float:
        """Share of the frauds touched."""
        return _ratio(self.caught, self.frauds)

    @property
    def touched_per_fraud(self) -> float:
        """Genuine events touched for each fraud caught."""
        return _ratio(self.touched, self.caught)

    @property
    def per_10k(self) -> float:
        """Genuine events touched, of 10,000."""
        return _ratio(10_000 * self.touched, self.genuine)

    @property
    def familiar_per_10k(self) -> float:
        """Genuine events of familiar pairs touched, of 10,000."""
        return _ratio(10_000 * self.familiar_touched, self.familiar)

    @property
    def familiar_recall(self) -> float:
        """Share of the frauds of familiar pairs touched."""
        return _ratio(self.familiar_caught, self.familiar_frauds)


def measure(touched: Bools, truth: EventTruth) -> Friction:
    """Friction of touching some events.

    >>> truth = EventTruth(np.zeros(4, np.int64), np.arange(4, dtype=np.uint64), np.array([1, 0, 0, 0], bool), np.array([0, 1, 0, 0], bool))
    >>> friction = measure(np.array([True, True, False, False]), truth)
    >>> friction.recall, friction.touched_per_fraud, friction.familiar_per_10k
    (1.0, 1.0, 10000.0)
    """
    fraud, familiar = truth.fraud, truth.familiar
    return Friction(
        frauds=_count(fraud),
        caught=_count(fraud & touched),
        genuine=_count(~fraud),
        touched=_count(~fraud & touched),
        familiar=_count(~fraud & familiar),
        familiar_touched=_count(~fraud & familiar & touched),
        familiar_frauds=_count(fraud & familiar),
        familiar_caught=_count(fraud & familiar & touched),
    )


def threshold_at_recall(score: Floats, fraud: Bools, recall: float) -> float:
    """The highest threshold at or above which lies at least this share of the frauds; infinity without frauds.

    >>> threshold_at_recall(np.array([.9, .5, .4, .8]), np.array([True, True, True, False]), 0.6)
    0.5
    """
    frauds = np.sort(score[fraud])[::-1]
    if not len(frauds):
        return float("inf")
    return float(frauds[max(int(np.ceil(recall * len(frauds) - 1e-9)), 1) - 1])


@dataclass(frozen=True, slots=True)
class AtThreshold:
    """A point of the capacity curve: what a threshold costs and finds."""

    threshold: float
    alerts_per_day: float
    friction: Friction


def curve(score: Floats, truth: EventTruth, thresholds: Sequence[float]) -> list[AtThreshold]:
    """Friction at each threshold; an event is touched where its score reaches it.

    The counts are those of applying the threshold to the same events: nothing is interpolated.
    """
    days = max(float(np.ptp(truth.event_time)) / 86_400_000_000, 1.0) if len(truth) else 1.0
    points = []
    for threshold in thresholds:
        friction = measure(score >= threshold, truth)
        points.append(AtThreshold(threshold, (friction.touched + friction.caught) / days, friction))
    return points


def thresholds_of(score: Floats, points: int = 200) -> list[float]:
    """Thresholds for a curve: distinct scores, denser where they are high (evenly in the logarithm of the rank)."""
    ordered = np.sort(score)[::-1]
    if not len(ordered):
        return []
    ranks = np.unique(np.geomspace(1, len(ordered), points).astype(np.int64)) - 1
    return sorted({float(value) for value in ordered[ranks]}, reverse=True)


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval; both ends NaN where too little is there."""

    low: float
    high: float


def bootstrap(touched: Bools, truth: EventTruth, seed: int, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """:func:`intervals` of touching some events."""
    accounts, place = np.unique(truth.account, return_inverse=True)
    table = np.zeros((len(accounts), len(COUNTED)), np.int64)
    np.add.at(table, place, counted(touched, touched, truth.fraud, ~truth.fraud, truth.familiar))
    return intervals(table, seed, resamples)


def counted(touched: Bools, caught: Bools, fraud: Bools, genuine: Bools, familiar: Bools) -> npt.NDArray[np.int64]:
    """What each event counts for, int64[n, columns of COUNTED]; one that is neither fraud nor genuine counts for nothing."""
    columns = (
        genuine & touched, genuine, fraud & caught, fraud, genuine & familiar & touched, genuine & familiar,
    )  # fmt: skip
    return np.column_stack(columns).astype(np.int64)


def intervals(table: npt.NDArray[np.int64], seed: int, resamples: int = RESAMPLES) -> dict[str, Interval]:
    """95 % intervals of ``touched_per_fraud``, ``per_10k``, ``familiar_per_10k`` and ``recall``, resampling accounts.

    Events of one account are not independent, accounts nearly are.

    Parameters
    ----------
    table
        int64[accounts, columns of COUNTED].

    References
    ----------
    Efron, Tibshirani, An Introduction to the Bootstrap (1993), chapter 8; percentile interval.
    """
    if not len(table):
        nothing = Interval(float("nan"), float("nan"))
        return dict.fromkeys(("touched_per_fraud", "per_10k", "familiar_per_10k", "recall"), nothing)
    sums = _resampled(table.astype(np.float64), seed, resamples)
    column = {name: sums[:, position] for position, name in enumerate(COUNTED)}
    return {
        "touched_per_fraud": _interval(column["touched"], column["caught"], 1.0),
        "per_10k": _interval(column["touched"], column["genuine"], 10_000.0),
        "familiar_per_10k": _interval(column["familiar_touched"], column["familiar"], 10_000.0),
        "recall": _interval(column["caught"], column["frauds"], 1.0),
    }


def differences(
    before: npt.NDArray[np.int64], after: npt.NDArray[np.int64], seed: int, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """95 % intervals of after less before, of the figures of :func:`intervals`; both sides' accounts are drawn together.

    What two policies share (the same customers, the same frauds) so falls out of the difference.

    Parameters
    ----------
    before, after
        int64[accounts, columns of COUNTED] of the same accounts in the same order.
    """
    if before.shape != after.shape:
        raise ValueError(f"tables of {len(before)} and {len(after)} accounts: they must be the same accounts")
    names = {"touched_per_fraud": ("touched", "caught", 1.0), "per_10k": ("touched", "genuine", 10_000.0),
             "familiar_per_10k": ("familiar_touched", "familiar", 10_000.0), "recall": ("caught", "frauds", 1.0)}  # fmt: skip
    if not len(before):
        return dict.fromkeys(names, Interval(float("nan"), float("nan")))
    sums = _resampled(np.hstack((before, after)).astype(np.float64), seed, resamples)
    result = {}
    for name, (part, whole, scale) in names.items():
        at, of = COUNTED.index(part), COUNTED.index(whole)
        old, new = sums[:, : len(COUNTED)], sums[:, len(COUNTED) :]
        there = (old[:, of] > 0) & (new[:, of] > 0)
        ratios = scale * (new[there, at] / new[there, of] - old[there, at] / old[there, of])
        low, high = np.quantile(ratios, (0.025, 0.975)).tolist() if len(ratios) else (float("nan"), float("nan"))
        result[name] = Interval(low, high)
    return result


def touched_again(touched: Bools, truth: EventTruth) -> float:
    """Share of genuine touches after which the same account is touched again, genuinely, within seven days; else NaN."""
    chosen = touched & ~truth.fraud
    account, time = truth.account[chosen], truth.event_time[chosen]
    order = np.lexsort((time, account))
    account, time = account[order], time[order]
    again = (account[1:] == account[:-1]) & (time[1:] - time[:-1] <= WEEK_US)
    return _ratio(_count(again), len(account))


def _resampled(table: Floats, seed: int, resamples: int) -> Floats:
    """Column sums of resampled rows, float64[resamples, columns]; rows that are all equal are drawn together."""
    kinds, repeats = np.unique(table, axis=0, return_counts=True)
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(int(repeats.sum()), repeats / repeats.sum(), size=resamples)
    sums: Floats = np.array([(draw[:, None] * kinds).sum(axis=0) for draw in draws])
    return sums


def _interval(part: Floats, whole: Floats, scale: float) -> Interval:
    there = whole > 0
    if not there.any():
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(scale * part[there] / whole[there], (0.025, 0.975)).tolist()
    return Interval(low, high)


def _count(mask: Bools) -> int:
    return int(np.count_nonzero(mask))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
