"""Partitions that nobody reads: what waits there must show, though no worker has it.

A worker sees where the group stands in every partition. One that is not its own and where the group stands as it did
one look before is read by nobody, or by somebody who stands still or has nothing to do: what waits there is counted by
every worker that sees it. Who looks at the whole takes the largest count of each partition, and then the sum.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from stream.log.records import Place


class Unowned:
    """Compares one look with the one before.

    Examples
    --------
    >>> mine, other = Place("bank.transactions.v1", 0), Place("bank.transactions.v1", 1)
    >>> unowned = Unowned()
    >>> unowned.standing({mine: 5, other: 7}, [mine])
    {}
    >>> unowned.standing({mine: 5, other: 7}, [mine])
    {Place(topic='bank.transactions.v1', partition=1): 7}
    >>> unowned.standing({mine: 5, other: 8}, [mine])
    {}
    """

    def __init__(self) -> None:
        self._before: dict[Place, int] = {}

    def standing(self, stands: Mapping[Place, int], own: Collection[Place]) -> dict[Place, int]:
        """Where the group stands in partitions that are not this worker's and have not moved since the last look."""
        found = {place: at for place, at in stands.items() if place not in own and self._before.get(place) == at}
        self._before = dict(stands)
        return found
