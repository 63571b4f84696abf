"""How the cost of an event grows with accounts, payees, partitions and workers.

    python benchmarks/growth.py                          all four, about 15 minutes and 3 GB
    python benchmarks/growth.py --only accounts,payees   two of them
    python benchmarks/growth.py --json                   one JSON object on the last line

Accounts, payees and partitions: both hops of the pure core in this process, µs of CPU an event in each hop, medians of
the batches. What grows with the number of rows is what no cache holds any more. Workers: ``riskstream worker`` as shipped
on a real Kafka, the backlog shared by 1, 2 or 4 of them; CPU is that of all workers, whose cores are the machine's and the
broker's too: CPU per event says what another worker costs, events/s only what this machine can do.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

sys.path.pop(0)  # this file's folder: there detectors.py hides the package of the same name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.engines.job import Job
from benchmarks.memory import CHUNK, bank, fill
from benchmarks.process_meter import ProcessMeter
from benchmarks.testbed import ROOT, Testbed, say
from benchmarks.throughput import reach, whole_line
from benchmarks.traffic import transactions
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.columns import FEEDBACK, hash_id
from stream.core.edge.decode import decode_transactions
from stream.core.edge.partition import partition_of
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop

BATCH = 500
MEASURED = 40_000
ACCOUNTS = (10_000, 100_000, 1_000_000)
PAYEES = (10_000, 100_000, 1_000_000, 3_000_000)
PARTITIONS = (1, 4, 16, 64)
POLL = 2_000
"""Records of a poll, which the partitions share."""
WORKERS = (1, 2, 4)
BACKLOG = 200_000
FUTURE_MS = 1 << 60
DAY_US = 86_400_000_000
_NO_FEEDBACK = np.zeros(0, FEEDBACK)
Point = dict[str, float]


def decoded(values: Sequence[bytes | None], partition: int = 0, partitions: int = 1) -> np.ndarray:
    """Columns of transactions."""
    none = np.zeros(len(values), np.int64)
    return decode_transactions(values, np.arange(len(values)), none, partition, partitions, future_ms=FUTURE_MS).columns


def walk(accounts: AccountHop, payees: Callable[[int], PayeeHop], part: np.ndarray) -> tuple[float, float]:
    """CPU seconds of both hops for one batch."""
    began = time.thread_time()
    frames = accounts.process(part, _NO_FEEDBACK).frames
    between = time.thread_time()
    opened = [(to, decode_frame(frame)) for to, frame in frames]
    opened_at = time.thread_time()
    for to, frame in opened:
        payees(to).process([(0, frame)])
    return between - began, time.thread_time() - opened_at


def by_accounts(accounts: int) -> Point:
    """A bank of so many accounts, all of which have rows, pays on."""
    source = bank(accounts)
    hops, payees, _ = fill(accounts, source=source)
    took = []
    for split in islice(source, MEASURED // CHUNK):
        for hop, values in zip(hops, split, strict=True):
            part = decoded(values, hop.partition, len(hops))
            for start in range(0, len(part) - BATCH, BATCH):
                took.append(walk(hop, payees.__getitem__, part[start : start + BATCH]))
    source.close()
    return {"accounts": accounts, "payees": sum(len(one.table) for one in payees), **_medians(took, BATCH)}


def by_payees(payees: int) -> Point:
    """Payments to payees drawn evenly from so many, each of which has a row."""
    hop = PayeeHop(0, 30 * DAY_US)
    base = decoded([value for _, value in transactions(BATCH, 1_000)])
    random, names = np.random.default_rng(5), np.arange(payees)
    for start in range(0, payees, BATCH):
        hop.process([(0, _paid(base, names[start : start + BATCH]))])
    took = []
    for _ in range(MEASURED // BATCH):
        frame = _paid(base, random.integers(0, payees, BATCH))
        began = time.thread_time()
        hop.process([(0, frame)])
        took.append((0.0, time.thread_time() - began))
    return {"payees": payees, "payees_hop_us": _medians(took, BATCH)["payees_hop_us"]}


def _paid(base: np.ndarray, payees: np.ndarray):  # type: ignore[no-untyped-def]
    """A frame of payments to these payees."""
    part = base[: len(payees)].copy()
    part["payee_id"] = [b"p-%d" % payee for payee in payees.tolist()]
    part["payee_hash"] = [hash_id(name) for name in part["payee_id"].tolist()]
    return decode_frame(AccountHop(0, HopSettings(1, DAY_US, DAY_US)).process(part, _NO_FEEDBACK).frames[0][1])


def by_partitions(partitions: int) -> Point:
    """The same polls, cut into so many partitions."""
    settings = HopSettings(partitions, 30 * DAY_US, DAY_US)
    hops = [AccountHop(number, settings) for number in range(partitions)]
    payees = [PayeeHop(number, settings.maturity_us) for number in range(partitions)]
    stream = transactions(1 << 40, 20_000)
    took = []
    for _ in range(MEASURED // POLL):
        split: list[list[bytes | None]] = [[] for _ in range(partitions)]
        for key, value in islice(stream, POLL):
            split[partition_of(key, partitions)].append(value)
        parts = [decoded(values, number, partitions) for number, values in enumerate(split)]
        walked = [walk(hop, payees.__getitem__, part) for hop, part in zip(hops, parts, strict=True) if len(part)]
        took.append((sum(one[0] for one in walked), sum(one[1] for one in walked)))
    return {"partitions": partitions, **_medians(took, POLL)}


def _medians(took: list[tuple[float, float]], events: int) -> Point:
    hops = (statistics.median(times) * 1e6 / events for times in zip(*took, strict=True))
    return dict(zip(("accounts_hop_us", "payees_hop_us"), (round(one, 3) for one in hops), strict=True))


class Meters:
    """Several processes as one."""

    def __init__(self, processes: list[subprocess.Popen[bytes]]) -> None:
        self._meters = [ProcessMeter(process.pid) for process in processes]

    def cpu_s(self) -> float:
        """CPU seconds of all."""
        return sum(meter.cpu_s() for meter in self._meters)

    def peak_rss_mb(self) -> float:
        """Memory of all at their peaks."""
        return sum(meter.peak_rss_mb() for meter in self._meters)


def by_workers(testbed: Testbed, workers: int) -> Point:
    """A backlog worked off by so many workers."""
    prefix = f"workers-{workers}-"
    job = Job(testbed.broker, prefix, "")
    testbed.topics(prefix)
    testbed.load(job.input, transactions(BACKLOG))
    every = set(range(os.cpu_count() or 1))
    processes = []
    for number in range(workers):
        folder = testbed.directory / f"{prefix}{number}"
        folder.mkdir()
        # the first one's log is where `reach` looks
        name = prefix if number == 0 else f"{prefix}{number}"
        processes.append(testbed.start(whole_line(job), name, {"RISKSTREAM_DATA_DIRECTORY": str(folder)}, every))
    meters = Meters(processes)
    try:
        early, late = (
            reach(testbed, processes[0], meters, job, round(share * BACKLOG))  # type: ignore[arg-type]
            for share in (0.4, 0.95)
        )
        peak = meters.peak_rss_mb()
    finally:
        for process in processes:
            testbed.end(process)
    testbed.forget(prefix)
    took, cpu, done = (after - before for before, after in zip(early, late, strict=True))
    return {
        "workers": workers,
        "cpu_us_per_event": round(1e6 * cpu / done, 2),
        "events_per_s": round(done / took),
        "peak_rss_mb": round(peak),
    }


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="accounts,payees,partitions,workers", help="names, comma-separated")
    parser.add_argument("--most", type=int, default=max(PAYEES), help="leave out larger numbers of rows")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Measure and print."""
    arguments = parse()
    subprocess.run([sys.executable, "-m", "stream.warm_up"], cwd=ROOT, check=True)
    by_partitions(1)  # loads what was compiled
    found: dict[str, list[Point]] = {}
    curves: dict[str, tuple[Callable[[int], Point], tuple[int, ...]]] = {
        "accounts": (by_accounts, ACCOUNTS), "payees": (by_payees, PAYEES), "partitions": (by_partitions, PARTITIONS),
    }  # fmt: skip
    wanted = arguments.only.split(",")
    for name, (measure, sizes) in curves.items():
        for size in sizes if name in wanted else ():
            if size <= arguments.most:
                found.setdefault(name, []).append(measure(size))
                say(str(found[name][-1]))
    if "workers" in wanted:
        with Testbed(4) as testbed:
            for workers in WORKERS:
                found.setdefault("workers", []).append(by_workers(testbed, workers))
                say(str(found["workers"][-1]))
    if arguments.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
