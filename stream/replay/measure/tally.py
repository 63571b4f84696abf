"""What a replay amounts to: decisions and alerts counted, and, where there is truth, what was caught and who was touched.

Memory is bounded by a week of scores, the pairs of account and payee, the accounts and what baselines may keep; never by
the history's length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.fired_rules import RuleInfo
from rules.ladder import CHALLENGE_LIGHT, CHALLENGE_STRONG, OUTCOMES, REMIND, REVIEW, RUNGS
from rules.pack import Budget
from stream.core.columns import AGE_BANDS, SCENARIOS, SEGMENTS
from stream.replay.measure.baselines import Baselines
from stream.replay.measure.by_account import ByAccount
from stream.replay.measure.detection import DAY_US, WEEK, Detection, Scored, mean
from stream.replay.measure.drift_report import DriftByWeek
from stream.replay.measure.familiar_friction import FamiliarFriction
from stream.replay.measure.familiar_pairs import FamiliarPairs
from stream.replay.measure.friction import Bools, counted, differences
from stream.replay.measure.judged import Judged
from stream.replay.measure.reliability import Reliability
from stream.replay.measure.review_load import ReviewLoad
from stream.replay.measure.weeks import Weeks
from stream.replay.measure.what_if import WhatIf
from stream.replay.source.labels import FRAUD, GENUINE, UNLABELLED, Labels

_NEVER = np.iinfo(np.int64).max // 2
Counts = npt.NDArray[np.int64]
CLEARED_DAYS = 90
"""As long as a cleared pair is left alone (``stream.core.account.account_row.CLEARED_S``)."""
FOUND = ("genuine", "touched", "frauds", "caught")
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


class Tally:
    """Counts over all steps of a replay.

    Parameters
    ----------
    measure_from
        First day of the first test week, days since the epoch; None for as early as the protocol allows.
    seed
        Of the intervals' resampling.
    budgets
        Alert budgets by scenario code; None for the defaults.
    baselines
        Fed with what has a label; None where nothing is to stand beside.
    rules
        Of the policy that decides, as compiled: then familiar friction is told by rule. None where it is not known.
    """

    def __init__(
        self,
        measure_from: int | None = None,
        seed: int = 42,
        budgets: Sequence[Budget] | None = None,
        baselines: Baselines | None = None,
        rules: Sequence[RuleInfo] | None = None,
    ) -> None:
        self.seed = seed
        self.baselines = baselines
        self.load = ReviewLoad([Budget()] * len(SCENARIOS) if budgets is None else budgets)
        minutes = np.array([budget.review_minutes for budget in self.load.budgets])
        self._review_ms = np.round(minutes * 60_000).astype(np.int64)
        self.obligations = 0
        self.cleared = 0
        self.events = 0
        self.models = 0
        self.labelled = False
        self.unlabelled = 0
        self.rungs = _zeros(len(RUNGS))
        self.genuine = _zeros(len(RUNGS))
        self.familiar = _zeros(len(RUNGS))
        self.scenarios = _zeros(len(SCENARIOS), len(OUTCOMES))
        self.found = _zeros(len(SCENARIOS), len(FOUND))
        self.ages = _zeros(len(AGE_BANDS), 2)
        self.segments = _zeros(len(SEGMENTS), 2)
        self.attacks: Counter[str] = Counter()
        self.attacks_caught: Counter[str] = Counter()
        self.again = 0
        self.again_pair = 0
        self.weeks = Weeks(measure_from)
        self.familiar_causes = None if rules is None else FamiliarFriction(rules)
        self.accounts = ByAccount()
        self.what_if = WhatIf()
        self.reliability = Reliability()
        self.drift = DriftByWeek()
        self._pairs = FamiliarPairs()
        self._touched_last: dict[int, int] = {}
        self._touched_pair: dict[tuple[int, int], int] = {}
        self._first_us, self._last_us = _NEVER, -_NEVER
        self._model = ""

    def add(self, step: Judged) -> None:
        """Count a step."""
        verdicts, event_time = step.verdicts, step.transactions["event_time"]
        self.events += len(step)
        self._first_us = min(self._first_us, int(event_time.min()))
        self._last_us = max(self._last_us, int(event_time.max()))
        self.rungs += np.bincount(verdicts["rung"], minlength=len(RUNGS))
        kinds = verdicts["scenario"].astype(np.int64) * len(OUTCOMES) + verdicts["outcome"]
        self.scenarios += np.bincount(kinds, minlength=self.scenarios.size).reshape(self.scenarios.shape)
        self.obligations += int(np.count_nonzero(verdicts["obligation"]))
        self.cleared += int(np.count_nonzero(verdicts["cleared"]))
        self.load.add(verdicts, step.transactions, step.labels)
        if step.model_version != self._model:
            self._model = step.model_version
            self.models += 1
        if step.labels is not None:
            self.labelled = True
            self._add_truth(step, step.labels)

    def _add_truth(self, step: Judged, labels: Labels) -> None:
        """Count what is known; a payment without a label is neither fraud nor genuine."""
        transactions, rung = step.transactions, step.verdicts["rung"]
        account, times = (np.ascontiguousarray(transactions[name]) for name in ("account_hash", "event_time"))
        fraud, genuine = labels.fraud == FRAUD, labels.fraud == GENUINE
        self.unlabelled += int(np.count_nonzero(labels.fraud == UNLABELLED))
        familiar = self._pairs.walk(account, np.ascontiguousarray(transactions["payee_hash"]), times, genuine)
        touched = rung >= CHALLENGE_LIGHT
        stopped = self._attacks(rung, fraud, labels.attack)
        self.genuine += np.bincount(rung[genuine], minlength=len(RUNGS))
        self.familiar += np.bincount(rung[familiar & genuine], minlength=len(RUNGS))
        if self.familiar_causes is not None:
            self.familiar_causes.add(step.verdicts[familiar & genuine & touched])
        self.accounts.add(account, counted(touched, stopped, fraud, genuine, familiar))
        review_ms = self._review_ms[step.verdicts["scenario"]]
        self.what_if.add(step.verdicts["risk_ppm"], labels.fraud, familiar, review_ms)
        if self.baselines is not None:
            self.baselines.add(step, familiar)
        known = fraud | genuine
        self.reliability.add(step.verdicts["scenario"][known], step.verdicts["risk_ppm"][known], fraud[known])
        scored = Scored(times // DAY_US, account, step.verdicts["risk_ppm"] / 1e6, fraud)
        self.weeks.add(scored if known.all() else scored.where(known))
        everything = np.ones(len(step), np.bool_)
        weekly = (everything, genuine, genuine & touched, fraud, stopped, rung == REVIEW)
        self.drift.add(times, step.verdicts["risk_ppm"], np.column_stack(weekly))
        self._add_groups(step, np.column_stack((genuine, genuine & touched, fraud, stopped)))
        asked = touched & genuine
        self._count_again(account[asked].tolist(), times[asked].tolist(), transactions["payee_hash"][asked].tolist())

    def _add_groups(self, step: Judged, found: npt.NDArray[np.bool_]) -> None:
        """bool[n, columns of FOUND], by scenario, and the genuine ones by age and segment."""
        self.found += _sums(step.verdicts["scenario"], found, len(SCENARIOS))
        for table, name in ((self.ages, "age_band"), (self.segments, "segment")):
            table += _sums(step.group(name), found[:, :2], len(table))

    def _attacks(self, rung: npt.NDArray[np.uint8], fraud: Bools, attack: list[str]) -> Bools:
        """Count frauds by attack; returns which events are frauds that were caught."""
        places = np.flatnonzero(fraud)
        names = [attack[place] for place in places.tolist()]
        hits = caught(rung[places], np.array([is_willing(name) for name in names], np.bool_))
        self.attacks.update(name or "unknown" for name in names)
        self.attacks_caught.update(name or "unknown" for name, hit in zip(names, hits.tolist(), strict=True) if hit)
        stopped = np.zeros(len(fraud), np.bool_)
        stopped[places] = hits
        return stopped

    def _count_again(self, accounts: list[int], times: list[int], payees: list[int]) -> None:
        """Genuine touches that follow another: of the account within a week, of account and payee within 90 days."""
        for account, time, payee in zip(accounts, times, payees, strict=True):
            before = self._touched_last.get(account)
            if before is not None and time - before <= WEEK * DAY_US:
                self.again += 1
            self._touched_last[account] = time
            if payee:
                before = self._touched_pair.get((account, payee))
                if before is not None and time - before <= CLEARED_DAYS * DAY_US:
                    self.again_pair += 1
                self._touched_pair[account, payee] = time

    def less(self, champion: Tally) -> dict[str, Any]:
        """95 % intervals of this tally's figures less the champion's, as JSON values; nothing without labels."""
        if not self.labelled:
            return {}
        spans = differences(champion.accounts.table(), self.accounts.table(), self.seed)
        return {"difference95": {name: [_finite(span.low), _finite(span.high)] for name, span in spans.items()}}

    @property
    def days(self) -> float:
        """Event time from the first to the last event, days; at least one."""
        return max((self._last_us - self._first_us) / DAY_US, 1.0)

    def result(self) -> dict[str, Any]:
        """All of it as JSON values."""
        outcomes = self.scenarios.sum(axis=0)
        document: dict[str, Any] = {
            "decided": self.events,
            "outcomes": dict(zip(OUTCOMES, outcomes.tolist(), strict=True)),
            "rungs": dict(zip(RUNGS, self.rungs.tolist(), strict=True)),
            "from": _day(self._first_us) if self.events else None,
            "to": _day(self._last_us) if self.events else None,
            "alerts": int(self.rungs[REVIEW]),
            "alerts_per_day": round(int(self.rungs[REVIEW]) / self.days, 3),
            "alert_load": self.load.result(),
            "obligations": self.obligations,
            "cleared": self.cleared,
            "models": self.models,
            "scenarios": {
                word: dict(zip(OUTCOMES, self.scenarios[place].tolist(), strict=True)) | self._scenario(place)
                for place, word in enumerate(SCENARIOS)
                if self.scenarios[place].any()
            },
        }
        if self.labelled:
            document |= self._truth()
        return document

    def _scenario(self, place: int) -> dict[str, int]:
        return dict(zip(FOUND, self.found[place].tolist(), strict=True)) if self.labelled else {}

    def _truth(self) -> dict[str, Any]:
        self.weeks.close()
        frauds, stopped = int(self.found[:, 2].sum()), int(self.found[:, 3].sum())
        genuine, touched = int(self.genuine.sum()), int(self.genuine[CHALLENGE_LIGHT:].sum())
        familiar, familiar_touched = int(self.familiar.sum()), int(self.familiar[CHALLENGE_LIGHT:].sum())
        return {
            "frauds": frauds,
            "caught": stopped,
            "missed": frauds - stopped,
            "recall": _ratio(stopped, frauds),
            "attacks": {
                name: {"frauds": count, "caught": self.attacks_caught[name]}
                for name, count in sorted(self.attacks.items())
            },
            "unlabelled": self.unlabelled,
            "genuine": genuine,
            "genuine_touched": touched,
            "genuine_touched_by_rung": dict(zip(RUNGS[2:], self.genuine[CHALLENGE_LIGHT:].tolist(), strict=True)),
            "genuine_reminded": int(self.genuine[REMIND]),
            "genuine_touched_per_10k": _ratio(10_000 * touched, genuine),
            "genuine_touched_per_fraud_caught": _ratio(touched, stopped),
            "touched_again_7d": _ratio(self.again, touched),
            "touched_again_same_payee_90d": _ratio(self.again_pair, touched),
            "familiar": familiar,
            "familiar_touched": familiar_touched,
            "familiar_touched_per_10k": _ratio(10_000 * familiar_touched, familiar),
            **self._familiar_causes(familiar),
            "interval95": {
                name: [_finite(span.low), _finite(span.high)]
                for name, span in self.accounts.intervals(self.seed).items()
            },
            "touched_per_10k_by_age": _per_10k(self.ages, AGE_BANDS),
            "touched_per_10k_by_segment": _per_10k(self.segments, SEGMENTS),
            **({} if self.baselines is None else {"baselines": self.baselines.result(self.seed)}),
            "what_if": self.what_if.table(self.days),
            "calibration": self.what_if.calibration(),
            "calibration_by_scenario": self.reliability.table(),
            "drift": self.drift.table(),
            "detection": _rounded(mean(week for _, week in self.weeks.measured)),
            "weeks": [{"start": str(np.datetime64(day, "D")), **_rounded(week)} for day, week in self.weeks.measured],
        }

    def _familiar_causes(self, familiar: int) -> dict[str, Any]:
        return {} if self.familiar_causes is None else {"familiar_touched_by": self.familiar_causes.table(familiar)}


def _zeros(*shape: int) -> Counts:
    return np.zeros(shape, np.int64)


def _sums(group: npt.NDArray[Any], flags: npt.NDArray[np.bool_], groups: int) -> Counts:
    """How often each flag is set in each group, int64[groups, flags]."""
    return np.column_stack([np.bincount(group[column], minlength=groups) for column in flags.T])


def _per_10k(table: Counts, words: tuple[str, ...]) -> dict[str, float | None]:
    """Genuine touched per 10,000 genuine of each group that is there."""
    return {
        word: _ratio(10_000 * touched, genuine)
        for word, (genuine, touched) in zip(words, table.tolist(), strict=True)
        if genuine
    }


def _day(time_us: int) -> str:
    return str(np.datetime64(time_us, "us").astype("M8[D]"))


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 4) if whole else None


def _finite(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _rounded(detection: Detection) -> dict[str, Any]:
    return {
        name: value if isinstance(value, int) else (None if np.isnan(value) else round(value, 5))
        for name, value in asdict(detection).items()
    }
