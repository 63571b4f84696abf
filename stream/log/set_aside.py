"""Records that no reader takes: set aside one by one, by their offset, while everything else goes on.

Each is listed with its reason until a person says that it is known (``riskstream policy quarantine``): that is a
record of its own on ``risk.policies.v1``, so that every worker and every list agrees.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson

from rules.bounded_json import NotReadable, load
from stream.log.records import Place

logger = logging.getLogger("riskstream.refused")
Reason = Literal[
    "malformed", "too_large", "wrong_type", "out_of_range", "altered", "foreign", "incomplete", "deleted", "unusable"
]
REASONS: Final[tuple[Reason, ...]] = (
    "malformed", "too_large", "wrong_type", "out_of_range", "altered", "foreign", "incomplete", "deleted", "unusable",
)  # fmt: skip
MAX_LISTED: Final = 200
"""Records set aside that are kept with their words; of older ones the count stays."""
MAX_SHOWN: Final = 20
"""Of them on ``/ready``."""
MAX_WHY: Final = 300
MAX_KEY: Final = 80
QUARANTINE: Final = b"quarantine/"
"""What the key of a person's word begins with; topic (without prefix), partition and offset follow."""


class ControlRefused(ValueError):
    """A record that a reader does not take, and why, in a word and in words."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__(why)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class SetAsideRecord:
    """One record set aside.

    Parameters
    ----------
    topic
        Without the installation's prefix.
    partition, offset, key
        Where it lies; the key as text, shortened.
    reason, why
        In a word, and in words.
    sha256
        Of its value (of no bytes for a null), lower-case hex.
    quarantined_by
        Who said that it is known; empty until then.
    """

    topic: str
    partition: int
    offset: int
    key: str
    reason: Reason
    why: str
    sha256: str
    quarantined_by: str = ""

    @property
    def place(self) -> tuple[str, int, int]:
        """Topic, partition, offset."""
        return self.topic, self.partition, self.offset

    def __str__(self) -> str:
        known = f" (quarantined by {self.quarantined_by})" if self.quarantined_by else ""
        return f"{self.topic}[{self.partition}] offset {self.offset}, key {self.key}: {self.reason}: {self.why}{known}"


class SetAside:
    """What was set aside; safe to use from several threads.

    Parameters
    ----------
    prefix
        Of the installation's topics.
    changed
        Called with the counts by topic and reason of what nobody has quarantined, whenever they change.

    Examples
    --------
    >>> aside = SetAside()
    >>> aside.refuse(Place("risk.policies.v1", 0), 7, b"p-1", b"x", "malformed", "no JSON")
    >>> aside.quarantine(*quarantine_record(aside.listed[0], "okafor", 0))
    >>> str(aside.listed[0])
    'risk.policies.v1[0] offset 7, key "p-1": malformed: no JSON (quarantined by okafor)'
    """

    def __init__(
        self, prefix: str = "", changed: Callable[[Mapping[tuple[str, str], int]], None] = lambda counts: None
    ) -> None:
        self._prefix = prefix
        self._changed = changed
        self._lock = threading.Lock()
        self._refused: dict[tuple[str, int, int], SetAsideRecord] = {}
        self._known: dict[tuple[str, int, int], tuple[str, str]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def refuse(self, place: Place, offset: int, key: bytes | None, value: bytes | None, reason: Reason, why: str) -> None:  # fmt: skip
        """Set a record aside; the same one again changes nothing."""
        topic = place.topic.removeprefix(self._prefix)
        at = topic, place.partition, offset
        with self._lock:
            if at in self._refused:
                return
            by, digest = self._known.get(at, ("", ""))
            sha256 = hashlib.sha256(value or b"").hexdigest()
            shown = _line(why, MAX_WHY)
            known = by if digest == sha256 else ""
            refused = self._refused[at] = SetAsideRecord(*at, shown_key(key), reason, shown, sha256, known)
            if not known:
                self._counts[topic, reason] += 1
            while len(self._refused) > MAX_LISTED:
                # those that somebody knows go first
                gone = next((old for old, of in self._refused.items() if of.quarantined_by), next(iter(self._refused)))
                del self._refused[gone]
            counts = dict(self._counts)
        logger.error("set aside: %s", refused)
        self._changed(counts)

    def quarantine(self, key: bytes, value: bytes | None) -> None:
        """Take a person's word that a record is known.

        Raises
        ------
        ControlRefused
            It is none.
        """
        if value is None:
            with self._lock:
                known = {f"{QUARANTINE.decode()}{t}/{p}/{o}".encode() for t, p, o in self._known}
            if key in known:
                raise ControlRefused("deleted", "what was quarantined stays so: a null value takes nothing back")
            return
        at, by, digest = _read_quarantine(key, value)
        with self._lock:
            while len(self._known) >= 10 * MAX_LISTED:
                del self._known[next(iter(self._known))]
            self._known[at] = by, digest
            refused = self._refused.get(at)
            if refused is None or refused.sha256 != digest or refused.quarantined_by:
                return
            self._refused[at] = replace(refused, quarantined_by=by)
            self._counts[refused.topic, refused.reason] -= 1
            counts = dict(self._counts)
        self._changed(counts)

    def holds(self, topic: str, partition: int, offset: int) -> bool:
        """Whether this record was set aside; the topic without prefix."""
        with self._lock:
            return (topic, partition, offset) in self._refused

    @property
    def listed(self) -> list[SetAsideRecord]:
        """All that is kept, by place."""
        with self._lock:
            return sorted(self._refused.values(), key=lambda refused: refused.place)

    @property
    def open(self) -> list[SetAsideRecord]:
        """Those that nobody has quarantined."""
        return [refused for refused in self.listed if not refused.quarantined_by]

    def shown(self) -> dict[str, Any]:
        """For ``/ready``: how many, and the latest with their words."""
        return {"count": sum(self._counts.values()), "records": [str(refused) for refused in self.open[-MAX_SHOWN:]]}


def quarantine_record(refused: SetAsideRecord, by: str, at: int) -> tuple[bytes, bytes]:
    """Key and value of the record that says: this one is known, by whom and when (µs since the epoch)."""
    return known_record(refused.place, refused.sha256, by, at, {"reason": refused.reason, "why": refused.why})


def known_record(
    place: tuple[str, int, int], sha256: str, by: str, at: int, words: Mapping[str, str] | None = None
) -> tuple[bytes, bytes]:
    """The same of a record whose reader said why to its own list alone: topic without prefix, partition, offset; the
    digest of its value."""
    key = f"{QUARANTINE.decode()}{'/'.join(map(str, place))}".encode()
    return key, orjson.dumps({"format": 1, "by": by, "at": at, **(words or {}), "sha256": sha256})


def _read_quarantine(key: bytes, value: bytes) -> tuple[tuple[str, int, int], str, str]:
    try:
        topic, partition, offset = key.decode("ascii")[len(QUARANTINE) :].split("/")
        at = topic, int(partition), int(offset)
        said = load(value, max_bytes=8192, max_depth=1, max_values=20)
    except NotReadable as error:
        raise ControlRefused("malformed", f"no quarantine: {error}") from error
    except ValueError as error:
        raise ControlRefused("foreign", "no quarantine: its key names no topic, partition and offset") from error
    if not isinstance(said, dict) or said.get("format") != 1:
        raise ControlRefused("malformed", "no quarantine of format 1")
    by, digest = said.get("by"), said.get("sha256")
    if not isinstance(by, str) or not isinstance(digest, str) or not 0 < len(by) <= 200 or not by.isprintable():
        raise ControlRefused("wrong_type", "a quarantine says by whom, and the digest of what")
    return at, by, digest


def shown_key(key: bytes | None) -> str:
    """A key as text on one line, shortened."""
    if key is None:
        return "null"
    text = orjson.dumps(key[:MAX_KEY].decode("utf-8", "replace")).decode()
    return text if len(key) <= MAX_KEY else text[:-1] + '…"'


def _line(text: str, most: int) -> str:
    text = "".join(c if c.isprintable() else " " for c in text[: most + 1])
    return text if len(text) <= most else text[:most] + "…"
