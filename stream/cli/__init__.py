"""The command line: one module a command, imported only when its command is called."""

from __future__ import annotations

import importlib
import sys

import click

from stream.cli.say import begin, say_error
from stream.errors import RiskstreamError, UsageError

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("stream.cli.demo", "Watch the whole line work: simulated customers, decisions, alerts."),
    "kafka": ("stream.cli.kafka", "Run a real Apache Kafka on this machine, for development."),
    "worker": ("stream.cli.worker", "Decide about transactions: the Faust worker."),
    "gateway": ("stream.cli.gateway", "Messages of payment rails into the line, and the line's answers out."),
    "produce": ("stream.cli.produce", "Send a CSV, JSON, Parquet or .xlsx file to the input topics."),
    "map": ("stream.cli.map", "Look at a file and propose its column map; show how its rows would be read."),
    "iso20022": ("stream.cli.iso20022", "Read ISO 20022 messages from files: records of the contract."),
    "simulate": ("stream.cli.simulate", "Make a small bank's traffic, with the truth in a file of its own."),
    "alerts": ("stream.cli.alerts", "Read the alert topic."),
    "review": ("stream.cli.review", "Send a reviewer's verdict on an alert."),
    "rules": ("stream.cli.rules", "Check and test rule packs."),
    "replay": ("stream.cli.replay", "Run the core over history: scores, decisions, comparison, verification."),
    "state": ("stream.cli.state", "Dump the state that stands behind the decisions."),
    "status": ("stream.cli.status", "Count what went in and what came out, per partition."),
    "dlq": ("stream.cli.dlq", "Send dead letters to their topics once more."),
    "repair": ("stream.cli.repair", "Put right what a fault has left behind, by recorded steps."),
    "policy": ("stream.cli.policy", "Publish, approve, list and roll back policy versions."),
    "model": ("stream.cli.model", "List, promote and roll back model versions."),
    "config": ("stream.cli.config", "Show the settings in force."),
    "doctor": ("stream.cli.doctor", "Check that this machine and its Kafka have what riskstream needs."),
}
"""Name of each command, the module that holds its click command as ``command``, and its one-line help."""


EXTRAS = {"pyarrow": "files", "distributed": "dask", "python_calamine": "xlsx"}
"""Packages that an installation may do without, and the extra of riskstream that brings each."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="riskstream")
def riskstream() -> None:
    """Real-time transaction risk alerting for banks: Kafka in, explained decisions out.

    Settings come from flags, the environment (RISKSTREAM_BROKER and others) or a file; see `riskstream config show`.
    Exit status: 0 fine, 1 found problems, 2 wrong usage, 3 broker not reachable.
    """


def main() -> None:
    """Entry point of the ``riskstream`` command."""
    begin()
    try:
        riskstream(standalone_mode=True)
    except RiskstreamError as error:
        say_error(error)
        sys.exit(error.exit_status)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        say_error(
            UsageError(f"{error.name} is not installed, which this command needs: pip install 'riskstream[{extra}]'")
        )
        sys.exit(UsageError.exit_status)
