"""A simulated bank's traffic, compressed in time and produced at a steady rate from a thread of its own."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer

from stream.demo.scoreboard import Scoreboard
from stream.errors import RiskstreamError, UsageError
from stream.log.connect import producer_config
from stream.settings import Settings
from stream.simulate import Event, stream

PAYMENTS_A_DAY = 2.1
"""Of one simulated account."""
CHARGEBACK_DELAY_MS = 5 * 86_400_000
"""Simulated time from a fraud to the dispute that confirms it."""
CHARGEBACK_ACTOR = "chargeback:demo"
WARM_UP = 64
"""Transactions sent before the first decision: what comes earlier would only wait for the worker to start."""
MOST_AT_ONCE = 200
"""Transactions sent between two looks at what the broker has acknowledged."""
MOST_IN_FLIGHT = 2_000
"""The embedded broker keeps some 5 MB a partition and drops what is older: traffic waits for the line instead."""
HISTORY_RATE = 8_000.0
"""Transactions a second while the bank's past is lived through: what the learner can follow."""
_STEP_S = 0.005
_MOST_DAYS = 20_000


def first_day(today: date, events: float, accounts: int, before: int = 0) -> date:
    """The first of January of the latest year that lets ``events`` end before today, ``before`` days having passed first.

    A day that moved with the calendar would give other traffic every day for the same seed.

    Raises
    ------
    UsageError
        The period would be longer than 20,000 days.

    >>> first_day(date(2026, 11, 24), events=29_000, accounts=60)
    datetime.date(2026, 1, 1)
    """
    days = math.ceil(1.1 * events / (PAYMENTS_A_DAY * accounts)) + 2 + before
    if days > _MOST_DAYS:
        raise UsageError(
            f"{events:.0f} transactions of {accounts} accounts are {days} simulated days; "
            "raise --accounts or lower --rate"
        )
    return date((today - timedelta(days=days)).year, 1, 1)


def chargeback(event: Event, delay_ms: int = CHARGEBACK_DELAY_MS) -> dict[str, Any]:
    """The Feedback that confirms a fraud, as of ``delay_ms`` after it."""
    transaction = orjson.loads(event.transaction)
    occurred = datetime.fromtimestamp((event.time_ms + delay_ms) / 1000, UTC)
    feedback = {
        "feedback_id": f"chargeback-{transaction['transaction_id']}",
        "transaction_id": transaction["transaction_id"],
        "account_id": transaction["account_id"],
        "customer_id": transaction.get("customer_id"),
        "payee_id": transaction.get("payee_id"),
        "kind": "chargeback",
        "verdict": "fraud",
        "actor": CHARGEBACK_ACTOR,
        "occurred_at": occurred.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    return {name: value for name, value in feedback.items() if value is not None}


class Traffic:
    """Produces transactions, and chargebacks of those that were fraud, until it is told to stop.

    Parameters
    ----------
    settings
        Where the topics are.
    board
        Counts what is sent and what the broker acknowledged, and says how much is in flight.
    seed, accounts, start
        The simulated bank.
    rate
        Transactions a second, after the first decision.
    history_days
        Days that the bank lives through first, as fast as the line can; it then waits for :meth:`go_live`. 0: none.
    """

    def __init__(
        self, settings: Settings, board: Scoreboard, *, seed: int, accounts: int, start: date, rate: float,
        history_days: int = 0,
    ) -> None:  # fmt: skip
        self.simulated_ms = 0
        """Event time of the newest transaction."""
        self.caught_up = False
        """The simulated bank has reached the present: there is nothing left to send."""
        self._board = board
        self._rate = rate
        events = stream(seed=seed, accounts=accounts, start=start)
        self._next = next(events)
        self._events: Iterator[Event] = events
        end = datetime.combine(start, datetime.min.time(), UTC) + timedelta(days=history_days)
        self._history_end_ms = round(end.timestamp() * 1000) if history_days else 0
        self.history_sent = threading.Event()
        """The past has been told, and the broker has all of it."""
        self._live = threading.Event()
        self._transactions = settings.topic("bank.transactions.v1")
        self._feedback = settings.topic("bank.feedback.v1")
        self._producer = Producer({**producer_config(settings), "log_level": 0})  # its errors reach us as exceptions
        self._disputes: deque[tuple[int, bytes, bytes]] = deque()
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the traffic, if something did."""
        if self._error is not None:
            raise RiskstreamError(f"the traffic ended: {self._error}") from self._error

    def go_live(self) -> None:
        """The past is over: pay at the asked rate from now on."""
        self._live.set()

    def stop(self, timeout: float = 10.0) -> None:
        """End, and wait until the broker has acknowledged everything.

        Raises
        ------
        RiskstreamError
            It has not within ``timeout`` seconds, or refused a record.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout)
        left = self._producer.flush(timeout)
        del self._producer  # its connections end before the broker does
        self.check()
        if left:
            raise RiskstreamError(f"{left} records were not acknowledged within {timeout:.0f} s; is the broker alive?")

    def _run(self) -> None:
        try:
            self._produce()
        except (KafkaException, RiskstreamError, ValueError) as error:
            self._error = error

    def _produce(self) -> None:
        if self._history_end_ms:
            self._live_through_history()
            while not self._stop.is_set() and not self._live.wait(_STEP_S):
                self._producer.poll(0)
        sent = 0
        began = time.monotonic() if self._history_end_ms else None
        at_first = 0 if self._history_end_ms else WARM_UP
        while not self._stop.is_set():
            self._producer.poll(0)
            self.check()
            if began is None and self._board.first_at is not None:
                began = time.monotonic()
            due = at_first - sent + (0 if began is None else round((time.monotonic() - began) * self._rate))
            for _ in range(min(due, self._room(sent))):
                if not self._send():
                    self.caught_up = True
                    return
                sent += 1
            time.sleep(_STEP_S)

    def _live_through_history(self) -> None:
        """Send what lies before the demonstration, as fast as the line takes it."""
        sent, began = 0, None
        while not self._stop.is_set() and self._next.time_ms < self._history_end_ms:
            self._producer.poll(0)
            self.check()
            if began is None and self._board.first_at is not None:
                began = time.monotonic()
            due = WARM_UP - sent + (0 if began is None else round((time.monotonic() - began) * HISTORY_RATE))
            for _ in range(min(due, self._room(sent))):
                if self._next.time_ms >= self._history_end_ms:
                    break
                self._send()
                sent += 1
            time.sleep(_STEP_S)
        self._producer.flush(10.0)
        self.history_sent.set()

    def _room(self, sent: int) -> int:
        """How many more may be in flight."""
        return min(max(MOST_IN_FLIGHT - (sent - self._board.events + self._board.in_flight), 0), MOST_AT_ONCE)

    def _send(self) -> bool:
        """Send the next transaction and the disputes due by its time; False where it lies in the future."""
        event = self._next
        if event.time_ms > time.time() * 1000:
            return False
        self._next = next(self._events)
        while self._disputes and self._disputes[0][0] <= event.time_ms:
            _, key, value = self._disputes.popleft()
            self._producer.produce(self._feedback, value, key, on_delivery=self._acknowledged)
            self._board.feedback += 1
        if event.truth.fraud:
            due_ms = event.time_ms + CHARGEBACK_DELAY_MS
            self._disputes.append((due_ms, event.key, orjson.dumps(chargeback(event))))
        self._board.sent(event.truth, time.monotonic())
        self._producer.produce(self._transactions, event.transaction, event.key, on_delivery=self._acknowledged)
        self.simulated_ms = event.time_ms
        return True

    def _acknowledged(self, error: KafkaError | None, message: Any) -> None:
        if error is not None:
            self._error = RiskstreamError(f"the broker refused a record for {message.topic()}: {error.str()}")
        elif message.topic() == self._transactions:
            self._board.delivered()
