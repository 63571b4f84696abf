"""``riskstream config show``: where each value comes from, and that secrets stay secret."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stream.cli import riskstream
from stream.errors import UsageError
from stream.settings import Settings


def show(*arguments: str, **environment: str) -> tuple[dict[str, Any], str]:
    result = CliRunner().invoke(riskstream, ["config", "show", "--json", *arguments], env=environment)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    return {row["name"]: row for row in document["settings"]}, result.stderr


def test_every_setting_is_shown_with_its_meaning() -> None:
    rows, _ = show()
    assert rows.keys() == Settings.model_fields.keys()
    assert all(row["description"] for row in rows.values())


def test_flag_goes_before_environment_before_file_before_default(tmp_path: Path) -> None:
    file = tmp_path / "bank.yaml"
    file.write_text("broker: file:1\ngroup: from-file\npartitions: 8\n")
    rows, _ = show(
        "--broker",
        "flag:1",
        RISKSTREAM_SETTINGS=str(file),
        RISKSTREAM_BROKER="env:1",
        RISKSTREAM_GROUP="from-environment",
    )
    found = {name: (rows[name]["value"], rows[name]["source"]) for name in ("broker", "group", "partitions", "pace_ms")}
    assert found == {
        "broker": ("flag:1", "--broker"),
        "group": ("from-environment", "RISKSTREAM_GROUP"),
        "partitions": (8, str(file)),
        "pace_ms": (15, "default"),
    }


@pytest.mark.parametrize("arguments", [["--json"], []])
def test_a_password_is_never_printed(arguments: list[str]) -> None:
    environment = {"RISKSTREAM_SASL_PASSWORD": "open-sesame"}
    result = CliRunner().invoke(riskstream, ["config", "show", *arguments], env=environment)
    assert result.exit_code == 0
    assert "open-sesame" not in result.output
    assert "********" in result.stdout


def test_a_misspelt_variable_is_pointed_out() -> None:
    _, said = show(RISKSTREAM_BROKERS="a:9092")
    assert "RISKSTREAM_BROKERS is set, but riskstream has no such setting" in said


def test_a_worker_points_out_a_misspelt_variable() -> None:
    result = CliRunner().invoke(riskstream, ["worker"], env={"RISKSTREAM_PACE": "3", "RISKSTREAM_PACE_MS": "fast"})
    assert isinstance(result.exception, UsageError)
    assert "RISKSTREAM_PACE is set, but riskstream has no such setting" in result.stderr
