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

from stream.brokers.connect import producer_config
from stream.desk.scoreboard import Scoreboard
from stream.errors import RiskstreamError, UsageError
from stream.settings import Settings
from stream.simulate import Event, stream

PAYMENTS_A_DAY = 2.1
"""Of one simulated account."""
CHARGEBACK_DELAY_MS = 5 * 86_400_000
"""Simulated time from a fraud to the dispute that confirms it."""
CHARGEBACK_ACTOR = "chargeback:demo"
WARM_UP = 64
"""Transactions sent before the first decision: what comes earlier would only wait for the worker to start."""
MOST_IN_FLIGHT = 2_000
"""The embedded broker keeps some 5 MB a partition and drops what is older: traffic waits for the line instead."""
_STEP_S = 0.005
_MOST_DAYS = 20_000


def first_day(today: date, events: float, accounts: int) -> date:
    """The first of January of the latest year that lets ``events`` end before today.

    A day that moved with the calendar would give other traffic every day for the same seed.

    Raises
    ------
    UsageError
        The period would be longer than 20,000 days.

    >>> first_day(date(2026, 11, 24), events=29_000, accounts=60)
    datetime.date(2026, 1, 1)
    """
    days = math.ceil(1.1 * events / (PAYMENTS_A_DAY * accounts)) + 2
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
    """

    def __init__(
        self, settings: Settings, board: Scoreboard, *, seed: int, accounts: int, start: date, rate: float
    ) -> None:
        self.simulated_ms = 0
        """Event time of the newest transaction."""
        self.caught_up = False
        """The simulated bank has reached the present: there is nothing left to send."""
        self._board = board
        self._rate = rate
        self._events: Iterator[Event] = stream(seed=seed, accounts=accounts, start=start)
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
        sent = 0
        began: float | None = None
        while not self._stop.is_set():
            self._producer.poll(0)
            self.check()
            if self._board.first_at is None:
                due = WARM_UP - sent
            else:
                began = time.monotonic() if began is None else began
                due = WARM_UP + round((time.monotonic() - began) * self._rate) - sent
            due = min(due, MOST_IN_FLIGHT - (sent - self._board.events + self._board.in_flight))
            for _ in range(max(due, 0)):
                if not self._send(next(self._events)):
                    self.caught_up = True
                    return
                sent += 1
            time.sleep(_STEP_S)

    def _send(self, event: Event) -> bool:
        """Send one transaction and the disputes due by its time; False where it lies in the future."""
        if event.time_ms > time.time() * 1000:
            return False
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
