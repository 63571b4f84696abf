"""What a read transaction gets from its place: its content hash, and whether it is where and when it may be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.arrays.fingerprint import chain
from stream.core import columns
from stream.core.edge.field_scan import ACCEPTED
from stream.core.edge.partition import murmur2

WRONG_PARTITION, FUTURE = 2, 3
"""Status of a record that was read and yet is refused; beside those of :mod:`stream.core.edge.transaction_scan`."""


def _at(name: str) -> int:
    fields = columns.TRANSACTION.fields
    assert fields is not None
    return int(fields[name][1])


_CUSTOMER_ID = _at("customer_id")
_LAT_WORD, _LON_WORD = _at("lat") // 8, _at("lon") // 8


@njit(cache=True)
def _content_hash(row: Any, work: Any, lat: int, lon: int) -> Any:
    """Over every field a producer can set, as read: two records of the same content have the same hash."""
    h = chain(row["transaction_hash"], row["account_hash"])
    h = chain(h, row["customer_hash"])
    h = chain(h, row["payee_hash"])
    h = chain(h, row["device_hash"])
    h = chain(h, np.uint64(row["event_time"]))
    h = chain(h, np.uint64(row["decide_by"]))
    h = chain(h, np.uint64(row["amount_minor"]))
    h = chain(h, np.uint64(row["account_amount_minor"]))
    h = chain(h, np.uint64(lat))
    h = chain(h, np.uint64(lon))
    places = np.uint64(row["currency"]) << np.uint64(32) | np.uint64(row["country"])
    h = chain(h, places)
    h = chain(h, np.uint64(row["payee_country"]) << np.uint64(32) | np.uint64(row["home_country"]))
    codes = np.uint64(row["channel"]) << np.uint64(32) | np.uint64(row["payee_kind"]) << np.uint64(24)
    codes |= np.uint64(row["name_check"]) << np.uint64(16) | np.uint64(row["age_band"]) << np.uint64(8)
    h = chain(h, codes | np.uint64(row["vulnerable"]))
    h = chain(h, work["purpose_hash"])
    h = chain(h, work["segment_hash"])
    h = chain(h, work["scenario_hash"])
    h = chain(h, work["slips_hash"])
    kinds = work["has_balance"] | work["is_reversal"] << np.uint64(1)
    if kinds == 0 and work["original_hash"] == 0 and work["uetr_hash"] == 0:
        return h  # as before there were such fields: rows remember hashes
    h = chain(h, work["original_hash"])
    h = chain(h, work["uetr_hash"])
    return chain(chain(h, np.uint64(work["balance_minor"])), kinds)


@njit(cache=True)
def _id_length(raw: NDArray[np.uint8], at: int) -> int:
    length = 0
    while length < columns.ID_BYTES and raw[at + length] != 0:
        length += 1
    return length


@njit(cache=True, nogil=True)
def seal(
    rows: NDArray[Any],
    works: NDArray[Any],
    status: NDArray[np.uint8],
    partition: int,
    partitions: int,
    future_ms: int,
) -> None:
    """Content hash of every accepted row, and the two rules that need its place: partition, then future.

    Parameters
    ----------
    rows, works
        ``columns.TRANSACTION``, with their Kafka timestamps, and ``transaction_scan.WORK``; shape (n,).
    status
        uint8 (n,): in and out; an accepted row may become :data:`WRONG_PARTITION` or :data:`FUTURE`.
    partition, partitions
        Where the records were found; how many partitions the topic has.
    future_ms
        How far an event time may lie ahead of its Kafka timestamp, ms.
    """
    width = rows.itemsize
    raw = rows.view(np.uint8)
    bits = rows.view(np.int64)
    for i in range(len(rows)):
        if status[i] != ACCEPTED:
            continue
        row = rows[i]
        word = i * (width // 8)
        row["content_hash"] = _content_hash(row, works[i], bits[word + _LAT_WORD], bits[word + _LON_WORD])
        owner = i * width + _CUSTOMER_ID
        if murmur2(raw, owner, _id_length(raw, owner)) % partitions != partition:
            status[i] = WRONG_PARTITION
        elif -(-row["event_time"] // 1000) - future_ms > row["timestamp"]:  # ms, rounded up
            status[i] = FUTURE
