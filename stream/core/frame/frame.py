"""Frames on ``risk.profiled.v1``: what the account hop hands to the payee hop.

One frame holds, for one source batch and one payee partition, the transactions with their account features and the
feedback that speaks of payees of that partition, each in source order. It is binary and versioned: fixed-size
structs, little endian, written and read without touching single records.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.core.columns import SLIPS
from stream.core.features import ACCOUNT_WIDTH
from stream.errors import RiskstreamError

VERSION, VERSION_WITH_REVERSALS = 2, 3
"""A frame that holds a reversal says so: what knows none would take it for a payment."""
REVERSAL = 0x80
assert len(SLIPS) < 8, "the highest bit of the slips says that a record is a reversal"
_MAGIC = b"RSFR"
_HEADER = struct.Struct("<4sHHIII")

PROFILED = np.dtype(
    [
        ("source_partition", "i4"),
        ("late", "u1"),
        ("slips", "u1"),  # mask over columns.SLIPS; REVERSAL of a reversal
        ("unknown", "u2"),  # sums with an amount that is not known: bits of account_features.py
        ("source_offset", "i8"),
        ("timestamp", "i8"),
        ("event_time", "i8"),
        ("decide_by", "i8"),
        ("amount_minor", "i8"),
        ("currency", "u4"),
        (
            "reference",
            "u4",
        ),  # packed currency of reference_minor, and of all amounts among the features but amount_minor
        ("reference_minor", "f8"),  # the amount in its whole minor units, NaN where there was no rate
        ("account_hash", "u8"),
        ("payee_hash", "u8"),
        ("device_hash", "u8"),  # of a reversal: the transaction_hash of the payment that it takes back
        ("transaction_hash", "u8"),
        ("transaction_id", "S64"),
        ("customer_id", "S64"),
        ("account_id", "S64"),
        ("payee_id", "S64"),
        ("features", "f8", (ACCOUNT_WIDTH,)),
    ]
)
"""One transaction with its account features."""

FORWARDED = np.dtype(
    [
        ("source_partition", "i4"),
        ("kind", "u1"),
        ("verdict", "u1"),
        ("takes_back", "u2"),  # 1: what is told here was superseded, and counts no more
        ("source_offset", "i8"),
        ("occurred_at", "i8"),
        ("event_time", "i8"),  # of the payment it speaks of, µs; 0 where not known any more
        ("transaction_hash", "u8"),
        ("payee_hash", "u8"),
        ("account_hash", "u8"),
        ("transaction_id", "S64"),
        ("account_id", "S64"),
        ("feedback_id", "S64"),
    ]
)
"""One feedback record, with the payee it concerns as far as the account knew it."""


class BrokenFrame(RiskstreamError):
    """A frame that this version cannot read."""


class ForeignFrame(BrokenFrame):
    """A frame that another version of riskstream wrote: a worker of that version reads it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded frame: ``transactions`` (PROFILED) and ``feedback`` (FORWARDED), read-only views of the bytes.

    ``places`` and ``feedback_places`` (int64) say where in the frame each of them stood; None where all are there.
    """

    transactions: npt.NDArray[np.void]
    feedback: npt.NDArray[np.void]
    places: npt.NDArray[np.int64] | None = None
    feedback_places: npt.NDArray[np.int64] | None = None

    def without(self, transactions: Collection[int], feedback: Collection[int]) -> Frame:
        """The same without what stands at these places of a whole frame.

        >>> left = Frame(np.zeros(3, PROFILED), np.zeros(1, FORWARDED)).without({1}, ())
        >>> len(left.transactions), left.places.tolist(), len(left.feedback)
        (2, [0, 2], 1)
        """
        places = _left(len(self.transactions), transactions)
        heard = _left(len(self.feedback), feedback)
        return Frame(_chosen(self.transactions, places), _chosen(self.feedback, heard), places, heard)


def _left(count: int, without: Collection[int]) -> npt.NDArray[np.int64]:
    return np.array([place for place in range(count) if place not in without], np.int64)


def _chosen(records: npt.NDArray[np.void], places: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    """Copies of some records, all their bytes: numpy's own selection leaves padding undefined."""
    opaque = np.ascontiguousarray(records).view(np.dtype((np.void, records.dtype.itemsize)))
    return opaque[places].view(records.dtype)


def reversals_of(records: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Which of some records (with ``slips`` as in :data:`PROFILED`) are reversals; bool[n].

    >>> two = np.zeros(2, PROFILED)
    >>> two["slips"] = 3, REVERSAL
    >>> reversals_of(two).tolist()
    [False, True]
    """
    found: npt.NDArray[np.bool_] = records["slips"] & REVERSAL != 0
    return found


def encode_frame(transactions: npt.NDArray[np.void], feedback: npt.NDArray[np.void]) -> bytes:
    """The bytes of one frame.

    >>> frame = decode_frame(encode_frame(np.zeros(2, PROFILED), np.zeros(1, FORWARDED)))
    >>> len(frame.transactions), len(frame.feedback)
    (2, 1)
    """
    version = VERSION_WITH_REVERSALS if reversals_of(transactions).any() else VERSION
    header = _HEADER.pack(_MAGIC, version, ACCOUNT_WIDTH, PROFILED.itemsize, len(transactions), len(feedback))
    return b"".join((header, np.ascontiguousarray(transactions).data, np.ascontiguousarray(feedback).data))


def decode_frame(value: bytes | npt.NDArray[np.uint8]) -> Frame:
    """Read a frame.

    Raises
    ------
    BrokenFrame
        Not a frame, another version, or a length that does not fit.
    """
    if len(value) < _HEADER.size:
        raise BrokenFrame("a record on risk.profiled.v1 is too short for a frame: only riskstream may write there")
    magic, version, width, size, count, feedback = _HEADER.unpack(bytes(value[: _HEADER.size]))
    if not _is_readable(magic, version, width, size):
        kind = ForeignFrame if magic == _MAGIC else BrokenFrame
        raise kind(
            f"a frame of version {version} with {width} features on risk.profiled.v1; this version reads "
            f"{VERSION} with {ACCOUNT_WIDTH}: let workers of one version drain the topic before upgrading"
        )
    middle = _HEADER.size + count * PROFILED.itemsize
    if len(value) != middle + feedback * FORWARDED.itemsize:
        raise BrokenFrame("a frame on risk.profiled.v1 whose length does not fit its counts")
    return Frame(
        np.frombuffer(value, PROFILED, count, _HEADER.size),
        np.frombuffer(value, FORWARDED, feedback, middle),
    )


def _is_readable(magic: bytes, version: int, width: int, size: int) -> bool:
    known = magic == _MAGIC and version in (VERSION, VERSION_WITH_REVERSALS)
    return known and width == ACCOUNT_WIDTH and size == PROFILED.itemsize


def salvaged(value: bytes) -> Frame:
    """The whole records that the bytes of a broken frame still hold; none where they are no frame of this version."""
    nothing = Frame(np.zeros(0, PROFILED), np.zeros(0, FORWARDED))
    if len(value) < _HEADER.size:
        return nothing
    magic, version, width, size, count, feedback = _HEADER.unpack(value[: _HEADER.size])
    if not _is_readable(magic, version, width, size):
        return nothing
    whole = min(count, (len(value) - _HEADER.size) // PROFILED.itemsize)
    middle = _HEADER.size + whole * PROFILED.itemsize
    heard = min(feedback, (len(value) - middle) // FORWARDED.itemsize) if whole == count else 0
    return Frame(
        np.frombuffer(value, PROFILED, whole, _HEADER.size), np.frombuffer(value, FORWARDED, heard, middle)
    )  # fmt: skip
