"""Alert budgets by scenario and hour, error rate beside them, samples below the line."""

from __future__ import annotations

import numpy as np

from rules.compiled_policy import VERDICT
from rules.ladder import APPROVE, REVIEW
from rules.pack import Budget
from rules.priority import HOUR_US
from stream.core.columns import SCENARIOS
from stream.replay.measure.review_load import ReviewLoad
from stream.replay.source.labels import FRAUD, GENUINE, UNLABELLED, Labels

PAYMENT = np.dtype([("event_time", "i8"), ("transaction_hash", "u8")])
BUDGETS = [Budget(per_hour=2, below_line_per_10k=100)] * len(SCENARIOS)


def step(
    rungs: list[int], hours: list[float], labels: list[int], scenario: int = 1
) -> tuple[np.ndarray, np.ndarray, Labels]:
    verdicts, payments = np.zeros(len(rungs), VERDICT), np.zeros(len(rungs), PAYMENT)
    verdicts["rung"], verdicts["scenario"] = rungs, scenario
    verdicts["outcome"] = [0 if rung == APPROVE else 3 for rung in rungs]
    payments["event_time"] = [round(hour * HOUR_US) for hour in hours]
    payments["transaction_hash"] = np.arange(len(rungs))
    return verdicts, payments, Labels(np.array(labels, np.int8), [""] * len(rungs))


def test_alerts_are_held_against_the_budget_of_their_hour_with_the_error_rate_beside() -> None:
    load = ReviewLoad(BUDGETS)
    load.add(*step([REVIEW] * 3 + [APPROVE], [5.0, 5.5, 5.9, 5.95], [GENUINE, FRAUD, UNLABELLED, GENUINE]))
    load.add(*step([REVIEW], [6.0], [GENUINE]))
    assert load.result()["scenarios"] == {
        "ecommerce": {
            "per_hour": 2, "alerts": 4, "hours_with_alerts": 2, "hours_over_budget": 1, "alerts_over_budget": 1,
            "most_in_an_hour": 3, "judged": 3, "genuine_share": 0.6667,
        }
    }  # fmt: skip


def test_a_quiet_day_has_no_alerts_to_make_up_a_number() -> None:
    load = ReviewLoad(BUDGETS)
    load.add(*step([APPROVE] * 5, [1.0] * 5, [GENUINE] * 5))
    assert load.result()["scenarios"] == {}


def test_samples_below_the_line_show_what_it_misses() -> None:
    load = ReviewLoad(BUDGETS)
    load.add(*step([APPROVE] * 300, [1.0] * 300, [FRAUD] + [GENUINE] * 299))
    assert load.result()["below_line"] == {"sampled": 100, "frauds": 1}
