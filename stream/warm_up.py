"""Compile what a first customer would otherwise wait for: ``python -m stream.warm_up``.

Runs the core once over made-up payments and a verdict, so that every compiled loop is in its cache. The edge and the
rest know nothing of each other and are compiled by two processes side by side.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stream.core.columns import TRANSACTION
from stream.errors import RiskstreamError

COMPLETE = "complete"
"""A file of this name in the cache says that nothing is missing there: a run that was interrupted leaves a part."""
_TIME_MS = 1_767_225_600_000
_TRANSACTIONS: list[bytes | None] = [
    b'{"transaction_id":"w-%d","account_id":"warm-up-%d","customer_id":"c","payee_id":"p","event_time":"2026-01-01T00:00:0%dZ",'
    b'"amount_minor":%d,"currency":"CNY","channel":"app","device_id":"d%d","lat":31.2,"lon":121.5,"country":"CN"}'
    % (n, n // 2, n, 10 ** (n + 2), n)
    for n in range(3)
]
_FEEDBACK: list[bytes | None] = [
    b'{"feedback_id":"f","transaction_id":"w-0","account_id":"warm-up-0","customer_id":"c","kind":"chargeback","verdict":"fraud",'
    b'"actor":"warm-up","occurred_at":"2026-01-02T00:00:00Z"}'
]


def warm_up_edge() -> None:
    """Read a batch of transactions; hand batches to librdkafka and take them from it."""
    from stream.core.edge.decode import decode_transactions
    from stream.log import librdkafka

    librdkafka.warm_up()
    decode_transactions(_TRANSACTIONS, np.arange(3), np.full(3, _TIME_MS), 0, 1, future_ms=300_000)
    # what the first pass leaves is looked at again: a line must not compile at its first bad record
    left = [
        b"{}",
        *(
            b'{"specversion":"1.0","id":"w","source":"/","type":"w","data":%b}' % value
            for value in _TRANSACTIONS
            if value
        ),
    ]
    decode_transactions(left, np.arange(4), np.full(4, _TIME_MS), 0, 1, future_ms=300_000)


def warm_up_line() -> None:
    """Walk both hops, decide, render and learn."""
    from detectors.drift import DriftConfig
    from detectors.row_index import RowIndex
    from rules.policy import shipped
    from stream.arrays import packed
    from stream.arrays.packed import Packed
    from stream.core.account.account_hop import AccountHop, HopSettings
    from stream.core.decision.decide import Decider
    from stream.core.decision.genesis import first_snapshot
    from stream.core.decision.render import render
    from stream.core.edge.decode import decode_feedback
    from stream.core.frame.frame import decode_frame
    from stream.core.learning.learning_records import read_learning, scored_records
    from stream.core.learning.model_watch import DriftWatch
    from stream.core.learning.stream_learner import StreamLearner
    from stream.core.payee.payee_hop import PayeeHop

    feedback = decode_feedback(_FEEDBACK, np.arange(1), np.full(1, _TIME_MS), 0, 1)
    accounts = AccountHop(0, HopSettings(1, 1_000_000, 3_600_000_000))
    profiled = accounts.process(_transactions(), feedback.columns)
    received = PayeeHop(0, 1_000_000).process([(0, decode_frame(frame)) for _, frame in profiled.frames])
    first = first_snapshot(42)
    decider = Decider(first, shipped())
    decider.scorer.warm_up()
    decided = decider.decide(received)
    render(decided, decider)
    packed.places(b"", np.zeros(1, np.int64), np.zeros(1, np.int64))
    stored = Packed.of_structs(np.repeat(accounts.table.rows[:1], 200))  # so many that the index is widened
    accounts.table.put(Packed(stored.data.copy(), stored.starts, stored.lengths))  # as Kafka's, which may be written to
    learner = StreamLearner.begin(first, 1)
    scored = scored_records(decided)
    learning = read_learning(
        [Packed(scored.data.copy(), scored.starts, scored.lengths)], [Packed.of([b"t"] * len(scored))]
    )
    watch = DriftWatch(DriftConfig(first_rows=10))
    for _ in range(12):  # until there are bins
        watch.take(learning)
    learner.absorb(learning)
    index = RowIndex()
    index.enter(np.arange(200, dtype=np.uint64), 0, 0, 0)  # so many that it is widened
    index.find(7, 0)
    learner.close_round(with_state=True)


def _transactions() -> npt.NDArray[np.void]:
    """The transactions as columns, without the compiled edge."""
    from stream.contracts.transaction import read_transaction
    from stream.core.edge.decode import fill_row
    from stream.core.edge.field_scan import WORK

    rows, work = np.zeros(len(_TRANSACTIONS), TRANSACTION), np.zeros(1, WORK)
    for row, value in zip(rows, _TRANSACTIONS, strict=True):
        fill_row(read_transaction(value), row, work[0])
    return rows


def is_complete() -> bool:
    """Whether all compiled code of these sources is in its cache."""
    return (Path(os.environ["NUMBA_CACHE_DIR"]) / COMPLETE).exists()


def warm_up() -> None:
    """Both parts, side by side."""
    parts = [subprocess.Popen([sys.executable, "-m", "stream.warm_up", part]) for part in ("edge", "line")]
    if sum(part.wait() for part in parts):
        raise RiskstreamError("compiled code could not be made ready; the message above says why")
    cache = Path(os.environ["NUMBA_CACHE_DIR"])
    cache.mkdir(parents=True, exist_ok=True)
    (cache / COMPLETE).touch()


def main() -> None:
    """One part when it is named, else both."""
    if len(sys.argv) > 1:
        {"edge": warm_up_edge, "line": warm_up_line}[sys.argv[1]]()
        return
    began = time.monotonic()
    warm_up()
    print(f"compiled code ready after {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
