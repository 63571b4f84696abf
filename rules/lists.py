"""Lists: deny, watch and allow entries and snoozes, each with a reason, an owner and an end.

Order of precedence: hard rule > deny > watch > allow. A snooze silences one weighted rule for one account and
payee until its date; a hard rule cannot be snoozed. Whether an entry is in force is decided by the event's time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rules.document import Item

ListKind = Literal["deny", "watch", "allow"]
LIST_KINDS: Final[tuple[ListKind, ...]] = ("deny", "watch", "allow")
LIST_MARKS: Final = ("none", "deny", "watch", "allow")
"""Verdict code of a list's word; of several entries the strictest counts."""
PARTS: Final = ("account", "payee", "device")
MAX_ENTRIES: Final = 100_000
"""Most entries of one file of lists."""
ALWAYS_US: Final = 2**62
_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One line of a list: it covers what matches every id that it names.

    Parameters
    ----------
    kind
        deny, watch or allow.
    account, payee, device
        Ids; empty where any will do; at least one is named.
    reason, owner
        Why, and who answers for it.
    valid_from, until
        In force for event times in [valid_from, until), µs.
    """

    kind: ListKind
    account: str
    payee: str
    device: str
    reason: str
    owner: str
    valid_from: int
    until: int
    item: Item


@dataclass(frozen=True, slots=True)
class Snooze:
    """One rule, silent for one account and payee until a date."""

    rule: str
    account: str
    payee: str
    reason: str
    owner: str
    until: int
    item: Item


@dataclass(frozen=True, slots=True)
class MarkTable:
    """Entries in a form the compiled loop searches: sorted by key.

    Parameters
    ----------
    keys
        uint64[m], ascending; equal keys stand together.
    start, end
        int64[m], event times in µs.
    mark
        int16[m]: list mark, or the rule of a snooze.
    shapes
        uint8[s]: which parts (bit 0 account, 1 payee, 2 device) the entries combine.
    """

    keys: NDArray[np.uint64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    mark: NDArray[np.int16]
    shapes: NDArray[np.uint8]


def list_table(entries: Sequence[ListEntry], hash_id: Callable[[str], int]) -> MarkTable:
    """The table of all lists."""
    rows = [((e.account, e.payee, e.device), e.valid_from, e.until, LIST_MARKS.index(e.kind)) for e in entries]
    return _table(rows, hash_id)


def snooze_table(snoozes: Sequence[Snooze], rules: dict[str, int], hash_id: Callable[[str], int]) -> MarkTable:
    """The table of snoozes; the mark is the rule's position."""
    return _table([((s.account, s.payee, ""), -ALWAYS_US, s.until, rules[s.rule]) for s in snoozes], hash_id)


def _table(rows: Sequence[tuple[tuple[str, str, str], int, int, int]], hash_id: Callable[[str], int]) -> MarkTable:
    keyed = []
    shapes = set()
    for ids, start, end, mark in rows:
        shape = sum(1 << part for part, text in enumerate(ids) if text)
        shapes.add(shape)
        key = _mix_plain(shape, [hash_id(text) if text else 0 for text in ids])
        keyed.append((key, start, end, mark))
    keyed.sort()
    return MarkTable(
        np.array([row[0] for row in keyed], np.uint64),
        np.array([row[1] for row in keyed], np.int64),
        np.array([row[2] for row in keyed], np.int64),
        np.array([row[3] for row in keyed], np.int16),
        np.array(sorted(shapes), np.uint8),
    )


def _mix_plain(shape: int, hashes: Sequence[int]) -> int:
    key = shape
    for part, value in enumerate(hashes):
        if shape >> part & 1:
            key = ((key ^ value) * 0x9E3779B97F4A7C15 + part + 1) & _MASK
            key ^= key >> 29
    return key


@njit(cache=True, nogil=True)
def mix(shape, ids):  # type: ignore[no-untyped-def]
    """Key of the parts of ``ids`` (uint64[3]) that ``shape`` names; 0 where one of them is absent."""
    key = np.uint64(shape)
    for part in range(3):
        if shape >> part & 1:
            if ids[part] == np.uint64(0):
                return np.uint64(0)
            key = (key ^ ids[part]) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(part + 1)
            key ^= key >> np.uint64(29)
    return key


@njit(cache=True, nogil=True)
def first_at(keys, key):  # type: ignore[no-untyped-def]
    """Position of the first entry with this key, or ``len(keys)``."""
    low = 0
    high = len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def list_mark(ids, event_time, table):  # type: ignore[no-untyped-def]
    """Strictest list word in force for these ids: 0 none, 1 deny, 2 watch, 3 allow; ``table`` as a tuple of its arrays."""
    keys, start, end, marks, shapes = table
    found = 4
    for s in range(len(shapes)):
        key = mix(shapes[s], ids)
        if key == np.uint64(0):
            continue
        k = first_at(keys, key)
        while k < len(keys) and keys[k] == key:
            if start[k] <= event_time < end[k] and marks[k] < found:
                found = marks[k]
            k += 1
    return found % 4


@njit(cache=True, nogil=True)
def snoozed(ids, event_time, rule, keys, end, marks):  # type: ignore[no-untyped-def]
    """Whether this rule is snoozed for this account and payee at this time."""
    key = mix(3, ids)
    if key == np.uint64(0):
        return False
    k = first_at(keys, key)
    while k < len(keys) and keys[k] == key:
        if marks[k] == rule and event_time < end[k]:
            return True
        k += 1
    return False
