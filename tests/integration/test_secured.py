"""A line on a Kafka that asks who one is; and what is said when it does not like the answer."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from plain_traffic import traffic
from signed_in import PASSPHRASE, SignedIn, signed_in

from stream.brokers.kafka import DevelopmentKafka, free_port
from stream.errors import BrokerNotReachable, RiskstreamError
from stream.log.connect import check_reachable
from stream.log.credentials import librdkafka
from stream.log.topics import ensure_topics
from stream.settings import Settings

pytestmark = pytest.mark.kafka

RISKSTREAM = Path(sys.executable).with_name("riskstream")
SAID_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignedIn]:
    made = signed_in(tmp_path_factory.mktemp("secured"))
    try:
        made.kafka.start()
    except RiskstreamError as error:
        pytest.fail(f"these tests need a real Kafka: {error}", pytrace=False)
    yield made
    made.kafka.stop()
    made.kafka.wipe()


def run(settings: Settings, *arguments: str) -> tuple[int, str, str]:
    """A command as somebody runs it: status, what it printed, what it said on stderr."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("RISKSTREAM_")}
    own = settings.model_dump(exclude_defaults=True)
    environment = others | {f"RISKSTREAM_{name.upper()}": str(value) for name, value in own.items()}
    called = subprocess.run(
        [RISKSTREAM, *arguments], env=environment, capture_output=True, text=True, timeout=120, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return called.returncode, called.stdout, called.stderr


@pytest.mark.parametrize("listener", ["SASLSSL", "MUTUAL", "SASLPLAIN"])
def test_a_worker_decides_wherever_it_signs_in(
    bank: SignedIn, line_class: Any, until: Any, topic_prefix: str, tmp_path: Path, listener: str
) -> None:
    settings = bank.settings(listener, topic_prefix=topic_prefix, partitions=1, data_directory=str(tmp_path / "data"))
    line = line_class(settings, tmp_path)
    worker = line.worker()
    try:
        until(lambda: "ready: True" in line.log(0) or worker.poll() is not None, "a worker that is ready", 90)
        assert worker.poll() is None, line.log(0)
        payments = traffic(1)[0]
        line.send("bank.transactions.v1", payments)
        until(lambda: len(line.records("risk.decisions.v1", 1)) == 1, "the decision", 60)
        decided = json.loads(line.records("risk.decisions.v1", 1)[0].value)
        assert decided["transaction_id"] == json.loads(payments[0])["transaction_id"]
    finally:
        line.stop()
    assert worker.returncode == 0, line.log(0)


def cases(bank: SignedIn) -> dict[str, tuple[Settings, int, str]]:
    """What is wrong: settings, exit status, what must be said."""
    reach = bank.settings
    foreign_ca = str(bank.stranger.own.certificate)
    plain_port, tls_port = reach("SASLPLAIN").broker, reach("SASLSSL").broker
    strange = bank.stranger.issue("riskstream")
    locked = str(bank.locked_key)
    return {
        "an expired certificate": (reach("EXPIRED"), 3, "expired (2020-02-01T00:00:00Z)"),
        "an unknown authority": (reach("FOREIGN"), 3, "signed by an authority that is not among RISKSTREAM_SSL_CA="),
        "another authority is trusted": (reach("SASLSSL", ssl_ca=foreign_ca), 3, "signed by an authority that is not"),
        "a name that the certificate has not": (reach("NAMED"), 3, "certificate is not for '127.0.0.1'"),
        "plain text to a port for TLS": (
            reach("SASLPLAIN", broker=tls_port), 3, "the port speaks TLS, but RISKSTREAM_SECURITY_PROTOCOL is SASL_PLAINTEXT",
        ),
        "neither TLS nor a user": (
            Settings(broker=tls_port), 3, "the port speaks TLS, but RISKSTREAM_SECURITY_PROTOCOL is PLAINTEXT",
        ),
        "TLS to a plain port": (
            reach("SASLSSL", broker=plain_port), 3, "the port speaks no TLS, but RISKSTREAM_SECURITY_PROTOCOL is SASL_SSL",
        ),
        "no user where one is asked for": (Settings(broker=plain_port), 3, "the port asks for a user (SASL, SCRAM-SHA-512)"),
        "a user where none is asked for": (
            reach("SASLSSL", broker=reach("MUTUAL").broker, ssl_certificate=str(bank.security.client.certificate),
                  ssl_key=str(bank.security.client.key)), 3, "the port asks for no user",
        ),
        "a mechanism that the broker lacks": (
            reach("SASLSSL", sasl_mechanism="SCRAM-SHA-256"), 3,
            "does not support the SASL mechanism SCRAM-SHA-256; it offers SCRAM-SHA-512",
        ),
        "a mechanism that nobody speaks": (reach("SASLSSL", sasl_mechanism="SCRAM-SHA-1"), 2, "is none that riskstream speaks"),
        "a wrong password": (reach("SASLSSL", sasl_password="guessed"), 3, "refused user 'riskstream' (SCRAM-SHA-512)"),
        "a user that is not there": (reach("SASLPLAIN", sasl_username="mallory"), 3, "refused user 'mallory'"),
        "no client certificate": (
            reach("MUTUAL", ssl_certificate="", ssl_key=""), 3, "it may ask for a client certificate (mutual TLS), and none is set",
        ),
        "an expired client certificate": (
            reach("MUTUAL", ssl_certificate=str(bank.expired.certificate), ssl_key=str(bank.expired.key)), 3,
            f"RISKSTREAM_SSL_CERTIFICATE={bank.expired.certificate} expired (2020-02-01T00:00:00Z)",
        ),
        "a client certificate of another authority": (
            reach("MUTUAL", ssl_certificate=str(strange.certificate), ssl_key=str(strange.key)), 3,
            "the broker refuses the client's certificate",
        ),
        "a key whose passphrase is not set": (
            reach("MUTUAL", ssl_key=locked), 2, "the key has a passphrase, and RISKSTREAM_SSL_KEY_PASSWORD is empty",
        ),
        "a key whose passphrase is wrong": (
            reach("MUTUAL", ssl_key=locked, ssl_key_password="guessed"), 2, "RISKSTREAM_SSL_KEY_PASSWORD does not open the key",
        ),
        "the key of another certificate": (
            reach("MUTUAL", ssl_key=str(strange.key)), 2, "is not the key of RISKSTREAM_SSL_CERTIFICATE",
        ),
        "a certificate file that is none": (reach("SASLSSL", ssl_ca=__file__), 2, "no PEM certificate in it"),
        "no such file": (reach("SASLSSL", ssl_ca="absent.pem"), 2, "absent.pem: No such file"),
    }  # fmt: skip


CASES = [
    "an expired certificate", "an unknown authority", "another authority is trusted", "a name that the certificate has not",
    "plain text to a port for TLS", "neither TLS nor a user", "TLS to a plain port", "no user where one is asked for",
    "a user where none is asked for", "a mechanism that the broker lacks", "a mechanism that nobody speaks",
    "a wrong password", "a user that is not there", "no client certificate", "an expired client certificate",
    "a client certificate of another authority", "a key whose passphrase is not set", "a key whose passphrase is wrong",
    "the key of another certificate", "a certificate file that is none", "no such file",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_reason_why_one_cannot_connect_is_told_by_its_name(bank: SignedIn, case: str) -> None:
    settings, status, said = cases(bank)[case]
    with pytest.raises(RiskstreamError) as refusal:
        check_reachable(settings, SAID_WITHIN_S)
    assert said in str(refusal.value)
    assert refusal.value.exit_status == status
    assert "guessed" not in str(refusal.value)


def test_every_case_is_tried(bank: SignedIn) -> None:
    assert sorted(cases(bank)) == sorted(CASES)


@pytest.mark.parametrize("command", ["worker", "doctor", "status"])
@pytest.mark.parametrize(
    "case",
    ["an expired certificate", "a wrong password", "plain text to a port for TLS", "a key whose passphrase is wrong"],
)
def test_worker_doctor_and_status_say_it_alike_and_end_soon(bank: SignedIn, command: str, case: str) -> None:
    settings, status, said = cases(bank)[case]
    begin = time.monotonic()
    ended, out, err = run(settings, command)
    # a slow machine imports for seconds; the reason itself is found within the time of one connection
    assert time.monotonic() - begin < 60
    assert said in out + err
    assert "Traceback" not in err
    assert ended == status


def test_a_key_with_a_passphrase_signs_in_where_it_is_said(bank: SignedIn) -> None:
    settings = bank.settings("MUTUAL", ssl_key=str(bank.locked_key), ssl_key_password=PASSPHRASE)
    assert check_reachable(settings).brokers


def test_key_and_certificate_may_stand_in_one_file(bank: SignedIn, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(bank.security.client.both)
    assert check_reachable(bank.settings("MUTUAL", ssl_certificate=str(both), ssl_key="")).brokers


def test_any_name_will_do_only_where_that_is_said(bank: SignedIn) -> None:
    settings = bank.settings("NAMED", ssl_endpoint_identification="none")
    assert check_reachable(settings).brokers
    with pytest.raises(BrokerNotReachable):
        check_reachable(bank.settings("NAMED"))


def test_a_user_that_may_not_create_topics_is_told_what_to_ask_for(bank: SignedIn, topic_prefix: str) -> None:
    made = bank.security.authority.issue("visitor")
    settings = bank.settings(
        "MUTUAL", topic_prefix=topic_prefix, ssl_certificate=str(made.certificate), ssl_key=str(made.key)
    )
    status, _, said = run(settings, "worker")
    assert status == 1
    assert f"topic {topic_prefix}bank.transactions.v1 could not be created" in said
    assert "may not create topics" in said
    assert "Traceback" not in said
    with pytest.raises(RiskstreamError, match="may not create topics"):
        ensure_topics(settings)


def test_up_secure_writes_settings_that_work_and_files_for_their_owner_alone(tmp_path: Path) -> None:
    port = str(free_port())
    others = {name: value for name, value in os.environ.items() if not name.startswith("RISKSTREAM_")}
    environment = others | {"RISKSTREAM_DATA_DIRECTORY": str(tmp_path / "data of mine")}

    def kafka(*arguments: str) -> tuple[int, dict[str, Any]]:
        called = subprocess.run(
            [RISKSTREAM, "kafka", *arguments, "--port", port, "--json"], env=environment, cwd=tmp_path, umask=0,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return called.returncode, json.loads(called.stdout.splitlines()[-1]) if called.stdout else {}

    try:
        status, up = kafka("up", "--secure")
        assert (status, up["state"]) == (0, "running")
        assert kafka("status")[1]["state"] == "running"
        sourced = subprocess.run(
            ["sh", "-c", f"set -a; . '{up['env_file']}'; env"], capture_output=True, text=True, check=True
        ).stdout
        said = dict(line.split("=", 1) for line in sourced.splitlines() if line.startswith("RISKSTREAM_"))
        settings = Settings.model_validate(
            {name.removeprefix("RISKSTREAM_").lower(): value for name, value in said.items()}
        )
        assert settings.security_protocol == "SASL_SSL"
        assert check_reachable(settings).brokers
        own = Settings(
            broker=up["listeners"]["SSL"], security_protocol="SSL", ssl_ca=up["ssl_ca"],
            ssl_certificate=up["ssl_certificate"], ssl_key=up["ssl_key"],
        )  # fmt: skip
        assert check_reachable(own).brokers
        assert AdminClient(librdkafka(settings)).list_topics(timeout=10).brokers
        # without security it does not start on the same data, and stays as it is
        assert kafka("up")[0] == 2
        open_to_others = [
            str(path)
            for path in (tmp_path / "data of mine", *(tmp_path / "data of mine").rglob("*"))
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
        ]
        assert open_to_others == []
    finally:
        status, down = kafka("down")
    assert (status, down["state"]) == (0, "stopped")


def test_a_broker_with_data_of_its_own_is_not_secured_afterwards(tmp_path: Path) -> None:
    (tmp_path / "kafka" / "1" / "data").mkdir(parents=True)
    environment = dict(os.environ) | {"RISKSTREAM_DATA_DIRECTORY": str(tmp_path)}
    called = subprocess.run(
        [RISKSTREAM, "kafka", "up", "--secure", "--port", "1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert called.returncode == 2
    assert "without security" in called.stderr
    assert not DevelopmentKafka(1, tmp_path / "kafka" / "1").status().pid
