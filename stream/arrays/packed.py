"""Many byte strings in one buffer: what a batch writes is built, and handed to Kafka, without an object a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.arrays.byte_copy import copy_bytes

PADDING = 16
"""Zero bytes behind strings that are to be read where they lie: a scanner's loop ends there, and may look that far."""
LONGEST_NUMBER = 20
"""Most bytes of an int64 in decimal."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Byte strings in one buffer.

    Parameters
    ----------
    data : uint8[m]
    starts, lengths : int64[n]
        Where each string lies; they may overlap and leave gaps. A length of -1 is a null, which reads as empty.

    Examples
    --------
    >>> words = Packed.of([b"ab", b"", b"c"])
    >>> len(words), words[0], list(words)
    (3, b'ab', [b'ab', b'', b'c'])
    """

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, place: int) -> bytes:
        return self.view(place).tobytes()

    def __iter__(self) -> Iterator[bytes]:
        for place in range(len(self)):
            yield self[place]

    def view(self, place: int) -> npt.NDArray[np.uint8]:
        """One string's bytes where they lie."""
        start = int(self.starts[place])
        return self.data[start : start + max(int(self.lengths[place]), 0)]

    def nullable(self, place: int) -> bytes | None:
        """One string, or None for a null."""
        return None if self.lengths[place] < 0 else self[place]

    @property
    def is_padded(self) -> bool:
        """Whether the buffer may be written to and ends with :data:`PADDING` zeros, so that a scanner can read in it."""
        return self.data.flags.writeable and len(self.data) >= PADDING and not self.data[-PADDING:].any()

    def chosen(self, places: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> Packed:
        """The strings at some places, or of those that are wanted; not copied."""
        return Packed(self.data, self.starts[places], self.lengths[places])

    def part(self, start: int, stop: int) -> Packed:
        """Some of the strings, not copied."""
        return Packed(self.data, self.starts[start:stop], self.lengths[start:stop])

    def structs(self, dtype: np.dtype[np.void]) -> npt.NDArray[np.void]:
        """The strings, each as long as this struct, as an array of it; a copy.

        >>> Packed.of([b"ab", b"cd"]).structs(np.dtype([("a", "S1"), ("b", "S1")]))["b"].tolist()
        [b'b', b'd']
        """
        raw = np.empty((len(self), dtype.itemsize), np.uint8)
        _gather(self.data, self.starts, raw)
        return raw.reshape(-1).view(dtype)

    def prefixed(self, prefix: bytes) -> Packed:
        """Copies of the strings, with this before each.

        >>> list(Packed.of([b"a", b"bc"]).prefixed(b"-"))
        [b'-a', b'-bc']
        """
        lengths = np.maximum(self.lengths, 0) + len(prefix)
        starts = np.cumsum(lengths) - lengths
        data = np.empty(int(lengths.sum()), np.uint8)
        _prefix(np.frombuffer(prefix, np.uint8), self.data, self.starts, data, starts, lengths)
        return Packed(data, starts, lengths)

    @classmethod
    def of(cls, values: Sequence[bytes | None]) -> Packed:
        """Copies of these strings, padded (see :attr:`is_padded`).

        >>> Packed.of([None, b"a"]).nullable(0) is None
        True
        """
        lengths = np.fromiter((-1 if value is None else len(value) for value in values), np.int64, len(values))
        room = np.maximum(lengths, 0)
        data = bytearray().join([*(value for value in values if value), bytes(PADDING)])
        return cls(np.frombuffer(data, np.uint8), np.cumsum(room) - room, lengths)

    @classmethod
    def joined(cls, parts: Sequence[Packed]) -> Packed:
        """The strings of several, in order, padded; of their buffers only what the strings span is copied.

        >>> words = Packed.of([b"a", b"bc", b"d"])
        >>> list(Packed.joined([words.part(1, 3), words.part(0, 1)]))
        [b'bc', b'd', b'a']
        """
        if len(parts) == 1:
            return parts[0]
        buffers, starts, total = [], [], 0
        for part in parts:
            first = int(part.starts.min(initial=len(part.data)))
            buffers.append(part.data[first : int((part.starts + part.lengths).max(initial=first))])
            starts.append(part.starts + (total - first))
            total += len(buffers[-1])
        empty = np.zeros(0, np.int64)
        return cls(
            np.concatenate([*buffers, np.zeros(PADDING, np.uint8)]),
            np.concatenate([empty, *starts]),
            np.concatenate([empty, *(part.lengths for part in parts)]),
        )

    @classmethod
    def of_ids(cls, ids: npt.NDArray[np.bytes_]) -> Packed:
        """The strings of a fixed-size byte array (``S``), without the zeros that fill them up.

        >>> list(Packed.of_ids(np.array([b"a-1", b""], "S64")))
        [b'a-1', b'']
        """
        width = ids.dtype.itemsize
        data = np.ascontiguousarray(ids).view(np.uint8).reshape(len(ids), width)
        lengths = np.zeros(len(ids), np.int64)
        _lengths(data, lengths)
        return cls(data.reshape(-1), np.arange(len(ids)) * width, lengths)

    @classmethod
    def of_structs(cls, structs: npt.NDArray[np.void]) -> Packed:
        """The bytes of each struct of an array."""
        size = structs.dtype.itemsize
        data = np.frombuffer(structs.tobytes(), np.uint8)
        return cls(data, np.arange(len(structs)) * size, np.full(len(structs), size))


def places(prefix: bytes, *numbers: npt.NDArray[np.int64]) -> Packed:
    """``prefix`` and numbers, a slash between them.

    >>> list(places(b"t/", np.array([0, 12]), np.array([345, 6])))
    [b't/0/345', b't/12/6']
    """
    count = len(numbers[0])
    width = len(prefix) + len(numbers) * (LONGEST_NUMBER + 1)
    data, lengths = np.empty((count, width), np.uint8), np.zeros(count, np.int64)
    data[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    _places(data, len(prefix), np.column_stack(numbers), lengths)
    return Packed(data.reshape(-1), np.arange(count) * width, lengths)


@njit(cache=True, nogil=True)
def put_bytes(out: Any, at: Any, data: Any, start: Any, length: Any) -> Any:
    """Copy bytes; returns where the next ones go."""
    copy_bytes(out, at, data, start, length)
    return at + length


@njit(cache=True, nogil=True)
def put_number(out: Any, at: Any, number: Any) -> Any:
    """Write an int64 above its minimum in decimal; returns where the next byte goes."""
    value = np.int64(number)
    if value < 0:
        out[at] = 45
        at += 1
        value = -value
    digits, rest = 1, value // 10
    while rest > 0:
        digits += 1
        rest //= 10
    for k in range(digits - 1, -1, -1):
        out[at + k] = 48 + value % 10
        value //= 10
    return at + digits


@njit(cache=True, nogil=True)
def _gather(data: Any, starts: Any, rows: Any) -> None:
    for i in range(rows.shape[0]):
        put_bytes(rows[i], 0, data, starts[i], rows.shape[1])


@njit(cache=True, nogil=True)
def _prefix(prefix: Any, data: Any, starts: Any, out: Any, to: Any, lengths: Any) -> None:
    for i in range(starts.shape[0]):
        at = put_bytes(out, to[i], prefix, 0, prefix.shape[0])
        put_bytes(out, at, data, starts[i], lengths[i] - prefix.shape[0])


@njit(cache=True, nogil=True)
def _lengths(data: Any, lengths: Any) -> None:
    for i in range(data.shape[0]):
        end = data.shape[1]
        while end > 0 and data[i, end - 1] == 0:
            end -= 1
        lengths[i] = end


@njit(cache=True, nogil=True)
def _places(data: Any, begin: Any, numbers: Any, lengths: Any) -> None:
    for i in range(data.shape[0]):
        at = put_number(data[i], begin, numbers[i, 0])
        for k in range(1, numbers.shape[1]):
            data[i, at] = 47
            at = put_number(data[i], at + 1, numbers[i, k])
        lengths[i] = at
