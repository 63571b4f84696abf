"""The rows of the accounts hop: written at checkpoints, set aside at rebalances, recovered from the log.

A recovery takes the rows as of the last marker and walks the batches recorded behind it once more, silently: the same records
in the same batches, with the rates, limits and trust that stand in each batch's record.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rules.bounded_json import NotReadable
from rules.exchange_rates import Currencies
from rules.policy import shipped
from stream.core.account.account_hop import AccountHop
from stream.core.edge.decode import Decoded, decode_feedback, decode_transactions
from stream.core.frame.batch_record import internal_offsets, mended_steps, read_batch, recorded_limits
from stream.core.frame.recorded_rates import RatesLost, recorded_rates
from stream.core.table.forgetting import erased_until
from stream.core.table.row_table import RowTable
from stream.errors import RecoveryRefused
from stream.hop_settings import hop_settings
from stream.log.made_anew import refuse_anew
from stream.log.records import Place, Publisher, Reader, RecordBatch
from stream.log.set_aside import SetAside
from stream.settings import Settings
from stream.worker.hops.isolation import (
    HOUR_MS,
    walking_again,
)
from stream.worker.rows.changelog import RowsRefused
from stream.worker.rows.checkpoint import TOMBSTONES, Marker, write_rows
from stream.worker.rows.lost_records import RecordsLost, refuse_lost
from stream.worker.rows.replica import Replica
from stream.worker.rows.row_owner import RowOwner

logger = logging.getLogger("riskstream.accounts")
DAY_US = 86_400_000_000
REPEATED = "decided, but not yet in the rows of a checkpoint"


@dataclass(slots=True)
class AccountPartition:
    """One partition's rows and place in its inputs."""

    core: AccountHop
    transactions: int
    """Next offset of the transactions."""
    feedback: int
    sequence: int = 0
    """Number of the last batch."""
    unwritten: int = 0
    """Transactions and feedback since the last checkpoint: no fewer than changed rows."""
    rates: Currencies | None = None
    """Those of the last batch, None before the first."""
    batches: int = 0
    """Offset in the log of batches from which recovery must read at the latest: some batch before the marker's."""
    tombstones: int = 0
    """Of forgotten rows, written so far."""
    internal: list[int] = field(default_factory=list)
    """Kafka timestamps, ms, of the records left out within the last hour of them: what bounds how many may be."""

    def left_out(self, batch: Mapping[str, Any]) -> None:
        """Take note of what a recorded batch left out."""
        added = batch.get("internal", {}).get("at", [])
        if added:
            known = [*self.internal, *added]
            self.internal = [at for at in known if at > max(known) - HOUR_MS]


@dataclass
class AccountRows(RowOwner[AccountPartition]):
    """See the module.

    Parameters
    ----------
    trusts
        Whether the policy in force lists an actor.
    rates
        The currency rates in force. Batches name those they were walked with, and hold the table where it is another than
        the batch's before: rows are computed again with the same.
    on_wrong_partition
        Called before a batch with records on a wrong partition is written: it raises, or does not return, where the
        fault is not the producer's but that partitions were added.
    aside
        Where records of its own topics are set aside that are none.
    broker_ms
        The broker's time, ms since the epoch, which no event time may be further ahead of; None while it is not known. Batches
        record it, for rows are computed again with the same.
    """

    settings: Settings
    partitions: int
    trusts: Callable[[str], bool]
    rates: Callable[[], Currencies] = lambda: shipped().common.currencies
    on_wrong_partition: Callable[[], None] = lambda: None
    aside: SetAside = field(default_factory=SetAside)
    broker_ms: Callable[[], int | None] = lambda: None
    name: str = "accounts"
    from_own_hop = False

    @property
    def sources(self) -> tuple[str, str]:
        """Input topics: transactions, feedback."""
        return self.settings.topic("bank.transactions.v1"), self.settings.topic("bank.feedback.v1")

    def inputs(self, partition: int) -> tuple[Place, Place]:
        """The inputs of one partition: transactions, feedback."""
        transactions, feedback = self.sources
        return Place(transactions, partition), Place(feedback, partition)

    def checkpoint(self, publisher: Publisher, partition: int) -> int:
        """Write the rows changed since the last checkpoint and a marker of what they stand for."""
        owner = self.owned[partition]
        written = publisher.acknowledged.get(self._batches(partition), owner.batches)
        owner.batches = max(owner.batches, written)
        core = owner.core
        if self.may_take_out(partition):
            self.forgotten += core.forget(self.settings.forget_rows_per_checkpoint)
        owner.tombstones += sum(len(table.gone()) for table in self.tables(partition)[1])
        return write_rows(
            publisher, self.changelog(partition), core.table, self._marker(owner), core.customers, core.told
        )

    def tables(self, partition: int) -> tuple[Place, tuple[RowTable, ...]]:
        """The rows of an owned partition, and the changelog they are written to."""
        core = self.owned[partition].core
        return self.changelog(partition), (core.table, core.customers, core.told)

    def input_offsets(self, partition: int) -> dict[Place, int]:
        """Input offsets that the rows stand for."""
        owner = self.owned[partition]
        return dict(zip(self.inputs(partition), (owner.transactions, owner.feedback), strict=True))

    def keep(self, publisher: Publisher | None) -> None:
        """Set aside what is owned, which is as the last commit left it: it may come back with the next generation."""
        acknowledged = publisher.acknowledged if publisher is not None else {}
        for partition, owner in dict(self.owned).items():
            owner.batches = max(owner.batches, acknowledged.get(self._batches(partition), -1))
            self.kept[partition] = owner

    def take_up(self, partition: int, offsets: Mapping[Place, int]) -> bool:
        """Own again what was set aside, if the group still stands where its rows do: then nobody has taken a record
        since, and there is nothing to recover."""
        kept = self.kept.pop(partition, None)
        stands = tuple(offsets[place] for place in self.inputs(partition))
        if kept is None or (kept.transactions, kept.feedback) != stands:
            return False
        self.own(partition, kept)
        return True

    def replica(self, partition: int) -> Replica[AccountHop]:
        """An empty replica of one partition's rows."""
        core = AccountHop(partition, hop_settings(self.settings, self.partitions))
        beside = (core.customers, core.told)
        return Replica(
            self.changelog(partition), core, core.table, beside, passed_over=self.aside.refuse,
            forgotten=lambda table, slots, marker: core.idle(table, slots, erased_until(marker)),
        )  # fmt: skip

    def recover(
        self, reader: Reader, partition: int, offsets: Mapping[Place, int], replica: Replica[AccountHop] | None = None
    ) -> None:  # fmt: skip
        """Rebuild one partition: rows as of the last marker, then the batches recorded after it once more, silently.

        Parameters
        ----------
        offsets
            Where the group stands in each input: what the batches must add up to.
        replica
            Rows to begin with, which are this hop's from now on; without it they are read from the beginning.

        Raises
        ------
        RecordsLost
            What must be walked again is not there any more.
        TopicMadeAnew
            An input is another topic than the rows stand for.
        RowsRefused
            What the rows rest on cannot be read, or does not belong together.
        """
        transactions, feedback = (offsets[place] for place in self.inputs(partition))
        replica = replica or self.replica(partition)
        replica.read_on(reader)
        core, marker = replica.core, replica.marker
        if not self.settings.accept_lost_records:
            refuse_anew(marker, self.topic_ids)
        owner = AccountPartition(core, transactions, feedback)
        holds: tuple[int, int] | None = None
        if marker is not None:
            if not {"highest", "sequence", "batches", "transactions", "feedback"} <= set(marker):
                raise RowsRefused(replica.place, replica.marked, "a marker of another hop")
            core.highest[0] = marker["highest"]
            core.horizons.take(marker)
            owner.sequence, owner.batches = marker["sequence"], marker["batches"]
            owner.internal = list(marker.get("internal", []))
            owner.tombstones = marker.get(TOMBSTONES, 0)
            holds = marker["transactions"], marker["feedback"]
            table = marker.get("rates_table")
            owner.rates = None if table is None else Currencies.from_document(table)
        batches = self._batches_behind(reader, partition, owner)
        if batches:
            holds = batches[-1]["transactions"][1], batches[-1]["feedback"][1]
        self._refuse_unrecorded(reader, partition, holds, (transactions, feedback))
        try:
            with walking_again(self.name, self.inputs(partition)[0], owner.transactions):
                self._repeat(reader, partition, owner, batches)
        except RatesLost as error:
            raise RowsRefused(self._batches(partition), -1, str(error)) from error
        self.own(partition, owner)

    def _batches_behind(self, reader: Reader, partition: int, owner: AccountPartition) -> list[dict[str, Any]]:
        """Batches recorded behind the marker, in order."""
        batches: list[dict[str, Any]] = []
        place = self._batches(partition)
        sequence = owner.sequence
        for chunk in reader.read(place, owner.batches):
            for record in chunk:
                owner.batches = record.offset
                try:
                    batch = read_batch(record.value)
                except NotReadable as error:
                    # no batch is missing where the numbers of the others go on one by one, which is looked at below
                    self.aside.refuse(place, record.offset, record.key, record.value, "foreign", str(error))
                    continue
                if batch["sequence"] > owner.sequence:
                    if batches and batch["sequence"] != sequence + 1:
                        raise RowsRefused(
                            place, record.offset, f"batch {batch['sequence']} stands behind batch {sequence}"
                        )  # fmt: skip
                    sequence = batch["sequence"]
                    batches.append(batch)
        if batches and batches[0]["sequence"] != owner.sequence + 1 and not self.settings.accept_lost_records:
            raise RecordsLost(
                f"{place.topic}[{partition}]: the rows stand for batch {owner.sequence}, the first one recorded behind "
                f"them is {batches[0]['sequence']}: those in between were deleted; keep that topic longer "
                "(retention.ms), and see the operations guide on records lost",
                place, batches[0]["sequence"] - owner.sequence - 1,
            )  # fmt: skip
        return batches

    def _refuse_unrecorded(
        self, reader: Reader, partition: int, holds: tuple[int, int] | None, stands: tuple[int, int]
    ) -> None:
        """Rows and recorded batches must reach exactly where the group stands, or records would be left out unseen."""
        if holds is None:
            # nothing was ever taken: then nothing may lie before the group
            places = zip(self.inputs(partition), stands, strict=True)
            passed = any(next(reader.read_many(place, 0, stop), None) for place, stop in places)
        else:
            passed = holds != stands and not self._given_up(reader, partition, holds, stands)
        if passed:
            raise RecoveryRefused(
                f"partition {partition}: rows and recorded batches end at offsets {holds}, the group stands at "
                f"{stands}: the log of batches and the group's offsets do not belong together; was one of the topics "
                f"{', '.join(place.topic for place in self.inputs(partition))} deleted and made anew, which takes the "
                "group's offsets with it, or were offsets reset by hand? Then begin anew with another topic prefix"
            )

    def _given_up(self, reader: Reader, partition: int, holds: tuple[int, int], stands: tuple[int, int]) -> bool:
        """Whether all that lies between was deleted, and that was accepted."""
        return self.settings.accept_lost_records and all(
            held == at or held < at <= reader.watermarks(place)[0]
            for place, held, at in zip(self.inputs(partition), holds, stands, strict=True)
        )

    def _repeat(self, reader: Reader, partition: int, owner: AccountPartition, batches: list[dict[str, Any]]) -> None:
        if not batches:
            return
        names = ("transactions", "feedback")
        for place, name in zip(self.inputs(partition), names, strict=True):
            if batches[0][name][0] < batches[-1][name][1]:
                refuse_lost(reader, place, batches[0][name][0], REPEATED, accept=self.settings.accept_lost_records)
        records = [
            RecordBatch.joined(list(reader.read_many(place, batches[0][name][0], batches[-1][name][1])))
            for place, name in zip(self.inputs(partition), names, strict=True)
        ]
        for batch in batches:
            taken = [
                known.between(*batch[name]).without(internal_offsets(batch, name))
                for known, name in zip(records, names, strict=True)
            ]
            decoded = self._decode_transactions(partition, taken[0], batch.get("broker_ms"))
            # who was trusted is part of the record: rows depend on no policy
            steps = mended_steps(batch)
            outcomes = self._decode_feedback(partition, taken[1].without({step.offset for step in steps}), None)
            owner.left_out(batch)
            trusted = ~np.isin(outcomes.columns["offset"], batch["untrusted"])
            rates = self._recorded_rates(batch, owner.rates)
            owner.core.process(decoded.columns, outcomes.columns[trusted], rates, steps, recorded_limits(batch))
            # where the record names none, or others than it was walked with: the next batch must hold its table
            owner.rates = rates if rates.version == batch.get("rates") else None
            owner.sequence = batch["sequence"]

    def _recorded_rates(self, batch: Mapping[str, Any], before: Currencies | None) -> Currencies:
        try:
            return recorded_rates(batch, before, self.rates())
        except RatesLost as error:
            if not self.settings.accept_lost_records:
                raise
            logger.error("%s; lost records are accepted: walked with the rates in force", error)
            return self.rates()

    @property
    def _future_ms(self) -> int:
        return round(self.settings.future_minutes * 60_000)

    def _decode_transactions(self, partition: int, records: RecordBatch, broker_ms: int | None) -> Decoded:
        return decode_transactions(
            records.values, records.offsets, records.timestamps, partition, self.partitions,
            future_ms=self._future_ms, broker_ms=broker_ms,
        )  # fmt: skip

    def _decode_feedback(self, partition: int, records: RecordBatch, trusts: Callable[[str], bool] | None) -> Decoded:
        values = [records.value(place) for place in range(len(records))]
        return decode_feedback(values, records.offsets, records.timestamps, partition, self.partitions, trusted=trusts)

    def _marker(self, owner: AccountPartition) -> Marker:
        return {
            "transactions": owner.transactions,
            "feedback": owner.feedback,
            "sequence": owner.sequence,
            "batches": owner.batches,
            "highest": int(owner.core.highest[0]),
            **owner.core.horizons.marked(),
            TOMBSTONES: owner.tombstones,
            **({"internal": owner.internal} if owner.internal else {}),
            "rates_table": None if owner.rates is None else owner.rates.document(),
            **({"topics": self.topic_ids} if self.topic_ids else {}),
        }

    def changelog(self, partition: int) -> Place:
        """Where one partition's rows are written to."""
        return Place(self.settings.topic("riskstream-accounts-rows"), partition)

    def _batches(self, partition: int) -> Place:
        return Place(self.settings.topic("riskstream-accounts-batches"), partition)
