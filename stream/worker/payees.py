"""The payees hop on a log: frames in, decisions, alerts and what the learner needs out.

Like the accounts hop it owns partitions (of ``risk.profiled.v1``), their rows and their place; its one input needs no
batch record: recovery walks the frames behind the last marker again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from stream.core import packed
from stream.core.decide import Decided, Decider
from stream.core.frame import Frame, decode_frame
from stream.core.learning import label_record, scored_records
from stream.core.packed import Packed
from stream.core.receive import PayeeHop
from stream.core.render import render
from stream.errors import RiskstreamError
from stream.settings import Settings
from stream.worker.checkpoint import Marker, read_rows, write_rows
from stream.worker.log import Headers, Place, Publisher, Reader, Records
from stream.worker.transactions import now_header

DAY_US = 86_400_000_000
SOURCE, PROFILED = "riskstream.source", "riskstream.profiled"


@dataclass(slots=True)
class PayeePartition:
    """One partition's rows and place in its input."""

    core: PayeeHop
    profiled: int
    """Next offset of the frames."""


@dataclass
class PayeesHop:
    """See the module. ``decider`` gives the model and policy in force; it is asked once a batch."""

    settings: Settings
    decider: Callable[[], Decider]
    owned: dict[int, PayeePartition] = field(default_factory=dict)

    def place(self, partition: int) -> Place:
        """The input of one partition."""
        return Place(self.settings.topic("risk.profiled.v1"), partition)

    def process(
        self, publisher: Publisher, partition: int, records: Records
    ) -> tuple[dict[Place, int], Decided | None]:
        """Walk one batch and write what it causes; returns the offsets to commit and what was decided."""
        owner = self.owned[partition]
        received = owner.core.process(_frames(records))
        owner.profiled = records.next_offset
        decided: Decided | None = None
        if len(received.transactions):
            decider = self.decider()
            decided = decider.decide(received)
            self._publish(publisher, partition, decided, decider)
        self._forward_labels(publisher, partition, received.feedback, received.feedback_frame, received.feedback_place)
        return {self.place(partition): owner.profiled}, decided

    def checkpoint(self, publisher: Publisher, partition: int) -> int:
        """Write the rows changed since the last checkpoint and a marker of what they stand for."""
        owner = self.owned[partition]
        marker: Marker = {"profiled": owner.profiled}
        return write_rows(publisher, self._rows(partition), owner.core.table, marker, owner.core.busy)

    def dirty(self, partition: int) -> bool:
        """Whether rows have changed since the last checkpoint."""
        core = self.owned[partition].core
        return core.table.has_changes or core.busy.has_changes

    def stands(self, partition: int) -> dict[Place, int]:
        """Input offsets that the rows stand for."""
        return {self.place(partition): self.owned[partition].profiled}

    def written(self, partition: int) -> None:
        """Say that the last checkpoint was committed."""
        core = self.owned[partition].core
        for table in (core.table, core.busy):
            table.forget_changes(table.changed())

    def recover(self, reader: Reader, partition: int, profiled: int) -> None:
        """Rebuild one partition: rows as of the last marker, then the frames behind it once more, silently."""
        core = PayeeHop(partition, round(self.settings.maturity_days * DAY_US))
        marker = read_rows(reader, self._rows(partition), core.table, core.busy)
        start = marker["profiled"] if marker is not None else 0
        if start > profiled:
            raise RiskstreamError(
                f"{self.place(partition).topic}[{partition}]: the rows stand for offset {start}, the group stands at "
                f"{profiled}: they do not belong together; if offsets were reset by hand, reset the topic prefix too"
            )
        for records in reader.read_many(self.place(partition), start, profiled):
            core.process(_frames(records))
        self.owned[partition] = PayeePartition(core, profiled)

    def _publish(self, publisher: Publisher, partition: int, decided: Decided, decider: Decider) -> None:
        rendered = render(decided, decider)
        transactions = decided.received.transactions
        topic = self.settings.topic
        decisions, alerts, learning = topic("risk.decisions.v1"), topic("risk.alerts.v1"), topic("risk.learning.v1")
        source = packed.places(
            topic("bank.transactions.v1").encode() + b"/",
            transactions["source_partition"],
            transactions["source_offset"],
        )
        profiled = packed.places(
            f"{self.place(partition).topic}/{partition}/".encode(), decided.received.frame, decided.received.place
        )
        stamp = now_header()
        publisher.send_many(
            decisions, rendered.decisions, rendered.keys, ((SOURCE, source), (PROFILED, profiled), stamp)
        )
        publisher.send_many(learning, scored_records(decided, partition), Packed.of_ids(transactions["transaction_id"]))
        for row, alert in rendered.alerts:
            headers: Headers = [(SOURCE, source[row]), (PROFILED, profiled[row]), stamp]
            publisher.send(alerts, alert, rendered.keys[row], headers=headers)
        for row, owed in rendered.obligations:
            headers = [(SOURCE, source[row]), (PROFILED, profiled[row]), stamp]
            publisher.send(topic("riskstream-obligations"), owed, rendered.keys[row], headers=headers)

    def _forward_labels(
        self, publisher: Publisher, partition: int, feedback: np.ndarray, frames: np.ndarray, places: np.ndarray
    ) -> None:
        profiled_topic = self.place(partition).topic
        source_topic = self.settings.topic("bank.feedback.v1")
        for record, frame, place in zip(feedback, frames.tolist(), places.tolist(), strict=True):
            headers: Headers = [
                (SOURCE, f"{source_topic}/{record['source_partition']}/{record['source_offset']}".encode()),
                (PROFILED, f"{profiled_topic}/{partition}/{frame}/f{place}".encode()),
            ]
            publisher.send(
                self.settings.topic("risk.learning.v1"), label_record(record), record["transaction_id"], headers=headers
            )

    def _rows(self, partition: int) -> Place:
        return Place(self.settings.topic("riskstream-payees-rows"), partition)


def _frames(records: Records) -> list[tuple[int, Frame]]:
    return [(offset, decode_frame(records.values.view(place))) for place, offset in enumerate(records.offsets.tolist())]
