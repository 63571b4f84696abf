"""Outages of a real worker on a real Kafka, seen by a real Prometheus with the shipped rules: each one pages.

Where a page is waited for, the rules' windows are shortened, so that a minute is seconds; the soak test waits for the rules
as shipped, and the day without a page is judged by them.
"""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from plain_traffic import traffic
from prometheus_server import RULES, Prometheus, free_port

from stream.brokers.kafka import DevelopmentKafka
from stream.log.connect import consumer_config
from stream.log.topics import ensure_topics
from stream.settings import Settings

pytestmark = pytest.mark.kafka

FASTER = 4
INSTANCE = "w1"
PATIENCE_S = 120.0
PAYMENTS = 1_000
Until = Callable[..., None]
BOARD = json.loads((RULES.parents[1] / "grafana" / "boards" / "riskstream.json").read_text(encoding="utf-8"))


@pytest.fixture
def own_line(topic_prefix: str, tmp_path: Path, line_class: type[Any]) -> Iterator[Any]:
    """A line on a Kafka whose rights the test may take away."""
    broker = DevelopmentKafka(
        0,
        tmp_path / "kafka",
        properties={
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "true",
        },
    )
    broker.start()
    settings = Settings(broker=broker.bootstrap, topic_prefix=topic_prefix)
    ensure_topics(settings)
    line = line_class(settings, tmp_path)
    yield line
    line.stop()
    broker.stop()


@contextmanager
def watching(directory: Path, ports: list[int], faster: int = FASTER) -> Iterator[Prometheus]:
    prometheus = Prometheus(directory / "prometheus", ports, faster)
    try:
        yield prometheus
    finally:
        prometheus.stop()


def ready(port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


def is_ready(port: int) -> bool:
    return ready(port)[0] == 200


def refuse_transactions(settings: Settings, *, refuse: bool) -> None:
    """Take the right to its transactional ids from the line's worker, or give it back."""
    admin = AdminClient({"bootstrap.servers": settings.broker})
    binding = AclBinding(
        ResourceType.TRANSACTIONAL_ID, f"{settings.topic_prefix}{settings.group}-{INSTANCE}-", ResourcePatternType.PREFIXED,
        "User:ANONYMOUS", "*", AclOperation.ALL, AclPermissionType.DENY,
    )  # fmt: skip
    answers = admin.create_acls([binding]) if refuse else admin.delete_acls([binding_filter(binding)])
    for answer in answers.values():
        answer.result(30)


def binding_filter(binding: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        binding.restype, binding.name, binding.resource_pattern_type, binding.principal, binding.host,
        binding.operation, binding.permission_type,
    )  # fmt: skip


def decided(prometheus: Prometheus) -> float:
    return prometheus.value("sum(riskstream_decisions_total)") or 0.0


def an_outage_pages_and_its_mending_resolves(line: Any, directory: Path, until: Until, faster: int) -> None:
    payments = traffic(PAYMENTS + 200)[0]
    port = free_port()
    patience = PATIENCE_S if faster > 1 else 600.0
    with watching(directory, [port], faster) as prometheus:
        first = line.worker(metrics_port=port, instance=INSTANCE)
        until(lambda: is_ready(port), "a ready worker", PATIENCE_S)
        line.send("bank.transactions.v1", payments[:200])
        until(lambda: decided(prometheus) == 200, "the first decisions", PATIENCE_S)
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        assert prometheus.firing <= {"RiskstreamNoWorker"}

        refuse_transactions(line.settings, refuse=True)

        def supervised() -> None:
            """Start it again when it has ended, as systemd would: it does, not being alive, after some minutes."""
            if line.workers[-1].poll() is not None:
                line.worker(metrics_port=port, instance=INSTANCE)

        supervised()
        line.send("bank.transactions.v1", payments[200:])
        waiting = "sum(max by (topic, partition) (riskstream_lag))"
        until(lambda: prometheus.value(waiting) == PAYMENTS, "what waits to be seen", PATIENCE_S)
        pages = {
            "RiskstreamStalled", "RiskstreamPartitionsUnowned", "RiskstreamDecisionsStopped", "RiskstreamRecoveryFails",
        }  # fmt: skip
        seen: set[str] = set()

        def paged() -> bool:
            supervised()
            seen.update(prometheus.firing)
            return pages <= seen

        until(paged, "the pages", patience)
        until(lambda: "the last attempt failed: " in str(ready(port)[1].get("reasons")), "the reason", PATIENCE_S)
        assert ready(port)[0] == 503
        # a worker that was started again meanwhile counts from 0
        assert prometheus.value('sum(max_over_time(riskstream_recovery_failures_total{reason="broker"}[10m]))')

        refuse_transactions(line.settings, refuse=False)

        def all_decided() -> bool:
            supervised()
            return decided(prometheus) >= PAYMENTS

        until(all_decided, "the decisions", PATIENCE_S)
        until(lambda: not prometheus.firing - {"RiskstreamDecisionsSlow"}, "all alarms to end", patience)
        assert is_ready(port)


def test_a_recovery_that_fails_while_payments_wait_pages_and_mending_it_resolves(
    own_line: Any, tmp_path: Path, until: Until
) -> None:
    an_outage_pages_and_its_mending_resolves(own_line, tmp_path, until, FASTER)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_the_same_outage_pages_with_the_rules_as_shipped(own_line: Any, tmp_path: Path, until: Until) -> None:
    an_outage_pages_and_its_mending_resolves(own_line, tmp_path, until, 1)


def test_a_recovery_that_is_refused_says_why_pages_and_ends_with_a_status_of_its_own(
    line: Any, tmp_path: Path, until: Until
) -> None:
    port = free_port()
    payments = traffic(400)[0]
    first = line.worker(metrics_port=port)
    until(lambda: is_ready(port), "a ready worker", PATIENCE_S)
    line.send("bank.transactions.v1", payments)
    until(lambda: sum(len(line.records("risk.decisions.v1")) for _ in "x") == 400, "decisions", PATIENCE_S)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0

    group = Consumer(consumer_config(line.settings, line.settings.group))
    place = TopicPartition(line.settings.topic("bank.transactions.v1"), 0)
    stands = group.committed([place], 30)[0].offset
    group.commit(offsets=[TopicPartition(place.topic, 0, stands - 5)], asynchronous=False)
    group.close()

    with watching(tmp_path, [port]) as prometheus:
        second = line.worker(metrics_port=port, refusal_shown_s=15)
        until(lambda: "recovery is refused" in str(ready(port)[1].get("reasons")), "the reason on /ready", PATIENCE_S)
        status, answer = ready(port)
        assert status == 503
        (reason,) = [reason for reason in answer["reasons"] if "recovery is refused" in reason]
        assert "the group stands at" in reason
        until(lambda: "RiskstreamRecoveryRefused" in prometheus.firing, "the page", PATIENCE_S)
        assert second.wait(PATIENCE_S) == 4
    assert "recovery is refused" in line.log(1)


def without_data(prometheus: Any) -> set[str]:
    """Titles of the board's panels that show nothing now."""
    return {
        panel["title"]
        for panel in BOARD["panels"]
        for target in panel.get("targets", ())
        if not prometheus.query(target["expr"].replace("$__rate_interval", "1m"))
    }


def test_a_day_of_work_rest_and_a_rolling_restart_raises_no_page(line: Any, tmp_path: Path, until: Until) -> None:
    ports = [free_port(), free_port()]
    payments = traffic(1_200)[0]
    with watching(tmp_path, ports, faster=1) as prometheus:
        workers = [line.worker(metrics_port=port, instance=f"w-{port}") for port in ports]
        for port in ports:
            until(lambda port=port: is_ready(port), "ready workers", PATIENCE_S)
        until(lambda: prometheus.value("sum(riskstream_partitions_owned)") == 4, "all partitions owned", PATIENCE_S)
        for number, port in enumerate(ports):
            line.send("bank.transactions.v1", payments[number * 600 : number * 600 + 300], pause=0.5)
            workers[number].send_signal(signal.SIGTERM)
            assert workers[number].wait(60) == 0
            line.worker(metrics_port=port, instance=f"w-{port}")
            line.send("bank.transactions.v1", payments[number * 600 + 300 : number * 600 + 600], pause=0.5)
            until(lambda port=port: is_ready(port), "a restarted worker", PATIENCE_S)
        until(lambda: prometheus.value("sum(riskstream_lag)") == 0, "all to be decided", PATIENCE_S)
        pages = prometheus.query('max_over_time(ALERTS{alertstate="firing",severity="page"}[10m])')
        # the traffic is of a bank with many frauds: what it does to customers may page
        outages = {found["metric"]["alertname"] for found in pages} - {"RiskstreamHoldsRise", "RiskstreamAttackPattern"}
        assert outages == set(), os.linesep.join(map(str, pages))
        # the moved partitions are here again: a panel of what a worker holds is rightly empty while nobody holds it
        until(lambda: prometheus.value("sum(riskstream_partitions_owned)") == 4, "all partitions owned", PATIENCE_S)
        # no copies, no partition that stands, no certificates, no part that fails, nobody has judged anything
        may_be_empty = {
            "Standby copies behind", "Records deleted unread", "Certificates end in", "Parts that do not work",
            "Partitions that stand at a record, batches refused",
            "Judged alerts that were genuine",
            # no gateway runs here
            "Answers a second", "Gateways that work, and sessions that failed", "Messages and records a second",
            "Oldest payment without its last status", "Payments known, waiting and forgotten",
            "Records that wait for the gateway",
        }  # fmt: skip
        until(lambda: without_data(prometheus) <= may_be_empty, "every other panel to have data", PATIENCE_S)
