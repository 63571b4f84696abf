"""Currencies: dated rates that bring an amount in minor units into the policy's reference currency.

Only for thresholds such as "a large transfer": coarse, dated, part of the policy, never for booking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rules.condition import pack_code


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
        result = np.full(len(currency), np.nan)
        for rate in sorted(self.rates, key=lambda r: (r.valid_from, r.currency)):
            here = currency == pack_code(rate.currency)
            if event_time is not None:
                here &= event_time >= rate.valid_from
            result[here] = amount_minor[here] * (rate.rate / 10**rate.digits)
        return result
