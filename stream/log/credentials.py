"""Who a client of Kafka says it is and whom it trusts: one reading of the settings, for both of the clients in use.

librdkafka (everything that reads and writes) and aiokafka (the member of the workers' group) are configured side by
side here and nowhere else, so that what one can connect with the other can too.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any, Final

from stream.errors import UsageError
from stream.settings import Settings

Configuration = dict[str, str | int | float | bool]

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
"""SASL mechanisms that both clients speak with a user and a password."""


def uses_tls(settings: Settings) -> bool:
    """Whether the connection is encrypted.

    >>> uses_tls(Settings(security_protocol="SASL_SSL")), uses_tls(Settings(security_protocol="SASL_PLAINTEXT"))
    (True, False)
    """
    return settings.security_protocol.endswith("SSL")


def uses_sasl(settings: Settings) -> bool:
    """Whether a user and a password are asked for.

    >>> uses_sasl(Settings(security_protocol="SASL_SSL")), uses_sasl(Settings(security_protocol="SSL"))
    (True, False)
    """
    return settings.security_protocol.startswith("SASL")


def librdkafka(settings: Settings) -> Configuration:
    """Where and how to connect, as librdkafka names it.

    >>> librdkafka(Settings(security_protocol="SSL", ssl_ca="ca.pem"))["ssl.ca.location"]
    'ca.pem'
    """
    connection: Configuration = {
        "bootstrap.servers": settings.broker,
        "security.protocol": settings.security_protocol,
    }
    if uses_sasl(settings):
        connection["sasl.mechanism"] = settings.sasl_mechanism
        connection["sasl.username"] = settings.sasl_username
        connection["sasl.password"] = settings.sasl_password
    if uses_tls(settings):
        connection["ssl.endpoint.identification.algorithm"] = settings.ssl_endpoint_identification
        files = {
            "ssl.ca.location": settings.ssl_ca,
            "ssl.certificate.location": settings.ssl_certificate,
            "ssl.key.location": settings.ssl_key or settings.ssl_certificate,
            "ssl.key.password": settings.ssl_key_password,
        }
        connection.update({name: value for name, value in files.items() if value})
    return connection


def aiokafka(settings: Settings) -> dict[str, Any]:
    """How to connect, as aiokafka names it; where to is Faust's to say.

    Raises
    ------
    UsageError
        As :func:`check`.
    """
    connection: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if uses_sasl(settings):
        connection["sasl_mechanism"] = settings.sasl_mechanism
        connection["sasl_plain_username"] = settings.sasl_username
        connection["sasl_plain_password"] = settings.sasl_password
    if uses_tls(settings):
        connection["ssl_context"] = tls_context(settings)
    return connection


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Whom Python's own TLS trusts and what it shows: the same as librdkafka does.

    Raises
    ------
    UsageError
        A file is missing or is not what it should be, or the key does not open: says which setting.
    """
    authority = Path(settings.ssl_ca) if settings.ssl_ca else None
    try:
        context = ssl.create_default_context(
            cafile=str(authority) if authority and not authority.is_dir() else None,
            capath=str(authority) if authority and authority.is_dir() else None,
        )
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"RISKSTREAM_SSL_CA={settings.ssl_ca}: {_why(error, 'no PEM certificate in it')}; "
            "it must name the PEM file of the authority that signed the brokers' certificates"
        ) from error
    context.check_hostname = settings.ssl_endpoint_identification == "https"
    if settings.ssl_certificate:
        _show_certificate(context, settings)
    return context


def check(settings: Settings) -> None:
    """See to it that the settings can be used at all, before anybody is asked.

    Raises
    ------
    UsageError
        A mechanism that neither client speaks, no user or password where one is needed, a certificate or key that
        cannot be read, or a passphrase that does not open the key: says which setting and what to do.
    """
    if uses_sasl(settings):
        _check_sasl(settings)
    if not uses_tls(settings):
        return
    if settings.ssl_key and not settings.ssl_certificate:
        raise UsageError(
            "RISKSTREAM_SSL_KEY is set, but RISKSTREAM_SSL_CERTIFICATE is not: mutual TLS needs both; "
            "name the client's certificate, or leave the key out"
        )
    tls_context(settings)


def _check_sasl(settings: Settings) -> None:
    if settings.sasl_mechanism not in MECHANISMS:
        said = f"{settings.sasl_mechanism!r} is none that riskstream speaks" if settings.sasl_mechanism else "is empty"
        raise UsageError(
            f"RISKSTREAM_SASL_MECHANISM {said}, and RISKSTREAM_SECURITY_PROTOCOL is {settings.security_protocol}; "
            f"set it to one of {', '.join(MECHANISMS)}"
        )
    for name, value in (("USERNAME", settings.sasl_username), ("PASSWORD", settings.sasl_password)):
        if not value:
            raise UsageError(
                f"RISKSTREAM_SASL_{name} is empty, and RISKSTREAM_SECURITY_PROTOCOL is {settings.security_protocol}; "
                "set user and password, or a protocol without SASL"
            )


def _show_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    key = settings.ssl_key or settings.ssl_certificate
    for variable, path in (("RISKSTREAM_SSL_CERTIFICATE", settings.ssl_certificate), ("RISKSTREAM_SSL_KEY", key)):
        try:
            Path(path).read_bytes()
        except OSError as error:
            raise UsageError(f"{variable}={path}: {error.strerror}; it must name a PEM file") from error
    asked = False

    def passphrase() -> str:
        # Without a function of ours OpenSSL asks the terminal, and a worker would wait there for ever.
        nonlocal asked
        asked = True
        return settings.ssl_key_password

    try:
        context.load_cert_chain(settings.ssl_certificate, key, passphrase)
    except (OSError, ssl.SSLError, ValueError) as error:
        if asked and not settings.ssl_key_password:
            raise UsageError(
                f"RISKSTREAM_SSL_KEY={key}: the key has a passphrase, and RISKSTREAM_SSL_KEY_PASSWORD is empty; set it"
            ) from error
        if asked:
            raise UsageError(
                f"RISKSTREAM_SSL_KEY={key}: RISKSTREAM_SSL_KEY_PASSWORD does not open the key; check the passphrase"
            ) from error
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise UsageError(
                f"RISKSTREAM_SSL_KEY={key} is not the key of RISKSTREAM_SSL_CERTIFICATE={settings.ssl_certificate}; "
                "name the two that were made together"
            ) from error
        raise UsageError(
            f"RISKSTREAM_SSL_CERTIFICATE={settings.ssl_certificate} and RISKSTREAM_SSL_KEY={key} cannot be used: "
            f"{_why(error, 'not a PEM certificate and a PEM key')}"
        ) from error


def _why(error: Exception, otherwise: str) -> str:
    # OpenSSL's own words for a file without PEM in it ("NO_CERTIFICATE_OR_CRL_FOUND", "[SSL] PEM lib") help nobody.
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.strerror:
        return error.strerror
    return otherwise
