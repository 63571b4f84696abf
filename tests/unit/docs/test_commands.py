"""What a page tells its reader to type exists, with the options it is given."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path

import click

from stream.cli import riskstream
from stream.contracts.decision import Decision
from stream.core.features import INDEX
from stream.replay.source.column_map import load_column_map

BLOCK = re.compile(r"```(\w*)\n(.*?)```", re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Code blocks of one language."""
    return [text for name, text in BLOCK.findall(page.read_text(encoding="utf-8")) if name == language]


def typed(page: Path) -> list[list[str]]:
    """Each command of a page's shell blocks as words, comments left out."""
    lines = [
        line
        for language in ("bash", "")
        for text in blocks(page, language)
        for line in text.replace("\\\n", " ").splitlines()
    ]
    parts = [
        part
        for line in lines
        if re.match(r"(\.venv/bin/)?(riskstream|make|python)\b", line)
        for part in line.split("&&")
    ]
    return [shlex.split(part, comments=True) for part in parts]


def problem(words: list[str]) -> str:
    """What is wrong with a command line of riskstream; empty where nothing is."""
    command: click.Command = riskstream
    context = click.Context(command)
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        found = command.get_command(context, rest[0])
        if found is None:
            return f"no command {rest[0]}"
        command, rest = found, rest[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in rest if word.startswith("--") and word.partition("=")[0] not in known | {"--help"}]
    return f"no option {unknown[0]}" if unknown else ""


def test_every_riskstream_command_exists_with_its_options(page: Path) -> None:
    found = {shlex.join(words): problem(words) for words in typed(page) if words[0].endswith("riskstream")}
    assert {line: what for line, what in found.items() if what} == {}


def test_every_make_target_and_module_exists(page: Path, root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    made = {words[1] for words in typed(page) if words[0] == "make" and len(words) > 1}
    made |= set(re.findall(r"`make ([a-z-]+)`", text))
    modules = set(re.findall(r"python -m ((?:stream|tools|benchmarks)[\w.]+)", text))
    assert made <= targets
    assert [
        module
        for module in sorted(modules)
        if not module.startswith("benchmarks") and importlib.util.find_spec(module) is None
    ] == []


def test_the_column_map_of_the_readme_is_one_that_is_read(root: Path, tmp_path: Path) -> None:
    maps = [text for text in blocks(root / "README.md", "yaml") if "fields:" in text]
    assert maps
    for text in maps:
        file = tmp_path / "map.yaml"
        file.write_text(text)
        assert load_column_map(file).fields


def test_the_decision_of_the_readme_is_a_decision_and_every_field_is_explained(root: Path) -> None:
    (text,) = blocks(root / "README.md", "json")
    decision = Decision.model_validate_json(text)
    explained = (root / "README.md").read_text(encoding="utf-8").split("## How to read a decision")[1].split("## ")[0]
    assert [name for name in Decision.model_fields if f"`{name}`" not in explained] == []
    assert {item.feature for item in decision.evidence} <= INDEX.keys()
