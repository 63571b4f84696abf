"""Thieves of a hard bank: they keep to the victim's amounts, hours, device and payees, and their mules have a past."""

from __future__ import annotations

from typing import Final

import numpy as np

from stream.simulate.bank_payees import WALLET, kind_of
from stream.simulate.circumstances import devices, local_times
from stream.simulate.difficulty import Difficulty
from stream.simulate.habits import HabitTable, round_amounts
from stream.simulate.population import Population
from stream.simulate.simulated_rows import CHECK, Payments
from stream.simulate.tokens import Integers

_WITHIN_MEDIAN: Final = 0.6
"""Logarithm by which a thief who keeps to the victim's amounts takes more than the victim usually transfers."""
_WITHIN_SPREAD: Final = 0.7
_KNOWN: Final = (("wallet", 2), ("transfer", 8), ("ecommerce", 7))
"""Habits whose favourites are paid, and how many each customer has."""


class Disguise:
    """Turns the rows of an ordinary attack into those of a careful thief."""

    def __init__(self, people: Population, habits: HabitTable, hard: Difficulty) -> None:
        self._people, self._habits, self.hard = people, habits, hard
        self._retail = np.flatnonzero(people.retail)

    def honest_payee(self, rng: np.random.Generator, victim: int) -> int | None:
        """A person whom an honest customer pays, now a mule; None for a mule without such a past."""
        if rng.random() >= self.hard.honest_past:
            return None
        payer = int(self._retail[int(rng.integers(len(self._retail)))])
        return None if payer == victim else self._habits.favourite("transfer", payer, int(rng.integers(8)))

    def wear(self, rng: np.random.Generator, rows: Payments, victim: int, day: int) -> None:
        """Change an attack's rows in place; what is the customer's own (savings broken first) stays."""
        if rng.random() < self.hard.known_payee and self._people.retail[victim]:
            self._pay_somebody_known(rng, rows, victim)
        if rng.random() < self.hard.within_habits:
            self._keep_to_habits(rng, rows, victim, day)

    def _pay_somebody_known(self, rng: np.random.Generator, rows: Payments, victim: int) -> None:
        kind, count = _KNOWN[int(rng.integers(len(_KNOWN)))]
        payee = self._habits.favourite(kind, victim, int(rng.integers(count)))
        stolen = rows["attack"] > 0
        rows["payee"][stolen] = payee
        if kind_of(np.array([payee]))[0] == WALLET or kind == "ecommerce":
            rows["name_check"][stolen] = CHECK["none"]
        else:
            rows["name_check"][stolen] = CHECK["match"]

    def _keep_to_habits(self, rng: np.random.Generator, rows: Payments, victim: int, day: int) -> None:
        stolen = np.flatnonzero((rows["attack"] > 0) & (rows["amount"] > 0))
        customer: Integers = np.full(len(stolen), victim)
        usual = self._habits.usual_amounts("transfer", customer, rows["payee"][stolen])
        amount = usual * np.exp(rng.normal(_WITHIN_MEDIAN, _WITHIN_SPREAD, len(stolen)))
        rows["amount"][stolen] = np.minimum(rows["amount"][stolen], round_amounts(amount, 1_000))
        own = int(local_times(rng, self._people, np.array([victim]), day, "person")[0])
        rows["time"] += own - int(rows["time"].min())
        rows["device"][stolen] = devices(rng, self._people, customer, rows["channel"][stolen].astype(np.int64))
        rows["place"][stolen] = self._people.city_now(customer)
        rows["lat"][stolen] = np.nan
        rows["lon"][stolen] = np.nan
