"""``riskstream demo``: the whole line at work on a simulated bank, live."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

_BEGAN = time.monotonic()

from contextlib import ExitStack  # noqa: E402 - the clock starts before the imports

import click  # noqa: E402

from stream.cli.options import json_option, print_json  # noqa: E402
from stream.cli.say import say  # noqa: E402
from stream.demo.empty_line import EmptyLine, development_kafka, embedded_line, kafka_line  # noqa: E402
from stream.demo.worker_process import WorkerProcess  # noqa: E402
from stream.errors import UsageError  # noqa: E402
from stream.settings import load  # noqa: E402

if TYPE_CHECKING:
    from stream.demo.demonstration import Demonstration

DEVELOPMENT_PORT = 9092
_EXAMPLES = """\b
Examples:
  riskstream demo
  riskstream demo --cold                         # a line that knows nobody yet
  riskstream demo --seconds 120 --rate 2000 --seed 3
  riskstream demo --broker kafka                 # a real Apache Kafka, exactly once
  riskstream demo --broker 127.0.0.1:19092 --keep-topics
  riskstream demo --seconds 6 --json 2> demo.log
"""


@click.command(epilog=_EXAMPLES)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=30,
    show_default=True,
    help="Seconds of traffic, from the first decision on.",
)
@click.option("--seed", type=click.IntRange(min=0), default=2, show_default=True, help="Seed of the simulated bank.")
@click.option(
    "--broker",
    default="embedded",
    show_default=True,
    metavar="embedded|kafka|HOST:PORT",
    help="embedded: in this process, needs nothing. kafka: the development Kafka of `riskstream kafka up`.",
)
@click.option(
    "--accounts",
    type=click.IntRange(10, 100_000),
    default=400,
    show_default=True,
    help="Accounts of the simulated bank; fewer live faster.",
)
@click.option("--rate", type=click.FloatRange(1, 20_000), default=900, show_default=True, help="Transactions a second.")
@click.option(
    "--cold", is_flag=True, help="Begin with a line that knows nobody, as a bank's first day without history does."
)
@click.option("--keep-topics", is_flag=True, help="On a real Kafka: leave the topics there to be looked at.")
@click.option(
    "--picture", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.svg", help="Draw the last screen as SVG."
)
@json_option
def command(
    seconds: float, seed: int, broker: str, accounts: int, rate: float, cold: bool, keep_topics: bool,
    picture: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Watch the whole line work: simulated customers pay, thieves attack, a worker decides and explains.

    The bank is simulated and lives faster than we do: first 60 of its days within seconds, so that the line knows its
    customers, then at the default rate about one of its days a second, chargebacks five of its days after a fraud. The worker, the topics and the decisions are real; what was right is counted from
    the simulator's truth, which the worker never sees. Ctrl-C ends it early, in good order.
    """
    with ExitStack() as stack:
        line = _line(stack, broker, keep_topics=keep_topics)
        log = Path(line.settings.data_directory) / "demo-worker.log"
        # the slowest to start comes first, before what this process itself must import
        worker = WorkerProcess(line.settings, log, line.partitions if line.embedded else None)
        stack.callback(worker.stop)

        from stream.demo.demonstration import HISTORY_DAYS, Demonstration, Plan

        demonstration = Demonstration(Plan(seconds, rate, seed, accounts, 0 if cold else HISTORY_DAYS), _BEGAN)
        _show(demonstration, line, worker)
    _report(demonstration, as_json)
    if picture is not None:
        from stream.demo.picture import write_picture

        write_picture(demonstration, picture)
    if demonstration.board.in_flight and not demonstration.interrupted:
        say(
            f"{demonstration.board.in_flight} transactions did not come out of the line; see the worker's log {log}",
            err=True,
        )
        sys.exit(1)


def _line(stack: ExitStack, broker: str, *, keep_topics: bool) -> EmptyLine:
    def progress(words: str) -> None:
        say(words, err=True)

    if broker == "embedded":
        if keep_topics:
            raise UsageError("--keep-topics: the embedded broker keeps nothing; use --broker kafka or HOST:PORT")
        return stack.enter_context(embedded_line(load()))
    if broker == "kafka":
        settings = stack.enter_context(development_kafka(load(), DEVELOPMENT_PORT, progress))
    elif ":" in broker:
        settings = load({"broker": broker})
    else:
        raise UsageError(f"--broker {broker}: expected embedded, kafka or HOST:PORT")
    return stack.enter_context(kafka_line(settings, progress, keep_topics=keep_topics))


def _show(demonstration: Demonstration, line: EmptyLine, worker: WorkerProcess) -> None:
    """Draw where there is a terminal that can, else write lines; both on stderr."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb" or os.environ.get("NO_COLOR"):
        from stream.demo.plain_lines import PlainLines

        demonstration.run(line, worker, PlainLines(demonstration, lambda words: say(words, err=True)))
        return
    from rich.console import Console

    from stream.demo.demonstration_screen import Screen

    with Screen(demonstration, Console(stderr=True)) as screen:
        demonstration.run(line, worker, screen)


def _report(demonstration: Demonstration, as_json: bool) -> None:
    from rich.console import Console

    from stream.demo.demonstration_screen import summary

    Console(stderr=as_json, highlight=False, soft_wrap=True).print(summary(demonstration))
    if as_json:
        print_json(demonstration.board.summary())
