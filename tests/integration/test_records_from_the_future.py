"""A producer whose clock is ahead, on a topic that producers stamp: its records are dead letters, and nothing is spoilt."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from stream.log.credentials import librdkafka
from stream.replay.oracle.live_line import LiveRecord
from stream.replay.oracle.verify import verify

pytestmark = pytest.mark.kafka


def payment(number: int, ahead: timedelta = timedelta(0)) -> bytes:
    return orjson.dumps(
        {"transaction_id": f"t-{number}", "account_id": "a-1", "payee_id": "shop", "amount_minor": 900, "currency": "EUR",
         "event_time": (datetime.now(UTC) + ahead).isoformat(), "channel": "app", "payee_kind": "merchant"}
    )  # fmt: skip


def test_a_clock_a_year_ahead_spoils_nothing_whoever_set_the_stamp_and_steps_to_mend_are_recorded(
    line: Any, until: Callable[..., None]
) -> None:
    topic = line.settings.topic("bank.transactions.v1")
    stamped_by_senders = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**62)}
    own = ConfigResource(
        ConfigResource.Type.TOPIC,
        topic,
        incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in stamped_by_senders.items()
        ],
    )
    client = AdminClient(librdkafka(line.settings))
    for changed in client.incremental_alter_configs([own]).values():
        changed.result(20)
    line.worker()
    producer, year = line.producer(), timedelta(days=365)

    def send(number: int, ahead: timedelta = timedelta(0)) -> None:
        stamp = round((time.time() + ahead.total_seconds()) * 1000)
        producer.produce(topic, payment(number, ahead), "a-1", timestamp=stamp)
        assert producer.flush(20) == 0

    send(1)
    until(lambda: len(line.records("risk.decisions.v1")) == 1, "the first decision", 180)
    send(2, year)
    send(3, timedelta(minutes=4))
    send(4)
    until(lambda: len(line.records("risk.decisions.v1")) == 3, "the others", 60)
    (dead,) = line.records("bank.transactions.v1.dlq")
    headers = dict(dead.headers)
    assert headers["riskstream.reason"] == b"future"
    assert b"look at that producer's clock" in headers["__connect.errors.exception.message"]
    decided = [orjson.loads(record.value) for record in line.records("risk.decisions.v1")]
    assert sorted(one["transaction_id"] for one in decided) == ["t-1", "t-3", "t-4"]
    assert not any("late" in one["flags"] for one in decided)

    mended = line.command("repair", "times", "--by", "okafor", "--reason", "gateway 3 was a year ahead", "--json")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    said = orjson.loads(mended.stdout.splitlines()[-1])
    assert (len(said["mended"]), said["refused"], said["waiting"]) == (4, [], [])
    line.stop()
    looked = line.command("repair", "times", "--dry-run", "--json")
    assert orjson.loads(looked.stdout.splitlines()[-1])["rows"] == {str(number): 0 for number in range(4)}
    result = verify(LiveRecord(line.settings).recorded)
    assert result.equal, "\n".join(map(str, result.differences))
    assert result.counts["step"] == 4
