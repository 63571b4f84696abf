"""Invariant 3, on any processor: the same bytes where the C library and numpy take other variants of their functions.

A C library answers exp and its like by the variant that fits the processor, and the variants part in the last bit. Here
the variants for processors without FMA and AVX2 are forced on whole runs: what is computed must not change.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from numpy._core import _multiarray_umath as numpy_core

from stream.cli.simulate import write_files
from stream.simulate import SimulationConfig

DISPATCHED = [name for name in numpy_core.__cpu_dispatch__ if numpy_core.__cpu_features__.get(name)]
OLDER = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F",
    "NPY_DISABLE_CPU_FEATURES": " ".join(DISPATCHED),
}
LIBRARY = (
    "import hashlib, math\n"
    "values = [f(i / 7919) for f in (math.exp, math.sin, math.log1p) for i in range(60_000)]\n"
    "print(hashlib.sha256(repr(values).encode()).hexdigest())"
)


def run(*arguments: str, **environment: str) -> str:
    ended = subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("bank")
    files = folder / "bank.jsonl", folder / "truth.csv"
    write_files(SimulationConfig(seed=3, events=3_000, days=40, fraud_rate=0.03), *files)
    return files


def decided(bank: tuple[Path, Path], out: Path, **environment: str) -> str:
    """SHA-256 of all decisions of a replay that learns; a model's version is made of its content."""
    history, truth = bank
    run(
        "-m", "stream.cli", "replay", str(history), "--labels", str(truth), "--label-delay", "2d", "--round", "8d",
        "--decisions", str(out), **environment,
    )  # fmt: skip
    return hashlib.sha256(out.read_bytes()).hexdigest()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the variants are x86-64's")
def test_the_variants_that_are_forced_here_are_others() -> None:
    """Without this a passing comparison would say nothing."""
    if "fma" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.fail("this processor has no FMA: the comparison needs one that has", pytrace=False)
    assert run("-c", LIBRARY) != run("-c", LIBRARY, **OLDER)


def test_decisions_and_models_are_the_same_bytes_without_fma_and_avx2(bank: tuple[Path, Path], tmp_path: Path) -> None:
    ours = decided(bank, tmp_path / "ours.jsonl")
    text = (tmp_path / "ours.jsonl").read_text(encoding="utf-8")
    assert len({line.split('"model_version":"')[1] for line in text.splitlines()}) > 2, "it must have learned"
    assert decided(bank, tmp_path / "older.jsonl", **OLDER) == ours


def test_rows_and_frames_are_the_same_bytes_without_fma_and_avx2() -> None:
    script = (
        "import stream, sys, importlib.util as u\n"
        "spec = u.spec_from_file_location('walk', sys.argv[1]); m = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(m); print(m.walk(*m.traffic(1_000), []))\n"
    )
    walk = str(Path(__file__).with_name("test_core_determinism.py"))
    assert run("-c", script, walk) == run("-c", script, walk, **OLDER)
