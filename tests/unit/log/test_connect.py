"""What a user reads when the broker cannot be used, and settings the exactly-once reading rests on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from stream.brokers.kafka import free_port
from stream.errors import BrokerNotReachable, UsageError
from stream.log.connect import check_reachable, consumer_config, producer_config
from stream.settings import Settings


def test_nothing_listening_is_reported_in_bounded_time() -> None:
    settings = Settings(broker=f"127.0.0.1:{free_port()}")
    begin = time.monotonic()
    with pytest.raises(BrokerNotReachable, match=r"did not answer within 1 s: .*refused.*RISKSTREAM_BROKER"):
        check_reachable(settings, timeout=1.0)
    assert time.monotonic() - begin < 5
    assert BrokerNotReachable.exit_status == 3


def test_a_name_that_does_not_resolve_is_called_that() -> None:
    with pytest.raises(BrokerNotReachable, match="does not resolve"):
        check_reachable(Settings(broker="kafka.invalid:9092"), timeout=2.0)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"security_protocol": "SSL", "ssl_ca": "absent.pem"}, r"RISKSTREAM_SSL_CA=absent.pem: No such file"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "PSALM"}, "PSALM"),
    ],
)
def test_settings_that_no_broker_could_take_are_wrong_usage(setting: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_reachable(Settings.model_validate(setting), timeout=1.0)


def test_consumers_read_committed_records_and_never_commit_by_themselves() -> None:
    config = consumer_config(Settings(), "status")
    assert config["isolation.level"] == "read_committed"
    assert config["enable.auto.commit"] is False
    assert config["auto.offset.reset"] == "earliest"


def test_credentials_and_certificates_reach_every_client_of_librdkafka(tmp_path: Path) -> None:
    settings = Settings(security_protocol="SASL_SSL", sasl_password="s", ssl_ca=str(tmp_path / "ca.pem"))
    for config in (producer_config(settings), consumer_config(settings, "g")):
        assert config["security.protocol"] == "SASL_SSL"
        assert config["sasl.password"] == "s"
        assert config["ssl.ca.location"] == str(tmp_path / "ca.pem")
