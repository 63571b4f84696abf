"""Champion and challenger, and the gates behind which a change is put."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rules.policy import Policy, shipped
from stream.errors import UsageError
from stream.replay.measure.gates import Gate
from stream.replay.measure.tally import Tally
from stream.replay.source.sources import open_source
from stream.replay.walk.compare import Comparison, compare
from stream.replay.walk.engine import FileReplay, ReplaySettings, WalkedRun

SETTINGS = ReplaySettings(round_us=0)


def stricter() -> Policy:
    files = {name: bytes(content) for name, content in shipped().files.items()}
    files["common.yaml"] = files["common.yaml"].replace(b"challenge_light: 20000", b"challenge_light: 2000")
    assert files["common.yaml"] != shipped().files["common.yaml"]
    return Policy.from_files(files)


def run(
    bank: tuple[Path, Path], challenger: Policy
) -> tuple[Comparison, Tally, Tally, list[tuple[WalkedRun, WalkedRun]]]:
    comparison, before, after = Comparison(), Tally(), Tally()
    steps: list[tuple[WalkedRun, WalkedRun]] = []

    def listen(champion: WalkedRun, other: WalkedRun) -> None:
        comparison.add(champion, other)
        before.add(champion)
        after.add(other)
        steps.append((champion, other))

    source = open_source(bank[0], None, bank[1])
    compare(source, FileReplay(SETTINGS, shipped()), FileReplay(SETTINGS, challenger), [listen])
    return comparison, before, after, steps


def test_the_same_policy_flips_nothing(bank: tuple[Path, Path]) -> None:
    comparison, before, after, _ = run(bank, shipped())
    assert comparison.result()["flipped"] == 0
    assert before.result() == after.result()


def test_flips_are_counted_and_shown_with_what_each_side_saw(bank: tuple[Path, Path]) -> None:
    comparison, before, after, steps = run(bank, stricter())
    result = comparison.result()
    flipped = sum(int((a.decided.verdicts["rung"] != b.decided.verdicts["rung"]).sum()) for a, b in steps)
    assert result["decisions"] == before.events == 4_000
    assert result["flipped"] == flipped == sum(flip["count"] for flip in result["flips"]) > 0
    flip = next(f for f in result["flips"] if f["champion"] == "approve" and f["challenger"] == "challenge_light")
    assert len(flip["examples"]) == min(3, flip["count"])
    example = flip["examples"][0]
    assert 2_000 <= example["challenger"]["risk_ppm"] == example["champion"]["risk_ppm"] < 20_000
    assert after.result()["genuine_touched"] > before.result()["genuine_touched"]


def test_counts_of_a_tally_add_up(bank: tuple[Path, Path]) -> None:
    _, tally, _, _ = run(bank, shipped())
    result = tally.result()
    assert sum(result["outcomes"].values()) == result["decided"] == result["genuine"] + result["frauds"]
    assert result["caught"] + result["missed"] == result["frauds"]
    assert sum(attack["caught"] for attack in result["attacks"].values()) == result["caught"]
    assert sum(result["genuine_touched_by_rung"].values()) == result["genuine_touched"]
    assert sum(scenario["touched"] for scenario in result["scenarios"].values()) == result["genuine_touched"]
    low, high = result["interval95"]["per_10k"]
    assert low <= result["genuine_touched_per_10k"] <= high


def test_what_is_predicted_for_a_threshold_is_what_applying_it_gives(bank: tuple[Path, Path]) -> None:
    _, tally, _, steps = run(bank, shipped())
    risk = np.concatenate([before.decided.verdicts["risk_ppm"] for before, _ in steps])
    fraud = np.concatenate([before.labels.fraud for before, _ in steps if before.labels is not None]) == 1
    table = tally.result()["what_if"]
    assert len(table) > 10
    for row in table:
        alerts = risk >= row["threshold_ppm"]
        assert row["alerts"] == np.count_nonzero(alerts)
        assert row["frauds_found"] == np.count_nonzero(alerts & fraud)
        assert row["frauds_found"] + row["frauds_missed"] == np.count_nonzero(fraud)
        assert row["genuine_touched"] == np.count_nonzero(alerts & ~fraud)


@pytest.mark.parametrize(
    ("gate", "failed"),
    [
        ("friction > 1.1x champion", False),
        ("friction > 1.0x champion", True),
        ("friction > 40", True),
        ("recall < 0.7", False),
        ("recall <= .8", True),
        ("ap < 0.9x champion", True),
        ("familiar_friction > 1", True),
    ],
)
def test_a_gate_fails_where_its_figure_stands_so_to_its_limit(gate: str, failed: bool) -> None:
    champion = {"genuine_touched_per_10k": 40.0, "detection": {"ap": 0.8}}
    summary = {"genuine_touched_per_10k": 42.0, "recall": 0.8, "detection": {"ap": 0.7}}
    assert Gate.parse(gate).check(summary, champion).failed is failed


@pytest.mark.parametrize(
    "text", ["friction", "nonsense > 1", "friction > 1.1x", "friction = 3", "friction > x champion"]
)
def test_what_is_no_gate_is_refused_with_what_may_be_named(text: str) -> None:
    with pytest.raises(UsageError, match="familiar_friction"):
        Gate.parse(text)
