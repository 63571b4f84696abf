"""When the certificates of the PEM files in the settings end, for Prometheus: told before it is an outage."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream.errors import RiskstreamError
from stream.log.certificate import validity
from stream.settings import Settings

logger = logging.getLogger("riskstream.certificates")
NAME = "riskstream_certificate_expiry_seconds"
LOOK_S = 60.0
"""A file is read again so often: who renews a certificate writes it anew."""
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


class UnreadableCertificate(RiskstreamError):
    """A file of the settings has no certificate that can be read."""


def ends(path: Path) -> list[float]:
    """When the certificates of a PEM file end, s since the epoch, in the file's order.

    Raises
    ------
    UnreadableCertificate
        The file cannot be read, or has none.
    """
    try:
        found = _PEM.findall(path.read_bytes())
        if not found:
            raise UnreadableCertificate("no certificate in it")
        return [validity(ssl.PEM_cert_to_DER_cert(pem.decode("ascii")))[1].timestamp() for pem in found]
    except (OSError, ValueError, UnreadableCertificate) as error:
        raise UnreadableCertificate(f"{path}: {error}") from error


class CertificateExpiry(Collector):
    """Seconds until each PEM file of the settings is of no use; 0 where it cannot be read.

    The client's file is of no use once any certificate of its chain has ended; the authorities' once all of them have:
    which of them the brokers still use cannot be told from the file.

    Parameters
    ----------
    settings
        Where the files are; none, no series.
    now
        s since the epoch.
    """

    def __init__(self, settings: Settings, now: Callable[[], float] = time.time) -> None:
        self._files = [(settings.ssl_ca, max), (settings.ssl_certificate, min)]
        self._now = now
        self._known: dict[str, float] = {}
        self._looked = -LOOK_S

    def collect(self) -> Iterable[Metric]:
        """The metric, as the registry asks for it."""
        if time.monotonic() - self._looked >= LOOK_S:
            self._look()
        metric = GaugeMetricFamily(
            NAME, "Until a PEM file's certificate ends; 0 where it cannot be read.", None, ["file"]
        )
        for file, end in self._known.items():
            metric.add_metric([file], end - self._now() if end else 0.0)
        yield metric

    def _look(self) -> None:
        self._looked = time.monotonic()
        for file, of in self._files:
            if not file:
                continue
            try:
                self._known[file] = of(ends(Path(file)))
            except UnreadableCertificate as error:
                logger.warning("when a certificate ends cannot be told: %s", error)
                self._known[file] = 0.0
