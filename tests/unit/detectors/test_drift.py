from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.drift import HOUR, Drift, DriftConfig, DriftMonitor, poisson_tail

NAMES = ["amount", "hour", "gap", "rate"]


def _run(hours: range, change: str, seed: int = 1) -> list[Drift]:
    """Three days of usual traffic in two groups, then the change in group 1 from hour 72 on."""
    rng = np.random.default_rng(seed)
    monitor = DriftMonitor(NAMES, 2, DriftConfig(first_rows=1000), periodic=["hour"])
    reports = []
    for hour in hours:
        changed = hour >= 72
        count = 1800 if changed and change == "volume" else 600
        rows = np.column_stack(
            (rng.lognormal(3, 1, count), np.full(count, hour % 24.0), rng.normal(0, 1, count), rng.random(count))
        )
        rows[rng.random(count) < 0.1, 2] = np.nan
        group = (np.arange(count) % 2).astype(np.uint8)
        score: NDArray[np.int64] = rng.normal(-6000, 700, count).astype(np.int64)
        mine = (group == 1) & changed
        if change == "population":
            rows[mine, 0] *= 4.0
        elif change == "missing":
            rows[mine & (rng.random(count) < 0.6), 2] = np.nan
        elif change == "attack":
            struck = np.flatnonzero(mine)[:20]
            rows[struck, 3], score[struck] = 0.999, 2000
        ids = np.arange(count, dtype=np.uint64) + np.uint64(10_000 * hour)
        reports += monitor.observe(ids, hour * HOUR, rows, group, score)
    return reports


def test_usual_traffic_reports_nothing() -> None:
    assert _run(range(24 * 12), "none") == []


def test_an_attack_is_told_within_the_hour_with_its_rows() -> None:
    first = _run(range(75), "attack")[0]
    assert (first.kind, first.group, first.at) == ("tail", 1, 73 * HOUR)
    assert first.seen >= 20 > 4 * first.expected
    assert first.moved[0][0] == "rate"
    assert set(first.examples) <= set(range(720_000, 720_042))


def test_five_in_ten_thousand_of_one_segment_are_told_within_the_hour() -> None:
    rng = np.random.default_rng(5)
    monitor, per_hour = DriftMonitor(["amount", "rate"], 2), 40_000
    reports: list[Drift] = []
    for hour in range(32):
        rows = np.column_stack((rng.lognormal(3, 1, per_hour), rng.random(per_hour)))
        score: NDArray[np.int64] = rng.normal(-6000, 700, per_hour).astype(np.int64)
        group = (np.arange(per_hour) % 2).astype(np.uint8)
        if hour == 30:
            struck = np.flatnonzero(group == 1)[:: per_hour // 2 // 10]
            assert len(struck) == 0.0005 * (group == 1).sum()
            rows[struck, 1], score[struck] = 0.9999, -1000
        reports += monitor.observe(np.arange(per_hour, dtype=np.uint64), hour * HOUR, rows, group, score)
    assert [(r.kind, r.group, r.at) for r in reports] == [("tail", 1, 31 * HOUR)]
    assert reports[0].moved[0][0] == "rate"


def test_an_attack_that_goes_on_does_not_become_usual() -> None:
    reports = [r for r in _run(range(24 * 8), "attack") if r.kind == "tail"]
    assert [r.at // HOUR for r in reports] == list(range(73, 24 * 8))


def test_more_traffic_of_the_same_kind_is_volume_not_attack() -> None:
    kinds = {(r.kind, r.group) for r in _run(range(24 * 5), "volume")}
    assert kinds == {("volume", 0), ("volume", 1)}


def test_moved_inputs_are_named_for_their_group_alone() -> None:
    for change, name in (("population", "amount"), ("missing", "gap")):
        reports = _run(range(24 * 5), change)
        assert {(r.kind, r.group, r.moved[0][0]) for r in reports} == {("population", 1, name)}


def test_a_new_normal_stops_being_reported() -> None:
    days = [r.at // (24 * HOUR) for r in _run(range(24 * 24), "population")]
    assert days[0] == 4
    assert days[-1] < 20


def test_an_input_that_never_stands_still_is_not_told_every_day() -> None:
    """Each day's payments come from one of two crowds: the index is large day after day, and news only at first."""
    rng = np.random.default_rng(4)
    monitor = DriftMonitor(["crowd", "amount"], 1, DriftConfig(first_rows=1000))
    reports: list[Drift] = []
    for hour in range(24 * 40):
        day, change = hour // 24, 3.0 if hour >= 24 * 36 else 0.0
        rows = np.column_stack((rng.normal(3.0 * (day % 3 == 0), 1, 100), rng.normal(change, 1, 100)))
        score = np.full(100, -6000)
        reports += monitor.observe(np.arange(100, dtype=np.uint64), hour * HOUR, rows, np.zeros(100, np.uint8), score)
    days = [r.at // (24 * HOUR) for r in reports if r.moved[0][0] == "crowd"]
    assert len(days) <= 4
    assert max(days) <= 10
    assert [r.at // (24 * HOUR) for r in reports if r.moved[0][0] == "amount"] == [37], "a real move is told, and once"


def test_an_input_that_comes_later_is_watched_from_then_on() -> None:
    """Habits: nobody has any in a line's first month. Their coming is told once, a later move is told too."""
    rng = np.random.default_rng(6)
    monitor = DriftMonitor(["habit"], 1, DriftConfig(first_rows=1000))
    days = []
    for hour in range(24 * 60):
        rows = rng.normal(4.0 if hour >= 24 * 50 else 0.0, 1, (100, 1))
        if hour < 24 * 20:
            rows[:] = np.nan
        score = np.full(100, -6000)
        found = monitor.observe(np.arange(100, dtype=np.uint64), hour * HOUR, rows, np.zeros(100, np.uint8), score)
        days += [r.at // (24 * HOUR) for r in found]
    assert 51 in days
    assert all(day in (51, 52) or 20 <= day <= 23 for day in days)


def test_the_poisson_tail_agrees_with_adding_up() -> None:
    for seen, expected in ((1, 0.5), (10, 3.0), (60, 40.0)):
        below = sum(np.exp(-expected + k * np.log(expected) - sum(np.log(np.arange(1, k + 1)))) for k in range(seen))
        assert abs(poisson_tail(seen, expected) - (1 - below)) < 1e-9
