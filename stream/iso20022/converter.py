"""A document to records: what each transaction of each message becomes, or why it becomes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from stream.contracts.feedback import read_feedback
from stream.contracts.refusal import PRECEDENCE, Reason, Refused
from stream.contracts.transaction import read_transaction
from stream.iso20022.element import Element, Unreadable
from stream.iso20022.follow_up import FollowUp, follow_ups
from stream.iso20022.message import Message, read_document
from stream.iso20022.original import Original, OriginalPayments
from stream.iso20022.payment import Payment, payments
from stream.iso20022.terms import ReadingTerms

MAX_TOLD = 20
"""Refusals that are told of one document; the others are counted."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A record of the contract.

    Parameters
    ----------
    topic
        ``transaction`` (payments and reversals) or ``feedback``.
    key, value
        As on the topic.
    line
        Of the document, where its transaction begins.
    original
        Of a payment.
    """

    topic: Literal["transaction", "feedback"]
    key: bytes
    value: bytes
    line: int
    original: Original | None = None


@dataclass(frozen=True, slots=True)
class NotConverted:
    """A message, or one transaction of it, that cannot be read.

    Parameters
    ----------
    definition
        The message, ``pacs.008.001.08``; ``document`` where no message was found.
    index
        Which of its transactions, from 1; None for all of it.
    path
        Where, as an XPath of local names; empty for the document.
    reason, message
        As in a dead letter.
    line
        Of the document, 0 where it is not known.
    """

    definition: str
    index: int | None
    path: str
    reason: Reason
    message: str
    line: int = 0

    def __str__(self) -> str:
        return (
            f"{self.definition}{'' if self.index is None else f', transaction {self.index}'}"
            f"{'' if not self.path else f', {self.path}'}: {self.message}"
        )


@dataclass(slots=True)
class Conversion:
    """What became of a document, in its order."""

    parts: list[Converted | NotConverted] = field(default_factory=list)

    @property
    def records(self) -> list[Converted]:
        """What was read."""
        return [part for part in self.parts if isinstance(part, Converted)]

    @property
    def refused(self) -> list[NotConverted]:
        """What was not."""
        return [part for part in self.parts if isinstance(part, NotConverted)]

    @property
    def refusal(self) -> Refused | None:
        """One for all: the first reason in the order of reasons, the places of the first ones; None where all was read."""
        refused = self.refused
        if not refused:
            return None
        reason = min((one.reason for one in refused), key=lambda one: PRECEDENCE[one])
        told = "; ".join(f"{one.reason}: {one}" for one in refused[:MAX_TOLD])
        more = len(refused) - MAX_TOLD
        return Refused(reason, told + (f"; {more} more" if more > 0 else ""))


class Seen:
    """Payments of the same run; see :class:`~stream.iso20022.original.OriginalPayments`."""

    def __init__(self) -> None:
        self._by_name: dict[str, Original] = {}

    def find(self, name: str) -> Original | None:
        """See :class:`~stream.iso20022.original.OriginalPayments`."""
        return self._by_name.get(name)

    def add(self, original: Original) -> None:
        """Know this one from now on; who was there first stays."""
        for name in (original.transaction_id, *original.names()):
            self._by_name.setdefault(name, original)


class _Both:
    """Payments of the same document, and those that were known."""

    def __init__(self, seen: Seen, known: OriginalPayments) -> None:
        self._all = (known, seen)

    def find(self, name: str) -> Original | None:
        return next((found for one in self._all if (found := one.find(name)) is not None), None)


def convert(data: bytes, terms: ReadingTerms, originals: OriginalPayments) -> Conversion:
    """The records of a document. Anything gives records and refusals, never an exception.

    Parameters
    ----------
    originals
        Payments that messages which follow them may name.
    """
    out = Conversion()
    seen = Seen()
    known = _Both(seen, originals)
    try:
        for message in read_document(data, terms.limits):
            if isinstance(message, Unreadable):
                out.parts.append(_refusal(message.definition or "document", None, message))
            else:
                _convert(message, terms, known, seen, out)
    except Unreadable as error:
        out.parts.append(_refusal("document", None, error))
    return out


def _convert(message: Message, terms: ReadingTerms, known: OriginalPayments, seen: Seen, out: Conversion) -> None:
    ids: set[str] = set()
    try:
        for index, (element, found) in enumerate(_transactions(message, terms, known), 1):
            try:
                record = _record(element, found, ids)
            except Unreadable as error:
                out.parts.append(_refusal(message.definition, index, error, message, element.line))
                continue
            out.parts.append(record)
            if record.original is not None:
                seen.add(record.original)
    except Unreadable as error:
        out.parts.append(_refusal(message.definition, None, error, message, message.body.line))


def _transactions(
    message: Message, terms: ReadingTerms, known: OriginalPayments
) -> Iterable[tuple[Element, Payment | FollowUp | Unreadable]]:  # fmt: skip
    if message.kind in ("pain.001", "pacs.008"):
        return payments(message, terms)
    return follow_ups(message, terms, known)


def _record(element: Element, found: Payment | FollowUp | Unreadable, ids: set[str]) -> Converted:
    if isinstance(found, Unreadable):
        raise found
    document = found.document
    topic: Literal["transaction", "feedback"] = "feedback" if "feedback_id" in document else "transaction"
    name = document["feedback_id" if topic == "feedback" else "transaction_id"]
    if name in ids:
        raise Unreadable("id_conflict", element, "another transaction of the message has the same id")
    value = orjson.dumps(document)
    if isinstance(found, FollowUp):
        _check(element, document)
    ids.add(name)
    key = (document.get("customer_id") or document["account_id"]).encode()
    return Converted(topic, key, value, element.line, found.original if isinstance(found, Payment) else None)


def _check(element: Element, document: dict[str, Any]) -> None:
    """What the contract says of a record, by its reference reading.

    Payments are many, and each of their fields was checked where it was read.
    """
    try:
        if "feedback_id" in document:
            read_feedback(orjson.dumps(document))
        else:
            read_transaction(orjson.dumps(document))
    except Refused as refusal:
        raise Unreadable(refusal.reason, element, refusal.message) from None


def _refusal(
    definition: str, index: int | None, error: Unreadable, message: Message | None = None, line: int = 0
) -> NotConverted:  # fmt: skip
    roots = () if message is None else (message.top, *(() if message.header is None else (message.header,)))
    return NotConverted(definition, index, error.path(*roots), error.reason, error.message, line)
