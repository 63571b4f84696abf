"""Payments become what leaves the simulator: Transaction JSON for the engine, :class:`SimulatedTruth` apart from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

from stream.core.columns import AGE_BANDS, CHANNELS, NAME_CHECKS, PAYEE_KINDS, PURPOSES, SEGMENTS
from stream.simulate.bank_payees import NO_PAYEE, city_of, kind_of
from stream.simulate.places import CITIES, CITY_COUNTRY, COUNTRIES, CURRENCIES, MINOR_PER_YUAN
from stream.simulate.population import Population
from stream.simulate.simulated_rows import ATTACKS, KINDS, SLIPS, Payments
from stream.simulate.telling import Telling
from stream.simulate.tokens import Integers, tokens

_T = TypeVar("_T")


class SimulatedTruth(msgspec.Struct, frozen=True):
    """What is known of one transaction and must not reach the engine.

    ``attack`` and ``attack_id`` are empty where ``fraud`` is 0; ``kind`` says what the payment is
    (:data:`stream.simulate.simulated_rows.KINDS`). ``told_days``: days until the bank hears of a fraud; None for genuine payments,
    for frauds nobody tells of, and where the bank is not a hard one.
    """

    transaction_id: str
    fraud: int
    attack: str
    attack_id: str
    account_id: str
    kind: str
    told_days: float | None = None


class Event(msgspec.Struct, frozen=True):
    """One transaction: its JSON, its Kafka key (the customer), its event time in ms since the epoch, and the truth."""

    transaction: bytes
    key: bytes
    time_ms: int
    truth: SimulatedTruth


class _Record(msgspec.Struct, omit_defaults=True):
    """A Transaction as CONTRACT.md writes it; fields left at their default are absent from the JSON."""

    transaction_id: str
    account_id: str
    customer_id: str
    event_time: str
    amount_minor: int
    currency: str
    channel: str
    customer: msgspec.Raw
    payee_id: str | None = None
    account_amount_minor: int | None = None
    country: str | None = None
    lat: float | None = None
    lon: float | None = None
    device_id: str | None = None
    payee_country: str | None = None
    payee_kind: str | None = None
    purpose: str | None = None
    slips: list[str] | None = None
    name_check: str | None = None


@dataclass(frozen=True)
class SimulatedChunk:
    """Consecutive transactions in the order of their event time: parallel lists of one length.

    ``lines`` are JSON objects without a newline; ``keys`` the customers' ids; ``times_ms`` event times.
    """

    lines: list[bytes]
    keys: list[bytes]
    times_ms: list[int]
    truth: list[SimulatedTruth]

    def __len__(self) -> int:
        return len(self.lines)

    def events(self) -> Iterator[Event]:
        """The transactions one by one."""
        for line, key, time, truth in zip(self.lines, self.keys, self.times_ms, self.truth, strict=True):
            yield Event(line, key, time, truth)


def _words(vocabulary: tuple[str, ...]) -> list[str | None]:
    return [None, *vocabulary[1:]]


_CHANNEL_WORDS = list(CHANNELS)
_KIND_WORDS = _words(PAYEE_KINDS)
_CHECK_WORDS = _words(NAME_CHECKS)
_PURPOSE_WORDS = _words(PURPOSES)
_COUNTRY_OF_CITY: list[str | None] = [*(city.country for city in CITIES), None]
_CURRENCY_WORDS = [currency.code for currency in CURRENCIES]


class Encoder:
    """Turns payments into chunks; numbers the transactions as they leave.

    Ids are bijections of numbers (:mod:`stream.simulate.tokens`); ids of accounts and customers are made once.
    """

    def __init__(self, people: Population, salt: int, telling: Telling | None = None) -> None:
        self._salt, self._telling = salt, telling
        self._home_currency = people.currency
        everyone = np.arange(len(people))
        self._customers = tokens("c", everyone, salt)
        self._accounts = tokens("a", np.arange(2 * len(people)), salt)
        self._keys = [customer.encode() for customer in self._customers]
        self._profiles = [msgspec.Raw(orjson.dumps(profile)) for profile in _profiles(people)]
        self._made = 0
        self._json = msgspec.json.Encoder()

    def chunk(self, rows: Payments) -> SimulatedChunk:
        """Encode rows that are sorted by time."""
        customer: list[int] = rows["customer"].tolist()
        names = [self._customers[i] for i in customer]
        accounts = [self._accounts[i] for i in (rows["customer"].astype(np.int64) * 2 + rows["second"]).tolist()]
        numbers = np.arange(self._made, self._made + len(rows), dtype=np.int64)
        self._made += len(rows)
        ids = tokens("t", numbers, self._salt)
        amount, account_amount = self._amounts(rows)
        columns = (
            ids,
            accounts,
            names,
            _times(rows["time"]),
            amount,
            [_CURRENCY_WORDS[i] for i in rows["currency"].tolist()],
            [_CHANNEL_WORDS[i] for i in rows["channel"].tolist()],
            [self._profiles[i] for i in customer],
            _absent(tokens("p", rows["payee"], self._salt), rows["payee"] == NO_PAYEE),
            account_amount,
            [_COUNTRY_OF_CITY[i] for i in rows["place"].tolist()],
            _absent(rows["lat"].tolist(), np.isnan(rows["lat"])),
            _absent(rows["lon"].tolist(), np.isnan(rows["lon"])),
            _absent(tokens("d", rows["device"], self._salt), rows["device"] < 0),
            [_COUNTRY_OF_CITY[i] for i in city_of(rows["payee"]).tolist()],
            [_KIND_WORDS[i] for i in kind_of(rows["payee"]).tolist()],
            [_PURPOSE_WORDS[i] for i in rows["purpose"].tolist()],
            [SLIPS[i] for i in rows["slips"].tolist()],
            [_CHECK_WORDS[i] for i in rows["name_check"].tolist()],
        )
        encode = self._json.encode
        lines = [encode(_Record(*fields)) for fields in zip(*columns, strict=True)]
        truth = self._truth(rows, ids, accounts)
        return SimulatedChunk(lines, [self._keys[i] for i in customer], rows["time"].tolist(), truth)

    def _amounts(self, rows: Payments) -> tuple[list[int], list[int | None]]:
        """Amounts in the payment's currency; the account's beside it where that is another."""
        own = self._home_currency[rows["customer"]]
        foreign = rows["currency"] != own
        rate = MINOR_PER_YUAN[rows["currency"]] / MINOR_PER_YUAN[own]
        amount = np.where(foreign, np.rint(rows["amount"] * rate).astype(np.int64), rows["amount"])
        return amount.tolist(), _absent(rows["amount"].tolist(), ~foreign)

    def _truth(self, rows: Payments, ids: list[str], accounts: list[str]) -> list[SimulatedTruth]:
        attack: list[int] = rows["attack"].tolist()
        case: list[int] = rows["case"].tolist()
        kind: list[int] = rows["kind"].tolist()
        return [
            SimulatedTruth(
                name, int(a > 0), ATTACKS[a], f"attack-{c}" if a else "", account, KINDS[k], self._told(a, c)
            )
            for name, a, c, account, k in zip(ids, attack, case, accounts, kind, strict=True)
        ]

    def _told(self, attack: int, case: int) -> float | None:
        return self._telling.days(case) if attack and self._telling is not None else None


def _times(milliseconds: Integers) -> list[str]:
    text = np.datetime_as_string(milliseconds.astype("datetime64[ms]"), unit="ms", timezone="UTC")
    times: list[str] = text.tolist()
    return times


def _absent(values: Sequence[_T], missing: npt.NDArray[np.bool_]) -> list[_T | None]:
    return [None if gone else value for value, gone in zip(values, missing.tolist(), strict=True)]


def _profiles(people: Population) -> Iterator[dict[str, object]]:
    for segment, age, home, vulnerable in zip(
        people.segment.tolist(), people.age.tolist(), people.home.tolist(), people.vulnerable.tolist(), strict=True
    ):
        profile: dict[str, object] = {"segment": SEGMENTS[segment]}
        if age:
            profile["age_band"] = AGE_BANDS[age]
        profile["home_country"] = COUNTRIES[CITY_COUNTRY[home]]
        if vulnerable:
            profile["vulnerable"] = True
        yield profile
