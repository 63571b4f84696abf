"""Times of rows that lie ahead of the broker's, brought back to it: what a producer's wrong clock has left behind.

A row whose last event lies years ahead counts nothing any more: windows decay towards a time that does not come, days are
kept that nobody lives. A recorded step says at which time by the broker rows are mended; what lies further ahead of that than
the bound becomes that time, all else stays. What the wrong time had already made fade (counts of the hour, the day, the month;
payments that matured early) cannot be had back: it counts anew from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream.core.account_row import BIN_US, CLEARED_S, DAY_BINS, DAY_US, MOST_SUM
from stream.core.columns import hash_id
from stream.core.frame import FORWARDED
from stream.core.payee_row import BUCKETS, DAY_LIMIT
from stream.core.rows import RowTable

MENDED: Final = 255
"""What stands for a step where feedback has the code of its kind."""
MENDED_WORD: Final = "mended"
_SECOND: Final = 1_000_000
_INCONCLUSIVE: Final = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was taken.

    Parameters
    ----------
    offset
        Of its record among the feedback.
    until, limit
        Times beyond ``limit`` become ``until``, the broker's time when it was walked; µs since the epoch.
    """

    offset: int
    until: int
    limit: int


@dataclass(frozen=True, slots=True)
class _Clock:
    """Fields of a row that hold times in one unit."""

    names: tuple[str, ...]
    unit_us: int
    ahead: int = 0
    """So many units they may rightly lie ahead of the row's other times."""


_ACCOUNT: Final = (
    _Clock(("first_seen", "last_seen", "fraud_last", "fraud_episode", "last_place_time", "device_change"), 1),
    _Clock(("normal_time", "device_first", "device_last", "pair_first", "pair_last", "recent_time"), _SECOND),
    _Clock(("cleared_until",), _SECOND, CLEARED_S),
)
_CUSTOMER: Final = (
    _Clock(("window_time", "device_change"), 1),
    _Clock(("device_first", "device_last", "pair_first", "pair_last"), _SECOND),
    _Clock(("cleared_until",), _SECOND, CLEARED_S),
)
_TOLD: Final = (
    _Clock(("occurred",), 1),
    _Clock(("seen", "made", "touched"), _SECOND),
    _Clock(("cleared_until",), _SECOND, CLEARED_S),
)
_PAYEE: Final = (_Clock(("first_seen", "last_seen"), 1),)
_BUSY: Final = (
    _Clock(("fraud_last", "fraud_episode", "label_occurred"), 1),
    _Clock(("label_seen",), _SECOND),
    _Clock(("label_day",), DAY_US),
)


def mend_accounts(accounts: RowTable, customers: RowTable, told: RowTable, step: Step) -> int:
    """Mend the rows of the first hop; returns how many were changed."""
    rows = accounts.rows[: accounts.slots]
    changed = _cap(rows, _ACCOUNT, step)
    for slot in np.flatnonzero(rows["day_bin"] > step.limit // BIN_US).tolist():
        _move_day_sums(rows[slot], step.until // BIN_US)
        changed[slot] = True
    _mark(accounts, changed)
    count = int(np.count_nonzero(changed))
    for table, clocks in ((customers, _CUSTOMER), (told, _TOLD)):
        beside = _cap(table.rows[: table.slots], clocks, step)
        _mark(table, beside)
        count += int(np.count_nonzero(beside))
    return count


def mend_payees(payees: RowTable, busy: RowTable, step: Step) -> int:
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
    changed = _cap(rows, _PAYEE, step)
    busy_changed |= _cap(busy_rows, _BUSY, step)
    _mark(payees, changed)
    _mark(busy, busy_changed)
    return int(np.count_nonzero(changed)) + int(np.count_nonzero(busy_changed))


def forwarded_step(step: Step, name: str, source: int, partitions: int) -> npt.NDArray[np.void]:
    """What every payee partition must hear of a step, FORWARDED [partitions].

    The one in the partition of its source stands for its record, the others are copies (``takes_back``), which count for
    nothing where records are counted.
    """
    records = np.zeros(partitions, FORWARDED)
    records["kind"], records["verdict"] = MENDED, _INCONCLUSIVE
    records["source_partition"], records["source_offset"] = source, step.offset
    records["takes_back"] = np.arange(partitions) != source
    records["transaction_id"] = records["feedback_id"] = name.encode()
    records["occurred_at"], records["event_time"] = step.until, step.limit
    # where no payee is known the account decides, and a hash of 0 is none: so the hash is a multiple away from the number
    records["payee_hash"] = np.arange(partitions) + partitions
    return records


def steps_among(feedback: npt.NDArray[np.void]) -> list[Step]:
    """The steps of a frame's feedback, FORWARDED [m]."""
    found = feedback[feedback["kind"] == MENDED]
    return [Step(int(one["source_offset"]), int(one["occurred_at"]), int(one["event_time"])) for one in found]


def _cap(rows: npt.NDArray[np.void], clocks: tuple[_Clock, ...], step: Step) -> npt.NDArray[np.bool_]:
    changed = np.zeros(len(rows), np.bool_)
    for clock in clocks:
        limit, until = step.limit // clock.unit_us + clock.ahead, step.until // clock.unit_us + clock.ahead
        for name in clock.names:
            values = rows[name]
            ahead = values > limit
            values[ahead] = until
            changed |= ahead if ahead.ndim == 1 else ahead.any(axis=1)
    return changed


def _mark(table: RowTable, changed: npt.NDArray[np.bool_]) -> None:
    table.mark_changed(np.flatnonzero(changed).astype(np.int64))


def _move_day_sums(row: Any, now: int) -> None:
    """All that the bins hold is of the bin that is now: what a legal sum has in it stays in it for a day."""
    total = min(sum(int(amount) for amount in row["day_sums"]), MOST_SUM)
    row["day_sums"] = np.where(np.arange(DAY_BINS) == now % DAY_BINS, total, 0)
    row["day_unknown"] = 1 << (now % DAY_BINS) if row["day_unknown"] else 0
    row["day_bin"] = now


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
