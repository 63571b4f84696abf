"""Currencies: dated rates that bring an amount in minor units into the policy's reference currency.

Coarse, dated, part of the policy, never for booking. With them amounts of different currencies are compared: by limits, and
by what an account, a customer and a payee are used to. The table has a version of its own, a digest of its content: batches
of payments name the one they were walked with, so that rows are computed again with the same rates whatever policy is in
force then.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rules.condition import pack_code
from rules.iso_4217 import CODES

_NO_TIMES: Final = np.zeros(0, np.int64)
MOST_MINOR: Final = float(2**53 - 1)
"""Largest amount in reference minor units; a larger one counts as that. Whole numbers up to here are exact in float64."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Value of one unit of a currency in reference units from a time on.

    Parameters
    ----------
    currency
        ISO 4217 letters.
    digits
        Decimals of its minor unit (2 for cents, 0 for yen).
    rate
        Reference units for one unit.
    valid_from
        µs since the epoch.
    """

    currency: str
    digits: int
    rate: float
    valid_from: int


class RateArrays(NamedTuple):
    """The table as compiled loops read it: by currency, the newest rate first.

    Parameters
    ----------
    reference
        Packed code of the reference currency.
    codes : float64[r]
        Packed codes, ascending.
    factors : float64[r]
        Reference minor units of one minor unit.
    starts : int64[r]
        µs.
    """

    reference: int
    codes: NDArray[np.float64]
    factors: NDArray[np.float64]
    starts: NDArray[np.int64]


@dataclass(frozen=True)
class Currencies:
    """The policy's table of rates.

    Parameters
    ----------
    reference_currency
        What the rates are in.
    rates
        Dated; of a currency the newest one that has begun counts.
    fresh_until
        Event time, µs, from which the table is out of date; no part of its version, for amounts stay what they are.

    >>> table = Currencies("EUR", (Rate("EUR", 2, 1.0, 0), Rate("JPY", 0, 0.006, 0)))
    >>> table.reference(np.array([pack_code("EUR"), pack_code("JPY"), 1.0]), np.array([250.0, 1000.0, 5.0])).tolist()
    [2.5, 6.0, nan]
    >>> Currencies.from_document(table.document()) == table
    True
    """

    reference_currency: str
    rates: tuple[Rate, ...] = ()
    fresh_until: int = 2**62

    @property
    def digits(self) -> int:
        """Decimals of the reference currency's minor unit."""
        return CODES[self.reference_currency].digits

    @cached_property
    def version(self) -> str:
        """Digest of reference currency and rates."""
        text = json.dumps(self.document(), separators=(",", ":"))
        return f"r-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def document(self) -> dict[str, Any]:
        """The table as JSON: ``reference``, and ``rates`` as [currency, rate, valid_from in µs], sorted."""
        rates = sorted((rate.currency, rate.rate, rate.valid_from) for rate in self.rates)
        return {"reference": self.reference_currency, "rates": [list(rate) for rate in rates]}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Currencies:
        """The inverse of :meth:`document`."""
        rates = tuple(Rate(code, CODES[code].digits, float(rate), at) for code, rate, at in document["rates"])
        return cls(document["reference"], rates)

    def reference(
        self,
        currency: NDArray[np.float64],
        amount_minor: NDArray[np.float64],
        event_time: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float64]:
        """Amounts in reference units float64[n]; NaN where the currency has no rate at that time.

        ``currency`` holds packed codes; without ``event_time`` (µs) the newest rate counts.
        """
        times = _NO_TIMES if event_time is None else event_time
        found = np.empty(len(currency))
        find_factors(currency, times, *self.arrays[1:], found)
        units: NDArray[np.float64] = amount_minor * found / 10**self.digits
        return units

    @cached_property
    def arrays(self) -> RateArrays:
        """For compiled loops."""
        rates = sorted(self.rates, key=lambda rate: (pack_code(rate.currency), -rate.valid_from))
        return RateArrays(
            int(pack_code(self.reference_currency)),
            np.array([pack_code(rate.currency) for rate in rates], np.float64),
            np.array([rate.rate * 10**self.digits / 10**rate.digits for rate in rates], np.float64),
            np.array([rate.valid_from for rate in rates], np.int64),
        )


@njit(cache=True, nogil=True)
def find_factor(currency, event_time, codes, factors, starts):  # type: ignore[no-untyped-def]
    """Reference minor units of one minor unit of a currency (packed code) at an event time (µs); NaN without a rate."""
    place = np.searchsorted(codes, currency)
    while place < len(codes) and codes[place] == currency:
        if starts[place] <= event_time:
            return factors[place]
        place += 1
    return np.nan


@njit(cache=True, nogil=True)
def reference_minor(amount, currency, event_time, codes, factors, starts):  # type: ignore[no-untyped-def]
    """An amount in minor units as whole reference minor units, half to even; at least 1 where there is any amount.

    NaN where there is no rate; 0 is 0 in every currency.

    >>> table = Currencies("EUR", (Rate("EUR", 2, 1.0, 0), Rate("JPY", 0, 0.005, 0))).arrays
    >>> [float(reference_minor(n, float(pack_code("JPY")), 0, *table[1:])) for n in (0, 1, 3, 5, 10**12)]
    [0.0, 1.0, 2.0, 2.0, 500000000000.0]
    """
    if amount == 0:
        return 0.0
    converted = np.rint(amount * find_factor(currency, event_time, codes, factors, starts))
    if np.isnan(converted):
        return converted
    return min(max(converted, 1.0), MOST_MINOR)


@njit(cache=True, nogil=True)
def find_factors(currency, event_time, codes, factors, starts, out):  # type: ignore[no-untyped-def]
    """Reference minor units of one minor unit into ``out``; an empty ``event_time`` takes the newest rate."""
    for i in range(len(out)):
        out[i] = find_factor(currency[i], event_time[i] if len(event_time) > 0 else 2**62, codes, factors, starts)
