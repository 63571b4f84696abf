"""The house is tidy: no circle, no dead file, no name twice, nothing too long, and the map is current."""

from __future__ import annotations

import ast
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from stream.cli import COMMANDS
from tools.house import PAGE, ROOT, circles, imports, modules, page, rooms

MOST_LINES, MOST_OF_A_FUNCTION = 500, 60
SOURCES = ("stream", "detectors", "rules", "tools", "tests", "benchmarks")
CALLED_BY_NAME = {"stream.compiled_cache", "stream.cli.__main__"}
"""numba finds the one by an environment variable, Python runs the other."""
REFERENCES = {"rules.obligations"}
"""Plain readings of a rule that tests compare the product with."""


def files() -> Iterator[Path]:
    for folder in SOURCES:
        yield from (ROOT / folder).rglob("*.py")


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function with its lines, docstring aside."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            said = ast.get_docstring(node) is not None
            words = (first.end_lineno or 0) - first.lineno + 1 if said else 0
            yield node.name, (node.end_lineno or 0) - node.lineno + 1 - words


def test_no_room_and_no_module_is_in_a_circle() -> None:
    assert circles(rooms()) == []
    assert circles(imports()) == []


def test_a_circle_would_be_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]


def test_no_file_is_too_long() -> None:
    long = {str(p.relative_to(ROOT)): n for p in files() if (n := len(p.read_text("utf-8").splitlines())) > MOST_LINES}
    assert long == {}


def test_no_function_of_the_product_is_too_long() -> None:
    long = {
        f"{path.relative_to(ROOT)}: {name}": lines
        for path in modules().values()
        for name, lines in functions(path)
        if lines > MOST_OF_A_FUNCTION
    }
    assert long == {}


def test_no_module_is_dead() -> None:
    used = {other for others in imports().values() for other in others} | {name for name, _ in COMMANDS.values()}
    outside = "\n".join(
        path.read_text("utf-8") for path in files() if path.relative_to(ROOT).parts[0] in ("tools", "benchmarks")
    )
    dead = [
        name
        for name, path in modules().items()
        if name not in used | CALLED_BY_NAME | REFERENCES
        and path.name != "__init__.py"
        and not re.search(rf"\b{re.escape(name)}\b", outside)
    ]
    assert dead == []


def test_no_file_of_the_product_has_anothers_name() -> None:
    """But for commands, which are called what they are about."""
    found = defaultdict[str, list[str]](list)
    for name, path in modules().items():
        if path.name not in ("__init__.py", "__main__.py") and not name.startswith("stream.cli."):
            found[path.name].append(name)
    assert {name: where for name, where in found.items() if len(where) > 1} == {}


def test_no_class_of_the_product_has_anothers_name_or_differs_by_an_s() -> None:
    found = defaultdict[str, list[str]](list)
    for name, path in modules().items():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(name)
    assert {name: where for name, where in found.items() if len(where) > 1} == {}
    assert {name: (where, found[name + "s"]) for name, where in found.items() if name + "s" in found} == {}


def test_the_map_is_current() -> None:
    current = PAGE.read_text("utf-8")
    assert page(current) == current, "run python -m tools.house"


def test_a_room_says_what_it_is_for() -> None:
    for name, path in modules().items():
        if path.name == "__init__.py":
            said = ast.get_docstring(ast.parse(path.read_text("utf-8")))
            assert said, f"{name}: {os.linesep}its __init__ says nothing"
