"""Options shared by commands, and the one way a command prints its JSON."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import click
import orjson

from stream.cli.say import say
from stream.plain_text import one_line_json
from stream.settings import Settings, load, unknown_variables


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the ``settings`` argument, with ``--broker`` and ``--topic-prefix`` on top of the environment."""

    @click.option("--broker", metavar="HOST:PORT", help="Kafka bootstrap servers (RISKSTREAM_BROKER).")
    @click.option("--topic-prefix", metavar="PREFIX", help="Put before every topic name (RISKSTREAM_TOPIC_PREFIX).")
    @functools.wraps(command)
    def wrapped(*args: Any, broker: str | None, topic_prefix: str | None, **kwargs: Any) -> Any:
        settings: Settings = load({"broker": broker, "topic_prefix": topic_prefix})
        return command(*args, settings=settings, **kwargs)

    return wrapped


def point_out_unknown(environment: Mapping[str, str]) -> None:
    """Name variables on stderr that would be settings if they were spelt like one."""
    for name in unknown_variables(environment):
        say(f"{name} is set, but riskstream has no such setting; is it misspelt?", err=True)


json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line of stdout.")


def print_json(document: object) -> None:
    """Write one JSON object as one line to stdout."""
    click.echo(one_line_json(orjson.dumps(document).decode()))
