"""``riskstream dlq``: dead letters, sent to their topics once more."""

from __future__ import annotations

import click

from stream.cli.options import json_option, print_json, with_settings
from stream.cli.say import say
from stream.contracts.refusal import REASONS
from stream.settings import Settings


@click.group()
def command() -> None:
    """Dead letters: records that could not be taken, each with its reason."""


@command.command(
    epilog="""\b
Examples:
  riskstream dlq retry --dry-run
  riskstream dlq retry                                # those that riskstream itself failed at
  riskstream dlq retry --reason future --reason untrusted
  riskstream dlq retry --again --json                 # after an upgrade: also what died again
"""
)
@with_settings
@click.option(
    "--reason", "reasons", multiple=True, type=click.Choice(REASONS), default=("internal",), show_default=True,
    help="Letters of this reason; may be given several times. A record in the wrong partition goes to its customer's.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), default=10_000, show_default=True, help="Most letters of one run.")
@click.option("--again", is_flag=True, help="Also those that were sent before and died again.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@json_option
def retry(
    settings: Settings, reasons: tuple[str, ...], limit: int, again: bool, dry_run: bool, as_json: bool
) -> None:  # fmt: skip
    """Send dead letters to their topics once more, with their own keys: each once, however often this is run.

    Mend first what the reason speaks of. A record that the accounts hop had taken already is not sent: its account
    counts it, and would call it a duplicate; let the bank send that payment under a new transaction_id. `id_conflict`
    deserves a look before: beyond the account's last 16 transactions it would be decided about.
    """
    from stream.repair.retried_letters import retry as retry_letters

    done = retry_letters(settings, frozenset(reasons), limit=limit, again=again, dry_run=dry_run)
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(done.sent.items())) or "none"
    say(f"{'would be sent' if dry_run else 'sent'} again: {told}; sent before: {done.before}", err=as_json)
    if done.profiled:
        say(
            f"{done.profiled} not sent: their accounts have counted them already; send those payments under new ids",
            err=as_json,
        )
    if done.without_value:
        say(f"{done.without_value} not sent: their records are not on the topic any more", err=as_json)
    if as_json:
        print_json({**done.as_json(), "dry_run": dry_run})
