"""The bound with durable rows: the raw loop, which publishes each batch's changed rows to a compacted topic."""

from __future__ import annotations

from benchmarks.engines.confluent_raw import run
from benchmarks.engines.job import from_command_line

if __name__ == "__main__":
    run(from_command_line(), changelog=True)
