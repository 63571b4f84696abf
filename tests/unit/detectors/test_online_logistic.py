from __future__ import annotations

import random

import numpy as np
import pytest

from detectors.online_logistic import OnlineLogistic, probability


def test_learning_in_batches_gives_the_bytes_of_learning_one_by_one() -> None:
    rng = np.random.default_rng(2)
    rows, labels = rng.normal(size=(300, 4)), (rng.random(300) < 0.3).astype(np.float64)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    names = ["a", "b", "c", "d"]
    single, batched = OnlineLogistic(), OnlineLogistic()
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        single.learn_one(dict(zip(names, row, strict=True)), bool(label))
    for a in range(0, 300, 64):
        batched.learn_many(rows[a : a + 64], labels[a : a + 64], features=names)
    assert batched.predict_proba_many(rows).tobytes() == single.predict_proba_many(rows).tobytes()


def test_order_of_dict_keys_changes_nothing() -> None:
    sorted_keys, shuffled_keys = OnlineLogistic(), OnlineLogistic()
    rng = random.Random(1)
    for _ in range(200):
        x = {name: rng.gauss(0, 1) for name in "abcde"}
        y = x["a"] > 0.3
        names = list(x)
        rng.shuffle(names)
        sorted_keys.learn_one(x, y)
        shuffled_keys.learn_one({name: x[name] for name in names}, y)
    assert sorted_keys.predict_proba_one(x) == shuffled_keys.predict_proba_one(x)


@pytest.mark.parametrize("logit", [-1e6, -745.2, -40.0, 0.0, 40.0, 1e6])
def test_the_logistic_function_stays_in_range(logit: float) -> None:
    p = probability(logit)
    assert 0.0 <= p <= 1.0
    assert p + probability(-logit) == pytest.approx(1.0)
