"""Earlier layouts of payee rows; see ``account_row_history.py``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream.core.payee.payee_row import BUSY_ROW, BUSY_SCHEMA_VERSION, DAY_LIMIT, PAYER_BITS, PAYERS
from stream.core.table.row_layout import RowLayout

_VERSION_1 = np.dtype(
    [
        ("schema", "u2"),
        ("labels_next", "u1"),
        ("reserved", "u1"),
        ("payments", "u4"),
        ("key", "S64"),
        ("first_seen", "i8"),
        ("last_seen", "i8"),
        ("window_time", "i8"),
        ("count_hour", "f8"),
        ("count_day", "f8"),
        ("count_week", "f8"),
        ("count_month", "f8"),
        ("inflow_day", "f8"),
        ("strangers_day", "f8"),
        ("strangers_week", "f8"),
        ("frauds_week", "f8"),
        ("frauds_month", "f8"),
        ("fraud_last", "i8"),
        ("fraud_episode", "i8"),
        ("mean", "f8"),
        ("payers_week", "i8"),
        ("payers", "u8", (4,)),
        ("payers_before", "u8", (4,)),
        ("latest_day", "i4"),
        ("day_payments", "u2", (64,)),
        ("day_frauds", "u1", (64,)),
        ("labels", "u8", (8,)),
    ]
)


_VERSION_2 = np.dtype(
    [
        ("schema", "u2"),
        ("payers_count", "u1"),
        ("before_count", "u1"),
        ("payments", "u4"),
        ("key", "S64"),
        ("first_seen", "i8"),
        ("last_seen", "i8"),
        ("count_hour", "f8"),
        ("count_day", "f8"),
        ("count_week", "f8"),
        ("count_month", "f8"),
        ("inflow_day", "f8"),
        ("strangers_day", "f8"),
        ("strangers_week", "f8"),
        ("mean", "f8"),
        ("payers", "u1", (8,)),
        ("before", "u1", (8,)),
        ("days", "u1", (32,)),
    ]
)


_BUSY_VERSION_1 = np.dtype(
    [
        ("schema", "u2"),
        ("labels_next", "u1"),
        ("key", "S64"),
        ("frauds_week", "f8"),
        ("frauds_month", "f8"),
        ("fraud_last", "i8"),
        ("fraud_episode", "i8"),
        ("payers", "u8", (4,)),
        ("before", "u8", (4,)),
        ("day_payments", "u2", (64,)),
        ("day_frauds", "u1", (64,)),
        ("labels", "u8", (8,)),
    ]
)


def _bits(bitmaps: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """The bits of each row's bitmap; bool[n, PAYER_BITS]."""
    places = np.arange(64, dtype=np.uint64)
    bits: npt.NDArray[np.bool_] = ((bitmaps[:, :, None] >> places) & np.uint64(1)) != 0
    return bits.reshape(len(bitmaps), PAYER_BITS)


def _is_busy(old: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Which payees today's row alone has no room for."""
    crowded = [_bits(old[name]).sum(1) > PAYERS for name in ("payers", "payers_before")]
    told = [(old["labels"] != 0).any(1), old["fraud_last"] != 0]
    busy: npt.NDArray[np.bool_] = np.any([(old["day_payments"] > DAY_LIMIT).any(1), *crowded, *told], axis=0)
    return busy


def _complete(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> None:
    """Counts and payers of those that are not busy, in today's form."""
    new["payers"] = 0  # filled from the field of the same name, which was a bitmap
    quiet = np.flatnonzero(~_is_busy(old))
    days = old["day_payments"][quiet]
    new["days"][quiet] = days[:, 0::2] | (days[:, 1::2] << 4)
    for name, listed, count in (("payers", "payers", "payers_count"), ("payers_before", "before", "before_count")):
        row, number = np.nonzero(_bits(old[name][quiet]))
        counts = np.bincount(row, minlength=len(quiet))
        place = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
        new[listed][quiet[row], place] = number
        new[count][quiet] = counts


def _busy_rows(old: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """What version 1 had in the one row."""
    mine = old[_is_busy(old)]
    busy = np.zeros(len(mine), BUSY_ROW)
    for name in BUSY_ROW.names or ():
        if not name.startswith("label_"):
            busy[name] = mine["payers_before" if name == "before" else name]
    busy["schema"] = BUSY_SCHEMA_VERSION
    return busy


def _amounts_anew(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> None:
    """Version 2 had amounts of every currency as if they were one: they are learned anew."""


OLDER = {1: RowLayout(_VERSION_1, _complete, _busy_rows), 2: RowLayout(_VERSION_2, _amounts_anew)}
"""Layouts by their schema version."""


def _without_labels(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> None:
    """Version 1 knew its labels by the transaction's id alone, and not when they were counted: none can be taken back."""
    new["labels"] = 0


BUSY_OLDER = {1: RowLayout(_BUSY_VERSION_1, _without_labels)}
"""The same of busy rows."""
