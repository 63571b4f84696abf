"""Maturity: a payment becomes normal, and its payee familiar, only after time has passed without an adverse outcome.

Until then it waits in a bounded ring of the row, so a thief's first payment does not teach the profile that thieves
are normal. A full ring lets the oldest mature early, which is counted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from stream.core.account_row import DAY_US, DONE, HOUR_BINS, NO_PLACE, OPEN, PENDING, claim_pair


@njit(cache=True, nogil=True)
def _mature_pair(row: Any, payee: Any, seconds: Any, amount: Any, channel: Any) -> None:
    """One more normal payment to a payee."""
    if payee == 0:
        return
    pair = claim_pair(row, payee, seconds)
    matured = np.int64(row["pair_matured"][pair])
    logarithm = math.log(1.0 + amount)
    mean = np.float64(row["pair_mean"][pair])
    row["pair_mean"][pair] = mean + (logarithm - mean) / min(matured + 1, 20)
    row["pair_max"][pair] = max(np.float64(row["pair_max"][pair]), amount)
    row["pair_matured"][pair] = min(matured + 1, 65_535)
    row["pair_channels"][pair] |= 1 << channel


@njit(cache=True, nogil=True)
def _mature_amount(row: Any, time_us: Any, amount: Any) -> None:
    """Own mean, deviation, maximum and usual outflow, with outliers pulled in to three deviations."""
    count = np.int64(row["matured"])
    logarithm = math.log(1.0 + amount)
    if count == 0:
        row["normal_mean"] = logarithm
        row["normal_variance"] = 0.5
        row["normal_max"] = amount
        row["normal_sum"] = amount
        row["normal_time"] = time_us
        return
    mean, variance = row["normal_mean"], row["normal_variance"]
    difference = logarithm - mean
    if count >= 10:
        reach = 3.0 * math.sqrt(variance)
        difference = min(max(difference, -reach), reach)
    weight = 1.0 / min(count + 1, 100)
    row["normal_mean"] = mean + weight * difference
    row["normal_variance"] = max((1.0 - weight) * (variance + weight * difference * difference), 1.0e-4)
    elapsed = max(time_us - row["normal_time"], 0) / DAY_US
    row["normal_time"] = max(time_us, row["normal_time"])
    # the maximum fades with a year, so that one car does not cover every amount for life
    row["normal_max"] = max(row["normal_max"] * math.exp(-elapsed / 365.0), amount)
    row["normal_sum"] = row["normal_sum"] * math.exp(-elapsed / 30.0) + amount


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
def mature_entry(row: Any, entry: Any) -> None:
    """Let one pending payment become part of what is normal."""
    row["pending_state"][entry] = DONE
    seconds = np.int64(row["pending_time"][entry])
    amount = np.float64(row["pending_amount"][entry])
    channel = np.int64(row["pending_channel"][entry])
    _mature_amount(row, seconds * 1_000_000, amount)
    _count_in(row["hours"], (seconds // 10_800) % HOUR_BINS)
    _count_in(row["channels"], channel)
    _mature_place(row, np.int64(row["pending_lat"][entry]), np.int64(row["pending_lon"][entry]))
    _mature_pair(row, row["pending_payee"][entry], seconds, amount, channel)
    row["matured"] = np.int64(row["matured"]) + 1


@njit(cache=True, nogil=True)
def drop_oldest(row: Any) -> None:
    """Take the oldest payment off the pending ring, as normal unless something else became of it."""
    head = np.int64(row["pending_head"])
    if row["pending_state"][head] == OPEN:
        mature_entry(row, head)
    row["pending_head"] = (head + 1) % PENDING
    row["pending_count"] = np.int64(row["pending_count"]) - 1


@njit(cache=True, nogil=True)
def mature_due(row: Any, time_us: Any, maturity_us: Any) -> None:
    """Mature what is older than the maturity at this event's time."""
    while row["pending_count"] > 0:
        head = np.int64(row["pending_head"])
        if np.int64(row["pending_time"][head]) * 1_000_000 + maturity_us > time_us:
            return
        drop_oldest(row)


@njit(cache=True, nogil=True)
def push_pending(transaction: Any, row: Any, seconds: Any) -> None:
    """Keep the attempt until it matures; a full ring lets the oldest mature early, and counts that."""
    if row["pending_count"] == PENDING:
        row["matured_early"] = np.int64(row["matured_early"]) + 1
        drop_oldest(row)
    entry = (np.int64(row["pending_head"]) + np.int64(row["pending_count"])) % PENDING
    row["pending_transaction"][entry] = transaction["transaction_hash"]
    row["pending_payee"][entry] = transaction["payee_hash"]
    row["pending_time"][entry] = seconds
    row["pending_amount"][entry] = float(transaction["account_amount_minor"])
    placed = not math.isnan(transaction["lat"]) and not math.isnan(transaction["lon"])
    row["pending_lat"][entry] = math.floor(transaction["lat"] * 100.0 + 0.5) if placed else NO_PLACE
    row["pending_lon"][entry] = math.floor(transaction["lon"] * 100.0 + 0.5) if placed else NO_PLACE
    row["pending_channel"][entry] = transaction["channel"]
    row["pending_state"][entry] = OPEN
    row["pending_count"] = np.int64(row["pending_count"]) + 1


@njit(cache=True, nogil=True)
def find_pending(row: Any, transaction: Any) -> int:
    """The pending entry of a transaction that has not matured, -1 where there is none."""
    for i in range(np.int64(row["pending_count"])):
        entry = (np.int64(row["pending_head"]) + i) % PENDING
        if row["pending_transaction"][entry] == transaction:
            return entry
    return -1
