"""Why a broker that is there cannot be used: asked of its port directly.

The clients say "disconnected" or "handshake failed" for many causes. A port is asked in three steps: does it accept a
connection, does it speak TLS (and is its certificate good, and ours good enough for it), does it ask for a user. The
first step whose answer is not what the settings say is the cause.
"""

from __future__ import annotations

import socket
import ssl
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from stream.log.certificate import validity, validity_of_file
from stream.log.credentials import tls_context, uses_sasl, uses_tls
from stream.settings import Settings

ASK_TIMEOUT_S: Final = 2.0
"""How long one question to a port may take."""
MOST_SERVERS: Final = 3
"""So many of the bootstrap servers are asked: each takes time, and they are configured alike."""

_API_VERSIONS: Final = 18
_SASL_HANDSHAKE: Final = 17
_UNSUPPORTED_SASL_MECHANISM: Final = 33
_ILLEGAL_SASL_STATE: Final = 34
_LARGEST_ANSWER: Final = 1 << 20

# X.509 verification results of OpenSSL (x509_vfy.h)
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_UNKNOWN_AUTHORITY: Final = (2, 18, 19, 20, 21)
_WRONG_NAME: Final = (62, 63, 64)


def diagnose(settings: Settings) -> str:
    """What keeps a client with these settings from its brokers, and what to do; empty where the ports do not tell.

    A broker that is not there, or does not answer, may still be starting: that is no diagnosis.
    """
    for server in settings.broker.split(",")[:MOST_SERVERS]:
        host, _, port = server.strip().rpartition(":")
        if not host or not port.isdigit():
            continue
        try:
            found = _diagnose(settings, host.strip("[]"), int(port))
        except OSError:
            found = ""
        if found:
            return f"Kafka at {server.strip()}: {found}"
    return ""


def _diagnose(settings: Settings, host: str, port: int) -> str:
    if uses_tls(settings):
        return _through_tls(settings, host, port)
    with socket.create_connection((host, port), ASK_TIMEOUT_S) as plain:
        answer = _ask(plain, _API_VERSIONS)
        if answer is not None:
            return _sasl(settings, plain)
    if _speaks_tls(host, port):
        return (
            f"the port speaks TLS, but RISKSTREAM_SECURITY_PROTOCOL is {settings.security_protocol}; set it to SSL, or "
            "SASL_SSL where the broker asks for a user, and RISKSTREAM_SSL_CA to its authority's certificate"
        )
    return ""


def _through_tls(settings: Settings, host: str, port: int) -> str:
    with socket.create_connection((host, port), ASK_TIMEOUT_S) as plain:
        try:
            encrypted = tls_context(settings).wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            return _bad_certificate(settings, error, host, port)
        except (ssl.SSLError, OSError) as error:
            # a listener without TLS takes the greeting for a request of absurd size, and hangs up
            return _plain_port(settings, host, port) or _refused_handshake(settings, error)
        with encrypted:
            try:
                # TLS 1.3: what the broker thinks of the client's certificate comes with its first answer
                answer = _ask(encrypted, _API_VERSIONS)
            except (ssl.SSLError, ConnectionError) as error:
                return _refused_handshake(settings, error)
            return _sasl(settings, encrypted) if answer is not None else ""


def _bad_certificate(settings: Settings, error: ssl.SSLCertVerificationError, host: str, port: int) -> str:
    code = error.verify_code
    begin, end = _validity_there(host, port)
    if code == _EXPIRED:
        return f"the certificate of the broker, or of its authority, expired{_on(end)}; it must be renewed there"
    if code == _NOT_YET_VALID:
        return f"the certificate of the broker is not valid yet{_on(begin)}; look at this machine's clock, or renew it there"
    if code in _WRONG_NAME:
        return (
            f"the broker's certificate is not for {host!r} ({error.verify_message}); name the broker in RISKSTREAM_BROKER "
            "as its certificate does, or have it issued for this name as well"
        )
    trusted = f"RISKSTREAM_SSL_CA={settings.ssl_ca}" if settings.ssl_ca else "this machine's own authorities"
    if code in _UNKNOWN_AUTHORITY:
        return (
            f"the broker's certificate is signed by an authority that is not among {trusted} ({error.verify_message}); "
            "set RISKSTREAM_SSL_CA to the certificate of the authority that signed it"
        )
    return f"the broker's certificate cannot be verified with {trusted}: {error.verify_message}"


def _refused_handshake(settings: Settings, error: Exception) -> str:
    """The broker ended the handshake or its first answer: what it says, and what it may mean."""
    said = str(getattr(error, "reason", None) or error).replace("_", " ").lower()
    if not settings.ssl_certificate:
        return (
            f"the broker ended the TLS connection ({said}): it may ask for a client certificate (mutual TLS), and "
            "none is set; set RISKSTREAM_SSL_CERTIFICATE and RISKSTREAM_SSL_KEY"
        )
    expired = _expired_client_certificate(settings)
    if expired:
        return f"the broker refuses the client's certificate ({said}): {expired}"
    if isinstance(error, ssl.SSLError):
        return (
            f"the broker refuses the client's certificate RISKSTREAM_SSL_CERTIFICATE={settings.ssl_certificate} ({said}); "
            "it must be signed by an authority that the broker trusts, and be for clients"
        )
    return ""


def _expired_client_certificate(settings: Settings) -> str:
    try:
        begin, end = validity_of_file(Path(settings.ssl_certificate))
    except (OSError, ValueError):
        return ""
    now = datetime.now(UTC)
    if end < now:
        return f"RISKSTREAM_SSL_CERTIFICATE={settings.ssl_certificate} expired{_on(end)}; renew it"
    if begin > now:
        return f"RISKSTREAM_SSL_CERTIFICATE={settings.ssl_certificate} is not valid yet{_on(begin)}; look at the clock"
    return ""


def _plain_port(settings: Settings, host: str, port: int) -> str:
    with socket.create_connection((host, port), ASK_TIMEOUT_S) as plain:
        if _ask(plain, _API_VERSIONS) is None:
            return ""
    return (
        f"the port speaks no TLS, but RISKSTREAM_SECURITY_PROTOCOL is {settings.security_protocol}; use the broker's "
        "port for TLS in RISKSTREAM_BROKER, or, where the network itself is trusted, PLAINTEXT or SASL_PLAINTEXT"
    )


def _sasl(settings: Settings, connection: socket.socket) -> str:
    wanted = settings.sasl_mechanism if uses_sasl(settings) else ""
    answer = _ask(connection, _SASL_HANDSHAKE, wanted)
    if answer is None:
        return ""
    code, offered = answer
    if uses_sasl(settings):
        if code == _UNSUPPORTED_SASL_MECHANISM:
            return (
                f"the broker does not support the SASL mechanism {wanted}; it offers {', '.join(offered) or 'none'}: set "
                "RISKSTREAM_SASL_MECHANISM to one of these"
            )
        if code == _ILLEGAL_SASL_STATE:
            without = "SSL" if uses_tls(settings) else "PLAINTEXT"
            return (
                f"the port asks for no user, but RISKSTREAM_SECURITY_PROTOCOL is {settings.security_protocol}; use the "
                f"broker's port for SASL in RISKSTREAM_BROKER, or {without}"
            )
    elif code != _ILLEGAL_SASL_STATE:
        return (
            f"the port asks for a user (SASL, {', '.join(offered) or 'no mechanism said'}), but RISKSTREAM_SECURITY_PROTOCOL is "
            f"{settings.security_protocol}; set it to {'SASL_SSL' if uses_tls(settings) else 'SASL_PLAINTEXT'}, and "
            "RISKSTREAM_SASL_MECHANISM, RISKSTREAM_SASL_USERNAME and RISKSTREAM_SASL_PASSWORD"
        )
    return ""


def _ask(connection: socket.socket, api: int, text: str | None = None) -> tuple[int, list[str]] | None:
    """One request of Kafka's protocol: error code, and the mechanisms where they were asked for; None without an answer."""
    body = b"" if text is None else _string(text)
    request = struct.pack(">hhi", api, 0 if text is None else 1, 1) + _string("riskstream") + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    size = struct.unpack(">i", _exactly(connection, 4) or b"\xff\xff\xff\xff")[0]
    if not 6 <= size <= _LARGEST_ANSWER:  # bytes of another protocol
        return None
    answer = _exactly(connection, size)
    if answer is None:
        return None
    code = struct.unpack(">h", answer[4:6])[0]
    return code, _strings(answer[6:]) if text is not None else []


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    found = b""
    while len(found) < count:
        try:
            more = connection.recv(count - len(found))
        except (TimeoutError, ConnectionError):
            return None
        if not more:
            return None
        found += more
    return found


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">h", len(encoded)) + encoded


def _strings(body: bytes) -> list[str]:
    (count,), at = struct.unpack(">i", body[:4]), 4
    found = []
    for _ in range(min(count, 100)):
        (length,) = struct.unpack(">h", body[at : at + 2])
        found.append(body[at + 2 : at + 2 + length].decode(errors="replace"))
        at += 2 + length
    return found


def _speaks_tls(host: str, port: int) -> bool:
    return bool(_certificate_there(host, port))


def _certificate_there(host: str, port: int) -> bytes:
    """The certificate that a port shows, whoever signed it; empty where it speaks no TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent: only what is shown is read
    try:
        with (
            socket.create_connection((host, port), ASK_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=host) as encrypted,
        ):
            return encrypted.getpeercert(binary_form=True) or b""
    except OSError:  # ssl.SSLError is one
        return b""


def _validity_there(host: str, port: int) -> tuple[datetime | None, datetime | None]:
    try:
        return validity(_certificate_there(host, port))
    except ValueError:
        return None, None


def _on(moment: datetime | None) -> str:
    return "" if moment is None else f" ({moment:%Y-%m-%dT%H:%M:%SZ})"
