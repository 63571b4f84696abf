"""The command: files written, exit status, JSON, and that nothing but the input decides."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from rules.policy import shipped
from stream.cli.replay import command
from stream.errors import UsageError
from stream.replay.measure.scores import SCHEMA

FAST = ["--round", "0s"]


def call(*arguments: str | Path, status: int = 0) -> str:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


def summary(output: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(output.splitlines()[-1])
    return document


def frauds_of(truth: Path) -> set[str]:
    """Transaction ids of the frauds of a TRUTH file."""
    rows = [line.split(",") for line in truth.read_text().splitlines()[1:]]
    return {row[0] for row in rows if row[1] == "1"}


@pytest.fixture(scope="module")
def written(bank: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out")
    scores, decisions = out / "scores.parquet", out / "decisions.jsonl"
    output = call(bank[0], "--labels", bank[1], "--scores", scores, "--decisions", decisions, "--json", *FAST)
    return scores, decisions, summary(output)


def test_scores_have_the_contracts_columns_and_say_what_the_decisions_say(
    bank: tuple[Path, Path], written: tuple[Path, Path, dict[str, Any]]
) -> None:
    scores = pq.read_table(written[0])
    assert scores.schema.equals(SCHEMA)
    decisions = [json.loads(line) for line in written[1].read_bytes().splitlines()]
    assert scores.num_rows == len(decisions) == 4_000
    same = ("transaction_id", "account_id", "payee_id", "scenario", "outcome", "step_up", "risk_ppm", "anomaly_ppm", "familiarity_ppm", "model_version")  # fmt: skip
    for name in same:
        assert scores.column(name).to_pylist() == [decision[name] for decision in decisions]
    times = np.array([decision["event_time"].rstrip("Z") for decision in decisions], "M8[us]")
    assert (scores.column("event_time").to_numpy().astype("M8[us]") == times).all()
    lag = scores.column("event_time").to_numpy() - scores.column("labels_until").to_numpy()
    assert lag.min() >= np.timedelta64(7, "D")
    assert lag.max() < np.timedelta64(7, "D") + np.timedelta64(10, "m")


def test_the_summary_conserves_records(written: tuple[Path, Path, dict[str, Any]]) -> None:
    found = written[2]
    assert found["events"] == found["decided"] + found["duplicate"] + found["dead"] == 4_000
    assert sum(found["outcomes"].values()) == found["decided"]
    assert found["alerts"] == found["rungs"]["review"]
    assert found["frauds"] > 20
    assert found["detection"]["ap"] > 0


def test_without_labels_nothing_is_said_of_fraud(bank: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "scores.parquet"
    found = summary(call(bank[0], "--scores", out, "--limit", "500", "--json", *FAST))
    assert (found["events"], "frauds" in found, "detection" in found) == (500, False, False)
    assert pq.read_table(out).column("labels_until").null_count == 500


def test_a_gate_that_fails_gives_exit_status_1_with_the_numbers(bank: tuple[Path, Path]) -> None:
    arguments: list[str | Path] = [bank[0], "--labels", bank[1], "--limit", "1000", *FAST]
    assert "FAILED: alerts >= 0 (is " in call(*arguments, "--fail-if", "alerts >= 0", status=1)
    assert "passed: alerts > 1000" in call(*arguments, "--fail-if", "alerts > 1000")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label-delay", "week"], "label delay 'week'"),
        (["--round", "7m"], "multiple of 10m"),
        (["--fail-if", "friction > 1.1x champion"], "needs --against"),
        (["--fail-if", "luck > 1"], "figures: friction"),
        (["--scores", "OUT", "--decisions", "OUT"], "same file"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_read(
    bank: tuple[Path, Path], tmp_path: Path, options: list[str], message: str
) -> None:
    arguments = [str(tmp_path / "x") if option == "OUT" else option for option in options]
    with pytest.raises(UsageError, match=message):
        call(bank[0], *arguments)


def test_a_broken_pack_is_named_with_its_place(bank: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("pack: bad\nkind: scenario\nscenario: ecommerce\nmatch: 'amount >'\n")
    with pytest.raises(UsageError, match=r"bad.yaml:4:"):
        call(bank[0], "--policy", tmp_path)


def test_neither_hash_seed_nor_batch_nor_clock_changes_a_byte(bank: tuple[Path, Path], tmp_path: Path) -> None:
    digests = set()
    for seed, batch, zone in (("1", "4000", "UTC"), ("2", "331", "Asia/Shanghai")):
        scores, decisions = tmp_path / f"{seed}.parquet", tmp_path / f"{seed}.jsonl"
        arguments = [bank[0], "--labels", bank[1], "--scores", scores, "--decisions", decisions, "--batch", batch]
        subprocess.run(
            [
                sys.executable,
                "-c",
                "from stream.cli import main; main()",
                "replay",
                *map(str, arguments),
                "--round",
                "5d",
            ],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
            check=True,
            capture_output=True,
        )
        digests.add(hashlib.sha256(scores.read_bytes() + decisions.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_what_a_threshold_is_predicted_to_do_it_does_when_applied(bank: tuple[Path, Path], tmp_path: Path) -> None:
    predicted = summary(call(bank[0], "--labels", bank[1], "--json", *FAST))["what_if"]
    row = next(row for row in predicted if 20 <= row["alerts"] <= 200)
    packs = tmp_path / "packs"
    packs.mkdir()
    for name, content in shipped().files.items():
        threshold = row["threshold_ppm"]
        text = re.sub(
            rb"(?m)^thresholds: \{[^}]*\}",
            b"thresholds: {review: %d, decline: 1000000}" % threshold,
            bytes(content),
        )
        (packs / Path(name).name).write_bytes(text)
    scores = tmp_path / "scores.parquet"
    applied = summary(call(bank[0], "--labels", bank[1], "--policy", packs, "--scores", scores, "--json", *FAST))
    table = pq.read_table(scores)
    risk, outcome = table.column("risk_ppm").to_numpy(), np.array(table.column("outcome").to_pylist())
    above = risk >= row["threshold_ppm"]
    assert np.count_nonzero(above) == row["alerts"]
    # an essential payment is asked where another would be held: touched all the same
    assert np.isin(outcome[above], ["challenge", "review", "decline"]).all()
    again = next(one for one in applied["what_if"] if one["threshold_ppm"] == row["threshold_ppm"])
    assert again == row


def test_a_budget_sets_the_threshold_and_the_scores_keep_to_it(bank: tuple[Path, Path], tmp_path: Path) -> None:
    scores = tmp_path / "scores.parquet"
    asked = ["--alerts-per-day", "2", "--false-alerts-per-10k", "50"]
    found = summary(call(bank[0], "--labels", bank[1], "--scores", scores, *asked, "--json", *FAST))
    threshold, days = found["budget"]["threshold_ppm"], 40.0
    table = pq.read_table(scores, columns=["transaction_id", "risk_ppm"])
    risk = table.column("risk_ppm").to_numpy()
    fraud = frauds_of(bank[1])
    genuine = np.array([name not in fraud for name in table.column("transaction_id").to_pylist()])

    def kept_to(limit: int) -> bool:
        above = risk >= limit
        return above.sum() <= 2 * days * 1.01 and 10_000 * (above & genuine).sum() / genuine.sum() <= 50

    assert kept_to(threshold)
    lower = risk[risk < threshold].max()
    assert not kept_to(int(lower)), "the lowest threshold that does"
    assert found["budget"]["alerts"] == np.count_nonzero(risk >= threshold) > 0


def test_a_file_out_of_order_is_told_so(bank: tuple[Path, Path], tmp_path: Path) -> None:
    lines = bank[0].read_bytes().splitlines(keepends=True)[:400]
    backwards = tmp_path / "backwards.jsonl"
    backwards.write_bytes(b"".join(reversed(lines)))
    assert "--sort reads a file by event time" in call(backwards, *FAST)
    assert "sort the file" not in call(bank[0], "--limit", "400", *FAST)


def test_a_budget_without_labels_says_what_is_missing(bank: tuple[Path, Path]) -> None:
    assert "give --labels" in call(bank[0], "--alerts-per-day", "2", *FAST)


def test_each_scenario_is_calibrated_by_itself_as_other_code_finds_it(bank: tuple[Path, Path], tmp_path: Path) -> None:
    scores = tmp_path / "scores.parquet"
    found = summary(call(bank[0], "--labels", bank[1], "--scores", scores, "--json", *FAST))["calibration_by_scenario"]
    table = pq.read_table(scores, columns=["transaction_id", "scenario", "risk_ppm"]).to_pylist()
    fraud = frauds_of(bank[1])
    for word in {row["scenario"] for row in table} | {"all"}:
        rows = [row for row in table if word in ("all", row["scenario"])]
        bins: dict[int, list[tuple[float, int]]] = {}
        for row in rows:
            risk = row["risk_ppm"] / 1e6
            bins.setdefault(min(int(row["risk_ppm"]) * 20 // 1_000_000, 19), []).append(
                (risk, row["transaction_id"] in fraud)
            )
        gap = sum(abs(sum(risk for risk, _ in each) - sum(hit for _, hit in each)) for each in bins.values())
        assert found[word]["events"] == len(rows)
        assert found[word]["ece"] == pytest.approx(gap / len(rows), abs=1e-6)
        assert sum(one["events"] for one in found[word]["curve"]) == len(rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--maturity", "soon"], "--maturity 'soon'"),
        (["--maturity", "0d"], "at least one second"),
        (["--from", "2026-01-01"], "--from and --to are for a topic"),
        (["--checkpoint", "OUT", "--scores", "OUT"], "same file"),
        (["--workers", "2", "--against", "shipped", "--checkpoint", "OUT"], "give --workers 1"),
        (["--labels", "nowhere.csv"], "nowhere.csv: no such file"),
    ],
)
def test_nonsense_is_told_with_what_to_do(
    bank: tuple[Path, Path], tmp_path: Path, options: list[str], message: str
) -> None:
    arguments = [str(tmp_path / "x") if option == "OUT" else option for option in options]
    with pytest.raises(UsageError, match=message):
        call(bank[0], *arguments)


def test_maturity_is_what_it_says_and_the_label_delay_otherwise(bank: tuple[Path, Path], tmp_path: Path) -> None:
    written = {}
    for name, options in (("default", []), ("same", ["--maturity", "7d"]), ("later", ["--maturity", "30d"])):
        out = tmp_path / name
        call(bank[0], "--labels", bank[1], "--decisions", out, *options, *FAST)
        written[name] = out.read_bytes()
    assert written["default"] == written["same"] != written["later"]


def test_neither_a_file_nor_a_topic_is_told_what_can_be_replayed() -> None:
    with pytest.raises(UsageError, match=r"no such file, and neither bank.transactions.v1 nor risk.decisions.v1"):
        call("nothing.here")
