"""A secured Kafka with a listener for every way to sign in, and for every way that it goes wrong."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from stream.brokers.development_certificates import Authority, Certificate, key_store
from stream.brokers.kafka import SECURITY, DevelopmentKafka, free_port
from stream.brokers.secured import HOST, MECHANISM, SERVER_NAMES, USER, Listener, Security
from stream.settings import Settings

PASSPHRASE = "open sesame"

_CA_CONFIGURATION = """
[ca]
default_ca = this
[this]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
default_md = sha256
policy = names
[names]
commonName = supplied
[server]
subjectAltName = IP:127.0.0.1
extendedKeyUsage = serverAuth,clientAuth
"""


@dataclass(frozen=True)
class SignedIn:
    """The broker, and settings that reach it in each way."""

    kafka: DevelopmentKafka
    security: Security
    stranger: Authority
    expired: Certificate
    locked_key: Path

    def settings(self, listener: str, **other: object) -> Settings:
        """Settings for a listener by its name, with others on top."""
        found = next(one for one in self.security.listeners if one.name == listener)
        said: dict[str, object] = {"broker": f"{HOST}:{found.port}", "security_protocol": found.protocol}
        if found.protocol.startswith("SASL"):
            said |= {"sasl_mechanism": MECHANISM, "sasl_username": USER}
            said |= {"sasl_password": self.security.passwords[USER]}
        if found.protocol.endswith("SSL"):
            said |= {"ssl_ca": str(self.security.certificate_of_authority)}
        if found.protocol == "SSL":
            client = self.security.client
            said |= {"ssl_certificate": str(client.certificate), "ssl_key": str(client.key)}
        return Settings.model_validate(said | other)


def openssl(*words: object) -> None:
    """Run openssl, which must succeed."""
    called = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, timeout=30, check=False)
    assert called.returncode == 0, called.stderr


def expired_certificate(authority: Authority, folder: Path) -> Certificate:
    """A certificate of ``riskstream``, a good one but for January 2020 alone; for servers and clients."""
    folder.mkdir()
    made = Certificate(folder / "expired.pem", folder / "expired.key")
    (folder / "index").touch()
    (folder / "ca.conf").write_text(_CA_CONFIGURATION.format(folder=folder))
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    openssl("req", "-new", *curve, "-noenc", "-subj", f"/CN={USER}", "-keyout", made.key, "-out", folder / "request")
    signed = ("-cert", authority.own.certificate, "-keyfile", authority.own.key)
    dates = ("-startdate", "20200101000000Z", "-enddate", "20200201000000Z")
    files = ("-in", folder / "request", "-out", made.certificate, "-extensions", "server")
    openssl("ca", "-batch", "-notext", "-config", folder / "ca.conf", *signed, *dates, *files)
    return made


def signed_in(folder: Path) -> SignedIn:
    """A secured broker, not yet started."""
    stranger = Authority(folder / "stranger", "somebody else's authority")
    foreign = key_store(stranger.issue("broker", hosts=SERVER_NAMES))
    own = Authority(folder / "kafka" / SECURITY)
    named = key_store(own.issue("broker", hosts=("DNS:kafka.bank.example",), file="named"))
    expired = expired_certificate(own, folder / "expired")
    listeners = (
        Listener("SASLSSL", "SASL_SSL", free_port()),
        Listener("MUTUAL", "SSL", free_port()),
        Listener("SASLPLAIN", "SASL_PLAINTEXT", free_port()),
        Listener("EXPIRED", "SASL_SSL", free_port(), key_store(expired)),
        Listener("FOREIGN", "SASL_SSL", free_port(), foreign),
        Listener("NAMED", "SASL_SSL", free_port(), named),
    )
    security = Security(folder / "kafka" / SECURITY, listeners)
    locked = folder / "locked.key"
    openssl("pkey", "-in", security.client.key, "-aes256", "-passout", f"pass:{PASSPHRASE}", "-out", locked)
    kafka = DevelopmentKafka(listeners[0].port, folder / "kafka", security=security, progress=print)
    return SignedIn(kafka, security, stranger, expired, locked)
