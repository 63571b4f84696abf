"""Every column of the feature table is written by the loop that owns it, with or without history and optional fields."""

from __future__ import annotations

import numpy as np
import pytest

from stream.core.account.account_row import ACCOUNT_ROW
from stream.core.account.customer import CUSTOMER_ROW
from stream.core.columns import ABSENT_TIME, TRANSACTION
from stream.core.features import ACCOUNT_WIDTH, FEATURES, WIDTH
from stream.core.frame.frame import PROFILED
from stream.core.payee import payee_walk as payee
from stream.core.payee.payee_row import BUSY_ROW, PAYEE_ROW
from tests.unit.core.account_walk import UNWRITTEN, walk

DAY_US = 86_400_000_000


def payments(count: int, *, full: bool) -> np.ndarray:
    rows = np.zeros(count, TRANSACTION)
    rows["account_hash"], rows["account_amount_minor"], rows["amount_minor"] = 7, 1000, 1000
    rows["transaction_hash"] = np.arange(1, count + 1)
    rows["event_time"] = np.arange(count) * 40 * DAY_US + 10**15
    rows["decide_by"], rows["channel"] = ABSENT_TIME, 1
    rows["lat"] = rows["lon"] = 10.0 if full else np.nan
    if full:
        rows["payee_hash"], rows["device_hash"], rows["country"] = 9, 11, 95
    return rows


@pytest.mark.parametrize("full", [True, False], ids=["with place, payee and device", "bare"])
@pytest.mark.parametrize("customer", [-1, 0], ids=["one account", "several accounts"])
def test_no_column_is_left_unwritten(full: bool, customer: int) -> None:
    transactions = payments(4, full=full)
    profiled = np.zeros(4, PROFILED)
    profiled["features"] = walk(np.zeros(1, ACCOUNT_ROW), np.zeros(1, CUSTOMER_ROW), transactions, customer)
    profiled["account_hash"], profiled["event_time"] = 7, transactions["event_time"]
    slots = np.full(4, 0 if full else -1)
    rows, busy = np.zeros(1, PAYEE_ROW), np.zeros(1, BUSY_ROW)
    for busy_slots in (np.full(4, -1), slots):
        features = np.full((4, WIDTH), UNWRITTEN)
        assert payee.receive(rows, busy, slots, busy_slots, profiled, DAY_US, features, 0) == 4
        assert not (features == UNWRITTEN).any()
        assert unfilled(features) <= {feature.name for feature in FEATURES if feature.row == "policy"}
    assert ACCOUNT_WIDTH + 1 < WIDTH


def unfilled(features: np.ndarray) -> set[str]:
    """Names of columns behind the payee's, which are NaN until a decision fills them."""
    return {FEATURES[i].name for i in range(payee.P_LAST, WIDTH) if np.isnan(features[:, i]).all()}
