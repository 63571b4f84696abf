"""The editor's schema and the reader agree; what the docs show is what works."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from rules.document import Item, read
from rules.fields import Fields
from rules.pack_reader import read_pack
from rules.policy import PACKS, Policy
from rules.problem import PackError, Problem
from stream.core.features import SCHEMA

ROOT = PACKS.parent.parent
SCHEMA_FILE = ROOT / "docs/schemas/pack.schema.json"
DOCUMENT = json.loads(SCHEMA_FILE.read_text())
VALIDATOR = Draft202012Validator(DOCUMENT)
SHIPPED = sorted([*PACKS.glob("*.yaml"), *(PACKS / "jurisdictions").glob("*.yaml")])


def plain(item: Item) -> Any:
    if isinstance(item.value, dict):
        return {key: plain(inner) for key, inner in item.value.items()}
    if isinstance(item.value, list):
        return [plain(inner) for inner in item.value]
    return item.value


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_pack_is_valid_in_an_editor(path: Path) -> None:
    found = [error.message for error in VALIDATOR.iter_errors(plain(read(path.name, path.read_bytes())))]
    assert found == []


def test_the_schema_knows_exactly_the_keys_that_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read_keys: dict[str, set[str]] = defaultdict(set)
    take = Fields.take

    def recorded(self: Fields, key: str, required: bool = False) -> Item | None:
        read_keys[self.what].add(key)
        return take(self, key, required)

    monkeypatch.setattr(Fields, "take", recorded)
    for path in SHIPPED:
        read_pack(path.name, path.read_bytes(), [])
    lists = b"pack: l\nkind: lists\ndeny: [{payee: p, reason: r, owner: o, until: 2027-01-01}]\n"
    lists += b"snooze: [{rule: r, account: a, payee: p, reason: r, owner: o, until: 2027-01-01}]\n"
    read_pack("l", lists, [])
    properties = DOCUMENT["properties"]
    in_schema = {
        "a pack": properties,
        "a rule": properties["rules"]["items"]["properties"],
        "a limit": properties["limits"]["items"]["properties"],
        "an example": properties["examples"]["items"]["properties"],
        "an entry of 'deny'": properties["deny"]["items"]["properties"],
        "a snooze": properties["snooze"]["items"]["properties"],
        "thresholds": properties["thresholds"]["properties"],
        "review": properties["review"]["properties"],
        "challenge": properties["challenge"]["properties"],
        "familiarity": properties["familiarity"]["properties"],
        "failure": properties["failure"]["properties"],
        "proceed_first": properties["proceed_first"]["properties"],
        "alert_budget": properties["alert_budget"]["properties"],
        "currencies": properties["currencies"]["properties"],
        "a rate": properties["currencies"]["properties"]["rates"]["items"]["properties"],
    }
    assert {what: set(keys) for what, keys in in_schema.items()} == {what: read_keys[what] for what in in_schema}


@pytest.mark.parametrize(
    "change",
    [
        {"thresholds": {"revue": 5}},
        {"rules": [{"id": "a", "when": "true", "weight": 1, "outcome": "review"}]},
        {"rules": [{"id": "a", "when": "true"}]},
        {"scenario": "transfer"},
        {"essential": "true"},
        {"deny": [{"reason": "x", "owner": "y", "until": "2027-01-01"}]},
        {"match": None},
    ],
)
def test_what_an_editor_marks_the_check_refuses_too(change: dict[str, Any]) -> None:
    base = {"pack": "a", "scenario": "ecommerce", "match": "has_payee", "thresholds": {"review": 5}}
    document = {key: value for key, value in (base | change).items() if value is not None}
    assert list(VALIDATOR.iter_errors(document))
    text = json.dumps(document).encode()  # JSON is YAML
    problems: list[Problem] = []
    try:
        problems = Policy.from_files({"a.yaml": text}).check(SCHEMA)
    except PackError as error:
        problems = error.problems
    assert problems


def test_the_pack_shown_in_the_docs_passes_its_check() -> None:
    shown = re.findall(r"```yaml\n(pack: .*?)```", (ROOT / "docs/packs.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(shown) == 2
    for text in shown:
        assert list(VALIDATOR.iter_errors(plain(read("docs", text.encode())))) == []
    # The lists silence a rule of the first pack, so they are one policy.
    assert Policy.from_files({"a.yaml": shown[0].encode(), "b.yaml": shown[1].encode()}).check(SCHEMA) == []
