from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are collected without packages

from detectors_traffic import CONFIG, Traffic, first_snapshot, learn, make_traffic

from detectors.ensemble import Learner, Snapshot


@pytest.fixture(scope="session")
def traffic() -> Traffic:
    return make_traffic(seed=1, days=24, per_day=400)


@pytest.fixture(scope="session")
def history(traffic: Traffic) -> list[Snapshot]:
    """Daily snapshots of a learner that saw all of the traffic."""
    return learn(Learner(first_snapshot(), CONFIG), traffic, range(traffic.days))
