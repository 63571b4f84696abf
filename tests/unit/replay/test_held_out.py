"""The benchmark of attacks without labels: what it withholds, and its figures against counting by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.held_out_attacks import FIGURES, Period, attacks_of, line, run
from stream.replay.measure.detection import DAY_US
from stream.replay.walk.engine import ReplaySettings


@pytest.mark.parametrize(("rate", "found"), [(0.0, 10), (0.1, 9), (0.2, 8), (0.45, 6), (1.0, 0)])
def test_a_line_leaves_at_most_its_share_above(rate: float, found: int) -> None:
    assert line(np.arange(10), rate) == found
    assert (np.arange(10) >= found).mean() <= rate


def test_equal_scores_are_above_a_line_together_or_not_at_all() -> None:
    assert line(np.array([5, 5, 5, 1]), 0.5) == 6


def test_recall_is_counted_at_the_same_share_of_genuine_payments() -> None:
    genuine = np.arange(100)
    period = Period(
        time=np.arange(104),
        supervised=np.concatenate((genuine, [200, 50, 50, 50])),
        risk=np.concatenate((genuine, [200, 200, 50, 50])),
        anomaly=np.concatenate((genuine, [50, 50, 200, 50])),
        attack=np.array([""] * 100 + ["scam"] * 4),
    )
    found = period.recall("scam", rate=0.1, anomaly_part=0.2)
    assert found == dict(zip(FIGURES, (0.25, 0.5, 0.25, 0.75, 0.25), strict=True))


def test_anomaly_rates_are_of_genuine_payments_week_by_week() -> None:
    anomaly = np.where(np.arange(1400) % 100 == 0, 995_000, 0)
    anomaly[700:] = np.where(np.arange(700) % 50 == 0, 995_000, 0)
    period = Period(np.arange(1400) * DAY_US // 100, anomaly, anomaly, anomaly, np.array([""] * 1400))
    assert period.anomaly_rates()["0.01"] == {"in_all": 0.015, "least_in_a_week": 0.01, "most_in_a_week": 0.02}
    assert period.anomaly_rates()["0.001"]["in_all"] == 0.0


def test_labels_that_are_held_out_never_arrive(bank: tuple[Path, Path]) -> None:
    """Until the first of them would have been due nothing differs, and then it does."""
    attack = attacks_of(bank[1])
    kinds = sorted(set(attack.tolist()) - {""})
    assert len(attack) == 4_000
    assert len(kinds) > 3
    settings = ReplaySettings(round_us=0)
    told, held_out = run("", *bank, settings), run(kinds[0], *bank, settings)
    assert [len(column) for column in told] == [4_000] * 4
    due = told[0][attack == kinds[0]].min() + settings.label_delay_us
    before = told[0] < due
    assert np.array_equal(told[2][before], held_out[2][before])
    assert not np.array_equal(told[2], held_out[2]), "what a fraud says about account and payee is a feature"
