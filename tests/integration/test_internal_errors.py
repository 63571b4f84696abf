"""What riskstream itself fails at, on a real Kafka: left out alone, recorded, and sent again once it is mended."""

from __future__ import annotations

import socket
import sys
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from plain_traffic import traffic

from stream.contracts.dead_letter import DeadLetter
from stream.replay.oracle.live_line import LiveRecord
from stream.replay.oracle.verify import verify

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.poison import AMOUNTS, OCCURRED, Stage, poison

TRANSACTIONS, FEEDBACK = "bank.transactions.v1", "bank.feedback.v1"
POISONED = (str(Path(__file__).parent / "poisoned_worker.py"),)
PAYMENTS = 600


def poisoned_traffic(stages: dict[int, Stage]) -> list[bytes]:
    """Payments, those at some places poisoned."""
    payments = [orjson.loads(value) for value in traffic(PAYMENTS)[0]]
    for place, stage in stages.items():
        payments[place]["amount_minor"] = AMOUNTS[stage]
    return [orjson.dumps(payment) for payment in payments]


def decisions(line: Any) -> list[dict[str, Any]]:
    return [orjson.loads(record.value) for record in line.records("risk.decisions.v1")]


def letters(line: Any) -> list[Any]:
    return [*line.records(f"{TRANSACTIONS}.dlq"), *line.records(f"{FEEDBACK}.dlq")]


def reasons(line: Any) -> Counter[bytes]:
    return Counter(dict(record.headers)["riskstream.reason"] for record in letters(line))


def assert_sound(line: Any) -> None:
    """The oracle's bytes, and every record accounted for."""
    result = verify(LiveRecord(line.settings).recorded)
    assert result.equal, "\n".join(map(str, result.differences))
    status = line.command("status", "--json")
    assert orjson.loads(status.stdout.splitlines()[-1])["balanced"], status.stdout + status.stderr


def ready(port: int) -> dict[str, Any]:
    """What a worker says of itself; empty while it says nothing."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return dict(orjson.loads(answer.read()))
    except urllib.error.HTTPError as error:
        return dict(orjson.loads(error.read()))
    except OSError:
        return {}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_poison_is_left_out_through_a_kill_and_sent_again_once_mended(
    line: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: dict[int, Stage] = {100: "walk", 200: "read", 300: "payee walk", 400: "decide", 401: "decide", 500: "walk"}
    payments = poisoned_traffic(stages)
    told = {"feedback_id": "f-1", "kind": "chargeback", "verdict": "fraud", "actor": "chargeback:test",
            "occurred_at": OCCURRED, **{n: orjson.loads(payments[0])[n] for n in ("transaction_id", "account_id")}}  # fmt: skip
    first = line.worker(program=POISONED, internal_errors_per_hour=100)
    line.send(TRANSACTIONS, payments[:350])
    until(lambda: letters(line), "the first dead letter", 120)
    first.kill()
    line.worker(program=POISONED, internal_errors_per_hour=100)
    line.send(TRANSACTIONS, payments[350:])
    line.send(FEEDBACK, [orjson.dumps(told)])
    until(lambda: len(decisions(line)) == PAYMENTS - 4, "every payment but the poisoned ones to be decided", 120)
    until(lambda: reasons(line) == {b"internal": 5}, "the dead letters", 60)
    for record in letters(line):
        headers = dict(record.headers)
        headers.pop("riskstream.profiled", None)
        DeadLetter.model_validate_strings({name: value.decode() for name, value in headers.items()})
        assert b"66" not in headers["__connect.errors.exception.message"]
    failed = [decision for decision in decisions(line) if decision["degraded"]]
    assert [d["degraded"] for d in failed] == [[{"dependency": "decider", "direction": "challenge_light"}]] * 2
    with monkeypatch.context() as context:
        poison(context)  # the oracle's code raises at the same records
        assert_sound(line)
    line.stop()

    line.worker()
    assert run_retry(line, "--dry-run")["retried"] == 3
    sent = run_retry(line)
    assert (sent["retried"], sent["by_reason"], sent["profiled"]) == (3, {"internal": 3}, 2)
    until(lambda: len(decisions(line)) == PAYMENTS - 1, "what was sent again to be decided", 120)
    again = run_retry(line)
    assert (again["retried"], again["retried_before"]) == (0, 3)
    assert len(line.records("riskstream-dlq-retried")) == 3
    assert_sound(line)


def run_retry(line: Any, *options: str) -> dict[str, Any]:
    done = line.command("dlq", "retry", "--json", *options)
    assert done.returncode == 0, done.stderr
    return dict(orjson.loads(done.stdout.splitlines()[-1]))


def test_one_error_too_many_stops_its_partition_and_the_others_go_on(line: Any, until: Any) -> None:
    payments = poisoned_traffic({300: "walk"})
    port = free_port()
    line.worker(program=POISONED, internal_errors_per_hour=0, metrics_port=port)
    line.send(TRANSACTIONS, payments)
    until(lambda: any("stands at offset" in why for why in ready(port).get("reasons", [])), "the stop to be told", 120)
    told = next(why for why in ready(port)["reasons"] if "stands at offset" in why)
    places = {r.value: (p, r.offset) for p in range(4) for r in line.records_of(TRANSACTIONS, p)}
    partition, offset = places[payments[300]]
    assert f"{TRANSACTIONS}[{partition}] stands at offset {offset}: ValueError while it was walked" in told
    others = sum(1 for p, _ in places.values() if p != partition)
    until(lambda: len(decisions(line)) >= others, "the other partitions to go on", 120)
    assert sorted(ready(port)["partitions"]) == sorted({0, 1, 2, 3} - {partition})
    line.stop()
    line.worker()
    until(lambda: len(decisions(line)) == PAYMENTS, "nothing to be lost", 120)
    assert letters(line) == []
    assert_sound(line)
