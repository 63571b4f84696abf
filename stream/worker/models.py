"""Model snapshots on ``risk.models.v1``: chunks below a megabyte that make a version, and which version is active."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from detectors.ensemble import Snapshot, SnapshotError

logger = logging.getLogger("riskstream.models")
CHUNK_BYTES = 900_000
KEPT = 16
"""Complete versions that are kept in memory for a rollback."""
PIN_KEY = b"pin"
PROPOSAL_KEY = b"proposal"
"""A version that one person wants in force, until another one confirms it."""
COMPARISON_KEY = b"comparison"
"""The newest model beside the one in force, on live and matured payments (``stream.core.model_watch.Tally``)."""
DRIFT_KEY = b"drift"
"""The last reports of drift, newest last."""
REFUSED = b"refused+"
"""Before the version in the key of a refusal: why a model is not followed."""
ROUNDS = "riskstream.rounds"
"""Header of a model's records: the end offsets of the round that led to it."""
STATE_SUFFIX = "+state"
"""Behind the version in the keys of a snapshot that carries the learning state; scoring passes it over."""


def chunks(snapshot: Snapshot, suffix: str = "") -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each record of a snapshot, one after the other: ``version/number/count``.

    A snapshot is complete when all of its chunks were read.
    """
    data = snapshot.to_bytes()
    count = max(1, -(-len(data) // CHUNK_BYTES))
    for number in range(count):
        start = number * CHUNK_BYTES
        yield f"{snapshot.version}{suffix}/{number}/{count}".encode(), data[start : start + CHUNK_BYTES]


def chunk_key(key: bytes) -> tuple[str, int, int]:
    """Version, number and count of a chunk's key."""
    version, number, count = key.decode().rsplit("/", 2)
    return version, int(number), int(count)


@dataclass
class ModelLog:
    """Snapshots as they were read, in order; the newest is active unless a pin names another."""

    first: Snapshot
    keep: int | None = KEPT
    """Most versions in memory; None keeps all."""
    complete: dict[str, Snapshot] = field(default_factory=dict)
    pinned: str = ""
    proposal: dict[str, Any] = field(default_factory=dict)
    comparison: dict[str, Any] = field(default_factory=dict)
    drift: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Why versions are not followed."""
    altered: list[str] = field(default_factory=list)
    """Versions of which something was read that cannot be one: what the oracle names."""
    _partial: dict[str, dict[int, bytes]] = field(default_factory=dict)

    @property
    def founding(self) -> Snapshot:
        """The installation's first model: round 0 as it stands on the topic, else this version's own."""
        return next((snapshot for snapshot in self.complete.values() if snapshot.round == 0), self.first)

    @property
    def active(self) -> Snapshot:
        """The snapshot in force: the pinned one, else the newest that was not refused."""
        return self.active_without(())

    def active_without(self, aside: Collection[str]) -> Snapshot:
        """The same, but none of these versions."""
        pinned = self.pinned if self.pinned not in aside else ""
        if pinned:
            if pinned == self.first.version:
                return self.first
            if pinned in self.complete:
                return self.complete[pinned]
        followed = (
            snapshot for version, snapshot in reversed(list(self.complete.items()))
            if version not in self.refused and version not in aside
        )  # fmt: skip
        return next(followed, self.first)

    @property
    def newest(self) -> Snapshot:
        """The newest snapshot, refused or not."""
        return next(reversed(self.complete.values()), self.first)

    def take(self, key: bytes, value: bytes | None) -> None:
        """Read one record of the topic."""
        if b"/" not in key:
            self._take_note(key, orjson.loads(value) if value else None)
            return
        version, number, count = chunk_key(key)
        if version.endswith(STATE_SUFFIX):
            return
        if value is None:
            self.complete.pop(version, None)
            self._partial.pop(version, None)
            return
        parts = self._partial.setdefault(version, {})
        parts[number] = value
        if len(parts) < count:
            return
        del self._partial[version]
        try:
            snapshot = Snapshot.from_bytes(b"".join(parts[n] for n in range(count)))
            if snapshot.version != version:
                raise SnapshotError(f"it is version {snapshot.version}")
            self.complete[version] = snapshot
        except SnapshotError as error:
            self.altered.append(version)
            logger.error("model %s cannot be read and is passed over: %s", version, error)
        while self.keep is not None and len(self.complete) > self.keep:
            active = self.active.version
            del self.complete[next(v for v, s in self.complete.items() if v != active and s.round > 0)]

    def _take_note(self, key: bytes, note: Any) -> None:
        """What is known about models beside their snapshots."""
        if key == PIN_KEY:
            self.pinned = note["version"] if note else ""
        elif key == PROPOSAL_KEY:
            self.proposal = note or {}
        elif key == COMPARISON_KEY:
            self.comparison = note or {}
        elif key == DRIFT_KEY:
            self.drift = note["reports"] if note else []
        elif key.startswith(REFUSED):
            version = key[len(REFUSED) :].decode()
            if note is None:
                self.refused.pop(version, None)
            else:
                self.refused[version] = note
        else:
            raise ValueError(f"unknown key {key!r}")
