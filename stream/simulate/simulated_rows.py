"""Payments inside the simulator, before they become records: one struct a payment, truth beside it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream.core.columns import CHANNELS, NAME_CHECKS, PURPOSES

ATTACKS: Final = (
    "",
    "account_takeover",
    "safe_account",
    "task_scam",
    "fake_investment",
    "grooming",
    "card_testing",
    "cross_border_scam",
    "invoice_redirect",
)
"""Names in the truth; 0 is genuine."""
SCAMS: Final = frozenset(ATTACKS[2:6] + ATTACKS[7:])
"""Attacks in which the customer pays willingly: passing a challenge proves nothing."""

KINDS: Final = (
    "groceries", "meal", "stall", "fuel", "ecommerce", "digital", "verification", "investment", "transfer", "wallet", "cash", "supplier",
    "utilities", "subscription", "rent", "loan", "family", "tuition", "allowance_abroad", "tax", "payroll",
    "trip", "own", "first_large", "instalment", "collection", "savings_broken",
    "new_device", "own_device", "probe", "charge", "small", "large", "transfer_out", "upfront",
)  # fmt: skip
"""What a payment is, for analysis: habits, standing orders, rare events, then the steps of attacks."""

SLIPS: Final[tuple[list[str] | None, ...]] = (
    None,
    ["mistyped_name"],
    ["missing_purpose"],
    ["wrong_reference"],
    ["wrong_date"],
    ["mistyped_name", "missing_purpose"],
)
"""The slips a payment can carry, by code."""

PAYMENT: Final = np.dtype(
    [
        ("time", "i8"),  # ms since the epoch, UTC
        ("customer", "i4"),
        ("second", "?"),  # from the second account
        ("payee", "i8"),  # stream.simulate.bank_payees; -1 for cash
        ("amount", "i8"),  # minor units of the account's currency
        ("currency", "u1"),  # index into CURRENCIES
        ("place", "i2"),  # city the customer acts in; -1 unknown
        ("lat", "f8"),  # degrees; NaN unknown
        ("lon", "f8"),
        ("channel", "u1"),
        ("device", "i8"),  # -1 none
        ("purpose", "u1"),
        ("slips", "u1"),
        ("name_check", "u1"),
        ("kind", "u1"),
        ("attack", "u1"),  # 0 genuine
        ("case", "i4"),  # number of the attack; -1 genuine
    ]
)
Payments = npt.NDArray[Any]

KIND: Final = {name: code for code, name in enumerate(KINDS)}
CHANNEL: Final = {name: code for code, name in enumerate(CHANNELS)}
PURPOSE: Final = {name: code for code, name in enumerate(PURPOSES)}
CHECK: Final = {name: code for code, name in enumerate(NAME_CHECKS)}
ATTACK: Final = {name: code for code, name in enumerate(ATTACKS)}


def blank(count: int) -> Payments:
    """Genuine payments with nothing filled in yet."""
    rows = np.zeros(count, dtype=PAYMENT)
    rows["payee"] = -1
    rows["place"] = -1
    rows["lat"] = np.nan
    rows["lon"] = np.nan
    rows["device"] = -1
    rows["case"] = -1
    return rows
