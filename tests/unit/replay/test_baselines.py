"""The engine beside a scorecard and a blanket amount rule at equal recall, in the same replay."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.policy import shipped
from stream.cli.replay import command
from stream.core.columns import SCENARIOS, hash_id
from stream.core.features import SCHEMA
from stream.errors import UsageError
from stream.replay.measure.baselines import KEPT, Baselines
from stream.replay.measure.scorecard import CARD, scorecard
from stream.replay.source.labels import FRAUD, GENUINE, UNLABELLED, Labels

FAST = ["--round", "0s"]
DAY_US = 86_400_000_000
YUAN = 0.128
"""Euro a yuan, by the shipped policy."""


def replayed(bank: tuple[Path, Path], *options: str | Path) -> tuple[dict[str, Any], list[str]]:
    """The summary, and the lines before it."""
    arguments = [bank[0], "--labels", bank[1], "--json", *FAST, *options]
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    *lines, document = result.stdout.splitlines()
    return json.loads(document), lines


@pytest.fixture(scope="module")
def alone(bank: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[str], Path]:
    out = tmp_path_factory.mktemp("baselines")
    summary, lines = replayed(bank, "--scores", out / "scores.parquet", "--report", out / "report.html")
    return summary, lines, out


def test_the_engines_own_row_is_what_its_scores_give(
    bank: tuple[Path, Path], alone: tuple[dict[str, Any], list[str], Path]
) -> None:
    scores = pq.read_table(alone[2] / "scores.parquet")
    truth = pacsv.read_csv(bank[1]).to_pydict()
    fraud_of = dict(zip(truth["transaction_id"], truth["fraud"], strict=True))
    fraud = np.array([fraud_of[name] == 1 for name in scores.column("transaction_id").to_pylist()])
    risk = scores.column("risk_ppm").to_numpy()
    time = scores.column("event_time").to_numpy().astype("M8[us]").astype(np.int64)
    test = time.min() + (time.max() - time.min()) * 3 // 4
    chosen = (time >= time.min() + (test - time.min()) * 2 // 3) & (time < test)
    tested = time >= test
    frauds = np.sort(risk[chosen & fraud])[::-1]
    for recall, engines in alone[0]["baselines"]["recall"].items():
        threshold = frauds[math.ceil(float(recall) * len(frauds) - 1e-9) - 1]
        row = engines["riskstream"]
        assert row["threshold"] == threshold
        assert row["caught"] == np.count_nonzero(risk[tested & fraud] >= threshold) > 0
        assert row["touched"] == np.count_nonzero(risk[tested & ~fraud] >= threshold)
        assert set(engines) == {"riskstream", "scorecard", "blanket"}


def test_the_blanket_rule_is_the_amount_alone(
    bank: tuple[Path, Path], alone: tuple[dict[str, Any], list[str], Path]
) -> None:
    amounts = []
    for line in bank[0].read_text("utf-8").splitlines():
        payment = json.loads(line)
        if payment["event_time"] >= alone[0]["baselines"]["test_from"]:
            amounts.append(payment["amount_minor"] / 100 * YUAN if payment["currency"] == "CNY" else np.nan)
    others = int(np.isnan(amounts).sum())
    first_day = len(amounts) - alone[0]["baselines"]["tested"]["events"]  # of it, the hours before the test period
    for engines in alone[0]["baselines"]["recall"].values():
        row = engines["blanket"]
        surely, perhaps = (int(np.sum(np.array(amounts) >= row["threshold"] + off)) for off in (0.001, -0.001))
        assert surely - first_day <= row["touched"] + row["caught"] <= perhaps + others
    found = [engines["blanket"]["threshold"] for engines in alone[0]["baselines"]["recall"].values()]
    assert found == sorted(found, reverse=True), "more fraud is found by a lower amount"


def test_screen_and_report_show_every_engine_at_every_recall(
    alone: tuple[dict[str, Any], list[str], Path],
) -> None:
    summary, lines, out = alone
    place = next(number for number, line in enumerate(lines) if "at equal recall" in line)
    assert summary["baselines"]["test_from"] in lines[place]
    shown = {line.split()[0]: line for line in lines[place + 2 : place + 5]}
    page = (out / "report.html").read_text("utf-8").replace("\u00a0", " ")
    for recall, engines in summary["baselines"]["recall"].items():
        assert f"recall {recall}" in lines[place + 1]
        for name, row in engines.items():
            figures = f"{100 * row['recall']:.1f} %; {row['touched_per_fraud']:,.2f}, {row['per_10k']:,.2f}"
            assert figures in shown[name]
            low, high = row["interval95"]["touched_per_fraud"]
            cells = (name, recall, f"{100 * row['recall']:.1f} %", f"{row['touched_per_fraud']:,.2f}", f"{low:,.2f} to {high:,.2f}")  # fmt: skip
            assert "".join(f"<td>{cell}</td>" for cell in cells) in page


def test_against_without_familiarity_is_both_replays_in_one(
    bank: tuple[Path, Path], alone: tuple[dict[str, Any], list[str], Path]
) -> None:
    both, lines = replayed(bank, "--against", "without-familiarity")
    blind, _ = replayed(bank, "--without-familiarity")
    assert (both["familiarity"], both["champion"]["familiarity"]) == (True, False)
    assert both["champion"]["outcomes"] == blind["outcomes"] != both["outcomes"]
    assert any("without familiarity:" in line for line in lines)
    for recall, engines in both["baselines"]["recall"].items():
        assert list(engines) == ["riskstream", "without_familiarity", "scorecard", "blanket"]
        assert engines.pop("without_familiarity") == blind["baselines"]["recall"][recall]["riskstream"]
        assert engines == alone[0]["baselines"]["recall"][recall]


def test_both_sides_without_familiarity_are_no_comparison(bank: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="both sides would be without"):
        replayed(bank, "--against", "without-familiarity", "--without-familiarity")


def test_shared_work_gives_the_same_baselines(
    bank: tuple[Path, Path], alone: tuple[dict[str, Any], list[str], Path]
) -> None:
    shared, _ = replayed(bank, "--workers", "2", "--batch", "701")
    assert shared["baselines"] == alone[0]["baselines"]
    assert shared["what_if"] == alone[0]["what_if"]


def test_where_there_is_no_period_before_the_reason_is_told(bank: tuple[Path, Path], tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    summary, lines = replayed(bank, "--limit", "300", "--report", report)
    assert summary["baselines"]["recall"] == {}
    reason = summary["baselines"]["left_out"]
    assert "has no" in reason
    assert any(reason in line for line in lines)
    assert reason in report.read_text("utf-8")


def test_a_test_period_may_be_named(bank: tuple[Path, Path]) -> None:
    summary, _ = replayed(bank, "--measure-from", "2026-02-02")
    assert summary["baselines"]["test_from"] == "2026-02-02"


def test_review_hours_are_those_of_each_scenarios_pack(alone: tuple[dict[str, Any], list[str], Path]) -> None:
    scores = pq.read_table(alone[2] / "scores.parquet")
    budgets = shipped().compile(SCHEMA, hash_id).budgets
    minutes = np.array(
        [budgets[SCENARIOS.index(name)].review_minutes for name in scores.column("scenario").to_pylist()]
    )
    risk, time = scores.column("risk_ppm").to_numpy(), scores.column("event_time").to_numpy().astype("M8[us]")
    days = np.ptp(time.astype(np.int64)) / DAY_US
    rows = [row for row in alone[0]["what_if"] if row["alerts"] > 50]
    assert rows
    for row in rows:
        hours = minutes[risk >= row["threshold_ppm"]].sum() / 60 / days
        assert row["reviewer_hours_per_day"] == pytest.approx(hours, abs=0.00051)
        assert row["reviewer_hours_per_day"] != pytest.approx(row["alerts_per_day"] * 6 / 60, abs=0.0011)


class Payments:
    """Decided payments with the fields that baselines ask for."""

    model_version = "m"

    def __init__(self, seed: int, count: int, accounts: int) -> None:
        generator = np.random.default_rng(seed)
        self.transactions = np.zeros(count, [("event_time", "i8"), ("account_hash", "u8")])
        self.transactions["event_time"] = np.arange(count) * (DAY_US // 24)
        names = generator.integers(1, 2**63, accounts).astype(np.uint64)
        self.transactions["account_hash"] = names[generator.integers(0, accounts, count)]
        self.verdicts = np.zeros(count, [("risk_ppm", "i4")])
        self.verdicts["risk_ppm"] = generator.integers(0, 1_000_000, count)
        self.labels: Labels | None = Labels(
            generator.choice([GENUINE, GENUINE, GENUINE, FRAUD, UNLABELLED], count).astype(np.int8), [""] * count
        )
        self._card = generator.random((count, len(CARD))).astype(np.float32)

    def __len__(self) -> int:
        return len(self.transactions)

    def card(self) -> np.ndarray[Any, Any]:
        return self._card

    def group(self, name: str) -> np.ndarray[Any, Any]:
        raise AssertionError(name)

    def part(self, start: int, stop: int) -> Payments:
        some = Payments.__new__(Payments)
        some.transactions, some.verdicts = self.transactions[start:stop], self.verdicts[start:stop]
        assert self.labels is not None
        some.labels = Labels(self.labels.fraud[start:stop], self.labels.attack[start:stop])
        some._card = self._card[start:stop]
        return some


@given(st.integers(0, 5), st.integers(1, 400), st.integers(50, 500))
@settings(max_examples=30, deadline=None)
def test_what_is_kept_is_bounded_and_whole_accounts_whatever_the_cut(seed: int, batch: int, limit: int) -> None:
    payments = Payments(seed, 1_500, 300)
    baselines = Baselines(DAY_US, limit=limit)
    for start in range(0, len(payments), batch):
        part = payments.part(start, start + batch)
        baselines.add(part, np.zeros(len(part), bool))
        assert len(baselines.payments) <= limit
    kept = baselines.payments
    assert baselines.accounts_share < 1
    assert payments.labels is not None
    known = payments.labels.fraud != UNLABELLED
    of_kept = np.isin(payments.transactions["account_hash"], kept["account"]) & known
    assert (kept["event_time"] == payments.transactions["event_time"][of_kept]).all()
    assert (kept["card"] == payments.card()[of_kept]).all()
    again = Baselines(DAY_US, limit=limit)
    again.add(payments, np.zeros(len(payments), bool))
    assert again.accounts_share == baselines.accounts_share
    assert (again.payments == kept).all()


def test_baselines_go_on_after_having_been_stored() -> None:
    payments = Payments(1, 900, 100)
    whole, parts = Baselines(DAY_US), Baselines(DAY_US)
    whole.add(payments, np.zeros(900, bool))
    parts.add(payments.part(0, 400), np.zeros(400, bool))
    stored = pickle.dumps(parts)
    assert len(stored) < 400 * KEPT.itemsize + 2_000, "no more is stored than is kept"
    parts = pickle.loads(stored)
    parts.add(payments.part(400, 900), np.zeros(500, bool))
    assert parts.result(1) == whole.result(1)
    assert set(whole.result(1)["recall"]["0.80"]) == {"riskstream", "scorecard", "blanket"}


def test_a_scorecard_learns_from_no_label_of_a_later_period() -> None:
    generator = np.random.default_rng(4)
    cards = generator.random((400, len(CARD))).astype(np.float32)
    cards[generator.random(cards.shape) < 0.1] = np.nan
    fraud, learned = cards[:, 0] > 0.8, np.arange(400) < 200
    points = scorecard(cards, fraud, learned)
    assert (scorecard(cards, fraud ^ ~learned, learned) == points).all()
    assert points[~learned & fraud].mean() > points[~learned & ~fraud].mean() + 1
