"""Earlier layouts of customer rows; see ``account_row_history.py``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream.core.account.customer import PAYEE_BITS
from stream.core.table.row_layout import RowLayout

_VERSION_2 = np.dtype(
    [
        ("schema", "u2"),
        ("cleared_next", "u1"),
        ("reserved", "u1"),
        ("key", "S64"),
        ("attempts", "u4"),
        ("window_time", "i8"),
        ("counts", "f8", (2,)),
        ("new_payees_day", "f8"),
        ("slips_month", "f8"),
        ("failed_week", "f8"),
        ("device_hash", "u8", (6,)),
        ("device_first", "u4", (6,)),
        ("device_last", "u4", (6,)),
        ("device_change", "i8"),
        ("pair_payee", "u8", (24,)),
        ("pair_first", "u4", (24,)),
        ("pair_last", "u4", (24,)),
        ("pair_max", "f4", (24,)),
        ("pair_currency", "u4", (24,)),
        ("pair_matured", "u2", (24,)),
        ("cleared_payee", "u8", (4,)),
        ("cleared_until", "u4", (4,)),
        ("cleared_max", "f4", (4,)),
    ]
)


def _mask_payees(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> None:
    new["pair_payee"] &= PAYEE_BITS


def _nothing_more(old: npt.NDArray[np.void], new: npt.NDArray[np.void]) -> None:
    """The unit of amounts stays unknown: they are forgotten and copied anew from the accounts."""


OLDER = {1: RowLayout(_VERSION_2, _mask_payees), 2: RowLayout(_VERSION_2, _nothing_more)}
"""Layouts by their schema version: version 1 had whole hashes of payees in the fields of version 2."""
