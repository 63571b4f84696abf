"""Baselines of a replay: what a scorecard and a blanket amount rule would have touched, finding as much fraud.

They see the payments and labels that the engine saw; their thresholds are chosen on the period before the test period,
as is the engine's (``equal_recall.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.replay.measure.equal_recall import Periods, at_equal_recall
from stream.replay.measure.friction import Bools, EventTruth, Floats
from stream.replay.measure.judged import Judged
from stream.replay.measure.scorecard import CARD, scorecard
from stream.replay.source.labels import FRAUD, UNLABELLED

KEPT = np.dtype(
    [("event_time", "i8"), ("account", "u8"), ("risk_ppm", "i4"), ("fraud", "?"), ("familiar", "?"), ("card", "f4", (len(CARD),))]
)  # fmt: skip
"""What is kept of a payment: 62 bytes."""
KEPT_ALONE = np.dtype(KEPT.descr[:-1])
"""The same without what a scorecard needs: 22 bytes."""
LIMIT = 2_000_000
"""Payments kept: 124 MB."""
ENGINE = "riskstream"
"""The engine's own name beside the baselines."""


class Baselines:
    """Payments of known truth with their risk, for figures at equal recall.

    At most so many payments are kept: beyond that, half of the accounts are let go of, as often as it takes, by a hash of
    the account. An account stays with all its payments or with none, and the engine stands beside the baselines on the
    same accounts, so what is compared stays fair; ``accounts_share`` says how many stayed.

    Parameters
    ----------
    delay_us
        Age at which a label is known, µs: the scorecard is fitted on payments that old.
    test_us
        Where the test period begins, µs since the epoch; None for the last quarter.
    limit
        Payments kept; None for all of them.
    alone
        Keep what the engine's own figures need, and no more: of a champion, whose challenger keeps the rest.
    """

    def __init__(
        self, delay_us: int, test_us: int | None = None, limit: int | None = LIMIT, *, alone: bool = False
    ) -> None:
        self.delay_us, self.test_us, self.limit, self.alone = delay_us, test_us, limit, alone
        self._kept = np.zeros(1024, KEPT_ALONE if alone else KEPT)
        self._count = 0
        self._halvings = 0

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kept": self.payments.copy()}

    @property
    def payments(self) -> npt.NDArray[np.void]:
        """What is kept, in the order of the history: :data:`KEPT` [n]."""
        return self._kept[: self._count]

    @property
    def accounts_share(self) -> float:
        """Share of the accounts that is kept."""
        return 0.5**self._halvings

    def add(self, step: Judged, familiar: Bools) -> None:
        """Keep a step's payments whose label is known; familiar is bool[n]."""
        assert step.labels is not None, "baselines are measured against labels"
        transactions, fraud = step.transactions, step.labels.fraud
        known = (fraud != UNLABELLED) & self._stays(np.ascontiguousarray(transactions["account_hash"]))
        start, stop = self._count, self._count + int(np.count_nonzero(known))
        self._reserve(stop)
        rows = self._kept[start:stop]
        rows["event_time"] = transactions["event_time"][known]
        rows["account"] = transactions["account_hash"][known]
        rows["risk_ppm"] = step.verdicts["risk_ppm"][known]
        rows["fraud"], rows["familiar"] = fraud[known] == FRAUD, familiar[known]
        if not self.alone:
            rows["card"] = step.card()[known]
        self._count = stop
        while self.limit is not None and self._count > self.limit:
            self._halvings += 1
            stays = self.payments[self._stays(np.ascontiguousarray(self.payments["account"]))]
            self._kept[: len(stays)] = stays
            self._count = len(stays)

    def result(self, seed: int) -> dict[str, Any]:
        """The engine and the baselines at equal recall, as JSON values.

        Where that cannot be measured, ``recall`` is empty and ``left_out`` says why.

        Parameters
        ----------
        seed
            Of the intervals.
        """
        document: dict[str, Any] = {"accounts_share": self.accounts_share, "recall": {}}
        if not self._count:
            return document | {"left_out": "no payment with a label"}
        payments = self.payments
        truth = truth_of(payments)
        try:
            split = Periods.of(truth.event_time, self.delay_us, test_us=self.test_us)
        except ValueError as error:
            return document | {"left_out": str(error)}
        for words, period in (
            ("what was labelled before thresholds are chosen", split.learned),
            ("the period that chooses thresholds", split.chosen),
            ("the test period", split.tested),
        ):
            fraud = truth.fraud[period]
            if not fraud.any() or fraud.all():
                return document | {"left_out": f"{words} has no {'genuine payment' if fraud.any() else 'fraud'}"}
        scores: dict[str, Floats] = {ENGINE: payments["risk_ppm"].astype(np.float64)}
        if not self.alone:
            scores |= baseline_scores(payments, truth.fraud, split.learned)
        return document | at_equal_recall(scores, truth, split, seed)

    def _stays(self, accounts: npt.NDArray[np.uint64]) -> Bools:
        """Which accounts are kept: those whose mixed hash begins with as many zeros as there were halvings."""
        if not self._halvings:
            return np.ones(len(accounts), np.bool_)
        mixed = accounts * np.uint64(0x9E3779B97F4A7C15)  # Knuth's multiplicative hash; wraps as it should
        stays: Bools = mixed >> np.uint64(64 - self._halvings) == 0
        return stays

    def _reserve(self, needed: int) -> None:
        if needed > len(self._kept):
            grown = np.zeros(max(needed, 2 * len(self._kept)), self._kept.dtype)
            grown[: self._count] = self.payments
            self._kept = grown


def beside(own: Mapping[str, Any], name: str, champion: Mapping[str, Any]) -> dict[str, Any]:
    """A result with the engine of another, of the same payments, under a name of its own behind the engine's.

    >>> beside({"recall": {"0.80": {"riskstream": 1, "blanket": 2}}}, "champion", {"recall": {"0.80": {"riskstream": 3}}})
    {'recall': {'0.80': {'riskstream': 1, 'champion': 3, 'blanket': 2}}}
    """
    recalls = {
        recall: {ENGINE: engines[ENGINE], name: champion["recall"][recall][ENGINE], **engines}
        for recall, engines in own["recall"].items()
    }
    return {**own, "recall": recalls}


def truth_of(payments: npt.NDArray[np.void]) -> EventTruth:
    """The truth of kept payments."""
    return EventTruth(
        *(np.ascontiguousarray(payments[name]) for name in ("event_time", "account", "fraud", "familiar"))
    )


def baseline_scores(payments: npt.NDArray[np.void], fraud: Bools, learned: Bools) -> dict[str, Floats]:
    """Scores of the scorecard and of the blanket amount rule: the amount in the policy's reference currency."""
    amount = payments["card"][:, CARD.index("amount_reference")].astype(np.float64)
    return {"scorecard": scorecard(payments["card"], fraud, learned), "blanket": np.nan_to_num(amount)}
