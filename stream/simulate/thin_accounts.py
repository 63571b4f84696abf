"""Thin accounts: customers of whom a bank sees a handful of payments a month, over years, and no label ever.

The other extreme of :mod:`stream.simulate.bank`: standing orders (household, rent, insurance, loan), cash at the
branch, a card for some, now and then a large purchase, no devices, no places, often no time of day. What a policy as
shipped does to such customers is decided by a few payments and by rules, for a model has little to learn from. Frauds
are put into some accounts; each attack is one of :data:`ATTACKS`. Deterministic in its settings. The assumptions stand
in docs/simulator.md; nothing here is fitted to a bank's data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from stream.simulate.payment_record import SimulatedTruth

_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class ThinAccounts:
    """Settings of the simulation.

    Parameters
    ----------
    seed
        Of everything random.
    accounts, attacked
        Customers, and those of them that meet a thief once.
    days
        Length of the period.
    clock
        Whether payments carry a time of day; without one all stand at midnight, as in books that keep dates only.
    start
        First day, UTC.
    """

    seed: int = 1
    accounts: int = 353
    attacked: int = 60
    days: int = 1096
    clock: bool = True
    start: datetime = datetime(2023, 1, 1, tzinfo=UTC)

    def traffic(self) -> tuple[list[dict[str, Any]], list[SimulatedTruth]]:
        """Transactions by event time, as records of the contract, and the truth in the same order."""
        rng = np.random.default_rng([self.seed, 0])
        payments = [payment for number in range(self.accounts) for payment in _Customer(self, number).payments()]
        attacked = rng.permutation(self.accounts)[: self.attacked]
        for place, number in enumerate(attacked.tolist()):
            payments += _Customer(self, int(number)).attack(place)
        order = sorted(range(len(payments)), key=lambda i: (payments[i][0], i))
        records, truth = [], []
        for position, i in enumerate(order):
            seconds, fields, attack = payments[i]
            at = (self.start + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
            name = f"t-{position}"
            records.append({"transaction_id": name, "event_time": at, "currency": "EUR", **fields})
            kind = "attack" if attack else "life"
            account = fields["account_id"]
            truth.append(
                SimulatedTruth(name, int(bool(attack)), attack, f"{attack}-{account}" if attack else "", account, kind)
            )
        return records, truth


_Payment = tuple[int, dict[str, Any], str]
"""Seconds since the start, fields, attack (empty for life)."""


class _Customer:
    """One account: who it is follows from the seed and its number, so that a thief meets the same customer."""

    def __init__(self, bank: ThinAccounts, number: int) -> None:
        self.bank = bank
        self.rng = rng = np.random.default_rng([bank.seed, 1, number])
        self.account = f"thin-{number}"
        self.income = float(np.exp(rng.normal(7.3, 0.45)))
        self.opened = int(rng.integers(0, 200))
        self.cash_a_month = float(rng.gamma(4.0, 0.9))
        self.cash_median = self.income * float(np.exp(rng.normal(-2.3, 0.5)))
        self.card = bool(rng.random() < 0.3)

    def payments(self) -> list[_Payment]:
        """A life's payments."""
        return [*self._orders(), *self._cash(), *self._transfers(), *self._large()]

    def _day(self, day: int, attack: str = "", hour: float | None = None, **fields: Any) -> _Payment:
        if hour is None:
            hour = float(self.rng.uniform(7.0, 19.0)) if self.bank.clock else 0.0
        fields = {"account_id": self.account, **fields}
        return day * _DAY_S + round(hour * _HOUR_S), fields, attack

    def _orders(self) -> list[_Payment]:
        """Two to four standing orders; some begin later, and now and then an amount changes."""
        payments = []
        share = {"household": 0.12, "rent": 0.3, "insurance": 0.05, "loan": 0.22, "other": 0.02}
        for kind in self.rng.permutation(list(share))[: int(self.rng.integers(1, 5))].tolist():
            begin = self.opened + (0 if self.rng.random() < 0.55 else int(self.rng.integers(0, self.bank.days)))
            day_of_month = int(self.rng.integers(0, 28))
            amount = share[kind] * self.income * float(np.exp(self.rng.normal(0.0, 0.4)))
            payee = f"{kind}-{self.account}" if kind in ("rent", "other") else f"{kind}-{int(self.rng.integers(0, 30))}"
            for month in range(begin // 30 + 1, self.bank.days // 30):
                if self.rng.random() < 0.03:
                    amount *= float(np.exp(self.rng.normal(0.08, 0.1)))
                payments.append(
                    self._day(month * 30 + day_of_month, channel="app", payee_id=payee, amount_minor=_cents(amount))
                )
        return payments

    def _cash(self) -> list[_Payment]:
        """Cash at the branch, and at machines for those with a card; sometimes a good deal more than usual."""
        payments = []
        for day in range(self.opened, self.bank.days):
            if self.rng.random() < self.cash_a_month / 30.0:
                amount = self.cash_median * float(np.exp(self.rng.normal(0.0, 0.8)))
                payments.append(self._day(day, channel="branch", amount_minor=_round(amount, 10)))
            if self.card and self.rng.random() < 1.2 / 30.0:
                amount = 0.5 * self.cash_median * float(np.exp(self.rng.normal(0.0, 0.5)))
                payments.append(self._day(day, channel="atm", amount_minor=_round(amount, 20)))
        return payments

    def _transfers(self) -> list[_Payment]:
        """Single transfers to persons and firms, half of them never paid before."""
        payments, known = [], 0
        for day in range(self.opened, self.bank.days):
            if self.rng.random() < 0.35 / 30.0:
                if known == 0 or self.rng.random() < 0.5:
                    known += 1
                    payee = known
                else:
                    payee = int(self.rng.integers(1, known + 1))
                amount = 0.12 * self.income * float(np.exp(self.rng.normal(0.0, 0.9)))
                name = f"single-{payee}-{self.account}"
                payments.append(self._day(day, channel="app", payee_id=name, amount_minor=_cents(amount)))
        return payments

    def _large(self) -> list[_Payment]:
        """About one large honest payment in two years: a car, a roof, a wedding; by transfer or in cash."""
        payments = []
        for number in range(int(self.rng.poisson((self.bank.days - self.opened) / 730.0))):
            day = int(self.rng.integers(self.opened + 60, self.bank.days)) if self.opened + 60 < self.bank.days else 0
            amount = self.income * float(np.exp(self.rng.normal(0.6, 0.5)))
            fields: dict[str, Any] = {"channel": "branch"}
            if self.rng.random() < 0.6:
                fields = {"channel": "app", "payee_id": f"large-{number}-{self.account}"}
            payments.append(self._day(day, amount_minor=_round(amount, 50), **fields))
        return payments

    def attack(self, place: int) -> list[_Payment]:
        """What a thief takes, in the last third of the period."""
        self.rng = np.random.default_rng([self.bank.seed, 2, place])
        day = int(self.rng.integers(self.bank.days * 2 // 3, self.bank.days - 10))
        name = list(ATTACKS)[place % len(ATTACKS)]
        hour = float(self.rng.uniform(0.0, 24.0)) if self.bank.clock else 0.0
        return [
            self._day(day, attack=name, hour=hour + later, amount_minor=_cents(share * self.income), **fields)
            for later, share, fields in ATTACKS[name](self.rng, place)
        ]


def _takeover(rng: np.random.Generator, place: int) -> list[tuple[float, float, dict[str, Any]]]:
    """Three to five large transfers to one to three new payees within hours."""
    payees = int(rng.integers(1, 4))
    return [
        (
            float(i * rng.uniform(0.1, 1.5)),
            float(rng.uniform(0.4, 1.4)),
            {"channel": "app", "payee_id": f"mule-{place}-{i % payees}"},
        )
        for i in range(int(rng.integers(3, 6)))
    ]


def _drain(rng: np.random.Generator, place: int) -> list[tuple[float, float, dict[str, Any]]]:
    """One or two transfers of a great part of the savings."""
    return [
        (
            float(i * rng.uniform(0.2, 6.0)),
            float(rng.uniform(1.5, 4.0)),
            {"channel": "app", "payee_id": f"mule-{place}"},
        )
        for i in range(int(rng.integers(1, 3)))
    ]


def _days(rng: np.random.Generator, place: int) -> list[tuple[float, float, dict[str, Any]]]:
    """Two to four transfers over days, each to a new payee."""
    return [
        (
            float(24 * i * rng.uniform(0.4, 1.4)),
            float(rng.uniform(0.5, 1.5)),
            {"channel": "app", "payee_id": f"mule-{place}-{i}"},
        )
        for i in range(int(rng.integers(2, 5)))
    ]


def _rising(rng: np.random.Generator, place: int) -> list[tuple[float, float, dict[str, Any]]]:
    """A task scam: each transfer larger than the last, to two payees in turn."""
    share = float(rng.uniform(0.03, 0.08))
    growth = float(rng.uniform(1.7, 2.4))
    return [
        (i * 0.7, share * growth**i, {"channel": "app", "payee_id": f"mule-{place}-{i % 2}"})
        for i in range(int(rng.integers(4, 7)))
    ]


def _card_burst(rng: np.random.Generator, place: int) -> list[tuple[float, float, dict[str, Any]]]:
    """A stolen card: four to eight withdrawals within two hours."""
    share = float(rng.uniform(0.12, 0.3))
    return [(float(i * rng.uniform(0.05, 0.3)), share, {"channel": "atm"}) for i in range(int(rng.integers(4, 9)))]


ATTACKS: Final[dict[str, Callable[[np.random.Generator, int], list[tuple[float, float, dict[str, Any]]]]]] = {
    "takeover": _takeover,
    "drain": _drain,
    "days": _days,
    "rising": _rising,
    "card_burst": _card_burst,
}
"""Hours after the attack began, amount in monthly incomes, fields."""


def _cents(amount: float) -> int:
    return max(round(amount * 100.0), 100)


def _round(amount: float, to: int) -> int:
    """An amount as people withdraw it, a multiple of some notes."""
    return max(round(amount / to), 1) * to * 100
