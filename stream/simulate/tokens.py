"""Opaque ids: a number of the simulation becomes a token that tells nothing about it.

Every entity has a number inside the simulator (a payee's even packs its kind and city). What leaves is a
bijection of the number and the seed (splitmix64's finaliser) in Crockford's base 32, so that ids never collide,
never repeat between seeds and carry no trace of who is a mule.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

_ALPHABET = np.frombuffer(b"0123456789abcdefghjkmnpqrstvwxyz", dtype=np.uint8)
_SHIFTS = np.arange(60, -1, -5, dtype=np.uint64)


def mix(numbers: npt.NDArray[np.int64] | Words, salt: int) -> Words:
    """Scramble 64-bit numbers one to one.

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (SplitMix64).

    >>> int(mix(np.array([1]), 0)[0]) != int(mix(np.array([1]), 7)[0])
    True
    """
    z: Words = numbers.astype(np.uint64) + np.uint64(salt) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def unit_interval(numbers: npt.NDArray[np.int64] | Words, salt: int) -> npt.NDArray[np.float64]:
    """A fixed number in [0, 1) for each entity: its place, its price level.

    >>> bool(0 <= unit_interval(np.array([5]), 3)[0] < 1)
    True
    """
    return (mix(numbers, salt) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def tokens(prefix: str, numbers: npt.NDArray[np.int64] | Words, salt: int) -> list[str]:
    """Ids of 14 characters: the prefix letter and 13 of base 32.

    >>> [len(token) for token in tokens("p", np.arange(3), 1)]
    [14, 14, 14]
    """
    scrambled = mix(numbers, salt)
    text = np.empty((len(scrambled), 14), dtype=np.uint8)
    text[:, 0] = ord(prefix)
    text[:, 1:] = _ALPHABET[((scrambled[:, None] >> _SHIFTS) & np.uint64(31)).astype(np.intp)]
    return [token.decode() for token in text.view("S14")[:, 0].tolist()]
