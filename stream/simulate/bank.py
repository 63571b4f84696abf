"""The bank: day after day its customers pay, thieves attack, and transactions leave in the order of event time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import count
from typing import Final

import numpy as np

from stream.simulate.attacks import Attacks
from stream.simulate.bank_config import SimulationConfig
from stream.simulate.bank_payees import PayeeSource
from stream.simulate.difficulty import toughen
from stream.simulate.disguise import Disguise
from stream.simulate.habits import HabitTable
from stream.simulate.occasions import Occasions
from stream.simulate.payment_record import Encoder, Event, SimulatedChunk
from stream.simulate.places import DAY_MS, LARGEST_OFFSET_MS
from stream.simulate.population import settle
from stream.simulate.simulated_rows import Payments, blank
from stream.simulate.standing_orders import StandingOrders
from stream.simulate.telling import Telling

_EPOCH = date(1970, 1, 1)
_PEOPLE, _LIFE, _CRIME, _SALT, _HARD = range(5)
_MEAN_ATTACK = 6.0
_MOST_ATTACKS_A_DAY = 2_000
_FULL_PACE_DAYS = 90
STREAM_CHUNK: Final = 64
"""Events encoded at a time by :func:`stream`: small, for a first one within milliseconds."""


class Bank:
    """A seeded bank.

    Each local day is drawn for the whole bank at once from generators of its own, ``(seed, life, day)`` and
    ``(seed, crime, day)``: what customers do does not depend on the fraud rate, nor anything on how the output
    is cut. In memory are the customers with their favourites, one day of payments, and instalments and attacks
    that reach ahead.

    Parameters
    ----------
    config
        What the bank is like.

    Examples
    --------
    >>> bank = Bank(SimulationConfig(seed=7, events=100, accounts=50))
    >>> chunks = list(bank.transactions(chunk_size=40))
    >>> sum(len(chunk) for chunk in chunks), max(len(chunk) for chunk in chunks)
    (100, 40)
    """

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(_PEOPLE,)))
        salt = int(np.random.SeedSequence(config.seed, spawn_key=(_SALT,)).generate_state(1, np.uint64)[0]) >> 1
        people = settle(config.account_count, rng)
        hard = config.hard
        if hard is not None:
            toughen(people, hard, np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(_HARD,))))
        payees = PayeeSource()
        self._habits = HabitTable(people, payees, config.activity, salt, rng)
        self._orders = StandingOrders(people, payees, salt, rng)
        self._occasions = Occasions(people, payees, config.activity, salt)
        period = config.period_days
        pace = 1.0 if period is None else min(1.0, period / _FULL_PACE_DAYS)
        disguise = None if hard is None else Disguise(people, self._habits, hard)
        self._attacks = Attacks(people, self._habits, self._orders, self._occasions, salt, pace, disguise)
        telling = None if hard is None else Telling(config.seed, hard)
        self._encoder = Encoder(people, salt, telling)
        self._first_day = (config.start - _EPOCH).days
        if hard is not None and period is not None:
            late = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(_HARD, 1)))
            self._attacks.begin_late(late, hard.begins_late, self._first_day + round(period * hard.late_from))
        self._started = False

    def transactions(self, chunk_size: int = 4096) -> Iterator[SimulatedChunk]:
        """All transactions in the order of event time, encoded, in chunks of at most that many (a day's end ends one).

        The bytes do not depend on ``chunk_size``. A bank lives once: a second call raises ``RuntimeError``.
        """
        for rows in self.payments():
            for begin in range(0, len(rows), chunk_size):
                yield self._encoder.chunk(rows[begin : begin + chunk_size])

    def payments(self) -> Iterator[Payments]:
        """The same before encoding: a day's rows at a time, sorted by time."""
        if self._started:
            raise RuntimeError("a Bank lives once: make a new one for the same transactions")
        self._started = True
        left = self.config.events
        for rows in self._days():
            if left is not None and len(rows) >= left:
                yield rows[:left]
                return
            if left is not None:
                left -= len(rows)
            yield rows

    def _days(self) -> Iterator[Payments]:
        ahead = blank(0)
        debt = 0.0
        for offset in count():
            day = self._first_day + offset
            life = self._generator(_LIFE, day)
            self._occasions.move(life, day)
            parts = [*self._habits.day(life, day), *self._orders.day(life, day), *self._occasions.day(life, day)]
            debt += sum(len(part) for part in parts) * self._fraud_odds(offset)
            crime, debt = self._crime(offset, day, debt)
            rows = np.concatenate([ahead, *parts, *crime])
            # A later local day begins, at the earliest, that many hours before its UTC day.
            settled = (day + 1) * DAY_MS - LARGEST_OFFSET_MS
            rows = rows[np.argsort(rows["time"], kind="stable")]
            cut = int(np.searchsorted(rows["time"], settled))
            ahead = rows[cut:]
            yield rows[:cut]

    def _fraud_odds(self, offset: int) -> float:
        """Frauds owed for each genuine payment of a day; the quiet days' share is owed by the others."""
        config = self.config
        if offset < config.attack_free_days:
            return 0.0
        odds = config.fraud_rate / (1 - config.fraud_rate)
        period = config.period_days
        return odds if period is None else odds * period / (period - config.attack_free_days)

    def _crime(self, offset: int, day: int, debt: float) -> tuple[list[Payments], float]:
        """Attacks that begin today, as many as the fraud rate owes; and what is still owed."""
        rng = self._generator(_CRIME, day)
        period = self.config.period_days
        end = (self._first_day + period) * DAY_MS if period is not None else 1 << 62
        parts: list[Payments] = []
        while debt > rng.uniform(-_MEAN_ATTACK, _MEAN_ATTACK) and debt > 0 and len(parts) < _MOST_ATTACKS_A_DAY:
            rows = self._attacks.launch(rng, day)
            debt -= max(1, int(((rows["attack"] > 0) & (rows["time"] < end)).sum()))
            parts.append(rows)
        return parts, debt

    def _generator(self, purpose: int, day: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(self.config.seed, spawn_key=(purpose, day)))


def stream(
    seed: int, start: date = date(2026, 1, 1), accounts: int = 400, fraud_rate: float = 0.002
) -> Iterator[Event]:
    """Transactions without end, in the order of event time, each with its truth: for a live demo.

    The first comes within some tens of milliseconds. 400 accounts pay about 840 times a simulated day.

    >>> first = next(stream(seed=1))
    >>> first.truth.fraud, first.transaction.startswith(b'{"transaction_id":"t')
    (0, True)
    """
    bank = Bank(SimulationConfig(seed=seed, start=start, accounts=accounts, fraud_rate=fraud_rate))
    for chunk in bank.transactions(STREAM_CHUNK):
        yield from chunk.events()
