"""``riskstream status``: what went in and what came out, counted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from stream.cli.options import json_option, print_json, with_settings
from stream.cli.say import say
from stream.settings import Settings

if TYPE_CHECKING:
    from stream.desk.conservation import Balance


@click.command(
    epilog="""\b
Examples:
  riskstream status
  riskstream status --broker kafka-1:9092 --json
"""
)
@with_settings
@json_option
def command(settings: Settings, as_json: bool) -> None:
    """Count every input record by what became of it, and show the latest drift; exit status 1 where a record is missing or
    came twice.

    Per partition: records = decided + duplicate + dead + in flight, the four counted from four different places on
    the broker. It reads the topics once, about a hundred thousand records a second; the line may run meanwhile. For
    feedback "decided" means accepted. Drift is a reason to look, not an error: it does not change the exit status.
    """
    from stream.cli.model import drift_lines, read_log
    from stream.desk.conservation import count

    balances = count(settings)
    balanced = all(balance.balanced for balance in balances)
    _print(balances, as_json)
    drift = read_log(settings, notes_alone=True).drift
    for line in drift_lines(drift):
        say(line, err=as_json)
    if as_json:
        print_json({"partitions": [balance.as_json() for balance in balances], "balanced": balanced, "drift": drift})
    sys.exit(0 if balanced else 1)


def _print(balances: list[Balance], as_json: bool) -> None:
    width = max(len(balance.place.topic) for balance in balances) + 5
    head = ("records", "decided", "duplicate", "dead", "in flight")
    say(f"{'partition':<{width}}" + "".join(f"{name:>11}" for name in head), err=as_json)
    for balance in balances:
        numbers = (balance.records, balance.decided, balance.duplicate, balance.dead, balance.in_flight)
        place = f"{balance.place.topic}[{balance.place.partition}]"
        told = sum(numbers[1:])
        wrong = "" if balance.records == told else f"  NOT BALANCED: {balance.records - told:+} records unaccounted for"
        if balance.beyond:
            wrong += (
                f"  NOT BALANCED: batches took {balance.beyond:,} offsets more than the group stands at: the topic was "
                "deleted and made anew, or offsets were reset"
            )
        if balance.open_transaction:
            wrong += (
                f"  WAITS: {balance.waiting:,} records from offset {balance.stable} on behind a producer's open transaction, "
                f"since {balance.open_transaction['since']}"
            )
        if balance.lost:
            wrong += f"  LOST: {balance.lost:,} offsets were deleted before they were read"
        say(f"{place:<{width}}" + "".join(f"{number:>11,}" for number in numbers) + wrong, err=as_json)
