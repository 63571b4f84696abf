"""Model snapshots on ``risk.models.v1``: chunks below a megabyte that make a version, and which version is active."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from detectors.ensemble import Snapshot, SnapshotError
from detectors.sound_snapshot import require_sound
from stream.core.columns import SCENARIOS
from stream.core.decision.decide import MODEL_NAMES
from stream.log.records import Place
from stream.log.set_aside import ControlRefused, Reason, SetAside
from stream.versions.model_records import (
    COMPARISON_KEY,
    DRIFT_KEY,
    MAX_CHUNK_BYTES,
    PIN_KEY,
    PROPOSAL_KEY,
    REFUSED,
    STATE_SUFFIX,
    chunk_key,
    is_key,
    read_note,
)

logger = logging.getLogger("riskstream.models")
TOPIC = "risk.models.v1"
CHUNK_BYTES = 900_000
KEPT = 16
"""Complete versions that are kept in memory for a rollback."""
MAX_PARTIAL = 4
"""Versions of which some chunks and not all were read; of one more the oldest goes."""
ROUNDS = "riskstream.rounds"
"""Header of a model's records: the end offsets of the round that led to it."""


def chunks(snapshot: Snapshot, suffix: str = "") -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each record of a snapshot, one after the other: ``version/number/count``.

    A snapshot is complete when all of its chunks were read.
    """
    data = snapshot.to_bytes()
    count = max(1, -(-len(data) // CHUNK_BYTES))
    for number in range(count):
        start = number * CHUNK_BYTES
        yield f"{snapshot.version}{suffix}/{number}/{count}".encode(), data[start : start + CHUNK_BYTES]


@dataclass
class _Partial:
    offset: int
    """Of its first chunk."""
    key: bytes
    count: int
    chunks: dict[int, bytes] = field(default_factory=dict)


@dataclass
class ModelLog:
    """Snapshots as they were read, in order; the newest is active unless a pin names another.

    One thread takes records; others may look meanwhile: what is read here is replaced, never changed.
    """

    first: Snapshot
    keep: int | None = KEPT
    """Most versions in memory; None keeps all."""
    aside: SetAside = field(default_factory=SetAside)
    """Where records that are none are set aside."""
    topic: str = TOPIC
    """Full name, for that list."""
    complete: dict[str, Snapshot] = field(default_factory=dict)
    pinned: str = ""
    proposal: dict[str, Any] = field(default_factory=dict)
    comparison: dict[str, Any] = field(default_factory=dict)
    drift: list[dict[str, Any]] = field(default_factory=list)
    refused: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Why versions are not followed."""
    altered: list[str] = field(default_factory=list)
    """Versions of which something was read that cannot be one: what the oracle names."""
    _partial: dict[str, _Partial] = field(default_factory=dict)
    _unusable: frozenset[str] = frozenset()
    _read_at: dict[str, int] = field(default_factory=dict)
    """Offset of the record that made a version complete."""

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
        complete, pinned = self.complete, self.pinned
        left_out = {*self.refused, *self._unusable, *aside}
        if pinned and pinned not in {*self._unusable, *aside}:
            if pinned == self.first.version:
                return self.first
            if pinned in complete:
                return complete[pinned]
        followed = (snapshot for version, snapshot in reversed(complete.items()) if version not in left_out)
        return next(followed, self.first)

    @property
    def newest(self) -> Snapshot:
        """The newest snapshot, refused or not."""
        return next(reversed(self.complete.values()), self.first)

    def take(self, key: bytes | None, value: bytes | None, offset: int = -1) -> None:
        """Read one record of the topic. One that is none is set aside, by its offset, and changes nothing."""
        try:
            self._take(key, value, offset)
        except ControlRefused as error:
            self._refuse(key, value, offset, error.reason, str(error))
        except Exception as error:
            # a defect of a reader must not end what reads the topic, nor pass unseen
            logger.exception("a record on %s could not be read", self.topic)
            self._refuse(key, value, offset, "malformed", f"{type(error).__name__} while it was read")

    def unusable(self, version: str, why: str) -> None:
        """Set a version aside that was read well and cannot score."""
        self._unusable = self._unusable | {version}
        self.aside.refuse(Place(self.topic, 0), self._read_at.get(version, -1), version.encode(), None, "unusable", why)

    def settle(self) -> None:
        """Say that the topic was read to its end: versions of which chunks are missing are listed; should those come
        all the same, they are taken."""
        for partial in self._partial.values():
            self._incomplete(partial)

    def _take(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        if not key:
            raise ControlRefused("foreign", "no key: a model's is its version and chunk")
        if value is None and not is_key(key):
            return  # nothing of it is here: so compaction takes away what was foreign
        if b"/" not in key:
            self._take_note(key, value)
            return
        version, number, count = chunk_key(key)
        if value is not None and len(value) > MAX_CHUNK_BYTES:
            raise ControlRefused("too_large", f"a chunk of {len(value)} bytes; at most {MAX_CHUNK_BYTES} are read")
        if version.endswith(STATE_SUFFIX):
            return
        if value is None:
            self._forget(version)
            return
        partial = self._partial.setdefault(version, _Partial(offset, key, count))
        if partial.count != count:
            raise ControlRefused("altered", f"{count} chunks; another chunk of {version} says {partial.count}")
        partial.chunks[number] = value
        if len(partial.chunks) == count:
            del self._partial[version]
            self._complete(version, b"".join(partial.chunks[n] for n in range(count)))
            self._read_at = {
                known: at for known, at in {**self._read_at, version: offset}.items() if known in self.complete
            }
            for left in list(self._partial):
                self._incomplete(self._partial.pop(left))
        while len(self._partial) > MAX_PARTIAL:
            self._incomplete(self._partial.pop(next(iter(self._partial))))

    def _complete(self, version: str, data: bytes) -> None:
        try:
            snapshot = Snapshot.from_bytes(data)
            if snapshot.version != version:
                raise SnapshotError(f"it is version {snapshot.version}")
        except SnapshotError as error:
            self.altered.append(version)
            raise ControlRefused("altered", f"model {version} cannot be read: {error}") from error
        try:
            require_sound(snapshot, SCENARIOS)
        except SnapshotError as error:
            self.altered.append(version)
            raise ControlRefused("unusable", f"model {version} cannot score: {error}") from error
        if not _reads_features(snapshot) and any(map(_reads_features, self.complete.values())):
            # after an upgrade no model reads this version's features: then the newest is followed, as a failed one
            self.altered.append(version)
            raise ControlRefused("unusable", f"model {version} reads other features than the models before it")
        self._keep({**self.complete, version: snapshot})

    def _keep(self, complete: dict[str, Snapshot]) -> None:
        self.complete = complete
        while self.keep is not None and len(self.complete) > self.keep:
            active = self.active.version
            gone = next(v for v, s in self.complete.items() if v != active and s.round > 0)
            self.complete = {version: s for version, s in self.complete.items() if version != gone}

    def _forget(self, version: str) -> None:
        """A null value on a chunk: the learner lets old versions go, never the newest nor one in force."""
        if version in self.complete and version in (self.newest.version, self.active.version, self.pinned):
            raise ControlRefused("deleted", f"model {version} is the newest or in force, and stays")
        self._partial.pop(version, None)
        self.complete = {known: snapshot for known, snapshot in self.complete.items() if known != version}

    def _incomplete(self, partial: _Partial) -> None:
        why = f"{len(partial.chunks)} of {partial.count} chunks are here; the others did not come"
        first = next(iter(partial.chunks.values()))
        self.aside.refuse(Place(self.topic, 0), partial.offset, partial.key, first, "incomplete", why)

    def _refuse(self, key: bytes | None, value: bytes | None, offset: int, reason: Reason, why: str) -> None:
        self.aside.refuse(Place(self.topic, 0), offset, key, value, reason, why)

    def _take_note(self, key: bytes, value: bytes | None) -> None:
        """What is known about models beside their snapshots."""
        note = read_note(key, value) if value is not None else {}
        if key == PIN_KEY:
            if value is None and self.pinned:
                raise ControlRefused("deleted", f"workers stay with {self.pinned}: two people let them follow again")
            self.pinned = str(note.get("version", ""))
        elif key == PROPOSAL_KEY:
            self.proposal = note
        elif key == COMPARISON_KEY:
            self.comparison = note
        elif key == DRIFT_KEY:
            self.drift = note.get("reports", [])
        elif key.startswith(REFUSED):
            version = key[len(REFUSED) :].decode("ascii", "replace")
            others = {known: why for known, why in self.refused.items() if known != version}
            self.refused = {**others, version: note} if note else others
        else:
            raise ControlRefused("foreign", "its key is none of a model or a note")


def _reads_features(snapshot: Snapshot) -> bool:
    return tuple(snapshot.description["inputs"]) == MODEL_NAMES
