"""Both clients of Kafka are told the same about who one is and whom one trusts."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import faust
import pytest

from stream.brokers.development_certificates import Authority
from stream.errors import UsageError
from stream.log.certificate import validity, validity_of_file
from stream.log.credentials import MECHANISMS, aiokafka, check, librdkafka, tls_context
from stream.settings import Settings
from stream.worker.transport.app import faust_credentials

USER = {"sasl_username": "u", "sasl_password": "p"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("protocol", ["SASL_SSL", "SASL_PLAINTEXT"])
def test_user_password_and_mechanism_reach_all_three_clients(protocol: str, mechanism: str) -> None:
    settings = Settings(security_protocol=protocol, sasl_mechanism=mechanism, **USER)
    check(settings)
    plain, member, faust_own = librdkafka(settings), aiokafka(settings), faust_credentials(settings)
    assert (plain["sasl.mechanism"], plain["sasl.username"], plain["sasl.password"]) == (mechanism, "u", "p")
    assert member["security_protocol"] == plain["security.protocol"] == protocol
    assert (member["sasl_mechanism"], member["sasl_plain_username"]) == (mechanism, "u")
    assert isinstance(faust_own, faust.SASLCredentials)
    assert (faust_own.protocol.value, faust_own.mechanism.value) == (protocol, mechanism)
    assert (faust_own.ssl_context is not None) == (protocol == "SASL_SSL")


def test_certificates_reach_all_three_clients(authority: Authority) -> None:
    client, ca = authority.issue("client"), str(authority.own.certificate)
    files = {"ssl_ca": ca, "ssl_certificate": str(client.certificate), "ssl_key": str(client.key)}
    settings = Settings(security_protocol="SSL", ssl_key_password="unused", **files)
    check(settings)
    plain, member, faust_own = librdkafka(settings), aiokafka(settings), faust_credentials(settings)
    assert plain["ssl.ca.location"] == ca
    assert plain["ssl.key.password"] == "unused"
    assert plain["ssl.endpoint.identification.algorithm"] == "https"
    context = member["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert [found["subject"] for found in context.get_ca_certs()] == [
        ((("commonName", "riskstream development authority"),),)
    ]
    assert isinstance(faust_own, faust.SSLCredentials)
    assert faust_own.context.check_hostname


def test_a_folder_of_authorities_is_taken_by_both(authority: Authority, tmp_path: Path) -> None:
    settings = Settings(security_protocol="SSL", ssl_ca=str(tmp_path))
    assert librdkafka(settings)["ssl.ca.location"] == str(tmp_path)
    assert tls_context(settings).verify_mode == ssl.CERT_REQUIRED


def test_only_what_the_protocol_uses_is_told(authority: Authority) -> None:
    settings = Settings(security_protocol="PLAINTEXT", sasl_mechanism="PLAIN", ssl_ca="absent.pem", **USER)
    check(settings)
    assert sorted(librdkafka(settings)) == ["bootstrap.servers", "security.protocol"]
    assert aiokafka(settings) == {"security_protocol": "PLAINTEXT"}
    assert faust_credentials(settings) is None


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ({"security_protocol": "SASL_SSL", **USER}, r"RISKSTREAM_SASL_MECHANISM is empty.*SCRAM-SHA-512"),
        (
            {"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI", **USER},
            "'GSSAPI' is none that riskstream speaks",
        ),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_password": "p"}, "USERNAME is empty"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_username": "u"}, "PASSWORD is empty"),
        ({"security_protocol": "SSL", "ssl_key": "client.key"}, "RISKSTREAM_SSL_CERTIFICATE is not"),
        ({"security_protocol": "SSL", "ssl_certificate": "no.pem"}, "RISKSTREAM_SSL_CERTIFICATE=no.pem: No such file"),
        ({"security_protocol": "SSL", "ssl_certificate": __file__}, "not a PEM certificate"),
        ({"security_protocol": "SSL", "ssl_ca": __file__}, "no PEM certificate in it"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_their_name(said: dict[str, str], refused: str) -> None:
    with pytest.raises(UsageError, match=refused):
        check(Settings.model_validate(said))


def test_secrets_are_masked_where_settings_are_shown() -> None:
    settings = Settings(ssl_key_password="sesame", sasl_password="guess")
    assert "sesame" not in repr(settings)
    assert "guess" not in repr(settings)


def test_the_validity_of_a_certificate_is_read_from_its_bytes(authority: Authority) -> None:
    begin, end = validity_of_file(authority.own.certificate)
    now = datetime.now(UTC)
    assert begin <= now < end
    assert end - begin == timedelta(days=825)


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x82\xff", b"\x02\x01\x00", b"\x30\x03\x30\x01\x00" * 3])
def test_bytes_that_are_no_certificate_are_refused(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"not an X\.509 certificate"):
        validity(der)


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(ValueError, match="no PEM certificate in it"):
        validity_of_file(tmp_path / "empty.pem")


def test_keys_are_for_their_owner_alone(authority: Authority) -> None:
    client = authority.issue("somebody")
    assert client.key.stat().st_mode & 0o777 == 0o600
    assert client.certificate.parent.stat().st_mode & 0o777 == 0o700
