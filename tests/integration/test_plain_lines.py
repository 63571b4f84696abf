"""Lines of a line's log and lists, on topics into which somebody writes what looks like lines."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from plain_traffic import traffic

import rules
from stream.logs import FIELDS

pytestmark = pytest.mark.kafka

SHIPPED = Path(rules.__file__).parent / "packs"
HOSTILE = "eve\nFORGED all is well\x1b[2K\u2028FORGED"


def forged(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.lstrip().startswith("FORGED")]


def poison(line: Any) -> None:
    """Records that somebody else wrote on topics of the line, with line breaks in keys and values."""
    producer = line.producer()
    decision = {
        "transaction_id": HOSTILE, "account_id": HOSTILE, "customer_id": HOSTILE, "payee_id": HOSTILE,
        "event_time": HOSTILE, "scenario": HOSTILE, "outcome": "review", "step_up": "none", "risk_ppm": 1,
        "anomaly_ppm": 1, "familiarity_ppm": 1, "hard_rule": HOSTILE, "rules": [], "degraded": [], "flags": [HOSTILE],
        "evidence": [], "reasons": {"reviewer": {"zh": HOSTILE, "en": HOSTILE}},
    }  # fmt: skip
    alert = {
        "alert_id": HOSTILE, "decision": decision, "priority_milli": 1, "due_at": HOSTILE, "hold_expires_at": HOSTILE,
        "on_expiry": "release",
    }  # fmt: skip
    records = [
        ("risk.alerts.v1", orjson.dumps(alert)),
        ("risk.policies.v1", b'{"files": 5}'),
        ("bank.transactions.v1", b'{"transaction_id": "' + HOSTILE.encode() + b'"'),
        ("bank.feedback.v1", orjson.dumps({"feedback_id": HOSTILE, "actor": HOSTILE})),
    ]
    for topic, value in records:
        producer.produce(line.settings.topic(topic), value, HOSTILE.encode())
    assert producer.flush(30) == 0


@pytest.mark.timeout(240)
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_of_a_log_or_list_is_forged_by_a_record(line: Any, until: Any, tmp_path: Path, form: str) -> None:
    packs = tmp_path / "packs"
    packs.mkdir()
    shutil.copy(SHIPPED / "person_transfer.yaml", packs)
    refused = line.command("policy", "publish", str(packs), "--by", HOSTILE)
    assert refused.returncode != 0, "nobody has such a name"
    published = line.command("policy", "publish", str(packs), "--by", "eve")
    assert published.returncode == 0, published.stderr
    poison(line)
    worker = line.worker(log_format=form, data_directory=tmp_path / "data")
    until(lambda: "ready: True" in line.log(0) or worker.poll() is not None, "a worker that is ready", 90)
    line.send("bank.transactions.v1", traffic(20)[0])
    until(lambda: len(line.records("risk.decisions.v1")) >= 20, "the decisions")
    until(lambda: line.records("bank.transactions.v1.dlq") and line.records("bank.feedback.v1.dlq"), "the dead letters")
    line.stop()
    log = line.log(0)
    assert forged(log) == []
    if form == "json":
        for said in map(json.loads, log.splitlines()):
            assert list(said) in (list(FIELDS), list(FIELDS[:-1])), said
            assert said["time"].endswith("Z")
    else:
        begins = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z [A-Z]+ \[\d+\] |    \| |%\d\|")
        assert [said for said in log.splitlines() if not begins.match(said)] == []
    listed = line.command("policy", "list")
    assert listed.returncode == 0, listed.stderr
    tailed = line.command("alerts", "tail", "--no-follow")
    assert "\\nFORGED" in tailed.stdout
    as_json = line.command("alerts", "tail", "--no-follow", "--json")
    assert HOSTILE in [json.loads(said)["alert_id"] for said in as_json.stdout.splitlines()]
    for called in (refused, published, listed, tailed, as_json):
        assert forged(called.stdout + called.stderr) == []
        assert "\x1b" not in called.stdout + called.stderr
        assert "Traceback" not in called.stderr
    open_to_others = [path for path in (tmp_path / "data").rglob("*") if path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_a_reader_that_would_take_the_workers_partitions_is_refused(line: Any) -> None:
    for group in ("riskstream", "riskstream-holds"):
        called = line.command("alerts", "tail", "--no-follow", "--group", group)
        assert called.returncode == 2
        assert "the workers' own" in called.stderr
