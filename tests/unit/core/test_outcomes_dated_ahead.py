"""A verdict dated ahead of the account's events must not blind its velocities."""

from __future__ import annotations

import numpy as np

from stream.core.account import account_outcomes
from stream.core.account.account_row import ACCOUNT_ROW
from stream.core.account.customer import CUSTOMER_ROW
from stream.core.account.feedback_row import FEEDBACK_ROW
from stream.core.columns import ABSENT_TIME, FEEDBACK, TRANSACTION, pack_code
from stream.core.features import INDEX
from stream.core.table.forgetting import BEFORE_ALL
from tests.unit.core.account_walk import walk

DAY_US = 86_400_000_000
NO_CUSTOMERS = np.zeros(1, CUSTOMER_ROW)


def test_velocities_count_on_after_feedback_from_the_far_future() -> None:
    rows = np.zeros(1, ACCOUNT_ROW)

    def pay(first: int, count: int) -> np.ndarray:
        batch = np.zeros(count, TRANSACTION)
        batch["transaction_hash"] = np.arange(first, first + count)
        batch["event_time"] = 10**15 + np.arange(first, first + count) * 1_000_000
        batch["amount_minor"], batch["currency"] = 500, pack_code("EUR")
        batch["account_amount_minor"], batch["payee_hash"], batch["decide_by"] = 500, 9, ABSENT_TIME
        batch["lat"] = batch["lon"] = np.nan
        return walk(rows, NO_CUSTOMERS, batch)

    pay(1, 5)
    feedback = np.zeros(1, FEEDBACK)
    feedback["feedback_hash"] = 1
    feedback["transaction_hash"], feedback["verdict"], feedback["occurred_at"] = 2, 1, 4 * 10**15
    account_outcomes.learn_outcomes(
        rows,
        NO_CUSTOMERS,
        np.zeros(1, FEEDBACK_ROW),
        feedback,
        np.zeros(1, np.uint64),
        np.zeros(1, np.int64),
        np.full(1, -1),
        np.zeros(1, np.int64),
        np.zeros(1, account_outcomes.TOLD_OF),
        10**15,
        BEFORE_ALL,
    )
    last = pay(6, 20)[-1]
    assert last[INDEX["count_hour"]] > 24.0
    assert last[INDEX["account_frauds"]] > 0.99
