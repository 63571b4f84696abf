"""Becoming the owner of partitions: fence who had them, claim them, rebuild their rows. The order is what makes it safe.

1. Read who committed last (the owner's transactional id stands in the metadata of its offsets).
2. Make publishers under names that nobody had before: this generation's.
3. Fence the previous owners: what they have open is aborted now, and they can commit nothing more.
4. Read where the group stands; nothing of theirs is pending any more.
5. Claim: commit the same offsets under the own names, so that the next owner knows whom to fence.
6. Rebuild the rows: the last marker, then silently what was recorded behind it.

Nothing here knows Kafka: the worker runs it on ``kafka_log.py``, the simulator of bad days on a log in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from stream.errors import RiskstreamError
from stream.worker.accounts import AccountsHop
from stream.worker.log import Place, Publisher, Reader
from stream.worker.payees import PayeesHop

if TYPE_CHECKING:
    from stream.worker.transactions import Membership

logger = logging.getLogger("riskstream.recovery")
HOPS = ("accounts", "payees")


class RecoveryReader(Reader, Protocol):
    """A reader that also knows the owners, and how far it got."""

    records_read: int
    """Records given so far: who waits for it sees that it gets on."""

    def owners(self, places: Sequence[Place]) -> dict[Place, str]:
        """Transactional ids that committed these places last, pending transactions aside."""

    def close(self) -> None:
        """Let go of the connection."""


class Log(Protocol):
    """What a line needs of the log it lives on."""

    transactional: bool
    """False only on the embedded broker, which has no isolation: nobody is fenced there, and nothing claimed."""

    def reader(self) -> RecoveryReader:
        """A new reader of committed records."""

    def publisher(self, transactional_id: str, membership: Membership) -> Publisher:
        """A new publisher; an older one of the same id is fenced."""

    def fence(self, transactional_id: str) -> None:
        """Abort what an id has open and let it commit nothing more."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a recovery gives: a publisher for each hop, and the next offset to read of every input."""

    publishers: dict[str, Publisher]
    offsets: dict[Place, int]


class Recovery:
    """One attempt to become the owner; see the module.

    Parameters
    ----------
    log
        Where the line lives.
    accounts, payees
        The hops whose rows are rebuilt; nothing is owned in them yet.
    """

    def __init__(self, log: Log, accounts: AccountsHop, payees: PayeesHop) -> None:
        self._log = log
        self._accounts = accounts
        self._payees = payees
        self._reader: RecoveryReader | None = None
        self._abandoned = False

    @property
    def records_read(self) -> int:
        """Records read so far."""
        return self._reader.records_read if self._reader is not None else 0

    def abandon(self) -> None:
        """Say, from another thread, that this attempt is of no use any more: it fails before the next partition."""
        self._abandoned = True

    def run(self, partitions: Sequence[int], names: Mapping[str, str], membership: Membership) -> Recovered:
        """Take partitions over; blocks.

        Parameters
        ----------
        names
            The own transactional id of each hop.
        membership
            As what this worker commits.

        Raises
        ------
        RiskstreamError
            The broker does not give what is needed, or another generation has begun. Whatever was opened is closed.
        """
        reader = self._reader = self._log.reader()
        publishers: dict[str, Publisher] = {}
        try:
            with _closing_on_failure(publishers):
                offsets = self._take_over(reader, partitions, names, membership, publishers)
                for number, partition in enumerate(partitions, 1):
                    if self._abandoned:
                        raise RiskstreamError("a recovery was abandoned: another generation has begun")
                    self._rebuild(reader, partition, offsets)
                    logger.info(
                        "recovered partition %d (%d of %d): %d accounts, %d payees",
                        partition, number, len(partitions), len(self._accounts.owned[partition].core.table),
                        len(self._payees.owned[partition].core.table),
                    )  # fmt: skip
        finally:
            reader.close()
        return Recovered(publishers, offsets)

    def _take_over(
        self, reader: RecoveryReader, partitions: Sequence[int], names: Mapping[str, str], membership: Membership,
        publishers: dict[str, Publisher],
    ) -> dict[Place, int]:  # fmt: skip
        inputs = {
            "accounts": [place for partition in partitions for place in self._accounts.places(partition)],
            "payees": [self._payees.place(partition) for partition in partitions],
        }
        places = [place for hop in HOPS for place in inputs[hop]]
        previous = (
            sorted(set(reader.owners(places).values()) - {*names.values(), ""}) if self._log.transactional else []
        )
        for hop in HOPS:
            publishers[hop] = self._log.publisher(names[hop], membership)
        for transactional_id in previous:
            self._log.fence(transactional_id)
        offsets = {place: position.offset for place, position in reader.positions(places).items()}
        for hop in HOPS:
            publishers[hop].begin()
            publishers[hop].commit({place: offsets[place] for place in inputs[hop]})
        return offsets

    def _rebuild(self, reader: RecoveryReader, partition: int, offsets: Mapping[Place, int]) -> None:
        transactions, feedback = self._accounts.places(partition)
        self._accounts.recover(reader, partition, offsets[transactions], offsets[feedback])
        self._payees.recover(reader, partition, offsets[self._payees.place(partition)])


@contextmanager
def _closing_on_failure(publishers: Mapping[str, Publisher]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for publisher in publishers.values():
            publisher.close()
        raise
