"""``riskstream produce``: a file of history to the input topics, at any rate, its labels when they would be known."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stream.cli.options import json_option, print_json, with_settings
from stream.cli.say import say
from stream.errors import BrokerNotReachable, RiskstreamError
from stream.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from stream.replay.walk.schedule import Scheduled

TOPICS = {"transaction": "bank.transactions.v1", "feedback": "bank.feedback.v1"}
MESSAGE_TIMEOUT_MS = 30_000
PROGRESS_S = 1.0
PACE_S = 0.005
_EXAMPLES = """
\b
Examples:
  riskstream produce bank.jsonl --labels truth.csv
  riskstream produce statement.csv --columns map.yaml --sort      # the newest rows stand first
  riskstream produce cards.parquet --columns deploy/maps/handbook.yaml --rate 2000 --limit 100000
  riskstream produce cards.csv --columns map.yaml --label-delay 3d --broker kafka-1:9092 --json
"""


@click.command(
    epilog=_EXAMPLES,
    help="Send FILE (CSV, JSON, Parquet, .xlsx, ISO 20022 .xml) to the input topics, keyed by customer, in file order. Kafka stamps the "
    "records with the wall clock. Frauds among the labels become feedback (chargeback, actor chargeback:file) once "
    "the event time has come to theirs plus the label delay; labels due after the last transaction are not sent. "
    "Rows that the contract refuses are not sent, are reported, and the exit status is then 1; so it is where no label of "
    "the TRUTH file met a payment, and where rows lie more than the lateness bound behind a row before them. A file whose "
    "newest rows stand first is not sent at all: --sort sends it in order.",
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--columns", "map_file", type=click.Path(dir_okay=False, path_type=Path),
    help="Column map, YAML; JSONL in the contract's own form and ISO 20022 messages need none.",
)  # fmt: skip
@click.option("--sort", "in_time_order", is_flag=True, help="Put the rows in the order of their event times first.")
@click.option("--rate", type=click.FloatRange(min=0.001), help="Transactions a second.  [default: as fast as it goes]")
@click.option("--limit", type=click.IntRange(min=1), help="Transactions, at most.")
@click.option(
    "--labels", "truth_file", type=click.Path(dir_okay=False, path_type=Path),
    help="TRUTH file: transaction_id, fraud, attack. Goes before the map's labels.",
)  # fmt: skip
@click.option("--label-delay", default="7d", show_default=True, help="When a label becomes known: 7d, 12h, 30m, 10s.")
@json_option
@with_settings
def command(
    file: Path,
    map_file: Path | None,
    in_time_order: bool,
    rate: float | None,
    limit: int | None,
    truth_file: Path | None,
    label_delay: str,
    as_json: bool,
    settings: Settings,
) -> None:
    """Check everything that can be wrong, then send."""
    from stream.log.topics import ensure_topics
    from stream.replay.report.file_watch import FileWatch, first_looked_at
    from stream.replay.report.replay_screen import remark_lines
    from stream.replay.source.column_map import load_column_map
    from stream.replay.source.sources import open_source
    from stream.replay.walk.schedule import Schedule, parse_delay

    schedule = Schedule(parse_delay(label_delay))
    source = open_source(
        file, None if map_file is None else load_column_map(map_file), truth_file, in_time_order=in_time_order
    )
    lateness_us = round(settings.lateness_minutes * 60_000_000)
    chunks = first_looked_at(source.chunks(), file, lateness_us)
    ensure_topics(settings)
    watch = FileWatch(file, lateness_us)
    sender = Sender(settings, rate)
    sender.send(schedule.records(watch.watch(chunks), limit))
    summary = sender.summary() | watch.summary() | source.remarks() | {"labels_pending": schedule.pending}
    met = None if source.truth is None else source.truth.met
    if met is not None:
        summary["labels"] = asdict(met)
    say(_sentence(summary), err=True)
    if met is not None:
        say(str(met), err=True)
    for line in (*watch.lines(), *remark_lines(source.remarks())):
        say(line, err=True)
    if as_json:
        print_json(summary)
    if watch.problem or source.remarks().get("no_payment") or (met is not None and met.nothing):
        click.get_current_context().exit(1)


class Sender:
    """Sends keyed records with an idempotent producer; a record that is not delivered ends it.

    Parameters
    ----------
    settings
        How to reach Kafka, and the topics' prefix.
    rate
        Transactions a second; None for as fast as it goes.
    timeout_ms
        A record that Kafka has not taken after so long is not delivered, ms.
    """

    def __init__(self, settings: Settings, rate: float | None, timeout_ms: int = MESSAGE_TIMEOUT_MS) -> None:
        from confluent_kafka import Producer

        from stream.log.connect import producer_config

        config = producer_config(settings) | {"message.timeout.ms": timeout_ms, "linger.ms": 20}
        self._producer = Producer(config)
        self._topics = {kind: settings.topic(topic) for kind, topic in TOPICS.items()}
        self._broker = settings.broker
        self._rate = rate
        self._timeout_s = timeout_ms / 1000
        self._sent: Counter[str] = Counter()
        self._delivered = 0
        self._failure: KafkaError | None = None
        self._start = self._shown = time.monotonic()

    def send(self, records: Iterator[Scheduled]) -> None:
        """Send all records and wait for their delivery.

        Raises
        ------
        BrokerNotReachable
            Kafka did not take a record in time.
        RiskstreamError
            Kafka refused a record, or some were not delivered at the end.
        """
        for record in records:
            if record.kind == "transaction":
                self._pace()
            self._produce(record)
            self._sent[record.kind] += 1
        self._producer.flush(self._timeout_s + 5)
        self._check()
        undelivered = self._sent.total() - self._delivered
        if undelivered:
            raise BrokerNotReachable(f"{self._broker}: {undelivered} records were not delivered; see the broker's log")

    def summary(self) -> dict[str, Any]:
        """Counts of what was sent and delivered, and how long it took."""
        seconds = time.monotonic() - self._start
        return {
            "transactions": self._sent["transaction"],
            "feedback": self._sent["feedback"],
            "delivered": self._delivered,
            "seconds": round(seconds, 3),
            "events_per_s": round(self._sent["transaction"] / seconds, 1) if seconds > 0 else 0.0,
        }

    def _produce(self, record: Scheduled) -> None:
        topic = self._topics[record.kind]
        while True:
            try:
                self._producer.produce(topic, record.value, record.key, on_delivery=self._on_delivery)
            except BufferError:
                self._producer.poll(0.1)
                self._check()
                continue
            break
        if not self._sent.total() % 100:
            self._producer.poll(0)
            self._check()
            self._progress()

    def _pace(self) -> None:
        """Wait until the next transaction is due, serving deliveries meanwhile."""
        if self._rate is None:
            return
        due = self._start + self._sent["transaction"] / self._rate
        while (wait := due - time.monotonic()) > PACE_S:
            self._producer.poll(min(wait, 0.1))
            self._check()
            self._progress()

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered += 1
        elif self._failure is None:
            self._failure = error

    def _check(self) -> None:
        """A failed delivery is fatal: what follows would leave a hole in an account's order."""
        if self._failure is None:
            return
        from confluent_kafka import KafkaError

        message = f"{self._broker}: a record was not delivered: {self._failure.str()}; {self._delivered} were"
        if self._failure.code() in (KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            raise BrokerNotReachable(message)
        raise RiskstreamError(message)

    def _progress(self) -> None:
        now = time.monotonic()
        if now - self._shown >= PROGRESS_S:
            self._shown = now
            per_s = self._sent["transaction"] / (now - self._start)
            say(f"{self._sent['transaction']:,} transactions sent, {per_s:,.0f}/s", err=True)


def _sentence(summary: dict[str, Any]) -> str:
    text = f"sent {summary['transactions']:,} transactions and {summary['feedback']:,} labels in {summary['seconds']:.1f} s"
    text += f" ({summary['events_per_s']:,.0f}/s), all delivered"
    if summary["labels_pending"]:
        text += f"; {summary['labels_pending']:,} labels fall due after the last transaction"
    if summary["refused"]:
        text += f"; {summary['refused']:,} rows refused"
    return text
