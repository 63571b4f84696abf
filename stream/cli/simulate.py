"""``riskstream simulate``: a small bank's traffic in one file, the truth in another."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from stream.cli.options import json_option, print_json
from stream.cli.say import say
from stream.errors import UsageError

if TYPE_CHECKING:
    from stream.simulate import SimulatedTruth, SimulationConfig

TRUTH_COLUMNS = ("transaction_id", "fraud", "attack", "attack_id", "account_id", "kind")
HARD_COLUMNS = (*TRUTH_COLUMNS, "told_days")
"""Of a hard bank, which does not hear of every fraud."""
_EXAMPLES = """
\b
Examples:
  riskstream simulate --seed 7 --events 100000 --out bank.jsonl --truth truth.csv
  riskstream simulate --seed 7 --events 20000 --days 60 --fraud-rate 0.005 --out bank.jsonl --truth truth.jsonl
  riskstream simulate --seed 7 --events 300000 --difficulty hard --out bank.jsonl --truth truth.csv
"""


@click.command(
    epilog=_EXAMPLES,
    help="Make a small bank's traffic: TRANSACTIONS as JSON lines sorted by event time, and the TRUTH apart from it. "
    "The same seed and settings give the same bytes. What is assumed about customers and thieves is in docs/simulator.md.",
)
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Seed of everything random.")
@click.option("--events", type=click.IntRange(min=1), required=True, help="Number of transactions, exactly.")
@click.option(
    "--out",
    "out_file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Transactions, JSON lines.",
)
@click.option(
    "--truth", "truth_file", type=click.Path(dir_okay=False, path_type=Path), required=True,
    help="Truth: .csv, or .jsonl for JSON lines.",
)  # fmt: skip
@click.option("--days", type=int, help="Length of the period in days, met within some per cent.  [default: 180]")
@click.option("--accounts", type=int, help="Accounts of the bank.  [default: so that each pays about 2.1 times a day]")
@click.option(
    "--start", type=click.DateTime(["%Y-%m-%d"]), default="2026-01-01", show_default=True, help="First local day."
)
@click.option("--fraud-rate", type=float, default=0.002, show_default=True, help="Share of fraudulent transactions.")
@click.option(
    "--difficulty",
    type=click.Choice(["ordinary", "hard"]),
    default="ordinary",
    show_default=True,
    help="hard: thieves keep to the victim's amounts, hours, device and payees; thin customers, several currencies, "
    "attacks that begin late; the truth says in told_days when the bank hears of a fraud, if ever.",
)
@json_option
def command(
    seed: int,
    events: int,
    out_file: Path,
    truth_file: Path,
    days: int | None,
    accounts: int | None,
    start: datetime,
    fraud_rate: float,
    difficulty: str,
    as_json: bool,
) -> None:
    """Write the two files and say what is in them."""
    from stream.simulate import SimulationConfig

    config = SimulationConfig(
        seed=seed, events=events, days=days, accounts=accounts, start=start.date(), fraud_rate=fraud_rate,
        difficulty=difficulty,
    )  # fmt: skip
    summary = write_files(config, out_file, truth_file)
    say(_sentence(summary, out_file, truth_file), err=True)
    if as_json:
        print_json(summary)


def write_files(config: SimulationConfig, out_file: Path, truth_file: Path) -> dict[str, object]:
    """Simulate into two files.

    Returns
    -------
    dict
        events, frauds, attacks (transactions of each), accounts, days, seconds.

    Raises
    ------
    UsageError
        The two files are one, the truth's extension is unknown, or a file cannot be written.
    """
    from stream.simulate import Bank

    names = TRUTH_COLUMNS if config.hard is None else HARD_COLUMNS
    encode = _truth_encoder(truth_file, names)
    if out_file.resolve() == truth_file.resolve():
        raise UsageError(f"simulate: --out and --truth are the same file {out_file}; the truth must lie apart")
    begun = time.perf_counter()
    attacks: Counter[str] = Counter()
    first_ms = last_ms = None
    try:
        with out_file.open("wb") as out, truth_file.open("wb") as truth:
            if truth_file.suffix == ".csv":
                truth.write((",".join(names) + "\n").encode())
            for chunk in Bank(config).transactions():
                out.write(b"\n".join(chunk.lines) + b"\n")
                truth.write(b"".join(encode(row) for row in chunk.truth))
                attacks.update(row.attack for row in chunk.truth if row.fraud)
                first_ms = chunk.times_ms[0] if first_ms is None else first_ms
                last_ms = chunk.times_ms[-1]
    except OSError as error:
        raise UsageError(f"simulate: cannot write {error.filename}: {error.strerror}") from error
    assert first_ms is not None
    assert last_ms is not None
    return {
        "events": config.events,
        "frauds": sum(attacks.values()),
        "attacks": dict(sorted(attacks.items())),
        "accounts": config.account_count,
        "days": round((last_ms - first_ms) / 86_400_000, 1),
        "seconds": round(time.perf_counter() - begun, 2),
    }


def _truth_encoder(truth_file: Path, names: tuple[str, ...]) -> Callable[[SimulatedTruth], bytes]:
    if truth_file.suffix == ".csv":
        return lambda row: ",".join(_cell(getattr(row, name)) for name in names).encode() + b"\n"
    if truth_file.suffix in (".jsonl", ".ndjson"):
        return lambda row: orjson.dumps({name: getattr(row, name) for name in names}) + b"\n"
    raise UsageError(f"simulate: --truth {truth_file} must end in .csv or .jsonl")


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _sentence(summary: dict[str, object], out_file: Path, truth_file: Path) -> str:
    return (
        f"{summary['events']} transactions of {summary['accounts']} accounts over {summary['days']} days in {out_file}, "
        f"{summary['frauds']} of them fraud ({truth_file}); {summary['seconds']} s"
    )
