"""Today's rows as earlier versions would have written them: what no later version kept is zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.core.account import account_row_history
from stream.core.account.account_row import ADVERSE_PAIR, CHANNEL_MASK, RECENT, STATE_SHIFT
from stream.core.payee import payee_row_history
from stream.core.payee.payee_row import BUCKETS, PAYER_BITS

Rows = np.ndarray[Any, np.dtype[np.void]]
LABEL_TIMES = ("label_occurred", "label_seen", "label_day")
"""What busy rows of version 1 did not have."""
HEAD = 5
"""Where the oldest that waits lies in the older rings: anywhere will do."""


def accounts_as(version: int, rows: Rows) -> Rows:
    """ACCOUNT_ROW[n] in the layout of version 1, 2 or 3."""
    older = np.zeros(len(rows), account_row_history.OLDER[version].dtype)
    for name in set(older.dtype.names or ()) & set(rows.dtype.names or ()):
        if not name.startswith("pair_"):
            older[name] = rows[name]
    older["schema"] = version
    if version == 3:
        for name in ("first", "last", "attempts", "matured", "mean", "max", "low", "high", "marks"):
            older[f"pair_{name}"] = rows[f"pair_{name}"]
        older["currency"] = rows["unit"]
        return older
    older["normal_time"] = rows["normal_time"].astype(np.int64) * 1_000_000
    older["window_time"] = rows["last_seen"]
    pairs = rows["pair_low"].shape[1]
    for name in ("first", "last", "attempts", "matured", "mean", "max"):
        older[f"pair_{name}"][:, :pairs] = rows[f"pair_{name}"]
    hashes = rows["pair_low"] | (rows["pair_high"].astype(np.uint64) << np.uint64(32))
    older["pair_payee"][:, :pairs] = hashes
    older["pair_channels"][:, :pairs] = rows["pair_marks"] & 0xFE
    older["pair_flags"][:, :pairs] = rows["pair_marks"] & ADVERSE_PAIR
    for row, old in zip(rows, older, strict=True):
        _split_ring(row, old)
    return older


def _split_ring(row: Any, old: Any) -> None:
    waiting = (int(row["recent_next"]) - int(row["pending_count"]) + np.arange(int(row["pending_count"]))) % RECENT
    waiting = waiting[row["recent_amount"][waiting] > 0]  # card verifications were in one of the rings alone
    places = (HEAD + np.arange(len(waiting))) % RECENT
    old["pending_head"], old["pending_count"] = HEAD, len(waiting)
    for name in ("transaction", "payee", "time", "amount", "lat", "lon"):
        old[f"pending_{name}"][places] = row[f"recent_{name}"][waiting]
    old["pending_channel"][places] = row["recent_channel"][waiting] & CHANNEL_MASK
    old["pending_state"][places] = row["recent_channel"][waiting] >> STATE_SHIFT


def payees_as_1(rows: Rows, busy: dict[bytes, Any]) -> Rows:
    """PAYEE_ROW[n] and busy rows by key in the layout of version 1."""
    older = np.zeros(len(rows), payee_row_history.OLDER[1].dtype)
    for name in set(older.dtype.names or ()) & set(rows.dtype.names or ()) - {"payers"}:
        older[name] = rows[name]
    older["schema"] = 1
    older["window_time"] = rows["last_seen"]
    older["latest_day"] = rows["last_seen"] // 86_400_000_000
    older["payers_week"] = older["latest_day"] // 7
    for row, old in zip(rows, older, strict=True):
        other = busy.get(bytes(row["key"]))
        if other is None:
            days = np.stack([row["days"] & 15, row["days"] >> 4], axis=1).reshape(BUCKETS)
            old["day_payments"] = days
            old["payers"] = _bitmap(row["payers"][: int(row["payers_count"])])
            old["payers_before"] = _bitmap(row["before"][: int(row["before_count"])])
            continue
        for name in set(other.dtype.names or ()) - {"schema", "key"} - set(LABEL_TIMES):
            old["payers_before" if name == "before" else name] = other[name]
    return older


def payees_as_2(rows: Rows) -> Rows:
    """PAYEE_ROW[n] in the layout of version 2."""
    older = np.zeros(len(rows), payee_row_history.OLDER[2].dtype)
    for name in older.dtype.names or ():
        older[name] = rows[name]
    older["schema"] = 2
    return older


def _bitmap(numbers: Any) -> Any:
    bits = np.zeros(PAYER_BITS, np.uint64)
    bits[numbers] = 1
    return (bits.reshape(-1, 64) << np.arange(64, dtype=np.uint64)).sum(1, dtype=np.uint64)
