"""When the certificates of the PEM files in the settings end, for Prometheus: told before it is an outage."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream.errors import RiskstreamError
from stream.settings import Settings

logger = logging.getLogger("riskstream.certificates")
NAME = "riskstream_certificate_expiry_seconds"
LOOK_S = 60.0
"""A file is read again so often: who renews a certificate writes it anew."""
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _EXPLICIT_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18


class UnreadableCertificate(RiskstreamError):
    """A file of the settings has no certificate that can be read."""


def not_after(der: bytes) -> float:
    """When a certificate ends, s since the epoch (RFC 5280, 4.1.2.5).

    Raises
    ------
    UnreadableCertificate
        It is not DER of an X.509 certificate.
    """
    try:
        body = _contents(_contents(der, _SEQUENCE), _SEQUENCE)
        fields = list(_elements(body))
        # version (absent in v1), serial number, signature, issuer, validity
        validity = fields[4 if fields[0][0] == _EXPLICIT_VERSION else 3][1]
        tag, value = list(_elements(validity))[1]
        text = value.decode("ascii")
        if tag == _UTC_TIME:
            text = ("19" if int(text[:2]) >= 50 else "20") + text
        elif tag != _GENERALIZED_TIME:
            raise ValueError(f"a time of type {tag}")
        return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except (ValueError, IndexError) as error:
        raise UnreadableCertificate(f"not a certificate: {error}") from error


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
        return [not_after(ssl.PEM_cert_to_DER_cert(pem.decode("ascii"))) for pem in found]
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


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and contents of the DER elements that lie one behind the other."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size], "big"), at + size
        if at + length > len(data):
            raise ValueError("it is cut off")
        yield tag, data[at : at + length]
        at += length


def _contents(data: bytes, tag: int) -> bytes:
    found, contents = next(_elements(data), (0, b""))
    if found != tag:
        raise ValueError(f"an element of type {found} where {tag} belongs")
    return contents
