"""A hard bank's thieves keep to their victims' habits, and the bank does not hear of all of them; an ordinary bank is as ever."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from stream.cli import riskstream
from stream.errors import UsageError
from stream.simulate import Bank, SimulatedTruth, SimulationConfig
from stream.simulate.difficulty import HARD

DAY_MS = 86_400_000
GOLDEN = {5: "88e67cbdaaa8dfebfc70fc8624cf3d4306a2565c730df7d5290cdd00e8f8432c"}
"""Digest of an ordinary bank, as it was before banks could be hard."""


@cache
def traffic(difficulty: str) -> list[tuple[dict[str, Any], SimulatedTruth, int]]:
    config = SimulationConfig(seed=4, events=90_000, accounts=330, days=150, fraud_rate=0.01, difficulty=difficulty)
    return [
        (orjson.loads(line), truth, time)
        for chunk in Bank(config).transactions()
        for line, truth, time in zip(chunk.lines, chunk.truth, chunk.times_ms, strict=True)
    ]


def shares(difficulty: str) -> dict[str, float]:
    """Of the frauds: to a payee with an honest past at the bank, from a device new to the account, above the account's past."""
    payees, devices, largest = set(), set(), dict[str, int]()
    found: Counter[str] = Counter()
    for record, truth, _ in traffic(difficulty):
        account, payee, device = record["account_id"], record.get("payee_id"), record.get("device_id")
        amount = record.get("account_amount_minor", record["amount_minor"])
        if truth.fraud:
            found["frauds"] += 1
            found["honest_past"] += payee in payees
            found["strange_device"] += device is not None and (account, device) not in devices
            found["above"] += amount > largest.get(account, 0)
        else:
            payees.add(payee)
            devices.add((account, device))
            largest[account] = max(amount, largest.get(account, 0))
    return {name: count / found["frauds"] for name, count in found.items()}


def test_an_ordinary_bank_has_the_bytes_it_had() -> None:
    digest = hashlib.sha256()
    for chunk in Bank(SimulationConfig(seed=5, events=30_000, accounts=100, fraud_rate=0.01)).transactions():
        for line, row in zip(chunk.lines, chunk.truth, strict=True):
            digest.update(line)
            named = (row.transaction_id, row.fraud, row.attack, row.attack_id, row.account_id, row.kind)
            digest.update(repr(named).encode())
    assert digest.hexdigest() == GOLDEN[5]


def test_thieves_of_a_hard_bank_keep_to_amounts_and_devices_and_their_mules_have_a_past() -> None:
    ordinary, hard = shares("ordinary"), shares("hard")
    assert hard["honest_past"] > ordinary["honest_past"] + 0.1
    assert hard["strange_device"] < 0.9 * ordinary["strange_device"]
    assert hard["above"] < 0.85 * ordinary["above"]


def test_about_a_fifth_of_the_attacks_pays_somebody_the_victim_knows() -> None:
    seen: set[tuple[str, str | None]] = set()
    attacks: dict[str, bool] = {}
    for record, truth, _ in traffic("hard"):
        pair = record["account_id"], record.get("payee_id")
        if truth.fraud:
            attacks[truth.attack_id] = attacks.get(truth.attack_id, False) or pair in seen
        else:
            seen.add(pair)
    assert 0.05 < np.mean(list(attacks.values())) < 0.3


def test_a_third_of_the_attacks_is_never_told_and_the_other_labels_have_a_heavy_tail() -> None:
    told = {truth.attack_id: truth.told_days for _, truth, _ in traffic("hard") if truth.fraud}
    known = [days for days in told.values() if days is not None]
    assert 0.2 < 1 - len(known) / len(told) < 0.45
    assert np.median(known) == pytest.approx(HARD.told_days, rel=0.5)
    assert np.quantile(known, 0.95) > 4 * np.median(known)
    assert {truth.told_days for _, truth, _ in traffic("hard") if not truth.fraud} == {None}


def test_some_kinds_of_attack_begin_in_mid_stream() -> None:
    first: dict[str, int] = {}
    begin = traffic("hard")[0][2]
    for _, truth, time in traffic("hard"):
        if truth.fraud:
            first.setdefault(truth.attack, (time - begin) // DAY_MS)
    late = [attack for attack, day in first.items() if day >= 150 * HARD.late_from - 1]
    assert len(late) >= HARD.begins_late


def test_a_third_of_the_private_customers_is_thin_and_accounts_are_held_in_many_currencies() -> None:
    counts = Counter(record["account_id"] for record, _, _ in traffic("hard"))
    a_month = np.array(list(counts.values())) / 5
    assert 0.15 < np.mean(a_month < 12) < 0.6
    assert len({record["currency"] for record, _, _ in traffic("hard")}) >= 6


def test_the_command_writes_when_the_bank_hears_of_a_fraud(tmp_path: Path) -> None:
    files = ["--out", str(tmp_path / "bank.jsonl"), "--truth", str(tmp_path / "truth.csv")]
    arguments = ["simulate", "--seed", "3", "--events", "4000", "--accounts", "50", "--fraud-rate", "0.05"]
    result = CliRunner().invoke(riskstream, [*arguments, "--difficulty", "hard", *files])
    assert result.exit_code == 0, result.output
    with (tmp_path / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["told_days"] for row in rows if row["fraud"] == "0"} == {""}
    assert {"" if row["told_days"] == "" else "days" for row in rows if row["fraud"] == "1"} == {"", "days"}


def test_a_difficulty_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="difficulty must be one of ordinary, hard"):
        SimulationConfig(seed=1, difficulty="impossible")
