"""What became of every input record, counted per partition from four independent sources.

========== ==========================================================================================
decided    records of ``risk.decisions.v1`` (for feedback: labels on ``risk.learning.v1``), by the source in their header
duplicate  the accounts hop's log of batches
dead       records of ``<topic>.dlq``, by the offset in their header
in flight  input behind the group's committed offset, to the end of the log, and what stands in frames that the payees hop
           has not committed
waiting    of these, the input behind a transaction that a producer has open: no reader of committed records gets past it
lost       offsets that were deleted before they were read: between the group's offset and the topic's first one, and
           what no batch took because it was gone (the accounts hop's log of batches has a gap there)
beyond     offsets that batches took and the group does not stand behind: the topic was made anew, or offsets were reset
========== ==========================================================================================

The line may run meanwhile. The group's offsets are read first and are the cut: a record before the cut counts by
where it came out, one behind it is in flight, and what the hops do after the cut is left out on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rules.bounded_json import NotReadable
from stream.arrays.rfc3339 import render
from stream.core.frame.batch_record import read_batch
from stream.core.frame.frame import salvaged
from stream.errors import RiskstreamError
from stream.log.reader import KafkaReader
from stream.log.records import Place, Position
from stream.log.whole_topics import group_offsets, group_positions, partitions_of, scan
from stream.settings import Settings

TRANSACTIONS, FEEDBACK = "bank.transactions.v1", "bank.feedback.v1"
INPUTS = (TRANSACTIONS, FEEDBACK)
PROFILED, DECISIONS, LEARNING = "risk.profiled.v1", "risk.decisions.v1", "risk.learning.v1"
BATCHES = "riskstream-accounts-batches"


@dataclass
class Balance:
    """One input partition. ``start`` and ``end`` are offsets; the rest are counts of records.

    >>> Balance(Place("bank.transactions.v1", 0), 0, 10, 10, records=9, decided=8, dead=1).balanced
    True
    """

    place: Place
    start: int
    end: int
    cut: int
    """The group's next offset."""
    stable: int = -1
    """Where committed readers end: before an open transaction; at the end without one."""
    records: int = 0
    """Between start and end; fewer than offsets where the bank writes in transactions."""
    decided: int = 0
    duplicate: int = 0
    dead: int = 0
    in_flight: int = 0
    lost: int = 0
    """Offsets, of which some may have been control records."""
    waiting: int = 0
    open_since_ms: int = 0
    """Kafka timestamp of the open transaction's first record, which lies at ``stable``."""
    beyond: int = 0

    @property
    def balanced(self) -> bool:
        """Whether nothing is lost, nothing came twice, and what batches took is what this topic has."""
        told = self.decided + self.duplicate + self.dead + self.in_flight
        return not self.lost and not self.beyond and self.records == told

    def before_cut(self, offset: int) -> bool:
        """Whether an input offset is one the accounts hop has taken, and the topic still has."""
        return self.start <= offset < self.cut

    @property
    def open_transaction(self) -> dict[str, Any] | None:
        """First offset of the transaction that committed readers wait at, and the Kafka timestamp of its record."""
        if not self.waiting:
            return None
        return {"offset": self.stable, "since": render(1000 * self.open_since_ms)}

    def as_json(self) -> dict[str, Any]:
        """CONTRACT.md's object."""
        return {
            "topic": self.place.topic,
            "partition": self.place.partition,
            "start": self.start,
            "end": self.end,
            "records": self.records,
            "decided": self.decided,
            "duplicate": self.duplicate,
            "dead": self.dead,
            "in_flight": self.in_flight,
            "lost": self.lost,
            "waiting": self.waiting,
            "open_transaction": self.open_transaction,
            "beyond": self.beyond,
            "balanced": self.balanced,
        }


def source_of(headers: Mapping[str, bytes]) -> tuple[Place, int] | None:
    """Input place and offset that an output record names, None where it names none.

    >>> source_of({"riskstream.source": b"t-bank.transactions.v1/2/17"})
    (Place(topic='t-bank.transactions.v1', partition=2), 17)
    """
    value = headers.get("riskstream.source")
    if value is None:
        return None
    topic, partition, offset = value.decode().rsplit("/", 2)
    return Place(topic, int(partition)), int(offset)


def frame_of(headers: Mapping[str, bytes]) -> tuple[int, int]:
    """Partition and offset of the frame that an output record came from.

    >>> frame_of({"riskstream.profiled": b"risk.profiled.v1/3/120/f7"})
    (3, 120)
    """
    _, partition, offset, _ = headers["riskstream.profiled"].decode().rsplit("/", 3)
    return int(partition), int(offset)


@dataclass
class RecordCount:
    """Counts as records are visited."""

    settings: Settings
    balances: dict[Place, Balance]
    profiled: dict[int, int]
    """The payees hop's next frame, by partition."""
    unknown: list[str] = field(default_factory=list)
    """Output records that name no input this line has."""
    taken: dict[Place, int] = field(default_factory=dict)
    """Where the last batch of each input ended."""

    def take(self, place: Place, message: Any) -> None:
        """Visit one record of any topic."""
        topic = place.topic.removeprefix(self.settings.topic_prefix)
        if topic in INPUTS:
            self._input(place, message.offset())
        elif topic in (DECISIONS, LEARNING):
            self._came_out(dict(message.headers() or ()))
        elif topic == PROFILED:
            self._frame(place, message)
        elif topic == BATCHES:
            # what is no batch record took nothing: the accounts hop passes over it, too
            with suppress(NotReadable):
                self._batch(place.partition, read_batch(message.value()))
        else:
            self._dead_letter(dict(message.headers() or ()))

    def _input(self, place: Place, offset: int) -> None:
        balance = self.balances[place]
        if offset < balance.stable:
            balance.records += 1
            balance.in_flight += offset >= balance.cut

    def take_waiting(self, place: Place, message: Any) -> None:
        """Visit one record of an input behind its stable end, committed or not."""
        balance = self.balances[place]
        if balance.stable <= message.offset() < balance.end:
            balance.open_since_ms = balance.open_since_ms or message.timestamp()[1]
            balance.records += 1
            balance.in_flight += 1
            balance.waiting += 1

    def judge_taken(self, stands: Mapping[Place, Position]) -> None:
        """Compare what batches took with where the group stands after they were read: both commit together. A group in
        which nobody's name stands commits apart from its batches, as on the embedded broker: that says nothing."""
        if any(position.owner for position in stands.values()):
            for place, stop in self.taken.items():
                self.balances[place].beyond = max(stop - stands[place].offset, 0)

    def _came_out(self, headers: Mapping[str, bytes]) -> None:
        source = source_of(headers)
        if source is None:  # features as scored: their decision stands for them
            return
        balance = self.balances.get(source[0])
        if balance is None:
            self.unknown.append(f"{source[0].topic}[{source[0].partition}]")
            return
        partition, frame = frame_of(headers)
        balance.decided += balance.before_cut(source[1]) and frame < self.profiled[partition]

    def _frame(self, place: Place, message: Any) -> None:
        if message.offset() < self.profiled[place.partition]:
            return
        frame = salvaged(message.value() or b"")
        told = frame.feedback[frame.feedback["takes_back"] == 0]  # what was taken back is no record of the input's own
        for topic, rows in ((TRANSACTIONS, frame.transactions), (FEEDBACK, told)):
            for partition in np.unique(rows["source_partition"]).tolist():
                balance = self.balances[Place(self.settings.topic(topic), partition)]
                offsets = rows["source_offset"][rows["source_partition"] == partition].tolist()
                balance.in_flight += sum(map(balance.before_cut, offsets))

    def _batch(self, partition: int, batch: Mapping[str, Any]) -> None:
        for topic, name in ((TRANSACTIONS, "transactions"), (FEEDBACK, "feedback")):
            place, (first, stop) = Place(self.settings.topic(topic), partition), batch[name]
            self.balances[place].lost += max(first - self.taken.get(place, first), 0)
            self.taken[place] = stop
        for topic, name, repeats in (
            (TRANSACTIONS, "transactions", "duplicates"),
            (FEEDBACK, "feedback", "feedback_duplicates"),
        ):
            balance = self.balances[Place(self.settings.topic(topic), partition)]
            first, stop = batch[name]
            # a batch that the topic's retention has cut into cannot be told apart; it counts as gone
            if first >= balance.start and stop <= balance.cut:
                balance.duplicate += int(batch.get(repeats, 0))

    def _dead_letter(self, headers: Mapping[str, bytes]) -> None:
        prefix = "__connect.errors."
        place = Place(headers[prefix + "topic"].decode(), int(headers[prefix + "partition"]))
        balance = self.balances.get(place)
        if balance is None:
            self.unknown.append(f"{place.topic}[{place.partition}]")
        else:
            # what the payees hop left out counts like its decisions: from the frame that it has committed
            behind = "riskstream.profiled" in headers and not self._has_taken(frame_of(headers))
            balance.dead += balance.before_cut(int(headers[prefix + "offset"])) and not behind

    def _has_taken(self, frame: tuple[int, int]) -> bool:
        return frame[1] < self.profiled[frame[0]]


def count(settings: Settings) -> list[Balance]:
    """Balance of every input partition, transactions first.

    Raises
    ------
    BrokerNotReachable
        Nothing answers.
    RiskstreamError
        There is no line with these settings, or an output record names an input partition that does not exist.
    """
    topic = settings.topic
    outputs = [topic(DECISIONS), topic(LEARNING), topic(BATCHES), *(topic(name) + ".dlq" for name in INPUTS)]
    inputs = [topic(name) for name in INPUTS]
    partitions = partitions_of(settings, [*inputs, topic(PROFILED), *outputs])
    reader = KafkaReader(settings)
    try:
        counted, starts = _cut(settings, reader, partitions)
    finally:
        reader.close()
    behind = {place: balance.stable for place, balance in counted.balances.items() if balance.stable < balance.end}
    scan(settings, behind, counted.take_waiting, committed=False)
    starts |= {Place(name, number): 0 for name in outputs for number in range(partitions[name])}
    scan(settings, starts, counted.take)
    reader = KafkaReader(settings)
    try:
        counted.judge_taken(group_positions(reader, list(counted.balances)))
    finally:
        reader.close()
    if counted.unknown:
        raise RiskstreamError(
            f"{len(counted.unknown)} output records name inputs that this line does not have, the first of them "
            f"{counted.unknown[0]}: were topics recreated with fewer partitions, or do two lines share outputs?"
        )
    return list(counted.balances.values())


def _cut(
    settings: Settings, reader: KafkaReader, partitions: Mapping[str, int]
) -> tuple[RecordCount, dict[Place, int]]:
    """Where the hops stand, and the offsets to read inputs and frames from."""
    inputs = [Place(name, number) for name in map(settings.topic, INPUTS) for number in range(partitions[name])]
    profiled_topic = settings.topic(PROFILED)
    frames = [Place(profiled_topic, number) for number in range(partitions[profiled_topic])]
    positions = group_offsets(reader, [*inputs, *frames])
    uncommitted = KafkaReader(settings, committed=False)
    try:
        balances = {place: _balance(place, reader, uncommitted, positions[place]) for place in inputs}
    finally:
        uncommitted.close()
    profiled = {place.partition: positions[place] for place in frames}
    starts = {place: balance.start for place, balance in balances.items()}
    starts |= {place: profiled[place.partition] for place in frames}
    return RecordCount(settings, balances, profiled), starts


def _balance(place: Place, reader: KafkaReader, uncommitted: KafkaReader, cut: int) -> Balance:
    """One input partition before anything is counted."""
    start, stable = reader.watermarks(place)
    stable = max(stable, cut)
    end = max(uncommitted.watermarks(place)[1], stable)
    return Balance(place, start, end, cut, stable, lost=max(start - cut, 0))
