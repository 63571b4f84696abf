"""Which alert first: the loss a review is expected to prevent, for each minute it takes.

People's time is what is scarce: an alert about a small amount that is nearly certain and one about a fortune that
is merely possible are compared by what a minute of review saves. Budgets say how many alerts of a scenario an
hour people can look at; they order and report, they never create alerts: on a quiet day the queue is short.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from rules.pack import Budget

HOUR_US: Final = 3_600_000_000
MOST_MILLI: Final = 2**53 - 1
UNKNOWN_AMOUNT: Final = 100.0
"""Reference units taken where the currency has no rate: such an alert is neither first nor lost."""


def priority_milli(
    risk_ppm: NDArray[np.integer], amount_reference: NDArray[np.float64], review_minutes: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Expected loss prevented in reference units per minute of review, in thousandths.

    Parameters
    ----------
    risk_ppm
        int[n], 0..1000000.
    amount_reference
        float64[n] in the policy's reference currency, NaN where unknown.
    review_minutes
        float64[n], above 0.

    >>> priority_milli(np.array([500_000, 10_000]), np.array([120.0, 60_000.0]), np.array([6.0, 10.0])).tolist()
    [10000, 60000]
    """
    amount = np.where(np.isnan(amount_reference), UNKNOWN_AMOUNT, amount_reference)
    saved = np.asarray(risk_ppm, np.float64) * amount / 1000.0 / review_minutes
    return np.minimum(saved, float(MOST_MILLI)).astype(np.int64)


def below_line(transaction_hash: NDArray[np.uint64], per_10k: int | NDArray[np.integer]) -> NDArray[np.bool_]:
    """Whether an approved payment is sampled for review below the line: ``per_10k`` of 10,000, by its id alone.

    The sample shows what the line misses; it is the same in every replay.

    >>> below_line(np.arange(20_000, dtype=np.uint64), 2).sum()
    np.int64(4)
    """
    return transaction_hash % np.uint64(10_000) < np.asarray(per_10k, np.uint64)


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """Alerts of one scenario in one hour against what people can look at, with the error rate beside it.

    Parameters
    ----------
    scenario
        Scenario code.
    hour
        Hours since the epoch.
    alerts, budget
        Alerts raised, and alerts people can look at.
    judged, genuine
        How many of them have a verdict, and how many of those were genuine after all.
    """

    scenario: int
    hour: int
    alerts: int
    budget: int
    judged: int
    genuine: int

    @property
    def over(self) -> int:
        """Alerts beyond the budget."""
        return max(self.alerts - self.budget, 0)

    @property
    def false_share(self) -> float | None:
        """Share of judged alerts that were genuine; None before any verdict."""
        return self.genuine / self.judged if self.judged else None


def budget_use(
    scenario: NDArray[np.integer],
    event_time: NDArray[np.int64],
    verdict: NDArray[np.integer],
    budgets: Sequence[Budget],
) -> list[BudgetUse]:
    """Use of the alert budgets, ordered by hour and scenario.

    Parameters
    ----------
    scenario
        int[n]: scenario code of each alert.
    event_time
        int64[n]: µs.
    verdict
        int[n]: 1 genuine, 0 fraud, -1 not judged yet.
    budgets
        By scenario code.

    >>> hours = np.array([0, 1, 2, HOUR_US])
    >>> [(use.hour, use.alerts, use.over, use.false_share) for use in budget_use(
    ...     np.array([0, 0, 0, 0]), hours, np.array([1, 0, -1, -1]), [Budget(per_hour=2)])]
    [(0, 3, 1, 0.5), (1, 1, 0, None)]
    """
    if len(scenario) == 0:
        return []
    keys = np.column_stack((event_time // HOUR_US, scenario))
    cells, place = np.unique(keys, axis=0, return_inverse=True)
    place = place.reshape(-1)
    size = len(cells)
    alerts = np.bincount(place, minlength=size)
    judged = np.bincount(place[verdict >= 0], minlength=size)
    genuine = np.bincount(place[verdict == 1], minlength=size)
    return [
        BudgetUse(int(code), int(hour), int(alerts[i]), budgets[int(code)].per_hour, int(judged[i]), int(genuine[i]))
        for i, (hour, code) in enumerate(cells.tolist())
    ]
