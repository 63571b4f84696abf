"""The payees hop on a log: frames in, decisions, alerts and what the learner needs out.

Like the accounts hop it owns partitions (of ``risk.profiled.v1``), their rows and their place; its one input needs no
batch record: recovery walks the frames behind the last marker again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rules.bounded_json import NotReadable
from stream.arrays import packed
from stream.arrays.packed import Packed
from stream.core.decision.decide import Decided
from stream.core.frame.frame import Frame, decode_frame, reversals_of
from stream.core.frame.skipped import IdleFrom, SkippedFrames
from stream.core.learning.learning_records import label_record, reversal_record
from stream.core.payee.idle_payees import known_frauds
from stream.core.payee.payee_hop import PayeeHop, Received, together
from stream.core.table.forgetting import erased_until
from stream.core.table.row_table import RowTable
from stream.errors import RecoveryRefused, require_seam
from stream.log.made_anew import refuse_anew
from stream.log.records import Headers, Place, Publisher, PublishFailed, Reader, RecordBatch
from stream.log.set_aside import SetAside
from stream.log.transactions import now_header
from stream.settings import Settings
from stream.worker.hops.counts import BatchDecided
from stream.worker.hops.deciding import DecidedGroup, DeciderSource, Deciding
from stream.worker.hops.frame_trial import FrameTrial, Originals
from stream.worker.hops.isolation import (
    PartitionStopped,
    WalkFailed,
    refuse_out_of_place,
    refuse_too_many,
    walking_again,
)
from stream.worker.rows.changelog import RowsRefused
from stream.worker.rows.checkpoint import TOMBSTONES, Marker, write_rows
from stream.worker.rows.lost_records import refuse_lost
from stream.worker.rows.replica import Replica
from stream.worker.rows.row_owner import RowOwner

DAY_US = 86_400_000_000
DECIDED_AT_ONCE = 256
"""Fewer transactions of one partition are decided with the next one's: what a decision costs besides its rows is paid
once, and more rows than these would only leave the cache."""
REPEATED = "decided, but not yet in the rows of a checkpoint"
SOURCE, PROFILED = "riskstream.source", "riskstream.profiled"


@dataclass(slots=True)
class PayeePartition:
    """One partition's rows and place in its input."""

    core: PayeeHop
    profiled: int
    """Next offset of the frames."""
    unwritten: int = 0
    """Payments and feedback since the last checkpoint: no fewer than changed rows."""
    skips: SkippedFrames = field(default_factory=SkippedFrames)
    """What was left out of which frames, and after how long payees were forgotten."""
    tombstones: int = 0
    """Of forgotten rows, written so far."""


@dataclass
class PayeeProcessor(RowOwner[PayeePartition]):
    """See the module.

    Parameters
    ----------
    versions
        Model and policy in force.
    originals
        Records of inputs as they came, by place and offset.
    internal
        Records that the last batch left out.
    """

    settings: Settings
    versions: DeciderSource
    originals: Originals = lambda places: {}
    name: str = "payees"
    from_own_hop = True
    internal: int = 0
    aside: SetAside = field(default_factory=SetAside)

    def __post_init__(self) -> None:
        """Decide by what is in force."""
        self.deciding = Deciding(self.versions)

    @property
    def sources(self) -> tuple[str]:
        """The input topic: frames."""
        return (self.settings.topic("risk.profiled.v1"),)

    def inputs(self, partition: int) -> tuple[Place]:
        """The input of one partition."""
        return (Place(self.sources[0], partition),)

    def process(self, publisher: Publisher, batch: Mapping[Place, RecordBatch]) -> BatchDecided:
        """See :meth:`stream.worker.hops.hop.Hop.process`."""
        decided: list[Decided] = []
        self.internal = 0
        undecided = self.deciding.undecided
        waiting: list[Received] = []
        came: list[tuple[int, Received]] = []
        for (_, partition), records in batch.items():
            owner = self.owned[partition]
            received = self._receive(publisher, owner, partition, records)
            owner.profiled = records.next_offset
            self.count(partition, len(received.transactions) + len(received.feedback))
            if len(received.transactions):
                waiting.append(received)
            if sum(len(part.transactions) for part in waiting) >= DECIDED_AT_ONCE:
                decided += self._decide(publisher, waiting)
                waiting = []
            came.append((partition, received))
        if waiting:
            decided += self._decide(publisher, waiting)
        # a label of this batch's own payment comes behind the payment's features
        for partition, received in came:
            self._forward_labels(publisher, partition, received)
        return BatchDecided(decided, self.internal, self.deciding.undecided - undecided)

    def _receive(self, publisher: Publisher, owner: PayeePartition, partition: int, records: RecordBatch) -> Received:
        """Walk the frames of one partition; what cannot be is left out, once that is recorded."""
        place = self.inputs(partition)[0]
        refuse_out_of_place(place, records.begins, owner.profiled)
        spans = {place: (owner.profiled, records.next_offset)}
        careful = self.is_suspect(partition, {place: owner.profiled})
        try:
            if careful:
                self._leave_out(publisher, owner, partition, records)
            self._limit(publisher, owner, partition)
            return owner.core.process(_frames(records, owner.skips))
        except (PublishFailed, PartitionStopped):
            raise
        except Exception as error:
            raise WalkFailed(self.name, partition, spans, error, careful=careful) from error

    def _limit(self, publisher: Publisher, owner: PayeePartition, partition: int) -> None:
        """Record after how long payees are forgotten from this batch on, where that is news."""
        idle_us = round(self.settings.forget_payees_days * DAY_US)
        if owner.skips.idle_us(owner.profiled) != idle_us:
            limit = IdleFrom(owner.profiled, idle_us)
            owner.skips.limits.append(limit)
            publisher.send(self._skipped(partition).topic, limit.encoded(), partition=partition)
        owner.core.idle_us = idle_us

    def _leave_out(self, publisher: Publisher, owner: PayeePartition, partition: int, records: RecordBatch) -> None:
        """Find what cannot be read or walked, send it to the dead letters, and record that it is left out."""
        frames = FrameTrial(self.name, self.inputs(partition)[0], records, owner.core)
        found = frames.culprits()
        skips = frames.skips(found)
        known = [skip.at for skip in owner.skips.by_frame.values() for _ in range(skip.errors)]
        refuse_too_many(self.name, partition, found, known, self.settings.internal_errors_per_hour)
        for skip in skips:
            owner.skips.by_frame[skip.frame] = skip
            publisher.send(self._skipped(partition).topic, skip.encoded(), partition=partition)
        for letter in frames.letters(found, self.settings.topic, self.originals):
            publisher.send(letter.topic, letter.value, letter.key, headers=letter.headers)
        self.internal += len(found)

    def _skipped(self, partition: int) -> Place:
        return Place(self.settings.topic("riskstream-payees-skipped"), partition)

    def checkpoint(self, publisher: Publisher, partition: int) -> int:
        """Write the rows changed since the last checkpoint and a marker of what they stand for."""
        owner = self.owned[partition]
        core = owner.core
        if self.may_take_out(partition):
            self.forgotten += core.forget(self.settings.forget_rows_per_checkpoint)
        owner.tombstones += sum(len(table.gone()) for table in (core.table, core.busy))
        marker: Marker = {
            "profiled": owner.profiled, **core.horizons.marked(),
            "forget": owner.skips.idle_us(owner.profiled), TOMBSTONES: owner.tombstones,
            **({"topics": self.topic_ids} if self.topic_ids else {}),
        }  # fmt: skip
        return write_rows(publisher, self.changelog(partition), owner.core.table, marker, owner.core.busy)

    def tables(self, partition: int) -> tuple[Place, tuple[RowTable, ...]]:
        """The rows of an owned partition, and the changelog they are written to."""
        core = self.owned[partition].core
        return self.changelog(partition), (core.table, core.busy)

    def input_offsets(self, partition: int) -> dict[Place, int]:
        """Input offsets that the rows stand for."""
        return {self.inputs(partition)[0]: self.owned[partition].profiled}

    def keep(self, publisher: Publisher | None) -> None:
        """Set aside what is owned, which is as the last commit left it: it may come back with the next generation."""
        self.kept.update(dict(self.owned))

    def take_up(self, partition: int, offsets: Mapping[Place, int]) -> bool:
        """Own again what was set aside, if the group still stands where its rows do."""
        kept = self.kept.pop(partition, None)
        if kept is None or kept.profiled != offsets[self.inputs(partition)[0]]:
            return False
        self.own(partition, kept)
        return True

    def replica(self, partition: int) -> Replica[PayeeHop]:
        """An empty replica of one partition's rows."""
        core = PayeeHop(partition, round(self.settings.maturity_days * DAY_US), row_limit=self.settings.row_limit)
        return Replica(
            self.changelog(partition), core, core.table, (core.busy,), passed_over=self.aside.refuse,
            forgotten=lambda table, slots, marker: forgotten(core, table, slots, erased_until(marker)),
        )  # fmt: skip

    def recover(
        self, reader: Reader, partition: int, offsets: Mapping[Place, int], replica: Replica[PayeeHop] | None = None
    ) -> None:  # fmt: skip
        """Rebuild one partition: rows as of the last marker, then the frames behind it once more, silently.

        Parameters
        ----------
        offsets
            Where the group stands.
        replica
            As for the accounts hop.

        Raises
        ------
        RecordsLost
            What must be walked again is not there any more.
        TopicMadeAnew
            The input is another topic than the rows stand for.
        """
        profiled = offsets[self.inputs(partition)[0]]
        replica = replica or self.replica(partition)
        replica.read_on(reader)
        if not self.settings.accept_lost_records:
            refuse_anew(replica.marker, self.topic_ids)
        if replica.marker is not None and "profiled" not in replica.marker:
            raise RowsRefused(replica.place, replica.marked, "a marker of another hop")
        start = replica.marker["profiled"] if replica.marker is not None else 0
        place = self.inputs(partition)[0]
        if start > profiled:
            raise RecoveryRefused(
                f"{place.topic}[{partition}]: the rows stand for offset {start}, the group stands at "
                f"{profiled}: they do not belong together; was {place.topic} deleted and made anew, which takes the "
                "group's offsets with it, or were offsets reset by hand? Then begin anew with another topic prefix"
            )
        if start < profiled and (replica.marker is not None or reader.watermarks(place)[0] < profiled):
            refuse_lost(reader, place, start, REPEATED, accept=self.settings.accept_lost_records)
        owner = PayeePartition(replica.core, profiled, skips=self._read_skips(reader, partition))
        self._take_marker(owner, replica.marker or {}, start)
        with walking_again(self.name, place, start):
            for records in reader.read_many(place, start, profiled):
                for idle_us, frames in owner.skips.runs(_frames(records, owner.skips)):
                    replica.core.idle_us = idle_us
                    replica.core.process(frames)
        self.own(partition, owner)

    def _take_marker(self, owner: PayeePartition, marker: Marker, start: int) -> None:
        """What is forgotten as of the marker; the limit it stands for too, whose own record may have been deleted."""
        owner.core.horizons.take(marker)
        owner.tombstones = marker.get(TOMBSTONES, 0)
        if start and owner.skips.idle_us(start - 1) == 0 and marker.get("forget", 0):
            owner.skips.limits.insert(0, IdleFrom(0, marker["forget"]))

    def _read_skips(self, reader: Reader, partition: int) -> SkippedFrames:
        skips = SkippedFrames()
        for chunk in reader.read(self._skipped(partition), 0):
            for record in chunk:
                try:
                    skips.take(record.value or b"")
                except NotReadable as error:
                    place = self._skipped(partition)
                    self.aside.refuse(place, record.offset, record.key, record.value, "foreign", str(error))
        return skips

    def _decide(self, publisher: Publisher, parts: Sequence[Received]) -> list[Decided]:
        verdicts = self.deciding.decide(together(parts))
        require_seam(
            sum(len(each.decided.verdicts) for each in verdicts) == sum(len(part.transactions) for part in parts),
            "other payments were decided than came in frames",
        )
        for verdict in verdicts:
            self._publish(publisher, verdict)
        return [verdict.decided for verdict in verdicts]

    def _publish(self, publisher: Publisher, verdict: DecidedGroup) -> None:
        decided, rendered = verdict.decided, verdict.rendered
        transactions = decided.received.transactions
        topic = self.settings.topic
        decisions, alerts, learning = topic("risk.decisions.v1"), topic("risk.alerts.v1"), topic("risk.learning.v1")
        source = packed.places(
            topic("bank.transactions.v1").encode() + b"/",
            transactions["source_partition"],
            transactions["source_offset"],
        )
        profiled = packed.places(
            topic("risk.profiled.v1").encode() + b"/",
            decided.received.partition,
            decided.received.frame,
            decided.received.place,
        )
        stamp = now_header()
        publisher.send_many(
            decisions, rendered.decisions, rendered.keys, ((SOURCE, source), (PROFILED, profiled), stamp)
        )
        taken_back = reversals_of(transactions)
        if verdict.scored is not None:
            scored, keys = verdict.scored, Packed.of_ids(transactions["transaction_id"])
            if taken_back.any():  # no payment: nothing is learned from it but that another came back
                scored, keys = scored.chosen(~taken_back), keys.chosen(~taken_back)
            publisher.send_many(learning, scored, keys)
        for row in np.flatnonzero(taken_back).tolist():
            headers: Headers = [(PROFILED, profiled[row])]
            publisher.send(
                learning, reversal_record(transactions[row]), transactions["transaction_id"][row], headers=headers
            )
        for row, alert in rendered.alerts:
            headers = [(SOURCE, source[row]), (PROFILED, profiled[row]), stamp]
            publisher.send(alerts, alert, rendered.keys[row], headers=headers)
        for row, owed in rendered.obligations:
            headers = [(SOURCE, source[row]), (PROFILED, profiled[row]), stamp]
            publisher.send(topic("riskstream-obligations"), owed, rendered.keys[row], headers=headers)
        for row, challenge in rendered.challenges:
            headers = [(SOURCE, source[row]), (PROFILED, profiled[row]), stamp]
            publisher.send(topic("riskstream-challenges"), challenge, rendered.keys[row], headers=headers)

    def _forward_labels(self, publisher: Publisher, partition: int, received: Received) -> None:
        profiled_topic = self.inputs(partition)[0].topic
        source_topic = self.settings.topic("bank.feedback.v1")
        places = zip(received.feedback_frame.tolist(), received.feedback_place.tolist(), strict=True)
        for record, (frame, place) in zip(received.feedback, places, strict=True):
            headers: Headers = [(PROFILED, f"{profiled_topic}/{partition}/{frame}/f{place}".encode())]
            if not record["takes_back"]:  # of an input record there is one label
                source = f"{source_topic}/{record['source_partition']}/{record['source_offset']}"
                headers.insert(0, (SOURCE, source.encode()))
            publisher.send(
                self.settings.topic("risk.learning.v1"), label_record(record), record["transaction_id"], headers=headers
            )

    def changelog(self, partition: int) -> Place:
        """Where one partition's rows are written to."""
        return Place(self.settings.topic("riskstream-payees-rows"), partition)


def forgotten(core: PayeeHop, table: RowTable, slots: npt.NDArray[np.int64], horizon: int) -> npt.NDArray[np.bool_]:
    """Which rows of a table are forgotten at a horizon, bool[n]; of busy rows those that may be: they go with their payee."""
    return core.idle(slots, horizon) if table is core.table else ~known_frauds(table.rows[slots])


def _frames(records: RecordBatch, skips: SkippedFrames) -> list[tuple[int, Frame]]:
    if not skips.by_frame:
        return [
            (offset, decode_frame(records.values.view(place))) for place, offset in enumerate(records.offsets.tolist())
        ]
    read = [(at, skips.read(at, records.value(place) or b"")) for place, at in enumerate(records.offsets.tolist())]
    return [(offset, frame) for offset, frame in read if frame is not None]
