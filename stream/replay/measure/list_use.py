"""Which entries of a policy's lists and snoozes met a payment of a history, whenever they are in force."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.lists import ListEntry, MarkTable, Snooze, list_table, snooze_table
from rules.policy import Policy

PARTS = ("account_hash", "payee_hash", "device_hash")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
Hash = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Used:
    """How many entries met a payment.

    Parameters
    ----------
    total
        Entries of lists, and snoozes.
    met
        Those of them whose ids a payment has.
    unmet_example
        File and line of one that met none; empty where all did.
    """

    total: int
    met: int
    unmet_example: str

    def __str__(self) -> str:
        if self.met == self.total:
            return f"all {self.total:,} entries of lists and snoozes met a payment"
        return f"{self.met:,} of {self.total:,} entries of lists and snoozes met a payment, for instance not {self.unmet_example}"


class ListUse:
    """Walks payments, and remembers which entries they met.

    Parameters
    ----------
    policy
        Whose lists.
    hash_id
        The hash of an id, as in the payments.
    """

    def __init__(self, policy: Policy, hash_id: Hash) -> None:
        self._entries: list[ListEntry | Snooze] = []
        for pack in policy.packs:
            self._entries += pack.lists
            self._entries += pack.snoozes
        keys = [int(_table(entry, hash_id).keys[0]) for entry in self._entries]
        self._keys = np.array(keys, np.uint64)
        self._shapes = sorted({int(shape) for entry in self._entries for shape in _table(entry, hash_id).shapes})
        self._met = np.zeros(len(keys), np.bool_)

    def add(self, payments: npt.NDArray[Any]) -> None:
        """Look at some payments: structured, with the hashes of account, payee and device (0 where absent)."""
        for shape in self._shapes:
            self._met |= np.isin(self._keys, _keys(shape, payments))

    @property
    def result(self) -> Used | None:
        """What came of it; None where there are no entries."""
        if not self._entries:
            return None
        unmet = np.flatnonzero(~self._met)
        item = self._entries[int(unmet[0])].item if len(unmet) else None
        return Used(len(self._entries), int(self._met.sum()), f"{item.file}:{item.line}" if item is not None else "")


def _table(entry: ListEntry | Snooze, hash_id: Hash) -> MarkTable:
    if isinstance(entry, Snooze):
        return snooze_table([entry], {entry.rule: 0}, hash_id)
    return list_table([entry], hash_id)


def _keys(shape: int, payments: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """As ``rules.lists.mix``, of many payments; those that lack a part are left out."""
    parts = [part for part in range(len(PARTS)) if shape >> part & 1]
    there = np.ones(len(payments), np.bool_)
    for part in parts:
        there &= payments[PARTS[part]] != 0
    keys = np.full(int(there.sum()), shape, np.uint64)
    for part in parts:
        keys = (keys ^ payments[PARTS[part]][there]) * _FACTOR + np.uint64(part + 1)
        keys ^= keys >> np.uint64(29)
    return keys
