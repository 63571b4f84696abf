"""What customers do again and again: shops, stalls, fuel, the web, brokers, friends, wallets, cash, suppliers.

One :class:`Habit` is one line of the table in docs/simulator.md. Each customer has a short list of favourites
per habit, visited by rank (Zipf); now and then somebody new is paid, and some of the new ones stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stream.simulate.bank_payees import PayeeSource, customer_payee, zipf
from stream.simulate.circumstances import complete, local_times
from stream.simulate.places import MINOR_PER_YUAN, PRICE_LEVEL, Floats
from stream.simulate.population import NOBODY, Population
from stream.simulate.simulated_rows import KIND, PURPOSE, Payments, blank
from stream.simulate.tokens import Integers, unit_interval


@dataclass(frozen=True, slots=True)
class Habit:
    """One recurring kind of payment.

    Parameters
    ----------
    kind
        Name in the truth's ``kind`` column.
    private, company
        Payments a day of a private customer and of a company, at briskness 1.
    group
        Of payees, see :meth:`stream.simulate.bank_payees.PayeeSource.draw`.
    favourites, exponent
        Length of the list of favourites and how fast visits fall with rank.
    new, adopt
        Probability that a payment goes to somebody not on the list, and that he is put on it.
    yuan, spread
        Median amount at price level 1 and wealth 1, and standard deviation of its logarithm for one payee;
        between payees the logarithm differs by 0.4 more.
    round_to
        Minor units an amount is rounded to.
    way, hours
        Channel mix and profile of the day.
    weekend
        Activity on Saturdays and Sundays against other days.
    local
        Paid on the spot: away from home it goes to shops there.
    checked
        The payee's name is checked.
    zero
        Share of amounts that are 0: verifications of a card.
    """

    kind: str
    private: float
    company: float
    group: str
    favourites: int
    exponent: float
    new: float
    adopt: float
    yuan: float
    spread: float
    round_to: int
    way: str
    hours: str
    weekend: float = 1.0
    local: bool = False
    checked: bool = False
    purpose: str = "none"
    zero: float = 0.0


HABITS: Final = (
    Habit("groceries", 0.55, 0.0, "shop", 8, 0.9, 0.15, 0.20, 65, 0.55, 1, "till", "shop", 1.3, local=True),
    Habit("meal", 0.45, 0.1, "shop", 10, 0.8, 0.28, 0.20, 28, 0.45, 1, "till", "meal", 1.1, local=True),
    Habit("stall", 0.22, 0.0, "stall", 5, 0.8, 0.30, 0.20, 15, 0.50, 1, "code", "meal", 1.2, local=True),
    Habit("fuel", 0.10, 0.1, "fuel", 3, 1.2, 0.15, 0.20, 280, 0.25, 1, "till", "shop", local=True),
    Habit("ecommerce", 0.23, 0.1, "online", 7, 0.9, 0.36, 0.20, 110, 0.85, 1, "online", "online", 1.1),
    Habit("digital", 0.05, 0.0, "online", 4, 1.0, 0.20, 0.25, 7, 0.80, 1, "online", "online"),
    Habit("verification", 0.008, 0.004, "online", 1, 1.0, 0.90, 0.50, 0.5, 1.20, 1, "online", "online", zero=0.5),
    Habit("investment", 0.012, 0.0, "broker", 2, 1.0, 0.12, 0.50, 3500, 0.80, 10_000, "transfer", "office", 0.3, checked=True),
    Habit("transfer", 0.18, 0.0, "person", 8, 0.9, 0.24, 0.30, 420, 0.95, 1000, "transfer", "person", 1.1, checked=True),
    Habit("wallet", 0.13, 0.0, "wallet", 2, 1.5, 0.06, 0.30, 200, 0.60, 1000, "online", "online"),
    Habit("cash", 0.10, 0.05, "none", 1, 1.0, 0.0, 0.0, 700, 0.60, 10_000, "cash", "cash", local=True),
    Habit("supplier", 0.0, 3.5, "supplier", 24, 0.7, 0.07, 0.60, 900, 0.55, 1, "transfer", "office", 0.06, checked=True, purpose="goods"),
)  # fmt: skip


class HabitTable:
    """The favourites of every customer, and the payments of a day."""

    def __init__(
        self, people: Population, payees: PayeeSource, activity: float, salt: int, rng: np.random.Generator
    ) -> None:
        self._people = people
        self._payees = payees
        self._salt = salt
        everyone = np.arange(len(people), dtype=np.int64)
        companies = np.flatnonzero(people.company)
        self._row_of_company = np.full(len(people), NOBODY, dtype=np.int64)
        self._row_of_company[companies] = np.arange(len(companies))
        self._rates: list[Floats] = []
        self._favourites: list[Integers] = []
        self._ranks = [zipf(habit.favourites, habit.exponent) for habit in HABITS]
        for habit in HABITS:
            rate = np.where(people.company, habit.company, habit.private) * people.briskness * activity
            if habit.kind == "fuel":
                rate = rate * (people.drives | people.company) * 1.8
            self._rates.append(rate)
            owners = everyone if habit.private else companies
            self._favourites.append(self._first_favourites(habit, owners, rng))

    def day(self, rng: np.random.Generator, day: int) -> list[Payments]:
        """Payments of one local day (days since 1970-01-01), per habit, in no order of time."""
        weekend = (day + 3) % 7 >= 5
        parts: list[Payments] = []
        for index, habit in enumerate(HABITS):
            rate = self._rates[index] * (habit.weekend if weekend else 1.0)
            customer = np.repeat(np.arange(len(self._people)), rng.poisson(rate))
            if len(customer):
                parts.append(self._payments(index, customer, rng, day))
        return parts

    def favourite(self, kind: str, customer: int, rank: int) -> int:
        """The payee at that rank of a customer's favourites."""
        index = next(i for i, habit in enumerate(HABITS) if habit.kind == kind)
        return int(self._favourites[index][self._owner_rows(HABITS[index], np.array([customer]))[0], rank])

    def usual_amounts(self, kind: str, customer: Integers, payee: Integers) -> Floats:
        """The median amount (minor units of the account) of that habit between these two."""
        habit = next(habit for habit in HABITS if habit.kind == kind)
        return _medians(habit, self._people, customer, payee, self._salt)

    def _first_favourites(self, habit: Habit, owners: Integers, rng: np.random.Generator) -> Integers:
        people = self._people
        repeated = np.repeat(owners, habit.favourites)
        drawn = self._payees.draw(rng, habit.group, people.home[repeated])
        if habit.kind == "transfer":
            friend = rng.integers(0, len(people), len(repeated))
            inside = (rng.random(len(repeated)) < 0.5) & people.retail[friend] & (friend != repeated)
            drawn = np.where(inside, customer_payee(friend, people.home[friend]), drawn)
        return drawn.reshape(len(owners), habit.favourites)

    def _owner_rows(self, habit: Habit, customer: Integers) -> Integers:
        return customer if habit.private else self._row_of_company[customer]

    def _payments(self, index: int, customer: Integers, rng: np.random.Generator, day: int) -> Payments:
        habit, people = HABITS[index], self._people
        rows = blank(len(customer))
        rows["customer"] = customer
        rows["payee"] = payee = self._choose(index, customer, rng)
        rows["kind"] = KIND[habit.kind]
        if habit.local:
            rows["kind"][people.trip_city[customer] != NOBODY] = KIND["trip"]
        rows["purpose"] = PURPOSE[habit.purpose]
        rows["time"] = local_times(rng, people, customer, day, habit.hours)
        amount = _medians(habit, people, customer, payee, self._salt)
        amount *= np.exp(rng.normal(0, habit.spread, len(rows)))
        rows["amount"] = round_amounts(amount, habit.round_to)
        if habit.zero:
            rows["amount"][rng.random(len(rows)) < habit.zero] = 0
        return complete(rng, rows, people, habit.way, habit.checked, self._salt)

    def _choose(self, index: int, customer: Integers, rng: np.random.Generator) -> Integers:
        habit, people, table = HABITS[index], self._people, self._favourites[index]
        owner = self._owner_rows(habit, customer)
        rank = np.searchsorted(self._ranks[index], rng.random(len(customer)), side="right")
        payee = table[owner, rank]
        new = rng.random(len(customer)) < habit.new
        away = habit.local & (people.trip_city[customer] != NOBODY)
        stays = new & ~away & (rng.random(len(customer)) < habit.adopt)
        elsewhere = np.flatnonzero(new | away)
        if len(elsewhere) and habit.group != "none":
            payee[elsewhere] = self._payees.draw(rng, habit.group, people.city_now(customer[elsewhere]))
        for i in np.flatnonzero(stays).tolist():
            table[owner[i], int(rng.integers(habit.favourites // 2, habit.favourites))] = payee[i]
        return payee


def round_amounts(amount: Floats, to: int) -> Integers:
    """Whole multiples of ``to`` minor units, at least one."""
    multiples: Integers = np.maximum(1, np.rint(amount / to)).astype(np.int64)
    return multiples * to


def _medians(habit: Habit, people: Population, customer: Integers, payee: Integers, salt: int) -> Floats:
    home = people.home[customer]
    level = PRICE_LEVEL[home] * MINOR_PER_YUAN[people.currency[customer]]
    dear = np.exp((unit_interval(payee, salt + 2) - 0.5) * 1.4)  # standard deviation 0.4
    means: Floats = np.asarray(habit.yuan * level * people.wealth[customer] ** 0.6 * dear)
    return means
