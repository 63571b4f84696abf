"""``riskstream demo`` as a user runs it: its JSON adds up, its words are there, it ends in good order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SECONDS = 6


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RISKSTREAM_")}
    return kept | {"RISKSTREAM_DATA_DIRECTORY": str(folder)}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", "demo", "--seconds", str(SECONDS), "--json"],
        env=environment(tmp_path_factory.mktemp("demo")),
        capture_output=True,
        text=True,
        timeout=240,  # a first start compiles
        check=False,
    )


def test_its_json_adds_up(demo: subprocess.CompletedProcess[str]) -> None:
    assert demo.returncode == 0, demo.stderr
    told: dict[str, Any] = json.loads(demo.stdout.splitlines()[-1])
    assert set(told) == {
        "events", "decided", "duplicate", "dead", "in_flight", "alerts", "outcomes", "caught", "missed",
        "genuine_touched_per_10k", "events_per_s", "latency_ms",
    }  # fmt: skip
    assert told["events"] == told["decided"] + told["duplicate"] + told["dead"] + told["in_flight"]
    assert told["in_flight"] == 0
    assert list(told["outcomes"]) == ["approve", "remind", "challenge", "review", "decline"]
    assert sum(told["outcomes"].values()) == told["decided"] > 500
    assert told["alerts"] == told["outcomes"]["review"] > 0
    touched = sum(told["outcomes"][outcome] for outcome in ("challenge", "review", "decline"))
    frauds = told["caught"] + told["missed"]
    genuine = told["decided"] - frauds
    assert frauds > 0
    # all but the touched frauds of the touched are genuine: between none and all frauds were touched
    assert 10_000 * max(0, touched - frauds) / genuine - 0.01 <= told["genuine_touched_per_10k"]
    assert told["genuine_touched_per_10k"] <= 10_000 * (touched - told["caught"]) / genuine + 0.01
    assert 0 < told["latency_ms"]["p50"] <= told["latency_ms"]["p99"]
    assert told["events_per_s"] > 0


def test_it_explains_an_alert_in_both_languages_and_says_what_the_broker_is(
    demo: subprocess.CompletedProcess[str],
) -> None:
    assert "in memory, no transactions, a demo only" in demo.stderr
    assert "人工审核" in demo.stderr
    assert ": review. " in demo.stderr
    assert demo.stdout.count("\n") == 1


def running_demo(folder: Path) -> tuple[subprocess.Popen[str], list[str]]:
    """A demo that has decided something, and what it said so far."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stream.cli", "demo", "--seconds", "600", "--json"],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "running:" in line:
            break
    return process, lines


def test_a_killed_demo_leaves_no_worker_behind(tmp_path: Path) -> None:
    process, _ = running_demo(tmp_path)
    logged = re.search(r"Z INFO \[(\d+)\] ", (tmp_path / "demo-worker.log").read_text())
    assert logged is not None
    worker = Path(f"/proc/{logged[1]}/cmdline")
    assert b"--tied" in worker.read_bytes()
    process.kill()
    process.communicate(timeout=10)
    deadline = time.monotonic() + 40
    while worker.exists() and worker.read_bytes():  # a zombie has no command line
        assert time.monotonic() < deadline, "the worker outlives its demo"
        time.sleep(0.1)  # between looks at the process table


def test_ctrl_c_ends_it_in_good_order(tmp_path: Path) -> None:
    process, lines = running_demo(tmp_path)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 0, "".join(lines) + errors
    assert "Stopped early" in errors
    told = json.loads(out.splitlines()[-1])
    assert told["in_flight"] == 0
    assert "Closing event loop" in (tmp_path / "demo-worker.log").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--broker", "mars"), "expected embedded, kafka or HOST:PORT"),
        (("--keep-topics",), "keeps nothing"),
        (("--accounts", "10", "--rate", "20000", "--seconds", "3600"), "raise --accounts"),
    ],
)
def test_wrong_usage_is_named(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    called = subprocess.run(
        [sys.executable, "-m", "stream.cli", "demo", *arguments],
        env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (called.returncode, words in called.stderr) == (2, True), called.stderr
