"""How old the oldest change of rows is that no checkpoint has: what a recovery would have to walk again."""

from __future__ import annotations

from collections.abc import Iterable

HOPS = ("accounts", "payees")


class CheckpointAges:
    """Told again and again which partitions have unwritten changes; rows that have none are of no age.

    Examples
    --------
    >>> ages = CheckpointAges()
    >>> ages.ages([], now=100.0)
    [('accounts', 0.0), ('payees', 0.0)]
    >>> ages.ages([("accounts", 3, 0.0)], now=101.0)  # changed within the last second
    [('accounts', 0.0), ('payees', 0.0)]
    >>> ages.ages([("accounts", 3, 0.0)], now=150.0), ages.ages([("accounts", 3, 149.0)], now=151.0)
    ([('accounts', 49.0), ('payees', 0.0)], [('accounts', 2.0), ('payees', 0.0)])
    """

    def __init__(self) -> None:
        self._since: dict[tuple[str, int], float] = {}

    def ages(self, unwritten: Iterable[tuple[str, int, float]], now: float) -> list[tuple[str, float]]:
        """The age of each hop's oldest unwritten change, s.

        Parameters
        ----------
        unwritten
            Hop, partition, and when that partition's rows were last written; monotonic time, s.
        """
        self._since = {
            (hop, partition): max(self._since.get((hop, partition), now), written)
            for hop, partition, written in unwritten
        }
        return [
            (hop, max((now - since for (of, _), since in self._since.items() if of == hop), default=0.0))
            for hop in HOPS
        ]
