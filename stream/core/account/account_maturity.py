"""Maturity: a payment becomes normal, and its payee familiar, only after time has passed without an adverse outcome.

Until then it waits in a bounded ring of the row, so a thief's first payment does not teach the profile that thieves
are normal. A full ring lets the oldest mature early, which is counted. The ring is that of the last attempts, which
also tells a producer's retries: those that wait are the latest of it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from detectors.elementary import exp, log
from stream.core.account.account_row import (
    CHANNEL_MASK,
    DAY_US,
    DONE,
    HOUR_BINS,
    NO_PLACE,
    OPEN,
    PAIR_CHANNELS,
    RECENT,
    REVERSED_MARK,
    STATE_MASK,
    STATE_SHIFT,
    UNKNOWN_AMOUNT,
    claim_pair,
)


@njit(cache=True, nogil=True)
def _mature_pair(row: Any, payee: Any, seconds: Any, amount: Any, channel: Any) -> None:
    """One more normal payment to a payee."""
    if payee == 0:
        return
    pair = claim_pair(row, payee, seconds)
    matured = np.int64(row["pair_matured"][pair])
    if amount > 0.0:
        logarithm = log(1.0 + amount)
        mean = np.float64(row["pair_mean"][pair])
        weight = 1.0 / min(matured + 1, 20) if row["pair_max"][pair] > 0.0 else 1.0
        row["pair_mean"][pair] = mean + weight * (logarithm - mean)
        row["pair_max"][pair] = max(np.float64(row["pair_max"][pair]), amount)
    row["pair_matured"][pair] = min(matured + 1, 65_535)
    row["pair_marks"][pair] |= (1 << channel) & PAIR_CHANNELS


@njit(cache=True, nogil=True)
def _mature_amount(row: Any, seconds: Any, amount: Any) -> None:
    """Own mean, deviation, maximum and usual outflow, with outliers pulled in to three deviations."""
    count = np.int64(row["normal_count"])
    logarithm = log(1.0 + amount)
    row["normal_count"] = count + 1
    if count == 0:
        row["normal_mean"] = logarithm
        row["normal_variance"] = 0.5
        row["normal_max"] = amount
        row["normal_sum"] = amount
        row["normal_time"] = seconds
        return
    mean, variance = row["normal_mean"], row["normal_variance"]
    difference = logarithm - mean
    if count >= 10:
        reach = 3.0 * math.sqrt(variance)
        difference = min(max(difference, -reach), reach)
    weight = 1.0 / min(count + 1, 100)
    row["normal_mean"] = mean + weight * difference
    row["normal_variance"] = max((1.0 - weight) * (variance + weight * difference * difference), 1.0e-4)
    normal_time = np.int64(row["normal_time"])
    elapsed = max(seconds - normal_time, 0) * 1_000_000 / DAY_US
    row["normal_time"] = max(seconds, normal_time)
    # the maximum fades with a year, so that one car does not cover every amount for life
    row["normal_max"] = max(row["normal_max"] * exp(-elapsed / 365.0), amount)
    row["normal_sum"] = row["normal_sum"] * exp(-elapsed / 30.0) + amount


@njit(cache=True, nogil=True)
def _count_in(bins: Any, position: Any) -> None:
    """Count in a histogram whose past fades: at 200 counts everything is halved."""
    total = 0.0
    for i in range(bins.shape[0]):
        total += np.float64(bins[i])
    if total >= 200.0:
        for i in range(bins.shape[0]):
            bins[i] = np.float64(bins[i]) * 0.5
    bins[position] = np.float64(bins[position]) + 1.0


@njit(cache=True, nogil=True)
def _mature_place(row: Any, lat100: Any, lon100: Any) -> None:
    """Move home a little towards where a normal payment was made."""
    if lat100 == NO_PLACE:
        return
    lat, lon = lat100 / 100.0, lon100 / 100.0
    count = np.int64(row["place_count"])
    if count == 0:
        row["home_lat"] = lat
        row["home_lon"] = lon
    else:
        weight = 1.0 / min(count + 1, 30)
        east = lon - np.float64(row["home_lon"])
        if east > 180.0:
            east -= 360.0
        if east < -180.0:
            east += 360.0
        row["home_lat"] = np.float64(row["home_lat"]) + weight * (lat - np.float64(row["home_lat"]))
        row["home_lon"] = np.float64(row["home_lon"]) + weight * east
    row["place_count"] = min(count + 1, 255)


@njit(cache=True, nogil=True)
def state_of(row: Any, entry: Any) -> int:
    """OPEN, ADVERSE or DONE."""
    return (np.int64(row["recent_channel"][entry]) & STATE_MASK) >> STATE_SHIFT


@njit(cache=True, nogil=True)
def put_state(row: Any, entry: Any, state: Any) -> None:
    """Say what became of an attempt."""
    row["recent_channel"][entry] = (np.int64(row["recent_channel"][entry]) & ~STATE_MASK) | (state << STATE_SHIFT)


@njit(cache=True, nogil=True)
def mature_entry(row: Any, entry: Any) -> None:
    """Let one pending payment become part of what is normal, unless its money came back."""
    put_state(row, entry, DONE)
    if np.int64(row["recent_channel"][entry]) & REVERSED_MARK != 0:
        return
    seconds = np.int64(row["recent_time"][entry])
    amount = row["recent_amount"][entry]
    channel = np.int64(row["recent_channel"][entry]) & CHANNEL_MASK
    if amount > 0.0:
        _mature_amount(row, seconds, amount)
    _count_in(row["hours"], (seconds // 10_800) % HOUR_BINS)
    _count_in(row["channels"], channel)
    _mature_place(row, np.int64(row["recent_lat"][entry]), np.int64(row["recent_lon"][entry]))
    _mature_pair(row, row["recent_payee"][entry], seconds, amount, channel)
    row["matured"] = np.int64(row["matured"]) + 1


@njit(cache=True, nogil=True)
def _oldest(row: Any) -> int:
    """The entry that has waited for longest."""
    return (np.int64(row["recent_next"]) + RECENT - np.int64(row["pending_count"])) % RECENT


@njit(cache=True, nogil=True)
def _drop_oldest(row: Any) -> None:
    """Let the oldest wait no longer: it is normal unless something else became of it."""
    oldest = _oldest(row)
    if state_of(row, oldest) == OPEN:
        mature_entry(row, oldest)
    row["pending_count"] = np.int64(row["pending_count"]) - 1


@njit(cache=True, nogil=True)
def mature_due(row: Any, time_us: Any, maturity_us: Any) -> None:
    """Mature what is older than the maturity at this event's time."""
    while row["pending_count"] > 0:
        if np.int64(row["recent_time"][_oldest(row)]) * 1_000_000 + maturity_us > time_us:
            return
        _drop_oldest(row)


@njit(cache=True, nogil=True)
def claim_entry(row: Any) -> int:
    """The next place in the ring; a full one lets the oldest mature early, and counts that."""
    if row["pending_count"] == RECENT:
        row["matured_early"] = np.int64(row["matured_early"]) + 1
        _drop_oldest(row)
    entry = np.int64(row["recent_next"])
    row["recent_next"] = (entry + 1) % RECENT
    row["pending_count"] = np.int64(row["pending_count"]) + 1
    return entry


@njit(cache=True, nogil=True)
def push_recent(transaction: Any, row: Any, amount: Any, seconds: Any) -> None:
    """Remember the attempt, which waits to mature.

    A card verification takes its place in the ring, for retries and feedback, and teaches nothing about amounts."""
    entry = claim_entry(row)
    row["recent_transaction"][entry] = transaction["transaction_hash"]
    row["recent_content"][entry] = content_mark(transaction["content_hash"])
    row["recent_payee"][entry] = transaction["payee_hash"]
    row["recent_time"][entry] = seconds
    row["recent_amount"][entry] = UNKNOWN_AMOUNT if math.isnan(amount) else amount
    placed = not math.isnan(transaction["lat"]) and not math.isnan(transaction["lon"])
    row["recent_lat"][entry] = math.floor(transaction["lat"] * 100.0 + 0.5) if placed else NO_PLACE
    row["recent_lon"][entry] = math.floor(transaction["lon"] * 100.0 + 0.5) if placed else NO_PLACE
    row["recent_channel"][entry] = transaction["channel"]
    put_state(row, entry, OPEN if transaction["amount_minor"] > 0 else DONE)


@njit(cache=True, nogil=True)
def content_mark(content: Any) -> Any:
    """What the ring keeps of the hash of an attempt's content."""
    return np.uint32(np.uint64(content) & np.uint64(0xFFFFFFFF))


@njit(cache=True, nogil=True)
def find_pending(row: Any, transaction: Any) -> int:
    """The entry of a transaction that still waits to mature, -1 where there is none."""
    oldest = _oldest(row)
    for i in range(np.int64(row["pending_count"])):
        entry = (oldest + i) % RECENT
        if row["recent_transaction"][entry] == transaction:
            return entry
    return -1
