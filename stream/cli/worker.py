"""``riskstream worker``: decide about transactions."""

from __future__ import annotations

import sys

import click

from stream.settings import load


@click.command(
    epilog="""\b
Examples:
  riskstream worker
  riskstream worker --broker kafka-1:9092,kafka-2:9092 --metrics-port 9100
  riskstream worker --instance worker-a        # static membership: a quick restart moves nothing
"""
)
@click.option("--broker", metavar="HOST:PORT", help="Kafka bootstrap servers (RISKSTREAM_BROKER).")
@click.option("--topic-prefix", metavar="PREFIX", help="Put before every topic name.")
@click.option("--metrics-port", type=int, metavar="PORT", help="Port of /metrics, /live and /ready.")
@click.option("--instance", metavar="NAME", help="Static membership: a name that is this worker's alone.")
def command(broker: str | None, topic_prefix: str | None, metrics_port: int | None, instance: str | None) -> None:
    """Decide about transactions until SIGTERM; then finish the batch, write a checkpoint and exit 0."""
    from stream.worker.run import run_worker

    settings = load(
        {"broker": broker, "topic_prefix": topic_prefix, "metrics_port": metrics_port, "instance": instance}
    )
    sys.exit(run_worker(settings))
