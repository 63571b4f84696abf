"""The oracle on a real line: equal as it is, and every kind of tampering is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from plain_traffic import traffic

from stream.log.credentials import librdkafka
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.replay.oracle.live_line import LiveRecord
from stream.replay.oracle.verify import Verified, verify

pytestmark = pytest.mark.kafka

PACK = """\
pack: person_transfer
scenario: person_transfer
match: payee_kind == "person"
thresholds: {remind: 100, challenge_light: 200, review: 300}
review: {legal_basis: contract, due: 2h, expires: 24h, on_expiry: decline}
"""
PARTITIONS = 4


def recent(number: int, payee: str) -> bytes:
    """A payment of just now, to a person."""
    return orjson.dumps(
        {"transaction_id": f"now-{number}", "account_id": f"fresh-{number}", "payee_id": payee, "amount_minor": 900_000,
         "event_time": datetime.now(UTC).isoformat(), "currency": "EUR", "channel": "app", "payee_kind": "person"}
    )  # fmt: skip


def feedback(number: int, verdict: str, actor: str) -> bytes:
    return orjson.dumps(
        {"feedback_id": f"f-{number}-{verdict}", "transaction_id": f"now-{number}", "account_id": f"fresh-{number}",
         "kind": "review", "verdict": verdict, "actor": actor, "occurred_at": datetime.now(UTC).isoformat()}
    )  # fmt: skip


def differences(line: Any) -> Verified:
    return verify(LiveRecord(line.settings).recorded)


def stored(line: Any, topic: str, wanted: Callable[[Any], bool]) -> Iterator[tuple[int, Any]]:
    """Records of a topic with their partition."""
    reader = KafkaReader(line.settings)
    try:
        for partition in range(PARTITIONS):
            for chunk in reader.read(Place(line.settings.topic(topic), partition), 0):
                yield from ((partition, record) for record in chunk if wanted(record))
    finally:
        reader.close()


@pytest.fixture
def rested(line: Any, until: Any, tmp_path: Path) -> Any:
    """A line that has decided, held, released and written its rows, and whose workers are gone."""
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "person.yaml").write_text(PACK, "utf-8")
    worker = line.worker(packs=tmp_path / "packs")
    past, chargebacks = traffic(900, seed=17)
    line.send("bank.transactions.v1", past)
    line.send("bank.feedback.v1", chargebacks)
    now = [recent(number, f"thief-{number}") for number in range(12)]
    line.send("bank.transactions.v1", now)
    until(lambda: len(line.records("risk.decisions.v1")) == len(past) + len(now), "every decision", 300)
    said = [feedback(number, "genuine", "reviewer:li" if number % 2 else "nobody") for number in range(10)]
    line.send("bank.feedback.v1", said)
    until(lambda: len(line.records("risk.resolutions.v1")) >= 5, "the reviewers' resolutions", 60)
    until(lambda: by_reviewer(line) == 5, "the five of trusted reviewers", 60)
    worker.terminate()
    assert worker.wait(60) == 0
    return line


def by_reviewer(line: Any) -> int:
    return sum(orjson.loads(r.value)["cause"] == "reviewer" for r in line.records("risk.resolutions.v1"))


def test_an_honest_line_is_equal_and_every_tampering_is_named(rested: Any) -> None:
    result = differences(rested)
    assert result.equal, "\n".join(map(str, result.differences))
    for what in ("account row", "payee row", "challenge", "resolution", "hold row"):
        assert result.counts[what] > 0, result.counts

    producer = Producer(librdkafka(rested.settings))
    topic = rested.settings.topic

    def write(name: str, partition: int, key: bytes | None, value: bytes | None, headers: Any = None) -> None:
        producer.produce(topic(name), value, key, partition, headers=headers)
        assert producer.flush(20) == 0

    def is_row(record: Any) -> bool:
        return bool(record.key) and record.key[0] > 1

    accounts = list(stored(rested, "riskstream-accounts-rows", is_row))
    partition, erased = accounts[0]
    write("riskstream-accounts-rows", partition, erased.key, None)
    partition, other = next((p, r) for p, r in accounts if r.key != erased.key)
    changed = bytearray(other.value)
    changed[len(changed) // 2] ^= 1
    write("riskstream-accounts-rows", partition, other.key, bytes(changed))
    partition, payee = next(stored(rested, "riskstream-payees-rows", is_row))
    alien = payee.value.replace(payee.key, b"Z" * len(payee.key))
    write("riskstream-payees-rows", partition, b"Z" * len(payee.key), alien)

    partition, said = next(
        (p, r) for p, r in stored(rested, "risk.resolutions.v1", lambda r: b'"reviewer"' in (r.value or b""))
    )
    write("risk.resolutions.v1", partition, said.key, said.value, list(said.headers))
    partition, held = next(
        (p, r) for p, r in stored(rested, "riskstream-holds-rows", lambda r: b'"open"' in (r.value or b""))
        if b"now-" in r.key
    )  # fmt: skip
    write("riskstream-holds-rows", partition, held.key, None)
    read = f"{topic('bank.feedback.v1')}/{partition}/99".encode()
    forged = {"transaction_id": held.key.split(b"/")[1].decode(), "result": "release", "cause": "reviewer"}
    document = forged | {"alert_id": forged["transaction_id"], "at": render(datetime.now(UTC) - timedelta(minutes=1))}
    write(
        "risk.resolutions.v1",
        partition,
        held.key.split(b"/")[0],
        orjson.dumps(document),
        [("riskstream.feedback", read)],
    )

    named = "\n".join(map(str, differences(rested).differences))
    for text in (
        f"the account row of {erased.key.decode()} was erased; nothing led to that",
        f"the account row of {erased.key.decode()} is gone",
        f"the account row of {other.key.decode()} differs: ",
        f"a row of payee {'Z' * len(payee.key)} that nothing led to",
        "a second resolution of ",
        f"the resolution of {held.key.decode()} is ",
    ):
        assert text in named, f"{text}\n\n{named}"


def render(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_line_that_has_decided_nothing_is_not_called_equal(line: Any) -> None:
    verified = line.command("replay", "--verify", line.settings.topic("risk.decisions.v1"), "--json")
    assert verified.returncode == 1
    assert "nothing to compare" in verified.stdout
    assert "every byte" not in verified.stdout
