"""Friction at equal recall: riskstream beside itself without familiarity, a scorecard and a blanket amount rule.

    python benchmarks/friction.py --data bank.jsonl --labels truth.csv --json

Every engine gives each payment a score. For each recall (.60, .70, .80 of fraud events) its threshold is chosen on the
period before the test period, then applied to the test period as it is; what recall that gives there stands beside the
friction. Familiar pairs are counted from input and truth. Intervals resample whole accounts.

- riskstream: ``risk_ppm`` of a replay, labels late by the delay.
- without_familiarity: the same of ``replay --without-familiarity``.
- scorecard: points by weight of evidence (Siddiqi, Credit Risk Scorecards, 2006) over what a payment says itself and how
  much the account paid today; fitted on all that was labelled before the threshold period. No habits, no pairs.
- blanket: the amount in the policy's reference currency.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this script lies a rules.py that would hide the package

import click
import numpy as np
import orjson
from rich.console import Console
from rich.table import Table

from rules.policy import shipped
from stream.core.features import INDEX
from stream.replay.column_map import load_column_map
from stream.replay.engine import DAY_US, FileReplay, ReplaySettings, Step
from stream.replay.familiar_pairs import FamiliarPairs
from stream.replay.friction import (
    RECALLS,
    Friction,
    Truth,
    bootstrap,
    measure,
    threshold_at_recall,
    touched_again,
)
from stream.replay.labels import FRAUD, UNLABELLED
from stream.replay.run import replay
from stream.replay.schedule import parse_delay
from stream.replay.sources import open_source

Array = np.ndarray[Any, Any]
CARD = ("amount_reference", "hour", "channel", "payee_kind", "cross_border", "abroad", "device_new", "count_day", "sum_day", "name_check")  # fmt: skip
"""Columns the scorecard gives points for."""
BINS = 8
SMOOTHING = 0.5


@dataclass
class Capture:
    """Keeps what a measurement needs of every step."""

    parts: list[dict[str, Array]] = field(default_factory=list)

    def __call__(self, step: Step) -> None:
        assert step.labels is not None, "friction needs labels"
        transactions = step.decided.received.transactions
        self.parts.append(
            {
                "event_time": np.ascontiguousarray(transactions["event_time"]),
                "account": np.ascontiguousarray(transactions["account_hash"]),
                "payee": np.ascontiguousarray(transactions["payee_hash"]),
                "fraud": step.labels.fraud == FRAUD,
                "known": step.labels.fraud != UNLABELLED,
                "risk": step.decided.verdicts["risk_ppm"].astype(np.float64),
                "card": step.decided.received.features[:, [INDEX[name] for name in CARD]].astype(np.float32),
            }
        )

    def columns(self) -> dict[str, Array]:
        """All steps, one after the other."""
        return {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}


@dataclass(frozen=True)
class Periods:
    """Where learning ends, where thresholds are chosen, where they are tested; bool[n] each."""

    learned: Array
    chosen: Array
    tested: Array
    starts: tuple[int, int]


def periods(event_time: Array, delay_us: int, threshold_from: int | None, test_from: int | None) -> Periods:
    """The last quarter is tested, the one before it chooses thresholds, unless told otherwise; times in µs."""
    first, last = int(event_time.min()), int(event_time.max())
    test = first + (last - first) * 3 // 4 if test_from is None else test_from
    threshold = first + (last - first) // 2 if threshold_from is None else threshold_from
    if not first < threshold < test <= last:
        raise click.UsageError("the data must begin before --threshold-from, and that lie before --test-from")
    return Periods(
        event_time < threshold - delay_us,
        (event_time >= threshold) & (event_time < test),
        event_time >= test,
        (threshold, test),
    )


def run(data: Path, labels: Path | None, columns: Path | None, settings: ReplaySettings) -> dict[str, Array]:
    """One replay of the file; payments whose label is not known are left out."""
    source = open_source(data, None if columns is None else load_column_map(columns), labels)
    if not source.labelled:
        raise click.UsageError("friction needs labels: --labels TRUTH, or labels in the column map")
    capture = Capture()
    replay(source, FileReplay(settings, shipped()), [capture])
    kept = capture.columns()
    known = kept.pop("known")
    return {name: column[known] for name, column in kept.items()}


def scorecard(card: Array, fraud: Array, learned: Array) -> Array:
    """Sum of weights of evidence, float64[n]: bins are quantiles of the learned period, a missing value is a bin."""
    total = np.zeros(len(card))
    for column in card.T:
        known = column[learned & ~np.isnan(column)]
        edges: Array = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.zeros(0)
        place = np.where(np.isnan(column), BINS, np.searchsorted(edges, column, side="right"))
        bad = np.bincount(place[learned & fraud], minlength=BINS + 1) + SMOOTHING
        good = np.bincount(place[learned & ~fraud], minlength=BINS + 1) + SMOOTHING
        total += np.log((bad / bad.sum()) / (good / good.sum()))[place]
    return total


def figures(score: Array, truth: Truth, split: Periods, recall: float, seed: int) -> dict[str, Any]:
    """One engine at one recall."""
    threshold = threshold_at_recall(score[split.chosen], truth.fraud[split.chosen], recall)
    tested = truth.where(split.tested)
    touched = score[split.tested] >= threshold
    friction: Friction = measure(touched, tested)
    intervals = bootstrap(touched, tested, seed)
    return {
        "touched_per_fraud": _number(friction.touched_per_fraud),
        "per_10k": _number(friction.per_10k),
        "familiar_per_10k": _number(friction.familiar_per_10k),
        "familiar_recall": _number(friction.familiar_recall),
        "recall": _number(friction.recall),
        "touched": friction.touched,
        "familiar_touched": friction.familiar_touched,
        "caught": friction.caught,
        "touched_again_7d": _number(touched_again(touched, tested)),
        "interval95": {name: [_number(span.low), _number(span.high)] for name, span in intervals.items()},
        "threshold": _number(threshold),
        "own_threshold": own_threshold(score[split.tested], tested, recall),
    }


def own_threshold(score: Array, tested: Truth, recall: float) -> dict[str, Any]:
    """The same at exactly this recall, by the test period's own quantile: what an outside check may take."""
    friction = measure(score >= threshold_at_recall(score, tested.fraud, recall), tested)
    names = ("touched_per_fraud", "per_10k", "familiar_per_10k", "familiar_recall")
    return {name: _number(getattr(friction, name)) for name in names}


def _number(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def show(document: dict[str, Any], console: Console) -> None:
    """The table for a person."""
    table = Table(title=f"{document['data']}, tested from {document['test_from']}")
    for name in (
        "recall",
        "engine",
        "found",
        "touched per fraud",
        "per 10,000",
        "familiar per 10,000",
        "familiar found",
    ):
        table.add_column(name, justify="left" if name == "engine" else "right")
    for recall, engines in document["recall"].items():
        for name, row in engines.items():
            values = (
                row["recall"],
                row["touched_per_fraud"],
                row["per_10k"],
                row["familiar_per_10k"],
                row["familiar_recall"],
            )
            table.add_row(recall, name, *("-" if value is None else f"{value:,.2f}" for value in values))
    console.print(table)


def _instant(text: str | None) -> int | None:
    return None if text is None else int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True, help="CSV, JSONL or Parquet.")
@click.option("--labels", type=click.Path(exists=True, path_type=Path), help="TRUTH file; else the map's labels.")
@click.option("--columns", type=click.Path(exists=True, path_type=Path), help="Column map.")
@click.option("--label-delay", default="7d", show_default=True)
@click.option(
    "--threshold-from", metavar="DATE", help="Thresholds are chosen from here.  [default: half of the period]"
)
@click.option("--test-from", metavar="DATE", help="The test period.  [default: the last quarter]")
@click.option("--seed", default=42, show_default=True, help="Of models and intervals.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line of stdout.")
def main(
    data: Path, labels: Path | None, columns: Path | None, label_delay: str,
    threshold_from: str | None, test_from: str | None, seed: int, as_json: bool,
) -> None:  # fmt: skip
    delay_us = parse_delay(label_delay)
    shapes = [ReplaySettings(delay_us, seed=seed, familiarity=familiarity) for familiarity in (True, False)]
    with ProcessPoolExecutor(len(shapes)) as pool:
        known, blind = pool.map(partial(run, data, labels, columns), shapes)
    familiar = FamiliarPairs().walk(known["account"], known["payee"], known["event_time"], ~known["fraud"])
    truth = Truth(known["event_time"], known["account"], known["fraud"], familiar)
    split = periods(truth.event_time, delay_us, _instant(threshold_from), _instant(test_from))
    amount = known["card"][:, CARD.index("amount_reference")].astype(np.float64)
    engines: dict[str, Callable[[], Array]] = {
        "riskstream": lambda: known["risk"],
        "without_familiarity": lambda: blind["risk"],
        "scorecard": lambda: scorecard(known["card"], truth.fraud, split.learned),
        "blanket": lambda: np.nan_to_num(amount),
    }
    scores = {name: score() for name, score in engines.items()}
    tested = truth.where(split.tested)
    document = {
        "data": data.name,
        "days": round(float(np.ptp(truth.event_time)) / DAY_US, 1),
        "threshold_from": str(np.datetime64(split.starts[0], "us"))[:10],
        "test_from": str(np.datetime64(split.starts[1], "us"))[:10],
        "tested": {
            "events": len(tested),
            "frauds": int(tested.fraud.sum()),
            "familiar": int((tested.familiar & ~tested.fraud).sum()),
            "familiar_frauds": int((tested.familiar & tested.fraud).sum()),
        },
        "recall": {
            f"{recall:.2f}": {name: figures(score, truth, split, recall, seed) for name, score in scores.items()}
            for recall in RECALLS
        },
    }
    show(document, Console(stderr=as_json))
    if as_json:
        click.echo(orjson.dumps(document).decode())


if __name__ == "__main__":
    main()
