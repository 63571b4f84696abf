"""Same seed, same bytes: whatever the chunk size, however often, and independent of the fraud beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import date, datetime
from itertools import islice

import orjson
import pytest

from stream.errors import UsageError
from stream.simulate import Bank, SimulationConfig, stream

CONFIG = SimulationConfig(seed=5, events=5_000, accounts=60, fraud_rate=0.01)


def text(config: SimulationConfig, chunk_size: int = 4096) -> bytes:
    return b"\n".join(line for chunk in Bank(config).transactions(chunk_size) for line in chunk.lines)


@pytest.mark.parametrize("chunk_size", [1, 7, 1000, 100_000])
def test_the_bytes_do_not_depend_on_the_chunk_size(chunk_size: int) -> None:
    assert text(CONFIG, chunk_size) == text(CONFIG)


def test_another_seed_gives_another_bank() -> None:
    first = {orjson.loads(line)["account_id"] for line in text(CONFIG).split(b"\n")}
    other = {
        orjson.loads(line)["account_id"]
        for line in text(SimulationConfig(seed=6, events=5_000, accounts=60)).split(b"\n")
    }
    assert not first & other


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_with_another_hash_seed_gives_the_same_bytes(hash_seed: str) -> None:
    program = (
        "import sys; from stream.simulate import *\n"
        "for c in Bank(SimulationConfig(seed=5, events=5000, accounts=60, fraud_rate=.01)).transactions():\n"
        "    sys.stdout.buffer.write(b'\\n'.join(c.lines) + b'\\n')"
    )
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert run.stdout.rstrip(b"\n") == text(CONFIG)


def test_genuine_life_is_the_same_at_any_fraud_rate() -> None:
    def genuine(fraud_rate: float) -> list[tuple[object, ...]]:
        config = SimulationConfig(seed=5, events=6_000, accounts=60, fraud_rate=fraud_rate)
        rows = [
            (record["event_time"], record["account_id"], record.get("payee_id"), record["amount_minor"])
            for chunk in Bank(config).transactions()
            for line, truth in zip(chunk.lines, chunk.truth, strict=True)
            if not truth.fraud and truth.kind != "savings_broken"
            for record in [orjson.loads(line)]
        ]
        return rows[:5_000]

    assert genuine(0.0) == genuine(0.02)


def test_a_shorter_run_is_the_beginning_of_an_endless_one() -> None:
    events = list(islice(stream(seed=9, accounts=60), 3_000))
    again = list(islice(stream(seed=9, accounts=60), 3_000))
    assert events == again
    assert [event.time_ms for event in events] == sorted(event.time_ms for event in events)
    record = orjson.loads(events[-1].transaction)
    assert record["customer_id"].encode() == events[-1].key
    assert datetime.fromisoformat(record["event_time"]).timestamp() * 1000 == events[-1].time_ms


def test_the_first_day_is_the_asked_one() -> None:
    event = next(stream(seed=1, start=date(2030, 5, 2)))
    assert orjson.loads(event.transaction)["event_time"] >= "2030-05-01T16:00:00"  # 2 May begins in China


def test_exactly_the_asked_number_of_transactions() -> None:
    for events in (1, 99, 2_500):
        assert sum(len(c) for c in Bank(SimulationConfig(seed=1, events=events)).transactions(64)) == events


def test_a_bank_lives_once() -> None:
    bank = Bank(CONFIG)
    next(bank.transactions())
    with pytest.raises(RuntimeError, match="lives once"):
        next(bank.transactions())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"events": 0}, "events must be at least 1"),
        ({"fraud_rate": 0.5}, "fraud-rate must be 0 to 0.2"),
        ({"seed": -1}, "seed must not be negative"),
        ({"accounts": 3}, "accounts must be"),
        ({"events": 100, "days": 900}, "leave one of the three out"),
    ],
)
def test_impossible_settings_are_refused_in_words(settings: dict[str, int], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SimulationConfig(**{"seed": 1, "events": 1_000, **settings})  # type: ignore[arg-type]


def test_events_days_and_accounts_together_set_how_often_customers_pay() -> None:
    config = SimulationConfig(seed=1, events=20_000, days=60, accounts=100)
    *_, last = Bank(config).transactions()
    days = (last.times_ms[-1] - datetime(2025, 12, 31, 16).astimezone().timestamp() * 1000) / 86_400_000
    assert 50 < days < 70


@pytest.mark.parametrize("settings", [{"accounts": 10}, {"accounts": 11}, {"days": 1}, {"days": 400, "accounts": 10}])
def test_the_smallest_banks_work(settings: dict[str, int]) -> None:
    config = SimulationConfig(seed=2, events=3_000, fraud_rate=0.05, **settings)  # type: ignore[arg-type]
    chunks = list(Bank(config).transactions())
    frauds = sum(row.fraud for chunk in chunks for row in chunk.truth)
    assert sum(len(chunk) for chunk in chunks) == 3_000
    assert 0 < frauds < 0.1 * 3_000
