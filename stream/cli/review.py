"""``riskstream review``: a reviewer's verdict on an alert."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

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
  riskstream review 000017 --genuine --account acc-b
"""
)
@click.argument("alert_id")
@click.option("--genuine", "word", flag_value="genuine", help="The customer meant this payment: release it.")
@click.option("--fraud", "word", flag_value="fraud", help="It is fraud: decline it.")
@click.option("--inconclusive", "word", flag_value="inconclusive", help="It could not be found out.")
@click.option("--account", metavar="ACCOUNT_ID", default="", help="Whose payment, where several accounts have this id.")
@click.option(
    "--actor", metavar="reviewer:NAME", help="Who says so; the policy must trust it.  [default: reviewer:$USER]"
)
@with_settings
@json_option
def command(
    alert_id: str, word: str | None, account: str, actor: str | None, settings: Settings, as_json: bool
) -> None:
    """Send a verdict on ALERT_ID to the feedback topic, under the key of its transaction.

    A worker takes it within seconds: rows and models learn from it, and the hold ends. Where the hold has ended already, the
    verdict is written all the same, for it is a fact; that it decides nothing any more is said, and the exit status is 1.
    """
    if word is None:
        raise UsageError("say one of --genuine, --fraud or --inconclusive")
    from stream.desk.alert_topic import find_alert, find_resolution
    from stream.desk.verdict import require_trusted, send, verdict

    who = actor or f"reviewer:{getpass.getuser()}"
    found = find_alert(settings, alert_id, account)
    now = datetime.now(UTC)
    feedback = verdict(found.alert, word, who, now)
    require_trusted(settings, who)
    ended = _ended(found.alert, find_resolution(settings, found.alert), now)
    written = send(settings, feedback, found)
    say(
        f"{word}, says {who} about {alert_id} of account {feedback.account_id}; written to {written.topic}[{written.partition}] at {written.offset}",
        err=as_json,
    )
    if ended:
        say(f"{ended}: this verdict teaches, but no longer decides the payment.", err=True)
    if as_json:
        print_json(
            {
                "alert_id": alert_id,
                "transaction_id": feedback.transaction_id,
                "account_id": feedback.account_id,
                "ended": ended or None,
                "feedback_id": feedback.feedback_id,
                "verdict": word,
                "actor": who,
                **written._asdict(),
            }
        )
    if ended:
        raise SystemExit(1)


def _ended(alert: Mapping[str, Any], resolution: Mapping[str, Any] | None, now: datetime) -> str:
    """How the hold had ended before this verdict, in words; empty where it had not."""
    if resolution is not None:
        return f"The hold had ended at {resolution['at']} ({resolution['result']}, cause {resolution['cause']})"
    if datetime.fromisoformat(alert["hold_expires_at"]) < now:
        return f"The hold ended by itself at {alert['hold_expires_at']} ({alert['on_expiry']})"
    return ""
