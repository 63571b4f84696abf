"""Compiled code is never older than its sources: whatever it takes a constant or a function from is in its cache's name."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import stream
from stream import warm_up

ROOT = Path(stream.__file__).parents[1]
PACKAGES = ("stream", "detectors", "rules")
OPENED = """
import sys
opened = set()
sys.addaudithook(lambda name, of: opened.add(str(of[0])) if name == "open" else None)
import importlib
for module in sys.argv[1:]:
    importlib.import_module(module)
print("\\n".join(sorted(opened)))
"""


def modules() -> dict[str, Path]:
    """Every module of the project by its name."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """Names that a module imports, anywhere in it, and the packages they stand in."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))


def compiled() -> list[str]:
    """Modules in which a function is compiled."""
    return sorted(name for name, path in modules().items() if "numba" in set(imported(path)))


def test_every_file_that_compiled_code_imports_is_in_the_digest() -> None:
    known, covered = modules(), set(stream.compiled_sources())
    seen: set[str] = set()
    waiting = compiled()
    assert len(waiting) > 40, waiting
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [other for other in imported(known[name]) if other in known]
    # these two place the cache: they hold nothing that compiled code takes
    seen -= {"stream", "stream.compiled_cache"}
    missing = sorted(str(known[name].relative_to(ROOT)) for name in seen if known[name] not in covered)
    assert not missing, f"add to _COMPILED in stream/__init__.py: {missing}"


def test_every_file_that_is_read_while_compiled_modules_are_imported_is_in_the_digest() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OPENED, *compiled()], capture_output=True, text=True, check=True, cwd=ROOT
    )  # fmt: skip
    opened = {Path(line) for line in done.stdout.splitlines() if line.startswith(str(ROOT))}
    read = {path for path in opened if any(path.is_relative_to(ROOT / package) for package in PACKAGES)}
    tables = {path for path in read if path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts}
    missing = sorted(str(path.relative_to(ROOT)) for path in tables - set(stream.compiled_sources()))
    assert not missing, f"read while importing, and not in the digest: {missing}"


def cache_of(root: Path) -> str:
    """Where a copy of the project places its compiled code."""
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    program = "import stream, os; print(os.environ['NUMBA_CACHE_DIR'])"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env={**environment, "PYTHONPATH": str(root)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def copy_to(root: Path) -> Path:
    """All that compiled code is made of, in another place."""
    for source in [
        *stream.compiled_sources(),
        *(ROOT / "stream" / name for name in ("__init__.py", "compiled_cache.py")),
    ]:
        place = root / source.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, place)
    return root


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return copy_to(tmp_path)


@pytest.mark.parametrize("name", ["stream/contracts/json_object.py", "stream/errors.py", "rules/ladder.py"])
def test_a_change_of_any_of_them_takes_another_cache(copied: Path, name: str) -> None:
    before = cache_of(copied)
    assert cache_of(copied) == before
    source = copied / name
    source.write_text(source.read_text("utf-8").replace("64 * 1024", "512") + "\n", "utf-8")
    assert cache_of(copied) != before


def test_a_module_in_a_folder_of_its_own_takes_another_cache(copied: Path) -> None:
    before = cache_of(copied)
    (copied / "stream" / "core" / "deeper").mkdir()
    (copied / "stream" / "core" / "deeper" / "limits.py").write_text("MOST = 1\n", "utf-8")
    assert cache_of(copied) != before


def test_two_checkouts_of_the_same_sources_share_what_is_compiled(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    program = "import stream; from detectors.elementary import exp; print(exp(1.0))"
    seen = []
    for name in ("here", "in another place"):
        root = copy_to(tmp_path / name)
        subprocess.run(
            [sys.executable, "-c", program], cwd=root, check=True,
            env={**environment, "PYTHONPATH": str(root), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        )  # fmt: skip
        files = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
        seen.append(sorted((str(path), path.stat().st_mtime_ns) for path in files))
    assert any(path.endswith(".nbc") for path, _ in seen[0])
    assert seen[0] == seen[1], "nothing was compiled again"


def test_a_cache_that_an_interrupted_run_left_is_not_taken_for_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "stream").mkdir()
    assert not warm_up.is_complete()
    (tmp_path / warm_up.COMPLETE).touch()
    assert warm_up.is_complete()
