"""The benchmarks' traffic: a simulated bank's transactions, the same for every engine.

python -m benchmarks.traffic ACCOUNTS        without end: key, tab, transaction, line by line
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice

from stream.simulate.bank import Bank
from stream.simulate.bank_config import SimulationConfig
from stream.simulate.payment_record import Event, SimulatedChunk

ACCOUNTS = 20_000
SEED = 11


def transactions(count: int, accounts: int = ACCOUNTS) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the first ``count`` transactions of the bank: about 390 B of JSON each."""
    for event in events(count, accounts):
        yield event.key, event.transaction


def events(count: int, accounts: int = ACCOUNTS) -> Iterator[Event]:
    """The same with their truth; a longer stream begins with the shorter one."""
    return islice((event for chunk in chunks(accounts) for event in chunk.events()), count)


def chunks(accounts: int) -> Iterator[SimulatedChunk]:
    """The bank's transactions without end, some thousand at a time."""
    return Bank(SimulationConfig(seed=SEED, accounts=accounts)).transactions()


if __name__ == "__main__":
    for chunk in chunks(int(sys.argv[1])):
        sys.stdout.buffer.writelines(b"%b\t%b\n" % (event.key, event.transaction) for event in chunk.events())
