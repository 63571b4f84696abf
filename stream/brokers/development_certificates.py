"""Certificates for a Kafka on this machine: an authority of its own, and what it signs. Made by openssl."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stream.errors import RiskstreamError
from stream.private_files import OWNER_UMASK, private_directory, write_private

DAYS: Final = 825
_TIMEOUT_S: Final = 30.0
_CURVE: Final = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Two PEM files that belong together, readable by their owner alone.

    Parameters
    ----------
    certificate, key
        Paths; the key is PKCS#8.
    """

    certificate: Path
    key: Path

    @property
    def both(self) -> str:
        """Key and certificate as one text, as Kafka's PEM key stores have it."""
        return self.key.read_text() + self.certificate.read_text()


class Authority:
    """A certificate authority in a folder, made at its first use.

    Parameters
    ----------
    directory
        Where its files are; owner-only.
    name
        The common name in its certificate.

    Raises
    ------
    RiskstreamError
        openssl is missing, or refuses.
    """

    def __init__(self, directory: Path, name: str = "riskstream development authority") -> None:
        self._directory = directory
        private_directory(directory)
        self.own = Certificate(directory / "ca.pem", directory / "ca.key")
        if not self.own.certificate.exists():
            constraints = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
            self._make(self.own, name, constraints, [])

    def issue(self, name: str, *, hosts: tuple[str, ...] = (), file: str = "") -> Certificate:
        """A certificate signed by this authority, or the one that is there already.

        Parameters
        ----------
        name
            Common name; Kafka's principal for a client.
        hosts
            Names it is for, as openssl writes them (``DNS:localhost``, ``IP:127.0.0.1``): a server's; none: a client's.
        file
            What its files are called, without their endings; as its name where empty.
        """
        stem = file or name
        made = Certificate(self._directory / f"{stem}.pem", self._directory / f"{stem}.key")
        if made.certificate.exists():
            return made
        usage = f"extendedKeyUsage={'serverAuth,clientAuth' if hosts else 'clientAuth'}"
        extensions = (
            "basicConstraints=critical,CA:FALSE",
            usage,
            *([f"subjectAltName={','.join(hosts)}"] * bool(hosts)),
        )
        signed = ["-CA", str(self.own.certificate), "-CAkey", str(self.own.key)]
        self._make(made, name, extensions, signed)
        return made

    def _make(self, into: Certificate, name: str, extensions: tuple[str, ...], signed: list[str]) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            raise RiskstreamError("certificates are made by openssl, which is not installed: apt-get install openssl")
        command = [
            openssl,
            "req",
            "-x509",
            "-noenc",
            *_CURVE,
            *signed,
            "-sha256",
            "-days",
            str(DAYS),
            "-subj",
            f"/CN={name}",
        ]
        command += [word for extension in extensions for word in ("-addext", extension)]
        command += ["-keyout", str(into.key), "-out", str(into.certificate)]
        called = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, umask=OWNER_UMASK
        )
        if called.returncode != 0:
            raise RiskstreamError(f"openssl could not make the certificate of {name}: {called.stderr.strip()[-500:]}")


def key_store(made: Certificate) -> Path:
    """The PEM key store of Kafka for a certificate: one file beside it."""
    path = made.certificate.with_suffix(".store.pem")
    write_private(path, made.both.encode())
    return path
