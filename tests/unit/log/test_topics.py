"""The table of topics against the contract, and the check of partition counts."""

from __future__ import annotations

import pytest

from stream.log.topics import GATEWAY_TOPICS, TOPICS, configuration, mismatch, partition_counts
from stream.settings import Settings

CONTRACT = {
    "bank.transactions.v1": "delete",
    "bank.feedback.v1": "delete",
    "risk.profiled.v1": "delete",
    "risk.decisions.v1": "delete",
    "risk.alerts.v1": "delete",
    "risk.resolutions.v1": "delete",
    "risk.learning.v1": "delete",
    "risk.models.v1": "compact",
    "risk.policies.v1": "compact",
    "bank.transactions.v1.dlq": "delete",
    "bank.feedback.v1.dlq": "delete",
}


def test_the_table_has_the_contracts_topics_and_internal_ones_are_named_so() -> None:
    table = {topic.name: topic.cleanup for topic in TOPICS}
    assert len(table) == len(TOPICS)
    assert {name: table[name] for name in CONTRACT} == CONTRACT
    added = table.keys() - CONTRACT.keys() - {"risk.profiled.v1.dlq"}  # the contract has a .dlq of any topic
    assert all(name.startswith("riskstream-") for name in added)


def test_rows_are_compacted_and_the_log_of_batches_is_not() -> None:
    table = {topic.name: topic.cleanup for topic in TOPICS}
    assert {table[name] for name in table if name.endswith("-rows")} == {"compact"}
    assert table["riskstream-accounts-batches"] == "delete"


@pytest.mark.parametrize("topic", [topic.name for topic in TOPICS if topic.partitioning == "line"])
def test_every_topic_of_the_line_must_have_the_inputs_count(topic: str) -> None:
    counts = partition_counts(Settings())
    assert mismatch(counts, Settings(), 4) == ""
    wrong = {**counts, topic: 5}
    assert f"{topic} has 5 partitions, expected 4" in mismatch(wrong, Settings(), 4)


@pytest.mark.parametrize("topic", ["risk.models.v1", "risk.policies.v1"])
def test_order_wants_a_single_partition_for_models_and_policies(topic: str) -> None:
    assert f"{topic} has 4 partitions, expected 1" in mismatch({topic: 4}, Settings(), 4)


def test_topics_free_to_differ_may_differ() -> None:
    assert mismatch({"risk.learning.v1": 9, "bank.transactions.v1.dlq": 1}, Settings(), 4) == ""


def test_three_replicas_ask_for_two_acknowledging_disks() -> None:
    assert configuration(TOPICS[0], Settings(replication_factor=3))["min.insync.replicas"] == "2"
    assert configuration(TOPICS[0], Settings(replication_factor=1))["min.insync.replicas"] == "1"


def test_the_gateways_topics_are_no_part_of_a_line_without_one_and_the_banks_own_numbers_go_after_a_week() -> None:
    table = {topic.name: topic for topic in GATEWAY_TOPICS}
    assert not table.keys() & {topic.name for topic in TOPICS}
    hours = {
        name: int(configuration(topic, Settings())["retention.ms"]) // 3_600_000
        for name, topic in table.items()
        if topic.cleanup == "delete"
    }
    assert hours == {"bank.iso20022.v1": 168, "bank.iso20022.v1.dlq": 168, "risk.iso20022.v1": 9600}
    # whoever has the one partition of the rows is the gateway that works
    assert table["riskstream-gateway-rows"].partitioning == "single"
