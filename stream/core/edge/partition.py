"""The partition of a key: Java Kafka's default partitioner, which librdkafka calls ``murmur2_random``.

Source: Appleby, MurmurHash2; ``org.apache.kafka.common.utils.Utils.murmur2`` and ``toPositive``.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF


@njit(cache=True)
def murmur2(buf: NDArray[np.uint8], start: int, length: int) -> int:
    """Kafka's murmur2 of ``buf[start:start + length]``, made positive: 0 to 2^31 - 1.

    The arithmetic is 64-bit and masked: a 32-bit word times the multiplier stays below 2^63.
    """
    h = (_SEED ^ length) & _MASK
    for p in range(start, start + length // 4 * 4, 4):
        k = int(buf[p]) | int(buf[p + 1]) << 8 | int(buf[p + 2]) << 16 | int(buf[p + 3]) << 24
        k = (k * _M) & _MASK
        k ^= k >> 24
        k = (k * _M) & _MASK
        h = ((h * _M) & _MASK) ^ k
    tail = start + length // 4 * 4
    rest = length % 4
    if rest == 3:
        h ^= int(buf[tail + 2]) << 16
    if rest >= 2:
        h ^= int(buf[tail + 1]) << 8
    if rest >= 1:
        h = ((h ^ int(buf[tail])) * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    h ^= h >> 15
    return h & 0x7FFFFFFF


@njit(cache=True)
def _partitions(ids: NDArray[np.uint8], partitions: int, out: NDArray[np.int32]) -> None:
    for i in range(ids.shape[0]):
        length = 0
        while length < ids.shape[1] and ids[i, length] != 0:
            length += 1
        out[i] = murmur2(ids[i], 0, length) % partitions


def partition_of(key: bytes, partitions: int) -> int:
    """The partition a keyed record belongs to.

    Parameters
    ----------
    key
        The record's key.
    partitions
        How many partitions the topic has, at least 1.

    Examples
    --------
    >>> partition_of(b"21", 4), partition_of(b"foobar", 100)
    (0, 66)
    """
    if partitions < 1:
        raise ValueError(f"a topic has at least one partition, not {partitions}")
    return int(murmur2(np.frombuffer(key or b"\0", np.uint8), 0, len(key))) % partitions


def partitions_of(ids: NDArray[np.bytes_], partitions: int) -> NDArray[np.int32]:
    """The partition of each id of an ``S`` array, shape (n,), as int32.

    >>> partitions_of(np.array([b"21", b"foobar"]), 100).tolist()
    [40, 66]
    """
    if partitions < 1:
        raise ValueError(f"a topic has at least one partition, not {partitions}")
    out = np.empty(len(ids), np.int32)
    flat = np.ascontiguousarray(ids)
    _partitions(flat.view(np.uint8).reshape(len(flat), flat.dtype.itemsize), partitions, out)
    return out
