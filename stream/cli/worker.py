"""``riskstream worker``: decide about transactions."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import click

from stream.cli.options import point_out_unknown
from stream.private_files import OWNER_UMASK
from stream.settings import load

TIED_DRAIN_S = 10.0


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
@click.option("--embedded", type=int, hidden=True, help="On an embedded broker with so many partitions.")
@click.option("--tied", is_flag=True, hidden=True, help="End when standard input does: whoever started this is gone.")
def command(
    broker: str | None,
    topic_prefix: str | None,
    metrics_port: int | None,
    instance: str | None,
    embedded: int | None,
    tied: bool,
) -> None:
    """Decide about transactions until SIGTERM; then finish the batch, write a checkpoint and exit 0.

    \b
    Exit status: 0 asked to end, 1 not alive for 90 s, 2 wrong usage, 3 broker not reachable,
    4 its recovery is refused for good: what is stored does not fit, and /ready said why.
    """
    os.umask(OWNER_UMASK)  # whatever it keeps on disk is the worker's alone
    if tied:
        threading.Thread(target=_end_with_standard_input, name="tied", daemon=True).start()
    point_out_unknown(os.environ)
    settings = load(
        {"broker": broker, "topic_prefix": topic_prefix, "metrics_port": metrics_port, "instance": instance}
    )
    if embedded is None:
        from stream.log.connect import check_reachable

        check_reachable(settings)  # before anything that takes time: importing, compiling
    from stream.worker.run_worker import run_worker

    sys.exit(run_worker(settings, transactional=embedded is None, partitions=embedded))


def _end_with_standard_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    # the broker may have gone with it: then nothing can be drained, and there is nobody to wait for
    time.sleep(TIED_DRAIN_S)
    os._exit(1)
