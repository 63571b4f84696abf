"""The holds agent: every review that was alerted and every challenge ends in one resolution, by a verdict or by its stated expiry.

    risk.alerts.v1 ──────────┐
    riskstream-challenges ───┼▶ holds ─┬▶ risk.resolutions.v1
    bank.feedback.v1 ────────┘         └▶ riskstream-holds-rows (open holds, early verdicts, what has ended)

A consumer group of its own, on a thread of its own: it neither slows decisions down nor is slowed down by them. What
it reads, publishes and remembers commits in one Kafka transaction, so that a kill at any point repeats nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CollectorRegistry

from stream.errors import RiskstreamError
from stream.log.set_aside import SetAside
from stream.settings import Settings
from stream.worker.agents.holds_metrics import HoldsMetrics
from stream.worker.agents.holds_session import HoldsSession

logger = logging.getLogger("riskstream.holds")
FIRST_BACKOFF_S, LAST_BACKOFF_S = 1.0, 30.0


class HoldsAgent:
    """Runs sessions on a thread, one after the other, until it is stopped; a failure is logged, shown and retried.

    Parameters
    ----------
    settings, trusts, registry, transactional, expiry_us, by_record, aside
        As in :class:`HoldsSession`; ``registry`` and ``aside`` are the worker's.
    restarted
        Told each time a session failed and the next one is to begin.
    """

    def __init__(
        self,
        settings: Settings,
        trusts: Callable[[str], bool],
        registry: CollectorRegistry,
        *,
        transactional: bool = True,
        expiry_us: Callable[[], int] | None = None,
        by_record: bool = False,
        aside: SetAside | None = None,
        restarted: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._aside = aside or SetAside(settings.topic_prefix)
        self._restarted = restarted
        self._settings = settings
        self._by_record = by_record
        self._trusts = trusts
        self._expiry_us = expiry_us
        self._metrics = HoldsMetrics(registry)
        self._transactional = transactional
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.run, name="holds", daemon=True)
        self._stepped = time.monotonic()
        self._backoff = FIRST_BACKOFF_S
        self._reason = "has not joined its group yet"

    @property
    def failure(self) -> str:
        """Why holds do not end now, for the watchdog; empty while all is well."""
        silent = time.monotonic() - self._stepped
        if not self._reason and silent > max(self._settings.stall_timeout_s, self._settings.recovery_timeout_s):
            return f"has not taken a step for {silent:.0f} s"
        return self._reason

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its step; nothing is half done."""
        self._stop.set()
        self._thread.join(10.0)

    def run(self) -> None:
        """Run on the calling thread until :meth:`stop`."""
        while not self._stop.is_set():
            try:
                self._run_session()
            except (KafkaException, RiskstreamError) as error:
                self._failed(_text(error))
            except Exception as error:
                # a programming error must not end all holds of this worker in silence either
                logger.exception("the holds agent failed")
                self._failed(repr(error))

    def _run_session(self) -> None:
        session = HoldsSession(
            self._settings, self._trusts, self._metrics, self._transactional, self._by_record,
            expiry_us=self._expiry_us, aside=self._aside,
        )  # fmt: skip
        try:
            while not self._stop.is_set():
                session.step()
                self._stepped = time.monotonic()
                if session.joined:
                    self._reason = "; ".join(session.left_alone.values())
        finally:
            session.close()

    def _failed(self, reason: str) -> None:
        again = bool(self._reason)
        self._backoff = min(2 * self._backoff, LAST_BACKOFF_S) if again else FIRST_BACKOFF_S
        self._reason = reason
        self._restarted("holds")
        logger.error("holds do not end at the moment: %s; trying again in %.0f s", reason, self._backoff)
        self._stop.wait(self._backoff)


def _text(error: Exception) -> str:
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return str(error.args[0].str())
    return str(error)
