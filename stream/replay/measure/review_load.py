"""How many alerts an hour brings against what people can look at, and what the line's samples show: per scenario.

Budgets order and report; they make no alert: on a quiet day there is none to make up a number. Memory is bounded by the
hours that had alerts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.ladder import REVIEW
from rules.pack import Budget
from rules.priority import HOUR_US, below_line
from stream.core.columns import SCENARIOS
from stream.replay.source.labels import FRAUD, GENUINE, Labels


class ReviewLoad:
    """Alerts by scenario and hour, and approved payments sampled below the line.

    Parameters
    ----------
    budgets
        By scenario code.
    """

    def __init__(self, budgets: Sequence[Budget]) -> None:
        self.budgets = budgets
        self._hours: Counter[tuple[int, int]] = Counter()
        self._genuine: Counter[int] = Counter()
        self._judged: Counter[int] = Counter()
        self._per_10k = np.array([budget.below_line_per_10k for budget in budgets])
        self.sampled = 0
        self.sampled_frauds = 0

    def add(self, verdicts: npt.NDArray[np.void], transactions: npt.NDArray[np.void], labels: Labels | None) -> None:
        """Count a step."""
        alerts = np.flatnonzero(verdicts["rung"] == REVIEW)
        scenario = verdicts["scenario"]
        hours = transactions["event_time"][alerts] // HOUR_US
        self._hours.update(zip(scenario[alerts].tolist(), hours.tolist(), strict=True))
        sampled = verdicts["outcome"] == 0
        if "transaction_hash" in (transactions.dtype.names or ()):
            sampled &= below_line(transactions["transaction_hash"], self._per_10k[scenario])
            self.sampled += int(np.count_nonzero(sampled))
        if labels is not None:
            known = alerts[(labels.fraud[alerts] == FRAUD) | (labels.fraud[alerts] == GENUINE)]
            self._judged.update(scenario[known].tolist())
            self._genuine.update(scenario[known[labels.fraud[known] == GENUINE]].tolist())
            self.sampled_frauds += int(np.count_nonzero(labels.fraud[sampled] == FRAUD)) if self.sampled else 0

    def result(self) -> dict[str, Any]:
        """As JSON values: the scenarios that had alerts, and the samples."""
        scenarios = {}
        for code in sorted({code for code, _ in self._hours}):
            counts = [count for (other, _), count in self._hours.items() if other == code]
            budget, judged = self.budgets[code], self._judged[code]
            scenarios[SCENARIOS[code]] = {
                "per_hour": budget.per_hour,
                "alerts": sum(counts),
                "hours_with_alerts": len(counts),
                "hours_over_budget": sum(count > budget.per_hour for count in counts),
                "alerts_over_budget": sum(max(count - budget.per_hour, 0) for count in counts),
                "most_in_an_hour": max(counts),
                "judged": judged,
                "genuine_share": round(self._genuine[code] / judged, 4) if judged else None,
            }
        return {"scenarios": scenarios, "below_line": {"sampled": self.sampled, "frauds": self.sampled_frauds}}
