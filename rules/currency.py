"""Currencies: dated rates that bring an amount in minor units into the policy's reference currency.

Only for thresholds such as "a large transfer": coarse, dated, part of the policy, never for booking.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rules.condition import pack_code

_NO_TIMES: Final = np.zeros(0, np.int64)


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


@dataclass(frozen=True)
class Currencies:
    """The policy's table of rates.

    >>> table = Currencies("EUR", (Rate("EUR", 2, 1.0, 0), Rate("JPY", 0, 0.006, 0)))
    >>> table.reference(np.array([pack_code("EUR"), pack_code("JPY"), 1.0]), np.array([250.0, 1000.0, 5.0])).tolist()
    [2.5, 6.0, nan]
    """

    reference_currency: str
    rates: tuple[Rate, ...] = ()

    def reference(
        self,
        currency: NDArray[np.float64],
        amount_minor: NDArray[np.float64],
        event_time: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float64]:
        """Amounts in reference units float64[n]; NaN where the currency has no rate at that time.

        ``currency`` holds packed codes; without ``event_time`` (µs) the newest rate counts.
        """
        return amount_minor * self.factors(currency, _NO_TIMES if event_time is None else event_time)

    def factors(self, currency: NDArray[np.float64], event_time: NDArray[np.int64]) -> NDArray[np.float64]:
        """Reference units of one minor unit, float64[n]; parameters and what is unknown as in :meth:`reference`."""
        found = np.empty(len(currency))
        find_factors(currency, event_time, *self._table, found)
        return found

    @cached_property
    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Codes, reference units of one minor unit, and starts: by currency, the newest rate first."""
        rates = sorted(self.rates, key=lambda rate: (pack_code(rate.currency), -rate.valid_from))
        return (
            np.array([pack_code(rate.currency) for rate in rates], np.float64),
            np.array([rate.rate / 10**rate.digits for rate in rates], np.float64),
            np.array([rate.valid_from for rate in rates], np.int64),
        )


@njit(cache=True, nogil=True)
def find_factors(currency, event_time, codes, factors, starts, out):  # type: ignore[no-untyped-def]
    """Reference units of one minor unit into ``out``; an empty ``event_time`` takes the newest rate."""
    for i in range(len(out)):
        place = np.searchsorted(codes, currency[i])
        while (
            place < len(codes) and codes[place] == currency[i] and len(event_time) > 0 and starts[place] > event_time[i]
        ):
            place += 1
        known = place < len(codes) and codes[place] == currency[i]
        out[i] = factors[place] if known else np.nan
