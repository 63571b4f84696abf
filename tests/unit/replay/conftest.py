"""A simulated history shared by the tests of the replay."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.cli.simulate import write_files
from stream.simulate import SimulationConfig


@pytest.fixture(scope="session")
def bank(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """4,000 transactions of a small bank over 40 days with much fraud, and their truth."""
    directory = tmp_path_factory.mktemp("bank")
    out, truth = directory / "bank.jsonl", directory / "truth.csv"
    write_files(SimulationConfig(seed=5, events=4_000, days=40, fraud_rate=0.02), out, truth)
    return out, truth
