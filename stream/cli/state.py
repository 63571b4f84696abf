"""``riskstream state``: the rows behind the decisions."""

from __future__ import annotations

import click

from stream.cli.options import json_option, print_json, with_settings
from stream.cli.say import say
from stream.settings import Settings


@click.group(
    epilog="""\b
Examples:
  riskstream state dump
  riskstream state dump --json > rows.jsonl
  riskstream state dump --json | tail -1          # {"model_version": …, "model_digest": …}
"""
)
def command() -> None:
    """See the state that stands behind the decisions."""


@command.command()
@with_settings
@json_option
def dump(settings: Settings, as_json: bool) -> None:
    """Rebuild all rows at the group's committed offsets, read-only, and print them.

    With --json: a line for each partition with the offsets its rows stand for, then every account row, customer row, payee
    row and busy payees' second row, each in the order of their keys, last the model in force. Without: the partitions and
    the model. What follows the last checkpoint is walked again: run it with the settings that the line runs with
    (maturity, lateness, seed).
    """
    from stream.repair.state_dump import model_line, read_state, row_lines

    states = read_state(settings)
    model = model_line(settings)
    if as_json:
        for state in states:
            print_json(state.as_json())
        for kind in ("account", "customer", "told_account", "payee", "busy_payee"):
            for row in row_lines(kind, states):
                print_json(row)
        print_json(model)
        return
    for state in states:
        offsets = ", ".join(f"{topic} {offset:,}" for topic, offset in state.offsets.items())
        say(
            f"partition {state.partition}: {len(state.accounts):,} accounts, {len(state.payees):,} payees; at {offsets}"
        )
    say(f"model {model['model_version']}, digest {model['model_digest']}")
