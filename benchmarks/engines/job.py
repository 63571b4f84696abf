"""The trivial job in Python: a decision from a transaction and its account's row, and what an engine is told."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import orjson

LARGE_MINOR = 1_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """Where an engine reads, writes and keeps its state.

    Parameters
    ----------
    broker
        HOST:PORT.
    prefix
        Of this run's topics and group.
    state
        An empty folder of its own.
    """

    broker: str
    prefix: str
    state: str

    @property
    def input(self) -> str:
        """Topic of the transactions."""
        return self.prefix + "bank.transactions.v1"

    @property
    def output(self) -> str:
        """Topic of the decisions."""
        return self.prefix + "risk.decisions.v1"

    @property
    def changelog(self) -> str:
        """A compacted topic for rows, for engines that make none of their own."""
        return self.prefix + "changelog"

    @property
    def group(self) -> str:
        """Consumer group."""
        return self.prefix + "engine"


def from_command_line() -> Job:
    """The job that this process was started for."""
    broker, prefix, state = sys.argv[1:4]
    return Job(broker, prefix, state)


def decision(transaction_id: str, account_id: str, amount_minor: int, count: int, total: int) -> bytes:
    """The decision's JSON.

    >>> decision("t", "a", 5, 2, 9)
    b'{"transaction_id":"t","account_id":"a","outcome":"approve","count":2,"sum_minor":9}'
    """
    return orjson.dumps(
        {
            "transaction_id": transaction_id,
            "account_id": account_id,
            "outcome": "review" if amount_minor > LARGE_MINOR else "approve",
            "count": count,
            "sum_minor": total,
        }
    )
