"""How a payment comes about: hour, channel, place, device, name check, slips.

Genuine payments and attacks pass through the same functions, so that nothing but behaviour tells them apart.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from stream.core.columns import AGE_BANDS
from stream.simulate.bank_payees import NO_PAYEE, city_of
from stream.simulate.places import (
    CITY_CURRENCY,
    CITY_OFFSET_MS,
    DAY_MS,
    Floats,
    hours_of_day,
    point_of,
)
from stream.simulate.population import NOBODY, RETAIL, Population
from stream.simulate.simulated_rows import CHANNEL, CHECK, PURPOSE, Payments
from stream.simulate.tokens import Integers

BORROWED_DEVICE: Final = 0.003
"""App and web payments made on somebody else's phone (a family member's, if there is one)."""
NO_DEVICE_ON_WEB: Final = 0.15
"""Web payments without a device id: private windows, guests."""
SLIP_RATE: Final = 0.012
"""Transfers that carry a slip."""
NAME_CHECKS: Final = (
    (CHECK["match"], 0.955),
    (CHECK["close"], 0.018),
    (CHECK["no_match"], 0.006),
    (CHECK["not_possible"], 0.021),
)

# Weights of app, web, pos, atm, branch, call, api for: under 30, 30-64, 65 and older, companies.
_WAYS: Final[dict[str, tuple[tuple[float, ...], ...]]] = {
    "till": ((0.35, 0, 0.65, 0, 0, 0, 0), (0.25, 0, 0.75, 0, 0, 0, 0), (0.05, 0, 0.95, 0, 0, 0, 0), (0, 0, 1, 0, 0, 0, 0)),
    "code": ((1, 0, 0, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0, 0), (1, 0, 0, 0, 0, 0, 0)),
    "online": ((0.85, 0.15, 0, 0, 0, 0, 0), (0.70, 0.30, 0, 0, 0, 0, 0), (0.60, 0.38, 0, 0, 0, 0.02, 0), (0.2, 0.8, 0, 0, 0, 0, 0)),
    "transfer": ((0.94, 0.05, 0, 0, 0.01, 0, 0), (0.82, 0.13, 0, 0, 0.04, 0.01, 0), (0.52, 0.08, 0, 0, 0.34, 0.06, 0), (0.15, 0.7, 0, 0, 0.05, 0, 0.1)),
    "cash": ((0, 0, 0, 1, 0, 0, 0), (0, 0, 0, 1, 0, 0, 0), (0, 0, 0, 0.8, 0.2, 0, 0), (0, 0, 0, 0.5, 0.5, 0, 0)),
    "standing": ((0.9, 0.1, 0, 0, 0, 0, 0), (0.8, 0.2, 0, 0, 0, 0, 0), (0.5, 0.1, 0, 0, 0.35, 0.05, 0), (0, 0.3, 0, 0, 0, 0, 0.7)),
    "run": ((0, 0, 0, 0, 0, 0, 1),) * 4,
}  # fmt: skip
WAYS: Final = {
    name: np.cumsum(np.array(weights, dtype=np.float64) / np.sum(weights, axis=1, keepdims=True), axis=1)
    for name, weights in _WAYS.items()
}
_FIRST_CHANNEL = CHANNEL["app"]
_APP, _WEB, _POS = CHANNEL["app"], CHANNEL["web"], CHANNEL["pos"]
_PLACED = np.array([0, 0, 0, 1, 1, 1, 0, 0], dtype=np.bool_)
_DEVICES_OF_CUSTOMER = 4096


def local_times(rng: np.random.Generator, people: Population, customer: Integers, day: int, profile: str) -> Integers:
    """Moments (ms, UTC) of that local day at which these customers do something of that profile.

    ``day`` counts days since 1970-01-01.
    """
    hour = (hours_of_day(rng, profile, len(customer)) + people.hour_shift[customer]) % 24
    offset = CITY_OFFSET_MS[people.city_now(customer)]
    moments: Integers = day * DAY_MS + (hour * 3_600_000).astype(np.int64) - offset
    return moments


def choose_channels(rng: np.random.Generator, people: Population, customer: Integers, way: str) -> Integers:
    """A channel for each, by age and by the way such payments are made."""
    age = people.age[customer]
    group = np.where(age <= AGE_BANDS.index("18-29"), 0, np.where(age == AGE_BANDS.index("65+"), 2, 1))
    group = np.where(people.segment[customer] == RETAIL, group, 3)
    pick = rng.random(len(customer))
    channel: Integers = _FIRST_CHANNEL + (WAYS[way][group] <= pick[:, None]).sum(axis=1)
    return channel


def complete(
    rng: np.random.Generator,
    rows: Payments,
    people: Population,
    way: str,
    checked: bool,
    salt: int,
    channel: Integers | None = None,
) -> Payments:
    """Fill channel, place, device, currency, second account, name check and slips of rows in place.

    ``time``, ``customer``, ``payee`` and ``purpose`` are set before. ``checked``: the payee's name is checked,
    as with transfers. ``channel``: given, or drawn from the ``way``. A second account pays one in seven of its
    owner's payments.
    """
    customer = rows["customer"].astype(np.int64)
    if channel is None:
        channel = choose_channels(rng, people, customer, way)
    channel = _when_open(channel, rows["time"] + CITY_OFFSET_MS[people.city_now(customer)])
    rows["channel"] = channel
    rows["second"] = people.second_account[customer] & (rng.random(len(rows)) < 1 / 7)
    _place(rng, rows, people, customer, channel, salt)
    rows["device"] = devices(rng, people, customer, channel)
    payee = rows["payee"]
    city = np.where(payee == NO_PAYEE, rows["place"], city_of(payee))
    rows["currency"] = CITY_CURRENCY[city]
    if checked:
        _check_names(rng, rows)
    return rows


def phone_of(people: Population, customer: Integers) -> Integers:
    """Number of the phone each customer uses now."""
    return customer * _DEVICES_OF_CUSTOMER + 2 * (people.serial_of_phone[customer] % (_DEVICES_OF_CUSTOMER // 2))


def devices(rng: np.random.Generator, people: Population, customer: Integers, channel: Integers) -> Integers:
    """The device of each payment; -1 where the channel has none."""
    count = len(customer)
    borrowed = rng.random(count) < BORROWED_DEVICE
    stranger = rng.integers(0, len(people), count)
    lender = np.where(people.mate[customer] == NOBODY, stranger, people.mate[customer])
    phone = phone_of(people, np.where(borrowed, lender, customer))
    computer = people.has_computer[customer] & (channel == _WEB)
    device = np.where(computer, customer * _DEVICES_OF_CUSTOMER + 1, phone)
    hidden = (channel == _WEB) & (rng.random(count) < NO_DEVICE_ON_WEB)
    return np.where(((channel == _APP) | (channel == _WEB)) & ~hidden, device, -1)


def _place(
    rng: np.random.Generator, rows: Payments, people: Population, customer: Integers, channel: Integers, salt: int
) -> None:
    city = people.city_now(customer)
    rows["place"] = city
    at_shop = channel == _POS
    spot = np.where(at_shop, rows["payee"], customer * 4 + rng.integers(0, 3, len(rows)))
    lat, lon = point_of(spot, city, salt)
    home = ~_PLACED[channel] & (people.trip_city[customer] == NOBODY)
    near_lat, near_lon = people.lat[customer], people.lon[customer]
    lat = np.where(home, near_lat + _wander(rng, len(rows)), lat)
    lon = np.where(home, near_lon + _wander(rng, len(rows)), lon)
    phone = (channel == _APP) | (channel == _WEB)
    known = _PLACED[channel] | (phone & people.shares_location[customer])
    rows["lat"] = np.where(known, lat.round(4), np.nan)
    rows["lon"] = np.where(known, lon.round(4), np.nan)


def _when_open(channel: Integers, local_ms: Integers) -> Integers:
    """Who would go to a branch or call it outside its hours uses the app."""
    hour = local_ms % DAY_MS // 3_600_000
    closed = ((channel == CHANNEL["branch"]) | (channel == CHANNEL["call"])) & ((hour < 8) | (hour >= 18))
    return np.where(closed, _APP, channel)


def _wander(rng: np.random.Generator, count: int) -> Floats:
    return rng.normal(0, 0.015, count)


def _check_names(rng: np.random.Generator, rows: Payments) -> None:
    count = len(rows)
    codes = np.array([code for code, _ in NAME_CHECKS])
    shares = np.cumsum([share for _, share in NAME_CHECKS])
    shares[-1] = 1.0
    rows["name_check"] = codes[np.searchsorted(shares, rng.random(count), side="right")]
    slip = np.where(rng.random(count) < SLIP_RATE, rng.integers(1, 6, count), 0)
    rows["slips"] = slip
    mistyped = (slip == 1) | (slip == 5)
    seen = np.where(rng.random(count) < 0.7, CHECK["close"], CHECK["no_match"])
    rows["name_check"] = np.where(mistyped, seen, rows["name_check"])
    rows["purpose"] = np.where((slip == 2) | (slip == 5), PURPOSE["none"], rows["purpose"])
