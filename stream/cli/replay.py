"""``riskstream replay``: the core over history."""

from __future__ import annotations

import sys
from typing import Any

import click

from stream.cli.options import json_option, print_json
from stream.cli.replay_options import ReplayOptions, replay_options
from stream.cli.say import say

_EXAMPLES = """
\b
Examples:
  riskstream replay bank.jsonl --labels truth.csv --scores scores.parquet
  riskstream replay bank.jsonl --labels truth.csv --alerts-per-day 20   # which threshold is that, and what does it find?
  riskstream replay cards.parquet --columns deploy/maps/handbook.yaml --decisions decisions.jsonl
  riskstream replay bank.jsonl --labels truth.csv --without-familiarity --json
  riskstream replay bank.jsonl --labels truth.csv --against without-familiarity --report familiarity.html
  riskstream replay bank.jsonl --labels truth.csv --policy my-packs/ --against shipped --fail-if "friction > 1.1x champion"
  riskstream replay bank.jsonl --labels truth.csv --workers 4 --checkpoint build/bank.checkpoint
  riskstream replay bank.transactions.v1 --from 2026-07-01T00:00:00Z --to 2026-08-01T00:00:00Z --report july.html
  riskstream replay risk.decisions.v1 --from 2026-07-01T00:00:00Z
  riskstream replay --verify risk.decisions.v1 --broker kafka-1:9092
"""


@click.command(
    epilog=_EXAMPLES,
    help="Decide about the transactions of FILE (CSV, JSON, Parquet, .xlsx, ISO 20022 .xml) as the workers would have, learning from labels "
    "as they would have come: each is withheld until its payment's event time plus the label delay. Of TOPIC, the "
    "transactions topic, feedback is heard as it arrived; of the decisions topic, what was decided live is measured "
    "and nothing computed. The same history, labels, policy and seed give the same bytes. Rows that the contract "
    "refuses are counted by reason, as dead letters would be, and the exit status is then 1. How it works: docs/replay.md.",
)
@replay_options
@json_option
def command(as_json: bool, **given: Any) -> None:
    """Check what can be wrong, walk the history, say what came of it."""
    options = ReplayOptions(**given)
    if options.verify_topic_of:
        from stream.cli.verification import verify_topic

        sys.exit(verify_topic(options.file, options.settings(), as_json=as_json))
    gates = options.gates()
    summary = _summary(options)
    if _told(options, summary, gates, as_json=as_json):
        click.get_current_context().exit(1)


def _summary(options: ReplayOptions) -> dict[str, Any]:
    if options.is_file:
        from stream.cli.replay_walk import walk_history

        return walk_history(options, options.source(), options.shape(options.label_delay))
    from stream.cli.replay_topics import replay_topic

    return replay_topic(options)


def _told(options: ReplayOptions, summary: dict[str, Any], gates: list[Any], *, as_json: bool) -> bool:
    """Show what came of it, write the report, check the gates; returns whether there is a problem: a gate that failed,
    labels that met no payment, rows of a file that were refused, a file without a payment."""
    from stream.replay.measure.gates import check_all
    from stream.replay.report.replay_screen import budget_lines, summary_lines, what_if_lines
    from stream.replay.report.report import write_report

    lines = (*summary_lines(summary), *budget_lines(summary), *(what_if_lines(summary) if options.what_if else ()))
    for line in lines:
        say(line)
    results = check_all(gates, summary)
    for result in results:
        say(f"  gate {result}")
    if options.report_file is not None:
        write_report(summary, options.report_file)
    if as_json:
        print_json(summary)
    failed = any(result.failed for result in results)
    unread = options.is_file and (summary["dead"] > 0 or summary.get("no_payment", False))
    return failed or summary.get("labels", {}).get("met") == 0 or unread
