"""``riskstream doctor``: whether this machine and its Kafka have what riskstream needs."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from stream.brokers import kafka_artefacts
from stream.cli.options import json_option, print_json, with_settings
from stream.cli.say import say
from stream.errors import BrokerNotReachable, RiskstreamError, UsageError
from stream.log import topics
from stream.log.connect import admin
from stream.log.librdkafka import library
from stream.settings import Settings

State = Literal["ok", "note", "problem", "unusable", "unreachable"]

PYTHON = (3, 11)
REACH_TIMEOUT_S = 5.0
NATIVE = (
    "numpy",
    "numba",
    "llvmlite",
    "confluent_kafka",
    "msgspec",
    "orjson",
    "lightgbm",
    "lxml",
)
"""Modules with compiled parts: importing them finds what an image or a machine lacks."""
INSTALLED = ("faust-streaming", "mode-streaming", "aiokafka", "river", "pydantic", "prometheus-client")

_MARK: dict[State, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "note": ("note", "yellow"),
    "problem": ("PROBLEM", "red"),
    "unusable": ("PROBLEM", "red"),
    "unreachable": ("PROBLEM", "red"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``note`` is worth knowing and no fault, ``unusable`` settings no broker could take,
    ``unreachable`` is a fault of the broker's, or of who asks it."""

    check: str
    state: State
    detail: str
    remedy: str = ""


@click.command()
@with_settings
@json_option
def command(settings: Settings, as_json: bool) -> None:
    """Check Python, compiled libraries, Java and Maven, the broker, its topics and their partition counts.

    Exit status: 0 nothing wrong, 1 problems found, 2 the settings cannot be used, 3 the broker is not reachable. It changes
    nothing.

    \b
    Examples:
      riskstream doctor
      riskstream doctor --broker kafka.example:9093 --json
    """
    findings = [*machine(settings), *broker(settings)]
    for finding in findings:
        word, colour = _MARK[finding.state]
        say(f"  {finding.check}: {finding.detail}", err=as_json, mark=(f"{word:>7}", colour))
        if finding.remedy:
            say(f"{'':9}-> {finding.remedy}", err=as_json)
    status = exit_status(findings)
    if as_json:
        print_json({"ok": status == 0, "findings": [dataclasses.asdict(finding) for finding in findings]})
    sys.exit(status)


def exit_status(findings: list[Finding]) -> int:
    """3 where the broker is not reachable, 2 where it cannot be asked, else 1 where there is a problem, else 0.

    >>> exit_status([Finding("java", "note", "not installed"), Finding("broker", "unreachable", "nothing answers")])
    3
    """
    states = {finding.state for finding in findings}
    statuses: dict[State, int] = {"unreachable": 3, "unusable": 2, "problem": 1}
    return max((statuses.get(state, 0) for state in states), default=0)


def machine(settings: Settings) -> Iterator[Finding]:
    """Findings about this machine alone."""
    yield _python()
    yield from _native_modules()
    yield from _installed_packages()
    yield from _java()
    yield _data_directory(Path(settings.data_directory))


def broker(settings: Settings) -> Iterator[Finding]:
    """Findings about the broker and the topics on it."""
    try:
        client = admin(settings, timeout=REACH_TIMEOUT_S)
        metadata = client.list_topics(timeout=REACH_TIMEOUT_S)
    except BrokerNotReachable as error:
        yield Finding("broker", "unreachable", str(error))
        return
    except UsageError as error:
        yield Finding("broker", "unusable", str(error))
        return
    except KafkaException as error:
        yield Finding("broker", "unreachable", f"{settings.broker}: {error.args[0].str()}", "look at the broker's log")
        return
    yield Finding(
        "broker", "ok", f"{len(metadata.brokers)} broker(s) behind {settings.broker}, cluster {metadata.cluster_id}"
    )
    if len(metadata.brokers) < settings.replication_factor:
        yield Finding(
            "replication",
            "problem",
            f"replication_factor is {settings.replication_factor}, but there are {len(metadata.brokers)} broker(s)",
            "lower RISKSTREAM_REPLICATION_FACTOR or add brokers",
        )
    yield from _topics(client, settings)


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info[:2] != PYTHON:
        return Finding("python", "problem", f"this is {version}", "use Python 3.11: rm -r .venv, then `make setup`")
    return Finding("python", "ok", f"{version} at {sys.executable}")


def _native_modules() -> Iterator[Finding]:
    versions = []
    for name in NATIVE:
        try:
            module = importlib.import_module(name)
        except (ImportError, OSError) as error:  # OSError: a shared library that is missing on this machine
            remedy = "apt-get install libgomp1" if "libgomp" in str(error) else "install again: `make setup`"
            yield Finding(name, "problem", f"cannot be loaded: {error}", remedy)
        else:
            versions.append(f"{name} {getattr(module, '__version__', '')}".strip())
    try:
        library()
    except RiskstreamError as error:
        yield Finding("librdkafka", "problem", str(error), "or set RISKSTREAM_KAFKA_CLIENT=portable for workers")
    yield Finding("native libraries", "ok", ", ".join(versions))


def _installed_packages() -> Iterator[Finding]:
    versions = []
    for name in INSTALLED:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "problem", "is not installed", "install what the lock names: `make setup`")
    yield Finding("packages", "ok", ", ".join(versions))


def _java() -> Iterator[Finding]:
    needed_for = "needed only for `riskstream kafka up` and the tests"
    try:
        path = kafka_artefacts.java()
    except RiskstreamError as error:
        yield Finding("java", "note", f"{error} ({needed_for})")
    else:
        yield Finding("java", "ok", f"version {kafka_artefacts.java_version(path)} at {path}")
    maven = shutil.which("mvn")
    if maven is None:
        yield Finding("maven", "note", f"not installed; {needed_for}", kafka_artefacts.INSTALL_HINT)
    else:
        yield Finding("maven", "ok", maven)


def _data_directory(directory: Path) -> Finding:
    existing = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("data directory", "problem", f"{existing} is not writable", "set RISKSTREAM_DATA_DIRECTORY")
    free = shutil.disk_usage(existing).free / 2**30
    if free < 1:
        return Finding("data directory", "problem", f"{free:.1f} GiB free at {existing}", "make room, at least 1 GiB")
    return Finding("data directory", "ok", f"{directory.absolute()}, {free:.0f} GiB free")


def _topics(client: AdminClient, settings: Settings) -> Iterator[Finding]:
    existing = topics.existing_partitions(client, settings)
    line = existing.get(settings.topic(topics.INPUT), settings.partitions)
    problem = topics.mismatch(existing, settings, line)
    if problem:
        yield Finding("topics", "problem", problem)
    missing = [name for name in topics.partition_counts(settings) if name not in existing]
    if missing:
        yield Finding(
            "missing topics",
            "note",
            f"{len(missing)} not there yet: {', '.join(missing)}; a worker creates them at its start",
        )
    if existing:
        yield Finding(
            "partitions", "ok" if not problem else "note", f"{len(existing)} topics; the line has {line} partitions"
        )
        yield from _topic_configuration(client, settings, existing)


def _topic_configuration(client: AdminClient, settings: Settings, existing: dict[str, int]) -> Iterator[Finding]:
    here = [topic for topic in topics.TOPICS if settings.topic(topic.name) in existing]
    resources = [ConfigResource(ResourceType.TOPIC, settings.topic(topic.name)) for topic in here]
    futures = client.describe_configs(resources, request_timeout=10)
    configured = {resource.name: future for resource, future in futures.items()}
    copies = topics.fewest_copies(client, settings)
    wrong = 0
    for topic in here:
        name = settings.topic(topic.name)
        try:
            actual = configured[name].result()
        except KafkaException as error:
            yield Finding(
                "topic settings", "note", f"cannot be read: {error.args[0].str()}; this user may lack DescribeConfigs"
            )
            return
        wanted = topics.configuration(topic, settings)
        if actual["cleanup.policy"].value != topic.cleanup:
            wrong += 1
            yield Finding(
                name,
                "problem",
                f"cleanup.policy is {actual['cleanup.policy'].value}, expected {topic.cleanup}",
                f"kafka-configs --alter --topic {name} --add-config cleanup.policy={topic.cleanup}",
            )
        if int(actual["max.message.bytes"].value) < int(wanted["max.message.bytes"]):
            wrong += 1
            yield Finding(
                name,
                "problem",
                f"max.message.bytes is {actual['max.message.bytes'].value}, expected {wanted['max.message.bytes']}",
                f"kafka-configs --alter --topic {name} --add-config max.message.bytes={wanted['max.message.bytes']}",
            )
        found = [*_stamps(topic, name, actual), *_too_few_copies(name, copies.get(name, 1), actual)]
        wrong += len(found)
        yield from found
    if not wrong:
        yield Finding("topic settings", "ok", "cleanup, record size, copies and who stamps records are as expected")


def _too_few_copies(name: str, copies: int, actual: dict[str, ConfigEntry]) -> Iterator[Finding]:
    """Where more copies are to be in sync than there are: Kafka 4.1.1 asks for those that there are, and says nothing."""
    needed = int(actual["min.insync.replicas"].value or 1)
    if copies < needed:
        yield Finding(
            name,
            "problem",
            f"min.insync.replicas is {needed}, and a partition has {copies} replicas: records are acknowledged with {copies}, "
            "and are lost with those brokers",
            f"kafka-reassign-partitions to {max(needed + 1, 3)} replicas, or lower min.insync.replicas if {copies} is meant",
        )


def _stamps(topic: topics.Topic, name: str, actual: dict[str, ConfigEntry]) -> Iterator[Finding]:
    """Who says when a record was written, where times are judged by that."""
    kind = actual["message.timestamp.type"].value
    if topic.stamp != "broker" or kind == topics.STAMPED_BY_BROKER:
        return
    remedy = f"kafka-configs --alter --topic {name} --add-config message.timestamp.type={topics.STAMPED_BY_BROKER}"
    yield Finding(
        name,
        "problem",
        f"message.timestamp.type is {kind}, expected {topics.STAMPED_BY_BROKER}: whoever writes there dates the records, and "
        "what came in time is judged by those dates",
        remedy,
    )
    ahead = actual.get("message.timestamp.after.max.ms")
    if topic.name.startswith("bank.") and ahead is not None:
        yield Finding(
            name,
            "note",
            f"message.timestamp.after.max.ms is {ahead.value}: a record that its sender dates further ahead of the broker's "
            "clock is refused, and with it every good record of its batch",
            "let the broker stamp, as above: then no record is refused for its date; else look at the producers' clocks",
        )
