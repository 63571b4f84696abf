from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests are collected without packages

from simulation.schedules import Simulation, draw
from simulation.simulated_log import SimulatedLog


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="run the schedule of one seed, and shrink it if it fails")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Workers that recover say so; hundreds of schedules of them are no news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def done() -> SimulatedLog:
    """The log of a quiet day with one partition and one worker, which was killed at its end."""
    events = next(s.events for s in map(draw, range(100)) if s.partitions == 1 and len(s.events) > 20)
    simulation = Simulation(replace(draw(3), partitions=1, workers=1, faults=(), events=events))
    simulation.play()
    simulation.drain()
    simulation.close()
    return simulation.log
