"""Rows of the second hop whose times lie ahead of the broker's, mended; see :mod:`stream.core.frame.mended_step`."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from stream.core.account.account_row import DAY_US
from stream.core.columns import hash_id
from stream.core.frame.mended_step import MendingStep
from stream.core.payee.payee_row import BUCKETS, DAY_LIMIT
from stream.core.table.mended_times import SECOND_US, Clock, cap_times, mark_rows
from stream.core.table.row_table import RowTable

_PAYEE: Final = (Clock(("first_seen", "last_seen"), 1),)
_BUSY: Final = (
    Clock(("fraud_last", "fraud_episode", "label_occurred"), 1),
    Clock(("label_seen",), SECOND_US),
    Clock(("label_day",), DAY_US),
)


def mend_payees(payees: RowTable, busy: RowTable, step: MendingStep) -> int:
    """The same for the second hop."""
    rows, busy_rows = payees.rows[: payees.slots], busy.rows[: busy.slots]
    ahead = np.flatnonzero(rows["last_seen"] > step.limit)
    hashes = np.array([hash_id(key) for key in rows["key"][ahead].tolist()], np.uint64)
    busy_changed = np.zeros(len(busy_rows), np.bool_)
    for slot, busy_slot in zip(ahead.tolist(), busy.lookup(hashes).tolist(), strict=True):
        days = int(rows["last_seen"][slot]) // DAY_US, step.until // DAY_US
        if busy_slot < 0:
            counts = _unpacked(rows["days"][slot])
            rows["days"][slot] = _packed(_moved(counts, *days, DAY_LIMIT))
            continue
        busy_changed[busy_slot] = True
        for name, most in (("day_payments", 65_535), ("day_frauds", 255)):
            busy_rows[name][busy_slot] = _moved(busy_rows[name][busy_slot].astype(np.int64), *days, most)
    changed = cap_times(rows, _PAYEE, step.until, step.limit)
    busy_changed |= cap_times(busy_rows, _BUSY, step.until, step.limit)
    mark_rows(payees, changed)
    mark_rows(busy, busy_changed)
    return int(np.count_nonzero(changed)) + int(np.count_nonzero(busy_changed))


def _moved(counts: npt.NDArray[np.int64], latest: int, today: int, most: int) -> npt.NDArray[np.int64]:
    """Counts by day modulo BUCKETS, in which days up to ``latest`` are kept, with those after ``today`` counted today.

    >>> counts = np.zeros(BUCKETS, np.int64)
    >>> counts[[100 % BUCKETS, 110 % BUCKETS]] = 2, 1
    >>> moved = _moved(counts, 110, 105, 15)
    >>> int(moved[100 % BUCKETS]), int(moved[105 % BUCKETS]), int(moved[110 % BUCKETS])
    (2, 1, 0)
    """
    moved, ahead = counts.copy(), 0
    for day in range(max(latest - BUCKETS, today) + 1, latest + 1):
        ahead += int(moved[day % BUCKETS])
        moved[day % BUCKETS] = 0
    moved[today % BUCKETS] = min(int(moved[today % BUCKETS]) + ahead, most)
    return moved


def _unpacked(days: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    halves = np.column_stack((days & 15, days >> 4))
    return halves.reshape(-1).astype(np.int64)


def _packed(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    return (counts[0::2] | counts[1::2] << 4).astype(np.uint8)
