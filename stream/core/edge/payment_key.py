"""What a payment is known by: its account and its transaction together, for ids are unique within an account alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream.arrays.fingerprint import chain_each


def payments_of(records: npt.NDArray[np.void]) -> npt.NDArray[np.uint64]:
    """What features, labels and counts of a payment meet by, uint64[n].

    Parameters
    ----------
    records
        Structured array[n] with ``account_hash`` and ``transaction_hash``.

    >>> two = np.zeros(2, [("account_hash", "u8"), ("transaction_hash", "u8")])
    >>> two["account_hash"] = 1, 2
    >>> first, second = payments_of(two).tolist()
    >>> first == second
    False
    """
    account = np.ascontiguousarray(records["account_hash"])
    return chain_each(account, np.ascontiguousarray(records["transaction_hash"]))
