"""What was fetched and is not yet taken: a bounded box of records by input partition.

While a hop waits for a commit, what arrives is merged here, so that batches grow exactly as much as the commits need
them to; a full partition stops its own fetching alone. The fetcher's thread puts, the event loop takes.
"""

from __future__ import annotations

import threading

import numpy as np

from stream.log.records import Place, RecordBatch


class Mailbox:
    """Records of some topics, in offset order per partition.

    Parameters
    ----------
    limit, limit_bytes
        With so many records, or bytes of values, of one partition waiting, nothing more of it is fetched.

    Examples
    --------
    >>> from stream.log.records import Record
    >>> box = Mailbox(limit=2, limit_bytes=1_000)
    >>> place = Place("t", 0)
    >>> box.put(place, RecordBatch.of([Record(7, 0, None, b"a"), Record(8, 0, None, b"b")]))
    >>> box.has_room(place), box.take(1, 1_000)[place].offsets.tolist(), box.has_room(place)
    (False, [7], True)
    """

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._waiting: dict[Place, list[RecordBatch]] = {}
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def has_room(self, place: Place) -> bool:
        """Whether this partition may be fetched further."""
        with self._lock:
            waiting = self._waiting.get(place, ())
            return sum(map(len, waiting)) < self._limit and sum(map(_bytes, waiting)) < self._limit_bytes

    def put(self, place: Place, records: RecordBatch) -> None:
        """Add fetched records."""
        if len(records):
            with self._lock:
                self._waiting.setdefault(place, []).append(records)

    def take(self, most: int, most_bytes: int) -> dict[Place, RecordBatch]:
        """Up to so many records and bytes of every partition, so that no partition starves; one record at least."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            taken: dict[Place, RecordBatch] = {}
            for place, parts in waiting.items():
                taken[place], left = _first(parts, most, most_bytes)
                if left:
                    self._waiting[place] = left
        return taken

    def clear(self) -> None:
        """Forget everything: what was fetched before a seek."""
        with self._lock:
            self._waiting.clear()


def _bytes(records: RecordBatch) -> int:
    return int(np.maximum(records.values.lengths, 0).sum())


def _first(parts: list[RecordBatch], most: int, most_bytes: int) -> tuple[RecordBatch, list[RecordBatch]]:
    """The first records of the parts, and what is left; bytes are copied only where parts are joined."""
    taken: list[RecordBatch] = []
    left = list(parts)
    while left and most > 0:
        ends = np.cumsum(np.maximum(left[0].values.lengths, 0))
        count = min(most, int(np.searchsorted(ends, most_bytes, side="right")))
        count = count if taken else max(count, 1)
        if count == 0:
            break
        part = left.pop(0)
        if count < len(part):
            left.insert(0, part.part(count, len(part)))
        taken.append(part.part(0, count))
        most, most_bytes = most - count, most_bytes - int(ends[count - 1])
    return RecordBatch.joined(taken), left
