"""Why a record lies on a wrong partition: its producer's partitioner, or a key that is not its customer's id.

A record is placed by its key, and belongs where its customer_id (its account_id, where it has none) would be placed: there
is all that is known of that customer. A key that is not that id therefore lies right by chance alone, and is decided where
it does: its place is what counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from stream.core.edge.decode import Refusal
from stream.core.edge.partition import partition_of
from stream.log.records import RecordBatch


class Owned(Protocol):
    """A transaction, or feedback."""

    @property
    def owner(self) -> str:
        """Whose it is: customer_id, else account_id."""


def explained(
    refused: Sequence[Refusal],
    records: RecordBatch,
    read: Callable[[bytes | None], Owned],
    partition: int,
    partitions: int,
) -> list[Refusal]:
    """Refusals, those of records on a wrong partition with the cause; nothing of a key or value is in a message.

    Parameters
    ----------
    records
        The batch that refusals point into.
    read
        Reads a value that is known to be readable.
    partition, partitions
        Where the records were found, and how many partitions the topic has.
    """
    return [
        Refusal(refusal.index, refusal.reason, _cause(records, refusal.index, read, partition, partitions))
        if refusal.reason == "wrong_partition" else refusal
        for refusal in refused
    ]  # fmt: skip


def _cause(
    records: RecordBatch, index: int, read: Callable[[bytes | None], Owned], partition: int, partitions: int
) -> str:  # fmt: skip
    owner, key = read(records.value(index)).owner.encode(), records.key(index)
    home = partition_of(owner, partitions)
    if key == owner:
        return (
            f"found in partition {partition}, its key belongs into {home}: the key is right, the producer's partitioner is "
            "not Java's murmur2 (librdkafka: partitioner=murmur2_random)"
        )
    if not key:
        what = "the record has no key"
    elif key == b'"' + owner + b'"':
        what = "the record's key is its customer_id (else account_id) in quotes, as a JSON serializer writes it"
    else:
        what = "the record's key is not its customer_id (else account_id)"
    return f"found in partition {partition}: {what}; by that id it belongs into {home}: send it with that id's bytes as key"
