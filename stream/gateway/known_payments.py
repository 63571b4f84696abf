"""The payments that the gateway knows: to answer their messages, and to know them again in messages that follow.

As many as two settings say: for so many days after their message, and so many at once. What changes is a row on
``riskstream-gateway-rows``, in the same transaction as what it led to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from stream.iso20022.case import Case, read_row, row_of
from stream.iso20022.original import Original

_DAY_MS = 86_400_000


class KnownPayments:
    """See the module; a payment is kept as its row.

    Parameters
    ----------
    most
        Payments at once.
    days
        For so long after the Kafka timestamp of its message, by the timestamps of later ones.
    """

    def __init__(self, most: int, days: float) -> None:
        self._most = most
        self._keep_ms = round(days * _DAY_MS)
        self._rows: dict[str, bytes] = {}
        self._names: dict[bytes, str] = {}
        self._waiting: dict[str, int] = {}
        self._changed: dict[str, None] = {}
        self._newest_ms = 0
        self.forgotten_open = 0
        """Payments that were forgotten before their last answer."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def waiting(self) -> int:
        """Payments whose last status is still to come."""
        return len(self._waiting)

    @property
    def waiting_since_ms(self) -> int | None:
        """Kafka timestamp of the oldest of them."""
        return min(self._waiting.values(), default=None)

    def find(self, name: str) -> Original | None:
        """See :class:`stream.iso20022.original.OriginalPayments`."""
        case = self.case(name) or self.case(self._names.get(_digest(name), ""))
        return None if case is None else case.original

    def case(self, transaction_id: str) -> Case | None:
        """A payment by its transaction id. What is changed of it counts when it is :meth:`put`."""
        row = self._rows.get(transaction_id)
        return None if row is None else read_row(row)

    def add(self, original: Original, read_at: int) -> None:
        """A payment's message was read; one of the same id that is known already stays as it is."""
        if original.transaction_id not in self._rows:
            self.put(Case(original, read_at))

    def put(self, case: Case) -> None:
        """Keep what is known of a payment now."""
        self._set(case, row_of(case))
        self._changed[case.original.transaction_id] = None

    def restore(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Begin with stored rows.

        Raises
        ------
        ValueError
            One is no row of this version.
        """
        cases = sorted(((read_row(row), row) for _, row in rows), key=lambda pair: pair[0].read_at)
        for case, row in cases:
            self._set(case, row)

    def forget(self) -> None:
        """Let go of what is too old, or too much."""
        oldest_ms = self._newest_ms - self._keep_ms
        while self._rows:
            transaction_id, row = next(iter(self._rows.items()))
            case = read_row(row)
            if len(self._rows) <= self._most and case.read_at >= oldest_ms:
                return
            self.forgotten_open += case.open
            del self._rows[transaction_id]
            self._waiting.pop(transaction_id, None)
            for name in case.original.names():
                if self._names.get(digest := _digest(name)) == transaction_id:
                    del self._names[digest]
            self._changed[transaction_id] = None

    def take_changes(self) -> list[tuple[bytes, bytes | None]]:
        """Keys and rows since the last time; None for what was forgotten."""
        changes = [(name.encode(), self._rows.get(name)) for name in self._changed]
        self._changed = {}
        return changes

    def _set(self, case: Case, row: bytes) -> None:
        name = case.original.transaction_id
        if name not in self._rows:
            for other in case.original.names():
                self._names.setdefault(_digest(other), name)
        self._rows[name] = row
        self._newest_ms = max(self._newest_ms, case.read_at)
        if case.open:
            self._waiting[name] = case.read_at
        else:
            self._waiting.pop(name, None)


def _digest(name: str) -> bytes:
    """Names are kept short: 16 bytes that no two of them share."""
    return hashlib.blake2b(name.encode(), digest_size=16).digest()
