"""The benchmarks' traffic: a simulated bank's transactions, the same for every engine."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from stream.simulate.bank import Bank
from stream.simulate.config import SimulationConfig
from stream.simulate.record import Event

ACCOUNTS = 20_000
SEED = 11


def transactions(count: int, accounts: int = ACCOUNTS) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the first ``count`` transactions of the bank: about 390 B of JSON each."""
    for event in events(count, accounts):
        yield event.key, event.transaction


def events(count: int, accounts: int = ACCOUNTS) -> Iterator[Event]:
    """The same with their truth; a longer stream begins with the shorter one."""
    return islice(_endless(accounts), count)


def _endless(accounts: int) -> Iterator[Event]:
    for chunk in Bank(SimulationConfig(seed=SEED, accounts=accounts)).transactions():
        yield from chunk.events()
