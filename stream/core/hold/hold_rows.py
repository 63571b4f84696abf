"""Stored holds and the alerts they come from, as they may lie on their topics: closed schemas, looked at before use."""

from __future__ import annotations

import re
from typing import Any, Final

from rules.bounded_json import NotReadable, load

LAST_TIME_US: Final = 4_102_444_800_000_000
"""Times of records lie before 2100, µs since the epoch."""
MAX_ALERT_BYTES: Final = 1 << 20
MAX_ROW_BYTES: Final = 2 << 20
MAX_DEPTH: Final = 16
MAX_VALUES: Final = 50_000
ID: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,64}")
OWED: Final = b"\x01"
"""What the keys of obligations begin with in the agent's rows; no id can."""
NO_SCENARIO: Final = "unknown"
"""The scenario of a hold stored as a row of version 1."""
ROW_KEY: Final = re.compile(rb"[A-Za-z0-9_.:\-]{1,64}/[A-Za-z0-9_.:\-]{1,64}")
_HOLD: Final = ("transaction_id", "alert_id", "account_id", "customer_id", "expires_at", "on_expiry")
_LATER: Final = ("escalation", "scenario", "priority_milli", "due_at", "held", "amount_minor", "currency")
"""What holds of earlier versions have not all of."""
_VERDICT: Final = frozenset(("transaction_id", "account_id", "result", "cause", "stamped_at"))
_SAID: Final = ("actor", "feedback_id")
"""What verdicts of earlier versions have not."""
MAX_SAID: Final = 256
_CURRENCY: Final = re.compile(r"[A-Z]{3}|")
_RESULTS: Final = ("release", "decline")
_CAUSES: Final = ("reviewer", "challenge", "customer", "expiry", "supplied")
_HELD: Final = ("review", "challenge")


def read_object(value: bytes | None, most: int) -> dict[str, Any]:
    """One JSON object within limits.

    Raises
    ------
    NotReadable
        It is none.
    """
    document = load(value or b"", max_bytes=most, max_depth=MAX_DEPTH, max_values=MAX_VALUES)
    if not isinstance(document, dict):
        raise NotReadable("no JSON object")
    return document


def identity(value: Any) -> str:
    """An id.

    Raises
    ------
    ValueError
        It is none.
    """
    if not isinstance(value, str) or not ID.fullmatch(value):
        raise NotReadable("an id that is none")
    return value


def currency_code(value: Any) -> str:
    """A currency's code, or the empty text where it is not known.

    Raises
    ------
    ValueError
        It is none.
    """
    if not isinstance(value, str) or not _CURRENCY.fullmatch(value):
        raise NotReadable("a currency that is none")
    return value


def whole(value: Any, least: int = 0, most: int = LAST_TIME_US) -> int:
    """An integer within bounds, by themselves those of a time in µs.

    Raises
    ------
    ValueError
        It is none.
    """
    if type(value) is not int or not least <= value <= most:
        raise NotReadable("a number that is none, or out of range")
    return value


def read_row(key: bytes, value: bytes, versions: tuple[int, ...], kept: int) -> dict[str, Any]:
    """A stored hold, early verdict or end under its key.

    Raises
    ------
    NotReadable
        It is none.
    """
    row = read_object(value, MAX_ROW_BYTES)
    if row.get("version") not in versions:
        return row  # the caller says so: another version of riskstream may have written it
    state = row.get("state")
    if state == "ended" and set(row) == {"version", "state", "at"}:
        whole(row["at"])
    elif state == "unmatched" and set(row) == {"version", "state", "seen", "verdicts"}:
        whole(row["seen"], 1)
        if not isinstance(row["verdicts"], list) or len(row["verdicts"]) > kept:
            raise NotReadable("no list of verdicts")
        for verdict in row["verdicts"]:
            _check_verdict(key, verdict)
    elif state == "open" and set(row) == {"version", "state", "hold"}:
        _check_hold(key, row["hold"])
    else:
        raise NotReadable("no stored hold")
    return row


def _check_verdict(key: bytes, verdict: Any) -> None:
    if not isinstance(verdict, dict) or set(verdict) - set(_SAID) != _VERDICT:
        raise NotReadable("no stored verdict")
    said = [verdict.get(name, "") for name in _SAID]
    if not all(isinstance(text, str) and len(text) <= MAX_SAID for text in said):
        raise NotReadable("a stored verdict with a text that is none")
    _check_key(key, verdict)
    whole(verdict["stamped_at"])
    if verdict["result"] not in _RESULTS or verdict["cause"] not in _CAUSES:
        raise NotReadable("a stored verdict that says nothing known")


def _check_hold(key: bytes, hold: Any) -> None:
    if not isinstance(hold, dict) or not set(_HOLD) <= set(hold) <= {*_HOLD, *_LATER}:
        raise NotReadable("no stored hold")
    _check_key(key, hold)
    identity(hold["alert_id"])
    identity(hold["customer_id"])
    whole(hold["expires_at"])
    whole(hold.get("priority_milli", 0), -(2**53), 2**53)
    whole(hold.get("due_at", 0))
    whole(hold.get("amount_minor", 0))
    currency_code(hold.get("currency", ""))
    if hold["on_expiry"] not in _RESULTS or hold.get("held", "review") not in _HELD:
        raise NotReadable("a stored hold that ends in nothing known")
    if not isinstance(hold.get("escalation", ""), str) or not isinstance(hold.get("scenario", ""), str):
        raise NotReadable("a stored hold with a text that is none")


def _check_key(key: bytes, owner: dict[str, Any]) -> None:
    if key != f"{identity(owner['account_id'])}/{identity(owner['transaction_id'])}".encode():
        raise NotReadable("stored under another's key")
