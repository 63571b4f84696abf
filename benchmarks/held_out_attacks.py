"""Attacks that nobody has labelled: each kind's labels never arrive, and what is found of it all the same is counted.

    python benchmarks/held_out_attacks.py --seed 11 --events 150000 --json

A simulated bank's payments go through the core of ``riskstream replay`` once with all labels and once for each attack
kind without that kind's: its payments stay unlabelled and mature as genuine, as an attack that nobody notices does. In the
test period (the last part of the stream) every score gets the line above which a share of the genuine payments lies,
the same share for all, and recall is the share of the kind's payments above it:

- supervised: the models' own risk (linear, trees, stacked and calibrated), no rule.
- risk: ``risk_ppm`` as decided, rules and familiarity within.
- anomaly: ``anomaly_ppm``, half-space trees that see no label.
- together: ``risk`` with most of the share, ``anomaly`` with the rest (``--anomaly-part``).
- anomaly_alone: above the anomaly's line and below the supervised one.

``anomaly_rate`` is how many genuine payments are at least as unusual as stated, in the test period and in its weeks.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
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
from stream.cli.simulate import write_files
from stream.replay.measure.detection import DAY_US, WEEK
from stream.replay.source.sources import open_source
from stream.replay.walk.engine import FileReplay, ReplaySettings, WalkedRun
from stream.replay.walk.file_walk import replay
from stream.replay.walk.schedule import parse_delay
from stream.simulate import SimulationConfig

Array = npt.NDArray[Any]
TAIL_RATES = (0.05, 0.01, 0.001, 0.0001)
ALL_LABELS = ""
FIGURES = ("supervised", "risk", "anomaly", "together", "anomaly_alone")


@dataclass
class Scores:
    """What one replay said of each payment, in order: int64[n] each."""

    parts: list[tuple[Array, ...]] = field(default_factory=list)

    def __call__(self, step: WalkedRun) -> None:
        decided = step.decided
        group = np.ascontiguousarray(decided.verdicts["scenario"])
        self.parts.append(
            (
                np.ascontiguousarray(step.transactions["event_time"]),
                step.decider.scorer.score(decided.inputs, group)[0],
                decided.verdicts["risk_ppm"].astype(np.int64),
                decided.anomaly_ppm.astype(np.int64),
            )
        )

    def joined(self) -> tuple[Array, ...]:
        """Times, log-odds of the models x 1000, risk and anomaly in ppm."""
        return tuple(np.concatenate(column) for column in zip(*self.parts, strict=True))


@dataclass(frozen=True)
class Period:
    """The test period of one replay; arrays of its payments."""

    time: Array
    supervised: Array
    risk: Array
    anomaly: Array
    attack: Array
    """Kind of each payment's attack, empty for a genuine one."""

    def recall(self, kind: str, rate: float, anomaly_part: float) -> dict[str, float]:
        """Shares of the kind's payments that are found, by figure, with ``rate`` of the genuine payments above each line."""
        genuine, wanted = self.attack == "", self.attack == kind
        above = {name: getattr(self, name) >= line(getattr(self, name)[genuine], rate) for name in FIGURES[:3]}
        most = self.risk >= line(self.risk[genuine], rate * (1 - anomaly_part))
        rest = self.anomaly >= line(self.anomaly[genuine], rate * anomaly_part)
        above["together"] = most | rest
        above["anomaly_alone"] = above["anomaly"] & ~above["supervised"]
        return {name: round(float(above[name][wanted].mean()), 4) for name in FIGURES}

    def anomaly_rates(self) -> dict[str, dict[str, float]]:
        """Share of genuine payments at least as unusual as each of :data:`TAIL_RATES` says: in all, least and most in a week."""
        genuine = self.attack == ""
        week = ((self.time - self.time[0]) // (WEEK * DAY_US))[genuine]
        found = {}
        for rate in TAIL_RATES:
            odd = self.anomaly[genuine] >= round(1e6 * (1 - rate))
            weekly = np.bincount(week, odd) / np.maximum(np.bincount(week), 1)
            whole = np.bincount(week) >= np.median(np.bincount(week)) / 2
            found[f"{rate:g}"] = {
                "in_all": round(float(odd.mean()), 6),
                "least_in_a_week": round(float(weekly[whole].min()), 6),
                "most_in_a_week": round(float(weekly[whole].max()), 6),
            }
        return found


def line(genuine: Array, rate: float) -> int:
    """The least score with at most ``rate`` of the genuine payments at or above it.

    >>> line(np.array([1, 2, 3, 3]), 0.5), line(np.array([1, 2, 3, 3]), 0.25)
    (3, 4)
    """
    ordered = np.sort(genuine)[::-1]
    most = int(rate * len(ordered))
    if most == 0:
        return int(ordered[0]) + 1
    last = int(ordered[most - 1])
    return last if most == len(ordered) or ordered[most] < last else last + 1


def run(held_out: str, data: Path, truth: Path, settings: ReplaySettings) -> tuple[Array, ...]:
    """One replay; the labels of the kind ``held_out`` never arrive (none held out for the empty word)."""
    with tempfile.TemporaryDirectory() as directory:
        labels = Path(directory) / "labels.csv"
        labels.write_text("".join(_told(truth, held_out)))
        scores = Scores()
        replay(open_source(data, None, labels), FileReplay(settings, shipped()), [scores])
    return scores.joined()


def _told(truth: Path, held_out: str) -> list[str]:
    """The truth file's lines without the label of what is held out."""
    rows = [row.split(",") for row in truth.read_text().splitlines()]
    id_at, fraud_at, attack_at = (rows[0].index(name) for name in ("transaction_id", "fraud", "attack"))
    told = ["transaction_id,fraud,attack\n"]
    for row in rows[1:]:
        silent = bool(held_out) and row[attack_at] == held_out
        told.append(f"{row[id_at]},{'' if silent else row[fraud_at]},{'' if silent else row[attack_at]}\n")
    return told


def attacks_of(truth: Path) -> Array:
    """Kind of attack of each payment, in order; empty for a genuine one."""
    rows = [row.split(",") for row in truth.read_text().splitlines()]
    fraud_at, attack_at = rows[0].index("fraud"), rows[0].index("attack")
    return np.array([row[attack_at] if row[fraud_at] == "1" else "" for row in rows[1:]])


def period(scores: tuple[Array, ...], attack: Array, test_share: float) -> Period:
    """The last part of a replay."""
    if len(scores[0]) != len(attack):
        raise click.ClickException(f"{len(scores[0])} payments decided of {len(attack)}: scores and truth do not meet")
    start = len(attack) - int(test_share * len(attack))
    return Period(*(column[start:] for column in scores), attack[start:])


def measure(scores: dict[str, tuple[Array, ...]], attack: Array, shape: dict[str, Any]) -> dict[str, Any]:
    """All figures as JSON values; ``scores`` by held-out kind."""
    document: dict[str, Any] = {"kinds": {}}
    totals: dict[str, list[tuple[int, dict[str, float]]]] = {}
    for kind in sorted(name for name in scores if name):
        tested = period(scores[kind], attack, shape["test_share"])
        frauds = int(np.count_nonzero(tested.attack == kind))
        if not frauds:
            continue
        document["kinds"][kind] = {"frauds": frauds}
        for rate in shape["rates"]:
            found = tested.recall(kind, rate, shape["anomaly_part"])
            document["kinds"][kind][f"{rate:g}"] = found
            totals.setdefault(f"{rate:g}", []).append((frauds, found))
    document["all"] = {
        rate: {name: round(float(np.average([f[name] for _, f in rows], weights=[n for n, _ in rows])), 4) for name in FIGURES}
        for rate, rows in totals.items()
    }  # fmt: skip
    document["mean_of_kinds"] = {
        rate: {name: round(float(np.mean([found[name] for _, found in rows])), 4) for name in FIGURES}
        for rate, rows in totals.items()
    }
    if ALL_LABELS in scores:
        document["anomaly_rate"] = period(scores[ALL_LABELS], attack, shape["test_share"]).anomaly_rates()
    return document


def show(document: dict[str, Any], rates: tuple[float, ...], console: Console) -> None:
    """The tables for a person."""
    for rate in rates:
        table = Table(
            title=f"recall of a kind whose labels never came; {100 * rate:g} % of genuine payments above the line"
        )
        for name in ("held out", "frauds", *FIGURES):
            table.add_column(name, justify="left" if name == "held out" else "right")
        rows = [(kind, str(row["frauds"]), row[f"{rate:g}"]) for kind, row in document["kinds"].items()]
        rows += [
            ("all", "", document["all"][f"{rate:g}"]),
            ("mean of kinds", "", document["mean_of_kinds"][f"{rate:g}"]),
        ]
        for kind, frauds, found in rows:
            table.add_row(kind, frauds, *(f"{100 * found[name]:.1f} %" for name in FIGURES))
        console.print(table)
    if "anomaly_rate" in document:
        table = Table(title="genuine payments at least as unusual as stated")
        for name in ("stated", "in all", "least in a week", "most in a week"):
            table.add_column(name, justify="right")
        for rate_text, row in document["anomaly_rate"].items():
            table.add_row(f"{100 * float(rate_text):g} %", *(f"{100 * value:.3f} %" for value in row.values()))
        console.print(table)


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--seed", default=11, show_default=True, help="Of the simulated bank and of the models.")
@click.option("--events", default=150_000, show_default=True, help="Payments.")
@click.option("--days", default=120, show_default=True, help="Period of the stream.")
@click.option("--fraud-rate", default=0.005, show_default=True, help="Share of payments that are fraud.")
@click.option("--label-delay", default="7d", show_default=True)
@click.option("--test-share", default=0.6, show_default=True, help="The last part of the payments, which is tested.")
@click.option(
    "--rate",
    "rates",
    default=(0.001, 0.005),
    show_default=True,
    multiple=True,
    help="Of genuine payments above the lines.",
)
@click.option("--anomaly-part", default=0.2, show_default=True, help="Of the rate that is the anomaly's in 'together'.")
@click.option("--only", multiple=True, metavar="KIND", help="Kinds to hold out.  [default: all]")
@click.option("--jobs", default=1, show_default=True, help="Replays at a time.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line of stdout.")
def main(
    seed: int, events: int, days: int, fraud_rate: float, label_delay: str, test_share: float, rates: tuple[float, ...],
    anomaly_part: float, only: tuple[str, ...], jobs: int, as_json: bool,
) -> None:  # fmt: skip
    settings = ReplaySettings(parse_delay(label_delay), seed=seed)
    shape = {"test_share": test_share, "rates": rates, "anomaly_part": anomaly_part}
    with tempfile.TemporaryDirectory() as directory, ProcessPoolExecutor(jobs) as pool:
        data, truth = Path(directory) / "bank.jsonl", Path(directory) / "truth.csv"
        write_files(SimulationConfig(seed=seed, events=events, days=days, fraud_rate=fraud_rate), data, truth)
        attack = attacks_of(truth)
        known = sorted(set(attack.tolist()) - {""})
        if unknown := set(only) - set(known):
            raise click.UsageError(f"--only {', '.join(sorted(unknown))}: the stream has {', '.join(known)}")
        runs = [ALL_LABELS, *(only or known)]
        scores = dict(zip(runs, pool.map(partial(run, data=data, truth=truth, settings=settings), runs), strict=True))
    document = {**measure(scores, attack, shape), "seed": seed, "events": events, "days": days, **shape}
    show(document, rates, Console(stderr=as_json))
    if as_json:
        click.echo(orjson.dumps(document).decode())


if __name__ == "__main__":
    main()
