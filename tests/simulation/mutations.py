"""Ways to break the line: each is a rule that somebody might leave out, and that the simulator must notice.

A simulator that cannot fail proves nothing. Every entry names the rule, and breaks it in the real code (or in what the
log grants it) for as long as the context lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from simulation.deciders import deciders
from simulation.simulated_log import ConnectedLog, SimulatedLog, SimulatedPublisher, SimulatedReader

from stream.core.account.account_row import HOUR_US
from stream.core.frame.batch_record import mended_steps
from stream.core.frame.mended_step import MendingStep
from stream.core.payee.payee_hop import PayeeHop
from stream.core.payee.payee_mending import mend_payees
from stream.core.table.forgetting import BEFORE_ALL, Horizons, Sweep
from stream.core.table.row_table import RowTable
from stream.log.mailbox import Mailbox
from stream.log.records import Place, Position, PublishFailed, Record
from stream.worker.hops import account_processor as accounts
from stream.worker.hops import account_rows
from stream.worker.hops import payee_processor as payees
from stream.worker.hops.account_processor import AccountProcessor
from stream.worker.hops.payee_processor import PayeeProcessor
from stream.worker.rows import checkpoint
from stream.worker.rows import row_snapshot as snapshot
from stream.worker.rows.replica import Replica
from stream.worker.rows.row_snapshot import Copying
from stream.worker.rows.snapshots import RowSnapshots

Mutation = Callable[[pytest.MonkeyPatch], None]


def no_fence(patch: pytest.MonkeyPatch) -> None:
    """Who takes over lets the previous owner be."""
    patch.setattr(ConnectedLog, "fence", lambda self, transactional_id: None)


def no_claim(patch: pytest.MonkeyPatch) -> None:
    """Who takes over does not say so: the next owner does not know whom to fence."""
    commit = SimulatedPublisher.commit

    def without_claim(self: SimulatedPublisher, offsets: Mapping[Place, int]) -> None:
        if self._queues or self._open is not None:
            commit(self, offsets)

    patch.setattr(SimulatedPublisher, "commit", without_claim)


def no_batch_record(patch: pytest.MonkeyPatch) -> None:
    """A batch leaves no word about which offsets it took."""
    send = SimulatedPublisher.send

    def without_batches(self: SimulatedPublisher, topic: str, *rest: Any, **named: Any) -> None:
        if not topic.endswith("-batches"):
            send(self, topic, *rest, **named)

    patch.setattr(SimulatedPublisher, "send", without_batches)


def marker_outside(patch: pytest.MonkeyPatch) -> None:
    """The marker is written at once, outside the transaction of the rows it speaks of."""

    def write(
        publisher: SimulatedPublisher, place: Place, table: RowTable, marker: checkpoint.Marker, *beside: RowTable
    ) -> int:
        publisher._log.append(place, Record(-1, 0, checkpoint.MARKER_KEY, orjson.dumps(marker)))
        return checkpoint.write_rows(publisher, place, table, marker, *beside)

    patch.setattr(account_rows, "write_rows", write)
    patch.setattr(payees, "write_rows", write)


def no_ring(patch: pytest.MonkeyPatch) -> None:
    """The ring of the last transactions is forgotten: a producer's retry is a payment of its own."""
    process = AccountProcessor._process

    def forgetful(self: AccountProcessor, publisher: Any, partition: int, *rest: Any) -> Any:
        self.owned[partition].core.table.rows["recent_transaction"] = 0
        return process(self, publisher, partition, *rest)

    patch.setattr(AccountProcessor, "_process", forgetful)


def no_generation(patch: pytest.MonkeyPatch) -> None:
    """Commits do not carry the group's generation, and a thawed owner's fence hits nobody."""
    patch.setattr(SimulatedLog, "granted", lambda self, membership: True)
    patch.setattr(ConnectedLog, "fence", lambda self, transactional_id: None)


def offsets_apart(patch: pytest.MonkeyPatch) -> None:
    """Outputs and input offsets are committed one after the other."""
    commit = SimulatedPublisher.commit

    def not_yet(self: SimulatedPublisher, offsets: Mapping[Place, int]) -> None:
        pass

    def apart(self: SimulatedPublisher, offsets: Mapping[Place, int]) -> None:
        commit(self, {})
        self.begin()
        commit(self, offsets)

    patch.setattr(SimulatedPublisher, "take", not_yet)
    patch.setattr(SimulatedPublisher, "commit", apart)


def failure_ignored(patch: pytest.MonkeyPatch) -> None:
    """A commit that failed is taken for one that succeeded."""
    commit = SimulatedPublisher.commit

    def hopeful(self: SimulatedPublisher, offsets: Mapping[Place, int]) -> None:
        try:
            commit(self, offsets)
        except PublishFailed:
            self._open = None

    patch.setattr(SimulatedPublisher, "commit", hopeful)


def mailbox_kept(patch: pytest.MonkeyPatch) -> None:
    """What was fetched before a recovery is processed after it, wherever the rows stand."""
    place_unasked(patch)
    patch.setattr(Mailbox, "clear", lambda self: None)


def reads_uncommitted(patch: pytest.MonkeyPatch) -> None:
    """A recovery reads what no transaction has committed."""

    def read(self: SimulatedReader, place: Place, start: int, stop: int | None = None) -> Iterator[list[Record]]:
        entries = self._log.entries.get(place, [])[start:stop]
        yield [entry.record for entry in entries if entry.record is not None]

    patch.setattr(SimulatedReader, "read", read)


def positions_pending(patch: pytest.MonkeyPatch) -> None:
    """Where the group stands is asked before anybody is fenced, and without waiting for what is pending."""

    def positions(self: SimulatedReader, places: Sequence[Place]) -> dict[Place, Position]:
        return {place: self.before.get(place, Position(0, "")) for place in places}  # type: ignore[attr-defined]

    owners = SimulatedReader.owners

    def remembering(self: SimulatedReader, places: Sequence[Place]) -> dict[Place, str]:
        self.before = dict(self._log.group)  # type: ignore[attr-defined]
        return owners(self, places)

    patch.setattr(SimulatedReader, "positions", positions)
    patch.setattr(SimulatedReader, "owners", remembering)


def trust_of_today(patch: pytest.MonkeyPatch) -> None:
    """A recovery asks the policy in force who is trusted, and not the record of the batch."""
    decode = AccountProcessor._decode_feedback

    def today(self: AccountProcessor, partition: int, records: Sequence[Record], trusts: Any) -> Any:
        return decode(self, partition, records, self.trusts)

    patch.setattr(AccountProcessor, "_decode_feedback", today)


def stamp_believed(patch: pytest.MonkeyPatch) -> None:
    """An event time is judged by the record's own stamp alone, which its producer's clock may have set."""
    decode = AccountProcessor._decode_transactions
    patch.setattr(
        AccountProcessor,
        "_decode_transactions",
        lambda self, partition, records, broker_ms: decode(self, partition, records, None),
    )


def time_of_today(patch: pytest.MonkeyPatch) -> None:
    """A recovery judges event times by another time than the one that the record of the batch has."""
    decode = AccountProcessor._decode_transactions

    def another(self: AccountProcessor, partition: int, records: Sequence[Record], broker_ms: int | None) -> Any:
        if broker_ms is not None and broker_ms != self.broker_ms():
            broker_ms -= HOUR_US // 1000
        return decode(self, partition, records, broker_ms)

    patch.setattr(AccountProcessor, "_decode_transactions", another)


def step_unrecorded(patch: pytest.MonkeyPatch) -> None:
    """Times are mended, and the record of the batch has no word of it."""
    patch.setattr(accounts, "recorded", lambda steps: [])


def mended_by_today(patch: pytest.MonkeyPatch) -> None:
    """A recovery mends by another time than the one at which times were mended."""

    def another(batch: Mapping[str, Any]) -> tuple[MendingStep, ...]:
        return tuple(
            replace(step, limit=step.limit - 24 * HOUR_US, until=step.until - 24 * HOUR_US)
            for step in mended_steps(batch)
        )

    patch.setattr(account_rows, "mended_steps", another)


def marker_without_clock(patch: pytest.MonkeyPatch) -> None:
    """The marker forgets the highest event time, which lateness is measured against."""
    marker = AccountProcessor._marker

    def forgetful(self: AccountProcessor, owner: Any) -> checkpoint.Marker:
        return marker(self, owner) | {"highest": -(2**62)}

    patch.setattr(AccountProcessor, "_marker", forgetful)


def silent_degradation(patch: pytest.MonkeyPatch) -> None:
    """A model that is not used is not spoken of."""
    patch.setattr(deciders()[-1], "failed", 0)


def kept_unasked(patch: pytest.MonkeyPatch) -> None:
    """What was owned before a rebalance is owned again, whatever the group did meanwhile."""

    def take_up(self: Any, partition: int, offsets: Any) -> bool:
        kept = self.kept.pop(partition, None)
        if kept is not None:
            self.owned[partition] = kept
        return kept is not None

    patch.setattr(AccountProcessor, "take_up", take_up)
    patch.setattr(payees.PayeeProcessor, "take_up", take_up)


def copy_not_read_on(patch: pytest.MonkeyPatch) -> None:
    """Rows that came from a standby copy or a snapshot are taken as they are."""
    read_on = Replica.read_on

    def content(self: Replica[Any], *rest: Any) -> bool:
        return bool(self.next_offset) or read_on(self, *rest)

    patch.setattr(Replica, "read_on", content)


def snapshot_unvouched(patch: pytest.MonkeyPatch) -> None:
    """A snapshot is published as soon as it is copied, though rows were changed meanwhile."""
    step = Copying.step

    def hasty(self: Copying, file: Any) -> bool:
        done = step(self, file)
        if done:
            job = next(job for snapshots in _SNAPSHOTS for job in snapshots._jobs.values() if job.copying is self)
            job.vouched = -1
        return done

    _SNAPSHOTS.clear()
    made = RowSnapshots.__init__

    def remembered(self: RowSnapshots, *rest: Any) -> None:
        made(self, *rest)
        _SNAPSHOTS.append(self)

    patch.setattr(RowSnapshots, "__init__", remembered)
    patch.setattr(Copying, "step", hasty)


_SNAPSHOTS: list[RowSnapshots] = []


def snapshot_unchecked(patch: pytest.MonkeyPatch) -> None:
    """A snapshot's checksums are not looked at."""
    patch.setattr(snapshot.zlib, "crc32", lambda data, before=0: 0)


def snapshot_from_its_end(patch: pytest.MonkeyPatch) -> None:
    """A recovery reads on from the marker that a snapshot was finished by, not from the one it was begun at."""
    header = Copying.header

    def later(self: Copying, identity: str, vouched: int) -> snapshot.Header:
        return replace(header(self, identity, vouched), start=vouched + 1)

    patch.setattr(Copying, "header", later)


def place_unasked(patch: pytest.MonkeyPatch) -> None:
    """A batch is walked wherever it begins, also where fetching was begun anew at an old or a new offset."""
    for module in (accounts, payees):
        patch.setattr(module, "refuse_out_of_place", lambda place, begins, stands: None)


def forgets_too_soon(patch: pytest.MonkeyPatch) -> None:
    """A sweep takes rows out that are not forgotten yet."""
    find = Sweep.find

    def hasty(self: Sweep, horizon: int, most: int, idle: Any) -> Any:
        return find(self, horizon + 12 * 3_600_000_000, most, idle)

    patch.setattr(Sweep, "find", hasty)


def marker_without_horizon(patch: pytest.MonkeyPatch) -> None:
    """The marker does not say what is forgotten."""
    marker = AccountProcessor._marker

    def forgetful(self: AccountProcessor, owner: Any) -> checkpoint.Marker:
        names = ("reached", "forgotten_until", "pairs_forgotten_until")
        return {name: value for name, value in marker(self, owner).items() if name not in names}

    patch.setattr(AccountProcessor, "_marker", forgetful)


def tombstones_unsent(patch: pytest.MonkeyPatch) -> None:
    """A row is taken out of memory and stays on its topic."""
    patch.setattr(RowTable, "gone", lambda self: [])


def tombstones_uncounted(patch: pytest.MonkeyPatch) -> None:
    """The marker does not say how many tombstones checkpoints wrote."""
    marker = AccountProcessor._marker

    def silent(self: AccountProcessor, owner: Any) -> checkpoint.Marker:
        return marker(self, owner) | {checkpoint.TOMBSTONES: 0}

    patch.setattr(AccountProcessor, "_marker", silent)


def limits_of_today(patch: pytest.MonkeyPatch) -> None:
    """A recovery forgets by its own settings, not by those a batch was walked with."""
    patch.setattr(account_rows, "recorded_limits", lambda batch: None)


def payee_limits_of_today(patch: pytest.MonkeyPatch) -> None:
    """The second hop does not record from which frame on which limit holds."""

    def unrecorded(self: PayeeProcessor, publisher: Any, owner: Any, partition: int) -> None:
        owner.core.idle_us = round(self.settings.forget_payees_days * payees.DAY_US)

    patch.setattr(PayeeProcessor, "_limit", unrecorded)


def horizon_goes_back(patch: pytest.MonkeyPatch) -> None:
    """A limit that is raised brings back what was forgotten."""
    advance = Horizons.advance

    def forgetful(self: Horizons, event_times: Any, limits: list[int], reached: Any = None) -> Any:
        self.at = [BEFORE_ALL] * len(self.at)
        return advance(self, event_times, limits, reached)

    patch.setattr(Horizons, "advance", forgetful)


def mended_without_a_sweep(patch: pytest.MonkeyPatch) -> None:
    """A step lets the horizon go back over rows of which some were taken out and some were not."""

    def mend(self: PayeeHop, step: MendingStep) -> int:
        if self.horizons.reached > step.limit:
            self.horizons.go_back(step.until, [self.idle_us])
        return mend_payees(self.table, self.busy, step)

    patch.setattr(PayeeHop, "mend", mend)


MUTATIONS: tuple[Mutation, ...] = (
    no_fence, no_claim, no_batch_record, marker_outside, no_ring, no_generation, offsets_apart, failure_ignored,
    mailbox_kept, reads_uncommitted, positions_pending, trust_of_today, stamp_believed, time_of_today, step_unrecorded, mended_by_today, marker_without_clock, silent_degradation,
    kept_unasked, copy_not_read_on, snapshot_unvouched, snapshot_unchecked,
    snapshot_from_its_end, place_unasked, forgets_too_soon, marker_without_horizon, tombstones_unsent, tombstones_uncounted,
    limits_of_today, payee_limits_of_today, horizon_goes_back, mended_without_a_sweep,
)  # fmt: skip
