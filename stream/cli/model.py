"""``riskstream model``: list, promote and roll back model versions."""

from __future__ import annotations

import click
import orjson
from confluent_kafka import Producer

from stream.brokers.connect import check_reachable, producer_config
from stream.cli.options import json_option, print_json, with_settings
from stream.core.genesis import first_snapshot
from stream.errors import RiskstreamError
from stream.settings import Settings
from stream.worker.log import Place
from stream.worker.models import PIN_KEY, ModelLog
from stream.worker.reader import KafkaReader

TOPIC = "risk.models.v1"


@click.group(
    "model",
    epilog="""\b
Examples:
  riskstream model list
  riskstream model promote m120-1a2b3c4d --by okafor     # stay with this version
  riskstream model promote newest --by okafor            # follow the learner again
  riskstream model rollback --by okafor                  # stay with the version before the active one
""",
)
def command() -> None:
    """See which models the learner published, and hold workers to one of them."""


@command.command("list")
@json_option
@with_settings
def list_command(as_json: bool, settings: Settings) -> None:
    """Every version on the topic, what it has learned from, and which is active."""
    log = _log(settings)
    active = log.active.version
    rows = [
        {
            "version": s.version,
            "round": s.round,
            "active": s.version == active,
            "pinned": s.version == log.pinned,
            **s.counts,
        }
        for s in log.complete.values()
    ]
    for row in rows:
        mark = "pinned" if row["pinned"] else "active" if row["active"] else ""
        click.echo(f"{row['version']:<20} {row['events']:>10} events {row['frauds']:>7} frauds  {mark}")
    if as_json:
        print_json({"models": rows, "active": active})


@command.command("promote")
@click.argument("version")
@click.option("--by", "by", required=True, help="Who decides.")
@json_option
@with_settings
def promote_command(version: str, by: str, as_json: bool, settings: Settings) -> None:
    """Hold the workers to VERSION, or let them follow the learner again with "newest"."""
    log = _log(settings)
    if version != "newest" and version not in log.complete:
        raise RiskstreamError(f"unknown model {version}; see riskstream model list")
    _pin(settings, "" if version == "newest" else version, by)
    _say("following the newest model" if version == "newest" else f"workers stay with {version}", version, as_json)


@command.command("rollback")
@click.option("--by", "by", required=True, help="Who decides.")
@json_option
@with_settings
def rollback_command(by: str, as_json: bool, settings: Settings) -> None:
    """Hold the workers to the version before the active one."""
    log = _log(settings)
    versions = list(log.complete)
    place = versions.index(log.active.version) if log.active.version in versions else 0
    if place == 0:
        raise RiskstreamError("there is no version before the active one")
    _pin(settings, versions[place - 1], by)
    _say(f"workers go back to {versions[place - 1]}", versions[place - 1], as_json)


def _log(settings: Settings) -> ModelLog:
    check_reachable(settings)
    log, reader = ModelLog(first_snapshot(settings.seed), keep=None), KafkaReader(settings)
    try:
        for chunk in reader.read(Place(settings.topic(TOPIC), 0), 0):
            for record in chunk:
                log.take(record.key or b"", record.value)
    finally:
        reader.close()
    return log


def _pin(settings: Settings, version: str, by: str) -> None:
    failed: list[str] = []
    producer = Producer(producer_config(settings))
    producer.produce(
        settings.topic(TOPIC), orjson.dumps({"version": version, "by": by}), PIN_KEY,
        on_delivery=lambda error, _: failed.append(error.str()) if error else None,
    )  # fmt: skip
    if producer.flush(30.0) or failed:
        raise RiskstreamError(f"not written: {failed[0] if failed else 'no answer within 30 s'}")


def _say(what: str, version: str, as_json: bool) -> None:
    click.echo(what)
    if as_json:
        print_json({"version": version})
