"""What was fetched and is not yet taken: a bounded box of records by input partition.

While a hop waits for a commit, what arrives is merged here, so that batches grow exactly as much as the commits need
them to; a full box stops the fetching of its topics alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream.worker.log import Place, Record


class Mailbox:
    """Records of some topics, in offset order per partition.

    Parameters
    ----------
    limit
        With so many records of one partition waiting, nothing more of it is fetched.

    Examples
    --------
    >>> box = Mailbox(limit=2)
    >>> place = Place("t", 0)
    >>> box.put(place, [Record(7, 0, None, b"a"), Record(8, 0, None, b"b")])
    >>> box.has_room(place), [r.offset for r in box.take(1)[place]], box.has_room(place)
    (False, [7], True)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[Place, list[Record]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def has_room(self, place: Place) -> bool:
        """Whether this partition may be fetched further."""
        return len(self._waiting.get(place, ())) < self._limit

    def put(self, place: Place, records: Sequence[Any]) -> None:
        """Add fetched records: anything with the fields of :class:`stream.worker.log.Record`, such as aiokafka's own,
        which are not copied for the sake of a type."""
        if records:
            self._waiting.setdefault(place, []).extend(records)

    def take(self, most: int) -> dict[Place, list[Record]]:
        """Up to ``most`` records of every partition, so that no partition starves."""
        taken: dict[Place, list[Record]] = {}
        left: dict[Place, list[Record]] = {}
        for place, records in self._waiting.items():
            taken[place] = records[:most]
            if len(records) > most:
                left[place] = records[most:]
        self._waiting = left
        return taken

    def clear(self) -> None:
        """Forget everything: what was fetched before a seek."""
        self._waiting.clear()
