"""Who touched familiar life: genuine payments between familiar pairs, by what challenged, held or declined them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.fired_rules import RuleInfo
from rules.precedence import DENY, WATCH

MODEL_ALONE, FAILED_DEPENDENCY, LISTED = "model_alone", "failed_dependency", "listed"
"""What touched a payment where no rule did, nor pushed: the model's risk, a failed dependency's floor, a list."""


class FamiliarFriction:
    """Counts of touched familiar payments by what touched them.

    A hard rule that decided stands alone. Else every rule that fired and added to the risk is named, so that a payment may
    count under several; where none did it was the model alone.

    Parameters
    ----------
    rules
        Of the compiled policy, in the order of a verdict's ``fired`` mask.
    """

    def __init__(self, rules: Sequence[RuleInfo]) -> None:
        self._rules = tuple(rules)
        self._touched: Counter[str] = Counter()

    def add(self, verdicts: npt.NDArray[np.void]) -> None:
        """Count verdicts, ``rules.compiled_policy.VERDICT`` [n], of touched genuine payments of familiar pairs."""
        for verdict in verdicts:
            self._touched.update(self._causes(verdict))

    def table(self, familiar: int) -> list[dict[str, Any]]:
        """The causes, the most frequent first: ``cause``, ``touched``, ``per_10k`` of ``familiar`` genuine payments."""
        ordered = sorted(self._touched.items(), key=lambda cause: (-cause[1], cause[0]))
        return [
            {"cause": cause, "touched": count, "per_10k": round(10_000 * count / familiar, 4)}
            for cause, count in ordered
        ]

    def _causes(self, verdict: np.void) -> list[str]:
        if verdict["hard_rule"] >= 0:
            return [self._rules[int(verdict["hard_rule"])].id]
        if verdict["list_mark"] in (DENY, WATCH):
            return [LISTED]
        fired = np.flatnonzero(np.unpackbits(verdict["fired"], bitorder="little")).tolist()
        pushed = [self._rules[place].id for place in fired if self._rules[place].weight_milli > 0]
        if pushed:
            return pushed
        return [FAILED_DEPENDENCY if verdict["degraded"] else MODEL_ALONE]
