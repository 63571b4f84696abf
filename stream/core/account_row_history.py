"""Earlier layouts of account rows: what an older version of riskstream wrote is read, not thrown away.

A layout stands here as it was, with its own sizes: nothing in it may follow today's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream.core.account_row import PAIRS
from stream.core.row_layout import RowLayout

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


def _keep_the_best_pairs(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> None:
    """Version 1 knew 40 payees: where there are more than today's row holds, the least matured, then the longest
    unused, are forgotten."""
    order = np.lexsort((old["pair_last"], old["pair_matured"], old["pair_payee"] != 0), axis=-1)
    kept = np.sort(order[:, -PAIRS:], axis=-1)
    for name in old.dtype.names or ():
        if name.startswith("pair_"):
            new[name] = np.take_along_axis(old[name], kept, axis=-1)


OLDER = {1: RowLayout(_VERSION_1, _keep_the_best_pairs)}
"""Layouts by their schema version. Counters that version 1 did not have begin at nothing."""
