"""The account loop by itself, on rows that a test owns."""

from __future__ import annotations

import numpy as np

from rules.policy import shipped
from stream.core.account import account_walk as account
from stream.core.account.account_row import DAY_US
from stream.core.features import ACCOUNT_WIDTH
from stream.core.frame.frames import FrameRoom
from stream.core.table.forgetting import BEFORE_ALL

UNWRITTEN = -987654321.0
RATES = shipped().common.currencies.arrays


def walk(rows: np.ndarray, customers: np.ndarray, transactions: np.ndarray, customer: int = -1) -> np.ndarray:
    """Features of transactions of the first account (and this customer's row, -1 none), which all come after what the
    rows have seen; a column that is not written stays :data:`UNWRITTEN`."""
    count = len(transactions)
    frames = FrameRoom(transactions, 1)
    frames.records["features"] = UNWRITTEN
    account.profile(
        rows, customers, transactions, np.zeros(count, np.int64), np.full(count, customer),
        RATES, 30 * DAY_US, DAY_US,
        np.zeros(1, np.int64), 0, frames.to, frames.next, frames.records, np.zeros(count, np.uint8),
        np.zeros(4, np.int64), np.full((count, 2), BEFORE_ALL), 0, count,
    )  # fmt: skip
    features: np.ndarray = frames.records["features"]
    assert features.shape == (count, ACCOUNT_WIDTH)
    return features
