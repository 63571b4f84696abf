"""Compile what a first customer would otherwise wait for: ``python -m stream.core.warm_up``.

Runs the whole core once over two made-up payments and a verdict, so that every compiled loop is in its cache.
"""

from __future__ import annotations

import time

import numpy as np

from rules.policy import shipped
from stream.core.decide import Decider
from stream.core.decode import decode_feedback, decode_transactions
from stream.core.frame import decode_frame
from stream.core.genesis import first_snapshot
from stream.core.learn import StreamLearner
from stream.core.learning import scored_records
from stream.core.profile import AccountHop, HopSettings
from stream.core.receive import PayeeHop
from stream.core.render import render

_TIME_MS = 1_767_225_600_000
_TRANSACTIONS: list[bytes | None] = [
    b'{"transaction_id":"w-%d","account_id":"warm-up","payee_id":"p","event_time":"2026-01-01T00:00:0%dZ",'
    b'"amount_minor":%d,"currency":"CNY","channel":"app","device_id":"d%d","lat":31.2,"lon":121.5,"country":"CN"}'
    % (n, n, 10 ** (n + 2), n)
    for n in range(3)
]
_FEEDBACK: list[bytes | None] = [
    b'{"feedback_id":"f","transaction_id":"w-0","account_id":"warm-up","kind":"chargeback","verdict":"fraud",'
    b'"actor":"warm-up","occurred_at":"2026-01-02T00:00:00Z"}'
]


def warm_up() -> None:
    """Run the core once."""
    offsets, stamps = np.arange(3), np.full(3, _TIME_MS)
    transactions = decode_transactions(_TRANSACTIONS, offsets, stamps, 0, 1, future_ms=300_000)
    feedback = decode_feedback(_FEEDBACK, offsets[:1], stamps[:1], 0, 1)
    profiled = AccountHop(0, HopSettings(1, 1_000_000, 3_600_000_000)).process(transactions.columns, feedback.columns)
    received = PayeeHop(0).process([(0, decode_frame(frame)) for _, frame in profiled.frames])
    first = first_snapshot(42)
    decider = Decider(first, shipped())
    decider.scorer.warm_up()
    decided = decider.decide(received)
    render(decided, decider)
    learner = StreamLearner.begin(first, 1)
    learner.absorb(scored_records(decided))
    learner.close_round(with_state=True)


if __name__ == "__main__":
    began = time.monotonic()
    warm_up()
    print(f"compiled code ready after {time.monotonic() - began:.1f} s")
