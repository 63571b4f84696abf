"""Simple values of ISO 20022, checked as its schemas and its currencies say; parsers let most of it pass.

Each reader takes the element around the value and the path below it, and gives None where the value is absent or empty.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from stream.contracts.country import COUNTRIES
from stream.contracts.currency import MINOR_UNIT_DIGITS
from stream.contracts.transaction import MAX_AMOUNT
from stream.iso20022.element import Element, Unreadable

_CODE: Final = re.compile(r"[A-Za-z0-9]{1,5}")
_BIC: Final = re.compile(r"[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Za-z0-9]{1,30}")
_AS_NUMBER: Final = str.maketrans({letter: str(int(letter, 36)) for letter in string.ascii_letters})
_UETR: Final = re.compile(r"[a-f0-9]{8}-[a-f0-9]{4}-4[a-f0-9]{3}-[89ab][a-f0-9]{3}-[a-f0-9]{12}")
_DECIMAL: Final = re.compile(r"\+?([0-9]*)(?:\.([0-9]*))?")
_INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}):([0-9]{2}:[0-9]{2})(?:\.([0-9]+))?(Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9]|[+-]14:00)?"
)
_LEI: Final = re.compile(r"[A-Z0-9]{18}[0-9]{2}")
_DIGITS: Final = 18
_LINE_BREAK: Final = re.compile(r"[\x00-\x1f\x7f]")
NOT_PROVIDED: Final = "NOTPROVIDED"


@dataclass(frozen=True, slots=True)
class MessageAmount:
    """An amount in minor units of its currency."""

    minor: int
    currency: str


def text(around: Element, *path: str, most: int = 35) -> str | None:
    """A text of 1 to ``most`` characters on one line (Max35Text and its like)."""
    found = around.value(*path)
    if not found:
        return None
    if len(found) > most:
        raise Unreadable("out_of_range", around.one(*path), f"{len(found)} characters; at most {most} may be")
    if not found.isprintable() and _LINE_BREAK.search(found):
        raise Unreadable("out_of_range", around.one(*path), "a control character in it")
    return found


def code_or_proprietary(around: Element, *path: str) -> str | None:
    """``Cd``, a code of an external list of 1 to 5 letters and digits, else ``Prtry``, the sender's own word."""
    if around.value(*path) is None:
        return None
    return code(around, *path, "Cd") or text(around, *path, "Prtry")


def code(around: Element, *path: str) -> str | None:
    """A code of an external list: 1 to 5 letters and digits."""
    return _matching(around, path, _CODE, "not a code of 1 to 5 letters and digits")


def country(around: Element, *path: str) -> str | None:
    """ISO 3166 alpha-2."""
    found = around.value(*path)
    if not found:
        return None
    if found not in COUNTRIES:
        raise Unreadable("out_of_range", around.one(*path), "not an ISO 3166 alpha-2 code in capital letters")
    return found


def uetr(around: Element, *path: str) -> str | None:
    """A UETR: a UUID of version 4 in lower case."""
    return _matching(around, path, _UETR, "not a UUID of version 4 in lower case")


def lei(around: Element, *path: str) -> str | None:
    """A legal entity identifier, by its form."""
    return _matching(around, path, _LEI, "not 18 letters and digits and two check digits")


def bic(around: Element, *path: str) -> str | None:
    """A business identifier code in 11 characters; one of 8 is that of the head office (``XXX``)."""
    said = around.value(*path)
    if not said:
        return None
    found, wrong = _bic(said)
    if wrong:
        raise Unreadable("out_of_range", around.one(*path), wrong)
    return found


@lru_cache(maxsize=4096)  # banks come again and again
def _bic(said: str) -> tuple[str, str]:
    """With 11 characters, and what is wrong with it."""
    if _BIC.fullmatch(said) is None:
        return "", "not a BIC of 8 or 11 capital letters and digits"
    if said[4:6] not in COUNTRIES:
        return "", "a BIC whose fifth and sixth letters are no country"
    return (said if len(said) == 11 else said + "XXX"), ""


def iban(around: Element, *path: str) -> str | None:
    """An IBAN whose check digits are right (ISO 13616, ISO 7064 MOD 97-10)."""
    found = _matching(around, path, _IBAN, "not an IBAN: two letters, two digits, up to 30 letters and digits")
    if found is None:
        return None
    turned = found[4:] + found[:4]
    if int(turned.translate(_AS_NUMBER)) % 97 != 1 or not 2 <= int(found[2:4]) <= 98:
        raise Unreadable("out_of_range", around.one(*path), "an IBAN whose check digits are wrong")
    if found[:2] not in COUNTRIES:
        raise Unreadable("out_of_range", around.one(*path), "an IBAN of no country")
    return found.upper()


def number(around: Element, *path: str) -> int | None:
    """A count (Max15NumericText)."""
    found = around.value(*path)
    if not found:
        return None
    if len(found) > 15 or not (found.isascii() and found.isdigit()):
        raise Unreadable("out_of_range", around.one(*path), "not a number of 1 to 15 digits")
    return int(found)


def money(around: Element, *path: str) -> MessageAmount | None:
    """An amount with its currency: at most 18 digits, no more decimals than the currency has.

    ``1,5`` is no amount, ``1.000`` EUR and ``1.0`` JPY are none either: whoever writes decimals that a currency has not
    counts in another unit than we would.
    """
    element = around.one(*path)
    if element is None:
        return None
    currency = element.currency
    if not currency:
        raise Unreadable("missing", element, "is absent", "@Ccy")
    decimals = MINOR_UNIT_DIGITS.get(currency)
    if decimals is None:
        raise Unreadable("unknown_currency", element, "not an ISO 4217 code", "@Ccy")
    form = _DECIMAL.fullmatch(element.text)
    if form is None or not (form[1] or form[2]):
        reason = "out_of_range" if element.text else "missing"
        raise Unreadable(reason, element, "not an amount: digits, and decimals behind a point")  # type: ignore[arg-type]
    fraction = form[2] or ""
    if len(fraction) > decimals:
        raise Unreadable("out_of_range", element, f"{len(fraction)} decimals; {currency} has {decimals}")
    if len(form[1].lstrip("0")) + len(fraction) > _DIGITS:
        raise Unreadable("out_of_range", element, f"more than {_DIGITS} digits")
    minor = int((form[1] or "0") + fraction.ljust(decimals, "0"))
    if minor > MAX_AMOUNT:
        raise Unreadable("out_of_range", element, "more than 10^15 minor units")
    return MessageAmount(minor, currency)


def instant(around: Element, zone: ZoneInfo | None, *path: str) -> datetime | None:
    """A time (ISODateTime), in UTC; one without an offset is of ``zone``, None: of UTC."""
    found = around.value(*path)
    if not found:
        return None
    form = _INSTANT.fullmatch(found)
    if form is None:
        raise Unreadable("bad_time", around.one(*path), "not an ISO 8601 date and time")
    try:
        return _instant(form, zone)
    except (ValueError, OverflowError) as error:
        told = str(error) if isinstance(error, _NoSuchTime) else "no such date or time"
        raise Unreadable("bad_time", around.one(*path), told) from None


class _NoSuchTime(ValueError):
    """A local time that never was, or was twice."""


def _instant(form: re.Match[str], zone: ZoneInfo | None) -> datetime:
    day, hour, rest, fraction, offset = form.groups()
    midnight = hour == "24"
    if midnight and (rest != "00:00" or (fraction or "0").strip("0")):
        raise ValueError
    found = datetime.fromisoformat(
        f"{day}T{'00' if midnight else hour}:{rest}.{(fraction or '0')[:6]:0<6}{offset or '+00:00'}"
    )
    if midnight:
        found += timedelta(days=1)
    if offset is not None or zone is None:
        return found.astimezone(UTC)
    first, second = (found.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first != second:
        raise _NoSuchTime("a local time that comes twice or never when the clocks change; send an offset")
    return first


def rendered(moment: datetime) -> str:
    """An instant as riskstream writes it: RFC 3339, UTC, ``Z``.

    >>> rendered(datetime(2026, 1, 1, 10, tzinfo=UTC))
    '2026-01-01T10:00:00Z'
    """
    return moment.isoformat()[: -len("+00:00")] + "Z"


def _matching(around: Element, path: tuple[str, ...], form: re.Pattern[str], otherwise: str) -> str | None:
    found = around.value(*path)
    if not found:
        return None
    if form.fullmatch(found) is None:
        raise Unreadable("out_of_range", around.one(*path), otherwise)
    return found
