"""Accounts that take stolen money: recruited, used for some victims, dropped."""

from __future__ import annotations

from typing import Final

import numpy as np

from stream.simulate.bank_payees import MERCHANT, PERSON, WALLET, PayeeSource, customer_payee, domestic_city
from stream.simulate.disguise import Disguise
from stream.simulate.places import FOREIGN_CITIES
from stream.simulate.population import Population

REUSED: Final = 0.6
"""Attacks that take a mule other victims paid before, while one is active."""
RECRUITED_CUSTOMER: Final = 0.3
"""Person mules that are customers of this bank with an ordinary past as payee; others are accounts just opened."""
LIFETIME_DAYS: Final = (4, 20)
MOST_ACTIVE: Final = 32
"""Active mules of a kind; the oldest is dropped first."""
KINDS: Final = {"person": PERSON, "company": MERCHANT, "broker": WALLET, "abroad": MERCHANT, "relative_abroad": PERSON}


class Mules:
    """Pools of active mules, by kind of front; on a hard bank most have an honest past and serve few victims."""

    def __init__(self, people: Population, disguise: Disguise | None = None) -> None:
        self._people, self._disguise = people, disguise
        self._reused = REUSED if disguise is None else disguise.hard.reused
        self._lifetime = LIFETIME_DAYS if disguise is None else disguise.hard.mule_days
        self._payees = PayeeSource(first=1 << 44)
        self._retail = np.flatnonzero(people.retail)
        self._active: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}

    def recruit(self, rng: np.random.Generator, kind: str, victim: int, day: int) -> int:
        """A payee for the loot of one attack: one already used, or a new one."""
        active = [mule for mule in self._active[kind] if mule[1] >= day]
        if active and rng.random() < self._reused:
            self._active[kind] = active
            return active[int(rng.integers(len(active)))][0]
        payee = self.newcomer(rng, kind, victim)
        until = day + int(rng.integers(self._lifetime[0], self._lifetime[1] + 1))
        self._active[kind] = [*active, (payee, until)][-MOST_ACTIVE:]
        return payee

    def newcomer(self, rng: np.random.Generator, kind: str, victim: int) -> int:
        """A payee no other victim shares yet."""
        home = self._people.home[[victim]]
        if kind == "person" and self._disguise is not None:
            known = self._disguise.honest_payee(rng, victim)
            if known is not None:
                return known
        if kind == "person" and rng.random() < RECRUITED_CUSTOMER:
            recruit = self._retail[[int(rng.integers(len(self._retail)))]]
            if recruit[0] != victim:
                return int(customer_payee(recruit, self._people.home[recruit])[0])
        abroad = kind in ("abroad", "relative_abroad")
        city = FOREIGN_CITIES[[int(rng.integers(len(FOREIGN_CITIES)))]] if abroad else domestic_city(rng, home)
        return int(self._payees.newcomers(city, KINDS[kind])[0])
