"""The benchmark of detection: riskstream's own part in it is the replay's, and its JSON is what was promised."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from benchmarks.detection import main, record
from stream.cli.replay import command
from stream.replay.measure.detection import DAY_US


def test_several_files_are_one_stream_and_score_as_replay_does(bank: tuple[Path, Path], tmp_path: Path) -> None:
    lines = bank[0].read_bytes().splitlines(keepends=True)
    parts = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    parts[0].write_bytes(b"".join(lines[:1_501]))
    parts[1].write_bytes(b"".join(lines[1_501:]))
    scores = tmp_path / "scores.parquet"
    result = CliRunner().invoke(command, [str(bank[0]), "--labels", str(bank[1]), "--scores", str(scores)])
    assert result.exit_code == 0, result.output
    table = pq.read_table(scores, columns=["risk_ppm", "model_version", "event_time"])
    week = int(table.column("event_time").to_numpy()[0].astype("M8[us]").astype(np.int64) // DAY_US) + 30
    history, _ = record(parts, None, bank[1], 7 * DAY_US, [week])
    assert len(set(table.column("model_version").to_pylist())) > 100, "it learned"
    assert np.array_equal(np.rint(history.risk * 1e6), table.column("risk_ppm").to_numpy())
    assert history.first_input == 0, "the competitors' history is not cut short"


def test_the_json_is_the_promised_one_and_reads_columns_of_other_names(bank: tuple[Path, Path], tmp_path: Path) -> None:
    fraud = {row.split(",")[0]: row.split(",")[1] for row in bank[1].read_text().splitlines()[1:]}
    data, column_map = tmp_path / "other.csv", tmp_path / "map.yaml"
    rows = ["Ref,Card,To,When,Sum,Bad"]
    for number, line in enumerate(bank[0].read_bytes().splitlines()):
        payment = json.loads(line)
        when = payment["event_time"].rstrip("Z")
        rows.append(
            f"{payment['transaction_id']},{payment['account_id']},shop {number % 7},{when},{payment['amount_minor'] / 100},{fraud[payment['transaction_id']]}"
        )
    data.write_text("\n".join(rows))
    column_map.write_text(
        "fields:\n  transaction_id: {column: Ref}\n  account_id: {column: Card}\n"
        "  event_time: {column: When, format: iso}\n  amount_minor: {column: Sum, scale: 100}\n"
        "  currency: {constant: SEK}\n  channel: {constant: pos}\nlabels: {fraud: {column: Bad}}\n"
    )
    day = rows[1].split(",")[3][:10]
    week = str(np.datetime64(day) + 20)
    called = CliRunner().invoke(
        main,
        [
            "--data",
            str(data),
            "--columns",
            str(column_map),
            "--test-weeks",
            week,
            "--only",
            "lightgbm_nightly",
            "--json",
        ],
    )
    assert called.exit_code == 0, called.output
    document = json.loads(called.stdout.splitlines()[-1])
    assert list(document) == ["models"]
    assert list(document["models"]) == ["lightgbm_nightly", "riskstream"]
    for figures in document["models"].values():
        assert list(figures) == ["auc", "ap", "cp100", "ece", "us_per_event"]
        assert 0 < figures["ap"] <= 1
        assert figures["us_per_event"] > 0


@pytest.mark.parametrize(("weeks", "message"), [("soon", "dates like"), ("2031-01-01", "must begin 14 days before")])
def test_weeks_that_cannot_be_are_refused(bank: tuple[Path, Path], weeks: str, message: str) -> None:
    arguments = ["--data", str(bank[0]), "--labels", str(bank[1]), "--test-weeks", weeks]
    called = CliRunner().invoke(main, arguments)
    assert called.exit_code == 2
    assert message in called.output
