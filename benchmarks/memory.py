"""Memory per account, and how long a million rows take to come back.

    python benchmarks/memory.py                           a million accounts: about two minutes, 3 GB
    python benchmarks/memory.py --accounts 100000 --json  one JSON object on the last line
    python benchmarks/memory.py --accounts 50000 --days 30   so long that most payees have been met
    python benchmarks/memory.py --recover                 also: full rows to a real Kafka and back; 6 GB

The simulated bank's payments go through both hops of the pure core until so many accounts have a row; then the
process's resident memory, less what it was before, is divided by the accounts: with the payee rows of the same traffic
(``bytes_per_account_with_payees``) and, after these are let go, without (``bytes_per_account``). Rows, indexes, marks of
what has changed and room to grow are all in it. Rows have a fixed size: a longer history takes no more, but there are more
payees the longer a bank is watched (``--days``).

``--recover`` first fills every row to the brim with random history (known payees, last transactions), so that no
compression helps more than it would with accounts of many years.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path

sys.path.pop(0)  # this file's folder: there detectors.py hides the package of the same name
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.process_meter import ProcessMeter
from benchmarks.testbed import ENGINE_CORE, ROOT, Testbed, say
from stream.core.account.account_hop import AccountHop
from stream.core.account.account_row import ACCOUNT_ROW
from stream.core.columns import FEEDBACK
from stream.core.edge.decode import decode_transactions
from stream.core.edge.partition import partition_of
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop
from stream.core.payee.payee_row import BUSY_ROW, PAYEE_ROW
from stream.core.table.row_table import RowTable
from stream.hop_settings import hop_settings
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.log.transactions import Membership, TransactionalPublisher
from stream.settings import Settings
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.rows.checkpoint import write_rows

PARTITIONS = 4
CHUNK = 4_000
CHECKPOINT_ROWS = 20_000
DAY_US = 86_400_000_000
Split = list[list[bytes | None]]
"""Transactions by input partition."""
FUTURE_MS = 1 << 60


def fill(
    accounts: int, days: float = 0.0, source: Iterator[Split] | None = None
) -> tuple[list[AccountHop], list[PayeeHop], int]:
    """Both hops of every partition, with so many accounts between them and so many days behind them; and the events it
    took of the source (:func:`bank`)."""
    settings = Settings()
    hops = [AccountHop(p, hop_settings(settings, PARTITIONS)) for p in range(PARTITIONS)]
    payees = [PayeeHop(p, hops[0].settings.maturity_us) for p in range(PARTITIONS)]
    events, began = 0, 0
    for split in source or bank(accounts):
        for partition, values in enumerate(split):
            offsets = np.arange(events, events + len(values), dtype=np.int64)
            decoded = decode_transactions(
                values, offsets, np.zeros(len(values), np.int64), partition, PARTITIONS, future_ms=FUTURE_MS
            )
            if decoded.refused:
                raise ValueError(f"the simulator's own transaction was refused: {decoded.refused[0]}")
            began = began or int(decoded.columns["event_time"].min(initial=0))
            for to, frame in hops[partition].process(decoded.columns, _NO_FEEDBACK).frames:
                payees[to].process([(events, decode_frame(frame))])
            events += len(values)
        passed = max(int(hop.highest[0]) for hop in hops) - began
        if sum(len(hop.table) for hop in hops) >= accounts and passed >= days * DAY_US:
            break
    return hops, payees, events


_NO_FEEDBACK = np.zeros(0, FEEDBACK)


def bank(accounts: int) -> Generator[Split, None, None]:
    """The bank's payments by input partition, some thousand at a time: of a bank half as large again, because not
    every account pays within days. It lives in a process of its own: its memory is not what is measured."""
    command = [sys.executable, "-m", "benchmarks.traffic", str(accounts + accounts // 2)]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            while True:
                split: Split = [[] for _ in range(PARTITIONS)]
                for line in islice(process.stdout, CHUNK):
                    key, _, value = line.rstrip(b"\n").partition(b"\t")
                    split[partition_of(key, PARTITIONS)].append(value)
                yield split
        finally:
            process.kill()


def make_full(hops: list[AccountHop]) -> None:
    """Give every account as many payees and transactions as its row holds, of random bytes."""
    random = np.random.default_rng(11)
    for hop in hops:
        rows = hop.table.rows[: len(hop.table)]
        for name in rows.dtype.names or ():
            if name.startswith(("pair_", "recent_", "cleared_", "device_hash")) and rows[name].ndim == 2:
                column = rows[name]
                noise = random.bytes(column.shape[0] * column.shape[1] * column.itemsize)
                column[:] = np.frombuffer(noise, column.dtype).reshape(column.shape)


def recovered_s(hops: list[AccountHop]) -> dict[str, float]:
    """Write all rows to a changelog on a real Kafka, as checkpoints do, and read them back into empty tables."""
    with Testbed(PARTITIONS) as testbed:
        settings = testbed.settings("memory-")
        testbed.topics("memory-")
        os.sched_setaffinity(0, {ENGINE_CORE})
        publisher = TransactionalPublisher(settings, "memory", Membership("memory", 0, ""))
        began = time.monotonic()
        for hop in hops:
            _write(publisher, Place(settings.topic("riskstream-accounts-rows"), hop.partition), hop.table)
        written_s = time.monotonic() - began
        publisher.close()
        empty = AccountProcessor(settings, PARTITIONS, lambda actor: True)
        reader, meter = KafkaReader(settings), ProcessMeter(os.getpid())
        began, cpu = time.monotonic(), meter.cpu_s()
        for hop in hops:
            empty.recover(reader, hop.partition, dict.fromkeys(empty.inputs(hop.partition), 0))
        found = {"recovered_s": round(time.monotonic() - began, 2), "recovery_cpu_s": round(meter.cpu_s() - cpu, 2)}
        reader.close()
        for hop in hops:
            _compare(hop.table, empty.owned[hop.partition].core.table)
    rows = sum(len(owner.core.table) for owner in empty.owned.values())
    return {"recovered_rows": rows, "written_s": round(written_s, 2), **found}


def _write(publisher: TransactionalPublisher, place: Place, table: RowTable) -> None:
    marker = {"transactions": 0, "feedback": 0, "sequence": 0, "batches": 0, "highest": 0}
    table.forget_changes(table.changed())
    for start in range(0, len(table), CHECKPOINT_ROWS):
        slots = np.arange(start, min(start + CHECKPOINT_ROWS, len(table)))
        table.mark_changed(slots)
        publisher.begin()
        write_rows(publisher, place, table, marker)
        publisher.commit({})
        table.forget_changes(slots)


def _compare(table: RowTable, back: RowTable) -> None:
    rows, other = table.rows[: len(table)], back.rows[: len(back)]
    same = len(rows) == len(other) and all(
        np.array_equal(rows[part].view(np.uint8), other[slots].view(np.uint8))
        for part, slots in _matched(rows["key"], other["key"])
    )
    if not same:
        raise ValueError("rows came back different")


def _matched(keys: np.ndarray, other: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Slots of the same keys in two tables, some thousand at a time."""
    ours, theirs = np.argsort(keys, kind="stable"), np.argsort(other, kind="stable")
    for start in range(0, len(ours), CHUNK):
        yield ours[start : start + CHUNK], theirs[start : start + CHUNK]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--days", type=float, default=0.0, help="go on until so many days of payments have passed")
    parser.add_argument("--recover", action="store_true", help="time recovery from a real Kafka, too")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def resident() -> int:
    """Bytes in memory, without what the allocator only keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return round(ProcessMeter(os.getpid()).rss_mb() * 2**20)


def measure(accounts: int, days: float) -> tuple[list[AccountHop], dict[str, float]]:
    """Fill, and see what it takes with payees and without."""
    fill(1_000)  # compiles and imports all there is to
    before = resident()
    hops, payees, events = fill(accounts, days)
    grown = resident() - before
    count, known, busy = (sum(map(len, tables)) for tables in _tables(hops, payees))
    payees.clear()
    alone = resident() - before
    return hops, {
        "bytes_per_account": round(alone / count),
        "bytes_per_account_with_payees": round(grown / count),
        "bytes_per_payee": round((grown - alone) / known),
        "accounts": count,
        "payees": known,
        "busy_payees": busy,
        "payees_per_account": round(known / count, 2),
        "events": events,
        "account_row_bytes": ACCOUNT_ROW.itemsize,
        "payee_row_bytes": PAYEE_ROW.itemsize,
        "busy_row_bytes": BUSY_ROW.itemsize,
        "rss_mb": round(grown / 2**20),
        "peak_rss_mb": round(ProcessMeter(os.getpid()).peak_rss_mb()),
    }


def _tables(hops: list[AccountHop], payees: list[PayeeHop]) -> tuple[list[RowTable], list[RowTable], list[RowTable]]:
    return [hop.table for hop in hops], [hop.table for hop in payees], [hop.busy for hop in payees]


def main() -> int:
    """Measure and print."""
    arguments = parse()
    hops, found = measure(arguments.accounts, arguments.days)
    if arguments.recover:
        make_full(hops)
        found |= recovered_s(hops)
    for name, value in found.items():
        say(f"{name:20}{value:>14,}")
    if arguments.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
