"""``riskstream policy``: publish, approve, list and roll back policy versions."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import click
from confluent_kafka import Producer

from rules.approval import ApprovalError, PolicyRecord, approve, decode, publish, rollback, status
from rules.policy import Policy
from rules.problem import PackError, errors
from stream.cli.options import json_option, print_json, with_settings
from stream.cli.quarantine import INTERNAL, MODELS, ControlTopics, quarantine
from stream.cli.say import say
from stream.errors import RiskstreamError, UsageError
from stream.log.connect import check_reachable, producer_config
from stream.log.topics import ensure_topics
from stream.settings import Settings
from stream.versions.policies import record_of

TOPIC = "risk.policies.v1"


@click.group(
    "policy",
    epilog="""\b
Examples:
  riskstream policy publish packs/ --valid-from 2026-12-01T00:00:00Z --by chen
  riskstream policy approve p-1f2e3d4c5b6a --by okafor
  riskstream policy list
  riskstream policy rollback --by okafor
  riskstream policy quarantine 17 --by okafor     # the record at offset 17, which policy list names, is known
""",
)
def command() -> None:
    """Publish a policy as one person, approve it as another, go back with one command.

    A policy is a directory of packs, lists and snoozes; its version is the digest of their content. Running workers
    take an approved version over within seconds, at the next batch.
    """


@command.command("publish")
@click.argument("directory", type=click.Path(exists=True, path_type=Path))
@click.option("--valid-from", "valid_from", default="now", show_default=True, help="RFC 3339 time, or now.")
@click.option("--by", "by", required=True, help="Who publishes.")
@json_option
@with_settings
def publish_command(directory: Path, valid_from: str, by: str, as_json: bool, settings: Settings) -> None:
    """Publish the packs of DIRECTORY as a new version, to be approved by a second person."""
    now = _now()
    try:
        policy = Policy.load([directory])
        _check(policy)
        record = publish(_records(settings), policy, by, now, _instant(valid_from, now))
    except PackError as error:
        raise RiskstreamError(f"packs in {directory} cannot be used:", map(str, error.problems)) from error
    except ApprovalError as error:
        raise RiskstreamError(str(error)) from error
    _write(settings, record)
    _say(
        record,
        f"published by {by}; a second person approves it: riskstream policy approve {record.version} --by NAME",
        as_json,
    )


@command.command("approve")
@click.argument("version")
@click.option("--by", "by", required=True, help="Who approves; not who published.")
@json_option
@with_settings
def approve_command(version: str, by: str, as_json: bool, settings: Settings) -> None:
    """Approve a published VERSION; it takes effect from its time on."""
    try:
        record = approve(_records(settings), version, by, _now())
    except ApprovalError as error:
        raise RiskstreamError(str(error)) from error
    _write(settings, record)
    _say(record, f"approved by {by}, valid from {_shown(record.valid_from)}", as_json)


@command.command("rollback")
@click.option("--by", "by", required=True, help="Who rolls back.")
@json_option
@with_settings
def rollback_command(by: str, as_json: bool, settings: Settings) -> None:
    """Withdraw the version in force: the one approved before it is in force again."""
    try:
        record = rollback(_records(settings), by, _now())
    except ApprovalError as error:
        raise RiskstreamError(str(error)) from error
    _write(settings, record)
    _say(record, f"withdrawn by {by}", as_json)


@command.command("list")
@json_option
@with_settings
def list_command(as_json: bool, settings: Settings) -> None:
    """Every version, who published and approved it, and where it stands now; and records that were set aside."""
    now = _now()
    topics = _read(settings)
    records = sorted(topics.policies.records.values(), key=lambda r: (r.valid_from, r.published_at, r.version))
    rows = [
        {
            "version": r.version,
            "status": status(records, r.version, now),
            "valid_from": _shown(r.valid_from),
            "published_by": r.published_by,
            "approved_by": r.approved_by,
        }
        for r in records
    ]
    for row in rows:
        say(
            f"{row['version']}  {row['status']:<11} from {row['valid_from']}  "
            f"published by {row['published_by']}, approved by {row['approved_by'] or '-'}"
        )
    for line in topics.lines(TOPIC):
        say(line)
    if as_json:
        print_json({"policies": rows, "refused": topics.json(TOPIC)})


@command.command("quarantine")
@click.argument("offset", type=click.IntRange(min=0))
@click.option("--by", "by", required=True, help="Who says that the record is known.")
@click.option(
    "--topic", "topic", type=click.Choice([TOPIC, MODELS, *INTERNAL]), default=TOPIC, show_default=True,
    metavar="TOPIC", help="As `/ready` and `policy list` name it: without prefix.",
)  # fmt: skip
@click.option("--partition", type=click.IntRange(min=0), default=0, show_default=True)
@json_option
@with_settings
def quarantine_command(offset: int, by: str, topic: str, partition: int, as_json: bool, settings: Settings) -> None:
    """Say that the record at OFFSET, which its readers set aside, is known: it is listed as quarantined and alarms no
    more.

    Of a policy or a model the last good record of its key is written again, so that compaction takes the bad one away
    alone. Other topics, whose partitions workers read each for itself, get nothing written: `/ready` names topic,
    partition and offset. What ends as a dead letter (inputs, risk.profiled.v1) needs no such word."""
    found = quarantine(settings, topic, partition, offset, by, _now())
    if as_json:
        print_json(found)


def _check(policy: Policy) -> None:
    from stream.core.features import SCHEMA

    found = errors(policy.check(SCHEMA))
    if found:
        raise PackError(found)


def _records(settings: Settings) -> list[PolicyRecord]:
    return list(_read(settings).policies.records.values())


def _read(settings: Settings) -> ControlTopics:
    check_reachable(settings)
    ensure_topics(settings)
    return ControlTopics.read(settings, models=False)


def _write(settings: Settings, record: PolicyRecord) -> None:
    key, value = record_of(record)
    try:
        decode(value)  # no reader may refuse what a command wrote
    except ApprovalError as error:
        raise RiskstreamError(f"this record would be refused by its readers: {error}") from error
    if len(value) > settings.max_message_bytes:
        raise RiskstreamError(
            f"the policy has {len(value)} bytes, {settings.max_message_bytes} are possible; split its lists"
        )
    failed: list[str] = []
    producer = Producer(producer_config(settings))
    producer.produce(
        settings.topic(TOPIC), value, key, on_delivery=lambda error, _: failed.append(error.str()) if error else None
    )
    if producer.flush(30.0) or failed:
        raise RiskstreamError(f"the policy record was not written: {failed[0] if failed else 'no answer within 30 s'}")


def _say(record: PolicyRecord, what: str, as_json: bool) -> None:
    say(f"{record.version} {what}")
    if as_json:
        print_json(
            {"version": record.version, "approved_by": record.approved_by, "valid_from": _shown(record.valid_from)}
        )


def _now() -> int:
    return time.time_ns() // 1000


def _instant(text: str, now: int) -> int:
    if text == "now":
        return now
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--valid-from {text}: not an RFC 3339 time such as 2026-12-01T00:00:00Z") from error
    if at.tzinfo is None:
        raise UsageError(f"--valid-from {text}: say the offset, for UTC a Z at the end")
    return int((at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()) * 1_000_000


def _shown(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
