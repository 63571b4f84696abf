"""What a batch of each hop counted, to be added to the metrics once it is committed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Protocol

from stream.core.account.account_reversal import RESULTS
from stream.core.decision.decide import Decided
from stream.log.records import Place


class HopMetrics(Protocol):
    """Where batches are counted."""

    def counted(self, counts: BatchTallies) -> None:
        """A batch of the accounts hop was committed."""

    def decided(self, batch: Sequence[Decided]) -> None:
        """A batch of the payees hop was committed."""

    def internal_error(self, hop: str, result: str, number: int = 1) -> None:
        """Riskstream itself failed at something."""


@dataclass(slots=True)
class InputTally:
    """Records of one input partition by what became of them."""

    decided: int = 0
    duplicate: int = 0
    dead: int = 0


@dataclass(slots=True)
class BatchTallies:
    """Tallies of a batch of transactions and feedback, by input partition."""

    tallies: dict[Place, InputTally] = field(default_factory=dict)
    internal: int = 0
    """Records, among the dead, that riskstream itself failed at."""
    reversals: tuple[int, ...] = (0,) * len(RESULTS)
    """Reversals, among the decided, by what became of them."""

    def add(self, place: Place, decided: int = 0, duplicate: int = 0, dead: int = 0) -> None:
        """Count records of a place."""
        tally = self.tallies.setdefault(place, InputTally())
        tally.decided += decided
        tally.duplicate += duplicate
        tally.dead += dead

    def merge(self, other: BatchTallies) -> None:
        """Add another batch's counts."""
        self.internal += other.internal
        self.reversals = tuple(map(add, self.reversals, other.reversals))
        for place, tally in other.tallies.items():
            self.add(place, tally.decided, tally.duplicate, tally.dead)

    def items(self) -> Mapping[Place, InputTally]:
        """The tallies by place."""
        return self.tallies

    def count(self, metrics: HopMetrics) -> None:
        """Add them to the metrics."""
        metrics.counted(self)
        metrics.internal_error("accounts", "dead_letter", self.internal)


@dataclass(frozen=True, slots=True)
class BatchDecided:
    """What came of a batch of frames.

    Parameters
    ----------
    decided
        In groups that were decided together.
    left_out
        Records that riskstream itself failed at.
    undecided
        Transactions that no model or policy could be asked about.
    """

    decided: list[Decided]
    left_out: int
    undecided: int

    def count(self, metrics: HopMetrics) -> None:
        """Add it to the metrics."""
        metrics.decided(self.decided)
        metrics.internal_error("payees", "dead_letter", self.left_out)
        metrics.internal_error("payees", "undecided", self.undecided)
