"""The edge: a batch of Kafka records becomes columns, and what cannot be read becomes a reason.

Records are scanned by compiled code (:mod:`stream.core.edge.transaction_scan`), each by itself: a record can neither
change the meaning of its neighbour nor cost it its fast path. Whatever the scanner does not read, however rare or
strange, is read by the contracts' reference (:func:`stream.contracts.transaction.read_transaction`), and its verdict
counts. So the scanner may be strict where that is simpler, and both accept and refuse the same records.

A CloudEvent in structured mode is opened before that, and its record scanned.

Why not a general JSON library here: decoding into objects alone costs more than this whole module (see
``benchmarks/decode.py``), and none tells 1.0 from 1 or refuses what the contract refuses without a second look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import config
from numpy.typing import NDArray

from stream.arrays.fingerprint import chain
from stream.arrays.packed import PADDING, Packed
from stream.arrays.rfc3339 import microseconds
from stream.contracts.feedback import Feedback, read_feedback
from stream.contracts.json_object import MAX_BYTES
from stream.contracts.refusal import Reason, Refused
from stream.contracts.transaction import Customer, Transaction, read_transaction
from stream.core import columns
from stream.core.edge import words
from stream.core.edge.cloud_event_scan import open_envelopes
from stream.core.edge.field_scan import ACCEPTED, REFERENCE, WORK
from stream.core.edge.partition import partition_of
from stream.core.edge.transaction_scan import scan
from stream.core.edge.transaction_seal import FUTURE, WRONG_PARTITION, seal

_TABLES = words.build()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record of the batch that becomes a dead letter: its index in the batch, and why."""

    index: int
    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch, read.

    Parameters
    ----------
    columns
        The accepted records in order: dtype ``columns.TRANSACTION`` or ``columns.FEEDBACK``, shape (a,).
    accepted
        int64 (a,): the index in the batch of each.
    refused
        The others, in order.
    """

    columns: NDArray[Any]
    accepted: NDArray[np.int64]
    refused: list[Refusal] = field(default_factory=list)


def decode_transactions(
    values: Sequence[bytes | None] | Packed,
    offsets: NDArray[np.int64],
    timestamps: NDArray[np.int64],
    partition: int,
    partitions: int,
    *,
    future_ms: int,
    broker_ms: NDArray[np.int64] | int | None = None,
) -> Decoded:
    """Read a batch of ``bank.transactions.v1``.

    Parameters
    ----------
    values
        The n records' values as they were fetched; None is a null value.
    offsets, timestamps
        int64 (n,): their offsets in the partition, and their Kafka timestamps in ms since the epoch.
    partition, partitions
        Where they were found, and how many partitions the topic has.
    future_ms
        How far an event time may lie ahead of its Kafka timestamp, and of ``broker_ms``, ms.
    broker_ms
        The broker's time when the batch was walked, as its record has it, ms since the epoch; or int64 (n,), of each record.
        A producer that stamps its records has one clock for both times: if it is wrong, they agree. None where no such
        time is known. A timestamp further ahead is taken as the furthest that is allowed.

    Examples
    --------
    >>> value = b'{"transaction_id":"t-1","account_id":"a-1","event_time":"2026-11-24T08:00:00+08:00",'
    >>> value += b'"amount_minor":1250,"currency":"CNY","channel":"app"}'
    >>> at = np.array([1795478400000])
    >>> batch = decode_transactions([value, b"{}"], np.arange(2), at.repeat(2), 0, 1, future_ms=300_000)
    >>> batch.columns["amount_minor"].tolist(), batch.accepted.tolist(), batch.refused[0].reason
    ([1250], [0], 'missing')
    """
    count = len(values)
    rows, works, status = np.zeros(count, columns.TRANSACTION), np.zeros(count, WORK), np.zeros(count, np.uint8)
    packed = values if isinstance(values, Packed) else Packed.of(values)
    refused = _read(packed, rows, works, status)
    rows["offset"] = offsets
    rows["timestamp"] = timestamps if broker_ms is None else np.minimum(timestamps, broker_ms)
    with _wrapping():
        seal(rows, works, status, partition, partitions, future_ms)
    misplaced = [
        _misplaced(
            int(index), rows[index], int(status[index]), partition, partitions, (int(timestamps[index]), future_ms)
        )
        for index in np.flatnonzero((status == WRONG_PARTITION) | (status == FUTURE))
    ]
    if broker_ms is not None:
        rows["timestamp"] = np.minimum(timestamps, broker_ms + np.int64(future_ms))
    if not status.any():
        return Decoded(rows, np.arange(count))
    refused += misplaced
    refused.sort(key=lambda refusal: refusal.index)
    accepted = np.flatnonzero(status == ACCEPTED)
    return Decoded(_chosen(rows, accepted), accepted, refused)


def _read(values: Packed, rows: NDArray[Any], works: NDArray[Any], status: NDArray[np.uint8]) -> list[Refusal]:
    """Fill the rows: by the scanner where the records lie, else in a copy with room for what is unescaped, else by the
    reference."""
    status[:] = REFERENCE
    if values.is_padded:
        _scan(values.data, values.starts, values.lengths, 0, rows, works, status)
    left = np.flatnonzero(status == REFERENCE)
    if len(left) == 0:
        return []
    _read_copies(values.chosen(left), left, rows, works, status)
    refused = []
    for index in np.flatnonzero(status == REFERENCE).tolist():
        try:
            transaction = read_transaction(values.nullable(index))
        except Refused as refusal:
            refused.append(Refusal(index, refusal.reason, refusal.message))
            continue
        rows[index : index + 1].view(np.uint8)[:] = 0
        fill_row(transaction, rows[index], works[index])
        status[index] = ACCEPTED
    return refused


def _scan(
    buf: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], scratch: int,
    rows: NDArray[Any], works: NDArray[Any], status: NDArray[np.uint8],
) -> None:  # fmt: skip
    with _wrapping():
        inexact = scan(buf, starts, lengths, scratch, _TABLES, rows, works, status)
    for name, limit in (("lat", 90.0), ("lon", 180.0)) if inexact else ():
        _read_floats(buf, name, limit, rows, works, status)


def _read_copies(
    values: Packed, places: NDArray[np.int64], rows: NDArray[Any], works: NDArray[Any], status: NDArray[np.uint8]
) -> None:
    """Scan copies of some records; ``places`` says which rows are theirs."""
    buf, starts, lengths, scratch = _copies(values)
    _scan_some(buf, starts, lengths, scratch, places, rows, works, status)
    envelopes = np.zeros(len(values), np.uint8)
    with _wrapping():
        found = open_envelopes(buf, starts, lengths, scratch, _TABLES, status[places], envelopes)
    if found:
        inside = np.flatnonzero(envelopes)
        _scan_some(buf, starts[inside], lengths[inside], scratch, places[inside], rows, works, status)


def _scan_some(
    buf: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64], scratch: int,
    places: NDArray[np.int64], rows: NDArray[Any], works: NDArray[Any], status: NDArray[np.uint8],
) -> None:  # fmt: skip
    """Scan records whose rows are those at ``places``."""
    some, some_works = np.zeros(len(places), rows.dtype), np.zeros(len(places), WORK)
    some_status = np.zeros(len(places), np.uint8)
    _scan(buf, starts, lengths, scratch, some, some_works, some_status)
    _opaque(rows)[places] = _opaque(some)
    works[places] = some_works
    status[places] = some_status


def _copies(values: Packed) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], int]:
    """Records that :func:`stream.core.edge.transaction_scan.scan` can unescape: buffer, starts, lengths, scratch.

    A byte 0 ends each, so that none is read into the next; what is too large to be read is left out.
    """
    lengths = np.where((values.lengths > 0) & (values.lengths <= MAX_BYTES), values.lengths, 0)
    ends = np.cumsum(lengths + 1) - 1
    scratch = int(ends[-1]) + PADDING
    buf = np.zeros(scratch + int(lengths.max()) + PADDING, np.uint8)
    starts = ends - lengths
    for place in np.flatnonzero(lengths).tolist():
        buf[starts[place] : ends[place]] = values.view(place)
    return buf, starts, lengths, scratch


def _read_floats(
    buf: NDArray[np.uint8],
    name: str,
    limit: float,
    rows: NDArray[Any],
    works: NDArray[Any],
    status: NDArray[np.uint8],
) -> None:
    """Latitudes and longitudes of many digits, which only a correctly rounding reader reads right."""
    ends = works[f"{name}_end"]
    places = np.flatnonzero(ends)
    if not len(places):
        return
    spans = zip(works[f"{name}_start"][places].tolist(), ends[places].tolist(), strict=True)
    degrees = np.array([float(buf[start:end].tobytes()) for start, end in spans]) + 0.0
    rows[name][places] = degrees
    status[places[np.abs(degrees) > limit]] = REFERENCE


def _chosen(rows: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    """Copies of some rows, all their bytes: numpy's own selection leaves padding undefined."""
    return _opaque(rows)[places].view(rows.dtype)


def _opaque(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows as bytes that numpy copies whole, padding and all."""
    return rows.view(np.dtype((np.void, rows.itemsize)))


def _misplaced(
    index: int, row: Any, status: int, partition: int, partitions: int, stamped: tuple[int, int]
) -> Refusal:  # fmt: skip
    if status == WRONG_PARTITION:
        home = partition_of(bytes(row["customer_id"]), partitions)
        return Refusal(index, "wrong_partition", f"found in partition {partition}, its key belongs into {home}")
    (stamp, future_ms), bound = stamped, int(row["timestamp"])
    ahead = int(row["event_time"]) // 1000 - bound
    if bound == stamp:
        return Refusal(index, "future", f"event_time is {ahead} ms ahead of the Kafka timestamp, at most {future_ms}")
    return Refusal(
        index,
        "future",
        f"event_time is {ahead} ms ahead of the broker's time, at most {future_ms}; its Kafka timestamp, which the producer "
        f"set, is {stamp - bound} ms ahead of it: look at that producer's clock",
    )


def _wrapping() -> AbstractContextManager[None]:
    """Plain Python warns where 64-bit hashes wrap as they should; compiled code does not."""
    return np.errstate(over="ignore") if config.DISABLE_JIT else nullcontext()  # type: ignore[attr-defined]


def fill_row(transaction: Transaction, row: Any, work: Any) -> None:
    """Write a transaction of the reference into a row, as the scanner would: all but its place and content hash.

    Parameters
    ----------
    transaction
        What the reference read.
    row
        One ``columns.TRANSACTION`` record of zeros.
    work
        One ``transaction_scan.WORK`` record; its hashes of free text are overwritten.
    """
    _fill_ids(transaction, row)
    _fill_amounts_and_places(transaction, row)
    row["event_time"] = microseconds(transaction.event_time)
    row["decide_by"] = columns.ABSENT_TIME if transaction.decide_by is None else microseconds(transaction.decide_by)
    row["channel"] = columns.CHANNELS.index(transaction.channel)
    row["payee_kind"] = columns.PAYEE_KINDS.index(transaction.payee_kind or "none")
    row["name_check"] = columns.NAME_CHECKS.index(transaction.name_check or "none")
    row["scenario_hint"] = max(words.code_of(_TABLES, words.SCENARIO, transaction.scenario or ""), 0)
    row["purpose"] = words.purpose_code(transaction.purpose or "")
    work["purpose_hash"] = columns.hash_id(transaction.purpose or "")
    work["scenario_hash"] = columns.hash_id(transaction.scenario or "")
    work["segment_hash"] = _fill_customer(transaction.customer or Customer(), row)
    work["slips_hash"] = _fill_slips(transaction.slips or [], row)
    _fill_references(transaction, row, work)


def _fill_references(transaction: Transaction, row: Any, work: Any) -> None:
    """What a reversal takes back, and what only the content hash covers."""
    work["original_hash"] = columns.hash_id(transaction.original_transaction_id or "")
    work["uetr_hash"] = columns.hash_id(transaction.uetr or "")
    work["balance_minor"] = transaction.balance_minor or 0
    work["has_balance"] = transaction.balance_minor is not None
    work["is_reversal"] = transaction.type == "reversal"
    if transaction.type == "reversal":
        row["original_hash"] = work["original_hash"]


def _fill_ids(transaction: Transaction, row: Any) -> None:
    row["transaction_id"] = transaction.transaction_id.encode()
    row["account_id"] = transaction.account_id.encode()
    row["customer_id"] = transaction.owner.encode()
    row["payee_id"] = (transaction.payee_id or "").encode()
    row["transaction_hash"] = columns.hash_id(transaction.transaction_id)
    row["account_hash"] = columns.hash_id(transaction.account_id)
    row["customer_hash"] = columns.hash_id(transaction.owner)
    row["payee_hash"] = columns.hash_id(transaction.payee_id or "")
    row["device_hash"] = columns.hash_id(transaction.device_id or "")


def _fill_amounts_and_places(transaction: Transaction, row: Any) -> None:
    in_account = transaction.account_amount_minor
    row["amount_minor"] = transaction.amount_minor
    row["account_amount_minor"] = transaction.amount_minor if in_account is None else in_account
    row["lat"] = np.nan if transaction.lat is None else transaction.lat + 0.0
    row["lon"] = np.nan if transaction.lon is None else transaction.lon + 0.0
    row["currency"] = columns.pack_code(transaction.currency)
    row["country"] = columns.pack_code(transaction.country or "")
    row["payee_country"] = columns.pack_code(transaction.payee_country or "")


def _fill_customer(customer: Customer, row: Any) -> int:
    """Returns the hash of the segment's text."""
    segment = customer.segment or ""
    code = words.code_of(_TABLES, words.SEGMENT, segment)
    row["segment"] = columns.SEGMENTS.index("other") if segment and code < 0 else max(code, 0)
    row["age_band"] = columns.AGE_BANDS.index(customer.age_band or "none")
    row["home_country"] = columns.pack_code(customer.home_country or "")
    row["vulnerable"] = customer.vulnerable is True
    return columns.hash_id(segment)


def _fill_slips(slips: list[str], row: Any) -> int:
    """Returns the hash of the slips' texts. An empty one is no slip."""
    present = [slip for slip in slips if slip]
    hashed = np.uint64(0)
    mask = 0
    for slip in present:
        code = words.code_of(_TABLES, words.SLIP, slip)
        mask |= 1 << (code if code >= 0 else columns.SLIPS.index("other"))
        with _wrapping():
            hashed = np.uint64(chain(hashed, np.uint64(columns.hash_id(slip))))
    row["slips"] = mask
    row["slip_count"] = len(present)
    return int(hashed)


_NO_FEEDBACK = Decoded(np.zeros(0, columns.FEEDBACK), np.zeros(0, np.int64))


def decode_feedback(
    values: Sequence[bytes | None],
    offsets: NDArray[np.int64],
    timestamps: NDArray[np.int64],
    partition: int,
    partitions: int,
    *,
    trusted: Callable[[str], bool] | None = None,
) -> Decoded:
    """Read a batch of ``bank.feedback.v1``; one in a hundred records of the line, so the reference reads it alone.

    Parameters
    ----------
    values, offsets, timestamps, partition, partitions
        As in :func:`decode_transactions`.
    trusted
        Whether an actor may label transactions; an actor it denies is refused as ``untrusted``. None asks nobody.
    """
    if not values:
        return _NO_FEEDBACK
    rows = np.zeros(len(values), columns.FEEDBACK)
    accepted: list[int] = []
    refused: list[Refusal] = []
    for index, value in enumerate(values):
        try:
            feedback = read_feedback(value)
            _check_feedback(feedback, partition, partitions, trusted)
        except Refused as refusal:
            refused.append(Refusal(index, refusal.reason, refusal.message))
            continue
        _fill_feedback(feedback, rows[index])
        accepted.append(index)
    rows["offset"] = offsets
    rows["timestamp"] = timestamps
    places = np.array(accepted, np.int64)
    return Decoded(_chosen(rows, places), places, refused)


def _check_feedback(feedback: Feedback, partition: int, partitions: int, trusted: Callable[[str], bool] | None) -> None:
    home = partition_of(feedback.owner.encode(), partitions)
    if home != partition:
        raise Refused("wrong_partition", f"found in partition {partition}, its key belongs into {home}")
    if trusted is not None and not trusted(feedback.actor):
        raise Refused("untrusted", "field actor: the policy does not list it as trusted")


def _fill_feedback(feedback: Feedback, row: Any) -> None:
    for name in ("feedback_id", "transaction_id", "account_id", "actor"):
        row[name] = getattr(feedback, name).encode()
    row["customer_id"] = feedback.owner.encode()
    row["payee_id"] = (feedback.payee_id or "").encode()
    row["supersedes"] = (feedback.supersedes or "").encode()
    row["account_hash"] = columns.hash_id(feedback.account_id)
    row["customer_hash"] = columns.hash_id(feedback.owner)
    row["payee_hash"] = columns.hash_id(feedback.payee_id or "")
    row["transaction_hash"] = columns.hash_id(feedback.transaction_id)
    row["feedback_hash"] = columns.hash_id(feedback.feedback_id)
    row["occurred_at"] = microseconds(feedback.occurred_at)
    row["kind"] = columns.FEEDBACK_KINDS.index(feedback.kind)
    row["verdict"] = columns.VERDICTS.index(feedback.verdict)
