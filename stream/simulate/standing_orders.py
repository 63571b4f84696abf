"""What comes every month: bills, rent, loans, subscriptions, family, tuition abroad, taxes, payroll."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import numpy as np

from stream.simulate.bank_payees import MERCHANT, PERSON, PayeeSource, biller, customer_payee
from stream.simulate.circumstances import complete, local_times
from stream.simulate.habits import round_amounts
from stream.simulate.places import FOREIGN_CITIES, MINOR_PER_YUAN, PRICE_LEVEL, Floats
from stream.simulate.population import PAYROLL, Population
from stream.simulate.simulated_rows import KIND, PURPOSE, Payments, blank
from stream.simulate.tokens import Integers

_EPOCH = date(1970, 1, 1)
_LATEST_DUE = 28


@dataclass(frozen=True, slots=True)
class StandingOrderKind:
    """One kind of standing order.

    ``private`` and ``company``: share of customers that have it (above 1: so many each). ``yuan``: median over
    customers; ``between`` and ``within``: standard deviations of the amount's logarithm between orders and from
    month to month. ``months``: every so many. ``due``: first and last day of the month it can be due;
    ``shift``: paid up to so many days later.
    """

    kind: str
    private: float
    company: float
    payee: str
    yuan: float
    between: float
    within: float
    round_to: int
    due: tuple[int, int]
    shift: int
    purpose: str
    way: str = "standing"
    hours: str = "person"
    months: int = 1


OBLIGATIONS: Final = (
    StandingOrderKind("utilities", 0.90, 1.0, "electricity", 160, 0.5, 0.18, 1, (3, 20), 2, "utilities"),
    StandingOrderKind("utilities", 0.75, 1.0, "water", 70, 0.5, 0.12, 1, (3, 20), 2, "utilities"),
    StandingOrderKind("utilities", 0.95, 1.0, "phone", 75, 0.4, 0.06, 1, (1, 28), 1, "utilities"),
    StandingOrderKind("utilities", 0.55, 1.0, "internet", 99, 0.2, 0.0, 1, (1, 28), 0, "utilities"),
    StandingOrderKind("subscription", 1.30, 0.5, "online", 22, 0.5, 0.0, 1, (1, 28), 0, "none", "online", "online"),
    StandingOrderKind("rent", 0.35, 0.6, "landlord", 2600, 0.35, 0.0, 10_000, (1, 6), 1, "rent", "transfer"),
    StandingOrderKind("loan", 0.30, 0.3, "bank", 3600, 0.45, 0.0, 1, (5, 20), 0, "none"),
    StandingOrderKind("family", 0.40, 0.0, "parent", 1000, 0.6, 0.10, 10_000, (1, 12), 2, "none", "transfer"),
    StandingOrderKind("tuition", 0.04, 0.0, "school_abroad", 42_000, 0.3, 0.02, 1, (1, 20), 3, "tuition", "transfer", "person", 6),
    StandingOrderKind("allowance_abroad", 0.04, 0.0, "child_abroad", 6_000, 0.3, 0.15, 10_000, (1, 15), 2, "none", "transfer"),
    StandingOrderKind("tax", 0.03, 1.0, "tax_office", 900, 0.5, 0.4, 1, (8, 15), 2, "tax", "standing", "office"),
    StandingOrderKind("payroll", 0.0, 25.0, "employee", 1400, 0.4, 0.04, 1, (5, 28), 0, "salary", "run", "office"),
)  # fmt: skip
"""Amounts of companies grow with their wealth (a factor of about 4); payroll is for the payroll segment alone."""

_SERVICES = {"electricity": 0, "water": 1, "phone": 2, "internet": 3, "tax_office": 4, "bank": 5}


class StandingOrders:
    """All standing orders of the bank as arrays, and those of a day."""

    def __init__(self, people: Population, payees: PayeeSource, salt: int, rng: np.random.Generator) -> None:
        self._people, self._payees, self._salt = people, payees, salt
        parts = [self._orders(number, rng) for number in range(len(OBLIGATIONS))]
        obligation, customer, payee, amount, due, phase = (
            np.concatenate(columns) for columns in zip(*parts, strict=True)
        )
        order = np.lexsort((customer, obligation))
        self._obligation: Integers = obligation[order]
        self._customer: Integers = customer[order]
        self._payee: Integers = payee[order]
        self._amount: Floats = amount[order]
        self._due: Integers = due[order]
        self._phase: Integers = phase[order]
        self._every = np.array([obligation.months for obligation in OBLIGATIONS])[self._obligation]
        self._shift = np.array([obligation.shift for obligation in OBLIGATIONS])[self._obligation]

    def day(self, rng: np.random.Generator, day: int) -> list[Payments]:
        """Payments due on one local day (days since 1970-01-01), per obligation."""
        month, day_of_month = _calendar(day)
        # How late a customer is differs by month but is the same whenever it is asked, so it comes from numbers.
        late = (self._payee // 1024 + month * 7) % (self._shift + 1)
        due = (self._due + late == day_of_month) & ((month + self._phase) % self._every == 0)
        chosen = np.flatnonzero(due)
        parts = []
        for number in np.unique(self._obligation[chosen]).tolist():
            parts.append(self._payments(OBLIGATIONS[number], chosen[self._obligation[chosen] == number], rng, day))
        return parts

    def invoices(self, customer: int) -> list[tuple[int, float, str]]:
        """A customer's rent as (payee, amount in minor units, purpose): what an impostor would redirect."""
        mine = np.flatnonzero(self._customer == customer)
        return [
            (int(self._payee[i]), float(self._amount[i]), OBLIGATIONS[self._obligation[i]].purpose)
            for i in mine.tolist()
            if OBLIGATIONS[self._obligation[i]].kind == "rent"
        ]

    def _orders(self, number: int, rng: np.random.Generator) -> tuple[Integers, ...]:
        obligation, people = OBLIGATIONS[number], self._people
        share = np.where(people.company, obligation.company, obligation.private)
        if obligation.kind == "payroll":
            share = np.where(people.segment == PAYROLL, share * rng.gamma(3.0, 1 / 3, len(people)), 0.0)
        whole = np.floor(share)
        orders = (whole + (rng.random(len(people)) < share - whole)).astype(np.int64)
        customer = np.repeat(np.arange(len(people)), orders)
        count = len(customer)
        level = PRICE_LEVEL[people.home[customer]] * MINOR_PER_YUAN[people.currency[customer]]
        amount = (
            obligation.yuan * level * people.wealth[customer] ** 0.6 * np.exp(rng.normal(0, obligation.between, count))
        )
        due = rng.integers(obligation.due[0], obligation.due[1] + 1, count)
        if obligation.kind == "payroll":
            payday = rng.integers(obligation.due[0], obligation.due[1] + 1, len(people))
            due = payday[customer]
        due = np.minimum(due, _LATEST_DUE - obligation.shift)
        phase = rng.integers(0, obligation.months, count)
        payee = self._payee_of(obligation.payee, customer, rng)
        return np.full(count, number), customer, payee, amount, due, phase

    def _payee_of(self, who: str, customer: Integers, rng: np.random.Generator) -> Integers:
        people, home = self._people, self._people.home[customer]
        if who in _SERVICES:
            return biller(_SERVICES[who], home)
        if who == "online":
            return self._payees.draw(rng, "online", home)
        if who in ("school_abroad", "child_abroad"):
            abroad = FOREIGN_CITIES[rng.integers(0, len(FOREIGN_CITIES), len(customer))]
            if who == "school_abroad":
                return self._payees.newcomers(abroad, MERCHANT)
            return self._payees.newcomers(abroad, PERSON)
        outside = self._payees.draw(rng, "person", home)
        inside = rng.integers(0, len(people), len(customer))
        fits = people.retail[inside] & (inside != customer) & (rng.random(len(customer)) < 0.5)
        return np.where(fits, customer_payee(inside, people.home[inside]), outside)

    def _payments(
        self, obligation: StandingOrderKind, orders: Integers, rng: np.random.Generator, day: int
    ) -> Payments:
        people = self._people
        customer = self._customer[orders]
        rows = blank(len(orders))
        rows["customer"] = customer
        rows["payee"] = self._payee[orders]
        rows["kind"] = KIND[obligation.kind]
        rows["purpose"] = PURPOSE[obligation.purpose]
        amount = self._amount[orders] * np.exp(rng.normal(0, obligation.within, len(orders)))
        rows["amount"] = round_amounts(amount, obligation.round_to)
        times = local_times(rng, people, customer, day, obligation.hours)
        if obligation.kind == "payroll":
            times = _one_run_each(rng, customer, times)
        rows["time"] = times
        checked = obligation.way in ("transfer", "run")
        return complete(rng, rows, people, obligation.way, checked, self._salt)


def _one_run_each(rng: np.random.Generator, customer: Integers, times: Integers) -> Integers:
    """All payments of an employer in one go, one every second or so."""
    first = np.concatenate(([True], customer[1:] != customer[:-1]))
    run = np.cumsum(first) - 1
    start = np.flatnonzero(first)
    rank = np.arange(len(customer)) - start[run]
    moments: Integers = times[start][run] + rank * 1_000 + rng.integers(0, 900, len(customer))
    return moments


def _calendar(day: int) -> tuple[int, int]:
    """Months since year 0 and day of the month."""
    moment = _EPOCH + timedelta(days=day)
    return moment.year * 12 + moment.month, moment.day
