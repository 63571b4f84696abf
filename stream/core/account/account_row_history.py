"""Earlier layouts of account rows: what an older version of riskstream wrote is read, not thrown away.

A layout stands here as it was, with its own sizes: nothing in it may follow today's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.core.account.account_maturity import mature_entry
from stream.core.account.account_row import (
    ADVERSE_PAIR,
    DONE,
    NO_PLACE,
    OPEN,
    PAIR_CHANNELS,
    PAIRS,
    RECENT,
    STATE_SHIFT,
)
from stream.core.table.row_layout import RowLayout

_VERSION_1 = np.dtype(
    [
        ("schema", "u2"),
        ("recent_next", "u1"),
        ("pending_head", "u1"),
        ("pending_count", "u1"),
        ("cleared_next", "u1"),
        ("place_count", "u1"),
        ("reserved", "u1"),
        ("key", "S64"),
        ("first_seen", "i8"),
        ("last_seen", "i8"),
        ("attempts", "u4"),
        ("matured", "u4"),
        ("matured_early", "u4"),
        ("home_country", "u4"),
        ("countries", "u4", (4,)),
        ("window_time", "i8"),
        ("counts", "f8", (4,)),
        ("sums", "f8", (4,)),
        ("large_week", "f8"),
        ("new_payees_day", "f8"),
        ("slips_month", "f8"),
        ("failed_week", "f8"),
        ("frauds_month", "f8"),
        ("fraud_last", "i8"),
        ("fraud_episode", "i8"),
        ("normal_time", "i8"),
        ("normal_mean", "f8"),
        ("normal_variance", "f8"),
        ("normal_max", "f8"),
        ("normal_sum", "f8"),
        ("last_amounts", "f4", (3,)),
        ("hours", "f4", (8,)),
        ("channels", "f4", (8,)),
        ("home_lat", "f4"),
        ("home_lon", "f4"),
        ("last_lat", "f4"),
        ("last_lon", "f4"),
        ("last_place_time", "i8"),
        ("device_hash", "u8", (4,)),
        ("device_first", "u4", (4,)),
        ("device_last", "u4", (4,)),
        ("device_change", "i8"),
        ("pair_payee", "u8", (40,)),
        ("pair_first", "u4", (40,)),
        ("pair_last", "u4", (40,)),
        ("pair_attempts", "u2", (40,)),
        ("pair_matured", "u2", (40,)),
        ("pair_mean", "f4", (40,)),
        ("pair_max", "f4", (40,)),
        ("pair_channels", "u1", (40,)),
        ("pair_flags", "u1", (40,)),
        ("cleared_payee", "u8", (4,)),
        ("cleared_until", "u4", (4,)),
        ("cleared_max", "f4", (4,)),
        ("pending_transaction", "u8", (16,)),
        ("pending_payee", "u8", (16,)),
        ("pending_time", "u4", (16,)),
        ("pending_amount", "f4", (16,)),
        ("pending_lat", "i2", (16,)),
        ("pending_lon", "i2", (16,)),
        ("pending_channel", "u1", (16,)),
        ("pending_state", "u1", (16,)),
        ("recent_transaction", "u8", (16,)),
        ("recent_content", "u8", (16,)),
    ]
)

_VERSION_2 = np.dtype(
    [
        ("schema", "u2"),
        ("recent_next", "u1"),
        ("pending_head", "u1"),
        ("pending_count", "u1"),
        ("cleared_next", "u1"),
        ("place_count", "u1"),
        ("reserved", "u1"),
        ("key", "S64"),
        ("first_seen", "i8"),
        ("last_seen", "i8"),
        ("attempts", "u4"),
        ("matured", "u4"),
        ("matured_early", "u4"),
        ("home_country", "u4"),
        ("countries", "u4", (4,)),
        ("window_time", "i8"),
        ("counts", "f8", (4,)),
        ("sums", "f8", (4,)),
        ("large_week", "f8"),
        ("new_payees_day", "f8"),
        ("slips_month", "f8"),
        ("failed_week", "f8"),
        ("frauds_month", "f8"),
        ("fraud_last", "i8"),
        ("fraud_episode", "i8"),
        ("normal_time", "i8"),
        ("normal_mean", "f8"),
        ("normal_variance", "f8"),
        ("normal_max", "f8"),
        ("normal_sum", "f8"),
        ("last_amounts", "f4", (3,)),
        ("hours", "f4", (8,)),
        ("channels", "f4", (8,)),
        ("home_lat", "f4"),
        ("home_lon", "f4"),
        ("last_lat", "f4"),
        ("last_lon", "f4"),
        ("last_place_time", "i8"),
        ("device_hash", "u8", (4,)),
        ("device_first", "u4", (4,)),
        ("device_last", "u4", (4,)),
        ("device_change", "i8"),
        ("pair_payee", "u8", (39,)),
        ("pair_first", "u4", (39,)),
        ("pair_last", "u4", (39,)),
        ("pair_attempts", "u2", (39,)),
        ("pair_matured", "u2", (39,)),
        ("pair_mean", "f4", (39,)),
        ("pair_max", "f4", (39,)),
        ("pair_channels", "u1", (39,)),
        ("pair_flags", "u1", (39,)),
        ("cleared_payee", "u8", (4,)),
        ("cleared_until", "u4", (4,)),
        ("cleared_max", "f4", (4,)),
        ("pending_transaction", "u8", (16,)),
        ("pending_payee", "u8", (16,)),
        ("pending_time", "u4", (16,)),
        ("pending_amount", "f4", (16,)),
        ("pending_lat", "i2", (16,)),
        ("pending_lon", "i2", (16,)),
        ("pending_channel", "u1", (16,)),
        ("pending_state", "u1", (16,)),
        ("day_sums", "f4", (7,)),
        ("day_bin", "u4"),
        ("unauthenticated_sum", "f4"),
        ("unauthenticated_count", "u2"),
        ("recent_transaction", "u8", (16,)),
        ("recent_content", "u8", (16,)),
    ]
)

_VERSION_3 = np.dtype(
    [
        ("schema", "u2"),
        ("recent_next", "u1"),
        ("pending_count", "u1"),
        ("cleared_next", "u1"),
        ("place_count", "u1"),
        ("key", "S64"),
        ("first_seen", "i8"),
        ("last_seen", "i8"),
        ("attempts", "u4"),
        ("matured", "u4"),
        ("matured_early", "u4"),
        ("customer", "u8"),
        ("currency", "u2"),
        ("home_country", "u2"),
        ("countries", "u2", (4,)),
        ("counts", "f8", (4,)),
        ("sums", "f8", (4,)),
        ("large_week", "f8"),
        ("new_payees_day", "f8"),
        ("slips_month", "f8"),
        ("failed_week", "f8"),
        ("frauds_month", "f8"),
        ("fraud_last", "i8"),
        ("fraud_episode", "i8"),
        ("normal_time", "u4"),
        ("normal_mean", "f8"),
        ("normal_variance", "f8"),
        ("normal_max", "f8"),
        ("normal_sum", "f8"),
        ("last_amounts", "f4", (3,)),
        ("hours", "f4", (8,)),
        ("channels", "f4", (8,)),
        ("home_lat", "f4"),
        ("home_lon", "f4"),
        ("last_lat", "f4"),
        ("last_lon", "f4"),
        ("last_place_time", "i8"),
        ("device_hash", "u8", (4,)),
        ("device_first", "u4", (4,)),
        ("device_last", "u4", (4,)),
        ("device_change", "i8"),
        ("pair_low", "u4", (39,)),
        ("pair_high", "u2", (39,)),
        ("pair_first", "u4", (39,)),
        ("pair_last", "u4", (39,)),
        ("pair_attempts", "u2", (39,)),
        ("pair_matured", "u2", (39,)),
        ("pair_mean", "f4", (39,)),
        ("pair_max", "f4", (39,)),
        ("pair_marks", "u1", (39,)),
        ("cleared_payee", "u8", (4,)),
        ("cleared_until", "u4", (4,)),
        ("cleared_max", "f4", (4,)),
        ("recent_transaction", "u8", (16,)),
        ("recent_content", "u4", (16,)),
        ("recent_payee", "u8", (16,)),
        ("recent_time", "u4", (16,)),
        ("recent_amount", "f4", (16,)),
        ("recent_lat", "i2", (16,)),
        ("recent_lon", "i2", (16,)),
        ("recent_channel", "u1", (16,)),
        ("day_sums", "f4", (7,)),
        ("day_bin", "u4"),
        ("unauthenticated_sum", "f4"),
        ("unauthenticated_count", "u2"),
    ]
)

_ENTRY = ("payee", "time", "amount", "lat", "lon")


def _from_version_1(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> None:
    """Version 1 knew 40 payees: where there are more than today's row holds, the least matured, then the longest
    unused, are forgotten."""
    order = np.lexsort((old["pair_last"], old["pair_matured"], old["pair_payee"] != 0), axis=-1)
    kept = np.sort(order[:, -PAIRS:], axis=-1)
    names = [name for name in old.dtype.names or () if name.startswith("pair_")]
    _renew(old, new, {name: np.take_along_axis(old[name], kept, axis=-1) for name in names})


def _from_version_2(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> None:
    _renew(old, new, {name: old[name] for name in old.dtype.names or () if name.startswith("pair_")})


def _from_version_3(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> None:
    """Version 3 had amounts in the account's own currency, as far as it was known, and some sums in single precision; where
    that currency is not the reference currency, the account's next payment converts them (``account_unit.py``)."""
    new["unit"] = old["currency"]
    new["normal_count"] = old["matured"]
    for name in ("day_sums", "unauthenticated_sum", "recent_amount"):
        new[name] = np.rint(old[name].astype(np.float64))


def _renew(old: npt.NDArray[np.void], new: npt.NDArray[np.void], pairs: dict[str, npt.NDArray[Any]]) -> None:
    """Until version 2 a pair had its payee's whole hash, and what waits to mature had a ring of its own."""
    for name in ("first", "last", "attempts", "matured", "mean", "max"):
        new[f"pair_{name}"] = pairs[f"pair_{name}"]
    hashes = pairs["pair_payee"]
    new["pair_low"], new["pair_high"] = hashes & np.uint64(0xFFFFFFFF), (hashes >> np.uint64(32)) & np.uint64(0xFFFF)
    new["pair_marks"] = (pairs["pair_channels"] & PAIR_CHANNELS) | (pairs["pair_flags"] & ADVERSE_PAIR)
    new["normal_time"] = old["normal_time"] // 1_000_000
    new["normal_count"] = old["matured"]
    new["recent_content"] = old["recent_content"] & np.uint64(0xFFFFFFFF)
    waits = (np.arange(RECENT) - old["pending_head"][:, None]) % RECENT < old["pending_count"][:, None]
    at = _places(old, waits)
    _mature_the_older(old, new, waits & ~(at[:, :, None] == np.arange(RECENT)).any(1))
    _join_rings(old, new, at)


def _places(old: npt.NDArray[np.void], waits: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Place of each recent transaction in the ring of those that wait, -1 where it does not wait; int64[n, 16]."""
    recent, pending = old["recent_transaction"], np.where(waits, old["pending_transaction"], np.uint64(0))
    same = (recent[:, :, None] == pending[:, None, :]) & (recent != 0)[:, :, None]
    return np.where(same.any(-1), same.argmax(-1), -1)


def _mature_the_older(old: npt.NDArray[np.void], new: npt.NDArray[np.void], lost: npt.NDArray[np.bool_]) -> None:
    """Card verifications took a place among the recent transactions alone: what waited from before those is taken for
    normal now, as if the ring had been full."""
    for row in np.flatnonzero(lost.any(1)):
        order = (int(old["pending_head"][row]) + np.arange(RECENT)) % RECENT
        for place in order[lost[row, order]]:
            new["matured_early"][row] += 1
            if old["pending_state"][row, place] == OPEN:
                for name in _ENTRY:
                    new[f"recent_{name}"][row, 0] = old[f"pending_{name}"][row, place]
                new["recent_channel"][row, 0] = old["pending_channel"][row, place]
                _mature_first(new, row)


@njit(cache=True)
def _mature_first(rows: Any, row: Any) -> None:
    mature_entry(rows[row], 0)


def _join_rings(old: npt.NDArray[np.void], new: npt.NDArray[np.void], at: npt.NDArray[np.int64]) -> None:
    """Each recent transaction takes over what the other ring knows of it."""
    waits = at >= 0
    for name in _ENTRY:
        found = np.take_along_axis(old[f"pending_{name}"], np.maximum(at, 0), axis=1)
        new[f"recent_{name}"] = np.where(waits, found, NO_PLACE if name in ("lat", "lon") else 0)
    state = np.take_along_axis(old["pending_state"], np.maximum(at, 0), axis=1)
    channel = np.take_along_axis(old["pending_channel"], np.maximum(at, 0), axis=1)
    new["recent_channel"] = np.where(waits, channel | (state << STATE_SHIFT), DONE << STATE_SHIFT)
    age = (old["recent_next"][:, None].astype(np.int64) - 1 - np.arange(RECENT)) % RECENT
    new["pending_count"] = np.where(waits, age + 1, 0).max(1)


OLDER = {
    1: RowLayout(_VERSION_1, _from_version_1),
    2: RowLayout(_VERSION_2, _from_version_2),
    3: RowLayout(_VERSION_3, _from_version_3),
}
"""Layouts by their schema version. Counters that version 1 did not have begin at nothing; versions 1 and 2 do
not say what currency their amounts are in, so these are forgotten."""
