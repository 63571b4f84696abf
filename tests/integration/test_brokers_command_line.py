"""``riskstream kafka`` and ``riskstream doctor`` as a user runs them, with the real broker."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from stream.brokers.kafka import DevelopmentKafka, free_port
from stream.log.topics import TOPICS, ensure_topics
from stream.settings import Settings

pytestmark = pytest.mark.kafka

RISKSTREAM = Path(sys.executable).with_name("riskstream")


def run(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RISKSTREAM_")}
    environment["RISKSTREAM_DATA_DIRECTORY"] = str(folder / "files of riskstream")
    called = subprocess.run(
        [RISKSTREAM, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    last = called.stdout.splitlines()[-1] if called.stdout else "{}"
    return called.returncode, json.loads(last), called.stderr


def test_up_status_down_from_any_folder(tmp_path: Path) -> None:
    port = str(free_port())
    try:
        status, up, _ = run(tmp_path, "kafka", "up", "--port", port, "--json")
        assert (status, up["state"], up["bootstrap"]) == (0, "running", f"127.0.0.1:{port}")
        status, again, _ = run(tmp_path, "kafka", "up", "--port", port, "--json")
        assert (status, again["pid"]) == (0, up["pid"])
        assert run(tmp_path, "kafka", "status", "--port", port, "--json")[:2] == (0, again)
    finally:
        status, down, _ = run(tmp_path, "kafka", "down", "--port", port, "--json")
    assert (status, down["state"]) == (0, "stopped")
    assert (Path(down["directory"]) / "data" / "meta.properties").exists()
    assert run(tmp_path, "kafka", "status", "--port", port, "--json")[0] == 3
    status, wiped, said = run(tmp_path, "kafka", "down", "--wipe", "--port", port, "--json")
    assert status == 0
    assert "No Kafka that riskstream started" in said
    assert not Path(wiped["directory"]).exists()


def test_down_leaves_a_strangers_program_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        status, document, said = run(tmp_path, "kafka", "down", "--port", port, "--json")
        assert (status, document["state"]) == (1, "foreign")
        assert "did not start" in said
        assert run(tmp_path, "kafka", "up", "--port", port, "--json")[0] == 1


def doctor(folder: Path, settings: Settings) -> tuple[int, dict[str, str]]:
    status, document, _ = run(
        folder, "doctor", "--json", "--broker", settings.broker, "--topic-prefix", settings.topic_prefix
    )
    return status, {finding["check"]: f"{finding['state']}: {finding['detail']}" for finding in document["findings"]}


def test_the_doctor_is_content_with_a_broker_as_riskstream_makes_it(tmp_path: Path, kafka_settings: Settings) -> None:
    status, before = doctor(tmp_path, kafka_settings)
    assert status == 0
    assert before["missing topics"].startswith(f"note: {len(TOPICS)} not there yet")
    ensure_topics(kafka_settings)
    status, after = doctor(tmp_path, kafka_settings)
    assert status == 0
    assert after["partitions"] == f"ok: {len(TOPICS)} topics; the line has 4 partitions"
    assert after["topic settings"].startswith("ok")


def test_the_doctor_finds_topics_made_by_hand_that_do_not_fit(
    tmp_path: Path, kafka: DevelopmentKafka, kafka_settings: Settings
) -> None:
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    name = kafka_settings.topic
    made = [NewTopic(name("bank.feedback.v1"), 2, 1), NewTopic(name("risk.models.v1"), 1, 1)]
    for future in client.create_topics(made).values():
        future.result()
    status, findings = doctor(tmp_path, kafka_settings)
    assert status == 1
    assert f"{name('bank.feedback.v1')} has 2 partitions, expected 4" in findings["topics"]
    assert findings[name("risk.models.v1")].startswith("problem")


def test_the_doctor_says_where_senders_date_the_records_and_what_that_does(
    tmp_path: Path, kafka: DevelopmentKafka, kafka_settings: Settings
) -> None:
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    name = kafka_settings.topic("bank.feedback.v1")
    big = {"max.message.bytes": str(5 * 2**20)}
    for future in client.create_topics([NewTopic(name, 4, 1, config=big)]).values():
        future.result()
    status, document, _ = run(
        tmp_path, "doctor", "--json", "--broker", kafka_settings.broker, "--topic-prefix", kafka_settings.topic_prefix
    )
    found = [finding for finding in document["findings"] if finding["check"] == name]
    assert status == 1
    assert [finding["state"] for finding in found] == ["problem", "note"]
    assert "message.timestamp.type is CreateTime, expected LogAppendTime" in found[0]["detail"]
    assert found[0]["remedy"] == (
        f"kafka-configs --alter --topic {name} --add-config message.timestamp.type=LogAppendTime"
    )
    assert "message.timestamp.after.max.ms is 3600000" in found[1]["detail"]
    assert "every good record of its batch" in found[1]["detail"]


def test_the_doctor_says_where_a_topic_promises_more_copies_than_it_has(
    tmp_path: Path, kafka: DevelopmentKafka, kafka_settings: Settings
) -> None:
    ensure_topics(kafka_settings)
    name = kafka_settings.topic("risk.decisions.v1")
    entry = ConfigEntry("min.insync.replicas", "2", incremental_operation=AlterConfigOpType.SET)
    changed = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for future in client.incremental_alter_configs([changed]).values():
        future.result()
    status, findings = doctor(tmp_path, kafka_settings)
    assert status == 1
    assert "min.insync.replicas is 2, and a partition has 1 replicas" in findings[name]
