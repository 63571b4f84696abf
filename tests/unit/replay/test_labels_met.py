"""Labels that name no payment are counted and said; where none does, the replay fails and nothing counts as measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from stream.cli.replay import command
from stream.replay.source.labels import TruthFile
from stream.replay.source.truth_index import TruthIndex, hash_ids

MAP = """
fields:
  transaction_id: {column: id}
  account_id: {column: account}
  payee_id: {column: payee}
  event_time: {column: at}
  amount_minor: {column: amount}
  currency: {constant: EUR}
  channel: {constant: pos}
"""


@pytest.fixture
def payments(tmp_path: Path) -> Path:
    rows = [
        f"{day * 5 + card},card{card},p{card}{day % 4},2026-{1 + day // 28:02d}-{1 + day % 28:02d}T08:0{card}:00Z,{1000 + card}\n"
        for day in range(40)
        for card in range(5)
    ]
    (tmp_path / "payments.csv").write_text("id,account,payee,at,amount\n" + "".join(rows), "utf-8")
    (tmp_path / "map.yaml").write_text(MAP, "utf-8")
    return tmp_path


def labels(directory: Path, name: Any) -> Path:
    """Labels of all 200 payments, number 103 a fraud, each called as ``name`` says."""
    lines = [f"{name(number)},{int(number == 103)},\n" for number in range(200)]
    (directory / "truth.csv").write_text("transaction_id,fraud,attack\n" + "".join(lines), "utf-8")
    return directory / "truth.csv"


def run(directory: Path, *options: str) -> Result:
    files = [str(directory / "payments.csv"), "--columns", str(directory / "map.yaml")]
    result = CliRunner().invoke(command, [*files, "--labels", str(directory / "truth.csv"), *options, "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("workers", ["1", "2"])
def test_labels_that_meet_no_payment_fail_the_replay_and_its_gates(payments: Path, workers: str) -> None:
    labels(payments, lambda number: f"TX-{number:06d}")
    gates = ["missed > 0", "caught < 1", "reminded > 5"]
    result = run(payments, "--workers", workers, *(part for gate in gates for part in ("--fail-if", gate)))
    assert result.exit_code == 1
    assert '0 of 200 labels met a payment, for instance not "TX-000000"' in result.stdout
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["labels"] == {"total": 200, "met": 0, "unmet_example": "TX-000000"}
    assert [(gate["gate"], gate["value"], gate["failed"]) for gate in summary["gates"]] == [
        (gate, None, True) for gate in gates
    ]
    assert "FAILED: missed > 0 (is not measured, limit 0)" in result.stdout


def test_without_a_gate_too(payments: Path) -> None:
    labels(payments, lambda number: f"{number}.")
    assert run(payments).exit_code == 1


def test_labels_of_which_some_meet_a_payment_are_counted_with_an_example(payments: Path) -> None:
    labels(payments, lambda number: number if number >= 3 else f"x{number}")
    result = run(payments, "--fail-if", "missed > 1")
    assert result.exit_code == 0
    assert '197 of 200 labels met a payment, for instance not "x0"' in result.stdout
    assert json.loads(result.stdout.splitlines()[-1])["labels"]["met"] == 197


def test_labels_that_all_meet_a_payment_say_so(payments: Path) -> None:
    labels(payments, str)
    result = run(payments)
    assert result.exit_code == 0
    assert "all 200 labels met a payment" in result.stdout


def test_a_name_too_long_for_any_payment_is_counted_and_shown_safely(payments: Path) -> None:
    labels(payments, lambda number: number if number else "\x1b[2J" + "x" * 80)
    met = TruthFile(payments / "truth.csv").met
    assert (met.total, met.met) == (200, 0)
    assert met.unmet_example.endswith("x")
    assert "\x1b" not in str(met)


def test_what_was_met_before_an_interruption_stays_met() -> None:
    first, second = TruthIndex(), TruthIndex()
    for index in (first, second):
        index.add([b"t-1", b"t-2", b"t-3"], np.zeros(3, np.int8), [""] * 3)
    first.of(hash_ids([b"t-2"]))
    second.restore_marks(first.marks())
    second.of(hash_ids([b"t-1", b"t-2"]))
    assert (second.met, second.unmet_example) == (2, "t-3")
    second.add([b"t-0"], np.zeros(1, np.int8), [""])
    assert second.met == 2
