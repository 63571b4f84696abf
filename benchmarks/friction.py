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
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # beside this script lies a rules.py that would hide the package

import click
import numpy as np
import numpy.typing as npt
import orjson
from rich.console import Console
from rich.table import Table

from rules.policy import shipped
from stream.replay.measure.baselines import ENGINE, Baselines, baseline_scores, truth_of
from stream.replay.measure.equal_recall import Periods, at_equal_recall
from stream.replay.measure.tally import Tally
from stream.replay.source.column_map import load_column_map
from stream.replay.source.sources import open_source
from stream.replay.walk.engine import DAY_US, FileReplay, ReplaySettings
from stream.replay.walk.file_walk import replay
from stream.replay.walk.schedule import parse_delay


def run(data: Path, labels: Path | None, columns: Path | None, settings: ReplaySettings) -> npt.NDArray[np.void]:
    """One replay of the file; its payments whose label is known, ``stream.replay.measure.baselines.KEPT``."""
    source = open_source(data, None if columns is None else load_column_map(columns), labels)
    if not source.labelled:
        raise click.UsageError("friction needs labels: --labels TRUTH, or labels in the column map")
    baselines = Baselines(settings.label_delay_us, limit=None)
    replay(source, FileReplay(settings, shipped()), [Tally(seed=settings.seed, baselines=baselines).add])
    return baselines.payments.copy()


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
    "--threshold-from",
    metavar="DATE",
    help="Thresholds are chosen from here.  [default: the last third before the test]",
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
    truth = truth_of(known)
    try:
        split = Periods.of(truth.event_time, delay_us, _instant(threshold_from), _instant(test_from))
    except ValueError as error:
        raise click.UsageError(f"--threshold-from, --test-from: {error}") from error
    scores = {
        ENGINE: known["risk_ppm"].astype(np.float64),
        "without_familiarity": blind["risk_ppm"].astype(np.float64),
        **baseline_scores(known, truth.fraud, split.learned),
    }
    document = {
        "data": data.name,
        "days": round(float(np.ptp(truth.event_time)) / DAY_US, 1),
        **at_equal_recall(scores, truth, split, seed),
    }
    show(document, Console(stderr=as_json))
    if as_json:
        click.echo(orjson.dumps(document).decode())


if __name__ == "__main__":
    main()
