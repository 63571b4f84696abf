"""``riskstream alerts``: the alert topic, readably, and the queue of open reviews."""

from __future__ import annotations

import signal
import time
from types import FrameType

import click

from stream.cli.options import json_option, print_json, with_settings
from stream.cli.say import say
from stream.settings import Settings


@click.group(
    epilog="""\b
Examples:
  riskstream alerts tail
  riskstream alerts tail --from end --json | jq .decision.outcome
  riskstream alerts tail --no-follow --limit 20
  riskstream alerts tail --escalations            # information that was owed and did not come
  riskstream alerts tail --group night-shift      # goes on where that group stopped
  riskstream alerts queue                         # what to review next, and how much is waiting
"""
)
def command() -> None:
    """Read the alert topic, and the queue of open reviews."""


@command.command()
@with_settings
@click.option(
    "--from",
    "begin",
    type=click.Choice(["beginning", "end"]),
    default="beginning",
    show_default=True,
    help="Where to begin, if no offset of the group says.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after so many alerts.")
@click.option("--group", default="", metavar="NAME", help="Remember how far was read, under this consumer group.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Wait for more at the end of the topic.")
@click.option("--escalations", is_flag=True, help="Read what was owed and not supplied in time instead.")
@click.option("--json", "as_json", is_flag=True, help="One alert a line, as it was written.")
def tail(
    settings: Settings, begin: str, limit: int | None, group: str, follow: bool, escalations: bool, as_json: bool
) -> None:
    """Print alerts: why, in Chinese and English, the evidence, when to answer and when the hold ends.

    Committed records only. Ctrl-C or SIGTERM ends it; an alert counts as read for --group once it was printed.
    """
    from stream.desk.alert_text import alert_text
    from stream.desk.alert_topic import ESCALATIONS, TOPIC, follow_alerts

    signal.signal(signal.SIGTERM, _interrupt)
    try:
        topic = ESCALATIONS if escalations else TOPIC
        for alert in follow_alerts(
            settings, group=group, from_end=begin == "end", stay=follow, limit=limit, topic=topic
        ):
            if as_json:
                print_json(alert)
            else:
                for line in [*alert_text(alert), ""]:
                    say(line)
    except KeyboardInterrupt:
        pass  # this is how it ends


@command.command(
    epilog="""\b
Examples:
  riskstream alerts queue
  riskstream alerts queue --limit 5
  riskstream alerts queue --json | jq '.scenarios'
"""
)
@with_settings
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="List so many reviews."
)
@json_option
def queue(settings: Settings, limit: int, as_json: bool) -> None:
    """List open reviews in the order in which to look at them, and how much work is waiting.

    Priority is the loss that a review is expected to prevent for each minute it takes. Totals for each scenario stand
    beside the budget of the policy in force; a budget hides no review, and where nothing is held the list is empty.
    """
    from stream.desk.review_queue import read_queue

    found = read_queue(settings, lambda: time.time_ns() // 1000)
    for line in found.text(limit):
        say(line, err=as_json)
    if as_json:
        print_json(found.as_json(limit))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
