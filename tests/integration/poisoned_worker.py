"""A worker at whose poisoned records the real code raises (``tests/simulation/poison.py``), in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from simulation.poison import poison

from stream.cli import main

if __name__ == "__main__":
    poison(pytest.MonkeyPatch())
    sys.argv = ["riskstream", "worker"]
    main()
