"""Imported before any test: puts compiled code into the cache of these very sources."""

import hypothesis

import stream  # noqa: F401

# How long an example takes says what else the machine does, and whether code was compiled before: it proves nothing.
hypothesis.settings.register_profile("riskstream", deadline=None)
hypothesis.settings.load_profile("riskstream")
