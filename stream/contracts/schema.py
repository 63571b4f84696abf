"""JSON Schemas of all records, in ``docs/schemas/``.

python -m stream.contracts.schema           # write them
python -m stream.contracts.schema --check   # exit 1 where one differs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pydantic import BaseModel

from stream.contracts.alert import Alert
from stream.contracts.dead_letter import DeadLetter
from stream.contracts.decision import Decision
from stream.contracts.feedback import Feedback
from stream.contracts.offset import Offset
from stream.contracts.resolution import Resolution
from stream.contracts.transaction import Transaction

DIRECTORY = Path(__file__).parents[2] / "docs" / "schemas"
CONTRACTS: dict[str, type[BaseModel]] = {
    "transaction": Transaction,
    "feedback": Feedback,
    "decision": Decision,
    "alert": Alert,
    "resolution": Resolution,
    "dead_letter": DeadLetter,
    "offset": Offset,
}
"""Name of each contract, as in ``<name>.schema.json``."""


def text_of(name: str) -> str:
    """The schema of a contract as the text of its file (JSON Schema 2020-12)."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"riskstream/{name}.schema.json",
    } | CONTRACTS[name].model_json_schema(mode="validation")
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def differing(directory: Path = DIRECTORY) -> list[str]:
    """Names of contracts whose file does not hold their schema."""
    return [
        name
        for name in CONTRACTS
        if not (path := directory / f"{name}.schema.json").is_file() or path.read_text("utf-8") != text_of(name)
    ]


def main(arguments: list[str]) -> int:
    """Write the schemas, or with ``--check`` compare them; returns the exit status."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m stream.contracts.schema [--check]", file=sys.stderr)
        return 2
    if arguments:
        names = differing()
        for name in names:
            print(f"docs/schemas/{name}.schema.json differs; run python -m stream.contracts.schema", file=sys.stderr)
        return 1 if names else 0
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name in CONTRACTS:
        (DIRECTORY / f"{name}.schema.json").write_text(text_of(name), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
