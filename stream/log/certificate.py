"""How long a certificate is valid: read from its bytes (RFC 5280), for messages that name the day."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_END: Final = "-----END CERTIFICATE-----"
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18


def validity(der: bytes) -> tuple[datetime, datetime]:
    """First and last instant of a certificate's validity, UTC.

    Raises
    ------
    ValueError
        These bytes are no X.509 certificate.
    """
    try:
        certificate = _children(der, _SEQUENCE)
        fields = _children(certificate[0], _SEQUENCE)
        if fields[0][0] == _VERSION:
            fields = fields[1:]
        begin, end = _children(fields[3], _SEQUENCE)  # after serial number, signature algorithm and issuer
        return _time(begin), _time(end)
    except (IndexError, KeyError) as error:
        raise ValueError("not an X.509 certificate") from error


def validity_of_file(path: Path) -> tuple[datetime, datetime]:
    """The validity of the first certificate of a PEM file.

    Raises
    ------
    OSError
        It cannot be read.
    ValueError
        There is no certificate in it.
    """
    text = path.read_text(encoding="ascii", errors="replace")
    begin = text.find("-----BEGIN CERTIFICATE-----")
    end = text.find(_END, begin)
    if begin < 0 or end < 0:
        raise ValueError(f"{path}: no PEM certificate in it")
    return validity(ssl.PEM_cert_to_DER_cert(text[begin : end + len(_END)]))


def _children(der: bytes, tag: int) -> list[bytes]:
    """The elements inside one element of DER, each with its head."""
    if der[0] != tag:
        raise KeyError(der[0])
    at, stop = _body(der, 0)
    found = []
    while at < stop:
        _, end = _body(der, at)
        found.append(der[at:end])
        at = end
    return found


def _body(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the element at ``at`` begins and ends."""
    length, begin = der[at + 1], at + 2
    if length >= 0x80:
        octets = length & 0x7F
        length, begin = int.from_bytes(der[begin : begin + octets], "big"), begin + octets
    return begin, begin + length


def _time(der: bytes) -> datetime:
    begin, end = _body(der, 0)
    text = der[begin:end].decode("ascii")
    if der[0] == _UTC_TIME:  # two digits of the year: 50 and above are of the last century
        text = ("19" if text[:2] >= "50" else "20") + text
    elif der[0] != _GENERALIZED_TIME:
        raise KeyError(der[0])
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
