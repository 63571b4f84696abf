"""Labels of fraud that wait until they are due, and come out as the feedback a bank would send."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream.core import columns

_CHARGEBACK = columns.FEEDBACK_KINDS.index("chargeback")
_FRAUD = columns.VERDICTS.index("fraud")
_NEVER = np.iinfo(np.int64).max
_SHARED = ("transaction_id", "account_id", "customer_id", "payee_id", "account_hash", "customer_hash", "payee_hash", "transaction_hash")  # fmt: skip


class DueLabels:
    """Confirmed frauds by the bucket of event time before which they become known; bounded by the frauds of one delay.

    Parameters
    ----------
    delay_us
        From a payment to its label, µs.
    bucket_us
        Length of a bucket, µs.

    Examples
    --------
    >>> due = DueLabels(delay_us=25, bucket_us=10)
    >>> payments = np.zeros(2, columns.TRANSACTION)
    >>> payments["event_time"] = [3, 1]
    >>> due.add(payments, np.array([0, 0]))
    >>> due.next_bucket, due.take(2)["occurred_at"].tolist(), due.take(3)["occurred_at"].tolist()
    (3, [], [26, 28])
    """

    def __init__(self, delay_us: int, bucket_us: int) -> None:
        self._delay_us = delay_us
        self._bucket_us = bucket_us
        self._waiting = np.zeros(0, columns.FEEDBACK)
        self._buckets = np.zeros(0, np.int64)
        self._order = np.zeros(0, np.int64)
        self._arrived = 0
        self.next_bucket = _NEVER
        """The first bucket before which a waiting label becomes known."""

    def __len__(self) -> int:
        return len(self._waiting)

    def buckets(
        self, event_time: npt.NDArray[np.int64], bucket: npt.NDArray[np.int64], fraud: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """The buckets before which labels of these payments become known, ascending.

        Parameters
        ----------
        event_time, bucket
            int64[n]: µs, and the bucket each payment is decided in. A label comes after that bucket, however short
            the delay or late the payment.
        fraud
            bool[n]: which ones have a label.
        """
        due = -(-(event_time[fraud] + self._delay_us) // self._bucket_us)
        return np.unique(np.maximum(due, bucket[fraud] + 1))

    def add(self, payments: npt.NDArray[np.void], bucket: npt.NDArray[np.int64]) -> None:
        """Keep the labels of decided frauds.

        Parameters
        ----------
        payments : columns.TRANSACTION[k]
        bucket : int64[k]
            The bucket each was decided in.
        """
        if not len(payments):
            return
        labels = np.zeros(len(payments), columns.FEEDBACK)
        for name in _SHARED:
            labels[name] = payments[name]
        labels["offset"] = payments["offset"]
        labels["feedback_id"] = [b"chargeback-%016x" % name for name in payments["transaction_hash"].tolist()]
        labels["feedback_hash"] = [columns.hash_id(name) for name in labels["feedback_id"].tolist()]
        labels["occurred_at"] = payments["event_time"] + self._delay_us
        labels["timestamp"] = labels["occurred_at"] // 1000
        labels["kind"], labels["verdict"] = _CHARGEBACK, _FRAUD
        due = -(-labels["occurred_at"] // self._bucket_us)
        self._wait(labels, np.maximum(due, bucket + 1), labels["occurred_at"])

    def waiting_buckets(self) -> npt.NDArray[np.int64]:
        """The buckets before which waiting labels become known."""
        return np.unique(self._buckets)

    def arrive(
        self,
        feedback: npt.NDArray[np.void],
        bucket: npt.NDArray[np.int64],
        order: npt.NDArray[np.int64] | None = None,
    ) -> None:
        """Take feedback as it arrived: it counts from the next bucket on, in the order of its arrival.

        Parameters
        ----------
        feedback : columns.FEEDBACK[k]
        bucket : int64[k]
            The bucket that event time had reached when each arrived.
        order : int64[k]
            Their numbers in order of arrival; None counts them.
        """
        if order is None:
            order = np.arange(self._arrived, self._arrived + len(feedback))
        self._arrived += len(feedback)
        self._wait(feedback, bucket + 1, order)

    def _wait(self, labels: npt.NDArray[np.void], buckets: npt.NDArray[np.int64], order: npt.NDArray[np.int64]) -> None:
        if not len(labels):
            return
        self._waiting = np.concatenate((self._waiting, labels))
        self._buckets = np.concatenate((self._buckets, buckets))
        self._order = np.concatenate((self._order, order))
        self.next_bucket = int(self._buckets.min())

    def take(self, bucket: int) -> npt.NDArray[np.void]:
        """Feedback due before a bucket, FEEDBACK[m]: by time and then by place in the file, or as it arrived."""
        return self.take_ordered(bucket)[0]

    def take_ordered(self, bucket: int) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
        """:meth:`take`, and what it is ordered by before the place in the file, int64[m]."""
        if bucket < self.next_bucket:
            return self._waiting[:0], self._order[:0]
        due = self._buckets <= bucket
        taken, order = self._waiting[due], self._order[due]
        self._waiting, self._buckets, self._order = self._waiting[~due], self._buckets[~due], self._order[~due]
        self.next_bucket = int(self._buckets.min()) if len(self._buckets) else _NEVER
        sorting = np.lexsort((taken["offset"], order))
        return taken[sorting], order[sorting]
