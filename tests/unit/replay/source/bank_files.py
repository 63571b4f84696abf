"""Files and maps of tests: written, opened, read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from stream.cli.replay import command
from stream.replay.source.column_map import load_column_map
from stream.replay.source.sources import Source, open_source

AT = "2026-03-01T09:00:00Z"
BASE = {
    "transaction_id": "{column: id}", "account_id": "{column: account}", "payee_id": "{column: payee}",
    "event_time": "{column: at}", "amount_minor": "{column: amount, scale: 100}", "currency": "{constant: EUR}",
    "channel": "{constant: app}",
}  # fmt: skip


def map_text(head: str = "", labels: str = "", **fields: str) -> str:
    lines = [f"  {name}: {text}" for name, text in (BASE | fields).items()]
    return f"{head}\nfields:\n" + "\n".join(lines) + f"\n{labels}\n"


def source(path: Path, text: str, **options: Any) -> Source:
    map_path = path.parent / "map.yaml"
    map_path.write_text(text, "utf-8")
    return open_source(path, load_column_map(map_path), **options)


def read(path: Path, text: str, rows: int = 20_000) -> tuple[list[dict[str, Any]], list[tuple[int, str, str]]]:
    """Accepted rows as they go to Kafka, and (line, reason, message) of the refused ones."""
    accepted, refused = [], []
    for chunk in source(path, text).chunks(rows):
        accepted += [json.loads(value) for value in chunk.accepted_values]
        assert chunk.lines is not None
        refused += [(int(chunk.lines[one.index]), one.reason, one.message) for one in chunk.decoded.refused]
    return accepted, refused


def brief(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["transaction_id"], row["amount_minor"], row["event_time"]) for row in rows]


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


CARD = f"id,account,payee,at,amount,state,dir\ns1,a,grocer,{AT},-20.00,OK,D\ns2,a,work,{AT},2500.00,OK,C\n"
NIGHT = [
    ("01:30", "23:30"),
    ("02:10", "00:10"),
    ("02:50", "00:50"),
    ("02:05", "01:05"),
    ("02:55", "01:55"),
    ("03:10", "02:10"),
]


def replayed(path: Path, text: str, *options: str) -> Any:
    map_path = path.parent / "map.yaml"
    map_path.write_text(text, "utf-8")
    return CliRunner().invoke(command, [str(path), "--columns", str(map_path), "--round", "0s", *options])
