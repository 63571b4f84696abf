"""Rows of the first hop whose times lie ahead of the broker's, mended; see :mod:`stream.core.frame.mended_step`."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from stream.core.account.account_row import BIN_US, CLEARED_S, DAY_BINS, MOST_SUM
from stream.core.frame.mended_step import MendingStep
from stream.core.table.mended_times import SECOND_US, Clock, cap_times, mark_rows
from stream.core.table.row_table import RowTable

_ACCOUNT: Final = (
    Clock(("first_seen", "last_seen", "fraud_last", "fraud_episode", "last_place_time", "device_change"), 1),
    Clock(("normal_time", "device_first", "device_last", "pair_first", "pair_last", "recent_time"), SECOND_US),
    Clock(("cleared_until",), SECOND_US, CLEARED_S),
)
_CUSTOMER: Final = (
    Clock(("window_time", "device_change"), 1),
    Clock(("device_first", "device_last", "pair_first", "pair_last"), SECOND_US),
    Clock(("cleared_until",), SECOND_US, CLEARED_S),
)
_TOLD: Final = (
    Clock(("occurred",), 1),
    Clock(("seen", "made", "touched"), SECOND_US),
    Clock(("cleared_until",), SECOND_US, CLEARED_S),
)


def mend_accounts(accounts: RowTable, customers: RowTable, told: RowTable, step: MendingStep) -> int:
    """Mend the rows of the first hop; returns how many were changed."""
    rows = accounts.rows[: accounts.slots]
    changed = cap_times(rows, _ACCOUNT, step.until, step.limit)
    for slot in np.flatnonzero(rows["day_bin"] > step.limit // BIN_US).tolist():
        _move_day_sums(rows[slot], step.until // BIN_US)
        changed[slot] = True
    mark_rows(accounts, changed)
    count = int(np.count_nonzero(changed))
    for table, clocks in ((customers, _CUSTOMER), (told, _TOLD)):
        beside = cap_times(table.rows[: table.slots], clocks, step.until, step.limit)
        mark_rows(table, beside)
        count += int(np.count_nonzero(beside))
    return count


def _move_day_sums(row: Any, now: int) -> None:
    """All that the bins hold is of the bin that is now: what a legal sum has in it stays in it for a day."""
    total = min(sum(int(amount) for amount in row["day_sums"]), MOST_SUM)
    row["day_sums"] = np.where(np.arange(DAY_BINS) == now % DAY_BINS, total, 0)
    row["day_unknown"] = 1 << (now % DAY_BINS) if row["day_unknown"] else 0
    row["day_bin"] = now
