"""What a line does in its first weeks: friction and recall week by week, at hard simulated banks, under the shipped policy.

    python -m benchmarks.young [--seeds 1,2,3] [--accounts 3000] [--days 150] [--bank young --bank thin] [--json]

Banks are those of ``riskstream simulate --difficulty hard``:

- young: labels seven days late, the history begins with the line.
- untold: the same, but a third of the attacks is never told.
- unlabelled: no label ever.
- thin: every customer pays about seven times a month (a tenth of the payments); labels seven days late.

Beside riskstream stand, on the same payments and labels: a scorecard (weight of evidence) fitted every week and LightGBM
fitted every night on riskstream's own features, each touching as many payments a week as riskstream did: what is compared
is recall at equal friction. Figures are medians over the seeds; CPU stands beside wall time.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import orjson
from rich.console import Console
from rich.table import Table

from rules.ladder import CHALLENGE_LIGHT
from rules.policy import Policy, shipped
from stream.cli.simulate import write_files
from stream.replay.measure.familiar_pairs import FamiliarPairs
from stream.replay.measure.scorecard import scorecard
from stream.replay.measure.tally import caught, is_willing
from stream.replay.source.sources import open_source
from stream.replay.walk.engine import DAY_US, FileReplay, ReplaySettings, WalkedRun
from stream.simulate import SimulationConfig

WEEK = 7
FRAUD_RATE = 0.0018
PER_DAY = 2.1
THIN_PER_DAY = 0.24
"""Payments of an account a day at a thin bank: seven a month."""
EARLY = range(2, 10)
"""Weeks of the figures of a young line; the first is week 1."""
LATE_DAYS = 30
DELAY_DAYS = 7
LIGHTGBM_DAYS = 28
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Lived:
    """What became of a bank's payments, in their order.

    Parameters
    ----------
    day
        int64[n]: days since the first.
    fraud, stopped, touched, familiar
        bool[n]: the truth; caught in the sense of the contract; challenged or stricter; to a familiar payee.
    told
        bool[n]: frauds that the bank hears of.
    card, inputs
        float32[n, ...]: what the scorecard and LightGBM read.
    wall_s, cpu_s
        Of the replay.
    """

    day: npt.NDArray[np.int64]
    fraud: Bools
    stopped: Bools
    touched: Bools
    familiar: Bools
    told: Bools
    card: npt.NDArray[np.float32]
    inputs: npt.NDArray[np.float32]
    wall_s: float
    cpu_s: float


def truth_of(path: Path) -> tuple[Bools, list[str], Bools]:
    """Fraud, attack, and whether the bank ever hears of it, in the file's order."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    fraud = np.array([row["fraud"] == "1" for row in rows])
    return fraud, [row["attack"] for row in rows], np.array([row["told_days"] != "" for row in rows])


@contextmanager
def simulated(config: SimulationConfig) -> Iterator[tuple[Path, Path]]:
    """A bank's two files."""
    with tempfile.TemporaryDirectory() as directory:
        data, truth = Path(directory) / "bank.jsonl", Path(directory) / "truth.csv"
        write_files(config, data, truth)
        yield data, truth


def heard(truth: Path, fraud: Bools, told: Bools) -> Path:
    """A TRUTH file of what the bank hears."""
    path = truth.with_name("heard.csv")
    with truth.open(newline="") as file, path.open("w") as out:
        out.write("transaction_id,fraud\n")
        for row, bad, known in zip(csv.DictReader(file), fraud.tolist(), told.tolist(), strict=True):
            out.write(f"{row['transaction_id']},{int(bad and known)}\n")
    return path


def live(bank: str, config: SimulationConfig, policy: Policy) -> Lived:
    """Replay a bank from its first payment."""
    with simulated(config) as (data, truth):
        fraud, attack, told = truth_of(truth)
        known = told if bank == "untold" else np.full(len(told), bank != "unlabelled")
        labels = None if bank == "unlabelled" else heard(truth, fraud, known)
        engine = FileReplay(ReplaySettings(DELAY_DAYS * DAY_US), policy)
        parts: list[dict[str, Any]] = []
        wall, cpu = time.perf_counter(), time.process_time()
        for chunk in open_source(data, None, labels).chunks():
            parts += [_kept(step) for step in engine.feed(chunk)]
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    if len(columns["rung"]) != len(fraud):
        raise RuntimeError(f"{len(fraud)} payments, {len(columns['rung'])} decided: the truth cannot stand beside them")
    familiar = FamiliarPairs().walk(columns["account"], columns["payee"], columns["time"], ~fraud)
    willing = np.array([is_willing(name) for name in attack])
    return Lived(
        (columns["time"] - columns["time"].min()) // DAY_US, fraud, fraud & caught(columns["rung"], willing),
        columns["rung"] >= CHALLENGE_LIGHT, familiar, fraud & known, columns["card"], columns["inputs"], wall, cpu,
    )  # fmt: skip


def _kept(step: WalkedRun) -> dict[str, Any]:
    transactions = step.transactions
    return {
        "time": transactions["event_time"].copy(),
        "account": transactions["account_hash"].copy(),
        "payee": transactions["payee_hash"].copy(),
        "rung": step.verdicts["rung"].copy(),
        "card": step.card(),
        "inputs": step.decided.inputs.astype(np.float32),
    }


def scorecard_weekly(lived: Lived) -> Floats:
    """Scores of a scorecard fitted at the start of each week on what was labelled by then; NaN before the first fraud."""
    return _fitted(
        lived, WEEK, lambda test, learned: scorecard(lived.card[test | learned], lived.told[test | learned],
                                                     learned[test | learned])[test[test | learned]]
    )  # fmt: skip


def lightgbm_nightly(lived: Lived) -> Floats:
    """Scores of LightGBM fitted every night on the same features; NaN before the first fraud."""
    import lightgbm

    parameters = {
        "objective": "binary", "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 50, "feature_fraction": 0.7,
        "num_threads": 1, "deterministic": True, "seed": 42, "verbosity": -1,
    }  # fmt: skip

    def score(test: Bools, learned: Bools) -> Floats:
        rows = lightgbm.Dataset(lived.inputs[learned], lived.told[learned].astype(np.float64))
        model = lightgbm.train(parameters, rows, num_boost_round=60)
        scores: Floats = model.predict(lived.inputs[test], num_threads=1)
        return scores

    return _fitted(lived, 1, score, LIGHTGBM_DAYS)


def _fitted(lived: Lived, every: int, score: Callable[[Bools, Bools], Floats], memory: int = 10_000) -> Floats:
    scores = np.full(len(lived.day), np.nan)
    for first in range(0, int(lived.day.max()) + 1, every):
        test = (lived.day >= first) & (lived.day < first + every)
        learned = (lived.day < first - DELAY_DAYS) & (lived.day >= first - DELAY_DAYS - memory)
        if test.any() and lived.told[learned].any():
            scores[test] = score(test, learned)
    return scores


def recall_at_equal_friction(lived: Lived, scores: Floats, chosen: Bools) -> float:
    """Recall of scores that touch as many genuine payments of a period as riskstream did; 0 where nothing is scored."""
    chosen = chosen & ~np.isnan(scores)
    genuine = np.sort(scores[chosen & ~lived.fraud])[::-1]
    allowed = int((lived.touched & ~lived.fraud & chosen).sum())
    if not len(genuine) or allowed >= len(genuine):
        return 0.0
    return float((scores[chosen & lived.fraud] > genuine[allowed]).sum())


def figures(lived: Lived, rivals: dict[str, Floats]) -> dict[str, Any]:
    """Friction and recall by week, of the early weeks and of the last 30 days."""
    week = lived.day // WEEK + 1
    last = int(lived.day.max()) + 1 - LATE_DAYS
    whole = range(1, (int(lived.day.max()) + 1) // WEEK + 1)
    periods = {
        **{f"week {number}": week == number for number in whole},
        "weeks 2-9": (week >= EARLY.start) & (week < EARLY.stop),
        "last 30 days": lived.day >= last,
    }
    found = {}
    for name, chosen in periods.items():
        genuine, fraud = chosen & ~lived.fraud, chosen & lived.fraud
        frauds, touched = int(fraud.sum()), int((genuine & lived.touched).sum())
        stopped, familiar = int((lived.stopped & chosen).sum()), genuine & lived.familiar
        known_frauds = fraud & lived.familiar
        found[name] = {
            "per_10k": 1e4 * touched / max(int(genuine.sum()), 1),
            "recall": stopped / frauds if frauds else None,
            "per_fraud": touched / stopped if stopped else None,
            "familiar_per_10k": 1e4 * int((familiar & lived.touched).sum()) / max(int(familiar.sum()), 1),
            "known_payee_frauds": int(known_frauds.sum()),
            "known_payee_recall": float(lived.stopped[known_frauds].mean()) if known_frauds.any() else None,
            **{
                f"recall_{rival}": recall_at_equal_friction(lived, scores, chosen) / frauds if frauds else None
                for rival, scores in rivals.items()
            },
        }
    return found


def settings_of(bank: str, seed: int, accounts: int, days: int) -> SimulationConfig:
    """The simulation of a kind of bank."""
    per_day = THIN_PER_DAY if bank == "thin" else PER_DAY
    return SimulationConfig(
        seed=seed, events=round(accounts * days * per_day), accounts=accounts, days=days,
        fraud_rate=FRAUD_RATE if bank != "thin" else 4 * FRAUD_RATE, difficulty="hard",
    )  # fmt: skip


def medians(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the seeds, figure by figure, of the periods that all have."""
    found: dict[str, Any] = {}
    for period in runs[0]:
        rows = [run[period] for run in runs if period in run]
        values = {name: [row[name] for row in rows if row[name] is not None] for name in rows[0]}
        found[period] = {name: float(np.median(some)) if some else None for name, some in values.items()}
    return found


def show(bank: str, document: dict[str, Any], rivals: list[str], console: Console) -> None:
    """The table for a person."""
    table = Table(
        title=f"{bank}: medians of {document['seeds']} seeds, CPU {document['cpu_s']:.0f} s, wall {document['wall_s']:.0f} s"
    )
    names = ["per_10k", "recall", "per_fraud", "familiar_per_10k", *(f"recall_{rival}" for rival in rivals)]
    for name in ("period", *names):
        table.add_column(name, justify="left" if name == "period" else "right")
    for period, row in document["periods"].items():
        table.add_row(period, *("-" if row[name] is None else f"{row[name]:.2f}" for name in names))
    console.print(table)


@click.command(help=(__doc__ or "").split("\n\n")[0])
@click.option("--seeds", default="1,2,3", show_default=True, help="Seeds of the simulation.")
@click.option("--accounts", default=3_000, show_default=True, help="Accounts of each bank.")
@click.option("--days", default=150, show_default=True, help="Days of each bank.")
@click.option(
    "--bank", "banks", multiple=True, type=click.Choice(["young", "untold", "unlabelled", "thin"]),
    default=["young", "unlabelled", "thin"], show_default=True, help="Kinds of bank.",
)  # fmt: skip
@click.option("--policy", "folder", type=click.Path(exists=True, path_type=Path), help="Packs.  [default: the shipped]")
@click.option("--rivals/--alone", default=True, help="Whether the scorecard and LightGBM run too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line of stdout.")
def main(
    seeds: str, accounts: int, days: int, banks: tuple[str, ...], folder: Path | None, rivals: bool, as_json: bool
) -> None:
    policy = shipped() if folder is None else Policy.load([folder])
    console = Console(stderr=as_json)
    documents = {}
    for bank in banks:
        runs, walls, cpus = [], [], []
        for seed in map(int, seeds.split(",")):
            lived = live(bank, settings_of(bank, seed, accounts, days), policy)
            beside = {}
            if rivals and bank != "unlabelled":
                beside = {"scorecard": scorecard_weekly(lived), "lightgbm": lightgbm_nightly(lived)}
            runs.append(figures(lived, beside))
            walls.append(lived.wall_s)
            cpus.append(lived.cpu_s)
        documents[bank] = {
            "seeds": len(runs), "wall_s": float(np.median(walls)), "cpu_s": float(np.median(cpus)), "periods": medians(runs)
        }  # fmt: skip
        show(bank, documents[bank], list(beside), console)
    if as_json:
        click.echo(orjson.dumps(documents).decode())


if __name__ == "__main__":
    sys.exit(main())
