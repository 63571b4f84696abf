"""``riskstream simulate`` from the outside."""

from __future__ import annotations

import csv
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from stream.cli import riskstream
from stream.errors import UsageError


def simulate(directory: Path, *more: str, truth: str = "truth.csv", out: str = "bank.jsonl") -> Result:
    arguments = ["simulate", "--seed", "3", "--events", "3000", "--accounts", "50", "--fraud-rate", "0.02"]
    files = ["--out", str(directory / out), "--truth", str(directory / truth)]
    return CliRunner().invoke(riskstream, [*arguments, *files, *more])


def test_writes_transactions_and_the_truth_apart(tmp_path: Path) -> None:
    result = simulate(tmp_path, "--json")
    assert result.exit_code == 0, result.output
    summary = orjson.loads(result.stdout.splitlines()[-1])
    records = [orjson.loads(line) for line in (tmp_path / "bank.jsonl").read_bytes().splitlines()]
    with (tmp_path / "truth.csv").open(newline="") as file:
        truth = list(csv.DictReader(file))
    assert [row["transaction_id"] for row in truth] == [record["transaction_id"] for record in records]
    assert len(records) == summary["events"] == 3000
    frauds = [row for row in truth if row["fraud"] == "1"]
    assert len(frauds) == summary["frauds"] == sum(summary["attacks"].values()) > 0
    assert all(row["attack"] and row["attack_id"] for row in frauds)
    assert {row["attack"] for row in truth if row["fraud"] == "0"} == {""}


def test_truth_as_json_lines_says_the_same(tmp_path: Path) -> None:
    simulate(tmp_path)
    simulate(tmp_path, truth="truth.jsonl")
    with (tmp_path / "truth.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    lines = [orjson.loads(line) for line in (tmp_path / "truth.jsonl").read_bytes().splitlines()]
    assert [{**row, "fraud": str(row["fraud"])} for row in lines] == table


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"truth": "truth.txt"}, "must end in .csv or .jsonl"),
        ({"truth": "bank.jsonl"}, "the same file"),
        ({"out": "absent/bank.jsonl"}, "cannot write"),
    ],
)
def test_files_that_cannot_serve_are_refused(tmp_path: Path, files: dict[str, str], says: str) -> None:
    result = simulate(tmp_path, **files)
    assert isinstance(result.exception, UsageError)
    assert says in str(result.exception)


def test_help_has_examples() -> None:
    result = CliRunner().invoke(riskstream, ["simulate", "--help"])
    assert "riskstream simulate --seed 7 --events 100000" in result.output
