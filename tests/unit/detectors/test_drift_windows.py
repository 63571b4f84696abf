from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.drift import DriftConfig, DriftMonitor
from detectors.drift_windows import SCORE_BINS, SCORE_MOST, SCORE_STEP, GroupWindows

WIDTH, CONFIG = 5, DriftConfig(first_rows=300, tail_shares=(0.1, 0.02))
BY_HAND = """
import numpy as np
from detectors.drift import HOUR, DriftConfig, DriftMonitor
rng, monitor = np.random.default_rng(9), DriftMonitor(["amount", "habit"], 2, DriftConfig(first_rows=60, tail_shares=(0.1,)))
for hour in range(75):
    rows = rng.normal(2.0 * (hour > 30), 1, (40, 2)).astype(np.float32)
    rows[: 40 if hour < 9 else 20, 1] = np.nan
    scores = rng.integers(-6000, -4000, 40) + 4000 * (hour > 70)
    ids = np.arange(40, dtype=np.uint64) + np.uint64(100 * hour)
    for drift in monitor.observe(ids, hour * HOUR, rows, (ids % 2).astype(np.uint8), scores):
        print(drift)
"""


def _rows(seed: int, count: int) -> tuple[NDArray[np.uint64], NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(0, 1, (count, WIDTH)).round(1).astype(np.float32)
    matrix[rng.random((count, WIDTH)) < 0.1] = np.nan
    matrix[rng.random(count) < 0.95, WIDTH - 1] = np.nan
    score: NDArray[np.int64] = (rng.normal(-5000, 9000, count) // 500 * 500).astype(np.int64)
    return rng.permutation(count).astype(np.uint64), matrix, score


def _filled() -> GroupWindows:
    windows = GroupWindows(WIDTH, CONFIG)
    windows.take(*_rows(1, 300), np.arange(300))
    assert windows.edges is not None
    return windows


def test_cells_and_scores_are_counted_where_they_belong() -> None:
    windows = _filled()
    assert windows.edges is not None
    ids, matrix, score = _rows(2, 200)
    chosen = np.arange(199, 20, -3)
    windows.take(ids, matrix, score, chosen)
    bins = (np.clip(score, -SCORE_MOST, SCORE_MOST) + SCORE_MOST) // SCORE_STEP
    assert windows.rows == len(chosen)
    assert windows.scores.tolist() == np.bincount(bins[chosen], minlength=SCORE_BINS).tolist()
    for level, (counts, rows) in enumerate(
        [(windows.seen, chosen)]
        + [(windows.tail_seen[i], chosen[bins[chosen] >= windows.tail_from[i]]) for i in range(2)]
    ):
        assert len(rows), level
        for j in range(WIDTH):
            expected = np.zeros(CONFIG.bins + 1)
            for cell in matrix[rows, j]:
                place = CONFIG.bins if np.isnan(cell) else int(np.searchsorted(windows.edges[:, j], cell))
                expected[place] += 1
            assert counts[j].tolist() == expected.tolist()


def test_the_examples_are_the_highest_scores_and_of_equal_ones_the_least_ids() -> None:
    windows, told = _filled(), list[tuple[int, int]]()
    ids, matrix, score = _rows(3, 400)
    for start in range(0, 400, 57):
        rows = np.arange(start, min(start + 57, 400))
        windows.take(ids, matrix, score, rows)
        first = rows[np.argsort(-score[rows], kind="stable")[: CONFIG.examples]]
        told = sorted([*told, *zip((-score[first]).tolist(), ids[first].tolist(), strict=True)])[: CONFIG.examples]
        assert windows.examples == tuple(row for _, row in told)
    windows.clear_tail()
    assert windows.examples == ()
    assert not windows.scores.any()


def test_an_input_is_binned_by_all_that_came_of_it_until_it_had_enough() -> None:
    windows = _filled()
    assert windows.edges is not None
    late = WIDTH - 1
    assert windows.late.tolist() == [late]
    came = [_rows(1, 300)[1][:, late]]
    seed = 10
    while len(windows.late):
        assert np.isinf(windows.edges[:, late]).all()
        ids, matrix, score = _rows(seed, 400)
        windows.take(ids, matrix, score, np.arange(400))
        came.append(matrix[:, late])
        seed += 1
    known = np.sort(np.concatenate(came).astype(np.float64))
    known = known[~np.isnan(known)]
    assert len(known) >= CONFIG.first_rows
    assert windows.edges[:, late].tolist() == [known[len(known) * k // CONFIG.bins] for k in range(1, CONFIG.bins)]
    assert windows.seen[late].sum() == 400, "counted from then on"


def test_an_unknown_group_is_refused() -> None:
    monitor = DriftMonitor(["a"], 2)
    with pytest.raises(ValueError, match="group 2 is unknown"):
        monitor.observe(np.zeros(1, np.uint64), 0, np.zeros((1, 1)), np.full(1, 2, np.uint8), np.zeros(1, np.int64))


def test_reports_are_the_same_without_compiled_code() -> None:
    def run(**environment: Any) -> str:
        return subprocess.run(
            [sys.executable, "-c", BY_HAND], env=os.environ | environment, check=True, capture_output=True, text=True
        ).stdout

    compiled = run()
    assert compiled.count("tail") > 1
    assert "habit" in compiled
    assert run(NUMBA_DISABLE_JIT="1") == compiled
