"""Transactions a second that the simulator makes, JSON and truth included: ``python benchmarks/simulate.py``.

CPU time of one thread, median of three runs; the asked figure is 20,000 a second.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

from stream.cli.simulate import write_files
from stream.simulate import Bank, SimulationConfig, stream

EVENTS = 100_000
RUNS = 3


def draw() -> None:
    for _ in Bank(SimulationConfig(seed=1, events=EVENTS)).payments():
        pass


def encode() -> None:
    for _ in Bank(SimulationConfig(seed=1, events=EVENTS)).transactions():
        pass


def write() -> None:
    with tempfile.TemporaryDirectory() as directory:
        files = Path(directory)
        write_files(SimulationConfig(seed=1, events=EVENTS), files / "bank.jsonl", files / "truth.csv")


def live() -> None:
    for _ in islice(stream(seed=1), EVENTS):
        pass


def first() -> None:
    next(stream(seed=1))


def cpu_seconds(job) -> float:
    taken = []
    for _ in range(RUNS):
        begun = time.process_time()
        job()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


def main() -> None:
    print(f"{'part':34} {'CPU µs/event':>12} {'events/s':>10}")
    parts = (
        ("drawn, as columns", draw),
        ("with JSON and truth in chunks", encode),
        ("written to two files", write),
        ("stream(), one by one", live),
    )
    for name, job in parts:
        seconds = cpu_seconds(job)
        print(f"{name:34} {seconds / EVENTS * 1e6:12.1f} {EVENTS / seconds:10,.0f}")
    print(f"stream(): first event after {cpu_seconds(first) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
