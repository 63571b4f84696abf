"""``riskstream repair``: recorded steps that put right what a fault has left behind."""

from __future__ import annotations

import getpass
import sys
import time

import click

from stream.arrays.rfc3339 import render
from stream.cli.options import json_option, print_json, with_settings
from stream.cli.say import say
from stream.settings import Settings


@click.group()
def command() -> None:
    """Recorded steps that put right what a fault has left behind."""


@command.command(
    epilog="""\b
Examples:
  riskstream repair times --dry-run
  riskstream repair times --by okafor --reason "the clock of pos-gateway-3 was a year ahead"
"""
)
@click.option("--by", metavar="NAME", default=None, help="Who answers for it.  [default: $USER]")
@click.option("--reason", metavar="TEXT", default="", help="Why; at most 64 bytes.")
@click.option(
    "--dry-run", is_flag=True, help="Count the rows it would change by this machine's clock, and send nothing."
)
@click.option("--wait", "patience", type=click.FloatRange(min=0), default=60.0, show_default=True, help="Seconds to wait for the workers.")  # fmt: skip
@with_settings
@json_option
def times(settings: Settings, by: str | None, reason: str, dry_run: bool, patience: float, as_json: bool) -> None:
    """Bring times of rows that lie ahead of the broker's back to it, in every partition.

    For an installation into which records from the future came before they were refused: their accounts count no velocities,
    everything else of their partition is late. A step is sent to every partition of the feedback topic; each worker takes
    it in its order, with the broker's time of that moment, and writes it into its batch record, by which recovery and
    `replay --verify` repeat it. Times that do not lie ahead are left alone, so a second step changes nothing.
    """
    from stream.repair.time_mending import follow, rows_ahead, send_steps

    if dry_run:
        counts = rows_ahead(settings, time.time_ns() // 1000)
        for partition, count in counts.items():
            say(f"partition {partition}: {count} rows have times ahead of this machine's clock", err=as_json)
        if as_json:
            print_json({"dry_run": True, "rows": {str(number): count for number, count in counts.items()}})
        return
    if not reason:
        raise click.UsageError("say why: --reason TEXT")
    mending = send_steps(settings, by or getpass.getuser(), reason)
    follow(settings, mending, patience)
    for partition, until in sorted(mending.mended.items()):
        say(f"partition {partition}: mended; no time lies beyond {render(until)} now", err=as_json)
    for partition in mending.refused:
        say(f"partition {partition}: refused; see the dead letters of the feedback topic for why", err=as_json)
    if mending.waiting:
        say(
            f"partitions {', '.join(map(str, mending.waiting))}: no worker has taken the step yet; it waits in the topic",
            err=as_json,
        )
    if as_json:
        print_json({
            "sent": {str(number): offset for number, offset in mending.sent.items()},
            "mended": {str(number): render(until) for number, until in sorted(mending.mended.items())},
            "refused": mending.refused, "waiting": mending.waiting,
        })  # fmt: skip
    if mending.refused or mending.waiting:
        sys.exit(1)
