"""Who is paid: shops, stalls, billers, wallets, persons.

A payee is one number that packs its city and kind, ``serial << 10 | city << 3 | kind``; so nothing has to be
stored for the endless new ones. :mod:`stream.simulate.tokens` makes opaque ids of them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stream.core.columns import PAYEE_KINDS
from stream.simulate.places import CITIES_OF_COUNTRY, CITY_COUNTRY, FOREIGN_CITIES, Floats
from stream.simulate.tokens import Integers

NO_PAYEE: Final = -1
PERSON: Final = PAYEE_KINDS.index("person")
MERCHANT: Final = PAYEE_KINDS.index("merchant")
BILLER: Final = PAYEE_KINDS.index("biller")
WALLET: Final = PAYEE_KINDS.index("wallet")
OWN: Final = PAYEE_KINDS.index("own")

SHOPS_OF_CITY: Final = 240
STALLS_OF_CITY: Final = 120
ONLINE_SHOPS: Final = 400
_FIRST_BROKER, _FIRST_FUEL, _FIRST_ONLINE, _FIRST_CUSTOMER, _FIRST_NEWCOMER = 100, 1_000, 2_000, 1 << 16, 1 << 24
CROSS_BORDER_SHOPPING: Final = 0.05
"""Share of new online shops that sit abroad."""


def zipf(count: int, exponent: float) -> Floats:
    """Cumulative weights of ranks 1 to ``count``, falling as rank to the minus ``exponent``.

    >>> zipf(2, 1.0).round(3).tolist()
    [0.667, 1.0]
    """
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    cumulative: Floats = np.cumsum(weights) / weights.sum()
    return cumulative


_SHOP_RANKS = zipf(SHOPS_OF_CITY, 0.7)
_STALL_RANKS = zipf(STALLS_OF_CITY, 0.7)
_SHORT_RANKS = zipf(20, 0.8)
_ONLINE_RANKS = zipf(ONLINE_SHOPS, 0.9)
_WALLET_RANKS = zipf(6, 1.2)


def pack(serial: Integers, city: Integers, kind: int) -> Integers:
    """The payee's number."""
    return (serial << 10) | (city << 3) | kind


def kind_of(payee: Integers) -> Integers:
    """Index into ``PAYEE_KINDS``; 0 where there is no payee."""
    return np.where(payee == NO_PAYEE, 0, payee & 7)


def city_of(payee: Integers) -> Integers:
    """Index into ``CITIES``; -1 where there is no payee."""
    return np.where(payee == NO_PAYEE, -1, (payee >> 3) & 127)


def customer_payee(customer: Integers, city: Integers) -> Integers:
    """A customer of this bank as somebody else's payee."""
    return pack(_FIRST_CUSTOMER + customer, city, PERSON)


def own_payee(customer: Integers, city: Integers) -> Integers:
    """A customer's other account as payee."""
    return pack(customer, city, OWN)


class PayeeSource:
    """Hands out payees nobody paid before, or whom strangers pay too.

    Newcomers (persons, suppliers, dealers of other banks) are numbered as they appear, from ``first`` on: the
    only state.
    """

    def __init__(self, first: int = 0) -> None:
        self._newcomers = first

    def newcomers(self, city: Integers, kind: int) -> Integers:
        """Payees that did not exist before, one for each city given."""
        serial = _FIRST_NEWCOMER + self._newcomers + np.arange(len(city), dtype=np.int64)
        self._newcomers += len(city)
        return pack(serial, city, kind)

    def draw(self, rng: np.random.Generator, group: str, city: Integers) -> Integers:
        """One payee of a group for each customer, who is in that city.

        ``group`` is one of shop, fuel, stall, online, small_online (any but the best
        known quarter), wallet, broker, person, supplier, none.
        """
        count = len(city)
        if group == "none":
            return np.full(count, NO_PAYEE, dtype=np.int64)
        if group in ("person", "supplier"):
            moves = rng.random(count) < (0.25 if group == "person" else 0.5)
            place = np.where(moves, domestic_city(rng, city), city)
            return self.newcomers(place, PERSON if group == "person" else MERCHANT)
        pick = rng.random(count)
        if group == "shop":
            return pack(_rank(_SHOP_RANKS, pick), city, MERCHANT)
        if group == "fuel":
            return pack(_FIRST_FUEL + _rank(_SHORT_RANKS, pick), city, MERCHANT)
        if group == "stall":
            return pack(_rank(_STALL_RANKS, pick), city, PERSON)
        hub = _hub(city)
        if group == "broker":
            return pack(_FIRST_BROKER + _rank(_SHORT_RANKS, pick), hub, WALLET)
        if group == "wallet":
            return pack(_rank(_WALLET_RANKS, pick), hub, WALLET)
        if group == "small_online":
            return pack(
                _FIRST_ONLINE + ONLINE_SHOPS // 4 + (pick * (ONLINE_SHOPS * 3 // 4)).astype(np.int64), hub, MERCHANT
            )
        assert group == "online", group
        abroad = rng.random(count) < CROSS_BORDER_SHOPPING
        foreign = FOREIGN_CITIES[rng.integers(0, len(FOREIGN_CITIES), count)]
        return pack(_FIRST_ONLINE + _rank(_ONLINE_RANKS, pick), np.where(abroad, foreign, hub), MERCHANT)


def biller(service: int, city: Integers) -> Integers:
    """The city's utility of that number (0 electricity, 1 water and gas, 2 phone, 3 internet, 4 tax, 5 bank loan)."""
    return pack(np.full(len(city), service, dtype=np.int64), city, BILLER)


def domestic_city(rng: np.random.Generator, city: Integers) -> Integers:
    """Any city of the same country."""
    sizes = np.array([len(cities) for cities in CITIES_OF_COUNTRY])
    table = np.zeros((len(CITIES_OF_COUNTRY), sizes.max()), dtype=np.int64)
    for number, cities in enumerate(CITIES_OF_COUNTRY):
        table[number, : len(cities)] = cities
    country = CITY_COUNTRY[city]
    chosen: Integers = table[country, (rng.random(len(city)) * sizes[country]).astype(np.int64)]
    return chosen


def _hub(city: Integers) -> Integers:
    """Where the country's online shops and wallets are registered: its first city."""
    first = np.array([cities[0] for cities in CITIES_OF_COUNTRY])
    hub: Integers = first[CITY_COUNTRY[city]]
    return hub


def _rank(cumulative: Floats, pick: Floats) -> Integers:
    return np.searchsorted(cumulative, pick, side="right").astype(np.int64)
