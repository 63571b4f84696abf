from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detectors.delayed_labels import FRAUD, GENUINE, UNLABELLED, DelayedLabels


def _add(waiting: DelayedLabels, ids: NDArray[np.uint64], start: int = 0) -> list[tuple[int, int, float]]:
    n = len(ids)
    matrix = np.repeat((ids % np.uint64(1000)).astype(np.float64)[:, None], 3, axis=1)
    time = np.arange(start, start + n, dtype=np.int64)
    return waiting.add(ids, time, matrix, np.zeros(n, np.uint8), np.zeros(n, np.bool_))


def _ids(n: int, seed: int = 1) -> NDArray[np.uint64]:
    return np.random.default_rng(seed).integers(1, 2**63, n, dtype=np.uint64)


def test_rows_leave_in_order_with_the_features_they_came_with() -> None:
    waiting, ids = DelayedLabels(3, 1000, 10), _ids(10)
    _add(waiting, ids)
    rows = waiting.pop_until(5)
    assert rows.hash.tolist() == ids[:6].tolist()
    assert rows.matrix[:, 0].tolist() == (ids[:6] % np.uint64(1000)).tolist()
    assert rows.label.tolist() == [UNLABELLED] * 6
    assert len(waiting) == 4
    assert len(waiting.pop_until(5)) == 0


def test_the_last_label_counts() -> None:
    waiting, ids = DelayedLabels(3, 1000, 10), _ids(3)
    _add(waiting, ids)
    row = waiting.find(int(ids[1]))
    assert row is not None
    waiting.set_label(row, FRAUD, 1.0)
    waiting.set_label(row, GENUINE, 0.5)
    rows = waiting.pop_until(9)
    assert rows.label.tolist() == [UNLABELLED, GENUINE, UNLABELLED]
    assert rows.trust.tolist() == [1.0, 0.5, 1.0]


def test_a_label_that_comes_first_waits_for_its_features() -> None:
    waiting, ids = DelayedLabels(3, 1000, 10), _ids(3)
    waiting.keep_early(int(ids[2]), 7, GENUINE, 0.5)
    waiting.keep_early(int(ids[2]), 8, FRAUD, 1.0)
    [(row, label, trust)] = _add(waiting, ids)
    assert (row, label, trust) == (waiting.find(int(ids[2])), FRAUD, 1.0)


def test_early_labels_are_bounded_and_the_oldest_leave() -> None:
    waiting, ids = DelayedLabels(3, 1000, 4), _ids(6)
    for i in ids.tolist():
        waiting.keep_early(i, 0, FRAUD, 1.0)
    assert waiting.dropped == 2
    assert len(_add(waiting, ids)) == 4


def test_a_repeated_transaction_is_kept_once() -> None:
    waiting, ids = DelayedLabels(3, 1000, 4), _ids(5)
    _add(waiting, np.concatenate((ids, ids[:2])))
    _add(waiting, ids[3:], start=20)
    assert waiting.pop_until(100).hash.tolist() == ids.tolist()


def test_a_full_buffer_thins_by_hash_and_weights_compensate() -> None:
    waiting, ids = DelayedLabels(3, 400, 4), _ids(3000)
    for a in range(0, 3000, 70):
        _add(waiting, ids[a : a + 70], start=a)
        assert len(waiting) <= 400
    rows = waiting.pop_until(10_000)
    assert abs(float(rows.weight.sum()) - 3000) < 500
    assert waiting.dropped == 0 or waiting.dropped + len(rows) <= 3000


def test_thinning_does_not_depend_on_how_rows_are_cut_into_calls() -> None:
    kept = []
    for cut in (1, 33, 3000):
        waiting, ids = DelayedLabels(3, 400, 4), _ids(3000)
        for a in range(0, 3000, cut):
            _add(waiting, ids[a : a + cut], start=a)
        rows = waiting.pop_until(10_000)
        kept.append((rows.hash.tolist(), rows.weight.tolist()))
    assert kept[0] == kept[1] == kept[2]


def test_sampling_is_undone_when_the_load_falls() -> None:
    waiting, ids = DelayedLabels(3, 100, 4), _ids(350)
    _add(waiting, ids)
    level = waiting.level
    assert level >= 1
    for step in range(level):
        waiting.pop_until(1000)
        assert waiting.level == level - 1 - step
    _add(waiting, _ids(50, seed=2), start=2000)
    assert waiting.pop_until(5000).weight.tolist() == [1.0] * 50


def test_a_loaded_state_goes_on_alike() -> None:
    waiting, ids = DelayedLabels(3, 400, 10), _ids(900)
    _add(waiting, ids)
    waiting.keep_early(5, 1, FRAUD, 1.0)
    waiting.pop_until(100)
    description, arrays = waiting.state()
    again = DelayedLabels(3, 400, 10)
    again.load(description, arrays)
    more = np.concatenate((_ids(300, seed=3), np.array([5], np.uint64)))
    assert [early[1:] for early in _add(again, more, start=900)] == [
        early[1:] for early in _add(waiting, more, start=900)
    ]
    ours, theirs = again.pop_until(5000), waiting.pop_until(5000)
    assert ours.hash.tolist() == theirs.hash.tolist()
    assert ours.matrix.tobytes() == theirs.matrix.tobytes()
