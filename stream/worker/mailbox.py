"""What was fetched and is not yet taken: a bounded box of records by input partition.

While a hop waits for a commit, what arrives is merged here, so that batches grow exactly as much as the commits need
them to; a full partition stops its own fetching alone. The fetcher's thread puts, the event loop takes.
"""

from __future__ import annotations

import threading

from stream.worker.log import Place, Records


class Mailbox:
    """Records of some topics, in offset order per partition.

    Parameters
    ----------
    limit
        With so many records of one partition waiting, nothing more of it is fetched.

    Examples
    --------
    >>> from stream.worker.log import Record
    >>> box = Mailbox(limit=2)
    >>> place = Place("t", 0)
    >>> box.put(place, Records.of([Record(7, 0, None, b"a"), Record(8, 0, None, b"b")]))
    >>> box.has_room(place), box.take(1)[place].offsets.tolist(), box.has_room(place)
    (False, [7], True)
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[Place, list[Records]] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def has_room(self, place: Place) -> bool:
        """Whether this partition may be fetched further."""
        with self._lock:
            return sum(map(len, self._waiting.get(place, ()))) < self._limit

    def put(self, place: Place, records: Records) -> None:
        """Add fetched records."""
        if len(records):
            with self._lock:
                self._waiting.setdefault(place, []).append(records)

    def take(self, most: int) -> dict[Place, Records]:
        """Up to ``most`` records of every partition, so that no partition starves."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            taken: dict[Place, Records] = {}
            for place, parts in waiting.items():
                taken[place], left = _first(parts, most)
                if left:
                    self._waiting[place] = left
        return taken

    def clear(self) -> None:
        """Forget everything: what was fetched before a seek."""
        with self._lock:
            self._waiting.clear()


def _first(parts: list[Records], most: int) -> tuple[Records, list[Records]]:
    """The first records of the parts, and what is left; whole parts where that is possible: they are not copied."""
    total = len(parts[0])
    if total > most:
        return parts[0].part(0, most), [parts[0].part(most, total), *parts[1:]]
    count = 1
    while count < len(parts) and total + len(parts[count]) <= most:
        total += len(parts[count])
        count += 1
    return Records.joined(parts[:count]), parts[count:]
