"""The oracle's look at holds and obligations: did each end once, as its alert or challenge and the feedback say, and are its
rows so?

Computed are the rules of ``docs/holds.md`` written down directly, hold by hold: of the verdicts that the record of their day
trusts and that had been read when the end was published (the header ``riskstream.feedback`` says how far), the first that was
stamped before the expiry; else the expiry. When an expiry was noticed is nobody's to compute: an overdue hold that is still open
is no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import orjson

from stream.core.hold.challenges import read_challenge
from stream.core.hold.holds import (
    MAX_ENDED,
    MAX_UNMATCHED,
    ROW_VERSION,
    Ending,
    Hold,
    HoldBook,
    UnreadableAlert,
    Verdict,
    read_alert,
    read_verdicts,
)
from stream.core.hold.obligation_records import escalation, read_obligation, read_supplies
from stream.replay.oracle.verify_rows import Report, StoredRecord

FEEDBACK_READ: Final = "riskstream.feedback"
OWED: Final = b"\x01"
"""What the keys of obligations begin with among the rows of holds."""
ROWS: Final = "riskstream-holds-rows"
ALERTS, CHALLENGES, OWED_ON = "risk.alerts.v1", "riskstream-challenges", "riskstream-obligations"


class PublishedRecord(StoredRecord, Protocol):
    """An end, as published."""

    @property
    def headers(self) -> dict[str, bytes]:
        """Its headers."""


@dataclass(frozen=True, slots=True)
class HoldsRead:
    """What the holds agents had committed of one partition: next offsets of their inputs."""

    alerts: int
    challenges: int
    obligations: int
    feedback: int

    def of(self, topic: str) -> int:
        """The next offset of what opens holds."""
        return {ALERTS: self.alerts, CHALLENGES: self.challenges}.get(topic, self.obligations)


@dataclass(frozen=True, slots=True)
class Kind:
    """Holds, or obligations, which are kept as holds of nothing.

    Parameters
    ----------
    name, end
        What one is called, and what its end.
    opened_by
        The topics of what opens them, with what reads their records.
    published_on
        The topic where their ends are published.
    read_verdicts
        From decoded feedback.
    render
        An end as published; None where it is not.
    prefix
        Of the keys of its rows.
    """

    name: str
    end: str
    opened_by: Mapping[str, Callable[[bytes | None], Hold | None]]
    published_on: str
    read_verdicts: Callable[[npt.NDArray[np.void]], Iterator[Verdict]]
    render: Callable[[Ending], bytes | None]
    prefix: bytes


HOLDS: Final = Kind(
    "hold", "resolution", {ALERTS: read_alert, CHALLENGES: read_challenge}, "risk.resolutions.v1", read_verdicts,
    Ending.resolution, b"",
)  # fmt: skip
OBLIGATIONS: Final = Kind(
    "obligation", "escalation", {OWED_ON: read_obligation}, "riskstream-escalations", read_supplies, escalation, OWED,
)  # fmt: skip


class Opened(NamedTuple):
    """What opened a hold, and where it stands."""

    topic: str
    offset: int
    hold: Hold


@dataclass
class EndedHolds:
    """What is known of the holds of one kind in one partition, as it is read.

    Parameters
    ----------
    kind, partition, read
        Which, and how far the agents had read.
    """

    kind: Kind
    partition: int
    read: HoldsRead
    _holds: dict[bytes, Opened] = field(default_factory=dict)
    _second: dict[bytes, Opened] = field(default_factory=dict)
    """An id that was decided again, beyond the ring, and held for another reason: which of the two was read first, and opened
    the hold, stands in no record."""
    _named: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    _verdicts: dict[bytes, list[tuple[int, Verdict]]] = field(default_factory=dict)
    _ended: dict[bytes, Ending] = field(default_factory=dict)

    def open(self, topic: str, records: Iterable[StoredRecord]) -> None:
        """Take what opens holds; what is none of its topic opens none, as live."""
        for record in records:
            try:
                hold = self.kind.opened_by[topic](record.value)
            except UnreadableAlert:
                continue
            if hold is None:
                continue
            known = self._holds.get(hold.key)
            if known is not None and known.topic != topic:
                self._second.setdefault(hold.key, Opened(topic, record.offset, hold))
            elif known is None:
                self._holds[hold.key] = Opened(topic, record.offset, hold)
                self._named.setdefault((hold.customer_id, hold.transaction_id), []).append(hold.key)

    def judge(self, feedback: npt.NDArray[np.void]) -> None:
        """Take what was trusted, ``columns.FEEDBACK``, in the order of its partition."""
        for place, offset in enumerate(feedback["offset"].tolist()):
            for verdict in self.kind.read_verdicts(feedback[place : place + 1]):
                self._verdicts.setdefault(verdict.key, []).append((offset, verdict))

    def compare_published(self, records: Iterable[PublishedRecord], report: Report) -> None:
        """Compare every published end with what it had to be, and name what did not end."""
        for record in records:
            report.count(self.kind.end)
            problem = self._published(record)
            if problem:
                report.differ(f"{self.kind.published_on}/{self.partition}/{record.offset}", problem)
        for key, (topic, offset, hold) in self._holds.items():
            if key in self._ended or offset >= self.read.of(topic):
                continue
            said = self._counting(hold, self.read.feedback)
            if said is None:
                continue
            ending = Ending.by(hold, said[1])
            if self.kind.render(ending) is not None:
                where = f"{topic}/{self.partition}/{offset}"
                told = f"bank.feedback.v1/{self.partition}/{said[0]} ended its {self.kind.name}"
                report.differ(where, f"no {self.kind.end} of {_text(key)}, though {told}")
            self._ended[key] = ending

    def compare_rows(self, records: Iterable[StoredRecord], report: Report) -> None:
        """Compare the rows that the agents would recover with what they had to remember."""
        rows: dict[bytes, tuple[int, bytes | None]] = {}
        for record in records:
            key = record.key or b""
            if key.startswith(OWED) == (self.kind.prefix == OWED):
                rows[key.removeprefix(self.kind.prefix)] = record.offset, record.value
        expected = self._rows()
        for key, row in expected.items():
            offset, found = rows.pop(key, (-1, None))
            where = f"{ROWS}/{self.partition}" + (f"/{offset}" if offset >= 0 else "")
            report.count(f"{self.kind.name} row")
            if not found:
                if not self._may_be_forgotten(row, expected):
                    report.differ(where, f"the row of {self.kind.name} {_text(key)} is gone")
            elif found != row and _version(found) == ROW_VERSION:
                report.differ(
                    where, f"the row of {self.kind.name} {_text(key)} is {_told(found)}, computed {_told(row)}"
                )
        for key, (offset, left) in rows.items():
            if left:
                where = f"{ROWS}/{self.partition}/{offset}"
                report.differ(where, f"a row of {self.kind.name} {_text(key)} that nothing led to")

    def _published(self, record: PublishedRecord) -> str:
        """What is wrong with one published end; empty where it is as computed."""
        try:
            document = orjson.loads(record.value or b"")
            name = str(document.get("decision", document)["transaction_id"])
            read = int(record.headers[FEEDBACK_READ].rsplit(b"/", 1)[1])
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            return f"no {self.kind.end}: {type(error).__name__}; only riskstream may write there"
        keys = self._named.get(((record.key or b"").decode(errors="replace"), name), [])
        if not keys:
            return f"a {self.kind.end} of {name} that nothing led to"
        left = [key for key in keys if key not in self._ended]
        if not left:
            return f"a second {self.kind.end} of {_text(keys[0])}"
        opened = [opened for key in left for opened in (self._holds[key], self._second.get(key)) if opened is not None]
        endings = [self._ending(each.hold, read) for each in opened]
        fits = [ending for ending in endings if self.kind.render(ending) == record.value]
        ending = (fits or endings)[0]
        key = ending.hold.key
        self._ended[key] = ending
        computed = self.kind.render(ending)
        if computed is None:
            return f"{_text(key)} was escalated, though what was owed had come"
        return (
            "" if fits else f"the {self.kind.end} of {_text(key)} is {_told(record.value)}, computed {_told(computed)}"
        )

    def _ending(self, hold: Hold, read: int) -> Ending:
        said = self._counting(hold, read)
        return Ending.by_expiry(hold) if said is None else Ending.by(hold, said[1])

    def _counting(self, hold: Hold, read: int) -> tuple[int, Verdict] | None:
        """The verdict that counts of those read, with its offset."""
        told = self._verdicts.get(hold.key, ())
        return next((each for each in told if each[0] < read and each[1].stamped_at < hold.expires_at), None)

    def _rows(self) -> dict[bytes, bytes]:
        """What the rows must be."""
        rows = {}
        for key in dict.fromkeys([*self._holds, *self._verdicts]):
            opened = self._holds.get(key)
            one = HoldBook()
            if key in self._ended:
                ending = self._ended[key]
                rows[key] = orjson.dumps({"version": ROW_VERSION, "state": "ended", "at": ending.at})
                continue
            if opened is not None and opened.offset < self.read.of(opened.topic):
                one.open(opened.hold)
            else:
                for place, verdict in self._verdicts.get(key, ()):
                    if place < self.read.feedback:
                        one.judge(verdict)
            rows |= {name: row for name, row in one.take_changes() if row is not None}
        return rows

    def _may_be_forgotten(self, row: bytes, expected: dict[bytes, bytes]) -> bool:
        """Whether there are so many of its state that the oldest had to go."""
        state = orjson.loads(row)["state"]
        limit = {"ended": MAX_ENDED, "unmatched": MAX_UNMATCHED}.get(state)
        return limit is not None and sum(orjson.loads(each)["state"] == state for each in expected.values()) > limit


def _version(row: bytes) -> Any:
    try:
        return orjson.loads(row).get("version")
    except (ValueError, AttributeError):
        return ROW_VERSION


def _told(value: bytes | None) -> str:
    text = (value or b"").decode("ascii", "backslashreplace")
    return text if len(text) <= 200 else text[:200] + "…"


def _text(key: bytes) -> str:
    return key.decode("ascii", "backslashreplace")
