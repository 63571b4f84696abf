"""Labels by transaction id in bounded memory: sorted 64-bit hashes, one code and one attack number each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import config, njit

from stream.arrays.fingerprint import hash_bytes
from stream.core.columns import ID_BYTES
from stream.errors import RiskstreamError

LIMIT = 500_000_000
"""Most labels: 12 bytes each, 28 while they are sorted."""
ATTACKS = 65_535
"""Most kinds of attack, by their text."""
SAMPLES = 1_000
"""Ids that are kept as text, to name one that met nothing."""
UNKNOWN = -1
_COMPACT = 2_000_000


@njit(cache=True, nogil=True)
def _hash_all(buf: Any, starts: Any, hashes: Any) -> None:
    for i in range(hashes.shape[0]):
        hashes[i] = hash_bytes(buf, starts[i], starts[i + 1] - starts[i])


def hash_ids(ids: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """:func:`stream.core.columns.hash_id` of many ids, uint64[n].

    >>> from stream.core.columns import hash_id
    >>> hash_ids([b"t-1", b""]).tolist() == [hash_id("t-1"), 0]
    True
    """
    starts = np.zeros(len(ids) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, ids), np.int64, len(ids)), out=starts[1:])
    buf = np.frombuffer(b"".join(ids) + b"\0", np.uint8)
    hashes = np.empty(len(ids), np.uint64)
    if config.DISABLE_JIT:  # type: ignore[attr-defined]
        with np.errstate(over="ignore"):  # plain Python warns where a 64-bit hash wraps as it should
            _hash_all(buf, starts, hashes)
    else:
        _hash_all(buf, starts, hashes)
    return hashes


class TruthIndex:
    """What is true of many transactions, found by the hash of their id; a later label of an id goes before an earlier.

    Parameters
    ----------
    limit
        Most labels; one more raises :class:`~stream.errors.RiskstreamError`.

    Examples
    --------
    >>> index = TruthIndex()
    >>> index.add([b"t-1", b"t-2"], np.array([1, 0], np.int8), ["card", ""])
    >>> codes, attacks = index.of(hash_ids([b"t-2", b"t-9", b"t-1"]))
    >>> codes.tolist(), attacks
    ([0, -1, 1], ['', '', 'card'])
    >>> index.met
    2
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._hashes = np.zeros(0, np.uint64)
        self._codes = np.zeros(0, np.int8)
        self._attacks = np.zeros(0, np.uint16)
        self._names: dict[str, int] = {"": 0}
        self._waiting: list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int8], npt.NDArray[np.uint16]]] = []
        self._rows = 0
        self._found = np.zeros(0, np.bool_)
        self._samples: list[bytes] = []

    def __len__(self) -> int:
        self._sort()
        return len(self._hashes)

    @property
    def met(self) -> int:
        """Labels that somebody has asked for in :meth:`of`: whose transaction is there."""
        self._sort()
        return int(np.count_nonzero(self._found))

    @property
    def unmet_example(self) -> str:
        """An id, of the first :data:`SAMPLES` that were added, that nobody has asked for; empty where there is none."""
        self._sort()
        hashes = hash_ids(self._samples)
        places = np.minimum(np.searchsorted(self._hashes, hashes), max(len(self._hashes) - 1, 0))
        unmet = (name for name, place in zip(self._samples, places.tolist(), strict=True) if not self._found[place])
        return next(unmet, b"").decode(errors="replace")

    def marks(self) -> npt.NDArray[np.uint8]:
        """Which labels were met, a bit each: what :meth:`restore_marks` takes."""
        self._sort()
        return np.packbits(self._found)

    def restore_marks(self, marks: npt.NDArray[np.uint8]) -> None:
        """Go on as an index of the same labels that gave these :meth:`marks`."""
        self._sort()
        self._found = np.unpackbits(marks, count=len(self._hashes)).astype(np.bool_)

    def add(self, ids: Sequence[bytes], codes: npt.NDArray[np.int8], attacks: Sequence[str]) -> None:
        """Take labels of some transactions.

        Parameters
        ----------
        ids
            n ids; one longer than the contract's 64 bytes names no transaction.
        codes
            int8[n], ``stream.replay.source.labels``.
        attacks
            n texts; empty where there is none.
        """
        names = self._names
        numbers = np.array([names.setdefault(text, len(names)) for text in attacks], np.int64)
        if len(names) > ATTACKS:
            raise RiskstreamError(f"labels name more than {ATTACKS} kinds of attack: is the column of attacks right?")
        fits = np.fromiter((len(name) <= ID_BYTES for name in ids), np.bool_, len(ids))
        self._samples += [name for name in ids[: SAMPLES - len(self._samples)] if len(name) <= ID_BYTES]
        self._waiting.append((hash_ids(ids)[fits], codes[fits], numbers.astype(np.uint16)[fits]))
        self._rows += int(fits.sum())
        if len(self._hashes) + self._rows > self.limit:
            raise RiskstreamError(f"more than {self.limit} labels: split the history and its labels by time")
        if self._rows > max(_COMPACT, len(self._hashes) // 2):
            self._sort()

    def of(self, hashes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int8], list[str]]:
        """Codes (int8[n], :data:`UNKNOWN` where there is no label) and attacks of some transactions."""
        self._sort()
        codes, attacks = np.full(len(hashes), UNKNOWN, np.int8), [""] * len(hashes)
        if not len(self._hashes):
            return codes, attacks
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        found = self._hashes[places] == hashes
        self._found[places[found]] = True
        codes[found] = self._codes[places[found]]
        names = list(self._names)
        named = np.flatnonzero(found & (self._attacks[places] != 0))
        for place, number in zip(named.tolist(), self._attacks[places[named]].tolist(), strict=True):
            attacks[place] = names[number]
        return codes, attacks

    def _sort(self) -> None:
        if not self._waiting:
            return
        parts = [(self._hashes, self._codes, self._attacks), *self._waiting]
        hashes, codes, attacks = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        last = np.ones(len(ordered), np.bool_)
        last[:-1] = ordered[1:] != ordered[:-1]
        kept = order[last]
        asked = self._hashes[self._found]
        self._hashes, self._codes, self._attacks = ordered[last], codes[kept], attacks[kept]
        self._found = np.isin(self._hashes, asked, assume_unique=True)
        self._waiting, self._rows = [], 0
