"""The order in which a file's transactions and their labels become known."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from stream.arrays.rfc3339 import render
from stream.errors import UsageError
from stream.replay.source.labels import FRAUD
from stream.replay.source.sources import Chunk

ACTOR = "chargeback:file"
"""Who says so in feedback made of a file's labels; the shipped policy trusts it."""
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
MAX_DELAY_DAYS = 400


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A record due next: a transaction as it is in the file, or feedback about one before it."""

    kind: Literal["transaction", "feedback"]
    key: bytes
    value: bytes


def parse_delay(text: str, what: str = "label delay") -> int:
    """A delay in µs: a number and ``s``, ``m``, ``h`` or ``d``; ``what`` it is stands in messages.

    >>> parse_delay("7d") // 1_000_000, parse_delay("0.5h") // 1_000_000
    (604800, 1800)
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhd])", text.strip())
    if match is None:
        raise UsageError(f"{what} {text!r}: write a number and s, m, h or d, for instance 7d")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > MAX_DELAY_DAYS * 86_400:
        raise UsageError(f"{what} {text!r}: at most {MAX_DELAY_DAYS}d")
    return round(seconds * 1_000_000)


class Schedule:
    """Transactions in file order; each fraud's feedback when the event time has come to its own plus the delay.

    Feedback that falls due after the last transaction has not happened yet: it is not given out, and counted in
    :attr:`pending`. What waits is as much as the frauds of one delay.

    Parameters
    ----------
    delay_us
        Label delay, µs.
    """

    def __init__(self, delay_us: int) -> None:
        self._delay = delay_us
        self._waiting: list[tuple[int, int, Scheduled]] = []

    @property
    def pending(self) -> int:
        """Frauds whose feedback is not due yet."""
        return len(self._waiting)

    def records(self, chunks: Iterable[Chunk], limit: int | None = None) -> Iterator[Scheduled]:
        """Records in the order they become known, at most ``limit`` transactions."""
        left = limit
        for chunk in chunks:
            rows = chunk.decoded.columns
            fraud = [0] * len(rows) if chunk.labels is None else chunk.labels.fraud.tolist()
            times, keys = rows["event_time"].tolist(), rows["customer_id"].tolist()
            for place, value in enumerate(chunk.accepted_values):
                if left is not None:
                    if left == 0:
                        return
                    left -= 1
                yield from self._due(times[place])
                yield Scheduled("transaction", keys[place], value)
                if fraud[place] == FRAUD:
                    self._wait(rows[place])

    def _due(self, now: int) -> Iterator[Scheduled]:
        while self._waiting and self._waiting[0][0] <= now:
            yield heapq.heappop(self._waiting)[2]

    def _wait(self, row: Any) -> None:
        due = int(row["event_time"]) + self._delay
        heapq.heappush(self._waiting, (due, int(row["offset"]), feedback_of(row, due)))


def feedback_of(row: Any, occurred_at: int) -> Scheduled:
    """Feedback chargeback/fraud about one ``columns.TRANSACTION`` record, as of ``occurred_at`` (µs)."""
    document = {
        "feedback_id": f"chargeback-{int(row['transaction_hash']):016x}",
        "transaction_id": row["transaction_id"].decode(),
        "account_id": row["account_id"].decode(),
        "customer_id": row["customer_id"].decode(),
        "payee_id": row["payee_id"].decode() or None,
        "kind": "chargeback",
        "verdict": "fraud",
        "actor": ACTOR,
        "occurred_at": render(occurred_at),
    }
    value = orjson.dumps({name: item for name, item in document.items() if item is not None})
    return Scheduled("feedback", bytes(row["customer_id"]), value)
