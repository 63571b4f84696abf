"""The development Kafka, the topics and the connections, on the real broker."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType
from confluent_kafka.cimpl import NewTopic

from stream.brokers.kafka import DevelopmentKafka, free_port
from stream.errors import BrokerNotReachable, RiskstreamError
from stream.log import topics
from stream.log.connect import check_reachable, consumer_config, producer_config
from stream.settings import Settings

pytestmark = pytest.mark.kafka


def send(settings: Settings, topic: str, values: list[bytes], key: bytes = b"account-1") -> None:
    producer = Producer(producer_config(settings))
    for value in values:
        producer.produce(settings.topic(topic), value, key=key)
    assert producer.flush(20) == 0


def read(settings: Settings, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(consumer_config(settings, "reader"))
    consumer.subscribe([settings.topic(topic)])
    values: list[bytes] = []
    try:
        while len(values) < count:
            message = consumer.poll(20)
            assert message is not None, f"only {len(values)} of {count} records arrived"
            assert message.error() is None, message.error()
            values.append(message.value())
    finally:
        consumer.close()
    return values


def test_all_topics_of_the_table_exist_with_their_settings(kafka_settings: Settings) -> None:
    settings = kafka_settings.model_copy(update={"partitions": 3, "retention_hours": 48})
    assert topics.ensure_topics(settings) == 3
    client = AdminClient({"bootstrap.servers": settings.broker})
    described = client.list_topics(timeout=10).topics
    resources = [ConfigResource(ResourceType.TOPIC, settings.topic(topic.name)) for topic in topics.TOPICS]
    configured = {resource.name: future.result() for resource, future in client.describe_configs(resources).items()}
    for topic in topics.TOPICS:
        name = settings.topic(topic.name)
        assert len(described[name].partitions) == (1 if topic.partitioning == "single" else 3)
        assert configured[name]["cleanup.policy"].value == topic.cleanup
        assert int(configured[name]["max.message.bytes"].value) > 4 * 2**20
        assert configured[name]["message.timestamp.type"].value == "LogAppendTime"
        if topic.cleanup == "delete":
            hours = 1 if topic.name == topics.CLOCK else 48
            assert configured[name]["retention.ms"].value == str(hours * 3_600_000)


def test_ensuring_topics_again_changes_nothing(kafka_settings: Settings) -> None:
    assert topics.ensure_topics(kafka_settings) == topics.ensure_topics(kafka_settings) == 4


@pytest.mark.parametrize("partitions", [(4, 4, 4), (2, 6, 4)])
def test_workers_that_start_at_once_agree_on_the_line(kafka_settings: Settings, partitions: tuple[int, ...]) -> None:
    def start(count: int) -> int:
        return topics.ensure_topics(kafka_settings.model_copy(update={"partitions": count}))

    with ThreadPoolExecutor(len(partitions)) as workers:
        found = set(workers.map(start, partitions))
    assert len(found) == 1
    assert found <= set(partitions)


def test_a_topic_created_meanwhile_by_another_worker_is_no_error(kafka_settings: Settings) -> None:
    topics.ensure_topics(kafka_settings)
    client = AdminClient({"bootstrap.servers": kafka_settings.broker})
    topics.create_topics(client, list(topics.TOPICS), kafka_settings, line=4)


def create(settings: Settings, name: str, partitions: int) -> None:
    client = AdminClient({"bootstrap.servers": settings.broker})
    for future in client.create_topics([NewTopic(settings.topic(name), partitions, 1)]).values():
        future.result()


def test_missing_topics_follow_the_banks_partition_count(kafka_settings: Settings) -> None:
    create(kafka_settings, "bank.transactions.v1", 6)
    assert topics.ensure_topics(kafka_settings) == 6
    found = topics.existing_partitions(AdminClient({"bootstrap.servers": kafka_settings.broker}), kafka_settings)
    assert found == topics.partition_counts(kafka_settings, 6)


def test_a_topic_that_does_not_fit_is_named_with_both_counts(kafka_settings: Settings) -> None:
    create(kafka_settings, "bank.transactions.v1", 4)
    create(kafka_settings, "bank.feedback.v1", 2)
    name = kafka_settings.topic("bank.feedback.v1")
    with pytest.raises(RiskstreamError, match=f"{name} has 2 partitions, expected 4.*recreate"):
        topics.ensure_topics(kafka_settings)


def test_a_broker_that_refuses_to_create_topics_is_quoted(kafka_settings: Settings) -> None:
    settings = kafka_settings.model_copy(update={"replication_factor": 3})
    with pytest.raises(RiskstreamError, match=r"could not be created.*RISKSTREAM_REPLICATION_FACTOR"):
        topics.ensure_topics(settings)


def test_a_record_of_exactly_four_mebibytes_passes(kafka_settings: Settings) -> None:
    topics.ensure_topics(kafka_settings)
    value = os.urandom(4 * 2**20)
    send(kafka_settings, "bank.transactions.v1", [value])
    assert read(kafka_settings, "bank.transactions.v1", 1) == [value]


def test_what_an_aborted_transaction_wrote_is_never_read(kafka_settings: Settings) -> None:
    topics.ensure_topics(kafka_settings)
    identity = {"transactional.id": f"{kafka_settings.topic_prefix}abort"}
    producer = Producer({**producer_config(kafka_settings), **identity})
    producer.init_transactions(20)
    for value, commits in ((b"aborted", False), (b"committed", True)):
        producer.begin_transaction()
        producer.produce(kafka_settings.topic("risk.alerts.v1"), value, key=b"a")
        producer.flush(20)
        producer.commit_transaction(20) if commits else producer.abort_transaction(20)
    assert read(kafka_settings, "risk.alerts.v1", 1) == [b"committed"]


def test_committed_records_survive_a_killed_broker(own_kafka: DevelopmentKafka) -> None:
    settings = Settings(broker=own_kafka.bootstrap)
    topics.ensure_topics(settings)
    send(settings, "bank.transactions.v1", [b"1", b"2"])
    own_kafka.kill()
    assert own_kafka.status().state == "stopped"
    own_kafka.start()
    send(settings, "bank.transactions.v1", [b"3"])
    own_kafka.restart()
    assert read(settings, "bank.transactions.v1", 3) == [b"1", b"2", b"3"]


def test_starting_twice_keeps_the_same_process(kafka: DevelopmentKafka) -> None:
    before = kafka.status()
    another = DevelopmentKafka(kafka.port, kafka.directory)
    assert another.start() == before
    assert before.state == "running"


def test_the_broker_listens_on_the_loopback_interface_alone(kafka: DevelopmentKafka) -> None:
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening += [line.split()[1] for line in Path("/proc/net/tcp6").read_text().splitlines()[1:]]
    addresses = {address.partition(":")[0] for address in listening if address.endswith(f":{kafka.port:04X}")}
    assert addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_a_port_in_use_by_another_program_is_left_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        broker = DevelopmentKafka(other.getsockname()[1], tmp_path / "kafka")
        assert broker.status().state == "foreign"
        with pytest.raises(RiskstreamError, match=r"did not start.*--port"):
            broker.start()
        assert broker.stop() is False


def test_a_stale_process_file_never_ends_a_strangers_process(tmp_path: Path) -> None:
    broker = DevelopmentKafka(free_port(), tmp_path / "kafka")
    broker.directory.mkdir()
    (broker.directory / "process.json").write_text(f'{{"pid": {os.getpid()}, "port": {broker.port}}}')
    assert broker.status().state == "stopped"
    assert broker.stop() is False


@pytest.mark.parametrize(
    ("setting", "value"), [("num.io.threads", "none"), ("authorizer.class.name", "no.such.Authorizer")]
)
def test_a_broker_that_cannot_start_says_why_and_leaves_no_process(tmp_path: Path, setting: str, value: str) -> None:
    broker = DevelopmentKafka(0, tmp_path / "kafka", properties={setting: value})
    with pytest.raises(RiskstreamError, match=value):
        broker.start()
    assert broker.status().pid is None


def test_a_wrong_password_is_told_from_a_broker_that_is_away(tmp_path: Path) -> None:
    secured = free_port()
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required user_alice='right';"
    broker = DevelopmentKafka(
        0,
        tmp_path / "kafka mit Lücke",
        properties={
            "listeners": f"PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller_port}},SECURED://127.0.0.1:{secured}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{{port}},SECURED://127.0.0.1:{secured}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURED:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.secured.plain.sasl.jaas.config": login,
        },
    )
    settings = Settings(
        broker=f"127.0.0.1:{secured}",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="alice",
        sasl_password="right",
    )
    broker.start()
    try:
        assert check_reachable(settings).brokers
        with pytest.raises(BrokerNotReachable, match=r"refused user 'alice'.*RISKSTREAM_SASL_PASSWORD") as refusal:
            check_reachable(settings.model_copy(update={"sasl_password": "wrong"}))
        assert "wrong" not in str(refusal.value)
    finally:
        broker.stop()


def test_tls_to_a_plain_listener_is_called_tls(kafka: DevelopmentKafka) -> None:
    with pytest.raises(BrokerNotReachable, match=r"speaks no TLS, but RISKSTREAM_SECURITY_PROTOCOL"):
        check_reachable(Settings(broker=kafka.bootstrap, security_protocol="SSL"))
