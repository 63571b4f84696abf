"""The frames of one batch while they are written: each record goes straight to where its frame has it.

A frame's records are one stretch of an array. How many transactions a payee partition gets is counted before the walk;
what is not decided about (a repeat) leaves room at the end of its partition's stretch, which the frame leaves out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.core import columns
from stream.core.features import ACCOUNT_WIDTH
from stream.core.frame.frame import FORWARDED, PROFILED, REVERSAL, encode_frame


def _words(dtype: np.dtype[np.void], *names: str) -> tuple[int, ...]:
    """Places of fields, in words of 64 bits."""
    assert dtype.fields is not None
    return tuple(int(dtype.fields[name][1]) // 8 for name in names)


_IDS = ("transaction_id", "customer_id", "account_id", "payee_id")
_FROM, _TO = _words(columns.TRANSACTION, *_IDS), _words(PROFILED, *_IDS)
_ID_WORDS = columns.ID_BYTES // 8
_TRANSACTION_WORDS, _PROFILED_WORDS = columns.TRANSACTION.itemsize // 8, PROFILED.itemsize // 8


class FrameRoom:
    """Room for the frames of a batch.

    Parameters
    ----------
    transactions : columns.TRANSACTION[n]
        All that may come to stand in a frame.
    partitions
        Number of payee partitions.

    Attributes
    ----------
    records : PROFILED[n]
        Ascending by payee partition; not set before :func:`put_transaction` does.
    to : int64[n]
        Payee partition of each transaction.
    next : int64[partitions]
        Where in ``records`` the next one of a partition goes; whoever puts one counts on.
    """

    def __init__(self, transactions: npt.NDArray[np.void], partitions: int) -> None:
        self.records = np.empty(len(transactions), PROFILED)
        self.to = np.empty(len(transactions), np.int64)
        self.next = np.zeros(partitions, np.int64)
        _lay_out(transactions, self.to, self.next)
        self._first = self.next.copy()

    def __len__(self) -> int:
        """Records that were put so far."""
        return int((self.next - self._first).sum())

    def encoded(self, forwarded: npt.NDArray[np.void]) -> tuple[tuple[int, bytes], ...]:
        """Payee partition and bytes of each frame that is not empty, ascending.

        Parameters
        ----------
        forwarded : FORWARDED[m]
            Feedback of the batch, in order.
        """
        feedback_to = _route(forwarded, len(self.next)) if len(forwarded) else None
        frames = []
        for partition, (first, stop) in enumerate(zip(self._first.tolist(), self.next.tolist(), strict=True)):
            feedback = _NO_FEEDBACK if feedback_to is None else forwarded[feedback_to == partition]
            if stop > first or len(feedback):
                frames.append((partition, encode_frame(self.records[first:stop], feedback)))
        return tuple(frames)


_NO_FEEDBACK = np.zeros(0, FORWARDED)


def _route(records: npt.NDArray[np.void], partitions: int) -> npt.NDArray[np.uint64]:
    """Payee partition of each record; where no payee is known the account decides."""
    payees = records["payee_hash"]
    chosen: npt.NDArray[np.uint64] = np.where(payees != 0, payees, records["account_hash"])
    return chosen % np.uint64(partitions)


@njit(cache=True, nogil=True)
def _lay_out(transactions: Any, to: Any, first: Any) -> None:
    """Partition of each transaction as :func:`_route` has it, and where each partition's stretch begins."""
    partitions = np.uint64(first.shape[0])
    for i in range(to.shape[0]):
        payee = transactions[i]["payee_hash"]
        to[i] = (payee if payee != 0 else transactions[i]["account_hash"]) % partitions
        first[to[i]] += 1
    begin = 0
    for partition in range(first.shape[0]):
        count = first[partition]
        first[partition] = begin
        begin += count


@njit(cache=True, nogil=True)
def put_transaction(transactions: Any, i: Any, records: Any, place: Any, partition: Any, late: Any) -> None:
    """Copy what a frame tells of a transaction, all but its features.

    Parameters
    ----------
    transactions : columns.TRANSACTION[n]
    records : PROFILED[n]
    i, place
        Which transaction, and which record becomes of it.
    partition
        Input partition of the transaction.
    late
        Whether its event is further behind than the lateness bound.
    """
    transaction, record = transactions[i], records[place]
    record["source_partition"] = partition
    record["late"] = 1 if late else 0
    record["slips"] = transaction["slips"]
    record["source_offset"] = transaction["offset"]
    record["timestamp"] = transaction["timestamp"]
    record["event_time"] = transaction["event_time"]
    record["decide_by"] = transaction["decide_by"]
    record["amount_minor"] = transaction["amount_minor"]
    record["currency"] = transaction["currency"]
    record["account_hash"] = transaction["account_hash"]
    record["payee_hash"] = transaction["payee_hash"]
    original = transaction["original_hash"]
    record["device_hash"] = transaction["device_hash"] if original == 0 else original
    record["transaction_hash"] = transaction["transaction_hash"]
    source, target = transactions.view(np.uint64), records.view(np.uint64)
    for which in range(len(_FROM)):
        begin, end = np.uint64(i * _TRANSACTION_WORDS + _FROM[which]), np.uint64(place * _PROFILED_WORDS + _TO[which])
        for word in range(np.uint64(_ID_WORDS)):
            target[end + word] = source[begin + word]


@njit(cache=True, nogil=True)
def put_reversal(records: Any, place: Any) -> None:
    """Say of a record that it is a reversal, which has no features.

    Parameters
    ----------
    records : PROFILED[n]
    place
        Where :func:`put_transaction` put it.
    """
    record = records[place]
    record["slips"] = REVERSAL
    record["unknown"] = 0
    for column in range(ACCOUNT_WIDTH):
        record["features"][column] = 0.0
