"""Which worker owns which partitions: partition p of every topic of the line belongs to one worker.

An account's transactions and its feedback must meet in one place, so topics are assigned by partition number, not
by topic and partition. Members keep what they had as far as shares stay even, so that a rebalance moves as little
state as it can.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


def share_out(partitions: Iterable[int], owned: Mapping[str, frozenset[int]]) -> dict[str, list[int]]:
    """Give each partition to one member, evenly, leaving with each what it already has.

    Parameters
    ----------
    partitions
        All partition numbers.
    owned
        For each member id the partitions it says it holds.

    >>> share_out(range(4), {"a": frozenset({0, 1, 2, 3}), "b": frozenset()})
    {'a': [0, 1], 'b': [2, 3]}
    >>> share_out(range(3), {"a": frozenset({2}), "b": frozenset()})
    {'a': [2, 0], 'b': [1]}
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
    for partition in free:
        member = min(shares, key=lambda m: (len(shares[m]) - quota[m], m))
        shares[member].append(partition)
    return shares


class LineAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """Kafka group protocol of the workers, eager: see :func:`share_out`."""

    name = "riskstream-line"
    version = 0
    held: ClassVar[frozenset[int]] = frozenset()
    """Partition numbers this process held last; told to the group when it joins again."""

    @classmethod
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """The leader's part: an assignment for every member."""
        topics = sorted({topic for metadata in members.values() for topic in metadata.subscription})
        partitions = {topic: cluster.partitions_for_topic(topic) or set() for topic in topics}
        owned = {member: _unpack(metadata.user_data) for member, metadata in members.items()}
        shares = share_out({p for numbers in partitions.values() for p in numbers}, owned)
        return {
            member: ConsumerProtocolMemberAssignment(
                cls.version,
                [(topic, [p for p in sorted(share) if p in partitions[topic]]) for topic in topics],
                b"",
            )
            for member, share in shares.items()
        }

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> Any:
        """A member's part: what it subscribes to and what it held."""
        return ConsumerProtocolMemberMetadata(cls.version, list(topics), _pack(cls.held))

    @classmethod
    def on_assignment(cls, assignment: Any) -> None:
        """Remember what was given."""
        cls.held = frozenset(p for _, partitions in assignment.assignment for p in partitions)


def _pack(partitions: frozenset[int]) -> bytes:
    return struct.pack(f"<{len(partitions)}i", *sorted(partitions))


def _unpack(data: bytes | None) -> frozenset[int]:
    data = data or b""
    return frozenset(struct.unpack(f"<{len(data) // 4}i", data)) if len(data) % 4 == 0 else frozenset()
