"""Currencies of ISO 4217: how many decimals the minor unit of each has, and until when a code was in use.

The table is ``iso_4217.csv``: list one (codes in use) as of January 2026 and, of list three (historic codes), those
withdrawn since 1991. List three names a month; where the successor's law or the standard's amendment names a day, that is
the last one (of the national units of the euro, the last of notes and coins). ``digits`` of withdrawn codes are those they
had; 0 where there is no minor unit. Three kinds of codes are left out, as nothing that can be paid in: ``XTS`` (tests),
``XXX`` (no currency) and what was replaced before there were electronic records of it. When a code came into use is not in
the lists: earlier payments may have been restated in it, so they are taken.

Source: ISO 4217:2015, lists one and three, maintained by SIX Financial Information (amendments up to 180);
https://www.six-group.com/en/products-services/financial-information/market-reference-data/data-standards.html
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from typing import Final

ALWAYS_US: Final = 2**62
"""End of what has none, µs."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CurrencyCode:
    """One code.

    Parameters
    ----------
    code
        Three capital letters.
    digits
        Decimals of its minor unit, 0 to 4.
    ends
        Event time, µs since the epoch, from which it is not in use any more: the midnight (UTC) after its last day.
    """

    code: str
    digits: int
    ends: int


def _read() -> dict[str, CurrencyCode]:
    text = files("rules").joinpath("iso_4217.csv").read_text("ascii")
    return {
        row["code"]: CurrencyCode(row["code"], int(row["digits"]), _end(row["last_day"]))
        for row in csv.DictReader(text.splitlines())
    }


def _end(last_day: str) -> int:
    if not last_day:
        return ALWAYS_US
    midnight = datetime.combine(date.fromisoformat(last_day) + timedelta(days=1), time.min, UTC)
    return (midnight - _EPOCH) // timedelta(microseconds=1)


CODES: Final[dict[str, CurrencyCode]] = _read()
"""All of them, by their letters."""


def in_use(code: str, event_time: int) -> bool:
    """Whether a code is one, and was in use at an event time (µs since the epoch).

    >>> newyear_2023 = 1_672_531_200_000_000
    >>> in_use("HRK", newyear_2023 - 1), in_use("HRK", newyear_2023), in_use("EUR", newyear_2023), in_use("RMB", 0)
    (True, False, True, False)
    """
    known = CODES.get(code)
    return known is not None and event_time < known.ends
