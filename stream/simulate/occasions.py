"""What happens seldom and looks alarming, though it is life: large first payments, collections, trips, new phones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stream.simulate.bank_payees import MERCHANT, PERSON, PayeeSource, own_payee
from stream.simulate.circumstances import complete, local_times
from stream.simulate.habits import round_amounts
from stream.simulate.places import DAY_MS, TRIP_WEIGHT
from stream.simulate.population import NOBODY, Population
from stream.simulate.simulated_rows import KIND, PURPOSE, Payments, blank
from stream.simulate.tokens import Integers

LARGE_FIRST_PER_DAY: Final = 0.0022
"""Large first payments of a private customer a day: about one in a thousand payments, once in 15 months."""
INSTALMENT: Final = 0.3
"""Large first payments followed by a second one within ten days."""
TRIPS_PER_DAY: Final = 1 / 110
NEW_PHONE_PER_DAY: Final = 1 / 550
OWN_TRANSFERS_PER_DAY: Final = 0.08
COLLECTION_PER_CUSTOMER_DAY: Final = 1 / 3000
"""Somebody collects money from five to fifteen people (a class trip, a gift): many payers, one new payee."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """A kind of large first payment: weight, median in months of income, spread, payee, channels, purpose."""

    weight: float
    incomes: float
    spread: float
    payee_kind: int
    way: str
    purpose: str


PURCHASES: Final = (
    Purchase(0.10, 7.0, 0.5, MERCHANT, "transfer", "goods"),  # a car
    Purchase(0.08, 9.0, 0.6, PERSON, "transfer", "none"),  # deposit on a home, to its seller
    Purchase(0.06, 9.0, 0.6, MERCHANT, "transfer", "other"),  # deposit on a home, to a developer
    Purchase(0.24, 1.6, 0.8, MERCHANT, "transfer", "medical"),
    Purchase(0.12, 2.5, 0.6, MERCHANT, "transfer", "other"),  # renovation
    Purchase(0.10, 1.2, 0.5, MERCHANT, "transfer", "tuition"),
    Purchase(0.14, 1.1, 0.8, PERSON, "transfer", "none"),  # a loan to a friend
    Purchase(0.16, 0.9, 0.6, MERCHANT, "till", "none"),  # jewellery, furniture, electronics
)


class Occasions:
    """Draws the rare events of a day and moves customers between places and phones."""

    def __init__(self, people: Population, payees: PayeeSource, activity: float, salt: int) -> None:
        self._people, self._payees, self._activity, self._salt = people, payees, activity, salt
        weights = np.cumsum([purchase.weight for purchase in PURCHASES])
        self._purchases = weights / weights[-1]

    def move(self, rng: np.random.Generator, day: int) -> None:
        """Trips begin and end; phones are replaced."""
        people = self._people
        back = (people.trip_city != NOBODY) & (people.trip_until < day)
        people.trip_city[back] = NOBODY
        leaves = np.flatnonzero(
            (rng.random(len(people)) < TRIPS_PER_DAY) & people.retail & (people.trip_city == NOBODY)
        )
        city = rng.choice(len(TRIP_WEIGHT), len(leaves), p=TRIP_WEIGHT / TRIP_WEIGHT.sum())
        nights = rng.integers(2, 12, len(leaves))
        goes = city != people.home[leaves]
        people.trip_city[leaves[goes]] = city[goes]
        people.trip_until[leaves[goes]] = day + nights[goes]
        people.serial_of_phone[rng.random(len(people)) < NEW_PHONE_PER_DAY] += 1

    def day(self, rng: np.random.Generator, day: int) -> list[Payments]:
        """Payments that begin on one local day; instalments lie up to ten days ahead."""
        parts = [self._large_first(rng, day), self._own_transfers(rng, day), self._collections(rng, day)]
        return [part for part in parts if len(part)]

    def _large_first(self, rng: np.random.Generator, day: int) -> Payments:
        people = self._people
        buys = (rng.random(len(people)) < LARGE_FIRST_PER_DAY * self._activity) & people.retail
        customer = np.flatnonzero(buys)
        which = np.searchsorted(self._purchases, rng.random(len(customer)), side="right")
        parts = [blank(0)]
        for number in np.unique(which).tolist():
            parts.append(self._purchase(PURCHASES[number], customer[which == number], rng, day))
        return np.concatenate(parts)

    def _purchase(self, purchase: Purchase, customer: Integers, rng: np.random.Generator, day: int) -> Payments:
        people = self._people
        first = blank(len(customer))
        first["customer"] = customer
        first["payee"] = self._payees.newcomers(people.city_now(customer), purchase.payee_kind)
        first["kind"] = KIND["first_large"]
        first["purpose"] = PURPOSE[purchase.purpose]
        first["time"] = local_times(rng, people, customer, day, "shop" if purchase.way == "till" else "person")
        amount = purchase.incomes * people.income[customer] * np.exp(rng.normal(0, purchase.spread, len(customer)))
        first["amount"] = round_amounts(amount, 10_000)
        again = first[rng.random(len(first)) < INSTALMENT]
        again["kind"] = KIND["instalment"]
        again["time"] += rng.integers(1, 11, len(again)) * DAY_MS + rng.integers(-7_200_000, 7_200_000, len(again))
        rows = np.concatenate((first, again))
        return complete(rng, rows, people, purchase.way, purchase.way == "transfer", self._salt)

    def _own_transfers(self, rng: np.random.Generator, day: int) -> Payments:
        people = self._people
        moves = (rng.random(len(people)) < OWN_TRANSFERS_PER_DAY * self._activity) & people.second_account
        return self.own_transfer(np.flatnonzero(moves), rng, day)

    def own_transfer(self, customer: Integers, rng: np.random.Generator, day: int) -> Payments:
        """Transfers between a customer's own two accounts."""
        people = self._people
        rows = blank(len(customer))
        rows["customer"] = customer
        rows["payee"] = own_payee(customer, people.home[customer])
        rows["kind"] = KIND["own"]
        rows["time"] = local_times(rng, people, customer, day, "person")
        rows["amount"] = round_amounts(
            people.income[customer] * 0.25 * np.exp(rng.normal(0, 0.9, len(customer))), 10_000
        )
        complete(rng, rows, people, "online", False, self._salt)
        rows["second"] = rng.random(len(customer)) < 0.5
        return rows

    def _collections(self, rng: np.random.Generator, day: int) -> Payments:
        people = self._people
        parts = [blank(0)]
        private = np.flatnonzero(people.retail)
        for _ in range(int(rng.poisson(COLLECTION_PER_CUSTOMER_DAY * len(people) * self._activity))):
            organiser = private[rng.integers(len(private))]
            neighbours = private[people.home[private] == people.home[organiser]]
            count = min(int(rng.integers(5, 16)), len(neighbours))
            customer = rng.choice(neighbours, count, replace=False)
            rows = blank(count)
            rows["customer"] = customer
            payee = self._payees.newcomers(people.home[[organiser]], PERSON)[0]
            rows["payee"] = payee
            rows["kind"] = KIND["collection"]
            rows["time"] = local_times(rng, people, customer, day, "person") + rng.integers(0, 2, count) * DAY_MS
            fee = 0.02 * people.income[organiser] * np.exp(rng.normal(0, 0.5))
            rows["amount"] = round_amounts(np.full(count, fee), 1_000)
            parts.append(complete(rng, rows, people, "transfer", True, self._salt))
        return np.concatenate(parts)
