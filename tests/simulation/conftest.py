from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests are collected without packages


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="run the schedule of one seed, and shrink it if it fails")


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Workers that recover say so; hundreds of schedules of them are no news."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
