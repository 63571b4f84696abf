"""What a wheel brings: installed into an empty environment it is the whole product, and a worker needs no extra."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("stream", "detectors", "rules", "deploy", "pyproject.toml", "README.md", "LICENSE")
WITHOUT = "import sys; sys.modules.update(dict.fromkeys(('pyarrow', 'distributed', 'python_calamine')));"
"""Before an import: as if the extras were not installed."""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """What a command says; from another folder, since Python looks for packages where it is called."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=environment, cwd="/"
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment that has the wheel, and what it depends on from this one, but not this source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "target"))
        else:
            shutil.copy(ROOT / name, source / name)
    built = run(
        sys.executable, "-m", "pip", "wheel", "--disable-pip-version-check", "--no-deps", "--no-build-isolation",
        "--quiet", "--wheel-dir", folder, source,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    environment = folder / "environment"
    venv.create(environment, with_pip=False)
    (packages,) = environment.glob("lib/python*/site-packages")
    # a path in a .pth file is searched, but the .pth files in it are not: the editable install stays out
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    (wheel,) = folder.glob("riskstream-*.whl")
    put = run(
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", environment / "bin" / "python", "install",
        "--no-deps", "--no-index", "--quiet", wheel,
    )  # fmt: skip
    assert put.returncode == 0, put.stderr
    return environment


def python(installed: Path, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run(installed / "bin" / "python", "-c", program, *arguments)


def test_the_entry_point_runs_from_the_wheel(installed: Path) -> None:
    said = run(installed / "bin" / "riskstream", "--version")
    assert (said.returncode, said.stderr) == (0, "")
    where = python(
        installed, "import stream, rules, detectors; print(stream.__file__, rules.__file__, detectors.__file__)"
    )
    assert all(str(installed) in path for path in where.stdout.split()), where
    checked = run(installed / "bin" / "riskstream", "rules", "check")
    assert checked.returncode == 0, checked.stderr


def test_it_holds_schemas_packs_maps_boards_and_types(installed: Path) -> None:
    (packages,) = installed.glob("lib/python*/site-packages")
    assert {path.name for path in (ROOT / "docs" / "schemas").glob("*.schema.json")} - {"pack.schema.json"} <= {
        path.name for path in (packages / "stream" / "contracts" / "schemas").iterdir()
    }
    assert {path.name for path in (ROOT / "rules" / "packs").glob("*.yaml")} <= {
        path.name for path in (packages / "rules" / "packs").iterdir()
    }
    for package in ("stream", "detectors", "rules"):
        assert (packages / package / "py.typed").is_file()
    shared = installed / "share" / "riskstream"
    assert {str(path.relative_to(shared)) for path in shared.rglob("*") if path.is_file()} == {
        "devkafka/pom.xml", "grafana/riskstream.json", "maps/handbook.yaml", "prometheus/alerts.yml",
    }  # fmt: skip


def test_the_development_kafka_finds_its_pom(installed: Path) -> None:
    found = python(installed, "from stream.brokers.kafka_artefacts import PROJECT; print(PROJECT / 'pom.xml')")
    assert Path(found.stdout.strip()).is_file(), found
    assert str(installed) in found.stdout


def test_nothing_that_only_tests_use_comes_with_it(installed: Path) -> None:
    (metadata,) = installed.glob("lib/python*/site-packages/riskstream-*.dist-info/METADATA")
    needed = [line for line in metadata.read_text("utf-8").splitlines() if line.startswith("Requires-Dist:")]
    every = [line for line in needed if "extra ==" not in line]
    assert not [
        line for line in every if any(name in line for name in ("cel-expr", "cramjam", "pyarrow", "hypothesis"))
    ]
    assert all("==" in line or "<" in line for line in needed), "each dependency has an upper bound"


@pytest.mark.parametrize(
    "module", ["stream.worker.run_worker", "stream.gateway.run_gateway", "stream.desk.review_queue"]
)
def test_the_line_needs_no_extra(installed: Path, module: str) -> None:
    said = python(installed, f"{WITHOUT} import {module}")
    assert said.returncode == 0, said.stderr


def test_a_command_that_needs_an_extra_names_it(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "bank.csv"
    file.write_text("id,amount\n1,2\n", "utf-8")
    said = python(installed, f"{WITHOUT} from stream.cli import main; main()", "map", file)
    assert said.returncode == 2
    assert "pip install 'riskstream[files]'" in said.stderr
    assert "Traceback" not in said.stderr
