"""Topics as a history: order of arrival, feedback as it came, truth that is known and truth that is not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
import pytest

from rules.policy import shipped
from stream.arrays.rfc3339 import render as render_time
from stream.core.decision.render import render
from stream.core.edge.partition import partition_of
from stream.core.features import INDEX
from stream.errors import UsageError
from stream.replay.measure.tally import Tally
from stream.replay.source.labels import FRAUD, GENUINE, UNLABELLED
from stream.replay.source.sources import open_source
from stream.replay.walk.engine import DAY_US, FileReplay, ReplaySettings, WalkedRun
from stream.replay.walk.file_walk import replay
from stream.replay.walk.input_partition import InputTerms
from stream.replay.walk.published import Published, published_steps
from stream.replay.walk.schedule import Schedule
from stream.replay.walk.span import Span, parse_bound
from stream.replay.walk.topic_source import TopicSource

START_US = 1_767_225_600_000_000
MINUTE = 60_000_000
PARTITIONS = 3


class Record(NamedTuple):
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class MemoryLog:
    """Topics in memory, cut into chunks of ``cut`` records."""

    def __init__(self, cut: int = 7) -> None:
        self.topics: dict[str, list[list[Record]]] = {}
        self.cut = cut

    def append(self, topic: str, key: bytes, value: bytes, timestamp_ms: int) -> None:
        parts = self.topics.setdefault(topic, [[] for _ in range(PARTITIONS)])
        part = parts[partition_of(key, PARTITIONS)]
        part.append(Record(len(part), timestamp_ms, key, value))

    def partitions(self, topic: str) -> int:
        return PARTITIONS

    def read(self, topic: str, partition: int, *, ranged: bool) -> Iterator[Sequence[Record]]:
        part = self.topics.get(topic, [[] for _ in range(PARTITIONS)])[partition]
        for start in range(0, len(part), self.cut):
            yield part[start : start + self.cut]

    def last(self, topic: str, partition: int) -> Record | None:
        part = self.topics[topic][partition]
        return part[-1] if part else None

    def records(self, topic: str) -> int:
        return sum(map(len, self.topics[topic]))


def terms(maturity_us: int = DAY_US) -> InputTerms:
    return InputTerms(shipped().trusts, 300_000, maturity_us)


def payment(log: MemoryLog, number: int, at_us: int, account: str = "a-1", payee: str = "p-1") -> None:
    value = orjson.dumps(
        {
            "transaction_id": f"t-{number}", "account_id": account, "payee_id": payee,
            "event_time": render_time(at_us), "amount_minor": 1_000, "currency": "EUR", "channel": "app",
        }
    )  # fmt: skip
    log.append("bank.transactions.v1", account.encode(), value, at_us // 1000)


def feedback(log: MemoryLog, number: int, verdict: str, at_us: int, actor: str = "reviewer:anna") -> None:
    value = orjson.dumps(
        {
            "feedback_id": f"f-{number}-{verdict}-{at_us}", "transaction_id": f"t-{number}", "account_id": "a-1", "payee_id": "p-1", "kind": "review",
            "verdict": verdict, "actor": actor, "occurred_at": render_time(at_us),
        }
    )  # fmt: skip
    log.append("bank.feedback.v1", b"a-1", value, at_us // 1000)


def walk(source: TopicSource, chunk_rows: int | None = None, **settings: int) -> list[WalkedRun]:
    steps: list[WalkedRun] = []
    engine = FileReplay(ReplaySettings(**{"round_us": 0, "maturity_us": DAY_US, **settings}), shipped())
    replay(source, engine, [steps.append], chunk_rows=chunk_rows)
    return steps


def decisions(steps: list[WalkedRun]) -> list[bytes]:
    return [line for step in steps for line in render(step.decided, step.decider).decisions]


def test_feedback_counts_from_the_bucket_after_its_arrival_and_not_before() -> None:
    log = MemoryLog()
    for number in range(60):
        payment(log, number, START_US + number * MINUTE)
    feedback(log, 4, "fraud", START_US + 34 * MINUTE + 1_000)
    steps = walk(TopicSource(log, "t", terms()))
    features = np.concatenate([step.decided.received.features for step in steps])
    assert np.flatnonzero(features[:, INDEX["account_frauds"]] > 0).tolist() == list(range(40, 60))
    assert np.flatnonzero(features[:, INDEX["payee_frauds_week"]] > 0).tolist() == list(range(40, 60))
    assert all(step.labels_until is None for step in steps)


def test_truth_is_the_last_trusted_verdict_else_maturity_else_unknown() -> None:
    log = MemoryLog()
    for number in range(5):
        payment(log, number, START_US + number * DAY_US)
    feedback(log, 1, "fraud", START_US + 2 * DAY_US)
    feedback(log, 1, "genuine", START_US + 3 * DAY_US)
    feedback(log, 2, "inconclusive", START_US + 3 * DAY_US)
    feedback(log, 2, "fraud", START_US + 3 * DAY_US, actor="stranger")
    feedback(log, 3, "fraud", START_US + 4 * DAY_US)
    source = TopicSource(log, "t", terms(maturity_us=2 * DAY_US))
    tally = Tally()
    steps = walk(source)
    for step in steps:
        tally.add(step)
    labels = np.concatenate([step.labels.fraud for step in steps if step.labels is not None])
    assert labels.tolist() == [GENUINE, GENUINE, GENUINE, FRAUD, UNLABELLED]
    found = tally.result()
    assert (found["genuine"], found["frauds"], found["unlabelled"]) == (3, 1, 1)
    assert source.passed_over == 1


def test_neither_chunks_of_the_log_nor_of_the_replay_change_a_byte(bank: tuple[Path, Path]) -> None:
    digests = []
    for cut, rows in ((500, None), (13, 37)):
        log = MemoryLog(cut)
        fill(log, bank)
        digests.append(decisions(walk(TopicSource(log, "t", terms(7 * DAY_US)), rows)))
    assert len(digests[0]) == 4_000
    assert digests[0] == digests[1]


def fill(log: MemoryLog, bank: tuple[Path, Path]) -> None:
    """What ``produce`` sends of the bank, as the topics would hold it."""
    at = START_US
    for record in Schedule(7 * DAY_US).records(open_source(bank[0], None, bank[1]).chunks()):
        document = orjson.loads(record.value)
        if record.kind == "transaction":
            at = np.datetime64(document["event_time"].rstrip("Z"), "ms").astype(int)
        log.append(
            "bank.transactions.v1" if record.kind == "transaction" else "bank.feedback.v1",
            record.key,
            record.value,
            int(at),
        )


def test_a_produced_file_in_topics_is_decided_as_the_file_itself(bank: tuple[Path, Path]) -> None:
    log = MemoryLog(500)
    fill(log, bank)
    by_topic = walk(TopicSource(log, "t", terms(7 * DAY_US)), maturity_us=7 * DAY_US)
    by_file: list[WalkedRun] = []
    replay(open_source(bank[0], None, bank[1]), FileReplay(ReplaySettings(round_us=0), shipped()), [by_file.append])
    # a label is due at the start of a bucket there and heard in the bucket of its arrival here: one bucket apart at most
    same = sum(a == b for a, b in zip(decisions(by_topic), decisions(by_file), strict=True))
    assert same > 0.97 * 4_000


def test_what_the_edge_refuses_is_refused_with_its_place() -> None:
    log = MemoryLog()
    payment(log, 0, START_US)
    log.append("bank.transactions.v1", b"a-1", b"{", START_US // 1000)
    source = TopicSource(log, "t", terms())
    intake = replay(source, FileReplay(ReplaySettings(round_us=0), shipped()), [])
    home = partition_of(b"a-1", PARTITIONS)
    assert intake.refused == {"malformed": 1}
    assert f"partition {home}, offset 1:" in intake.examples[0][2]


def test_a_source_goes_on_behind_a_position_as_if_it_had_read_on(bank: tuple[Path, Path]) -> None:
    log = MemoryLog(100)
    fill(log, bank)
    chunks = list(TopicSource(log, "t", terms()).chunks(1_000))
    rest = list(TopicSource(log, "t", terms()).chunks(1_000, chunks[1].position))
    assert [chunk.position for chunk in rest] == [chunk.position for chunk in chunks[2:]]
    assert [chunk.first_row for chunk in rest] == [chunk.first_row for chunk in chunks[2:]]
    assert [chunk.values for chunk in rest] == [chunk.values for chunk in chunks[2:]]
    assert (rest[0].decoded.columns["offset"] == chunks[2].decoded.columns["offset"]).all()


def test_published_decisions_are_measured_as_the_replay_that_made_them(bank: tuple[Path, Path]) -> None:
    log, tally = MemoryLog(100), Tally()
    fill(log, bank)
    for step in walk(TopicSource(log, "t", terms(7 * DAY_US)), maturity_us=7 * DAY_US):
        tally.add(step)
        for line, at in zip(render(step.decided, step.decider).decisions, step.transactions["timestamp"], strict=True):
            log.append("risk.decisions.v1", orjson.loads(line)["customer_id"].encode(), line, int(at))
    read, measured = Published(), Tally()
    for published in published_steps(log, terms(7 * DAY_US), None, read):
        measured.add(published)
    computed, found = tally.result(), measured.result()
    assert read.decisions == 4_000
    for name in (
        "outcomes",
        "rungs",
        "frauds",
        "caught",
        "genuine",
        "unlabelled",
        "genuine_touched",
        "familiar_touched",
        "scenarios",
        "what_if",
    ):
        assert found[name] == computed[name], name
    assert len(read.policies) == 1


@pytest.mark.parametrize("text", ["yesterday", "0:", "1:2,1:3", "-1:5", "0=7"])
def test_a_bound_that_is_none_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(UsageError, match="--from"):
        parse_bound(text, "--from")


@pytest.mark.parametrize(
    ("start", "stop"), [("2026-07-02T00:00:00Z", "2026-07-01T00:00:00Z"), ("0:9", "0:8"), ("2026-07-01", "2026-07-01")]
)
def test_an_empty_range_is_refused(start: str, stop: str) -> None:
    with pytest.raises(UsageError, match="--from lies"):
        Span(parse_bound(start, "--from"), parse_bound(stop, "--to"))


def test_records_that_were_loaded_in_one_moment_stand_in_the_order_of_their_events(bank: tuple[Path, Path]) -> None:
    log = MemoryLog(500)
    loaded_ms = START_US // 1000 + 365 * 86_400_000
    for number, record in enumerate(Schedule(7 * DAY_US).records(open_source(bank[0], None, bank[1]).chunks())):
        topic = "bank.transactions.v1" if record.kind == "transaction" else "bank.feedback.v1"
        log.append(topic, record.key, record.value, loaded_ms + number // 8)
    loaded = walk(TopicSource(log, "t", terms(7 * DAY_US)), maturity_us=7 * DAY_US)
    times = np.concatenate([step.transactions["event_time"] for step in loaded])
    assert (np.diff(times) >= 0).all()
    assert not any(step.transactions["late"].any() for step in loaded)
    heard = MemoryLog(500)
    fill(heard, bank)
    lived = walk(TopicSource(heard, "t", terms(7 * DAY_US)), maturity_us=7 * DAY_US)
    assert sum(a == b for a, b in zip(decisions(loaded), decisions(lived), strict=True)) > 0.9 * 4_000
