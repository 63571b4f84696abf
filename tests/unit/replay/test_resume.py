"""Interrupted replays go on with the same bytes, and only with the same inputs."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.errors import RiskstreamError
from stream.replay.walk.resume_point import BadCheckpoint, Checkpoint


def replay(bank: tuple[Path, Path], out: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "stream.cli", "replay", str(bank[0]), "--labels", str(bank[1]), "--round", "5d", "--json",
        "--scores", str(out / "scores.parquet"), "--decisions", str(out / "decisions.jsonl"), *options,
    ]  # fmt: skip


def results(out: Path, printed: bytes) -> tuple[bytes, bytes, dict[str, Any]]:
    summary = json.loads(printed.splitlines()[-1])
    timing = {"seconds", "events_per_s"}
    shown = {name: value for name, value in summary.items() if name not in timing}
    return (out / "scores.parquet").read_bytes(), (out / "decisions.jsonl").read_bytes(), shown


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_an_interrupted_replay_goes_on_with_the_same_bytes(
    bank: tuple[Path, Path], tmp_path: Path, how: signal.Signals
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    done = subprocess.run(replay(bank, whole), capture_output=True, check=True)
    checkpoint = parts / "replay.checkpoint"
    # a worker that reads ten rows at a time and saves after each of them is certain to be met in the middle
    options = ("--checkpoint", str(checkpoint), "--checkpoint-every", "0", "--batch", "10")
    running = subprocess.Popen(replay(bank, parts, *options), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not checkpoint.exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(how)
    assert running.wait(30) != 0
    assert checkpoint.exists()
    rest = subprocess.run(
        replay(bank, parts, "--checkpoint", str(checkpoint)), capture_output=True, check=True, env={**os.environ, "TZ": "Asia/Shanghai"}
    )  # fmt: skip
    assert results(parts, rest.stdout) == results(whole, done.stdout)
    assert sorted(path.name for path in parts.iterdir()) == ["decisions.jsonl", "scores.parquet"]


@pytest.fixture
def saved(tmp_path: Path) -> Checkpoint:
    checkpoint = Checkpoint(tmp_path / "c", {"policy": "p-1", "row limit": None})
    checkpoint.save({"rows": np.arange(3), "names": ["a"]})
    return checkpoint


def test_a_checkpoint_gives_back_what_was_saved_and_is_readable_by_its_owner_alone(saved: Checkpoint) -> None:
    state = saved.load()
    assert state["rows"].tolist() == [0, 1, 2]
    assert saved.path.stat().st_mode & 0o077 == 0
    saved.remove()
    assert saved.load() is None


def test_a_checkpoint_of_other_inputs_is_refused_and_says_which(saved: Checkpoint) -> None:
    with pytest.raises(BadCheckpoint, match="of a replay with other policy, row limit: give the same"):
        Checkpoint(saved.path, {"policy": "p-2", "row limit": 7}).load()


@pytest.mark.parametrize("place", [-1, -40])
def test_a_damaged_checkpoint_is_refused(saved: Checkpoint, place: int) -> None:
    data = bytearray(saved.path.read_bytes())
    data[place] ^= 1
    saved.path.write_bytes(data)
    with pytest.raises(BadCheckpoint, match="damaged"):
        saved.load()


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"\x80\x05anything\n")
    with pytest.raises(BadCheckpoint, match="not a checkpoint of this version"):
        Checkpoint(tmp_path / "c", {}).load()


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def test_a_checkpoint_restores_nothing_but_our_own_classes(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c", {})
    checkpoint.save(Harmful())
    assert b"system" in pickle.dumps(Harmful())
    with pytest.raises(RiskstreamError, match=r"posix\.system"):
        checkpoint.load()
