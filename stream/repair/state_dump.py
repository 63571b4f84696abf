"""Rows of a line as they are at its committed offsets, rebuilt read-only from changelogs and logs.

No group is joined, nothing is fenced or written: a dump does not disturb a running worker. Rows and offsets belong
together: where the line moved while a partition was read, it is read again.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from stream.core.decision.genesis import first_snapshot
from stream.core.table.row_table import RowTable
from stream.errors import RiskstreamError
from stream.log.reader import KafkaReader
from stream.log.records import Place
from stream.log.whole_topics import group_offsets, partitions_of, scan
from stream.settings import Settings
from stream.versions.models import ModelLog
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.hops.payee_processor import PayeeProcessor

ATTEMPTS = 10
"""Readings of a partition before a line that never rests is reported."""
_PAD = frozenset(("reserved",))
_Hop = TypeVar("_Hop")


@dataclass(frozen=True, slots=True)
class PartitionState:
    """Rows of one partition and the next offsets of the inputs that they stand for."""

    partition: int
    offsets: dict[str, int]
    accounts: RowTable
    customers: RowTable
    told_accounts: RowTable
    """What accounts were told, for those that were told anything."""
    payees: RowTable
    busy_payees: RowTable
    """What payees of many payers or with confirmed frauds have beside their rows."""

    def as_json(self) -> dict[str, Any]:
        """What to say before the rows."""
        return {
            "kind": "partition",
            "partition": self.partition,
            "offsets": self.offsets,
            "accounts": len(self.accounts),
            "customers": len(self.customers),
            "told_accounts": len(self.told_accounts),
            "payees": len(self.payees),
            "busy_payees": len(self.busy_payees),
        }


def read_state(settings: Settings) -> list[PartitionState]:
    """Every partition of a line; all rows are in memory at once, as in a worker that owns every partition.

    Raises
    ------
    BrokerNotReachable
        Nothing answers.
    RiskstreamError
        There is no line with these settings, or a partition would not rest.
    """
    inputs = settings.topic("bank.transactions.v1")
    rows = [settings.topic(name) for name in ("riskstream-accounts-rows", "riskstream-payees-rows")]
    partitions = partitions_of(settings, [inputs, *rows])[inputs]
    reader = KafkaReader(settings)
    try:
        return [_read_partition(settings, reader, number, partitions) for number in range(partitions)]
    finally:
        reader.close()


def _read_partition(settings: Settings, reader: KafkaReader, partition: int, partitions: int) -> PartitionState:
    accounts = AccountProcessor(settings, partitions, trusts=_never)
    payees = PayeeProcessor(settings, _Undecided())
    account_offsets = _at_rest(reader, accounts.inputs(partition), lambda at: accounts.recover(reader, partition, at))
    payee_offsets = _at_rest(reader, payees.inputs(partition), lambda at: payees.recover(reader, partition, at))
    offsets = {place.topic: offset for place, offset in (account_offsets | payee_offsets).items()}
    core, payee_core = accounts.owned[partition].core, payees.owned[partition].core
    # whether a forgotten row has been taken out already is chance
    core.forget_all()
    payee_core.forget_all()
    return PartitionState(partition, offsets, core.table, core.customers, core.told, payee_core.table, payee_core.busy)


def _at_rest(
    reader: KafkaReader, places: Sequence[Place], recover: Callable[[dict[Place, int]], None]
) -> dict[Place, int]:
    """Recover between two equal readings of the group's offsets; return those offsets."""
    for _ in range(ATTEMPTS):
        before = group_offsets(reader, list(places))
        failure = None
        try:
            recover(before)
        except RiskstreamError as error:
            failure = error
        after = group_offsets(reader, list(places))
        if before != after:
            continue
        if failure is not None:
            raise failure
        return before
    names = ", ".join(f"{place.topic}[{place.partition}]" for place in places)
    raise RiskstreamError(f"{names}: the line moved on during each of {ATTEMPTS} readings; dump when it rests")


class _Undecided:
    """A dump decides about nothing."""

    def decider(self) -> Any:
        """Not asked."""
        _never()

    def alternatives(self, decider: object) -> Any:
        """Not asked."""
        _never()

    def set_aside(self, decider: object, instead: object, why: str) -> None:
        """Not asked."""
        _never()


def _never(*_: object) -> Any:
    raise AssertionError("a dump asks neither policy nor model")


def row_lines(kind: str, states: list[PartitionState]) -> Iterator[dict[str, Any]]:
    """Rows of all partitions in ascending order of their keys, as JSON objects."""
    tables: list[RowTable] = [getattr(state, kind + "s") for state in states]
    keyed = [((bytes(row["key"]), number, row) for row in table.sorted_rows()) for number, table in enumerate(tables)]
    for key, number, row in heapq.merge(*keyed, key=lambda item: item[:2]):
        yield {"kind": kind, "key": key.decode(), "partition": states[number].partition, **fields(row)}


def fields(row: np.void) -> dict[str, Any]:
    """A row's fields but its key: integers, floats that read back as the same bits, lists of those.

    >>> row = np.zeros(1, [("schema", "u2"), ("key", "S64"), ("mean", "f4"), ("counts", "f8", (2,))])[0]
    >>> row["mean"], row["counts"] = 0.1, (1 / 3, float("nan"))
    >>> fields(row)
    {'schema': 0, 'mean': 0.10000000149011612, 'counts': [0.3333333333333333, 'nan']}
    """
    names = row.dtype.names or ()
    return {name: _plain(row[name].tolist()) for name in names if name != "key" and name not in _PAD}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)  # JSON has no word for these
    return value


def model_line(settings: Settings) -> dict[str, str]:
    """Version and digest of the model in force."""
    log = ModelLog(first_snapshot(settings.seed))
    place = Place(settings.topic("risk.models.v1"), 0)
    scan(settings, {place: 0}, lambda _, message: log.take(message.key(), message.value(), message.offset()))
    return {"model_version": log.active.version, "model_digest": log.active.digest}
