"""When the certificates of PEM files end, read from real ones."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from stream.settings import Settings
from stream.worker.health.certificates import NAME, CertificateExpiry, UnreadableCertificate, ends

DAY_S = 86_400


def certificate(path: Path, days: int) -> Path:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(path.with_suffix(".key")),
         "-out", str(path), "-days", str(days), "-subj", "/CN=worker"],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


def expiry(settings: Settings, now: float) -> dict[str, float]:
    (metric,) = CertificateExpiry(settings, lambda: now).collect()
    assert metric.name == NAME
    return {sample.labels["file"]: sample.value for sample in metric.samples}


def test_the_end_of_a_certificate_is_read_from_its_file(tmp_path: Path) -> None:
    made = certificate(tmp_path / "worker.pem", 30)
    told = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in", str(made)], check=True, capture_output=True, text=True
    ).stdout  # fmt: skip
    (end,) = ends(made)
    assert told.strip() == "notAfter=" + time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(end))


def test_a_certificate_of_the_far_future_has_another_form_of_time(tmp_path: Path) -> None:
    (end,) = ends(certificate(tmp_path / "far.pem", 40 * 365))
    assert end == pytest.approx(time.time() + 40 * 365 * DAY_S, abs=DAY_S)


def test_a_chain_is_of_use_until_its_first_end_and_authorities_until_their_last(tmp_path: Path) -> None:
    short, long = certificate(tmp_path / "short.pem", 10), certificate(tmp_path / "long.pem", 100)
    both = tmp_path / "both.pem"
    both.write_bytes(short.read_bytes() + long.read_bytes())
    first, last = sorted(ends(both))
    now = time.time()
    chain = expiry(Settings(ssl_certificate=str(both)), now)
    authorities = expiry(Settings(ssl_ca=str(both)), now)
    assert chain == {str(both): first - now}
    assert authorities == {str(both): last - now}


def test_an_expired_certificate_is_below_zero_and_no_file_no_series(tmp_path: Path) -> None:
    made = certificate(tmp_path / "worker.pem", 1)
    assert expiry(Settings(ssl_certificate=str(made)), ends(made)[0] + 5.0) == {str(made): -5.0}
    assert expiry(Settings(), 0.0) == {}


@pytest.mark.parametrize(
    "content",
    [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
     b"-----BEGIN CERTIFICATE-----\nMIID\n-----END CERTIFICATE-----\n", None],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_of_no_use_now(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableCertificate, match=r"ca\.pem.*(certificate|No such file)"):
        ends(path)
    assert expiry(Settings(ssl_ca=str(path)), time.time()) == {str(path): 0.0}
