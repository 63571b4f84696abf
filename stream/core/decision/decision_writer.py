"""Decisions as JSON, a batch at once, into one buffer: the compiled half of ``render.py``.

What most decisions share (words, fired rules, the empty evidence of an approval) is handed over once, as fragments;
numbers, ids and times are written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.arrays.byte_copy import copy_bytes
from stream.arrays.fingerprint import chain
from stream.arrays.packed import Packed, put_bytes, put_number
from stream.arrays.rfc3339 import put_instant
from stream.core.frame.frame import PROFILED

_IDS = np.array([PROFILED.fields[name][1] for name in ("transaction_id", "customer_id", "account_id", "payee_id")])  # type: ignore[index]
_ID_BYTES = 64
_LITERALS = Packed.of(
    [
        b'{"transaction_id":"', b'","customer_id":"', b'","account_id":"', b'","payee_id":"', b'","event_time":"',
        b'","payee_id":null,"event_time":"', b',"anomaly_ppm":', b',"familiarity_ppm":',
    ]
)  # fmt: skip
_NO_PAYEE, _ANOMALY, _FAMILIARITY = 5, 6, 7
WORDS, REST = range(2)
"""Columns of the fragments' places."""


@dataclass(slots=True)
class Fragments:
    """Pieces of JSON, each kept once.

    >>> fragments = Fragments()
    >>> fragments.place(b"null"), fragments.place(b"[]"), fragments.place(b"null")
    (0, 1, 0)
    """

    known: dict[bytes, int]

    def __init__(self, pieces: Sequence[bytes] = ()) -> None:
        self.known = {}
        for piece in pieces:
            self.place(piece)

    def place(self, piece: bytes) -> int:
        """Its number, the same for the same bytes."""
        return self.known.setdefault(piece, len(self.known))

    def packed(self) -> Packed:
        """All of them by their numbers."""
        return Packed.of(list(self.known))


def write_decisions(
    transactions: npt.NDArray[np.void],
    numbers: npt.NDArray[np.int64],
    pieces: npt.NDArray[np.int64],
    fragments: Packed,
) -> Packed:
    """The JSON of each decision.

    Parameters
    ----------
    transactions : PROFILED[n]
    numbers : int64[n, 3]
        risk_ppm, anomaly_ppm, familiarity_ppm.
    pieces : int64[n, 2]
        Places in ``fragments`` of what stands between the event's time and risk_ppm, and of what stands behind
        familiarity_ppm.
    fragments
        The pieces.
    """
    count = len(transactions)
    fixed = int(_LITERALS.lengths.sum()) + 4 * _ID_BYTES + 26 + 3 * 20
    room = count * fixed + int(fragments.lengths[pieces].sum())
    data, starts, lengths = np.empty(room, np.uint8), np.zeros(count, np.int64), np.zeros(count, np.int64)
    raw = np.ascontiguousarray(transactions).view(np.uint8).reshape(count, PROFILED.itemsize)
    _write(
        raw, np.ascontiguousarray(transactions["event_time"]), numbers, pieces,
        (_LITERALS.data, _LITERALS.starts, _LITERALS.lengths), (fragments.data, fragments.starts, fragments.lengths),
        _IDS, data, starts, lengths,
    )  # fmt: skip
    return Packed(data, starts, lengths)


def group_rows(rows: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Group equal rows: the group of each row, and a member of each group; groups in order of first occurrence.

    >>> [part.tolist() for part in group_rows(np.array([[1, 0], [2, 0], [1, 0]], np.uint64))]
    [[0, 1, 0], [0, 1]]
    """
    group, members = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    table = np.full(2 << max(len(rows) - 1, 0).bit_length(), -1)
    return group, members[: _group(rows, table, group, members)]


@njit(cache=True, nogil=True)
def _group(rows: Any, table: Any, group: Any, members: Any) -> Any:
    found = 0
    last = len(table) - 1
    for i in range(rows.shape[0]):
        mixed = np.uint64(0)
        for k in range(rows.shape[1]):
            mixed = chain(mixed, rows[i, k])
        at = np.int64(mixed & np.uint64(last))
        while table[at] >= 0 and not _same(rows[i], rows[members[table[at]]]):
            at = (at + 1) & last
        if table[at] < 0:
            table[at] = found
            members[found] = i
            found += 1
        group[i] = table[at]
    return found


@njit(cache=True, nogil=True)
def _same(left: Any, right: Any) -> Any:
    differing = 0
    for k in range(left.shape[0]):
        differing += left[k] != right[k]
    return differing == 0


@njit(cache=True, nogil=True)
def _put(out: Any, at: Any, packed: Any, place: Any) -> Any:
    data, starts, lengths = packed
    return put_bytes(out, at, data, starts[place], lengths[place])


@njit(cache=True, nogil=True)
def _put_id(out: Any, at: Any, raw: Any, begin: Any) -> Any:
    copy_bytes(out, at, raw, begin, _ID_BYTES)  # what lies behind the id is written over by what follows
    k = 0
    while k < _ID_BYTES and raw[begin + k] != 0:
        k += 1
    return at + k


@njit(cache=True, nogil=True)
def _write(
    raw: Any, times: Any, numbers: Any, pieces: Any, literals: Any, fragments: Any, ids: Any,
    out: Any, starts: Any, lengths: Any,
) -> None:  # fmt: skip
    at = 0
    for i in range(raw.shape[0]):
        starts[i] = at
        for k in range(3):
            at = _put(out, at, literals, k)
            at = _put_id(out, at, raw[i], ids[k])
        if raw[i, ids[3]] == 0:
            at = _put(out, at, literals, _NO_PAYEE)
        else:
            at = _put(out, at, literals, 3)
            at = _put_id(out, at, raw[i], ids[3])
            at = _put(out, at, literals, 4)
        at = put_instant(out, at, times[i])
        at = _put(out, at, fragments, pieces[i, WORDS])
        at = put_number(out, at, numbers[i, 0])
        at = _put(out, at, literals, _ANOMALY)
        at = put_number(out, at, numbers[i, 1])
        at = _put(out, at, literals, _FAMILIARITY)
        at = put_number(out, at, numbers[i, 2])
        at = _put(out, at, fragments, pieces[i, REST])
        lengths[i] = at - starts[i]
