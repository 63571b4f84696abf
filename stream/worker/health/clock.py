"""What time it is, by the broker: how far this machine's clock is off, and the time that expiries and policies go by.

Feedback is stamped by the broker, so whether a hold has expired is the broker's time to say, not this machine's. Every few
seconds the worker writes a small record to ``riskstream-clock``, which the broker stamps (LogAppendTime) and whose stamp comes
back with its acknowledgement. Between two of them time goes on by the monotonic clock, which nobody sets. That time never
runs ahead of the broker's: it is the stamp, and what has passed since its acknowledgement.

Where the two clocks are further apart than the bound, one of them is wrong, and nobody here can tell which. Then time stands
still: nothing expires and no policy begins, until they agree again. Money that waits longer is the lesser harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException, Producer
from prometheus_client import CollectorRegistry, Gauge

from stream.log.connect import producer_config
from stream.log.topics import CLOCK
from stream.settings import Settings

logger = logging.getLogger("riskstream.clock")
INTERVAL_S: Final = 5.0
ANSWER_S: Final = 5.0
"""A record that is not acknowledged by then tells nothing."""
SILENT_S: Final = 30.0
"""A measurement counts for so long."""
_MS: Final = 1000


def wall_us() -> int:
    """This machine's clock, µs since the epoch."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """One record that was stamped.

    Parameters
    ----------
    sent, acknowledged
        This machine's clock before and after, µs since the epoch.
    stamp
        The broker's, µs since the epoch, in whole milliseconds.
    """

    sent: int
    acknowledged: int
    stamp: int

    @property
    def skew(self) -> int:
        """How far this machine's clock is ahead of the broker's at least, µs; negative where it is behind, 0 where the
        record's own way explains all of it.

        >>> Reading(1_000_000, 1_004_000, 1_002_000).skew, Reading(9_000_000, 9_004_000, 1_002_000).skew
        (0, 7997001)
        >>> Reading(0, 4_000, 1_002_000).skew
        -998000
        """
        ahead, behind = self.sent - (self.stamp + _MS - 1), self.acknowledged - self.stamp
        return ahead if ahead > 0 else min(behind, 0)


class BrokerClock:
    """Measures on a thread, from :meth:`start` to :meth:`stop`.

    Parameters
    ----------
    settings
        Broker, topic prefix and the bound, ``clock_skew_limit_s``.
    worker
        Whose clock it is, written into the records for whoever looks at them.
    registry
        Where ``riskstream_clock_skew_seconds`` is shown; NaN until there is a measurement.
    now_us
        This machine's clock, µs since the epoch: what is measured. A test hands in a wrong one.
    monotonic
        Seconds that nobody sets.
    """

    def __init__(
        self,
        settings: Settings,
        worker: str,
        registry: CollectorRegistry,
        now_us: Callable[[], int] = wall_us,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._now_us = now_us
        self._monotonic = monotonic
        self._topic = settings.topic(CLOCK)
        self._gauge = Gauge(
            "riskstream_clock_skew_seconds",
            "This worker's clock ahead of the broker's, at least; negative where it is behind.",
            registry=registry,
        )
        self._gauge.set(float("nan"))
        self._lock = threading.Lock()
        self._read: tuple[Reading, float] | None = None
        self._stood = 0
        """Where time stands while the clocks differ, µs."""
        self._why = "has not been measured yet"
        self._started_us = now_us()
        self._measured = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    @property
    def failure(self) -> str:
        """Why time stands still, and what to do; empty while it goes on."""
        with self._lock:
            return self._failure()

    def expiry_us(self) -> int:
        """The broker's time, µs since the epoch, which has come for certain; 0 while that cannot be said."""
        with self._lock:
            return 0 if self._failure() else self._broker_us()

    def policy_us(self) -> int:
        """The time at which policies are in force, µs since the epoch: it stands still while the clocks differ.

        A worker that starts with a wrong clock takes the broker's time of its first measurement; one that could never
        measure, this machine's at its start.
        """
        with self._lock:
            if not self._failure():
                self._stood = max(self._stood, self._broker_us())
            elif not self._stood and self._read is not None:
                self._stood = self._broker_us()
            return self._stood or self._started_us

    def broker_ms(self) -> int | None:
        """The broker's time by its last stamp, ms since the epoch; None before the first.

        It goes on where this machine's clock is wrong, and where no new measurement comes: it bounds event times, and what has
        come by the broker stays so.
        """
        with self._lock:
            return None if self._read is None else self._broker_us() // _MS

    def start(self, patience_s: float = 2 * ANSWER_S) -> None:
        """Start the thread, and wait for its first measurement, at most so long."""
        self._thread.start()
        self._measured.wait(patience_s)
        if self.failure:
            logger.warning("%s", self.failure)

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * ANSWER_S)

    def take(self, reading: Reading) -> None:
        """A record was stamped: what it says counts from now on."""
        with self._lock:
            before = self._failure()
            self._read, self._why = (reading, self._monotonic()), ""
            after = self._failure()
        self._gauge.set(reading.skew / 1e6)
        if bool(before) != bool(after):
            logger.log(logging.WARNING if after else logging.INFO, "%s", after or "the clocks agree: time goes on")

    def _failure(self) -> str:
        if self._read is None:
            return f"this machine's clock {self._why}: nothing expires, and no policy begins"
        reading, at = self._read
        skew = reading.skew / 1e6
        if abs(skew) > self._settings.clock_skew_limit_s:
            return (
                f"this machine's clock is {_span(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the broker's, more than "
                f"clock_skew_limit_s: nothing expires, and no policy begins, until they agree; look at the time service (chrony, "
                "ntpd) of this machine first, then of the broker"
            )
        silent = self._monotonic() - at
        if silent > SILENT_S:
            why = f" ({self._why})" if self._why else ""
            return f"this machine's clock has not been measured for {silent:.0f} s{why}: nothing expires, and no policy begins"
        return ""

    def _broker_us(self) -> int:
        assert self._read is not None, "there is a measurement"
        reading, at = self._read
        return reading.stamp + round((self._monotonic() - at) * 1e6)

    def _run(self) -> None:
        producer: Producer | None = None
        while not self._stop.is_set():
            try:
                producer = producer or Producer(_configuration(self._settings))
                self._measure(producer)
            except (KafkaException, BufferError) as error:
                self._told(f"cannot be measured: {_text(error)}")
                producer = None
            except Exception as error:
                # it must not end all expiries of this worker in silence: the reason is shown, and it is tried again
                logger.exception("the clock could not be measured")
                self._told(f"cannot be measured: {error!r}")
                producer = None
            self._stop.wait(INTERVAL_S)
        if producer is not None:
            producer.flush(1.0)

    def _measure(self, producer: Producer) -> None:
        sent = self._now_us()

        def stamped(error: KafkaError | None, message: Any) -> None:
            kind, stamp = message.timestamp()
            if error is not None:
                self._told(f"cannot be measured: writing to {self._topic}: {error.str()}; this user needs Write on it")
            elif kind != TIMESTAMP_LOG_APPEND_TIME:
                self._told(
                    f"cannot be measured: the broker does not stamp {self._topic}; kafka-configs --alter --topic {self._topic} "
                    "--add-config message.timestamp.type=LogAppendTime"
                )
            else:
                self.take(Reading(sent, self._now_us(), stamp * _MS))
            self._measured.set()

        value = orjson.dumps({"worker": self._worker, "clock_us": sent})
        producer.produce(self._topic, value, self._worker, partition=0, on_delivery=stamped)
        producer.flush(2 * ANSWER_S)

    def _told(self, why: str) -> None:
        with self._lock:
            known, self._why = self._why, why
        if why != known:
            logger.warning("this machine's clock %s", why)


def _configuration(settings: Settings) -> dict[str, Any]:
    """A producer that needs no right but Write on its topic; a record that comes late tells less, twice nothing else."""
    return {
        **producer_config(settings),
        "enable.idempotence": False,
        "acks": 1,
        "linger.ms": 0,
        "message.timeout.ms": round(ANSWER_S * 1000),
    }


def _text(error: Exception) -> str:
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return str(error.args[0].str())
    return str(error)


def _span(seconds: float) -> str:
    """A length of time for people.

    >>> _span(172_800.4), _span(7_260.0), _span(12.34)
    ('2 d 0 h', '2 h 1 min', '12.3 s')
    """
    if seconds >= 86_400:
        return f"{seconds // 86_400:.0f} d {seconds % 86_400 // 3_600:.0f} h"
    if seconds >= 3_600:
        return f"{seconds // 3_600:.0f} h {seconds % 3_600 // 60:.0f} min"
    return f"{seconds:.1f} s"
