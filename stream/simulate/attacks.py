"""Eight attacks, each a function from a victim and a day to payments.

Amounts are fractions of the victim's monthly income, hours and channels the victim's own where the victim pays,
so that attacks overlap with life. Assumptions and sources: docs/simulator.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from stream.simulate.bank_payees import WALLET, PayeeSource, kind_of
from stream.simulate.circumstances import choose_channels, complete, local_times
from stream.simulate.disguise import Disguise
from stream.simulate.habits import HabitTable, round_amounts
from stream.simulate.mules import Mules
from stream.simulate.occasions import Occasions
from stream.simulate.places import CITIES_OF_COUNTRY, CITY_COUNTRY, DAY_MS, FOREIGN_CITIES, Floats
from stream.simulate.population import ENTERPRISE, Population
from stream.simulate.simulated_rows import ATTACK, CHANNEL, CHECK, KIND, PURPOSE, Payments, blank
from stream.simulate.standing_orders import StandingOrders
from stream.simulate.tokens import Integers

REST_DAYS: Final = 60
"""A victim is left alone for so long, as long as there is somebody else."""
OWN_DEVICE: Final = 0.4
"""Takeovers on the victim's own phone (malware, remote control, a partner)."""
RELATIVE_RISK: Final = {
    #                     <18, 18-29, 30-44, 45-64, 65+
    "account_takeover": (0.2, 1.0, 1.0, 1.0, 1.2),
    "safe_account": (0.1, 0.8, 0.8, 1.0, 2.0),
    "task_scam": (0.8, 2.5, 1.3, 0.5, 0.2),
    "fake_investment": (0.0, 0.6, 1.3, 1.3, 0.8),
    "grooming": (0.1, 0.9, 1.0, 1.2, 1.2),
    "card_testing": (0.3, 1.2, 1.2, 1.0, 0.6),
    "cross_border_scam": (0.1, 1.2, 1.0, 0.9, 0.7),
    "invoice_redirect": (0.1, 1.0, 1.0, 1.0, 1.0),
}
"""Of private customers by age. Young adults fall for fake orders; most victims are 18 to 44."""
DECK: Final = ("account_takeover",) * 3 + ("task_scam",) * 3 + ("fake_investment", "card_testing", "invoice_redirect")
"""What a round of attacks holds beside one of each kind."""
_THIEF_DEVICES = 1 << 50


@dataclass(slots=True)
class Scene:
    """One attack: its victim, its first local day (since 1970-01-01), its number and its randomness.

    ``pace`` shortens attacks of weeks in short simulations (1: as documented).
    """

    rng: np.random.Generator
    victim: int
    day: int
    case: int
    pace: float

    def count(self, low: int, high: int) -> int:
        """An integer between the two, both included."""
        return int(self.rng.integers(low, high + 1))

    def burst(self, start: int, count: int, gap_minutes: float) -> Integers:
        """Moments (ms) from ``start`` on, with exponential gaps of at least ten seconds."""
        gaps = 10_000 + (self.rng.exponential(gap_minutes, count) * 60_000).astype(np.int64)
        gaps[0] = 0
        return start + np.cumsum(gaps)

    def spread(self, count: int, low: float, high: float) -> Integers:
        """Day offsets of steps that lie ``low`` to ``high`` days apart; the first is 0."""
        gaps = self.rng.uniform(low, high, count) * self.pace
        gaps[0] = 0
        return np.cumsum(gaps).astype(np.int64)


class Attacks:
    """Launches attacks on a bank's customers."""

    def __init__(
        self, people: Population, habits: HabitTable, orders: StandingOrders, occasions: Occasions, salt: int, pace: float,
        disguise: Disguise | None = None,
    ) -> None:  # fmt: skip
        self._people, self._habits, self._orders, self._occasions = people, habits, orders, occasions
        self._salt, self._pace = salt, pace
        self._disguise = disguise
        self._mules = Mules(people, disguise)
        self._shops = PayeeSource()
        self._deck: list[str] = []
        self._cases = 0
        self._late: frozenset[str] = frozenset()
        self._late_from = 0
        self._plans: dict[str, Callable[[Scene], Payments]] = {
            "account_takeover": self._account_takeover,
            "safe_account": self._safe_account,
            "task_scam": self._task_scam,
            "fake_investment": self._fake_investment,
            "grooming": self._grooming,
            "card_testing": self._card_testing,
            "cross_border_scam": self._cross_border_scam,
            "invoice_redirect": self._invoice_redirect,
        }

    def begin_late(self, rng: np.random.Generator, count: int, day: int) -> None:
        """Of so many kinds no attack begins before that day (since 1970-01-01): thieves who learned something new."""
        kinds = list(self._plans)
        self._late = frozenset(kinds[place] for place in rng.permutation(len(kinds))[:count].tolist())
        self._late_from = day

    def launch(self, rng: np.random.Generator, day: int) -> Payments:
        """The payments of one new attack that begins on that day, in no order; they may reach weeks ahead."""
        attack = self._draw(rng)
        while attack in self._late and day < self._late_from:
            attack = self._draw(rng)
        scene = Scene(rng, self._choose_victim(rng, attack, day), day, self._cases, self._pace)
        self._cases += 1
        rows = self._plans[attack](scene)
        stolen = rows["case"] >= 0
        rows["attack"][stolen] = ATTACK[attack]
        if self._disguise is not None:
            self._disguise.wear(rng, rows, scene.victim, day)
        return rows

    def _draw(self, rng: np.random.Generator) -> str:
        """The next kind of attack: rounds in which each comes at least once."""
        if not self._deck:
            one_each = [str(name) for name in rng.permutation(list(self._plans))]
            more = [str(name) for name in rng.permutation(DECK)]
            self._deck = (one_each + more)[::-1]
        return self._deck.pop()

    def _choose_victim(self, rng: np.random.Generator, attack: str, day: int) -> int:
        people = self._people
        risk = np.array((0.0, *RELATIVE_RISK[attack]))[people.age] * people.retail
        if attack == "invoice_redirect":
            risk = risk * 0.01 + (people.segment == ENTERPRISE)
        rested = people.last_attacked < day - REST_DAYS
        if (risk * rested).sum() > 0:
            risk = risk * rested
        victim = int(np.searchsorted(np.cumsum(risk), rng.random() * risk.sum(), side="right"))
        people.last_attacked[victim] = day
        return victim

    # --- the eight

    def _account_takeover(self, scene: Scene) -> Payments:
        """New device (or the victim's own), then most of the money in hours, to one or two mules."""
        rng, count = scene.rng, scene.count(2, 5)
        own = rng.random() < OWN_DEVICE
        start = self._moment(scene, "night" if rng.random() < 0.5 else "person")
        mules = [self._mules.recruit(rng, "person", scene.victim, scene.day) for _ in range(scene.count(1, 2))]
        if rng.random() < 0.25:
            mules[-1] = self._mules.recruit(rng, "broker", scene.victim, scene.day)
        payee = np.sort(rng.integers(0, len(mules), count))
        shares = rng.dirichlet(np.full(count, 3.0)) * 1.3 * np.exp(rng.normal(0, 0.8))
        rows = self._rows(
            scene, scene.burst(start, count, 20), np.array(mules)[payee], shares, "own_device" if own else "new_device"
        )
        self._finish(rng, rows, "online")
        rows["name_check"][kind_of(rows["payee"]) == WALLET] = CHECK["none"]
        if not own:
            rows["device"] = _THIEF_DEVICES + scene.case
            self._thief_place(rng, rows, abroad=0.1)
        return rows

    def _safe_account(self, scene: Scene) -> Payments:
        """ "Police" on the phone: haste, odd hours, savings broken first, to a stranger or a new company."""
        rng, count = scene.rng, scene.count(1, 4)
        start = self._moment(scene, "night" if rng.random() < 0.4 else "person")
        payee = self._mules.recruit(rng, "company" if rng.random() < 0.3 else "person", scene.victim, scene.day)
        shares = 0.9 * np.exp(rng.normal(0, 0.7, count))
        rows = self._rows(scene, scene.burst(start, count, 40), np.full(count, payee), shares, "transfer_out")
        self._finish(rng, rows, "transfer")
        if not self._people.second_account[scene.victim]:
            return rows
        savings = self._occasions.own_transfer(np.array([scene.victim]), rng, scene.day)
        savings["time"] = start - int(rng.integers(300_000, 3_600_000))
        savings["amount"] = round_amounts(np.array([float(rows["amount"].sum())]), 10_000)
        savings["second"] = True
        savings["kind"] = KIND["savings_broken"]
        rows["second"] = False
        return np.concatenate((savings, rows))

    def _task_scam(self, scene: Scene) -> Payments:
        """Fake orders: rising payments to changing persons within hours or a day."""
        rng, count = scene.rng, scene.count(4, 8)
        start = self._moment(scene, "online")
        mules = [self._mules.recruit(rng, "person", scene.victim, scene.day) for _ in range(scene.count(2, 4))]
        payee = np.array(mules)[np.sort(rng.integers(0, len(mules), count))]
        shares = rng.uniform(0.01, 0.03) * _growth(rng, 1.2, 2.4, count)
        rows = self._rows(scene, scene.burst(start, count, rng.uniform(20, 200)), payee, shares, "upfront")
        return self._finish(rng, rows, "transfer")

    def _fake_investment(self, scene: Scene) -> Payments:
        """Growing deposits over weeks at a broker that is none."""
        rng, count = scene.rng, scene.count(2, 5)
        front = ("broker", "company", "person")[int(rng.choice(3, p=[0.5, 0.3, 0.2]))]
        payee = self._mules.recruit(rng, front, scene.victim, scene.day)
        times = self._days(scene, scene.spread(count, 1, 6), "online")
        shares = rng.uniform(0.2, 0.7) * _growth(rng, 0.9, 1.9, count)
        rows = self._rows(scene, times, np.full(count, payee), shares, "large")
        self._finish(rng, rows, "transfer")
        if rng.random() < 0.35:
            rows["name_check"] = CHECK["no_match"]
        return rows

    def _grooming(self, scene: Scene) -> Payments:
        """Small presents to one person for weeks; then the emergency."""
        rng, small, large = scene.rng, scene.count(3, 5), scene.count(1, 3)
        recruit = self._mules.newcomer(rng, "person", scene.victim)
        payee = recruit if rng.random() < 0.7 else self._mules.recruit(rng, "person", scene.victim, scene.day)
        offsets = scene.spread(small + large, 3, 9)
        times = self._days(scene, offsets, "person")
        shares = np.concatenate((rng.uniform(0.01, 0.06, small), 0.8 * np.exp(rng.normal(0, 0.6, large))))
        rows = self._rows(scene, times, np.full(small + large, payee), shares, "small")
        rows["kind"][small:] = KIND["large"]
        return self._finish(rng, rows, "transfer")

    def _card_testing(self, scene: Scene) -> Payments:
        """Many tiny authorisations at one shop, then perhaps a purchase elsewhere."""
        rng, probes = scene.rng, scene.count(5, 12)
        charges = scene.count(1, 2) if rng.random() < 0.6 else 0
        home = self._people.home[np.full(probes + charges, scene.victim)]
        payee = self._shops.draw(rng, "online", home)
        payee[:probes] = self._shops.draw(rng, "small_online", home[:1])
        start = self._moment(scene, "night" if rng.random() < 0.5 else "online")
        times = scene.burst(start, probes + charges, 0.7)
        times[probes:] += scene.count(2, 90) * 60_000
        shares = np.concatenate((np.zeros(probes), rng.uniform(0.04, 0.4, charges)))
        rows = self._rows(scene, times, payee, shares, "probe")
        rows["amount"][:probes] = rng.integers(0, 500, probes) * (rng.random(probes) < 0.7)
        rows["kind"][probes:] = KIND["charge"]
        self._finish(rng, rows, "online", checked=False)
        rows["channel"] = CHANNEL["web"]
        rows["device"] = -1 if rng.random() < 0.5 else _THIEF_DEVICES + scene.case
        self._thief_place(rng, rows, abroad=0.4)
        return rows

    def _cross_border_scam(self, scene: Scene) -> Payments:
        """Customs, visa, a relative in need: money to a stranger abroad."""
        rng, count = scene.rng, scene.count(1, 3)
        front = "abroad" if rng.random() < 0.5 else "relative_abroad"
        payee = self._mules.recruit(rng, front, scene.victim, scene.day)
        times = self._days(scene, scene.spread(count, 0.1, 4), "person")
        rows = self._rows(scene, times, np.full(count, payee), 0.8 * np.exp(rng.normal(0, 0.7, count)), "transfer_out")
        rows["purpose"] = PURPOSE[str(rng.choice(["none", "tuition", "goods", "other"]))]
        return self._finish(rng, rows, "transfer")

    def _invoice_redirect(self, scene: Scene) -> Payments:
        """An invoice as ever, but the account under the old name is another."""
        rng, count, victim = scene.rng, scene.count(1, 2), scene.victim
        company = bool(self._people.company[victim])
        payee = self._mules.newcomer(rng, "company" if company else "person", victim)
        known = self._orders.invoices(victim) if not company else []
        if company:
            supplier = np.array([self._habits.favourite("supplier", victim, scene.count(0, 9))])
            usual = float(self._habits.usual_amounts("supplier", np.array([victim]), supplier)[0])
            purpose = "goods"
        elif known:
            _, usual, purpose = known[0]
        else:
            usual, purpose = 0.3 * float(self._people.income[victim]), "goods"
        times = self._days(scene, scene.spread(count, 1, 12), "office")
        rows = self._rows(scene, times, np.full(count, payee), np.zeros(count), "transfer_out")
        rows["amount"] = round_amounts(np.asarray(usual * np.exp(rng.normal(0.5, 0.5, count))), 1)
        rows["purpose"] = PURPOSE[purpose]
        self._finish(rng, rows, "transfer")
        checks = [CHECK[name] for name in ("no_match", "close", "match", "not_possible")]
        rows["name_check"] = rng.choice(checks, p=[0.5, 0.25, 0.15, 0.1])
        return rows

    # --- what they share

    def _moment(self, scene: Scene, profile: str) -> int:
        return int(local_times(scene.rng, self._people, np.array([scene.victim]), scene.day, profile)[0])

    def _days(self, scene: Scene, offsets: Integers, profile: str) -> Integers:
        victims = np.full(len(offsets), scene.victim)
        times = local_times(scene.rng, self._people, victims, scene.day, profile)
        return np.sort(times + offsets * DAY_MS)

    def _rows(self, scene: Scene, times: Integers, payee: Integers, shares: Floats, kind: str) -> Payments:
        """Rows with amounts as shares of a month's income, rounded as people round."""
        rows = blank(len(times))
        rows["customer"] = scene.victim
        rows["case"] = scene.case
        rows["time"] = times
        rows["payee"] = payee
        rows["kind"] = KIND[kind]
        amount = shares * float(self._people.income[scene.victim])
        rows["amount"] = np.where(
            scene.rng.random(len(times)) < 0.75, round_amounts(amount, 10_000), round_amounts(amount, 100)
        )
        return rows

    def _finish(self, rng: np.random.Generator, rows: Payments, way: str, checked: bool = True) -> Payments:
        """One account and one channel for the whole attack; the rest as in life."""
        channel = choose_channels(rng, self._people, rows["customer"][:1].astype(np.int64), way)
        complete(rng, rows, self._people, way, checked, self._salt, np.full(len(rows), channel[0]))
        rows["second"] = rows["second"][0]
        return rows

    def _thief_place(self, rng: np.random.Generator, rows: Payments, abroad: float) -> None:
        """Another city of the country, or a foreign one; position mostly hidden."""
        home = int(self._people.home[rows["customer"][0]])
        choices = FOREIGN_CITIES if rng.random() < abroad else CITIES_OF_COUNTRY[CITY_COUNTRY[home]]
        rows["place"] = home if rng.random() < 0.3 else choices[int(rng.integers(len(choices)))]
        rows["lat"], rows["lon"] = np.nan, np.nan


def _growth(rng: np.random.Generator, low: float, high: float, count: int) -> Floats:
    """Products of factors between the two: how payments rise from one to the next."""
    return np.asarray(np.cumprod(rng.uniform(low, high, count)), dtype=np.float64)
