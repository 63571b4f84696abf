"""A payment between its message and the last answer to it: what is known, and what is to be said next.

Decisions, resolutions and verdicts come from three topics, in any order; whatever the order, the same answers are given, each
once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import orjson

from stream.iso20022.original import Original
from stream.iso20022.parties import Agent

Status = Literal["ACTC", "PDNG", "RJCT"]
_HELD: Final = ("challenge", "review")
ROW_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Recall:
    """Ask for the money back."""


Answer = Status | Recall


@dataclass(slots=True)
class Case:
    """One payment.

    Parameters
    ----------
    original
        The payment as others name it.
    read_at
        Kafka timestamp of its message, ms since the epoch.
    outcome, result
        Of its decision and its resolution, None until known.
    fraud
        A trusted verdict says so.
    status
        What was answered last.
    recalled
        It was asked back.
    """

    original: Original
    read_at: int
    outcome: str | None = None
    result: str | None = None
    fraud: bool = False
    status: Status | None = None
    recalled: bool = False

    @property
    def open(self) -> bool:
        """Whether its last status is still to come."""
        return self.status in (None, "PDNG")

    def decided(self, outcome: str) -> list[Answer]:
        """Its decision has come; a second one says nothing."""
        if self.outcome is not None:
            return []
        self.outcome = outcome
        if outcome in _HELD:
            self.status = "PDNG"
            return ["PDNG", *self._ended()]
        return self._final("RJCT" if outcome == "decline" else "ACTC")

    def resolved(self, result: str) -> list[Answer]:
        """Its hold has ended; a second end says nothing."""
        if self.result is not None:
            return []
        self.result = result
        return self._ended() if self.outcome is not None else []

    def called_fraud(self) -> list[Answer]:
        """A verdict says fraud."""
        self.fraud = True
        return self._recall()

    def _ended(self) -> list[Answer]:
        if self.outcome not in _HELD or self.result is None:
            return []
        return self._final("ACTC" if self.result == "release" else "RJCT")

    def _final(self, status: Status) -> list[Answer]:
        self.status = status
        return [status, *self._recall()]

    def _recall(self) -> list[Answer]:
        if not self.fraud or self.recalled or self.status != "ACTC":
            return []
        self.recalled = True
        return [Recall()]


def row_of(case: Case) -> bytes:
    """A case as its row."""
    return orjson.dumps({"version": ROW_VERSION} | asdict(case))


def read_row(value: bytes) -> Case:
    """A case from its row.

    Raises
    ------
    ValueError
        It is none of this version.
    """
    try:
        row: dict[str, Any] = orjson.loads(value)
        if row.pop("version") != ROW_VERSION:
            raise ValueError("a row of another version")
        original = row.pop("original")
        for side in ("instructing", "instructed"):
            original[side] = None if original[side] is None else Agent(**original[side])
        return Case(Original(**original), **row)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a row of a payment: {error}") from None
