"""``riskstream gateway``: messages of the bank's rails into the line, and the line's answers out."""

from __future__ import annotations

import os
import sys

import click

from stream.cli.options import point_out_unknown
from stream.private_files import OWNER_UMASK
from stream.settings import load

_EXAMPLES = """
\b
Examples:
  RISKSTREAM_HASH_KEY_FILE=key riskstream gateway iso20022 --metrics-port 8001
  riskstream gateway iso20022 --broker kafka-1:9092,kafka-2:9092 --instance gateway-a
"""


@click.group(help="Messages of payment rails into the line, and the line's answers out.")
def command() -> None:
    """Group of the commands below."""


@command.command(
    epilog=_EXAMPLES,
    help="Read bank.iso20022.v1 (one XML document a record: pain.001, pacs.008, pacs.004, camt.056, camt.029), write transactions and "
    "feedback; follow decisions, resolutions and verdicts, write pacs.002 and camt.056 to risk.iso20022.v1. Each once, until SIGTERM. "
    "One process works; others of the same group wait for it to end. Exit status: 0 asked to end, 2 wrong usage, 3 broker not "
    "reachable.",
)
@click.option("--broker", metavar="HOST:PORT", help="Kafka bootstrap servers (RISKSTREAM_BROKER).")
@click.option("--topic-prefix", metavar="PREFIX", help="Put before every topic name.")
@click.option("--metrics-port", type=int, metavar="PORT", help="Port of /metrics, /live and /ready.")
@click.option("--instance", metavar="NAME", help="Static membership: a name that is this process's alone.")
def iso20022(broker: str | None, topic_prefix: str | None, metrics_port: int | None, instance: str | None) -> None:
    """Check what can be wrong, then run."""
    os.umask(OWNER_UMASK)
    point_out_unknown(os.environ)
    settings = load(
        {"broker": broker, "topic_prefix": topic_prefix, "metrics_port": metrics_port, "instance": instance}
    )
    from stream.log.connect import check_reachable
    from stream.message_terms import terms_of

    terms = terms_of(settings)
    check_reachable(settings)
    from stream.gateway.run_gateway import run_gateway

    sys.exit(run_gateway(settings, terms))
