"""What a batch counted: decided, duplicate and dead records, by input partition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import add

from stream.core.account.account_reversal import RESULTS
from stream.log.records import Place


@dataclass(slots=True)
class InputTally:
    """Records of one input partition by what became of them."""

    decided: int = 0
    duplicate: int = 0
    dead: int = 0


@dataclass(slots=True)
class BatchTallies:
    """Tallies of a batch, to be added to the metrics once it is committed."""

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
