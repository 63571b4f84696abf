"""Engines at equal recall: each one's threshold is chosen on the period before the one it is tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stream.replay.measure.friction import (
    RECALLS,
    Bools,
    EventTruth,
    Floats,
    bootstrap,
    measure,
    threshold_at_recall,
    touched_again,
)


@dataclass(frozen=True, slots=True)
class Periods:
    """Where learning ends, where thresholds are chosen, where they are tested.

    Parameters
    ----------
    learned, chosen, tested
        bool[n].
    threshold_us, test_us
        Where the last two begin, µs.
    """

    learned: Bools
    chosen: Bools
    tested: Bools
    threshold_us: int
    test_us: int

    @classmethod
    def of(
        cls,
        event_time: npt.NDArray[np.int64],
        delay_us: int,
        threshold_us: int | None = None,
        test_us: int | None = None,
    ) -> Periods:
        """The last quarter is tested, the one before it chooses thresholds, unless told otherwise.

        Learned from is what was labelled before the thresholds are chosen.

        Parameters
        ----------
        event_time
            int64[n], µs; at least one.
        delay_us
            Age at which a label is known, µs.
        threshold_us, test_us
            None: the last third before the test period; the last quarter.

        Raises
        ------
        ValueError
            The three do not lie one after the other within the history.

        Examples
        --------
        >>> periods = Periods.of(np.arange(9) * 10, 20)
        >>> [np.flatnonzero(part).tolist() for part in (periods.learned, periods.chosen, periods.tested)]
        [[0, 1], [4, 5], [6, 7, 8]]
        """
        first, last = int(event_time.min()), int(event_time.max())
        test = first + (last - first) * 3 // 4 if test_us is None else test_us
        threshold = first + (test - first) * 2 // 3 if threshold_us is None else threshold_us
        if not first < threshold < test <= last:
            raise ValueError("the history must begin before thresholds are chosen, and that lie before the test period")
        chosen = (event_time >= threshold) & (event_time < test)
        return cls(event_time < threshold - delay_us, chosen, event_time >= test, threshold, test)


def at_equal_recall(scores: Mapping[str, Floats], truth: EventTruth, split: Periods, seed: int) -> dict[str, Any]:
    """Each engine at each of ``friction.RECALLS``, as JSON values, with what was tested.

    Parameters
    ----------
    scores
        float64[n] by the engine's name; higher is riskier.
    seed
        Of the intervals, which resample whole accounts.
    """
    tested = truth.where(split.tested)
    return {
        "threshold_from": _day(split.threshold_us),
        "test_from": _day(split.test_us),
        "tested": {
            "events": len(tested),
            "frauds": int(tested.fraud.sum()),
            "familiar": int((tested.familiar & ~tested.fraud).sum()),
            "familiar_frauds": int((tested.familiar & tested.fraud).sum()),
        },
        "recall": {
            f"{recall:.2f}": {name: _figures(score, truth, split, recall, seed) for name, score in scores.items()}
            for recall in RECALLS
        },
    }


def _figures(score: Floats, truth: EventTruth, split: Periods, recall: float, seed: int) -> dict[str, Any]:
    """One engine at one recall."""
    threshold = threshold_at_recall(score[split.chosen], truth.fraud[split.chosen], recall)
    tested = truth.where(split.tested)
    touched = score[split.tested] >= threshold
    friction = measure(touched, tested)
    spans = bootstrap(touched, tested, seed)
    return {
        "touched_per_fraud": _number(friction.touched_per_fraud),
        "per_10k": _number(friction.per_10k),
        "familiar_per_10k": _number(friction.familiar_per_10k),
        "familiar_recall": _number(friction.familiar_recall),
        "recall": _number(friction.recall),
        "touched": friction.touched,
        "familiar_touched": friction.familiar_touched,
        "caught": friction.caught,
        "touched_again_7d": _number(touched_again(touched, tested)),
        "interval95": {name: [_number(span.low), _number(span.high)] for name, span in spans.items()},
        "threshold": _number(threshold),
        "own_threshold": _own_threshold(score[split.tested], tested, recall),
    }


def _own_threshold(score: Floats, tested: EventTruth, recall: float) -> dict[str, Any]:
    """The same at exactly this recall, by the test period's own quantile: what an outside check may take."""
    friction = measure(score >= threshold_at_recall(score, tested.fraud, recall), tested)
    names = ("touched_per_fraud", "per_10k", "familiar_per_10k", "familiar_recall")
    return {name: _number(getattr(friction, name)) for name in names}


def _number(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _day(time_us: int) -> str:
    return str(np.datetime64(time_us, "us"))[:10]
