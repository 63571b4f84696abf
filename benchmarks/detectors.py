"""CPU per event of the detectors, side by side with River and LightGBM in one run.

    python benchmarks/detectors.py            a table
    python benchmarks/detectors.py --json     one JSON object

All figures are process CPU time on one thread, medians over rounds in which the competitors take turns, so that a busy
machine disturbs all of them alike. Everything is compiled before the first round.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

sys.path.pop(0)  # this file's folder: there it hides the package of the same name

import lightgbm
import numpy as np
from river import anomaly

import stream  # noqa: F401  (puts compiled code where a change of any source is noticed)
from detectors.boosted_trees import BoostedTrees
from detectors.boosted_window import BoostedWindowConfig
from detectors.ensemble import EnsembleConfig, Input, Learner, Scorer, genesis
from detectors.half_space_trees import HalfSpaceTrees
from stream.core.features import MODEL_COLUMNS

FEATURES, ROWS, BATCH = 20, 2_560, 256
INPUTS = len(MODEL_COLUMNS)
DAY = 86_400_000_000


def cpu_us(work: Callable[[], object], events: int) -> float:
    start = time.process_time()
    work()
    return (time.process_time() - start) / events * 1e6


def taking_turns(work: dict[str, tuple[Callable[[], object], int]], rounds: int) -> dict[str, float]:
    """Median CPU µs per event of each piece of work (with its events)."""
    for run, _ in work.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, (run, events) in work.items():
            times[name].append(cpu_us(run, events))
    return {name: statistics.median(values) for name, values in times.items()}


def ragged_identical(rows: int = 1_500) -> bool:
    """Whether scores equal River's over missing, emerging, NaN, bool and reordered features."""
    rng = random.Random(1)
    names = [f"f{i:02}" for i in range(FEATURES)]
    theirs, ours = anomaly.HalfSpaceTrees(25, 8, 100, seed=3), HalfSpaceTrees(25, 8, 100, seed=3)
    for i in range(rows):
        x: dict[str, Any] = {name: rng.random() for name in names}
        for name in names if i else ():
            what = rng.random()
            if what < 0.05:
                del x[name]
            elif what < 0.15:
                x[name] = math.nan if what < 0.1 else what < 0.12
        if rng.random() < 0.2:
            x["emerging"] = 1.0
        shuffled = list(x)
        rng.shuffle(shuffled)
        x = {name: x[name] for name in shuffled}
        if theirs.score_one(x) != ours.score_one(x):
            return False
        theirs.learn_one(x)
        ours.learn_one(x)
    return True


def half_space_trees(rounds: int) -> dict[str, Any]:
    """25 trees of height 8, score and learn each row."""
    matrix = np.random.default_rng(0).random((ROWS, FEATURES))
    names = [f"f{i:02}" for i in range(FEATURES)]
    dicts = [dict(zip(names, row, strict=True)) for row in matrix.tolist()]
    theirs = anomaly.HalfSpaceTrees(25, 8, 250, seed=42)
    single, batched = HalfSpaceTrees(25, 8, 250, seed=42), HalfSpaceTrees(25, 8, 250, seed=42)

    def river() -> None:
        for x in dicts:
            theirs.score_one(x)
            theirs.learn_one(x)

    def one_by_one() -> None:
        for x in dicts:
            single.score_learn_one(x)

    def batches() -> None:
        for a in range(0, ROWS, BATCH):
            batched.score_learn_many(matrix[a : a + BATCH], features=names)

    us = taking_turns({"river": (river, ROWS), "single": (one_by_one, ROWS), "batch256": (batches, ROWS)}, rounds)
    saving = taking_turns({"checkpoint": (lambda: [batched.checkpoint() for _ in range(200)], 200)}, rounds)
    return {
        "identical": ragged_identical(),
        "ratio_batch256": round(us["river"] / us["batch256"], 1),
        "ratio_single": round(us["river"] / us["single"], 1),
        "checkpoint_ms": round(saving["checkpoint"] / 1000, 4),
        "us_per_event": {name: round(value, 2) for name, value in us.items()},
    }


def trained_scorer() -> tuple[Scorer, np.ndarray[Any, np.dtype[np.float64]]]:
    """The composite with as many inputs as the stream has, and default parameters, after two weeks of made-up traffic."""
    rng = np.random.default_rng(1)
    n = 40_000
    matrix = np.exp(rng.normal(0, 1, (n, INPUTS)))
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    known = np.nan_to_num(matrix, nan=1.0)
    risk = (
        np.log(known[:, 0]) * (known[:, 1] > 1)
        + np.log(known[:, 2])
        + 0.5 * np.sin(3 * known[:, 3])
        + rng.normal(0, 0.5, n)
    )
    fraud = risk > np.quantile(risk, 0.98)
    config = EnsembleConfig(maturity_us=DAY, boosted=BoostedWindowConfig())
    learner = Learner(genesis([Input(f"f{j}", "log") for j in range(INPUTS)], {}, -4.0, ["all"], seed=42), config)
    ids, at = rng.integers(1, 2**63, n, dtype=np.uint64), np.arange(n, dtype=np.int64) * (14 * DAY // n)
    learner.observe(ids, at, matrix, np.zeros(n, np.uint8), np.zeros(n, np.bool_))
    for i in np.flatnonzero(fraud).tolist():
        learner.label(int(ids[i]), 15 * DAY, True, "chargeback")
    learner.advance(15 * DAY)
    scorer = Scorer(learner.close_round(with_state=False))
    return scorer, matrix


def ensemble(rounds: int) -> dict[str, Any]:
    """Scoring with the whole composite, by batch size."""
    scorer, matrix = trained_scorer()

    def scoring(batch: int) -> Callable[[], None]:
        group = np.zeros(batch, np.uint8)

        def run() -> None:
            for a in range(0, ROWS, batch):
                scorer.score(matrix[a : a + batch], group)

        return run

    us = taking_turns({f"batch{n}": (scoring(n), ROWS) for n in (1, 16, 256)}, rounds)
    explaining = taking_turns(
        {"explain": (lambda: scorer.contributions(matrix[:256], np.zeros(256, np.uint8)), 256)}, rounds
    )
    return {
        "inputs": INPUTS,
        "trees": int((scorer.trees.root[:, 1] > 0).sum()),
        "us_per_event": {name: round(value, 2) for name, value in {**us, **explaining}.items()},
    }


def boosted_trees(rounds: int) -> dict[str, Any]:
    """128 trees of depth 5 on as many columns as the stream has: our walk against LightGBM's predict, and whether they agree in every bit."""
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(20_000, INPUTS))
    label = (matrix[:, 0] + matrix[:, 1] * matrix[:, 2] + rng.normal(size=20_000) > 2.0).astype(float)
    settings = {
        "objective": "binary",
        "num_leaves": 15,
        "max_depth": 5,
        "learning_rate": 0.047,
        "num_threads": 1,
        "verbosity": -1,
    }
    booster = lightgbm.train(settings, lightgbm.Dataset(matrix, label), 128)
    trees = BoostedTrees.from_lightgbm(booster.model_to_string())
    batch = matrix[:BATCH].copy()
    us = taking_turns(
        {
            "lightgbm": (lambda: booster.predict(batch, raw_score=True, num_threads=1), BATCH),
            "walk": (lambda: trees.margin(batch), BATCH),
        },
        rounds * 20,
    )
    identical = trees.margin(batch).tobytes() == booster.predict(batch, raw_score=True, num_threads=1).tobytes()
    return {"identical": identical, "us_per_event": {name: round(value, 2) for name, value in us.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="rounds to take medians over (default 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on the last line")
    arguments = parser.parse_args()
    results = {
        "half_space_trees": half_space_trees(arguments.rounds),
        "boosted_trees": boosted_trees(arguments.rounds),
        "ensemble": ensemble(arguments.rounds),
    }
    if arguments.json:
        print(json.dumps(results))
        return
    for name, result in results.items():
        print(name)
        for key, value in result.items():
            print(f"  {key:<16} {value}")


if __name__ == "__main__":
    main()
