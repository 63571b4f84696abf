"""The consumer group of the simulation: members, sessions, generations, and who has which partitions."""

from __future__ import annotations

from dataclasses import dataclass, field

from stream.log.transactions import Membership
from stream.worker.transport.assignor import place_copies, share_out

GROUP = "riskstream"
SESSION_S = 6.0


@dataclass
class SimulatedGroup:
    """Eager rebalances, as the line's assignor does them: all members join again, then a generation begins.

    Parameters
    ----------
    partitions
        To be shared out.
    standby_copies
        To be kept of each.
    """

    partitions: int
    standby_copies: int = 0
    generation: int = 0
    seen: dict[str, float] = field(default_factory=dict)
    """When each member was heard of last."""
    joined: set[str] = field(default_factory=set)
    """Members of the next generation so far; of the current one while there is no rebalance."""
    assignment: dict[str, tuple[int, ...]] = field(default_factory=dict)
    copies: dict[str, list[int]] = field(default_factory=dict)
    """Partitions that each member is to keep standby copies of."""
    warm: dict[str, frozenset[int]] = field(default_factory=dict)
    rebalancing: bool = False
    history: dict[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)
    """Partitions of each member in each generation."""

    def must_join(self, name: str) -> bool:
        """Whether a member has to give up what it has and join."""
        return name not in self.joined

    def join(self, name: str, now: float, warm: frozenset[int]) -> None:
        """Become a member, of the next generation."""
        self.warm[name] = warm
        if not self.rebalancing:
            self.rebalancing, self.joined = True, set()
        self.seen[name] = now
        self.joined.add(name)
        self._complete()

    def heartbeat(self, name: str, now: float) -> None:
        """A member is alive."""
        if name in self.seen:
            self.seen[name] = now

    def leave(self, name: str) -> None:
        """A member goes: it said so, or was not heard of for the session's time."""
        if self.seen.pop(name, None) is None:
            return
        if not self.rebalancing:
            self.rebalancing, self.joined = True, set()
        self.joined.discard(name)
        self._complete()

    def expire(self, now: float) -> None:
        """Let members go that were not heard of."""
        for name in [name for name, at in self.seen.items() if now - at > SESSION_S]:
            self.leave(name)

    def membership(self, name: str) -> Membership:
        """As the member's coordinator gave it."""
        return Membership(GROUP, self.generation, name)

    def valid(self, membership: Membership) -> bool:
        """Whether the broker takes offsets of this membership; during a rebalance still those of the old members."""
        return membership.member in self.seen and membership.generation == self.generation

    def assigned(self, membership: Membership) -> tuple[int, ...]:
        """What a member had in the generation of this membership."""
        return self.history.get((membership.member, membership.generation), ())

    def _complete(self) -> None:
        if self.joined and self.joined == set(self.seen):
            self.rebalancing = False
            self.generation += 1
            held = {name: frozenset(self.assignment.get(name, ())) for name in self.joined}
            warm = {name: self.warm[name] for name in self.joined}
            shares = share_out(range(self.partitions), held, warm)
            self.copies = place_copies(shares, warm, self.standby_copies)
            self.assignment = {name: tuple(sorted(share)) for name, share in shares.items()}
            self.history |= {(name, self.generation): share for name, share in self.assignment.items()}
