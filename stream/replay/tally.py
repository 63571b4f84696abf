"""What a replay amounts to: decisions and alerts counted, and, where there is truth, what was caught and who was touched.

Memory is bounded by a week of scores, the pairs of account and payee, and the accounts; never by the history's length.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.ladder import CHALLENGE_LIGHT, CHALLENGE_STRONG, OUTCOMES, REMIND, REVIEW, RUNGS
from stream.core.columns import SCENARIOS
from stream.replay.detection import DAY_US, KNOWN_FROM, WEEK, Detection, Scored, mean, measure, without_known_cards
from stream.replay.engine import Step
from stream.replay.familiar_pairs import FamiliarPairs
from stream.replay.labels import FRAUD

WILLING = frozenset(
    ("safe_account", "task_scam", "fake_investment", "grooming", "cross_border_scam", "invoice_redirect", "scam")
)
"""Attacks in which the customer pays willingly: a challenge, however strong, does not stop them."""


def is_willing(attack: str) -> bool:
    """Whether the customer pays willingly in an attack of this name.

    >>> is_willing("romance_scam"), is_willing("account_takeover")
    (True, False)
    """
    return attack in WILLING or "scam" in attack


def caught(rung: npt.NDArray[np.uint8], willing: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which frauds these rungs catch: review and decline, a strong challenge unless the customer pays willingly.

    Parameters
    ----------
    rung
        uint8[n], ``rules.ladder.RUNGS``.
    willing
        bool[n].
    """
    stopped: npt.NDArray[np.bool_] = (rung >= REVIEW) | ((rung == CHALLENGE_STRONG) & ~willing)
    return stopped


class Weeks:
    """Detection by the protocol of known cards, a test week at a time.

    The first test week starts 14 days after the first event's day (or at ``start_day``, if later). A week is measured
    when event time has gone a day past it; an incomplete one is left out.
    """

    def __init__(self, start_day: int | None = None) -> None:
        self.measured: list[tuple[int, Detection]] = []
        self._start = start_day
        self._week: int | None = None
        self._latest = np.iinfo(np.int64).min
        self._parts: list[Scored] = []

    def add(self, scored: Scored) -> None:
        """Take events in order."""
        if not len(scored):
            return
        if self._week is None:
            first = int(scored.day[0]) + KNOWN_FROM
            self._week = first if self._start is None else max(first, self._start)
        self._parts.append(scored)
        self._latest = max(self._latest, int(scored.day.max()))
        while self._latest > self._week + WEEK:
            self._measure()

    def close(self) -> None:
        """The history ends: measure the last week if its last day has begun."""
        while self._week is not None and self._latest >= self._week + WEEK - 1:
            self._measure()

    def _measure(self) -> None:
        assert self._week is not None
        seen = Scored.joined(self._parts)
        self.measured.append((self._week, measure(without_known_cards(seen, self._week))))
        self._week += WEEK
        # of the days before the next week only the frauds are asked for
        self._parts = [seen.where((seen.day >= self._week) | (seen.fraud & (seen.day >= self._week - KNOWN_FROM)))]


@dataclass
class Tally:
    """Counts over all steps of a replay.

    Parameters
    ----------
    measure_from
        First day of the first test week, days since the epoch; None for as early as the protocol allows.
    """

    measure_from: int | None = None
    events: int = 0
    first_us: int | None = None
    last_us: int | None = None
    rungs: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(RUNGS), np.int64))
    scenarios: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((len(SCENARIOS), len(OUTCOMES)), np.int64)
    )
    models: int = 0
    labelled: bool = False
    frauds: int = 0
    caught: int = 0
    genuine: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(RUNGS), np.int64))
    familiar: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(RUNGS), np.int64))
    attacks: Counter[str] = field(default_factory=Counter)
    attacks_caught: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.weeks = Weeks(self.measure_from)
        self._pairs = FamiliarPairs()
        self._model = ""

    def add(self, step: Step) -> None:
        """Count a step."""
        verdicts, event_time = step.decided.verdicts, step.decided.received.transactions["event_time"]
        self.events += len(step)
        self.first_us = int(event_time.min()) if self.first_us is None else min(self.first_us, int(event_time.min()))
        self.last_us = int(event_time.max()) if self.last_us is None else max(self.last_us, int(event_time.max()))
        self.rungs += np.bincount(verdicts["rung"], minlength=len(RUNGS))
        np.add.at(self.scenarios, (verdicts["scenario"], verdicts["outcome"]), 1)
        if step.decider.model_version != self._model:
            self._model = step.decider.model_version
            self.models += 1
        if step.labels is not None:
            self.labelled = True
            self._add_truth(step, step.labels.fraud == FRAUD, step.labels.attack)

    def _add_truth(self, step: Step, fraud: npt.NDArray[np.bool_], attack: list[str]) -> None:
        transactions, verdicts = step.decided.received.transactions, step.decided.verdicts
        account, event_time = np.ascontiguousarray(transactions["account_hash"]), transactions["event_time"]
        times = np.ascontiguousarray(event_time)
        familiar = self._pairs.walk(account, np.ascontiguousarray(transactions["payee_hash"]), times, ~fraud)
        self.genuine += np.bincount(verdicts["rung"][~fraud], minlength=len(RUNGS))
        self.familiar += np.bincount(verdicts["rung"][familiar & ~fraud], minlength=len(RUNGS))
        places = np.flatnonzero(fraud)
        names = [attack[place] for place in places.tolist()]
        stopped = caught(verdicts["rung"][places], np.array([is_willing(name) for name in names], np.bool_))
        self.frauds += len(places)
        self.caught += int(np.count_nonzero(stopped))
        self.attacks.update(name or "unknown" for name in names)
        self.attacks_caught.update(name or "unknown" for name, hit in zip(names, stopped.tolist(), strict=True) if hit)
        self.weeks.add(Scored(times // DAY_US, account, verdicts["risk_ppm"] / 1e6, fraud))

    @property
    def days(self) -> float:
        """Event time from the first to the last event, days; at least one."""
        if self.first_us is None or self.last_us is None:
            return 1.0
        return max((self.last_us - self.first_us) / DAY_US, 1.0)

    def result(self) -> dict[str, Any]:
        """All of it as JSON values."""
        outcomes = self.scenarios.sum(axis=0)
        document: dict[str, Any] = {
            "decided": self.events,
            "outcomes": dict(zip(OUTCOMES, outcomes.tolist(), strict=True)),
            "rungs": dict(zip(RUNGS, self.rungs.tolist(), strict=True)),
            "alerts": int(self.rungs[REVIEW]),
            "alerts_per_day": round(int(self.rungs[REVIEW]) / self.days, 3),
            "models": self.models,
            "scenarios": {
                word: dict(zip(OUTCOMES, row, strict=True))
                for word, row in zip(SCENARIOS, self.scenarios.tolist(), strict=True)
                if sum(row)
            },
        }
        if self.labelled:
            document |= self._truth()
        return document

    def _truth(self) -> dict[str, Any]:
        self.weeks.close()
        genuine, touched = int(self.genuine.sum()), int(self.genuine[CHALLENGE_LIGHT:].sum())
        familiar, familiar_touched = int(self.familiar.sum()), int(self.familiar[CHALLENGE_LIGHT:].sum())
        return {
            "frauds": self.frauds,
            "caught": self.caught,
            "missed": self.frauds - self.caught,
            "recall": _ratio(self.caught, self.frauds),
            "attacks": {
                name: {"frauds": count, "caught": self.attacks_caught[name]}
                for name, count in sorted(self.attacks.items())
            },
            "genuine": genuine,
            "genuine_touched": touched,
            "genuine_reminded": int(self.genuine[REMIND]),
            "genuine_touched_per_10k": _ratio(10_000 * touched, genuine),
            "genuine_touched_per_fraud_caught": _ratio(touched, self.caught),
            "familiar": familiar,
            "familiar_touched": familiar_touched,
            "familiar_touched_per_10k": _ratio(10_000 * familiar_touched, familiar),
            "detection": _rounded(mean(week for _, week in self.weeks.measured)),
            "weeks": [{"start": str(np.datetime64(day, "D")), **_rounded(week)} for day, week in self.weeks.measured],
        }


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _rounded(detection: Detection) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int) else (None if np.isnan(value) else round(value, 5))
        for name, value in asdict(detection).items()
    }
