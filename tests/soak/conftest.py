"""Soak tests use the line, the broker and the bad traffic of the integration tests."""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(_TESTS))  # tests are collected without packages
sys.path.insert(0, str(_TESTS / "integration"))

from integration.conftest import kafka, kafka_settings, line, line_class, own_kafka, topic_prefix, until  # noqa: E402, F401
