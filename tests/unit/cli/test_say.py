"""Lines of commands: nothing that a file, a name or a record holds makes a line of its own, or steers a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from stream.cli import riskstream
from stream.desk.alert_text import alert_text

HOSTILE = "evil\nFORGED: no problems\x1b[2K"
PACK = """pack: mine
scenario: person_transfer
match: has_payee
"evil\\nFORGED: no problems\\e[2K": 1
lists:
  deny: ["payee\\nFORGED: no problems"]
rules:
  - {id: "rule\\nFORGED: no problems", when: "nothing_known > 1", weight: 1}
"""


def forged(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.lstrip().startswith("FORGED")]


def test_rules_check_shows_line_breaks_of_a_pack_and_does_not_obey_them(tmp_path: Path) -> None:
    pack = tmp_path / "pack\nFORGED: no problems.yaml"
    pack.write_text(PACK)
    result = CliRunner().invoke(riskstream, ["rules", "check", str(pack)])
    assert result.exit_code == 1
    assert "\\nFORGED" in result.output
    assert forged(result.output) == []
    assert "\x1b" not in result.output


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_last_word_of_a_command_is_not_forged(tmp_path: Path, form: str) -> None:
    called = run(
        "kafka", "status", RISKSTREAM_SETTINGS=str(tmp_path / HOSTILE), RISKSTREAM_LOG_FORMAT=form, NO_COLOR="1"
    )
    assert called.returncode == 2
    assert not [line for line in called.stderr.splitlines() if line.startswith("FORGED")]
    assert "\x1b" not in called.stderr


def test_as_json_every_line_of_stderr_is_a_record_also_of_wrong_usage(tmp_path: Path) -> None:
    for arguments, status in ((("nonsense",), 2), (("kafka", "status", "--port", "1"), 3)):
        called = run(*arguments, RISKSTREAM_LOG_FORMAT="json", RISKSTREAM_DATA_DIRECTORY=str(tmp_path))
        assert called.returncode == status
        records = [json.loads(line) for line in called.stderr.splitlines()]
        assert {"time", "level", "logger", "message"} <= records[-1].keys() if status == 2 else True
        assert all(record["process"] for record in records)


def test_an_alert_of_a_foreign_writer_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    from stream.cli.say import say

    decision = {
        "account_id": HOSTILE, "customer_id": HOSTILE, "payee_id": HOSTILE, "event_time": HOSTILE, "scenario": HOSTILE,
        "outcome": HOSTILE, "step_up": HOSTILE, "risk_ppm": 1, "hard_rule": HOSTILE, "flags": [HOSTILE],
        "rules": [{"id": HOSTILE, "weight_milli": 1}], "degraded": [{"dependency": HOSTILE, "direction": HOSTILE}],
        "evidence": [{"feature": HOSTILE, "value": HOSTILE, "normal": HOSTILE, "contribution_milli": 1}],
        "reasons": {"reviewer": {"zh": HOSTILE, "en": HOSTILE}},
    }  # fmt: skip
    alert = {
        "alert_id": HOSTILE, "priority_milli": 1, "due_at": HOSTILE, "hold_expires_at": HOSTILE, "on_expiry": HOSTILE,
        "decision": decision,
    }  # fmt: skip
    for line in alert_text(alert):
        say(line)
    printed = capsys.readouterr().out
    assert printed.count("\n") == len(alert_text(alert))
    assert forged(printed) == []
    assert "\x1b" not in printed
