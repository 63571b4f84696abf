"""What must hold after every schedule, counted by the simulation itself and computed again by the oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from simulation.deciders import by_versions, declares_failure
from simulation.simulated_log import ConnectedLog, SimulatedReader
from simulation.simulated_worker import UncountedMetrics, Violation

from stream.core.table.row_table import RowTable
from stream.errors import RiskstreamError
from stream.hop_settings import hop_settings
from stream.log.records import Place, Record
from stream.replay.oracle.verify import Recorded, RecordedItem, Verified, verify
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.hops.payee_processor import PayeeProcessor
from stream.worker.rows.checkpoint import MARKER_KEY
from stream.worker.rows.replica import Replica, RowHop, RowSource
from stream.worker.rows.snapshots import RowSnapshots

if TYPE_CHECKING:
    from simulation.schedules import Simulation

TRANSACTIONS, FEEDBACK, PROFILED = "bank.transactions.v1", "bank.feedback.v1", "risk.profiled.v1"
FUTURE_MS = 300_000
BATCHES_BEFORE_MARKER = 2


class Bystander:
    """Reads the log when nothing runs any more."""

    killed = False

    def operation(self) -> None:
        """Nothing happens in between."""

    def pause(self) -> None:
        """Nobody to wait for."""
        raise Violation("something is still pending at the end")


@dataclass(frozen=True, slots=True)
class Oracle:
    """What the oracle computed."""

    verified: Verified

    def assert_recovered(self, simulation: Simulation) -> None:
        """A recovery from the log rebuilds the oracle's rows, byte for byte."""
        log = simulation.log
        for transaction in list(log.unsettled):
            log.settle(transaction) if transaction.state != "open" else log.finish(transaction, "aborted")
        accounts, payees = self._recovered(simulation, None)
        for partition in range(log.partitions):
            _assert_bounded(simulation, partition, accounts)
        assert_rows(accounts, payees, self, "rows after a recovery")

    def assert_warm(self, simulation: Simulation) -> None:
        """So does one from every disk and every standby copy; what nobody has damaged is not refused either."""
        quiet, bystander = UncountedMetrics(), ConnectedLog(simulation.log, Bystander())
        for number, disk in enumerate(simulation.disks):
            snapshots = RowSnapshots(disk, bystander.identity, 1, quiet, simulation.log.now)
            accounts, payees = self._recovered(simulation, snapshots, refusable=disk.damaged)
            assert_rows(accounts, payees, self, f"rows from the snapshots of disk {number}")
        for worker in simulation.workers:
            accounts, payees = self._recovered(simulation, worker.standbys)
            assert_rows(accounts, payees, self, f"rows from the standby copies of {worker.name}")

    def _recovered(
        self, simulation: Simulation, source: RowSource | None, refusable: bool = False
    ) -> tuple[AccountProcessor, PayeeProcessor]:
        log, versions = simulation.log, simulation.versions
        reader = SimulatedReader(log, Bystander())
        accounts = AccountProcessor(simulation.settings, log.partitions, versions.trusts)
        accounts.broker_ms = lambda: log.broker_ms  # the time of today, which no recovery may judge by
        payees = PayeeProcessor(simulation.settings, versions)

        def rebuild(hop: RowHop, partition: int, recover: Callable[[Replica[Any] | None], None]) -> None:
            try:
                recover(source.take(hop, partition) if source is not None else None)
            except RiskstreamError:
                if not refusable:
                    raise
                recover(None)

        for partition in range(log.partitions):
            places = (*accounts.inputs(partition), *payees.inputs(partition))
            stands = {place: at.offset for place, at in reader.positions(places).items()}
            rebuild(accounts, partition, partial(accounts.recover, reader, partition, stands))
            rebuild(payees, partition, partial(payees.recover, reader, partition, stands))
        return accounts, payees


def assert_rows(accounts: AccountProcessor, payees: PayeeProcessor, oracle: Oracle, whose: str) -> None:
    """Rows are as if every record had come once, in log order (invariant 2)."""
    for partition, owner in accounts.owned.items():
        owner.core.forget_all()
        oracle.verified.accounts[partition].forget_all()
        if owner.core.horizons.at != oracle.verified.accounts[partition].horizons.at:
            raise Violation(f"{whose}: what is forgotten of partition {partition} differs")
        _equal(owner.core.table, oracle.verified.accounts[partition].table, f"{whose}, accounts of {partition}")
        _equal(
            owner.core.customers, oracle.verified.accounts[partition].customers, f"{whose}, customers of {partition}"
        )
        _equal(
            owner.core.told,
            oracle.verified.accounts[partition].told,
            f"{whose}, what accounts of {partition} were told",
        )
        if owner.core.highest[0] != oracle.verified.accounts[partition].highest[0]:
            raise Violation(f"{whose}: highest event time of partition {partition} differs")
    for partition, payee in payees.owned.items():
        payee.core.forget_all()
        if payee.core.horizons.at != oracle.verified.payees[partition].horizons.at:
            raise Violation(f"{whose}: what is forgotten of payee partition {partition} differs")
        oracle.verified.payees[partition].forget_all()
        _equal(payee.core.table, oracle.verified.payees[partition].table, f"{whose}, payees of {partition}")
        _equal(payee.core.busy, oracle.verified.payees[partition].busy, f"{whose}, busy payees of {partition}")


def _assert_bounded(simulation: Simulation, partition: int, accounts: AccountProcessor) -> None:
    """A recovery repeats what came behind the last checkpoint and looks at a batch or two before it (invariant 7)."""
    marker = next(
        (orjson.loads(r.value or b"")
         for r in reversed(_records(simulation, Place("riskstream-accounts-rows", partition))) if r.key == MARKER_KEY),
        {"sequence": 0},
    )  # fmt: skip
    batches = _records(simulation, Place("riskstream-accounts-batches", partition))
    read = [orjson.loads(r.value or b"") for r in batches if r.offset >= accounts.owned[partition].batches]
    before = sum(1 for batch in read if batch["sequence"] <= marker["sequence"])
    if before > BATCHES_BEFORE_MARKER:
        raise Violation(f"a recovery of partition {partition} reads {before} batches that its rows already hold")


def assert_exact(simulation: Simulation) -> Oracle:
    """Conservation, one decision for each first occurrence, and the oracle's bytes (invariants 1, 2, 3, 8)."""
    _assert_conserved(simulation)
    _assert_decided_once(simulation)
    verified = verify(recorded(simulation))
    if not verified.equal:
        raise Violation("; ".join(map(str, verified.differences)))
    return Oracle(verified)


def recorded(simulation: Simulation) -> Recorded:
    """The simulated log as the oracle reads it."""

    def read(topic: str, partition: int) -> Iterator[RecordedItem]:
        for record in _records(simulation, Place(topic, partition)):
            yield RecordedItem(record.offset, record.timestamp, record.key, record.value or b"", dict(record.headers))

    partitions = simulation.log.partitions
    settings = hop_settings(simulation.settings, partitions)
    return Recorded(read, partitions, partitions, by_versions, settings, FUTURE_MS)


def _records(simulation: Simulation, place: Place) -> list[Record]:
    return simulation.log.committed(place, 0, simulation.log.end(place))


def _all(simulation: Simulation, topic: str) -> Iterator[Record]:
    for partition in range(simulation.log.partitions):
        yield from _records(simulation, Place(topic, partition))


def _source(record: Record) -> tuple[Place, int]:
    topic, partition, offset = dict(record.headers)["riskstream.source"].decode().rsplit("/", 2)
    return Place(topic, int(partition)), int(offset)


def _grave(record: Record) -> tuple[Place, int]:
    headers = dict(record.headers)
    place = Place(headers["__connect.errors.topic"].decode(), int(headers["__connect.errors.partition"]))
    return place, int(headers["__connect.errors.offset"])


def _assert_conserved(simulation: Simulation) -> None:
    """Per input partition: records = decided + duplicate + dead, each counted from a topic of its own (invariant 1)."""
    decided = Counter(_source(r)[0] for r in _all(simulation, "risk.decisions.v1"))
    labels = Counter(
        _source(r)[0] for r in _all(simulation, "risk.learning.v1") if dict(r.headers).get("riskstream.source")
    )
    dead = Counter(_grave(r)[0] for topic in (TRANSACTIONS, FEEDBACK) for r in _all(simulation, f"{topic}.dlq"))
    for partition in range(simulation.log.partitions):
        batches = [
            orjson.loads(r.value or b"") for r in _records(simulation, Place("riskstream-accounts-batches", partition))
        ]
        duplicates = sum(batch["duplicates"] for batch in batches)
        for place, taken in (
            (Place(TRANSACTIONS, partition), decided[Place(TRANSACTIONS, partition)] + duplicates),
            (Place(FEEDBACK, partition), labels[Place(FEEDBACK, partition)]),
        ):
            there = len(_records(simulation, place))
            if there != taken + dead[place]:
                raise Violation(f"{place}: {there} records, {taken} decided or duplicate, {dead[place]} dead")


def _assert_decided_once(simulation: Simulation) -> None:
    """What each event must become, told by who made it and not by the line (invariant 2)."""
    decisions = Counter(_source(r) for r in _all(simulation, "risk.decisions.v1"))
    labels = Counter(_source(r) for r in _all(simulation, "risk.learning.v1") if "riskstream.source" in dict(r.headers))
    graves = Counter(_grave(r) for topic in (TRANSACTIONS, FEEDBACK) for r in _all(simulation, f"{topic}.dlq"))
    offsets: Counter[Place] = Counter()
    for event in simulation.schedule.events:
        at = event.place, offsets[event.place]
        offsets[event.place] += 1
        became = (decisions[at], labels[at], graves[at])
        if became not in BECOMES[event.expect]:
            raise Violation(
                f"{at[0]} offset {at[1]} ({event.expect}) became {became} of (decision, label, dead letter)"
            )
    ids = Counter(orjson.loads(r.value or b"")["transaction_id"] for r in _all(simulation, "risk.decisions.v1"))
    if ids and max(ids.values()) > 1:
        raise Violation(f"decided twice: {[name for name, count in ids.items() if count > 1]}")
    _assert_failure_declared(simulation)


BECOMES = {
    "decided": {(1, 0, 0)},
    "duplicate": {(0, 0, 0)},
    "dead": {(0, 0, 1)},
    "dead or decided": {(1, 0, 0), (0, 0, 1)},
    "label": {(0, 1, 0)},
    "label or dead": {(0, 1, 0), (0, 0, 1)},
    "untrusted or label": {(0, 1, 0), (0, 0, 1)},
    "gap": {(0, 0, 0)},
}
"""How many decisions, labels and dead letters each kind of event may lead to."""


def _assert_failure_declared(simulation: Simulation) -> None:
    """A model that must not be used leaves a word about it in every decision it took no part in (invariant 8); no
    dependency has a part in a reversal, which is approved."""
    for record in _all(simulation, "risk.decisions.v1"):
        decision = orjson.loads(record.value or b"")
        failed = [entry["dependency"] for entry in decision["degraded"]]
        if decision["transaction_id"].startswith("r"):
            if decision["outcome"] != "approve":
                raise Violation(f"reversal {decision['transaction_id']} is not approved: {decision['outcome']}")
            continue
        if ("model" in failed) != declares_failure(decision["model_version"]):
            raise Violation(f"decision {decision['transaction_id']} says of its dependencies: {failed}")


def _equal(found: RowTable, computed: RowTable, whose: str) -> None:
    left = {row["key"]: row.tobytes() for row in found.sorted_rows()}
    right = {row["key"]: row.tobytes() for row in computed.sorted_rows()}
    if left != right:
        differing = sorted(key for key in left.keys() | right.keys() if left.get(key) != right.get(key))
        raise Violation(f"{whose}: {len(differing)} of {len(right)} rows differ, first {differing[0]!r}")
