"""Imported before any test: puts compiled code into the cache of these very sources."""

import hypothesis
import pytest

import stream  # noqa: F401

# How long an example takes says what else the machine does, and whether code was compiled before: it proves nothing.
hypothesis.settings.register_profile("riskstream", deadline=None)
hypothesis.settings.load_profile("riskstream")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first: the processes that share the work then end together."""
    rooms = ("simulation", "integration", "end_to_end", "properties")
    items.sort(
        key=lambda item: next((i for i, room in enumerate(rooms) if f"/tests/{room}/" in str(item.path)), len(rooms))
    )
