"""The payee row, and the busy row beside it: who pays this payee, how much, and what became of it.

Most payees are persons with a payer or two, and a bank has several times as many payees as accounts. So what a payee
needs once many pay it, or once a fraud is confirmed, lies in a second table, under the same key: exact counts of any
size by day, a bitmap of its payers, frauds and their labels. Until then the row keeps the same counts in less room:
four bits a day, and a list of payers. Features do not tell which it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from detectors.elementary import log
from stream.core.account.account_row import DAY_US

SCHEMA_VERSION = 3
BUSY_SCHEMA_VERSION = 2
PAYERS = 8
"""Payers of a week that the row lists."""
DAY_LIMIT = 15
"""Payments of a day that the row counts."""
PAYER_WORDS = 4
PAYER_BITS = 64 * PAYER_WORDS
LABELS = 8
BUCKETS = 64
"""Days of payments and confirmed frauds by the day of the payment; a fraud further back is not placed any more."""

PAYEE_ROW = np.dtype(
    [
        ("schema", "u2"),
        ("payers_count", "u1"),
        ("before_count", "u1"),
        ("payments", "u4"),
        ("amounts", "u4"),  # payments whose amount is known: what the mean is of
        ("unit", "u2"),  # packed currency of its amounts
        ("key", "S64"),
        ("first_seen", "i8"),  # µs
        ("last_seen", "i8"),  # µs
        # decayed to last_seen
        ("count_hour", "f8"),
        ("count_day", "f8"),
        ("count_week", "f8"),
        ("count_month", "f8"),
        ("inflow_day", "f8"),  # minor units
        ("strangers_day", "f8"),
        ("strangers_week", "f8"),
        ("mean", "f8"),  # of ln(1 + amount)
        # zero where there is a busy row
        ("payers", "u1", (PAYERS,)),  # last_seen's week: numbers below PAYER_BITS, of the first payers_count
        ("before", "u1", (PAYERS,)),  # the week before
        ("days", "u1", (BUCKETS // 2,)),  # payments by day modulo BUCKETS, the even day in the low half
    ]
)
"""One payee. Packed; a change of this layout raises :data:`SCHEMA_VERSION`."""

BUSY_ROW = np.dtype(
    [
        ("schema", "u2"),
        ("labels_next", "u1"),
        ("key", "S64"),
        ("frauds_week", "f8"),  # decayed to the payee's last_seen, as the next
        ("frauds_month", "f8"),
        ("fraud_last", "i8"),  # µs, 0 never
        ("fraud_episode", "i8"),  # µs, 0 none
        ("payers", "u8", (PAYER_WORDS,)),  # linear-counting bitmap of the payers in last_seen's week
        ("before", "u8", (PAYER_WORDS,)),  # of the week before
        ("day_payments", "u2", (BUCKETS,)),  # by day modulo BUCKETS
        ("day_frauds", "u1", (BUCKETS,)),
        ("labels", "u8", (LABELS,)),  # payments whose fraud was counted: account and transaction together
        ("label_occurred", "i8", (LABELS,)),  # µs
        ("label_seen", "u4", (LABELS,)),  # s: the payee's last event when it was counted
        ("label_day", "u4", (LABELS,)),  # the day it was counted on
    ]
)
"""What a busy payee needs beside its row. Packed; a change raises :data:`BUSY_SCHEMA_VERSION`."""

WEEK_US = 7 * DAY_US


@njit(cache=True, nogil=True)
def payer_number(account: Any) -> int:
    """What stands for a payer in lists and bitmaps."""
    return np.int64(np.uint64(account) % np.uint64(PAYER_BITS))


@njit(cache=True, nogil=True)
def _listed(numbers: Any, count: Any, wanted: Any) -> bool:
    found = False
    for i in range(np.int64(count)):
        found = found or numbers[i] == wanted
    return found


@njit(cache=True, nogil=True)
def payments_of(row: Any, day: Any) -> int:
    """The row's own count of a day."""
    bucket = day % BUCKETS
    return (np.int64(row["days"][bucket // 2]) >> (4 * (bucket % 2))) & 15


@njit(cache=True, nogil=True)
def _put_payments(row: Any, day: Any, count: Any) -> None:
    bucket = day % BUCKETS
    shift = 4 * (bucket % 2)
    row["days"][bucket // 2] = (np.int64(row["days"][bucket // 2]) & (0xF0 >> shift)) | (count << shift)


@njit(cache=True, nogil=True)
def outgrown(row: Any, account: Any, time_us: Any) -> bool:
    """Whether a payment has no room any more in a row without a busy one."""
    day, latest = time_us // DAY_US, row["last_seen"] // DAY_US
    if latest - BUCKETS < day <= latest and payments_of(row, day) == DAY_LIMIT:
        return True
    if row["payers_count"] < PAYERS or time_us // WEEK_US > row["last_seen"] // WEEK_US:
        return False
    return not _listed(row["payers"], row["payers_count"], payer_number(account))


@njit(cache=True, nogil=True)
def make_busy(rows: Any, slot: Any, busy_rows: Any, busy_slot: Any) -> None:
    """Move to a new busy row what lies there from now on."""
    row, busy = rows[slot], busy_rows[busy_slot]
    for day in range(BUCKETS):
        busy["day_payments"][day] = payments_of(row, day)
    for i in range(BUCKETS // 2):
        row["days"][i] = 0
    for i in range(PAYERS):
        if i < row["payers_count"]:
            _set_bit(busy["payers"], np.int64(row["payers"][i]))
        if i < row["before_count"]:
            _set_bit(busy["before"], np.int64(row["before"][i]))
        row["payers"][i] = 0
        row["before"][i] = 0
    row["payers_count"] = 0
    row["before_count"] = 0


@njit(cache=True, nogil=True)
def _set_bit(bitmap: Any, number: Any) -> None:
    bitmap[number // 64] |= np.uint64(1) << np.uint64(number % 64)


@njit(cache=True, nogil=True)
def turn(row: Any, time_us: Any) -> None:
    """Make room for the day and week of a payment: what lies too far behind them is forgotten."""
    day, latest = time_us // DAY_US, row["last_seen"] // DAY_US
    for passed in range(max(latest + 1, day - BUCKETS + 1), day + 1):
        _put_payments(row, passed, 0)
    week, newest = time_us // WEEK_US, row["last_seen"] // WEEK_US
    if week <= newest:
        return
    keeps = week == newest + 1
    for i in range(PAYERS):
        row["before"][i] = row["payers"][i] if keeps else 0
        row["payers"][i] = 0
    row["before_count"] = row["payers_count"] if keeps else 0
    row["payers_count"] = 0


@njit(cache=True, nogil=True)
def turn_busy(row: Any, busy: Any, time_us: Any) -> None:
    """The same for a busy payee."""
    day, latest = time_us // DAY_US, row["last_seen"] // DAY_US
    for passed in range(max(latest + 1, day - BUCKETS + 1), day + 1):
        busy["day_payments"][passed % BUCKETS] = 0
        busy["day_frauds"][passed % BUCKETS] = 0
    week, newest = time_us // WEEK_US, row["last_seen"] // WEEK_US
    if week <= newest:
        return
    keeps = week == newest + 1
    for i in range(PAYER_WORDS):
        busy["before"][i] = busy["payers"][i] if keeps else np.uint64(0)
        busy["payers"][i] = np.uint64(0)


@njit(cache=True, nogil=True)
def count_payment(row: Any, day: Any) -> None:
    """Count a payment on its day; there must be room (:func:`outgrown`)."""
    _put_payments(row, day, payments_of(row, day) + 1)


@njit(cache=True, nogil=True)
def count_busy_payment(busy: Any, day: Any) -> None:
    """The same for a busy payee, up to 65,535 a day."""
    bucket = day % BUCKETS
    busy["day_payments"][bucket] = min(np.int64(busy["day_payments"][bucket]) + 1, 65_535)


@njit(cache=True, nogil=True)
def count_payer(row: Any, account: Any) -> None:
    """Count a payer in the week; there must be room (:func:`outgrown`)."""
    number = payer_number(account)
    count = np.int64(row["payers_count"])
    if not _listed(row["payers"], count, number):
        row["payers"][count] = number
        row["payers_count"] = count + 1


@njit(cache=True, nogil=True)
def count_busy_payer(busy: Any, account: Any) -> None:
    """The same for a busy payee."""
    _set_bit(busy["payers"], payer_number(account))


@njit(cache=True, nogil=True)
def payers_of(row: Any) -> float:
    """Distinct payers of both weeks, estimated as for a busy payee."""
    count = np.int64(row["payers_count"])
    for i in range(np.int64(row["before_count"])):
        if not _listed(row["payers"], row["payers_count"], row["before"][i]):
            count += 1
    return _linear_counting(count)


@njit(cache=True, nogil=True)
def busy_payers_of(busy: Any) -> float:
    """Distinct payers of both weeks."""
    count = 0
    for i in range(PAYER_WORDS):
        count += _ones(busy["payers"][i] | busy["before"][i])
    return _linear_counting(count)


@njit(cache=True, nogil=True)
def _linear_counting(taken: Any) -> float:
    """Whang, Vander-Zanden, Taylor, "A linear-time probabilistic counting algorithm", TODS 15 (1990)."""
    return -PAYER_BITS * log(max(PAYER_BITS - taken, 1) / PAYER_BITS)


@njit(cache=True, nogil=True)
def _ones(word: Any) -> int:
    """Bits that are set, added pairwise."""
    x = np.uint64(word)
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    x = x + (x >> np.uint64(8))
    x = x + (x >> np.uint64(16))
    x = x + (x >> np.uint64(32))
    return np.int64(x & np.uint64(0x7F))
