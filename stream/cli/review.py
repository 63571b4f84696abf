"""``riskstream review``: a reviewer's verdict on an alert."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime

import click

from stream.cli.options import json_option, print_json, with_settings
from stream.cli.say import say
from stream.errors import UsageError
from stream.settings import Settings


@click.command(
    epilog="""\b
Examples:
  riskstream review t7xzxddft6259v --genuine
  riskstream review t7xzxddft6259v --fraud --actor reviewer:li.wei --json
"""
)
@click.argument("alert_id")
@click.option("--genuine", "word", flag_value="genuine", help="The customer meant this payment: release it.")
@click.option("--fraud", "word", flag_value="fraud", help="It is fraud: decline it.")
@click.option("--inconclusive", "word", flag_value="inconclusive", help="It could not be found out.")
@click.option(
    "--actor", metavar="reviewer:NAME", help="Who says so; the policy must trust it.  [default: reviewer:$USER]"
)
@with_settings
@json_option
def command(alert_id: str, word: str | None, actor: str | None, settings: Settings, as_json: bool) -> None:
    """Send a verdict on ALERT_ID to the feedback topic, under the key of its transaction.

    A worker takes it within seconds: rows and models learn from it, and the hold ends.
    """
    if word is None:
        raise UsageError("say one of --genuine, --fraud or --inconclusive")
    from stream.desk.alert_topic import find_alert
    from stream.desk.verdict import require_trusted, send, verdict

    who = actor or f"reviewer:{getpass.getuser()}"
    found = find_alert(settings, alert_id)
    now = datetime.now(UTC)
    feedback = verdict(found.alert, word, who, now)
    require_trusted(settings, who)
    written = send(settings, feedback, found)
    say(
        f"{word}, says {who} about {alert_id}; written to {written.topic}[{written.partition}] at {written.offset}",
        err=as_json,
    )
    if datetime.fromisoformat(found.alert["hold_expires_at"]) < now:
        say(
            f"The hold ended by itself at {found.alert['hold_expires_at']} ({found.alert['on_expiry']}): "
            "this verdict teaches, but no longer decides the payment.",
            err=True,
        )
    if as_json:
        print_json(
            {
                "alert_id": alert_id,
                "transaction_id": feedback.transaction_id,
                "feedback_id": feedback.feedback_id,
                "verdict": word,
                "actor": who,
                **written._asdict(),
            }
        )
