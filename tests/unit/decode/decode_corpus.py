"""Cases of the corpus, and the edge as the tests call it."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
FUTURE_MS = 300_000
CORPUS = Path(__file__).parents[2] / "corpus" / "transactions.jsonl"
SHARED = Path(__file__).parents[4] / "shared" / "corpus" / "transactions.jsonl"


@dataclass(frozen=True)
class Case:
    name: str
    key: bytes
    value: bytes | None
    reason: str | None
    elsewhere: bool


def _at(match: re.Match[str]) -> str:
    instant = NOW + timedelta(seconds=int(match[1] or 0))
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _value(line: dict[str, Any]) -> bytes | None:
    if line.get("value_null"):
        return None
    if "value_b64" in line:
        return base64.b64decode(line["value_b64"])
    text: str = line["value"].replace("{now+0800}", "2026-11-24T08:00:00+08:00")
    text = text.replace("{now.123456}", "2026-11-24T00:00:00.123456Z")
    return re.sub(r"\{now(?:\+(\d+))?\}", _at, text).encode()


def cases(path: Path) -> list[Case]:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
    return [
        Case(line["name"], line["key"].encode(), _value(line), line.get("reason"), line.get("partition") == "wrong")
        for line in lines
    ]


ALL = cases(CORPUS) + cases(SHARED)
