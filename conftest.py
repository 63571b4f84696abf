"""Imported before any test: puts compiled code into the cache of these very sources."""

import stream  # noqa: F401
