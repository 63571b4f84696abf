"""Which worker owns which partitions: partition p of every topic of the line belongs to one worker.

An account's transactions and its feedback must meet in one place, so topics are assigned by partition number, not
by topic and partition. Members keep what they had as far as shares stay even, so that a rebalance moves as little
state as it can.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, ClassVar

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


def share_out(
    partitions: Iterable[int], owned: Mapping[str, frozenset[int]], warm: Mapping[str, frozenset[int]] | None = None
) -> dict[str, list[int]]:
    """Give each partition to one member, evenly, leaving with each what it already has; what nobody has goes to a
    member with a warm copy, as far as shares stay even.

    Parameters
    ----------
    partitions
        All partition numbers.
    owned, warm
        For each member id the partitions it says it holds, and those it has a standby copy of.

    >>> share_out(range(4), {"a": frozenset({0, 1, 2, 3}), "b": frozenset()})
    {'a': [0, 1], 'b': [2, 3]}
    >>> share_out(range(3), {"a": frozenset({2}), "b": frozenset()})
    {'a': [2, 0], 'b': [1]}
    >>> share_out(range(4), {"a": frozenset({0}), "b": frozenset({1})}, {"b": frozenset({2}), "a": frozenset({3})})
    {'a': [0, 3], 'b': [1, 2]}
    """
    wanted = sorted(set(partitions))
    members = sorted(owned, key=lambda member: (-len(owned[member]), member))
    least, larger = divmod(len(wanted), len(members))
    quota = {member: least + (1 if place < larger else 0) for place, member in enumerate(members)}
    shares: dict[str, list[int]] = {member: [] for member in sorted(owned)}
    free: list[int] = []
    for partition in wanted:
        holder = next(
            (m for m in members if partition in owned[m] and len(shares[m]) < quota[m]),
            None,
        )
        if holder is None:
            free.append(partition)
        else:
            shares[holder].append(partition)
    for partition in sorted(free, key=lambda p: not any(p in copies for copies in (warm or {}).values())):
        roomy = [m for m in shares if len(shares[m]) < quota[m] and partition in (warm or {}).get(m, ())]
        member = min(roomy or shares, key=lambda m: (len(shares[m]) - quota[m], m))
        shares[member].append(partition)
    return shares


def place_copies(
    shares: Mapping[str, Iterable[int]], warm: Mapping[str, frozenset[int]], copies: int
) -> dict[str, list[int]]:
    """Who keeps standby copies of what: never the owner, preferably who has one already, else who has the fewest.

    >>> place_copies({"a": [0, 1], "b": [2], "c": [3]}, {"c": frozenset({0})}, 1)
    {'a': [2, 3], 'b': [1], 'c': [0]}
    """
    placed: dict[str, list[int]] = {member: [] for member in sorted(shares)}
    owners = {partition: member for member, share in shares.items() for partition in share}
    for partition, owner in sorted(owners.items()):
        others = [member for member in placed if member != owner]
        others.sort(key=lambda m: (partition not in warm.get(m, ()), len(placed[m]), m))
        for member in others[:copies]:
            placed[member].append(partition)
    return placed


class LineAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """Kafka group protocol of the workers, eager: see :func:`share_out`."""

    name = "riskstream-line"
    version = 0
    held: ClassVar[frozenset[int]] = frozenset()
    """Partition numbers this process held last; told to the group when it joins again."""
    warm: ClassVar[Callable[[], frozenset[int]]] = frozenset
    """Partitions that this process has a standby copy of; told to the group too."""
    copies: ClassVar[int] = 0
    """How many copies of each partition the leader places."""
    standby: ClassVar[frozenset[int]] = frozenset()
    """Partitions that this process was last told to keep a copy of."""

    @classmethod
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """The leader's part: an assignment for every member."""
        topics = sorted({topic for metadata in members.values() for topic in metadata.subscription})
        partitions = {topic: cluster.partitions_for_topic(topic) or set() for topic in topics}
        told = {member: _unpack(metadata.user_data) for member, metadata in members.items()}
        owned = {member: frozenset(p for p in numbers if p >= 0) for member, numbers in told.items()}
        warm = {member: frozenset(-1 - p for p in numbers if p < 0) for member, numbers in told.items()}
        shares = share_out({p for numbers in partitions.values() for p in numbers}, owned, warm)
        placed = place_copies(shares, warm, cls.copies)
        return {
            member: ConsumerProtocolMemberAssignment(
                cls.version,
                [(topic, [p for p in sorted(share) if p in partitions[topic]]) for topic in topics],
                _pack(placed[member]),
            )
            for member, share in shares.items()
        }

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> Any:
        """A member's part: what it subscribes to, what it held, and, as -1 - partition, what it has copies of."""
        warm = [-1 - partition for partition in cls.warm()]
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), _pack([*cls.held, *warm]))

    @classmethod
    def on_assignment(cls, assignment: Any) -> None:
        """Remember what was given."""
        cls.held = frozenset(p for _, partitions in assignment.assignment for p in partitions)
        cls.standby = _unpack(assignment.user_data)


def _pack(partitions: Collection[int]) -> bytes:
    return struct.pack(f"<{len(partitions)}i", *sorted(partitions))


def _unpack(data: bytes | None) -> frozenset[int]:
    data = data or b""
    return frozenset(struct.unpack(f"<{len(data) // 4}i", data)) if len(data) % 4 == 0 else frozenset()
