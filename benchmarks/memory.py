"""Memory per account, and how long a million rows take to come back.

    python benchmarks/memory.py                           a million accounts: about two minutes, 3 GB
    python benchmarks/memory.py --accounts 100000 --json  one JSON object on the last line
    python benchmarks/memory.py --recover                 also: rows to a real Kafka and back

The simulated bank's payments go through both hops of the pure core until so many accounts have a row; then the
process's resident memory, less what it was before, is divided by the accounts: with the payee rows of the same traffic,
and without (``bytes_per_account``). Rows have a fixed size: a longer history takes no more.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

sys.path.pop(0)  # this file's folder: there detectors.py hides the package of the same name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.process_meter import ProcessMeter
from benchmarks.testbed import ROOT, Testbed, say
from stream.core.account_row import ACCOUNT_ROW
from stream.core.columns import FEEDBACK
from stream.core.decode import decode_transactions
from stream.core.frame import decode_frame
from stream.core.partition import partition_of
from stream.core.payee import PAYEE_ROW
from stream.core.profile import AccountHop
from stream.core.receive import PayeeHop
from stream.settings import Settings
from stream.worker.accounts import AccountsHop, hop_settings
from stream.worker.checkpoint import write_rows
from stream.worker.log import Place
from stream.worker.reader import KafkaReader
from stream.worker.transactions import PlainPublisher

PARTITIONS = 4
CHUNK = 4_000
FUTURE_MS = 1 << 60


def fill(accounts: int) -> tuple[list[AccountHop], list[PayeeHop], int]:
    """Both hops of every partition, with so many accounts between them; and the events it took."""
    settings = Settings()
    hops = [AccountHop(p, hop_settings(settings, PARTITIONS)) for p in range(PARTITIONS)]
    payees = [PayeeHop(p, hops[0].settings.maturity_us) for p in range(PARTITIONS)]
    events = 0
    for split in _batches(accounts):
        for partition, values in enumerate(split):
            offsets = np.arange(events, events + len(values), dtype=np.int64)
            decoded = decode_transactions(
                values, offsets, np.zeros(len(values), np.int64), partition, PARTITIONS, future_ms=FUTURE_MS
            )
            if decoded.refused:
                raise ValueError(f"the simulator's own transaction was refused: {decoded.refused[0]}")
            for to, frame in hops[partition].process(decoded.columns, _NO_FEEDBACK).frames:
                payees[to].process([(events, decode_frame(frame))])
            events += len(values)
        if sum(len(hop.table) for hop in hops) >= accounts:
            break
    return hops, payees, events


_NO_FEEDBACK = np.zeros(0, FEEDBACK)


def _batches(accounts: int) -> Iterator[list[list[bytes | None]]]:
    """The bank's payments by input partition, some thousand at a time: of a bank half as large again, because not
    every account pays within days. It lives in a process of its own: its memory is not what is measured."""
    command = [sys.executable, "-m", "benchmarks.traffic", str(accounts + accounts // 2)]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    ) as bank:
        assert bank.stdout is not None
        try:
            while True:
                split: list[list[bytes | None]] = [[] for _ in range(PARTITIONS)]
                for line in islice(bank.stdout, CHUNK):
                    key, _, value = line.rstrip(b"\n").partition(b"\t")
                    split[partition_of(key, PARTITIONS)].append(value)
                yield split
        finally:
            bank.kill()


def recovered_s(hops: list[AccountHop]) -> tuple[int, float]:
    """Write all rows to a changelog on a real Kafka, as checkpoints do, and read them back into empty tables."""
    with Testbed(PARTITIONS) as testbed:
        settings = testbed.settings("memory-")
        testbed.topics("memory-")
        publisher = PlainPublisher(settings)
        topic = settings.topic("riskstream-accounts-rows")
        for hop in hops:
            publisher.begin()
            marker = {"transactions": 0, "feedback": 0, "sequence": 0, "batches": 0, "highest": 0}
            write_rows(publisher, Place(topic, hop.partition), hop.table, marker)
            publisher.commit({})
        empty = AccountsHop(settings, PARTITIONS, lambda actor: True)
        reader = KafkaReader(settings)
        began = time.monotonic()
        for hop in hops:
            empty.recover(reader, hop.partition, 0, 0)
        took = time.monotonic() - began
        reader.close()
        rows = sum(len(owner.core.table) for owner in empty.owned.values())
        for hop in hops:
            back = empty.owned[hop.partition].core.table
            same = all(
                a.tobytes() == b.tobytes() for a, b in zip(hop.table.sorted_rows(), back.sorted_rows(), strict=True)
            )
            if not same:
                raise ValueError(f"partition {hop.partition}: rows came back different")
    return rows, took


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--recover", action="store_true", help="time recovery from a real Kafka, too")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Measure and print."""
    arguments = parse()
    meter = ProcessMeter(os.getpid())
    fill(1_000)  # compiles and imports all there is to
    gc.collect()
    before = meter.rss_mb()
    hops, payees, events = fill(arguments.accounts)
    gc.collect()
    grown = (meter.rss_mb() - before) * 2**20
    accounts, known = (sum(len(hop.table) for hop in side) for side in (hops, payees))
    payees.clear()
    gc.collect()
    alone = (meter.rss_mb() - before) * 2**20
    found: dict[str, float | int] = {
        "bytes_per_account": round(alone / accounts),
        "bytes_per_account_with_payees": round(grown / accounts),
        "accounts": accounts,
        "payees": known,
        "events": events,
        "account_row_bytes": ACCOUNT_ROW.itemsize,
        "payee_row_bytes": PAYEE_ROW.itemsize,
        "rss_mb": round(grown / 2**20),
    }
    if arguments.recover:
        rows, took = recovered_s(hops)
        found |= {"recovered_rows": rows, "recovered_s": round(took, 2)}
    for name, value in found.items():
        say(f"{name:20}{value:>14,}")
    if arguments.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
