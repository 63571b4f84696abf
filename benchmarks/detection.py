"""Detection on a labelled history, all competitors in one run: River, the book's batch models, LightGBM, riskstream.

    python benchmarks/detection.py --data cards.parquet --columns deploy/maps/handbook.yaml --test-weeks 2018-07-04,2018-07-11

Prequential, with delayed labels: every model scores an event with what was known when it happened, and learns each
label when it is due. Figures follow the protocol of known cards (``stream/replay/measure/detection.py``) and are means of the
test weeks. ``us_per_event`` is CPU of scoring and learning, features left out; a batch model's fits are shared among
the events it scored.

- river_half_space_trees: MinMaxScaler | HalfSpaceTrees(25, 8, 2500) on riskstream's streaming features, no labels.
- river_logistic: StandardScaler | LogisticRegression on the same; learns an event when its label is due.
- handbook_logistic, handbook_random_forest: the *Fraud Detection Handbook*'s features and split (7 days to train, 7 of
  delay, 7 to test), refit weekly. Need scikit-learn.
- lightgbm_nightly: LightGBM on the streaming features of 28 days, refit every night.
- riskstream: as ``riskstream replay`` scores.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this script lies a rules.py that would hide the package

import click
import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from rules.policy import shipped
from stream.core.features import FEATURES, INDEX, MODEL_COLUMNS
from stream.replay.measure.detection import DAY_US, KNOWN_FROM, WEEK, Scored, mean, measure, without_known_cards
from stream.replay.source.column_map import load_column_map
from stream.replay.source.labels import FRAUD
from stream.replay.source.sources import open_source
from stream.replay.walk.engine import FileReplay, ReplaySettings, WalkedRun
from stream.replay.walk.file_walk import replay
from stream.replay.walk.schedule import parse_delay

Array = np.ndarray[Any, Any]
LIGHTGBM_DAYS = 28
RIVER_DAYS = 56
"""River's models start so many days before the first test week: one by one, they are slow."""
NAMES = tuple(FEATURES[column].name for column in MODEL_COLUMNS)


class TimedReplay(FileReplay):
    """A replay that knows how much CPU its models took."""

    learning_s = 0.0

    def _observe(self, decided: Any) -> None:
        begun = time.process_time()
        super()._observe(decided)
        self.learning_s += time.process_time() - begun

    def _turn(self, bucket: int) -> None:
        begun = time.process_time()
        super()._turn(bucket)
        self.learning_s += time.process_time() - begun


@dataclass
class Capture:
    """Keeps scores and truth of all events, and the streaming features from a day on."""

    from_us: int
    parts: list[dict[str, Array]] = field(default_factory=list)
    scoring_s: float = 0.0

    def __call__(self, step: WalkedRun) -> None:
        assert step.labels is not None, "detection needs labels"
        transactions = step.decided.received.transactions
        event_time = np.ascontiguousarray(transactions["event_time"])
        inputs = step.decided.inputs
        begun = time.process_time()
        step.decider.scorer.score(inputs, np.ascontiguousarray(step.decided.verdicts["scenario"]))
        self.scoring_s += time.process_time() - begun
        part = {
            "event_time": event_time,
            "account": np.ascontiguousarray(transactions["account_hash"]),
            "payee": np.ascontiguousarray(transactions["payee_hash"]),
            "amount": step.decided.received.features[:, INDEX["amount_minor"]].copy(),
            "fraud": step.labels.fraud == FRAUD,
            "risk": step.decided.verdicts["risk_ppm"] / 1e6,
            "inputs": inputs[event_time >= self.from_us].astype(np.float32),
        }
        self.parts.append(part)


@dataclass(frozen=True)
class History:
    """A whole stream; arrays of n events, ``inputs`` of the last ones, from ``first_input`` on."""

    event_time: Array
    account: Array
    payee: Array
    amount: Array
    fraud: Array
    risk: Array
    inputs: Array
    delay_us: int

    @property
    def first_input(self) -> int:
        return len(self.event_time) - len(self.inputs)

    @property
    def day(self) -> Array:
        return self.event_time // DAY_US

    def inputs_of(self, chosen: Array) -> Array:
        """Streaming features of some of the events that have them."""
        return self.inputs[chosen[self.first_input :]]


@dataclass
class Result:
    """One model: its score of each event (NaN where it made none), and its cost."""

    score: Array
    us_per_event: float


def record(
    files: tuple[Path, ...], columns: Path | None, labels: Path | None, delay_us: int, weeks: list[int]
) -> tuple[History, Result]:
    """Run riskstream over the files as one stream, as ``riskstream replay`` would over one file of them all."""
    engine = TimedReplay(ReplaySettings(delay_us), shipped())
    days = max(RIVER_DAYS, LIGHTGBM_DAYS + WEEK + delay_us // DAY_US + 1)
    capture = Capture((weeks[0] - days) * DAY_US)
    column_map = None if columns is None else load_column_map(columns)
    for file in files:
        replay(open_source(file, column_map, labels), engine, [capture])
    joined = {name: np.concatenate([part[name] for part in capture.parts]) for name in capture.parts[0]}
    history = History(**joined, delay_us=delay_us)
    cost = 1e6 * (engine.learning_s + capture.scoring_s) / len(history.event_time)
    return history, Result(history.risk, cost)


def due(history: History) -> Iterator[tuple[int, list[int]]]:
    """Each event from the first with features on, and those whose labels are due before it."""
    waiting: deque[int] = deque()
    times = history.event_time.tolist()
    for event in range(history.first_input, len(times)):
        known = []
        while waiting and times[waiting[0]] + history.delay_us <= times[event]:
            known.append(waiting.popleft())
        yield event, known
        waiting.append(event)


def rows_of(history: History) -> Callable[[int], dict[str, float]]:
    """River's way of one event: a dict, a missing value as 0."""
    return lambda event: dict(
        zip(NAMES, np.nan_to_num(history.inputs[event - history.first_input]).tolist(), strict=True)
    )


def river_half_space_trees(history: History, weeks: list[int]) -> Result:
    from river import anomaly, compose, preprocessing

    trees = anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=2500, seed=42)
    scaler, row = preprocessing.MinMaxScaler(), rows_of(history)
    model = compose.Pipeline(scaler, trees)
    score = np.full(len(history.event_time), np.nan)
    begun = time.process_time()
    for event in range(history.first_input, len(score)):
        values = row(event)
        score[event] = model.score_one(values)
        model.learn_one(values)
    return Result(score, 1e6 * (time.process_time() - begun) / len(history.inputs))


def river_logistic(history: History, weeks: list[int]) -> Result:
    from river import compose, linear_model, preprocessing

    model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    row, fraud = rows_of(history), history.fraud.tolist()
    score = np.full(len(history.event_time), np.nan)
    begun = time.process_time()
    for event, known in due(history):
        for one in known:
            model.learn_one(row(one), fraud[one])
        score[event] = model.predict_proba_one(row(event)).get(True, 0.0)
    return Result(score, 1e6 * (time.process_time() - begun) / len(history.inputs))


def window(group: Array, event_time: Array, value: Array, days: float, until_days: float = 0.0) -> Array:
    """Sum of ``value`` over a group's events within ``days`` that end ``until_days`` before each event, it included at 0."""
    _, code = np.unique(group, return_inverse=True)
    span = np.int64(event_time.max() - event_time.min() + 400 * DAY_US)
    place = code * span + (event_time - event_time.min() + 200 * DAY_US)
    order = np.argsort(place, kind="stable")
    ordered = place[order]
    sums = np.concatenate(([0.0], np.cumsum(value[order])))
    end = np.searchsorted(ordered, place - np.int64(until_days * DAY_US), side="right")
    start = np.searchsorted(ordered, place - np.int64((days + until_days) * DAY_US), side="right")
    total: Array = sums[end] - sums[start]
    return total


def handbook_features(history: History) -> Array:
    """The book's features (chapter 3), float64[n, 15]."""
    time_us, ones = history.event_time, np.ones(len(history.event_time))
    weekday, hour = (history.day + 3) % 7, time_us % DAY_US // 3_600_000_000
    columns = [history.amount, (weekday >= 5).astype(float), (hour <= 6).astype(float)]
    for days in (1, 7, 30):
        count = window(history.account, time_us, ones, days)
        columns += [count, window(history.account, time_us, history.amount, days) / count]
    for days in (1, 7, 30):
        count = window(history.payee, time_us, ones, days, WEEK)
        frauds = window(history.payee, time_us, history.fraud.astype(float), days, WEEK)
        columns += [count, np.divide(frauds, count, out=np.zeros(len(count)), where=count > 0)]
    return np.column_stack(columns)


def weekly(history: History, weeks: list[int], make: Callable[[], Any]) -> Result:
    """The book's protocol: train on 7 days, 7 days of delay, test on 7 days."""
    features, day = handbook_features(history), history.day
    score, scored = np.full(len(day), np.nan), 0
    begun = time.process_time()
    for week in weeks:
        train = (day >= week - 2 * WEEK) & (day < week - WEEK)
        test = (day >= week) & (day < week + WEEK)
        model = make().fit(features[train], history.fraud[train])
        score[test] = model.predict_proba(features[test])[:, 1]
        scored += int(np.count_nonzero(test))
    return Result(score, 1e6 * (time.process_time() - begun) / max(scored, 1))


def handbook_logistic(history: History, weeks: list[int]) -> Result:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return weekly(history, weeks, lambda: make_pipeline(StandardScaler(), LogisticRegression(random_state=0)))


def handbook_random_forest(history: History, weeks: list[int]) -> Result:
    from sklearn.ensemble import RandomForestClassifier

    return weekly(history, weeks, lambda: RandomForestClassifier(n_estimators=100, random_state=0, n_jobs=1))


def lightgbm_nightly(history: History, weeks: list[int]) -> Result:
    import lightgbm

    parameters = {
        "objective": "binary", "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 50, "feature_fraction": 0.7,
        "num_threads": 1, "deterministic": True, "seed": 42, "verbosity": -1,
    }  # fmt: skip
    day = history.day
    score, scored = np.full(len(day), np.nan), 0
    begun = time.process_time()
    for today in (week + offset for week in weeks for offset in range(WEEK)):
        until = today * DAY_US - history.delay_us
        train = (history.event_time < until) & (history.event_time >= until - LIGHTGBM_DAYS * DAY_US)
        test = day == today
        rows = lightgbm.Dataset(history.inputs_of(train), history.fraud[train])
        model = lightgbm.train(parameters, rows, num_boost_round=150)
        score[test] = model.predict(history.inputs_of(test), num_threads=1)
        scored += int(np.count_nonzero(test))
    return Result(score, 1e6 * (time.process_time() - begun) / max(scored, 1))


COMPETITORS: dict[str, Callable[[History, list[int]], Result]] = {
    "river_half_space_trees": river_half_space_trees,
    "river_logistic": river_logistic,
    "handbook_logistic": handbook_logistic,
    "handbook_random_forest": handbook_random_forest,
    "lightgbm_nightly": lightgbm_nightly,
}


def figures(history: History, result: Result, weeks: list[int]) -> dict[str, Any]:
    """The protocol's means over the test weeks."""
    first = (weeks[0] - KNOWN_FROM) * DAY_US
    chosen = history.event_time >= first
    scored = Scored(history.day[chosen], history.account[chosen], result.score[chosen], history.fraud[chosen])
    found = mean(measure(without_known_cards(scored, week)) for week in weeks)
    measures = {name: round(getattr(found, name), 5) for name in ("auc", "ap", "cp100", "ece")}
    return {**measures, "us_per_event": round(result.us_per_event, 3)}


def test_weeks(text: str) -> list[int]:
    """First days of the test weeks, days since the epoch."""
    try:
        return sorted(int(np.datetime64(day.strip(), "D").astype(np.int64)) for day in text.split(","))
    except ValueError as error:
        raise click.UsageError(f"--test-weeks {text}: dates like 2018-08-08,2018-08-15") from error


def show(models: dict[str, Any], console: Console) -> None:
    """The table for a person."""
    table = Table(title="means of the test weeks, known cards left out")
    for name in ("model", "AUC", "AP", "CP@100", "ECE", "µs/event"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for name, row in models.items():
        texts = [f"{row[key]:.3f}" for key in ("auc", "ap", "cp100")]
        table.add_row(name, *texts, f"{row['ece']:.4f}", f"{row['us_per_event']:,.1f}")
    console.print(table)


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option(
    "--data",
    "files",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    required=True,
    help="Labelled file; several are one stream.",
)
@click.argument("more", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--columns", type=click.Path(exists=True, path_type=Path), help="Column map with labels.")
@click.option("--labels", type=click.Path(exists=True, path_type=Path), help="TRUTH file; else the map's labels.")
@click.option(
    "--test-weeks", "weeks_text", required=True, metavar="DATES", help="First days of the weeks, comma between."
)
@click.option("--label-delay", default="7d", show_default=True)
@click.option("--only", multiple=True, type=click.Choice(list(COMPETITORS)), help="Competitors to run.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line of stdout.")
def main(
    files: tuple[Path, ...], more: tuple[Path, ...], columns: Path | None, labels: Path | None, weeks_text: str,
    label_delay: str, only: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    weeks = test_weeks(weeks_text)
    console = Console(stderr=as_json)
    history, own = record((*files, *more), columns, labels, parse_delay(label_delay), weeks)
    if not int(history.day[0]) <= weeks[0] - KNOWN_FROM or weeks[-1] + WEEK > int(history.day[-1]) + 1:
        raise click.UsageError("the data must begin 14 days before the first test week and reach the end of the last")
    models = {}
    for name in only or COMPETITORS:
        try:
            models[name] = figures(history, COMPETITORS[name](history, weeks), weeks)
        except ModuleNotFoundError as error:
            console.print(f"{name}: left out: {error.name} is not installed (dependency group benchmarks)")
    models["riskstream"] = figures(history, own, weeks)
    show(models, console)
    if as_json:
        click.echo(orjson.dumps({"models": models}).decode())


if __name__ == "__main__":
    main()
