"""Champion and challenger over the same history: which outcomes flip, with examples, and what became of them.

Both replay the whole history, each with a learner of its own (what a policy suspects is kept from the models of what
is normal). They cut it at the same places, so their steps go side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from rules.compiled_policy import CompiledPolicy
from rules.ladder import RUNGS
from stream.core.columns import SCENARIOS
from stream.core.decision.render import instants
from stream.replay.measure.judged import Judged
from stream.replay.source.labels import FRAUD
from stream.replay.source.sources import Chunk, History
from stream.replay.walk.engine import FileReplay, WalkedRun
from stream.replay.walk.file_walk import Intake, read

REASONS = 8
EXAMPLES = 3
"""Examples kept of each kind of flip: the first ones in the file."""


@dataclass
class Flip:
    """Decisions that one pair of rungs stands for.

    Parameters
    ----------
    champion, challenger
        Words of ``rules.ladder.RUNGS``.
    count, frauds
        How many, and how many of them the truth calls fraud (0 without labels).
    examples
        The first few, as JSON values.
    why
        How often which reason: rules that fire on one side only, another risk or familiarity, else a threshold.
    """

    champion: str
    challenger: str
    count: int = 0
    frauds: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)
    why: Counter[str] = field(default_factory=Counter)


class Compared(Judged, Protocol):
    """One side's decisions."""

    @property
    def compiled(self) -> CompiledPolicy:
        """The policy that decided."""


class Comparison:
    """Flips between two policies.

    >>> Comparison().result()
    {'decisions': 0, 'flipped': 0, 'flips': []}
    """

    def __init__(self) -> None:
        self.decisions = 0
        self._flips: dict[tuple[int, int], Flip] = {}

    def add(self, champion: Compared, challenger: Compared) -> None:
        """Compare two steps about the same transactions."""
        before, after = champion.verdicts["rung"], challenger.verdicts["rung"]
        self.decisions += len(champion)
        fraud = np.zeros(len(champion), np.bool_) if champion.labels is None else champion.labels.fraud == FRAUD
        for row in np.flatnonzero(before != after).tolist():
            kind = int(before[row]), int(after[row])
            flip = self._flips.setdefault(kind, Flip(RUNGS[kind[0]], RUNGS[kind[1]]))
            flip.count += 1
            flip.frauds += bool(fraud[row])
            sides = _reading(champion, row), _reading(challenger, row)
            flip.why[_why(*sides)] += 1
            if len(flip.examples) < EXAMPLES:
                truth = None if champion.labels is None else bool(fraud[row])
                flip.examples.append(_example(champion, row, truth, *sides))

    def result(self) -> dict[str, Any]:
        """JSON values, the most frequent flip first."""
        flips = sorted(self._flips.items(), key=lambda item: (-item[1].count, item[0]))
        return {
            "decisions": self.decisions,
            "flipped": sum(flip.count for _, flip in flips),
            "flips": [
                {
                    "champion": flip.champion,
                    "challenger": flip.challenger,
                    "count": flip.count,
                    "frauds": flip.frauds,
                    "why": dict(sorted(flip.why.items(), key=lambda item: (-item[1], item[0]))[:REASONS]),
                    "examples": flip.examples,
                }
                for _, flip in flips
            ],
        }


def _why(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Why an outcome flipped, in words."""
    if before["hard_rule"] != after["hard_rule"]:
        return f"hard rule {before['hard_rule'] or 'none'} → {after['hard_rule'] or 'none'}"
    gone = [f"−{rule}" for rule in before["rules"] if rule not in after["rules"]]
    come = [f"+{rule}" for rule in after["rules"] if rule not in before["rules"]]
    if gone or come:
        return "rules " + " ".join([*come, *gone])
    if before["familiarity_ppm"] != after["familiarity_ppm"]:
        return "another familiarity"
    return "another threshold" if before["risk_ppm"] == after["risk_ppm"] else "another risk"


def _example(
    champion: Compared, row: int, fraud: bool | None, before: dict[str, Any], after: dict[str, Any]
) -> dict[str, Any]:
    transaction = champion.transactions[row]
    return {
        "transaction_id": transaction["transaction_id"].decode(),
        "event_time": instants(transaction["event_time"].reshape(1))[0].decode() + "Z",
        "scenario": SCENARIOS[champion.verdicts["scenario"][row]],
        "amount_minor": int(transaction["amount_minor"]),
        "fraud": fraud,
        "champion": before,
        "challenger": after,
        "why": _why(before, after),
    }


def _reading(step: Compared, row: int) -> dict[str, Any]:
    """What one side saw: risk, familiarity, the rules that fired."""
    verdict, compiled = step.verdicts[row], step.compiled
    hard = int(verdict["hard_rule"])
    return {
        "risk_ppm": int(verdict["risk_ppm"]),
        "familiarity_ppm": int(verdict["familiarity_ppm"]),
        "rules": [rule.id for rule in compiled.fired_rules(verdict["fired"])],
        "hard_rule": compiled.rules[hard].id if hard >= 0 else None,
    }


def compare(
    source: History,
    champion: FileReplay,
    challenger: FileReplay,
    listeners: Sequence[Callable[[WalkedRun, WalkedRun], None]],
    *,
    limit: int | None = None,
    chunk_rows: int | None = None,
    on_chunk: Callable[[Chunk], None] = lambda chunk: None,
    intake: Intake | None = None,
) -> Intake:
    """Walk a source through both engines; listeners are called with (champion's step, challenger's step).

    Both engines must have the same settings, so that their steps fall on the same rows; familiarity may differ.
    """
    alike = replace(champion.settings, familiarity=challenger.settings.familiarity)
    assert alike == challenger.settings, "steps of other settings would not go side by side"
    intake = Intake() if intake is None else intake
    for chunk in read(source, intake, limit=limit, chunk_rows=chunk_rows):
        for before, after in zip(champion.feed(chunk), challenger.feed(chunk), strict=True):
            for listen in listeners:
                listen(before, after)
        on_chunk(chunk)
    return intake
