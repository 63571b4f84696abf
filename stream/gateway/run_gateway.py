"""Run one gateway process: sessions one after the other, and the port of metrics and probes."""

from __future__ import annotations

import gc
import logging
import signal
import threading
import time
from http import HTTPStatus
from typing import Final, cast

import orjson
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from stream.errors import RiskstreamError
from stream.gateway.gateway_metrics import GatewayMetrics
from stream.gateway.session import GatewaySession
from stream.http_port import HttpPort
from stream.iso20022.terms import ReadingTerms
from stream.log.topics import ensure_gateway_topics
from stream.logs import Format, set_up
from stream.settings import Settings

logger = logging.getLogger("riskstream.gateway")
FIRST_BACKOFF_S: Final = 1.0
LAST_BACKOFF_S: Final = 30.0


class Gateway:
    """Runs sessions until it is stopped; a failure is logged, shown, counted and followed by a new session.

    Parameters
    ----------
    settings, terms
        As in :class:`GatewaySession`.
    """

    def __init__(self, settings: Settings, terms: ReadingTerms) -> None:
        self._settings, self._terms = settings, terms
        self.registry = CollectorRegistry()
        self._metrics = GatewayMetrics(self.registry)
        self._stop = threading.Event()
        self._stepped = time.monotonic()
        self._works = False
        self._reason = "has not joined its group yet"

    @property
    def failure(self) -> str:
        """Why nothing is converted or answered now; empty while all is well, also where another process works."""
        if not self._reason and not self.live:
            return f"has not taken a step for {time.monotonic() - self._stepped:.0f} s"
        return self._reason

    @property
    def live(self) -> bool:
        """Whether it takes steps, or tries to."""
        allowed = max(self._settings.stall_timeout_s, self._settings.recovery_timeout_s)
        return time.monotonic() - self._stepped <= allowed

    def stop(self) -> None:
        """End after the step that is being taken."""
        self._stop.set()

    def run(self) -> None:
        """Run on the calling thread until :meth:`stop`."""
        backoff = FIRST_BACKOFF_S
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._run_session()
                continue
            except (KafkaException, RiskstreamError) as error:
                self._failed(_text(error))
            except Exception as error:
                # a programming error must not end all answers in silence either
                logger.exception("the gateway failed")
                self._failed(repr(error))
            backoff = FIRST_BACKOFF_S if time.monotonic() - began > LAST_BACKOFF_S else backoff
            self._stop.wait(backoff)
            self._stepped = time.monotonic()
            backoff = min(2 * backoff, LAST_BACKOFF_S)

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body of a path of the port."""
        path = path.partition("?")[0]
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self.registry)
        failure, live = self.failure, self.live
        fine = {"/live": live, "/ready": not failure}.get(path)
        if fine is None:
            return HTTPStatus.NOT_FOUND, "text/plain", b"/metrics, /live and /ready are here\n"
        body = orjson.dumps({"live": live, "ready": not failure, "works": self._works, "reason": failure}) + b"\n"
        return HTTPStatus.OK if fine else HTTPStatus.SERVICE_UNAVAILABLE, "application/json", body

    def _run_session(self) -> None:
        session = GatewaySession(self._settings, self._terms, self._metrics)
        try:
            while not self._stop.is_set():
                session.step()
                self._stepped = time.monotonic()
                self._works = session.works
                if session.joined:
                    self._reason = ""
        finally:
            self._works = False
            session.close()

    def _failed(self, reason: str) -> None:
        self._reason = reason
        self._metrics.failures.inc()
        logger.error("nothing is converted or answered at the moment: %s; trying again", reason)


def run_gateway(settings: Settings, terms: ReadingTerms) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status."""
    set_up(cast(Format, settings.log_format))
    ensure_gateway_topics(settings)
    gateway = Gateway(settings, terms)
    port = HttpPort(
        settings.metrics_host, settings.metrics_port, gateway.answer, settings.metrics_connections, settings.metrics_request_s
    )  # fmt: skip
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: gateway.stop())
    port.start()
    logger.info("metrics, liveness and readiness on http://%s:%d/metrics, /live, /ready", *port.address)
    # what was imported lives as long as the process: keep the collector from walking it again and again
    gc.collect()
    gc.freeze()
    try:
        gateway.run()
    finally:
        port.stop()
    return 0


def _text(error: Exception) -> str:
    if isinstance(error, KafkaException) and error.args and isinstance(error.args[0], KafkaError):
        return str(error.args[0].str())
    return str(error)
