"""The account row: one account's history in a fixed-size struct.

Its bytes are its changelog record and its dump. What fills features from it stands in ``account_features.py``, how an
attempt is recorded in ``account_walk.py``, how a payment becomes normal in ``account_maturity.py``, what a verdict does in
``account_outcomes.py``. All statistics are functions of the account's own records in their order and of nothing else:
no clock, no model, no policy, no batch boundary.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from detectors.elementary import exp

SCHEMA_VERSION = 4
PAIRS = 39
RECENT = 16
DEVICES = 4
COUNTRIES = 4
CLEARED = 4
HOUR_BINS = 8
CHANNEL_BINS = 8
DAY_BINS = 7
"""Bins of four hours: the one under way and six before it, so that a calendar day in any zone lies within."""

ACCOUNT_ROW = np.dtype(
    [
        ("schema", "u2"),
        ("recent_next", "u1"),
        ("pending_count", "u1"),
        ("cleared_next", "u1"),
        ("place_count", "u1"),
        ("key", "S64"),
        ("first_seen", "i8"),  # µs
        ("last_seen", "i8"),  # µs
        ("attempts", "u4"),
        ("matured", "u4"),
        ("matured_early", "u4"),  # how often a full ring made the oldest mature before its time
        ("customer", "u8"),  # hash of the one this account alone stands for, 0 none; see customer.py
        ("unit", "u2"),  # packed currency whose minor units all amounts here are in, 0 while there are none
        ("home_country", "u2"),
        ("countries", "u2", (COUNTRIES,)),
        # decayed to last_seen; hour, day, week, month
        ("counts", "f8", (4,)),
        ("sums", "f8", (4,)),
        ("large_week", "f8"),
        ("new_payees_day", "f8"),
        ("slips_month", "f8"),
        ("failed_week", "f8"),
        ("frauds_month", "f8"),
        ("fraud_last", "i8"),  # µs, 0 never
        ("fraud_episode", "i8"),  # µs, 0 none
        # normal: matured payments only
        ("normal_time", "u4"),  # s
        ("normal_count", "u4"),  # of matured payments whose amount is known: what the next four are of
        ("normal_mean", "f8"),  # of ln(1 + amount)
        ("normal_variance", "f8"),
        ("normal_max", "f8"),  # minor units
        ("normal_sum", "f8"),  # decayed with a month, to normal_time
        ("last_amounts", "f8", (3,)),  # minor units, the latest first
        ("hours", "f4", (HOUR_BINS,)),
        ("channels", "f4", (CHANNEL_BINS,)),
        ("home_lat", "f4"),
        ("home_lon", "f4"),
        ("last_lat", "f4"),
        ("last_lon", "f4"),
        ("last_place_time", "i8"),  # µs, 0 never
        ("device_hash", "u8", (DEVICES,)),
        ("device_first", "u4", (DEVICES,)),  # s
        ("device_last", "u4", (DEVICES,)),  # s
        ("device_change", "i8"),  # µs, 0 never
        # known payees, by 48 bits of their hash
        ("pair_low", "u4", (PAIRS,)),
        ("pair_high", "u2", (PAIRS,)),
        ("pair_first", "u4", (PAIRS,)),  # s
        ("pair_last", "u4", (PAIRS,)),  # s
        ("pair_attempts", "u2", (PAIRS,)),
        ("pair_matured", "u2", (PAIRS,)),
        ("pair_mean", "f4", (PAIRS,)),  # of ln(1 + amount), matured
        ("pair_max", "f4", (PAIRS,)),  # minor units, matured; 0 while no amount is known
        ("pair_marks", "u1", (PAIRS,)),  # ADVERSE_PAIR in bit 0, else channels of matured payments as a mask
        # cleared pairs: a genuine verdict or a passed challenge
        ("cleared_payee", "u8", (CLEARED,)),
        ("cleared_until", "u4", (CLEARED,)),  # s
        ("cleared_max", "f8", (CLEARED,)),  # minor units
        # the last attempts, the next to be overwritten at recent_next; the latest pending_count wait to mature
        ("recent_transaction", "u8", (RECENT,)),
        ("recent_content", "u4", (RECENT,)),  # low half of the hash: tells a retry from a conflict
        ("recent_payee", "u8", (RECENT,)),
        ("recent_time", "u4", (RECENT,)),  # s
        ("recent_amount", "f8", (RECENT,)),  # minor units, UNKNOWN_AMOUNT where there was no rate
        ("recent_lat", "i2", (RECENT,)),  # degrees x 100, NO_PLACE where absent
        ("recent_lon", "i2", (RECENT,)),
        ("recent_channel", "u1", (RECENT,)),  # and STATE_SHIFT bits higher OPEN, ADVERSE or DONE, then two marks
        # remote payments: the last 24 to 28 hours, and since the last passed challenge
        ("day_sums", "i8", (DAY_BINS,)),  # minor units, of the bin number modulo DAY_BINS
        ("day_unknown", "u1"),  # bit of each bin with a payment whose amount is not known
        ("day_bin", "u4"),  # number of the newest bin, 4 h since the epoch
        ("unauthenticated_sum", "i8"),  # minor units
        ("unauthenticated_unknown", "u1"),  # 1 where an amount of it is not known
        ("unauthenticated_count", "u2"),
    ]
)
"""One account. Packed; a change of this layout raises :data:`SCHEMA_VERSION`.

Amounts are whole minor units of ``unit``, the reference currency of the rates the account was last walked with. Sums of legal
counters are int64 and stop at :data:`MOST_SUM`; single amounts are float64, exact up to 2^53, which no amount passes."""

DECIDED, DUPLICATE, CONFLICT = 0, 1, 2
ADVERSE_PAIR = 1
PAIR_CHANNELS = 0xFE
OPEN, ADVERSE, DONE = 0, 1, 2
STATE_SHIFT = 3
CHANNEL_MASK = (1 << STATE_SHIFT) - 1
STATE_MASK = 3 << STATE_SHIFT
REVERSED_MARK, REVERSAL_MARK = 0x20, 0x40
"""Of an attempt of the ring: money of it came back; it is itself a reversal (``account_reversal.py``)."""
NO_PLACE = -32768
UNKNOWN_AMOUNT = -1.0
MOST_SUM = 2**62

LARGE = 2.5
"""An attempt of over so many times the usual amount is a large one."""
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
BIN_US = 4 * HOUR_US
EPISODE_US = 14 * DAY_US
"""A confirmed fraud this long after the one before starts a new run."""
CLEARED_S = 90 * 86_400
CLEARED_BAND = 1.5
"""A cleared pair covers amounts up to this multiple of the amount that was cleared."""


@njit(cache=True, nogil=True)
def whole_seconds(time_us: Any) -> int:
    """µs as whole seconds, clipped into the row's unsigned 32 bits (1970 to 2106)."""
    return min(max(time_us // 1_000_000, 0), 4_294_967_295)


@njit(cache=True, nogil=True)
def advance_windows(row: Any, time_us: Any) -> None:
    """Decay the row's windows to the ``time_us`` of an attempt, which then becomes the time last seen; a time that lies
    behind leaves them as they are."""
    elapsed = time_us - row["last_seen"]
    if elapsed <= 0:
        return
    days = elapsed / DAY_US
    day, week, month = exp(-days), exp(-days / 7.0), exp(-days / 30.0)
    counts, sums = row["counts"], row["sums"]
    hour = exp(-24.0 * days)
    counts[0] *= hour
    counts[1] *= day
    counts[2] *= week
    counts[3] *= month
    sums[0] *= hour
    sums[1] *= day
    sums[2] *= week
    sums[3] *= month
    row["new_payees_day"] *= day
    row["large_week"] *= week
    row["failed_week"] *= week
    row["slips_month"] *= month
    row["frauds_month"] *= month


@njit(cache=True, nogil=True)
def find(table: Any, wanted: Any) -> int:
    """Position of a hash in one of the row's small tables, -1 where it is not."""
    if wanted != 0:
        for position in range(table.shape[0]):
            if table[position] == wanted:
                return position
    return -1


@njit(cache=True, nogil=True)
def _halves(payee: Any) -> Any:
    """The 48 bits of a payee's hash by which a row knows it, in two parts that are not both zero: zeros are an empty
    place. By chance one of 39 known payees is taken for another once in 7 x 10^12 payments."""
    low = np.uint32(np.uint64(payee) & np.uint64(0xFFFFFFFF))
    high = np.uint16((np.uint64(payee) >> np.uint64(32)) & np.uint64(0xFFFF))
    return low, np.uint16(1) if low == 0 and high == 0 else high


@njit(cache=True, nogil=True)
def find_pair(row: Any, payee: Any) -> int:
    """Position of a payee among the known pairs, -1 where it is not, or there is none."""
    if payee == 0:
        return -1
    low, high = _halves(payee)
    lows, highs = row["pair_low"], row["pair_high"]
    for position in range(PAIRS):
        if lows[position] == low and highs[position] == high:
            return position
    return -1


@njit(cache=True, nogil=True)
def claim_pair(row: Any, payee: Any, seconds: Any) -> int:
    """The payee's place among the known pairs; a new one takes an empty place, else that of the least familiar."""
    position = find_pair(row, payee)
    if position >= 0:
        return position
    weakest, weakest_rank = 0, 1.0e300
    for candidate in range(PAIRS):
        if row["pair_low"][candidate] == 0 and row["pair_high"][candidate] == 0:
            weakest = candidate
            break
        # matured payments outrank any recency; an adverse pair is remembered like a familiar one
        rank = (
            1.0e10 * min(np.int64(row["pair_matured"][candidate]), 60_000)
            + 3.0e10 * np.int64(row["pair_marks"][candidate] & ADVERSE_PAIR)
            + np.int64(row["pair_last"][candidate])
        )
        if rank < weakest_rank:
            weakest, weakest_rank = candidate, rank
    row["pair_low"][weakest], row["pair_high"][weakest] = _halves(payee)
    row["pair_first"][weakest] = seconds
    row["pair_last"][weakest] = seconds
    row["pair_attempts"][weakest] = 0
    row["pair_matured"][weakest] = 0
    row["pair_mean"][weakest] = 0.0
    row["pair_max"][weakest] = 0.0
    row["pair_marks"][weakest] = 0
    return weakest


@njit(cache=True, nogil=True)
def advance_day(row: Any, time_us: Any) -> None:
    """Empty the bins of remote payments that have passed; a time that lies behind empties none."""
    now = time_us // BIN_US
    newest = np.int64(row["day_bin"])
    for number in range(max(newest + 1, now - DAY_BINS + 1), now + 1):
        row["day_sums"][number % DAY_BINS] = 0
        row["day_unknown"] &= ~(1 << (number % DAY_BINS)) & 0xFF
    row["day_bin"] = max(newest, now)


@njit(cache=True, nogil=True)
def record_remote(row: Any, time_us: Any, amount: Any) -> None:
    """Count a remote payment in its bin, if that is still kept, and as one more without authentication."""
    number = time_us // BIN_US
    place = number % DAY_BINS
    kept = number > np.int64(row["day_bin"]) - DAY_BINS
    if math.isnan(amount):
        row["unauthenticated_unknown"] = 1
        if kept:
            row["day_unknown"] |= 1 << place
    else:
        row["unauthenticated_sum"] = min(row["unauthenticated_sum"] + np.int64(amount), MOST_SUM)
        if kept:
            row["day_sums"][place] = min(row["day_sums"][place] + np.int64(amount), MOST_SUM)
    row["unauthenticated_count"] = min(np.int64(row["unauthenticated_count"]) + 1, 65_535)


@njit(cache=True, nogil=True)
def authenticated(row: Any) -> None:
    """A challenge was passed: what is counted since then begins anew."""
    row["unauthenticated_sum"] = 0
    row["unauthenticated_unknown"] = 0
    row["unauthenticated_count"] = 0
