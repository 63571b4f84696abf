"""``riskstream config``: the settings in force, and where each came from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from stream.cli.options import json_option, point_out_unknown, print_json, with_settings
from stream.settings import ENVIRONMENT_PREFIX, FILE_VARIABLE, Settings, load, unknown_variables

_MASK = "********"


@click.group()
def command() -> None:
    """Show the settings in force.

    \b
    Examples:
      riskstream config show
      RISKSTREAM_SETTINGS=bank.yaml riskstream config show --json
      riskstream config show --broker kafka.example:9092
    """


@command.command()
@with_settings
@json_option
def show(settings: Settings, as_json: bool) -> None:
    """Print each setting: its value, where that came from, and what it means. Passwords are masked.

    A flag goes before the environment (RISKSTREAM_<NAME>), that before the file named by RISKSTREAM_SETTINGS, and
    that before the default.
    """
    rows = describe(settings, os.environ)
    point_out_unknown(os.environ)
    if as_json:
        print_json({"settings": rows, "unknown": unknown_variables(os.environ)})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("setting", "value", "from", "meaning"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(row["name"], str(row["value"]) if row["value"] != "" else "-", row["source"], row["description"])
    Console(width=None if os.isatty(1) else 160).print(table)


def describe(settings: Settings, environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """Name, value, source, environment variable and description of every setting, secrets masked.

    >>> row = describe(Settings(sasl_password="secret"), {"RISKSTREAM_SASL_PASSWORD": "secret"})[4]
    >>> row["name"], row["value"], row["source"]
    ('sasl_password', '********', 'RISKSTREAM_SASL_PASSWORD')
    """
    file_name = environment.get(FILE_VARIABLE, "")
    in_file = load(environment={FILE_VARIABLE: file_name}).model_fields_set if file_name else set()
    without_flags = load(environment=environment)
    rows: list[dict[str, Any]] = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        variable = f"{ENVIRONMENT_PREFIX}{name.upper()}"
        source = variable if variable in environment else file_name if name in in_file else "default"
        if value != getattr(without_flags, name):
            source = f"--{name.replace('_', '-')}"
        rows.append(
            {
                "name": name,
                "value": _MASK if value and not field.repr else value,
                "source": source,
                "variable": variable,
                "description": field.description,
            }
        )
    return rows
