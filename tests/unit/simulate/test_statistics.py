"""What the simulated bank must look like for figures measured on it to mean something."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import orjson
import pytest

from stream.contracts.transaction import read_transaction
from stream.simulate import ATTACKS, SCAMS, Bank, SimulatedTruth, SimulationConfig

DAY_MS = 86_400_000


@dataclass(frozen=True)
class Traffic:
    lines: list[bytes]
    records: list[dict[str, Any]]
    times_ms: list[int]
    truth: list[SimulatedTruth]

    def frauds(self) -> np.ndarray:
        return np.array([row.fraud for row in self.truth])


@cache
def traffic(seed: int = 11, events: int = 60_000, fraud_rate: float = 0.004) -> Traffic:
    chunks = list(Bank(SimulationConfig(seed=seed, events=events, fraud_rate=fraud_rate)).transactions())
    lines = [line for chunk in chunks for line in chunk.lines]
    times = [time for chunk in chunks for time in chunk.times_ms]
    truth = [row for chunk in chunks for row in chunk.truth]
    return Traffic(lines, [orjson.loads(line) for line in lines], times, truth)


def familiar_flags(bank: Traffic) -> list[bool]:
    """CONTRACT.md: at least 3 genuine payments before, the first at least 14 days ago."""
    seen: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    flags = []
    for record, time, row in zip(bank.records, bank.times_ms, bank.truth, strict=True):
        if "payee_id" not in record:
            flags.append(False)
            continue
        pair = seen[record["account_id"], record["payee_id"]]
        flags.append(pair[0] >= 3 and time - pair[1] >= 14 * DAY_MS)
        if not row.fraud:
            pair[1] = pair[1] or time
            pair[0] += 1
    return flags


@pytest.mark.parametrize("fraud_rate", [0.001, 0.002, 0.02])
def test_the_base_rate_is_near_the_asked_one(fraud_rate: float) -> None:
    bank = Bank(SimulationConfig(seed=3, events=100_000, fraud_rate=fraud_rate))
    frauds = sum(int((rows["attack"] > 0).sum()) for rows in bank.payments())
    assert frauds == pytest.approx(100_000 * fraud_rate, rel=0.15)


def test_every_attack_is_there_and_none_is_most_of_the_fraud() -> None:
    attacks = Counter(row.attack for row in traffic().truth if row.fraud)
    assert set(attacks) == set(ATTACKS[1:])
    assert max(attacks.values()) < 0.45 * sum(attacks.values())


def test_scams_are_the_attacks_in_which_the_customer_pays() -> None:
    assert set(ATTACKS[1:]) - SCAMS == {"account_takeover", "card_testing"}


def test_about_half_of_all_and_three_fifths_of_later_payments_go_to_familiar_payees() -> None:
    flags = familiar_flags(traffic())
    assert 0.42 < np.mean(flags) < 0.6
    assert 0.55 < np.mean(flags[len(flags) // 2 :]) < 0.68


def test_fraud_seldom_goes_to_a_familiar_payee() -> None:
    bank = traffic()
    familiar = np.array(familiar_flags(bank))[bank.frauds() == 1]
    assert familiar.mean() < 0.03


def test_accounts_pay_about_as_often_as_asked_and_the_period_is_met() -> None:
    bank = traffic()
    days = (bank.times_ms[-1] - bank.times_ms[0]) / DAY_MS
    assert 165 < days < 195
    accounts = {record["account_id"] for record in bank.records}
    assert 1.9 < len(bank.lines) / len(accounts) / days < 2.3


def test_an_account_knows_as_many_payees_as_real_ones() -> None:
    payees: dict[str, Counter[str]] = defaultdict(Counter)
    for record in traffic().records:
        if "payee_id" in record:
            payees[record["account_id"]][record["payee_id"]] += 1
    known = [sum(times >= 3 for times in counts.values()) for counts in payees.values()]
    assert 15 < np.median(known) < 50


def test_genuine_life_alarms_more_often_than_fraud_happens() -> None:
    """Large first payments, instalments and collections outnumber the large steps of attacks."""
    kinds = Counter(row.kind for row in traffic(events=30_000, fraud_rate=0.001).truth)
    assert kinds["first_large"] + kinds["instalment"] + kinds["collection"] > sum(
        kinds[kind] for kind in ("large", "transfer_out", "new_device", "own_device")
    )
    first = [
        record.get("account_amount_minor", record["amount_minor"])
        for record, row in zip(traffic().records, traffic().truth, strict=True)
        if row.kind == "first_large"
    ]
    stolen = [
        record.get("account_amount_minor", record["amount_minor"])
        for record, row in zip(traffic().records, traffic().truth, strict=True)
        if row.fraud and row.attack != "card_testing"
    ]
    assert np.median(first) > np.median(stolen)


def test_every_record_is_accepted_by_the_contract() -> None:
    bank = traffic()
    for line, row in zip(bank.lines, bank.truth, strict=True):
        assert read_transaction(line).transaction_id == row.transaction_id


def test_records_are_sorted_by_event_time_and_ids_are_never_repeated() -> None:
    bank = traffic()
    written = [record["event_time"] for record in bank.records]
    assert written == sorted(written)
    assert bank.times_ms == sorted(bank.times_ms)
    ids = [row.transaction_id for row in bank.truth]
    assert len(set(ids)) == len(ids)
    assert ids == [record["transaction_id"] for record in bank.records]


TRUTH_WORDS = (b"fraud", b"attack", b"mule", b"kind_", b"scam", b"victim")


def test_records_hold_no_word_of_the_truth() -> None:
    text = b"\n".join(traffic().lines)
    assert not [word for word in TRUTH_WORDS if word in text]


@pytest.mark.parametrize("field", ["transaction_id", "payee_id", "device_id", "account_id"])
def test_ids_of_fraud_look_like_any_other(field: str) -> None:
    """Length and characters are the same, and no position of the id is distributed otherwise (chi-squared)."""
    bank = traffic()
    groups: tuple[set[str], set[str]] = (set(), set())
    for record, row in zip(bank.records, bank.truth, strict=True):
        if field in record:
            groups[row.fraud].add(record[field])
    honest, fraud = sorted(groups[0]), sorted(groups[1] - groups[0] or groups[1])
    assert {len(name) for name in honest + fraud} == {14}
    assert {name[0] for name in fraud} <= {name[0] for name in honest}
    for position in (2, 5, 9, 13):
        low = np.mean([name[position] < "g" for name in fraud])
        usual = np.mean([name[position] < "g" for name in honest])
        deviation = abs(low - usual) / np.sqrt(0.25 / len(fraud) + 0.25 / len(honest))
        assert deviation < 4


def test_no_value_of_a_field_gives_a_fraud_away() -> None:
    bank = traffic()
    fields = ("channel", "country", "currency", "payee_country", "payee_kind", "purpose", "name_check", "slips")
    for field in fields:
        total: Counter[str] = Counter()
        fraud: Counter[str] = Counter()
        for record, row in zip(bank.records, bank.truth, strict=True):
            value = str(record.get(field))
            total[value] += 1
            fraud[value] += row.fraud
        telling = {value: fraud[value] / total[value] for value in total if total[value] >= 20}
        assert max(telling.values()) < 0.35, (field, telling)
    keys = [tuple(sorted(record)) for record in bank.records]
    fraud_keys = {key for key, row in zip(keys, bank.truth, strict=True) if row.fraud}
    honest_keys = {key for key, row in zip(keys, bank.truth, strict=True) if not row.fraud}
    assert fraud_keys <= honest_keys


def test_the_bytes_of_a_fraud_are_no_longer_or_shorter_than_life() -> None:
    bank = traffic()
    sizes = np.array([len(line) for line in bank.lines])
    fraud = bank.frauds() == 1
    assert sizes[~fraud].min() <= sizes[fraud].min()
    assert sizes[fraud].max() <= sizes[~fraud].max()


def test_mules_are_shared_between_victims_and_some_are_ordinary_customers() -> None:
    bank = traffic(events=30_000, fraud_rate=0.02)
    victims: dict[str, set[str]] = defaultdict(set)
    honest = {record.get("payee_id") for record, row in zip(bank.records, bank.truth, strict=True) if not row.fraud}
    for record, row in zip(bank.records, bank.truth, strict=True):
        if row.fraud and row.attack != "card_testing":
            victims[record["payee_id"]].add(row.attack_id)
    assert sum(len(cases) > 1 for cases in victims.values()) > 0.2 * len(victims)
    assert any(payee in honest for payee in victims)


def test_takeovers_come_on_new_devices_and_on_the_victims_own() -> None:
    bank = traffic(events=30_000, fraud_rate=0.02)
    devices: dict[str, set[str]] = defaultdict(set)
    known: Counter[tuple[str, bool]] = Counter()
    for record, row in zip(bank.records, bank.truth, strict=True):
        device = record.get("device_id")
        if row.attack == "account_takeover" and device:
            known[row.kind, device in devices[record["customer_id"]]] += 1
        elif device and not row.fraud:
            devices[record["customer_id"]].add(device)
    assert known["new_device", True] == 0 < known["new_device", False]
    assert known["own_device", True] > 0.9 * (known["own_device", True] + known["own_device", False])


def test_a_redirected_invoice_goes_to_a_new_account_under_a_checked_name() -> None:
    bank = traffic(events=30_000, fraud_rate=0.02)
    checks = Counter(
        record.get("name_check")
        for record, row in zip(bank.records, bank.truth, strict=True)
        if row.attack == "invoice_redirect"
    )
    assert checks["no_match"] + checks["close"] > 0.5 * sum(checks.values())


def test_grooming_starts_small_and_task_scams_rise() -> None:
    bank = traffic(events=30_000, fraud_rate=0.02)
    cases: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for record, row in zip(bank.records, bank.truth, strict=True):
        amount = record.get("account_amount_minor", record["amount_minor"])
        cases[row.attack_id].append((row.kind, amount)) if row.fraud else None
    grooming = [steps for steps in cases.values() if steps[0][0] == "small"]
    task = [steps for steps in cases.values() if steps[0][0] == "upfront"]
    assert grooming
    for steps in grooming:
        assert all(kind == "small" for kind, _ in steps[:3])
    small = [amount for steps in grooming for kind, amount in steps if kind == "small"]
    large = [amount for steps in grooming for kind, amount in steps if kind == "large"]
    assert np.median(large) > 5 * np.median(small)
    assert np.mean([steps[-1][1] >= steps[0][1] for steps in task]) > 0.9


def test_payroll_runs_pay_many_in_minutes() -> None:
    bank = traffic()
    runs: dict[tuple[str, str], list[int]] = defaultdict(list)
    for record, time, row in zip(bank.records, bank.times_ms, bank.truth, strict=True):
        if row.kind == "payroll":
            runs[record["account_id"], record["event_time"][:10]].append(time)
    longest = max(runs.values(), key=len)
    assert len(longest) >= 10
    assert longest[-1] - longest[0] < 10 * 60_000


def test_amounts_are_integers_and_foreign_ones_name_the_account_s() -> None:
    for record in traffic().records:
        assert type(record["amount_minor"]) is int
        home = "CNY" if record["customer"]["home_country"] == "CN" else "EUR"
        assert ("account_amount_minor" in record) == (record["currency"] != home)


def test_transaction_ids_do_not_follow_the_order_of_time() -> None:

    ordered = np.array([int.from_bytes(row.transaction_id[1:8].encode()) for row in traffic().truth], dtype=float)
    place = np.arange(len(ordered), dtype=float)
    assert abs(np.corrcoef(ordered, place)[0, 1]) < 0.03
    assert abs(np.corrcoef(ordered, traffic().frauds())[0, 1]) < 0.03
