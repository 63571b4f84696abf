"""Who may take which partitions' records, and since when: a pure state machine.

Events go in (the group assigned or revoked, a recovery ended, a transaction failed, a fetch was lost), commands come out. All
that is started bears an *epoch*, a number that grows with whatever makes what runs obsolete; what comes back with an older one
is dropped. So a recovery that a rebalance has overtaken may take its time: nothing that it ends in is believed.

                 assigned                recovered             fetching
        NOTHING ─────────▶ RECOVERING ─────────────▶ STARTING ──────────▶ OWNING
           ▲                │  ▲  ▲                     │                   │
           │        failed  ▼  │  └── rows or fetch lost ┴───────────────────┘
        revoked           WAITING       (refused for good: REFUSED, until the group assigns again)

Nothing here knows Kafka, Faust, threads or time: :mod:`stream.worker.ownership.owner` carries the commands out, in a worker as
in the simulator of bad days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from stream.log.records import Place


class Phase(Enum):
    """Where ownership stands."""

    NOTHING = auto()
    """No partition is owned: none was assigned yet, or they were revoked."""
    RECOVERING = auto()
    """Their previous owners are being fenced, their rows rebuilt."""
    WAITING = auto()
    """A recovery failed; another one is due later."""
    STARTING = auto()
    """The rows are here; fetching begins where they stand."""
    OWNING = auto()
    """Batches are taken."""
    REFUSED = auto()
    """No other recovery can succeed."""
    ENDED = auto()
    """The worker ends."""


# --- events


@dataclass(frozen=True, slots=True)
class Assigned:
    """The group has given partitions to this worker, in a generation of which ``membership`` is the proof."""

    partitions: frozenset[int]
    membership: Any


@dataclass(frozen=True, slots=True)
class Revoked:
    """The group takes all partitions back."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A recovery has ended: the rows stand at these offsets."""

    epoch: int
    offsets: Mapping[Place, int]


@dataclass(frozen=True, slots=True)
class RecoveryFailed:
    """A recovery, or the fetching behind it, did not succeed; ``for_good`` where no other attempt can find it otherwise."""

    epoch: int
    for_good: bool = False


@dataclass(frozen=True, slots=True)
class Fetching:
    """Records come from where the rows stand."""

    epoch: int


@dataclass(frozen=True, slots=True)
class RowsLost:
    """A transaction failed: the rows are no longer what the log says."""


@dataclass(frozen=True, slots=True)
class FetchLost:
    """What was fetched may be lost, or what was to be fetched is not there any more."""

    epoch: int


@dataclass(frozen=True, slots=True)
class RetryDue:
    """The time after a failed recovery is over."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker ends."""


Event = Assigned | Revoked | Recovered | RecoveryFailed | Fetching | RowsLost | FetchLost | RetryDue | Ended


# --- commands, to be carried out in their order


@dataclass(frozen=True, slots=True)
class Pause:
    """Take no more batches, and wait for the one that is between its first record and its commit.

    ``budgeted``: the group waits; what has not ended within the budget of a rebalance is given up.
    """

    budgeted: bool = False


@dataclass(frozen=True, slots=True)
class StopFetching:
    """Put nothing more where batches are taken from."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Recover:
    """Fence, claim, rebuild; ends in :class:`Recovered` or :class:`RecoveryFailed`."""

    epoch: int
    partitions: frozenset[int]
    membership: Any


@dataclass(frozen=True, slots=True)
class StartFetching:
    """Fetch from these offsets on; ends in :class:`Fetching` or :class:`RecoveryFailed`."""

    epoch: int
    partitions: frozenset[int]
    offsets: Mapping[Place, int]


@dataclass(frozen=True, slots=True)
class TakeBatches:
    """Rows are here and records come from where they stand."""

    epoch: int


@dataclass(frozen=True, slots=True)
class Release:
    """Own nothing any more."""

    epoch: int


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Say :class:`RetryDue` after a while."""

    epoch: int


Command = Pause | StopFetching | Recover | StartFetching | TakeBatches | Release | RetryLater


@dataclass(slots=True)
class Ownership:
    """See the module.

    Examples
    --------
    >>> ownership = Ownership()
    >>> [type(command).__name__ for command in ownership.handle(Assigned(frozenset({0}), "generation 1"))]
    ['Pause', 'StopFetching', 'Recover']
    >>> [type(command).__name__ for command in ownership.handle(Revoked())]
    ['Pause', 'StopFetching', 'Release']
    >>> ownership.handle(Recovered(1, {}))  # of the recovery that the revocation has overtaken
    ()
    """

    phase: Phase = Phase.NOTHING
    epoch: int = 0
    """Grows with every assignment, revocation, retry and loss."""
    partitions: frozenset[int] = frozenset()
    """Assigned now."""
    membership: Any = None
    offsets: Mapping[Place, int] = field(default_factory=dict)
    """Where the rows stood when they were recovered last."""

    def handle(self, event: Event) -> tuple[Command, ...]:
        """What to do after an event; nothing where it is of an older epoch, or changes nothing."""
        if self.phase is Phase.ENDED or not self.is_current(event):
            return ()
        match event:
            case Assigned(partitions, membership):
                self.partitions, self.membership = partitions, membership
                return self._recover()
            case Revoked():
                self.partitions, self.membership, self.phase = frozenset(), None, Phase.NOTHING
                self.epoch += 1
                return Pause(budgeted=True), StopFetching(self.epoch), Release(self.epoch)
            case Recovered(_, offsets) if self.phase is Phase.RECOVERING:
                self.phase, self.offsets = Phase.STARTING, offsets
                return (StartFetching(self.epoch, self.partitions, offsets),)
            case RecoveryFailed(_, for_good) if self.phase in (Phase.RECOVERING, Phase.STARTING):
                self.phase = Phase.REFUSED if for_good else Phase.WAITING
                return () if for_good else (RetryLater(self.epoch),)
            case Fetching() if self.phase is Phase.STARTING:
                self.phase = Phase.OWNING
                return (TakeBatches(self.epoch),)
            case RetryDue() if self.phase is Phase.WAITING:
                return self._recover()
            case RowsLost() | FetchLost() if self.phase in (Phase.STARTING, Phase.OWNING):
                return self._recover()
            case Ended():
                self.phase = Phase.ENDED
                self.epoch += 1
                return (StopFetching(self.epoch),)
        return ()

    def is_current(self, event: Event) -> bool:
        """Whether an event is not of an older epoch than this."""
        return getattr(event, "epoch", self.epoch) == self.epoch

    def _recover(self) -> tuple[Command, ...]:
        self.phase = Phase.RECOVERING
        self.epoch += 1
        return Pause(), StopFetching(self.epoch), Recover(self.epoch, self.partitions, self.membership)
