"""JSON Schemas of all records, in ``docs/schemas/`` for people, in ``stream/contracts/schemas/`` for who installs the wheel.

python -m tools.schemas           # write them
python -m tools.schemas --check   # exit 1 where one differs
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

_ROOT = Path(__file__).parents[1]
DIRECTORY = _ROOT / "docs" / "schemas"
PACKAGED = _ROOT / "stream" / "contracts" / "schemas"
PLACES = (DIRECTORY, PACKAGED)
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
        print("usage: python -m tools.schemas [--check]", file=sys.stderr)
        return 2
    if arguments:
        differ = [directory / f"{name}.schema.json" for directory in PLACES for name in differing(directory)]
        for path in differ:
            print(f"{path.relative_to(_ROOT)} differs; run python -m tools.schemas", file=sys.stderr)
        return 1 if differ else 0
    for directory in PLACES:
        directory.mkdir(parents=True, exist_ok=True)
        for name in CONTRACTS:
            (directory / f"{name}.schema.json").write_text(text_of(name), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
