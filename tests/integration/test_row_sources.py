"""Where a recovery's rows come from, on a real Kafka and a real disk: as exact as from the changelog, and no harm done."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from bad_traffic import TRANSACTIONS, BadTraffic, Sender, assert_exact, bad_traffic, outcome
from confluent_kafka import TopicPartition
from plain_traffic import traffic

from stream.core.table.row_table import RowTable
from stream.log.connect import admin
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.repair.state_dump import read_state
from stream.replay.oracle.live_line import LiveRecord
from stream.replay.oracle.verify import verify

HOPS = ("riskstream-accounts-rows", "riskstream-payees-rows")


def decided(line: Any) -> int:
    return len(line.records("risk.decisions.v1"))


def names(line: Any) -> list[str]:
    return [f"{line.settings.topic(hop)}-{partition}" for hop in HOPS for partition in range(4)]


def last_recovery(log: str) -> list[str]:
    """Sources of the last recovery's partitions and hops."""
    began = log.rindex("recovered accounts of partition 0")
    return [source for _, _, source in recovered(log[began:])]


def said(line: Any, number: int, note: str) -> Any:
    """What a worker's /ready says under a name; None while it is not ready."""
    port = re.search(r"http://127.0.0.1:(\d+)/metrics", line.log(number))
    if port is None:
        return None
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port.group(1)}/ready", timeout=10) as answer:
            return json.loads(answer.read())[note]
    except urllib.error.HTTPError:
        return None


def metric(line: Any, number: int, name: str) -> float:
    port = re.search(r"http://127.0.0.1:(\d+)/metrics", line.log(number))
    assert port is not None
    with urllib.request.urlopen(f"http://127.0.0.1:{port.group(1)}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def assert_rows(line: Any) -> None:
    """The rows that a dump of the line shows are the oracle's, byte for byte."""
    result = verify(LiveRecord(line.settings).recorded)
    assert result.equal, "\n".join(map(str, result.differences))
    for state in read_state(line.settings):
        oracle = result.accounts[state.partition]
        for found, computed in (
            (state.accounts, oracle.table),
            (state.customers, oracle.customers),
            (state.told_accounts, oracle.told),
            (state.payees, result.payees[state.partition].table),
            (state.busy_payees, result.payees[state.partition].busy),
        ):
            assert rows(found) == rows(computed), f"partition {state.partition}"


def rows(table: RowTable) -> dict[bytes, bytes]:
    return {bytes(row["key"]): row.tobytes() for row in table.sorted_rows()}


@pytest.mark.timeout(180)
def test_a_killed_worker_comes_back_from_its_snapshots_but_for_the_one_that_is_damaged(
    line: Any, until: Any, tmp_path: Path
) -> None:
    traffic = bad_traffic(3_000, seed=31)
    folder = tmp_path / "rows"
    settings = {"snapshot_directory": folder, "snapshot_interval_s": 1, "checkpoint_interval_ms": 400}
    first = line.worker(**settings)
    part(line, traffic, 0, 1_500).join(60)
    sender = part(line, traffic, 1_500, 2_000)  # checkpoints go on
    files = [folder / f"{name}.snapshot" for name in names(line)]
    until(lambda: all(file.exists() for file in files), "a snapshot of every partition and hop")
    first.kill()
    first.wait(10)
    content = bytearray(files[2].read_bytes())
    content[len(content) // 2] ^= 1
    files[2].write_bytes(content)
    sender.join(60)
    line.worker(**settings)
    part(line, traffic, 2_000, len(traffic.records)).join(60)
    until(lambda: outcome(line) == traffic.expected, "every record to be accounted for", 90)
    log = line.log(1)
    assert "accounts of partition 2: snapshot not used: the snapshot's rows do not fit their checksum" in log
    came = {(hop, number): source for hop, number, source in recovered(log)}
    assert came == {(hop, str(n)): "snapshot" for hop in ("accounts", "payees") for n in range(4)} | {
        ("accounts", "2"): "changelog"
    }
    assert_exact(line, traffic)
    assert_rows(line)


def part(line: Any, traffic: BadTraffic, start: int, stop: int) -> Sender:
    return Sender(line, replace(traffic, records=traffic.records[start:stop]), rate=250.0)


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_a_survivor_keeps_its_own_rows_and_takes_the_victims_from_its_standby_copies(line: Any, until: Any) -> None:
    traffic = bad_traffic(5_000, seed=32)
    workers = [line.worker(standby_copies=1, checkpoint_interval_ms=400) for _ in range(2)]
    part(line, traffic, 0, 1_500).join(60)
    until(lambda: all(len(warm(line, number)) == 4 for number in range(2)), "copies of the other's partitions")
    places = [place[:-1].split("[") for place in warm(line, 1)]
    lags = {f'riskstream_standby_lag{{partition="{partition}",topic="{topic}"}}' for topic, partition in places}
    until(lambda: all(metric(line, 1, name) == 0 for name in lags), "copies that are up to date")
    sender = part(line, traffic, 1_500, len(traffic.records))
    until(lambda: decided(line) > 1_500, "decisions under load")
    workers[0].kill()
    until(lambda: line.log(1).count("(standby copy)") == 4, "the survivor to take over", 60)
    until(lambda: len(last_recovery(line.log(1))) == 8, "the end of that recovery")
    assert sorted(last_recovery(line.log(1))) == ["kept"] * 4 + ["standby copy"] * 4
    line.worker(standby_copies=1)
    sender.join(120)
    until(lambda: outcome(line) == traffic.expected, "every record to be accounted for", 90)
    assert_exact(line, traffic)
    assert_rows(line)


def recovered(log: str) -> list[tuple[str, str, str]]:
    """Hop, partition and source of each recovery that a worker told of."""
    return re.findall(r"recovered (\w+) of partition (\d) \(\d of \d\): \d+ rows \(([a-z ]+)\)", log)


def warm(line: Any, number: int) -> list[str]:
    notes = said(line, number, "standbys")
    return list(notes["of"]) if notes else []


@pytest.mark.soak
@pytest.mark.timeout(120)
def test_a_full_disk_is_told_and_loses_nothing(line: Any, until: Any, tmp_path: Path) -> None:
    """Every file that this worker would write its rows to is /dev/full: the kernel itself says ENOSPC."""
    transactions, _ = traffic(1_500, seed=33)
    folder = tmp_path / "rows"
    folder.mkdir()
    worker = line.worker(snapshot_directory=folder, snapshot_interval_s=1, checkpoint_interval_ms=300)
    full = [folder / f"{name}.{worker.pid}.tmp" for name in names(line)]
    for path in full:
        path.symlink_to("/dev/full")
    line.send(TRANSACTIONS, transactions[:1_000], pause=0.3)
    until(lambda: "no snapshot: No space left on device; a recovery reads the changelog" in line.log(0), "a word")
    line.send(TRANSACTIONS, transactions[1_000:])
    until(lambda: decided(line) == len(transactions), "every transaction to be decided")
    assert metric(line, 0, 'riskstream_snapshots_total{result="failed"}') >= 1
    until(lambda: said(line, 0, "snapshots") is not None, "a worker that is ready")
    # the first try of each fails; the next one, at a new name, may have gone well
    assert "No space left on device" in str(said(line, 0, "snapshots")) or list(folder.glob("*.snapshot"))
    worker.kill()
    worker.wait(10)
    for path in folder.iterdir():
        path.unlink()
    line.worker(snapshot_directory=folder)
    line.send(TRANSACTIONS, [orjson.dumps(orjson.loads(transactions[0]) | {"transaction_id": "after"})])
    until(lambda: decided(line) == len(transactions) + 1, "a decision after the restart")
    assert {source for _, _, source in recovered(line.log(1))} == {"changelog"}
    assert_rows(line)


@pytest.mark.soak
@pytest.mark.timeout(180)
def test_records_deleted_unread_stop_their_partition_alone_until_that_is_accepted(line: Any, until: Any) -> None:
    transactions, _ = traffic(1_200, seed=34)
    worker = line.worker()
    line.send(TRANSACTIONS, transactions[:400])
    until(lambda: decided(line) == 400, "the first decisions")
    worker.terminate()
    assert worker.wait(30) == 0
    line.send(TRANSACTIONS, transactions[400:800])
    place = Place(line.settings.topic(TRANSACTIONS), 2)
    gone = delete_unread(line, place)
    line.worker(snapshot_interval_s=0)
    until(lambda: "accounts of partition 2 are left alone" in line.log(1), "the refusal")
    assert f"{gone} offsets, to be decided" in line.log(1)
    line.send(TRANSACTIONS, transactions[800:])
    there = [count(line, partition) for partition in range(4)]
    until(lambda: decided_by_partition(line) == [*there[:2], decided_at_first(line), there[3]], "the other partitions")
    told = json.loads(line.command("status", "--json").stdout.splitlines()[-1])
    lost = {p["partition"]: p["lost"] for p in told["partitions"] if p["topic"] == place.topic}
    assert lost == {0: 0, 1: 0, 2: gone, 3: 0}
    assert not told["balanced"]
    line.workers[1].terminate()
    assert line.workers[1].wait(30) == 0
    line.worker(accept_lost_records="true")
    until(lambda: "accepted: " in line.log(2), "a word about it")
    until(lambda: sum(decided_by_partition(line)) == sum(there) - gone_records(line, place), "the rest")
    told = json.loads(line.command("status", "--json").stdout.splitlines()[-1])
    assert [p["lost"] for p in told["partitions"] if p["lost"]] == [gone]


def delete_unread(line: Any, place: Place) -> int:
    """Delete up to a record that has not been read; returns how many unread offsets that were."""
    reader = KafkaReader(line.settings)
    try:
        stands = reader.positions([place])[place].offset
        low = stands + 7
        assert reader.watermarks(place)[1] > low
    finally:
        reader.close()
    client = admin(line.settings)
    for answer in client.delete_records([TopicPartition(*place, low)]).values():
        answer.result(30)
    return low - stands


def count(line: Any, partition: int) -> int:
    """Transactions ever sent to a partition."""
    reader = KafkaReader(line.settings)
    try:
        return reader.watermarks(Place(line.settings.topic(TRANSACTIONS), partition))[1]
    finally:
        reader.close()


def decided_by_partition(line: Any) -> list[int]:
    found = [0] * 4
    for record in line.records("risk.decisions.v1"):
        found[int(dict(record.headers)["riskstream.source"].split(b"/")[1])] += 1
    return found


def decided_at_first(line: Any) -> int:
    """Of partition 2: what the first worker had decided."""
    reader = KafkaReader(line.settings)
    place = Place(line.settings.topic(TRANSACTIONS), 2)
    try:
        return reader.positions([place])[place].offset
    finally:
        reader.close()


def gone_records(line: Any, place: Place) -> int:
    """Records deleted before they were read: these topics have no gaps."""
    batches = [orjson.loads(r.value)["transactions"] for r in line.records("riskstream-accounts-batches")]
    ends = {stop for _, stop in batches} | {0}
    return sum(7 for start, _ in batches if start not in ends)
