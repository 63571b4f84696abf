"""``riskstream kafka``: a real Apache Kafka on this machine, for development."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from stream.brokers.kafka import HOST, SECURITY, DevelopmentKafka, KafkaStatus, development_security
from stream.brokers.secured import MECHANISM, USER, Security, write_environment
from stream.cli.options import json_option, print_json
from stream.cli.say import say
from stream.errors import RiskstreamError, UsageError
from stream.settings import load

DEFAULT_PORT = 9092

_port_option = click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=DEFAULT_PORT,
    show_default=True,
    help="Port on the loopback interface; each port is a broker of its own, with its own data.",
)


@click.group()
def command() -> None:
    """Run a real Apache Kafka 4.1 (one KRaft node, loopback only) without Docker.

    Its jars come from Maven, once, pinned in deploy/devkafka/pom.xml; it needs Java 17 or later. Its data are under
    RISKSTREAM_DATA_DIRECTORY (.riskstream here) and survive `down`.

    \b
    Examples:
      riskstream kafka up
      riskstream kafka up --port 19092 && export RISKSTREAM_BROKER=127.0.0.1:19092
      riskstream kafka up --secure --json
      riskstream kafka status --json
      riskstream kafka down --wipe
    """


@command.command()
@_port_option
@click.option("--secure", is_flag=True, help="TLS, SCRAM, mutual TLS and access lists; see `secure.env`.")
@json_option
def up(port: int, secure: bool, as_json: bool) -> None:
    """Start it and wait until it serves; fine when it already does.

    With --secure clients sign in: the port speaks SASL_SSL with SCRAM-SHA-512, another one mutual TLS, and an authorizer
    lets user `riskstream` do what the line needs. Authority, certificates and passwords are made at first; the settings
    that reach it are written to `secure.env` in the data directory (for its owner alone): `set -a; . .riskstream/secure.env`.
    """
    broker = _broker(port, secure=secure)
    if secure is False and broker.security is not None:
        raise UsageError(
            f"the Kafka of port {port} is secured; say --secure, or wipe it with `{_command_line('down', port)} --wipe`"
        )
    found = broker.start()
    details = _secured(broker.security) if broker.security is not None else {}
    reached = [f"Settings that reach it: {details['env_file']}"] if details else []
    _print(found, as_json, [*reached, f"Stop it with: {_command_line('down', port)}"], details)


@command.command()
@_port_option
@click.option("--wipe", is_flag=True, help="Delete its data as well.")
@json_option
def down(port: int, wipe: bool, as_json: bool) -> None:
    """Stop the broker that `up` started, and no other; its data stay unless --wipe is given."""
    broker = _broker(port)
    stopped = broker.stop()
    if not stopped:
        say(f"No Kafka that riskstream started runs on port {port}.", err=True)
    if wipe:
        broker.wipe()
    status = broker.status()
    _print(status, as_json)
    if status.state == "foreign":
        raise RiskstreamError(f"{status.bootstrap} is in use by a program that riskstream did not start; left alone")


@command.command()
@_port_option
@json_option
def status(port: int, as_json: bool) -> None:
    """Whether it runs and answers: exit status 0 when it does, else 3."""
    found = _broker(port).status()
    _print(found, as_json)
    if found.state != "running":
        sys.exit(3)


def _broker(port: int, *, secure: bool = False) -> DevelopmentKafka:
    directory = Path(load().data_directory).resolve() / "kafka" / str(port)
    security = development_security(directory, port) if secure or (directory / SECURITY).exists() else None
    return DevelopmentKafka(port, directory, progress=lambda line: say(line, err=True), security=security)


def _secured(security: Security) -> dict[str, Any]:
    """Write the settings that reach a secured broker; what its JSON says besides, without any password."""
    path = Path(load().data_directory).resolve() / "secure.env"
    write_environment(path, security.environment())
    return {
        "env_file": str(path),
        "listeners": {one.protocol: f"{HOST}:{one.port}" for one in security.listeners},
        "sasl_mechanism": MECHANISM,
        "sasl_username": USER,
        "ssl_ca": str(security.certificate_of_authority),
        "ssl_certificate": str(security.client.certificate),
        "ssl_key": str(security.client.key),
    }


def _command_line(verb: str, port: int) -> str:
    return f"riskstream kafka {verb}" + ("" if port == DEFAULT_PORT else f" --port {port}")


def _print(found: KafkaStatus, as_json: bool, hints: Sequence[str] = (), details: dict[str, Any] | None = None) -> None:
    process = f", process {found.pid}" if found.pid else ""
    say(f"Kafka at {found.bootstrap}: {found.state}{process}; files in {found.directory}", err=as_json)
    for hint in hints:
        say(hint, err=True)
    if as_json:
        document: dict[str, Any] = dataclasses.asdict(found) | (details or {})
        print_json(document)
