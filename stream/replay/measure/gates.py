"""Gates for continuous integration: a limit on a figure of a replay, and whether it holds.

``friction > 1.1x champion`` fails a policy change that touches a tenth more genuine customers than the policy it
replaces; ``recall < 0.7`` one that finds too little.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from stream.errors import UsageError

FIGURES: dict[str, tuple[str, ...]] = {
    "friction": ("genuine_touched_per_10k",),
    "touched_per_fraud": ("genuine_touched_per_fraud_caught",),
    "familiar_friction": ("familiar_touched_per_10k",),
    "reminded": ("genuine_reminded",),
    "recall": ("recall",),
    "missed": ("missed",),
    "caught": ("caught",),
    "alerts": ("alerts",),
    "alerts_per_day": ("alerts_per_day",),
    "ap": ("detection", "ap"),
    "auc": ("detection", "auc"),
    "cp100": ("detection", "cp100"),
    "ece": ("detection", "ece"),
}
"""What a gate may name, and where it stands in the summary."""
_OF = {"missed": "frauds", "caught": "frauds", "reminded": "genuine"}
"""Counts that say nothing where there was nothing to count among, and where that number stands."""
_GATE = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*([0-9]*\.?[0-9]+)\s*(x\s*champion)?\s*")


@dataclass(frozen=True, slots=True)
class Gate:
    """One limit.

    Parameters
    ----------
    text
        As it was written.
    figure
        A key of :data:`FIGURES`.
    relation
        ``<``, ``<=``, ``>`` or ``>=``: the gate fails where the figure stands so to the limit.
    number
        The limit, or how many times the champion's figure it is.
    relative
        Whether it is the latter.
    """

    text: str
    figure: str
    relation: str
    number: float
    relative: bool

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read a gate.

        Raises
        ------
        UsageError
            Not of the form ``FIGURE RELATION NUMBER`` or ``FIGURE RELATION NUMBERx champion``.

        >>> gate = Gate.parse("friction > 1.1x champion")
        >>> gate.figure, gate.relation, gate.number, gate.relative
        ('friction', '>', 1.1, True)
        """
        match = _GATE.fullmatch(text)
        if match is None or match[1] not in FIGURES:
            raise UsageError(
                f"--fail-if {text!r}: write FIGURE < NUMBER, or FIGURE > NUMBERx champion; figures: {', '.join(FIGURES)}"
            )
        return cls(text.strip(), match[1], match[2], float(match[3]), match[4] is not None)

    def check(self, summary: Mapping[str, Any], champion: Mapping[str, Any] | None) -> Result:
        """Whether the gate fails on a replay's summary; a figure that was not measured fails it.

        >>> Gate.parse("recall < 0.7").check({"recall": 0.65}, None).failed
        True
        """
        value, limit = _figure(summary, self.figure), self.number
        if self.relative:
            against = None if champion is None else _figure(champion, self.figure)
            if against is None:
                return Result(self.text, value, None, True)
            limit *= against
        failed = value is None or _satisfies(value, self.relation, limit)
        return Result(self.text, value, limit, failed)


@dataclass(frozen=True, slots=True)
class Result:
    """What a gate said; ``value`` or ``limit`` is None where it was not measured."""

    gate: str
    value: float | None
    limit: float | None
    failed: bool

    def __str__(self) -> str:
        value = "not measured" if self.value is None else f"{self.value:g}"
        limit = "not measured" if self.limit is None else f"{self.limit:g}"
        return f"{'FAILED' if self.failed else 'passed'}: {self.gate} (is {value}, limit {limit})"


def check_all(gates: list[Gate], summary: dict[str, Any]) -> list[Result]:
    """Check gates on a summary, and write into it (``gates``) what they said."""
    results = [gate.check(summary, summary.get("champion")) for gate in gates]
    if results:
        summary["gates"] = [asdict(result) for result in results]
    return results


def _figure(summary: Mapping[str, Any], name: str) -> float | None:
    if name in _OF and not summary.get(_OF[name]):
        return None
    found: Any = summary
    for key in FIGURES[name]:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def _satisfies(value: float, relation: str, limit: float) -> bool:
    if relation == "<":
        return value < limit
    if relation == "<=":
        return value <= limit
    return value > limit if relation == ">" else value >= limit
