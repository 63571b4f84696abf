"""How hard a simulated bank is: every number by which a hard bank differs from the ordinary one.

Nothing here is drawn for an ordinary bank, so its bytes stay what they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from stream.simulate.places import CURRENCIES, MINOR_PER_YUAN
from stream.simulate.population import Population


@dataclass(frozen=True, slots=True)
class Difficulty:
    """What thieves can do, what customers a bank has, and what it is told.

    Parameters
    ----------
    within_habits
        Attacks whose amounts, hours, device and place are those of the victim.
    known_payee
        Attacks on somebody whom the victim pays already: a wallet, a shop, a friend.
    honest_past
        Mules whom honest customers have paid for long; the others are as on an ordinary bank.
    reused
        Attacks that take a mule other victims paid before, while one is active.
    mule_days
        Least and most days that a mule is active.
    thin
        Private customers who pay little more than their standing orders: about six payments a month.
    other_currency
        Customers whose account is held in another currency than that of their city.
    begins_late, late_from
        Kinds of attack of which none is seen before that share of the period.
    never_told
        Attacks of which the bank never hears.
    told_days, told_spread
        Median days from a payment to its label, and the spread of their logarithm: a heavy tail.
    """

    within_habits: float
    known_payee: float
    honest_past: float
    reused: float
    mule_days: tuple[int, int]
    thin: float
    other_currency: float
    begins_late: int
    late_from: float
    never_told: float
    told_days: float
    told_spread: float


HARD: Final = Difficulty(
    within_habits=0.6,
    known_payee=0.2,
    honest_past=0.7,
    reused=0.25,
    mule_days=(2, 8),
    thin=0.3,
    other_currency=0.1,
    begins_late=3,
    late_from=0.4,
    never_told=0.33,
    told_days=6.0,
    told_spread=1.1,
)
DIFFICULTIES: Final[dict[str, Difficulty | None]] = {"ordinary": None, "hard": HARD}
"""By the word of the setting."""
_THIN_BRISKNESS = 0.02
"""Of a thin customer, against the mean: next to nothing beside standing orders."""


def toughen(people: Population, hard: Difficulty, rng: np.random.Generator) -> None:
    """Make some customers thin and hold some accounts in other currencies, in place; the bank pays as often as before."""
    thin = people.retail & (rng.random(len(people)) < hard.thin)
    people.briskness[thin] = _THIN_BRISKNESS
    others = people.briskness[~thin]
    if len(others):
        people.briskness[~thin] = others * (len(people) - thin.sum() * _THIN_BRISKNESS) / others.sum()
    moved = people.retail & (rng.random(len(people)) < hard.other_currency)
    currency = rng.integers(0, len(CURRENCIES), len(people))
    rate = MINOR_PER_YUAN[currency] / MINOR_PER_YUAN[people.currency]
    people.income[moved] *= rate[moved]
    people.currency[moved] = currency[moved]
