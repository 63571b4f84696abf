"""The bank's customers: who they are, where they live, what they own, whom they know.

All of it is drawn once, as arrays with one element a customer. Shares and medians are the table in
docs/simulator.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.core.columns import AGE_BANDS, SEGMENTS
from stream.simulate.places import CITIES, CITY_CURRENCY, CITY_LAT, CITY_LON, HOME_WEIGHT, PRICE_LEVEL, Floats
from stream.simulate.tokens import Integers

Booleans = npt.NDArray[np.bool_]

PAYROLL: Final = SEGMENTS.index("payroll")
ENTERPRISE: Final = SEGMENTS.index("enterprise")
RETAIL: Final = SEGMENTS.index("retail")

SECOND_ACCOUNT: Final = 0.12
"""Customers with a second account, per account of the bank."""
PAYROLL_SHARE, ENTERPRISE_SHARE = 0.018, 0.035
AGE_SHARES: Final = (0.02, 0.22, 0.32, 0.30, 0.14)
"""Of ``<18``, ``18-29``, ``30-44``, ``45-64``, ``65+``, among private customers."""
INCOME_YUAN: Final = 8_000.0
"""Median monthly income of a private customer at price level 1."""
NOBODY: Final = -1


@dataclass(frozen=True)
class Population:
    """Customers as arrays of shape (customers,); devices and trips change as time passes.

    ``briskness`` is how often they pay against the mean; ``income`` is a month's, in minor units of the account's currency. ``serial_of_phone`` counts the phones a
    customer has had. ``trip_city`` is ``NOBODY`` at home; ``trip_until`` is the last day (ordinal) away.
    """

    segment: Integers
    age: Integers
    home: Integers
    lat: Floats
    lon: Floats
    wealth: Floats
    income: Floats
    currency: Integers
    vulnerable: Booleans
    shares_location: Booleans
    drives: Booleans
    has_computer: Booleans
    second_account: Booleans
    briskness: Floats
    hour_shift: Floats
    mate: Integers
    serial_of_phone: Integers
    trip_city: Integers
    trip_until: Integers
    last_attacked: Integers

    def __len__(self) -> int:
        return len(self.segment)

    @property
    def retail(self) -> Booleans:
        """Private customers."""
        private: Booleans = self.segment == RETAIL
        return private

    @property
    def company(self) -> Booleans:
        """Enterprises and employers."""
        companies: Booleans = self.segment != RETAIL
        return companies

    def city_now(self, customer: Integers) -> Integers:
        """Where each customer is today."""
        trip = self.trip_city[customer]
        return np.where(trip == NOBODY, self.home[customer], trip)


def settle(accounts: int, rng: np.random.Generator) -> Population:
    """Draw a population that owns exactly that many accounts.

    >>> population = settle(500, np.random.default_rng(1))
    >>> len(population) + int(population.second_account.sum())
    500
    """
    count = accounts - round(accounts * SECOND_ACCOUNT)
    segment = _segments(count, rng)
    company = segment != RETAIL
    briskness = rng.gamma(4.0, 0.25, count)
    household = np.arange(count) // 2
    home = rng.choice(len(CITIES), count, p=HOME_WEIGHT / HOME_WEIGHT.sum())
    lat = CITY_LAT[home] + rng.normal(0, 0.05, count)
    lon = CITY_LON[home] + rng.normal(0, 0.06, count)
    mate = _households(household, company, rng)
    follower = (mate != NOBODY) & (np.arange(count) % 2 == 1)
    for places in (home, lat, lon):
        places[follower] = places[mate[follower]]
    wealth = np.exp(rng.normal(0, 0.45, count)) * np.where(company, 12.0, 1.0)
    age = rng.choice(np.arange(1, len(AGE_BANDS)), count, p=AGE_SHARES)
    age[company] = 0
    currency = CITY_CURRENCY[home]
    minor = np.where(currency == 0, 100.0, 12.8)
    old = age == AGE_BANDS.index("65+")
    second = np.zeros(count, dtype=np.bool_)
    second[rng.choice(np.flatnonzero(~company), accounts - count, replace=False)] = True
    return Population(
        segment=segment,
        age=age,
        home=home,
        lat=lat,
        lon=lon,
        wealth=wealth,
        income=INCOME_YUAN * PRICE_LEVEL[home] * minor * wealth,
        currency=currency,
        vulnerable=~company & (rng.random(count) < np.where(old, 0.06, 0.01)),
        shares_location=rng.random(count) < 0.75,
        drives=~company & (rng.random(count) < 0.55) & (age >= AGE_BANDS.index("18-29")),
        has_computer=rng.random(count) < np.where(company, 1.0, 0.35),
        second_account=second,
        briskness=briskness / briskness.mean(),
        hour_shift=rng.normal(0, 1.0, count),
        mate=mate,
        serial_of_phone=np.zeros(count, dtype=np.int64),
        trip_city=np.full(count, NOBODY, dtype=np.int64),
        trip_until=np.zeros(count, dtype=np.int64),
        last_attacked=np.full(count, -(1 << 30), dtype=np.int64),
    )


def _segments(count: int, rng: np.random.Generator) -> Integers:
    segment = np.full(count, RETAIL, dtype=np.int64)
    payroll = max(1, round(count * PAYROLL_SHARE))
    enterprise = max(1, round(count * ENTERPRISE_SHARE))
    chosen = rng.permutation(count)
    segment[chosen[:payroll]] = PAYROLL
    segment[chosen[payroll : payroll + enterprise]] = ENTERPRISE
    return segment


def _households(household: Integers, company: Booleans, rng: np.random.Generator) -> Integers:
    """The other private customer of a shared household, for half of the pairs."""
    count = len(household)
    other = np.arange(count) ^ 1
    exists = other < count
    other = np.where(exists, other, 0)
    shared = rng.random(count // 2 + 1)[household] < 0.5
    return np.where(exists & shared & ~company & ~company[other], other, NOBODY)
