"""The core over a file: what decisions may depend on, and what they may not."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from rules.policy import shipped
from stream.core.decision.render import render
from stream.core.features import FEATURES
from stream.replay.source.sources import open_source
from stream.replay.walk.engine import BUCKET_US, DAY_US, FileReplay, ReplaySettings, WalkedRun
from stream.replay.walk.file_walk import Intake, counts, replay

SETTINGS = ReplaySettings(label_delay_us=2 * DAY_US, round_us=5 * DAY_US)
START_US = 1_767_225_600_000_000


def walk(
    path: Path, truth: Path | None, settings: ReplaySettings = SETTINGS, chunk_rows: int | None = None
) -> tuple[list[WalkedRun], FileReplay, Intake]:
    engine = FileReplay(settings, shipped())
    steps: list[WalkedRun] = []
    intake = replay(open_source(path, None, truth), engine, [steps.append], chunk_rows=chunk_rows)
    return steps, engine, intake


def column(steps: list[WalkedRun], name: str) -> np.ndarray[Any, Any]:
    return np.concatenate([step.decided.verdicts[name] for step in steps])


def decisions(steps: list[WalkedRun]) -> list[bytes]:
    return [line for step in steps for line in render(step.decided, step.decider).decisions]


def payment(number: int, seconds: int, **fields: object) -> bytes:
    at = np.datetime_as_string(np.datetime64(START_US + seconds * 1_000_000, "us"), "s") + "Z"
    record = {
        "transaction_id": f"t-{number}", "account_id": "a-1", "payee_id": "p-1", "event_time": at,
        "amount_minor": 1_000, "currency": "EUR", "channel": "app",
    }  # fmt: skip
    return orjson.dumps({**record, **fields})


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    def write(records: list[bytes], frauds: tuple[str, ...] = ()) -> tuple[Path, Path]:
        path, truth = tmp_path / "history.jsonl", tmp_path / "truth.csv"
        path.write_bytes(b"\n".join([*records, b""]))
        truth.write_text("transaction_id,fraud,attack\n" + "".join(f"{name},1,\n" for name in (*frauds, "nobody")))
        return path, truth

    return write


@pytest.fixture(scope="module")
def whole(bank: tuple[Path, Path]) -> list[WalkedRun]:
    return walk(*bank)[0]


def test_how_the_file_is_cut_changes_no_byte(bank: tuple[Path, Path], whole: list[WalkedRun]) -> None:
    cut, _, _ = walk(*bank, chunk_rows=97)
    assert digest(cut) == digest(whole)


def digest(steps: list[WalkedRun]) -> str:
    sha = hashlib.sha256(b"\n".join(decisions(steps)))
    for step in steps:
        assert step.labels_until is not None
        sha.update(step.labels_until.tobytes())
    return sha.hexdigest()


def test_the_models_learn_in_rounds(whole: list[WalkedRun]) -> None:
    versions = [step.decider.model_version for step in whole]
    assert len(set(versions)) >= 8
    frauds = [step.decider.prior_milli for step in whole]
    assert frauds[0] == 1000
    assert frauds[-1] < 700, "confirmed frauds are known to the last model"


def test_labels_flipped_after_a_day_change_no_score_before_it_plus_the_delay(
    bank: tuple[Path, Path], whole: list[WalkedRun], tmp_path: Path
) -> None:
    times = np.concatenate([step.decided.received.transactions["event_time"] for step in whole])
    split = int(times[0]) + 20 * DAY_US
    early = {
        transaction.decode()
        for step in whole
        for transaction, time in zip(
            step.decided.received.transactions["transaction_id"].tolist(),
            step.decided.received.transactions["event_time"].tolist(),
            strict=True,
        )
        if time < split
    }
    flipped_truth = tmp_path / "flipped.csv"
    with bank[1].open() as given, flipped_truth.open("w") as out:
        out.write("transaction_id,fraud\n")
        for place, row in enumerate(csv.DictReader(given)):
            fraud = int(row["fraud"])
            if row["transaction_id"] not in early and (fraud or place % 5 == 0):
                fraud = 1 - fraud
            out.write(f"{row['transaction_id']},{fraud}\n")
    flipped, _, _ = walk(bank[0], flipped_truth)
    before = times < split + SETTINGS.label_delay_us
    first, second = np.array(decisions(whole)), np.array(decisions(flipped))
    assert np.count_nonzero(before) > 1_500
    assert (first[before] == second[before]).all()
    assert (first[~before] != second[~before]).any()


def test_a_label_counts_from_the_bucket_it_is_due_in_and_not_before(written: Callable[..., tuple[Path, Path]]) -> None:
    delay = 3 * BUCKET_US // 1_000_000
    records = [payment(n, n * 60) for n in range(60)]
    steps, _, _ = walk(
        *written(records, frauds=("t-4",)), replace(SETTINGS, label_delay_us=delay * 1_000_000, round_us=0)
    )
    index = {feature.name: place for place, feature in enumerate(FEATURES)}
    features = np.concatenate([step.decided.received.features for step in steps])
    known = features[:, index["account_frauds"]] > 0
    # t-4 happened at 4 min, is due at 34 min: known from the bucket that starts at 40 min
    assert np.flatnonzero(known).tolist() == list(range(40, 60))
    assert (features[:, index["payee_frauds_week"]] > 0).tolist() == known.tolist()
    until = np.concatenate([step.labels_until for step in steps if step.labels_until is not None])
    assert until.tolist() == [START_US + (n // 10 * 600 - delay) * 1_000_000 for n in range(60)]


def test_a_fraud_never_becomes_normal_by_maturing_in_the_bucket_of_its_label(
    written: Callable[..., tuple[Path, Path]],
) -> None:
    index = {feature.name: place for place, feature in enumerate(FEATURES)}
    records = [payment(n, n * 180) for n in range(17)]
    settings = replace(SETTINGS, label_delay_us=30 * 60 * 1_000_000, round_us=0)
    # t-1 happened at 3 min and is due at 33: known from 40 min on, where it would be old enough to have matured
    steps, _, _ = walk(*written(records, frauds=("t-1",)), settings)
    features = np.concatenate([step.decided.received.features for step in steps])
    assert features[13:, index["account_payments"]].tolist() == [0, 1, 1, 2], "t-0, then t-2"


def test_refused_duplicate_and_conflicting_rows_are_counted_and_not_decided(
    written: Callable[..., tuple[Path, Path]],
) -> None:
    records = [
        payment(0, 0),
        payment(1, 60),
        payment(1, 60),
        payment(1, 60, amount_minor=7),
        b"{",
        payment(2, 120, amount_minor=-1),
    ]
    steps, engine, intake = walk(*written(records, frauds=("t-1",)))
    assert sum(len(step) for step in steps) == 2
    assert counts(intake, engine) == {
        "events": 6,
        "decided": 2,
        "duplicate": 1,
        "dead": 3,
        "dead_by_reason": {"id_conflict": 1, "malformed": 1, "out_of_range": 1},
        "late": 0,
        "reversals": {"reversed": 0, "reversed_late": 0, "repeated": 0, "unknown": 0},
    }


def test_late_rows_are_decided_and_flagged(written: Callable[..., tuple[Path, Path]]) -> None:
    steps, engine, _ = walk(*written([payment(0, 9_000), payment(1, 0), payment(2, 9_001)]))
    assert engine.late == 1
    assert [orjson.loads(line)["flags"] for line in decisions(steps)] == [[], ["late"], []]


def test_without_familiarity_no_pair_has_a_history_and_nothing_is_discounted(
    bank: tuple[Path, Path], whole: list[WalkedRun]
) -> None:
    without, _, _ = walk(*bank, replace(SETTINGS, familiarity=False))
    assert column(whole, "familiarity_ppm").max() > 300_000
    assert column(without, "familiarity_ppm").max() == 0
    names = [feature.name for feature in FEATURES]
    features = np.concatenate([step.decided.received.features for step in without])
    assert features[:, names.index("pair_payments")].max() == 0
    assert np.isnan(features[:, names.index("amount_to_pair_max")]).all()
    assert column(without, "degraded").max() == 0, "no condition fails for want of a value"
    assert column(without, "risk_ppm").mean() > column(whole, "risk_ppm").mean()


def test_rounds_of_zero_learn_nothing(bank: tuple[Path, Path]) -> None:
    steps, _, _ = walk(*bank, replace(SETTINGS, round_us=0))
    assert {step.decider.model_version[:2] for step in steps} == {"m0"}


def test_a_gap_in_time_ends_one_round(written: Callable[..., tuple[Path, Path]]) -> None:
    records = [payment(0, 0), payment(1, 25 * 86_400)]
    steps, _, _ = walk(*written(records), replace(SETTINGS, round_us=BUCKET_US))
    assert [step.decider.model_version[:3] for step in steps] == ["m0-", "m1-"]


def test_a_reversal_is_decided_counted_and_no_part_of_what_is_measured_or_learned(
    written: Callable[..., tuple[Path, Path]],
) -> None:
    reversal = payment(9, 30, type="reversal", original_transaction_id="t-0")
    steps, engine, intake = walk(*written([payment(0, 0), reversal, payment(1, 60)], frauds=("t-9", "t-1")))
    assert [orjson.loads(line)["outcome"] for line in decisions(steps)][1] == "approve"
    counted = counts(intake, engine)
    assert (counted["decided"], counted["reversals"]["reversed"]) == (3, 1)
    labels = [code for step in steps if step.labels is not None for code in step.labels.fraud.tolist()]
    assert labels == [-1, -1, 1]
    assert len(engine._learner.latest(9)) == 2
