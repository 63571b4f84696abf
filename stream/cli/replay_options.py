"""What ``riskstream replay`` is asked: its options, read and checked before anything is walked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.errors import UsageError
from stream.settings import Settings, load

if TYPE_CHECKING:
    from rules.policy import Policy
    from stream.replay.measure.gates import Gate
    from stream.replay.source.labels import TruthFile
    from stream.replay.source.sources import Source
    from stream.replay.walk.engine import ReplaySettings
    from stream.replay.walk.span import Span

_FILE = click.Path(dir_okay=False, path_type=Path)
_EPOCH = date(1970, 1, 1).toordinal()
BLIND = "without-familiarity"
"""The champion that is the same policy where no pair has a history."""
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("file", metavar="FILE|TOPIC"),
    click.option("--verify", "verify_topic_of", is_flag=True,
                 help="FILE is a live decisions topic: compute it again from its inputs and what was recorded, compare the bytes."),
    click.option("--broker", metavar="HOST:PORT", help="Kafka of a TOPIC (RISKSTREAM_BROKER)."),
    click.option("--topic-prefix", metavar="PREFIX", help="Put before every topic name (RISKSTREAM_TOPIC_PREFIX)."),
    click.option("--from", "start", metavar="TIME|OFFSETS",
                 help="Of a TOPIC, the first record: stamped then or later (2026-07-01T00:00:00Z), or by partition (0:1200,1:900)."),
    click.option("--to", "stop", metavar="TIME|OFFSETS", help="Of a TOPIC, the first record that is left out."),
    click.option("--columns", "map_file", type=_FILE, help="Column map, YAML; JSONL in the contract's own form needs none."),
    click.option("--sort", "in_time_order", is_flag=True,
                 help="Of a FILE: put its rows in the order of their event times first, for instance where the newest stand first."),
    click.option("--labels", "truth_file", type=_FILE,
                 help="TRUTH file: transaction_id, fraud (0/1), attack. Goes before the map's labels and a TOPIC's feedback."),
    click.option("--label-delay", default="7d", show_default=True, help="When a label becomes known: 7d, 12h, 30m, 10s."),
    click.option("--maturity", "maturity_text", metavar="AGE",
                 help="When a payment without an adverse outcome becomes normal.  [default: the label delay; of a TOPIC, as configured]"),
    click.option("--policy", "policy_dir", type=click.Path(path_type=Path), help="Directory of packs.  [default: the shipped]"),
    click.option("--against", "champion_dir", metavar="PATH|shipped|without-familiarity",
                 help="The champion: a policy to compare with; `shipped` is the shipped one, `without-familiarity` the same "
                 "policy where no pair has a history."),
    click.option("--fail-if", "gate_texts", multiple=True, metavar="GATE",
                 help="Exit status 1 where it holds: 'recall < 0.7', 'friction > 1.1x champion'; may be given again."),
    click.option("--without-familiarity", is_flag=True, help="No pair has a history: models fitted so, and no discount."),
    click.option("--what-if", is_flag=True, help="Show each threshold with its alerts, hours, fraud found and customers touched."),
    click.option("--alerts-per-day", type=click.FloatRange(min=0),
                 help="Say which threshold of risk keeps to so many alerts a day on this history, and what it finds."),
    click.option("--false-alerts-per-10k", type=click.FloatRange(0, 10_000),
                 help="The same for genuine payments touched, of 10,000. With both, the stricter one stands."),
    click.option("--scores", "scores_file", type=_FILE, help="Parquet: one row a decision."),
    click.option("--decisions", "decisions_file", type=_FILE, help="JSON lines: the bytes a worker would publish."),
    click.option("--report", "report_file", type=_FILE, help="One HTML file with pictures, for a risk officer."),
    click.option("--limit", type=click.IntRange(min=1), help="Rows, at most."),
    click.option("--round", "round_text", default="6h", show_default=True,
                 help="Event time between two rounds of learning; 0s: learn nothing."),
    click.option("--measure-from", type=click.DateTime(["%Y-%m-%d"]), help="First day of the first test week.  [default: day 15]"),
    click.option("--batch", "chunk_rows", type=click.IntRange(1, 1_000_000), help="Rows read at a time; no result depends on it."),
    click.option("--seed", type=click.IntRange(min=0), help="Seed of everything random in the models.  [default: as configured]"),
    click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True,
                 help="Processes that share the work; no result depends on it."),
    click.option("--dask", "scheduler", metavar="ADDRESS",
                 help="Share the work among the workers of a Dask cluster (tcp://HOST:8786); needs the extra `dask`."),
    click.option("--checkpoint", "checkpoint_file", type=_FILE,
                 help="Go on from this file where an earlier replay was interrupted; kept up to date, removed at the end."),
    click.option("--checkpoint-every", "checkpoint_every_s", type=click.FloatRange(min=0), default=20.0, show_default=True,
                 help="Seconds between two checkpoints; no result depends on it."),
)  # fmt: skip


def replay_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that :class:`ReplayOptions` holds."""
    return reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), command)


@dataclass(frozen=True)
class ReplayOptions:
    """The options as given; what they mean is checked where it is asked for.

    Parameters
    ----------
    file
        A file or a topic; the others are named as their options.
    """

    file: str
    verify_topic_of: bool
    broker: str | None
    topic_prefix: str | None
    start: str | None
    stop: str | None
    map_file: Path | None
    in_time_order: bool
    truth_file: Path | None
    label_delay: str
    maturity_text: str | None
    policy_dir: Path | None
    champion_dir: str | None
    gate_texts: tuple[str, ...]
    without_familiarity: bool
    what_if: bool
    alerts_per_day: float | None
    false_alerts_per_10k: float | None
    scores_file: Path | None
    decisions_file: Path | None
    report_file: Path | None
    limit: int | None
    round_text: str
    measure_from: datetime | None
    chunk_rows: int | None
    seed: int | None
    workers: int
    scheduler: str | None
    checkpoint_file: Path | None
    checkpoint_every_s: float

    def __post_init__(self) -> None:
        outputs = {
            "--scores": self.scores_file, "--decisions": self.decisions_file, "--report": self.report_file,
            "--checkpoint": self.checkpoint_file,
        }  # fmt: skip
        taken: dict[Path, str] = {Path(self.file).resolve(): "the history"} if self.is_file else {}
        for option, path in outputs.items():
            if path is not None:
                other = taken.setdefault(path.resolve(), option)
                if other != option:
                    raise UsageError(f"{option} and {other} are the same file {path}")
        if self.without_familiarity and self.champion_blind:
            raise UsageError(f"--against {BLIND} with --without-familiarity: both sides would be without; give one")
        if not self.is_file and self.in_time_order:
            raise UsageError("--sort is for a file; a topic is read in Kafka's order")
        if self.is_file and (self.start is not None or self.stop is not None):
            raise UsageError("--from and --to are for a topic; of a file, --limit takes the first rows")

    @property
    def is_file(self) -> bool:
        """Whether a file is replayed."""
        return Path(self.file).is_file()

    def settings(self) -> Settings:
        """Settings, with the options on top."""
        return load({"seed": self.seed, "broker": self.broker, "topic_prefix": self.topic_prefix})

    def gates(self) -> list[Gate]:
        """The gates.

        Raises
        ------
        UsageError
            One that cannot be read, or that names a champion who is not there.
        """
        from stream.replay.measure.gates import Gate

        gates = [Gate.parse(text) for text in self.gate_texts]
        if self.champion_dir is None and any(gate.relative for gate in gates):
            raise UsageError("--fail-if: a gate that names the champion needs --against")
        return gates

    def shape(self, maturity_text: str) -> ReplaySettings:
        """What results depend on beside history and policy.

        Parameters
        ----------
        maturity_text
            The maturity where ``--maturity`` is not given.

        Raises
        ------
        UsageError
            A delay or a round that cannot be read, or a round that is not whole buckets.
        """
        from stream.core.table.forgetting import IdleLimits
        from stream.replay.walk.engine import BUCKET_US, DAY_US, ReplaySettings
        from stream.replay.walk.schedule import parse_delay

        delay_us, round_us = parse_delay(self.label_delay), parse_delay(self.round_text, "--round")
        if round_us % BUCKET_US:
            raise UsageError(f"--round {self.round_text}: a multiple of {BUCKET_US // 60_000_000}m, for instance 6h")
        maturity_us = parse_delay(maturity_text if self.maturity_text is None else self.maturity_text, "--maturity")
        if maturity_us == 0 and self.maturity_text is not None:
            raise UsageError("--maturity 0: every payment would be normal at once; at least one second")
        settings = self.settings()
        return ReplaySettings(
            delay_us,
            round_us,
            round(settings.lateness_minutes * 60_000_000),
            settings.seed,
            not self.without_familiarity,
            maturity_us,
            IdleLimits(round(settings.forget_accounts_days * DAY_US), round(settings.forget_pairs_days * DAY_US)),
            round(settings.forget_payees_days * DAY_US),
        )

    def source(self) -> Source:
        """The file."""
        from stream.replay.source.column_map import load_column_map
        from stream.replay.source.sources import open_source

        column_map = None if self.map_file is None else load_column_map(self.map_file)
        return open_source(Path(self.file), column_map, self.truth_file, in_time_order=self.in_time_order)

    def truth(self) -> TruthFile | None:
        """The labels of the TRUTH file."""
        from stream.replay.source.labels import TruthFile

        return None if self.truth_file is None else TruthFile(self.truth_file)

    def span(self) -> Span:
        """The range of a topic."""
        from stream.replay.walk.span import Span, parse_bound

        return Span(parse_bound(self.start, "--from"), parse_bound(self.stop, "--to"))

    @cached_property
    def policy(self) -> Policy:
        """The policy that is replayed."""
        return read_policy(self.policy_dir)

    @cached_property
    def champion(self) -> Policy | None:
        """The policy it is compared with, if any."""
        if self.champion_dir is None:
            return None
        if self.champion_blind:
            return self.policy
        return read_policy(None if self.champion_dir == "shipped" else Path(self.champion_dir))

    @property
    def champion_blind(self) -> bool:
        """Whether the champion is the same policy where no pair has a history."""
        return self.champion_dir == BLIND

    @property
    def measure_day(self) -> int | None:
        """First day of the first test week, days since the epoch."""
        return None if self.measure_from is None else self.measure_from.date().toordinal() - _EPOCH


def read_policy(directory: Path | None) -> Policy:
    """The policy of a directory of packs, or the shipped one; checked before anything is read.

    Raises
    ------
    UsageError
        A pack is broken; names file, line and column.
    """
    from rules.policy import Policy, shipped
    from rules.problem import PackError, errors
    from stream.core.columns import hash_id
    from stream.core.features import SCHEMA

    try:
        policy = shipped() if directory is None else Policy.load([directory])
        found = errors(policy.check(SCHEMA))
        if found:
            raise PackError(found)
        policy.compile(SCHEMA, hash_id)
    except PackError as error:
        raise UsageError("the packs cannot be used:", map(str, error.problems)) from error
    return policy
