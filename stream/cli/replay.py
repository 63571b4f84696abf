"""``riskstream replay``: the core over a file of history."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.cli.options import json_option, print_json
from stream.errors import UsageError
from stream.settings import Settings, load

if TYPE_CHECKING:
    from rules.policy import Policy
    from stream.replay.engine import FileReplay, ReplaySettings, Step
    from stream.replay.gates import Gate
    from stream.replay.run import Intake
    from stream.replay.sources import Chunk, Source
    from stream.replay.tally import Tally

_FILE = click.Path(dir_okay=False, path_type=Path)
_EPOCH = date(1970, 1, 1).toordinal()
_DAY_US = 86_400_000_000
_EXAMPLES = """
\b
Examples:
  riskstream replay bank.jsonl --labels truth.csv --scores scores.parquet
  riskstream replay cards.parquet --columns deploy/maps/handbook.yaml --decisions decisions.jsonl
  riskstream replay bank.jsonl --labels truth.csv --without-familiarity --json
  riskstream replay --verify risk.decisions.v1 --broker kafka-1:9092
  riskstream replay bank.jsonl --labels truth.csv --policy my-packs/ --against shipped --fail-if "friction > 1.1x champion"
"""


@click.command(
    epilog=_EXAMPLES,
    help="Decide about the transactions of FILE (CSV, JSONL or Parquet) as the workers would have, learning from labels "
    "as they would have come: each is withheld until its payment's event time plus the label delay. The same file, "
    "labels, policy and seed give the same bytes. Rows that the contract refuses are counted by reason, as dead "
    "letters would be. How it works: docs/replay.md.",
)
@click.argument("file", metavar="FILE|TOPIC")
@click.option(
    "--verify", "verify_topic_of", is_flag=True,
    help="FILE is a live decisions topic: compute it again from its inputs and what was recorded, compare the bytes.",
)  # fmt: skip
@click.option("--broker", metavar="HOST:PORT", help="Kafka of --verify (RISKSTREAM_BROKER).")
@click.option(
    "--columns", "map_file", type=_FILE, help="Column map, YAML; JSONL in the contract's own form needs none."
)
@click.option(
    "--labels", "truth_file", type=_FILE,
    help="TRUTH file: transaction_id, fraud (0/1), attack. Goes before the map's labels.",
)  # fmt: skip
@click.option("--label-delay", default="7d", show_default=True, help="When a label becomes known: 7d, 12h, 30m, 10s.")
@click.option(
    "--policy", "policy_dir", type=click.Path(path_type=Path), help="Directory of packs.  [default: the shipped]"
)
@click.option(
    "--against", "champion_dir", metavar="PATH|shipped", help="The champion: a policy to compare with; `shipped` is the shipped one.",
)  # fmt: skip
@click.option(
    "--fail-if", "gate_texts", multiple=True, metavar="GATE",
    help="Exit status 1 where it holds: 'recall < 0.7', 'friction > 1.1x champion'; may be given again.",
)  # fmt: skip
@click.option("--without-familiarity", is_flag=True, help="No pair has a history: models fitted so, and no discount.")
@click.option(
    "--what-if", is_flag=True, help="Show each threshold with its alerts, hours, fraud found and customers touched."
)
@click.option("--scores", "scores_file", type=_FILE, help="Parquet: one row a decision.")
@click.option("--decisions", "decisions_file", type=_FILE, help="JSON lines: the bytes a worker would publish.")
@click.option("--report", "report_file", type=_FILE, help="One HTML file with pictures, for a risk officer.")
@click.option("--limit", type=click.IntRange(min=1), help="Rows, at most.")
@click.option(
    "--round",
    "round_text",
    default="6h",
    show_default=True,
    help="Event time between two rounds of learning; 0s: learn nothing.",
)
@click.option(
    "--measure-from", type=click.DateTime(["%Y-%m-%d"]), help="First day of the first test week.  [default: day 15]"
)
@click.option(
    "--batch", "chunk_rows", type=click.IntRange(1, 1_000_000), help="Rows read at a time; no result depends on it."
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Seed of everything random in the models.  [default: as configured]"
)
@json_option
def command(
    file: str,
    verify_topic_of: bool,
    broker: str | None,
    map_file: Path | None,
    truth_file: Path | None,
    label_delay: str,
    policy_dir: Path | None,
    champion_dir: str | None,
    gate_texts: tuple[str, ...],
    without_familiarity: bool,
    what_if: bool,
    scores_file: Path | None,
    decisions_file: Path | None,
    report_file: Path | None,
    limit: int | None,
    round_text: str,
    measure_from: datetime | None,
    chunk_rows: int | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Check what can be wrong, walk the file, say what came of it."""
    from stream.replay.column_map import load_column_map
    from stream.replay.gates import Gate
    from stream.replay.report import write_report
    from stream.replay.screen import summary_lines, what_if_lines
    from stream.replay.sources import open_source

    if verify_topic_of:
        from stream.cli.verification import verify_topic

        sys.exit(verify_topic(file, load({"broker": broker}), as_json=as_json))
    gates = [Gate.parse(text) for text in gate_texts]
    if champion_dir is None and any(gate.relative for gate in gates):
        raise UsageError("--fail-if: a gate that names the champion needs --against")
    settings = load({"seed": seed})
    walk = Walk(
        open_source(_existing(file), None if map_file is None else load_column_map(map_file), truth_file),
        replay_settings(settings, label_delay, round_text, familiarity=not without_familiarity),
        read_policy(policy_dir),
        None if champion_dir is None else read_policy(None if champion_dir == "shipped" else Path(champion_dir)),
        limit,
        chunk_rows,
        None if measure_from is None else measure_from.date().toordinal() - _EPOCH,
    )
    with ExitStack() as files:
        summary = walk.run(open_writers(files, scores_file, decisions_file))
    for line in (*summary_lines(summary), *(what_if_lines(summary) if what_if else ())):
        click.echo(line)
    failed = check_gates(gates, summary)
    if report_file is not None:
        write_report(summary, report_file)
    if as_json:
        print_json(summary)
    if failed:
        click.get_current_context().exit(1)


def replay_settings(settings: Settings, label_delay: str, round_text: str, *, familiarity: bool) -> ReplaySettings:
    """What a replay depends on, from the command line and the settings.

    Raises
    ------
    UsageError
        A delay or a round that cannot be read, or a round that is not whole buckets.
    """
    from stream.replay.engine import BUCKET_US, ReplaySettings
    from stream.replay.schedule import parse_delay

    round_us = parse_delay(round_text)
    if round_us % BUCKET_US:
        raise UsageError(f"--round {round_text}: a multiple of {BUCKET_US // 60_000_000}m, for instance 6h")
    lateness_us = round(settings.lateness_minutes * 60_000_000)
    return ReplaySettings(parse_delay(label_delay), round_us, lateness_us, settings.seed, familiarity)


def read_policy(directory: Path | None) -> Policy:
    """The policy of a directory of packs, or the shipped one; checked before anything is read.

    Raises
    ------
    UsageError
        A pack is broken; names file, line and column.
    """
    from rules.policy import Policy, shipped
    from rules.problem import PackError
    from stream.core.columns import hash_id
    from stream.core.features import SCHEMA

    try:
        policy = shipped() if directory is None else Policy.load([directory])
        policy.compile(SCHEMA, hash_id)
    except PackError as error:
        raise UsageError(str(error)) from error
    return policy


def open_writers(files: ExitStack, scores: Path | None, decisions: Path | None) -> list[Callable[[Step], None]]:
    """Whoever writes the steps down; closed with ``files``."""
    from stream.replay.scores import DecisionsFile, ScoresFile

    if scores is not None and decisions is not None and scores.resolve() == decisions.resolve():
        raise UsageError(f"--scores and --decisions are the same file {scores}")
    writers: list[Callable[[Step], None]] = []
    if scores is not None:
        writers.append(files.enter_context(ScoresFile(scores)).write)
    if decisions is not None:
        writers.append(files.enter_context(DecisionsFile(decisions)).write)
    return writers


def _existing(file: str) -> Path:
    """The file to replay; a topic can only be verified."""
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"{file}: no such file; to check a live topic: riskstream replay --verify {file}")
    return path


@dataclass(frozen=True)
class Walk:
    """What is walked, and how.

    Parameters
    ----------
    source, shape, policy
        The history, what results depend on, the policy.
    champion
        The policy it is compared with, if any.
    limit, chunk_rows
        As in ``stream.replay.run.replay``.
    measure_day
        First day of the first test week, days since the epoch; None for as early as can be.
    """

    source: Source
    shape: ReplaySettings
    policy: Policy
    champion: Policy | None
    limit: int | None
    chunk_rows: int | None
    measure_day: int | None

    def run(self, writers: list[Callable[[Step], None]]) -> dict[str, Any]:
        """Walk the source; returns the summary."""
        from stream.replay.engine import FileReplay
        from stream.replay.run import replay
        from stream.replay.tally import Tally

        if self.champion is not None:
            return self._compare(self.champion, writers)
        engine, tally = FileReplay(self.shape, self.policy), Tally(self.measure_day, self.shape.seed)
        begun = time.perf_counter()
        with progress(self.source.path, self.limit) as advance:
            intake = replay(
                self.source,
                engine,
                [tally.add, *writers],
                limit=self.limit,
                chunk_rows=self.chunk_rows,
                on_chunk=advance,
            )
        return self._summary(intake, engine, tally, time.perf_counter() - begun)

    def _compare(self, champion: Policy, writers: list[Callable[[Step], None]]) -> dict[str, Any]:
        """The same of two policies at once; the challenger's summary, with the champion's beside it."""
        from stream.replay.compare import Comparison, compare
        from stream.replay.engine import FileReplay
        from stream.replay.tally import Tally

        engines = FileReplay(self.shape, champion), FileReplay(self.shape, self.policy)
        tallies = Tally(self.measure_day, self.shape.seed), Tally(self.measure_day, self.shape.seed)
        comparison = Comparison()

        def listen(before: Step, after: Step) -> None:
            comparison.add(before, after)
            tallies[0].add(before)
            for write in (tallies[1].add, *writers):
                write(after)

        begun = time.perf_counter()
        with progress(self.source.path, self.limit) as advance:
            intake = compare(
                self.source, *engines, [listen], limit=self.limit, chunk_rows=self.chunk_rows, on_chunk=advance
            )
        seconds = time.perf_counter() - begun
        before = self._summary(intake, engines[0], tallies[0], seconds)
        after = self._summary(intake, engines[1], tallies[1], seconds)
        return {**after, "champion": before, "comparison": comparison.result()}

    def _summary(self, intake: Intake, engine: FileReplay, tally: Tally, seconds: float) -> dict[str, Any]:
        from stream.replay.run import counts

        return {
            "file": str(self.source.path),
            **counts(intake, engine),
            **tally.result(),
            "policy_version": engine.policy.version,
            "model_version": engine.model_version,
            "familiarity": self.shape.familiarity,
            "label_delay_days": self.shape.label_delay_us / _DAY_US,
            "refused_examples": [f"row {row}: {reason}: {message}" for row, reason, message in intake.examples],
            "seconds": round(seconds, 3),
            "events_per_s": round(intake.rows / seconds, 1) if seconds > 0 else 0.0,
        }


def check_gates(gates: list[Gate], summary: dict[str, Any]) -> bool:
    """Add what the gates say to the summary; returns whether one failed."""
    results = [gate.check(summary, summary.get("champion")) for gate in gates]
    if results:
        summary["gates"] = [asdict(result) for result in results]
    for result in results:
        click.echo(f"  gate {result}")
    return any(result.failed for result in results)


@contextmanager
def progress(path: Path, limit: int | None) -> Iterator[Callable[[Chunk], None]]:
    """A bar with the time left on a terminal's stderr; yields what to call when a chunk is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from stream.replay.extent import Extent

    extent = Extent(path, limit)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("replay", total=None)

        def advance(chunk: Chunk) -> None:
            extent.add(chunk.values)
            bar.update(task, completed=extent.rows, total=extent.total)

        yield advance
