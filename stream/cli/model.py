"""``riskstream model``: list, promote and roll back model versions."""

from __future__ import annotations

from typing import Any

import click
import orjson
from confluent_kafka import Producer

from stream.cli.options import json_option, print_json, with_settings
from stream.cli.quarantine import ControlTopics
from stream.cli.say import say
from stream.core.decision.genesis import first_snapshot
from stream.errors import RiskstreamError
from stream.log.connect import check_reachable, producer_config
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.settings import Settings
from stream.versions.model_records import PIN_KEY, PROPOSAL_KEY
from stream.versions.models import ModelLog

TOPIC = "risk.models.v1"
SHOWN_REPORTS = 5
"""Most reports of drift that are shown to a person; ``--json`` has them all."""


@click.group(
    "model",
    epilog="""\b
Examples:
  riskstream model list
  riskstream model promote m120-1a2b3c4d --by okafor     # proposed: workers are to stay with this version
  riskstream model promote m120-1a2b3c4d --by lindqvist  # confirmed by a second person: they do
  riskstream model promote newest --by okafor            # follow the learner again (and --by another)
  riskstream model rollback --by okafor                  # back to the version before the active one (and --by another)
""",
)
def command() -> None:
    """See which models the learner published, and hold workers to one of them."""


@command.command("list")
@json_option
@with_settings
def list_command(as_json: bool, settings: Settings) -> None:
    """Every version on the topic, what it has learned from, which is active, and what is noted about them: a proposal,
    champion and challenger side by side, refusals, drift."""
    topics = ControlTopics.read(settings)
    log = topics.models
    active = log.active.version
    rows = [
        {
            "version": s.version,
            "round": s.round,
            "active": s.version == active,
            "pinned": s.version == log.pinned,
            "refused": log.refused.get(s.version),
            **s.counts,
        }
        for s in log.complete.values()
    ]
    for row in rows:
        marks = [word for word in ("pinned", "active", "refused") if row[word]]
        say(f"{row['version']:<20} {row['events']:>10} events {row['frauds']:>7} frauds  {' '.join(marks)}")
    for line in _notes(log):
        say(line)
    for line in topics.lines(TOPIC):
        say(line)
    if as_json:
        noted = {"proposal": log.proposal or None, "comparison": log.comparison or None, "drift": log.drift}
        print_json({"models": rows, "active": active, **noted, "refused": topics.json(TOPIC)})


@command.command("promote")
@click.argument("version")
@click.option("--by", "by", required=True, help="Who proposes, or confirms what another person proposed.")
@click.option("--despite-refusal", is_flag=True, help="Also a version that was refused for its alert rate.")
@json_option
@with_settings
def promote_command(version: str, by: str, despite_refusal: bool, as_json: bool, settings: Settings) -> None:
    """Hold the workers to VERSION, or let them follow the learner again with "newest": proposed by one person,
    confirmed by another one with the same command. What is known about the version is recorded with it."""
    log = read_log(settings)
    if version != "newest" and version not in log.complete:
        raise RiskstreamError(f"unknown model {version}; see riskstream model list")
    refusal = log.refused.get(version)
    if refusal and not despite_refusal:
        raise RiskstreamError(
            f"model {version} was refused: it would touch {refusal['alerts_per_10k']} of 10,000 recent payments, the one "
            f"in force {refusal['champion_alerts_per_10k']} (allowed change {refusal['allowed_change_per_10k']}); "
            "if that is wanted: --despite-refusal"
        )
    _decide(settings, log, version, by, as_json)


@command.command("rollback")
@click.option("--by", "by", required=True, help="Who proposes, or confirms what another person proposed.")
@json_option
@with_settings
def rollback_command(by: str, as_json: bool, settings: Settings) -> None:
    """Hold the workers to the version before the active one: proposed by one person, confirmed by another one."""
    log = read_log(settings)
    if log.proposal.get("rollback"):  # the active version may have changed since
        _decide(settings, log, log.proposal["version"], by, as_json)
        return
    versions = list(log.complete)
    place = versions.index(log.active.version) if log.active.version in versions else 0
    if place == 0:
        raise RiskstreamError("there is no version before the active one")
    _decide(settings, log, versions[place - 1], by, as_json, rollback=True)


def decide(log: ModelLog, version: str, by: str, *, rollback: bool = False) -> list[tuple[bytes, bytes | None]]:
    """Records to write when ``by`` asks for ``version``: a proposal, or what a second person's word makes of it.

    Raises
    ------
    RiskstreamError
        The same person asked before: another one has to confirm.
    """
    proposal = log.proposal
    if proposal.get("version") != version:
        wanted = {"version": version, "by": by, "rollback": rollback, "numbers": _numbers(log, version)}
        return [(PROPOSAL_KEY, orjson.dumps(wanted))]
    if proposal["by"] == by:
        raise RiskstreamError(f"{by} proposed {version}: another person has to confirm it with the same command")
    pin = {
        "version": "" if version == "newest" else version,
        "by": proposal["by"],
        "confirmed_by": by,
        "proposed_on": proposal["numbers"],
        "confirmed_on": _numbers(log, version),
    }
    return [(PIN_KEY, orjson.dumps(pin)), (PROPOSAL_KEY, None)]


def _numbers(log: ModelLog, version: str) -> dict[str, Any]:
    """What is known about a version when somebody decides about it."""
    snapshot = log.newest if version == "newest" else log.complete[version]
    return {
        "active": log.active.version,
        "learned": snapshot.counts,
        "side_by_side": log.comparison or None,
        "refusal": log.refused.get(snapshot.version),
    }


def _notes(log: ModelLog) -> list[str]:
    """Proposal, comparison and the latest drift, for a person."""
    lines = []
    if log.proposal:
        lines.append(f"proposed by {log.proposal['by']}: {log.proposal['version']}; another person confirms it")
    if log.comparison:
        c = log.comparison
        lines.append(
            f"champion {c['champion']} touches {c['champion_alerts']} of {c['events']} live payments, challenger "
            f"{c['challenger']} {c['challenger_alerts']} (both {c['both']}); of {c['frauds']} frauds that matured "
            f"{c['champion_caught']} against {c['challenger_caught']}, of {c['genuine']} genuine {c['champion_false']} "
            f"against {c['challenger_false']}"
        )
    return [*lines, *drift_lines(log.drift)]


def drift_lines(reports: list[dict[str, Any]]) -> list[str]:
    """The latest reports of drift, for a person."""
    return [
        f"drift: {report['kind']} in {report['scenario']} until {report['at']}: {report['seen']:g} where "
        f"{report['expected']:g} are usual; moved: {', '.join(item['feature'] for item in report['moved']) or 'nothing'}"
        for report in reports[-SHOWN_REPORTS:]
    ]


def read_log(settings: Settings, *, notes_alone: bool = False) -> ModelLog:
    """What ``risk.models.v1`` says.

    Parameters
    ----------
    notes_alone
        Leave the snapshots out: what is noted beside them costs nothing to decode.
    """
    check_reachable(settings)
    log, reader = ModelLog(first_snapshot(settings.seed), keep=None), KafkaReader(settings)
    try:
        for chunk in reader.read(Place(settings.topic(TOPIC), 0), 0):
            for record in chunk:
                key = record.key or b""
                if not (notes_alone and b"/" in key):
                    log.take(record.key, record.value, record.offset)
    finally:
        reader.close()
    return log


def _decide(settings: Settings, log: ModelLog, version: str, by: str, as_json: bool, *, rollback: bool = False) -> None:
    records = decide(log, version, by, rollback=rollback)
    _write(settings, records)
    done = records[0][0] == PIN_KEY
    if not done:
        say(f"proposed: {version}; another person confirms it with the same command")
    else:
        say("following the newest model" if version == "newest" else f"workers stay with {version}")
    if as_json:
        print_json({"version": version, "state": "in force" if done else "proposed"})


def _write(settings: Settings, records: list[tuple[bytes, bytes | None]]) -> None:
    failed: list[str] = []
    producer = Producer(producer_config(settings))
    for key, value in records:
        producer.produce(
            settings.topic(TOPIC), value, key,
            on_delivery=lambda error, _: failed.append(error.str()) if error else None,
        )  # fmt: skip
    if producer.flush(30.0) or failed:
        raise RiskstreamError(f"not written: {failed[0] if failed else 'no answer within 30 s'}")
