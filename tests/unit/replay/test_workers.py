"""Shared work: however many take part, and whoever they are, the bytes are those of one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.ensemble import EnsembleConfig
from rules.policy import shipped
from stream.arrays.rfc3339 import render as render_time
from stream.core.table.forgetting import IdleLimits
from stream.errors import RiskstreamError
from stream.replay.source.sources import open_source
from stream.replay.walk.engine import DAY_US, FileReplay, ReplaySettings
from stream.replay.walk.file_walk import Intake, replay
from stream.replay.walk.shard import Shard
from stream.replay.walk.sharded import SharedReplay
from stream.replay.walk.share_workers import ShareWorker, start_local_workers

SETTINGS = ReplaySettings(label_delay_us=2 * DAY_US, round_us=5 * DAY_US)
START_US = 1_767_225_600_000_000


class Own:
    """A share in this very process."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self._shard = Shard(*arguments)

    def ask(self, method: str, *arguments: Any) -> Any:
        return getattr(self._shard, method)(*arguments)

    def answer(self, question: Any) -> Any:
        return question

    def close(self) -> None:
        del self._shard


def start_own(shares: Sequence[tuple[Any, ...]]) -> list[ShareWorker]:
    return [Own(arguments) for arguments in shares]


def by_one(path: Path, truth: Path, shape: ReplaySettings) -> tuple[list[bytes], list[list[int]], FileReplay]:
    lines: list[bytes] = []
    until: list[list[int]] = []
    engine = FileReplay(shape, shipped())

    def listen(step: Any) -> None:
        lines.extend(step.rendered())
        until.append(step.labels_until.tolist())

    replay(open_source(path, None, truth), engine, [listen])
    return lines, until, engine


def by_many(
    path: Path,
    truth: Path,
    shape: ReplaySettings,
    shares: int,
    start_workers: Any = start_own,
    chunk_rows: int | None = None,
) -> tuple[list[bytes], list[list[int]], SharedReplay]:
    engine = SharedReplay(shape, shipped(), shares, start_workers, renders=True)
    lines: list[bytes] = []
    until: list[list[int]] = []
    steps = engine.walk(
        open_source(path, None, truth), Intake(), limit=None, chunk_rows=chunk_rows, on_chunk=lambda chunk: None
    )
    for step in steps:
        lines += step.rendered()
        assert step.labels_until is not None
        until.append(step.labels_until.tolist())
    return lines, until, engine


@pytest.mark.parametrize(
    ("shares", "chunk_rows", "start_workers"),
    [(1, None, start_own), (3, 331, start_own), (2, 1_900, start_local_workers)],
)
def test_any_number_of_shares_gives_the_bytes_of_one(
    bank: tuple[Path, Path], shares: int, chunk_rows: int | None, start_workers: Any
) -> None:
    one, many = by_one(*bank, SETTINGS), by_many(*bank, SETTINGS, shares, start_workers, chunk_rows)
    assert many[0] == one[0]
    assert list(chain(*many[1])) == list(chain(*one[1]))
    assert many[2].model_version == one[2].model_version != "m0"
    assert many[2].status.tolist() == one[2].status.tolist()


PAYMENTS = st.lists(
    st.tuples(
        st.integers(0, 3),  # account
        st.integers(0, 2),  # payee
        st.integers(-3 * 3_600, 8 * 3_600),  # seconds after the one before; negative ones come late
        st.sampled_from(["new", "new", "new", "new", "repeated", "conflict", "broken", "reversed"]),
        st.booleans(),  # fraud
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=25, deadline=None)
@given(
    payments=PAYMENTS, shares=st.integers(2, 4), rows=st.integers(1, 30), blind=st.booleans(),
    idle_h=st.sampled_from([0, 6, 24]),
)  # fmt: skip
def test_late_repeated_broken_and_fraudulent_rows_fall_into_their_places(
    payments: list[tuple[int, int, int, str, bool]], shares: int, rows: int, blind: bool, idle_h: int,
    tmp_path_factory: Any,
) -> None:  # fmt: skip
    folder = tmp_path_factory.mktemp("shares")
    path, truth = folder / "h.jsonl", folder / "t.csv"
    write(payments, path, truth)
    idle_us = idle_h * 3_600_000_000
    shape = ReplaySettings(
        label_delay_us=7_200_000_000, round_us=21_600_000_000, familiarity=not blind,
        idle=IdleLimits(idle_us, idle_us // 2), idle_payees_us=idle_us,
    )  # fmt: skip
    one, many = by_one(path, truth, shape), by_many(path, truth, shape, shares, chunk_rows=rows)
    assert many[0] == one[0]
    assert many[2].late == one[2].late
    assert many[2].reversals.tolist() == one[2].reversals.tolist()
    assert many[2].status.tolist() == one[2].status.tolist()
    assert many[2].model_version == one[2].model_version


def write(payments: list[tuple[int, int, int, str, bool]], path: Path, truth: Path) -> None:
    at, lines, frauds = START_US, [], ["transaction_id,fraud", "nobody,0"]
    last: dict[str, Any] = {}
    for number, (account, payee, seconds, kind, fraud) in enumerate(payments):
        at += seconds * 1_000_000
        document = {
            "transaction_id": f"t-{number}", "account_id": f"a-{account}", "payee_id": f"p-{payee}",
            "event_time": render_time(at), "amount_minor": 1_000 + number, "currency": "EUR", "channel": "app",
        }  # fmt: skip
        if kind in ("repeated", "conflict") and last:
            document = {**last, "amount_minor": last["amount_minor"] + (kind == "conflict")}
        if kind == "reversed" and last:
            names = {"type": "reversal", "transaction_id": f"r-{number}"}
            document = {**last, **names, "original_transaction_id": last["transaction_id"]}
        last = document
        frauds.append(f"{document['transaction_id']},{int(fraud)}")
        lines.append("{" if kind == "broken" else json.dumps(document))
    path.write_text("\n".join([*lines, ""]))
    truth.write_text("\n".join([*frauds, ""]))


def test_an_account_of_two_customers_is_refused_rather_than_decided_otherwise(tmp_path: Path) -> None:
    write(
        [(0, 0, 60, "new", False), (1, 0, 60, "new", False), (0, 1, 60, "new", False)],
        tmp_path / "h.jsonl",
        tmp_path / "t.csv",
    )
    lines = (tmp_path / "h.jsonl").read_text().splitlines()
    lines[2] = json.dumps({**json.loads(lines[2]), "customer_id": "c-9"})
    (tmp_path / "h.jsonl").write_text("\n".join([*lines, ""]))
    with pytest.raises(RiskstreamError, match="under two customers"):
        by_many(tmp_path / "h.jsonl", tmp_path / "t.csv", SETTINGS, 2, chunk_rows=1)


def test_accounts_of_one_customer_stay_together(bank: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "h.jsonl"
    with path.open("w") as out:
        for line in bank[0].read_text().splitlines():
            document = json.loads(line)
            out.write(json.dumps({**document, "customer_id": f"c-{sum(document['account_id'].encode()) % 20}"}) + "\n")
    one, many = by_one(path, bank[1], SETTINGS), by_many(path, bank[1], SETTINGS, 3, chunk_rows=500)
    assert many[0] == one[0]


def command(bank: tuple[Path, Path], out: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "stream.cli", "replay", str(bank[0]), "--labels", str(bank[1]), "--round", "5d", "--json",
        "--scores", str(out / "s.parquet"), "--decisions", str(out / "d.jsonl"), *options,
    ]  # fmt: skip


def files(out: Path) -> tuple[bytes, bytes]:
    return (out / "s.parquet").read_bytes(), (out / "d.jsonl").read_bytes()


def test_a_shared_replay_that_was_killed_goes_on_with_the_bytes_of_one(bank: tuple[Path, Path], tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    subprocess.run(command(bank, whole), capture_output=True, check=True)
    checkpoint = parts / "c"
    options = ("--workers", "2", "--checkpoint", str(checkpoint), "--checkpoint-every", "0")
    running = subprocess.Popen(
        command(bank, parts, *options, "--batch", "50"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 90
    while not checkpoint.exists():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    running.wait(30)
    subprocess.run(command(bank, parts, *options), capture_output=True, check=True)
    assert files(parts) == files(whole)


def test_a_process_that_dies_is_told_with_what_to_do(bank: tuple[Path, Path]) -> None:
    hired: list[ShareWorker] = []

    def start_workers(shares: Sequence[tuple[Any, ...]]) -> list[ShareWorker]:
        hired.extend(start_local_workers(shares))
        return list(hired)

    engine = SharedReplay(SETTINGS, shipped(), 2, start_workers, renders=False)
    steps = engine.walk(
        open_source(bank[0], None, bank[1]), Intake(), limit=None, chunk_rows=100, on_chunk=lambda chunk: None
    )
    next(steps)
    os.kill(hired[1]._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
    with pytest.raises(RiskstreamError, match="a process of --workers ended with status -9"):
        list(steps)


@pytest.fixture(scope="module")
def cluster() -> Any:
    import distributed  # a second of imports that no other test here needs

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1", processes=True, silence_logs=50
    ) as made:
        yield made


def test_a_dask_cluster_gives_the_bytes_of_one(bank: tuple[Path, Path], cluster: Any, tmp_path: Path) -> None:
    for name, options in (("one", ()), ("dask", ("--dask", cluster.scheduler_address, "--workers", "2"))):
        (tmp_path / name).mkdir()
        subprocess.run(command(bank, tmp_path / name, *options), capture_output=True, check=True)
    assert files(tmp_path / "dask") == files(tmp_path / "one")


def test_a_cluster_with_too_few_workers_says_so(bank: tuple[Path, Path], cluster: Any, tmp_path: Path) -> None:
    options = ("--dask", cluster.scheduler_address, "--workers", "3")
    asked = subprocess.run(command(bank, tmp_path, *options), capture_output=True, text=True)
    assert asked.returncode == 2
    assert "2 workers there, 3 asked for" in asked.stderr


def test_what_the_learner_samples_is_the_same_payments(
    bank: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a join buffer of 300 payments lets most go, by their hash: another hash, another model
    for module in ("engine", "sharded"):
        monkeypatch.setattr(
            f"stream.replay.walk.{module}.EnsembleConfig", partial(EnsembleConfig, pending_capacity=300)
        )
    one, many = by_one(*bank, SETTINGS), by_many(*bank, SETTINGS, 2)
    assert many[2].model_version == one[2].model_version
