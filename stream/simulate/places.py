"""Cities, currencies and the hours of the day."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stream.simulate.tokens import Integers, unit_interval

Floats = npt.NDArray[np.float64]


class Currency(NamedTuple):
    """A currency: ISO 4217 code and how many of its minor units make one yuan (rounded, 2025)."""

    code: str
    minor_per_yuan: float


class City(NamedTuple):
    """A city: its country, centre in degrees, hours ahead of UTC (no summer time), and how often it is home or a
    destination (weights)."""

    name: str
    country: str
    currency: str
    lat: float
    lon: float
    utc_offset: int
    home: float
    trip: float


CURRENCIES: Final = (
    Currency("CNY", 100.0),
    Currency("EUR", 12.8),
    Currency("USD", 13.9),
    Currency("GBP", 10.9),
    Currency("HKD", 108.0),
    Currency("THB", 465.0),
    Currency("JPY", 20.5),
    Currency("SGD", 18.4),
)
CITIES: Final = (
    City("Shanghai", "CN", "CNY", 31.23, 121.47, 8, 0.20, 0.10),
    City("Beijing", "CN", "CNY", 39.90, 116.40, 8, 0.18, 0.10),
    City("Shenzhen", "CN", "CNY", 22.54, 114.06, 8, 0.14, 0.08),
    City("Chengdu", "CN", "CNY", 30.57, 104.07, 8, 0.13, 0.10),
    City("Wuhan", "CN", "CNY", 30.59, 114.31, 8, 0.12, 0.08),
    City("Hangzhou", "CN", "CNY", 30.27, 120.16, 8, 0.11, 0.10),
    City("Frankfurt", "DE", "EUR", 50.11, 8.68, 1, 0.06, 0.03),
    City("Paris", "FR", "EUR", 48.86, 2.35, 1, 0.03, 0.05),
    City("Milan", "IT", "EUR", 45.46, 9.19, 1, 0.03, 0.03),
    City("Sanya", "CN", "CNY", 18.25, 109.51, 8, 0.0, 0.08),
    City("Hong Kong", "HK", "HKD", 22.32, 114.17, 8, 0.0, 0.07),
    City("Bangkok", "TH", "THB", 13.76, 100.50, 7, 0.0, 0.06),
    City("Tokyo", "JP", "JPY", 35.68, 139.69, 9, 0.0, 0.06),
    City("Singapore", "SG", "SGD", 1.35, 103.82, 8, 0.0, 0.03),
    City("London", "GB", "GBP", 51.51, -0.13, 0, 0.0, 0.03),
    City("New York", "US", "USD", 40.71, -74.01, -5, 0.0, 0.02),
)
COUNTRIES: Final = tuple(dict.fromkeys(city.country for city in CITIES))
_CODES = [currency.code for currency in CURRENCIES]

CITY_COUNTRY: Final = np.array([COUNTRIES.index(city.country) for city in CITIES])
CITY_CURRENCY: Final = np.array([_CODES.index(city.currency) for city in CITIES])
CITY_OFFSET_MS: Final = np.array([city.utc_offset * 3_600_000 for city in CITIES])
CITY_LAT: Final = np.array([city.lat for city in CITIES])
CITY_LON: Final = np.array([city.lon for city in CITIES])
HOME_WEIGHT: Final = np.array([city.home for city in CITIES])
TRIP_WEIGHT: Final = np.array([city.trip for city in CITIES])
MINOR_PER_YUAN: Final = np.array([currency.minor_per_yuan for currency in CURRENCIES])
PRICE_LEVEL: Final = np.array([1.0 if city.country == "CN" else 2.8 for city in CITIES])
"""What costs a yuan in a Chinese city costs this many yuan's worth here."""

FOREIGN_CITIES: Final = np.array([i for i, city in enumerate(CITIES) if city.home == 0 and city.country != "CN"])
CITIES_OF_COUNTRY: Final = tuple(np.flatnonzero(country == CITY_COUNTRY) for country in range(len(COUNTRIES)))
LARGEST_OFFSET_MS: Final = int(CITY_OFFSET_MS.max())

DAY_MS: Final = 86_400_000
HOURS: Final[dict[str, tuple[int, ...]]] = {
    #         0           6                 12                18
    "shop": (0, 0, 0, 0, 0, 0, 1, 4, 5, 4, 5, 6, 7, 5, 4, 4, 5, 8, 10, 9, 6, 3, 1, 0),
    "meal": (1, 0, 0, 0, 0, 0, 2, 6, 5, 2, 2, 9, 10, 4, 2, 2, 2, 6, 10, 8, 5, 3, 2, 1),
    "online": (3, 2, 1, 1, 1, 1, 1, 2, 3, 4, 5, 5, 6, 5, 4, 4, 4, 5, 6, 8, 10, 11, 9, 6),
    "person": (2, 1, 1, 0, 0, 0, 1, 3, 5, 6, 7, 7, 7, 5, 5, 6, 6, 6, 7, 8, 9, 8, 6, 4),
    "office": (0, 0, 0, 0, 0, 0, 0, 1, 4, 9, 10, 8, 4, 7, 10, 9, 7, 4, 1, 0, 0, 0, 0, 0),
    "cash": (0, 0, 0, 0, 0, 0, 1, 3, 6, 8, 8, 7, 6, 5, 5, 6, 7, 8, 7, 4, 3, 2, 1, 0),
    "night": (9, 8, 6, 4, 3, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 5, 8, 10, 10),
}
"""Weights of the hours 0 to 23 of the local day, per profile."""
_CUMULATIVE = {name: np.cumsum(weights) / sum(weights) for name, weights in HOURS.items()}


def hours_of_day(rng: np.random.Generator, profile: str, count: int) -> Floats:
    """Local hours, 0 to 24, drawn from a profile.

    >>> hours = hours_of_day(np.random.default_rng(1), "office", 500)
    >>> bool(((hours >= 7) & (hours < 19)).all())
    True
    """
    hour = np.searchsorted(_CUMULATIVE[profile], rng.random(count), side="right")
    return np.minimum(hour, 23) + rng.random(count)


def point_of(payee: Integers, city: Integers, salt: int) -> tuple[Floats, Floats]:
    """Where a shop stands: within some 10 km of its city's centre, always the same place (degrees)."""
    lat = CITY_LAT[city] + (unit_interval(payee, salt) - 0.5) * 0.16
    lon = CITY_LON[city] + (unit_interval(payee, salt + 1) - 0.5) * 0.20
    return lat, lon
