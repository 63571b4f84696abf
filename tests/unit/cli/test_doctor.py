"""``riskstream doctor``: what it finds on a machine, and the exit status that scripts rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stream.brokers.kafka import free_port
from stream.cli import riskstream
from stream.cli.doctor import Finding, exit_status, machine
from stream.settings import Settings


def test_a_broker_that_is_away_gives_status_3_and_says_how_to_start_one() -> None:
    result = CliRunner().invoke(riskstream, ["doctor", "--json", "--broker", f"127.0.0.1:{free_port()}"])
    assert result.exit_code == 3
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    assert document["ok"] is False
    states = {finding["check"]: finding["state"] for finding in document["findings"]}
    assert states["python"] == states["native libraries"] == states["packages"] == "ok"
    assert states["broker"] == "unreachable"


def test_a_machine_without_java_and_maven_is_no_problem_but_worth_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = {finding.check: finding for finding in machine(Settings(data_directory=str(tmp_path)))}
    assert findings["java"].state == findings["maven"].state == "note"
    assert "riskstream kafka up" in findings["java"].detail
    assert exit_status(list(findings.values())) == 0


@pytest.mark.parametrize(
    ("states", "status"),
    [(["ok"], 0), (["ok", "note"], 0), (["note", "problem"], 1), (["problem", "unreachable"], 3)],
)
def test_exit_status(states: list[Any], status: int) -> None:
    assert exit_status([Finding("check", state, "detail") for state in states]) == status
