"""What follows a payment: a return (pacs.004), a recall (camt.056) and the answer to one (camt.029).

They name the payment by its ids and often nothing else. Which account it was on is known where the payment's own message
was read before; else the copy of the payment in the message (``OrgnlTxRef``) must say it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from stream.iso20022 import message_fields as fields
from stream.iso20022.control_sum import summed
from stream.iso20022.element import Element, Unreadable
from stream.iso20022.message import Message
from stream.iso20022.message_fields import NOT_PROVIDED
from stream.iso20022.original import OriginalPayments
from stream.iso20022.parties import Agent, account, agent, opaque, party
from stream.iso20022.payment import counted, end_to_end_id
from stream.iso20022.terms import ReadingTerms

ACTOR: Final = "chargeback:iso20022"
"""Who says so in feedback made of messages; the shipped policy trusts it."""
FRAUD: Final = frozenset(("FRAD",))
ANSWERS: Final[dict[str, str]] = {
    "CNCL": "passed", "ACCR": "passed", "RJCR": "failed", "RJCT": "failed", "PDCR": "inconclusive", "PDNG": "inconclusive",
}  # fmt: skip
"""What an answer to a recall means: the money comes back, it does not, nobody knows yet."""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A record about a payment made before.

    Parameters
    ----------
    topic
        ``transaction`` for a reversal, else ``feedback``.
    document
        The record.
    """

    topic: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Payment:
    """The payment that is meant, and whose it is."""

    transaction_id: str
    account_id: str
    customer_id: str | None
    payee_id: str | None
    uetr: str | None


def follow_ups(
    message: Message, terms: ReadingTerms, originals: OriginalPayments
) -> Iterator[tuple[Element, FollowUp | Unreadable]]:  # fmt: skip
    """The transactions of a message, each by itself.

    Raises
    ------
    Unreadable
        Something that all of them need is wrong.
    """
    read = {"pacs.004": _reversals, "camt.056": _recalls, "camt.029": _answers}[message.kind]
    yield from read(message, terms, originals)


def _reversals(
    message: Message, terms: ReadingTerms, originals: OriginalPayments
) -> Iterator[tuple[Element, FollowUp | Unreadable]]:  # fmt: skip
    body = message.body
    header = body.needed("GrpHdr")
    if fields.text(header, "GrpRtr") in ("true", "1"):
        raise Unreadable(
            "unsupported", header, "returns a whole message; returns of single payments are read", "GrpRtr"
        )
    found = body.all("TxInf")
    if not found:
        raise Unreadable("missing", body, "is absent", "TxInf")
    counted(body, len(found), "GrpHdr", "NbOfTxs")
    summed(body, (element.value("RtrdIntrBkSttlmAmt") for element in found), "GrpHdr", "CtrlSum")
    created = fields.instant(header, terms.zone, "CreDtTm")
    message_id = fields.text(header, "MsgId")
    if created is None or message_id is None:
        raise Unreadable("missing", header, "is absent", "CreDtTm" if created is None else "MsgId")
    sender = agent(header, "InstgAgt") or _sender(message)
    for element in found:
        try:
            yield element, _reversal(element, body, created, message_id, sender, terms, originals)
        except Unreadable as error:
            yield element, error


def _reversal(
    element: Element, body: Element, created: datetime, message_id: str, sender: Agent | None, terms: ReadingTerms,
    originals: OriginalPayments,
) -> FollowUp:  # fmt: skip
    # it goes back to whoever instructed the payment
    instructing = agent(element, "InstdAgt") or agent(body, "GrpHdr", "InstdAgt")
    payment = _meant(element, body, instructing, terms, originals)
    settled = fields.money(element, "RtrdIntrBkSttlmAmt")
    amount = fields.money(element, "RtrdInstdAmt") or settled
    if amount is None:
        raise Unreadable("missing", element, "is absent", "RtrdIntrBkSttlmAmt")
    returned = fields.text(element, "RtrId")
    bank = agent(element, "InstgAgt") or sender
    if returned is not None:
        name = opaque(terms.key, f"rtr:{'' if bank is None else bank.name}:{returned}")
    else:
        name = opaque(terms.key, f"rtr/{'' if bank is None else bank.name}/{message_id}/{payment.transaction_id}")
    document = {
        "type": "reversal",
        "transaction_id": name,
        "account_id": payment.account_id,
        "customer_id": payment.customer_id,
        "payee_id": payment.payee_id,
        "event_time": fields.rendered(created),
        "amount_minor": amount.minor,
        "currency": amount.currency,
        "account_amount_minor": None if settled is None else settled.minor,
        "channel": terms.channel,
        "original_transaction_id": payment.transaction_id,
        "uetr": payment.uetr,
    }
    return FollowUp("transaction", {name: value for name, value in document.items() if value is not None})


def _recalls(
    message: Message, terms: ReadingTerms, originals: OriginalPayments
) -> Iterator[tuple[Element, FollowUp | Unreadable]]:  # fmt: skip
    body = message.body
    blocks = body.all("Undrlyg")
    found = [(element, block) for block in blocks for element in block.all("TxInf")]
    for block in blocks:
        if fields.text(block, "OrgnlGrpInfAndCxl", "GrpCxl") in ("true", "1"):
            raise Unreadable(
                "unsupported", block, "recalls a whole message; recalls of single payments are read", "OrgnlGrpInfAndCxl",
            )  # fmt: skip
    if not found:
        raise Unreadable("missing", body, "is absent", "Undrlyg", "TxInf")
    counted(body, len(found), "CtrlData", "NbOfTxs")
    summed(body, (_recalled(element) for element, _ in found), "CtrlData", "CtrlSum")
    assignment = _assignment(body, terms)
    for number, (element, block) in enumerate(found, 1):
        try:
            yield element, _recall(element, block, number, assignment, terms, originals)
        except Unreadable as error:
            yield element, error


def _recalled(element: Element) -> str | None:
    return element.value("OrgnlIntrBkSttlmAmt") or element.value("OrgnlTxRef", "IntrBkSttlmAmt")


def _recall(
    element: Element, block: Element, number: int, assignment: _Assignment, terms: ReadingTerms, originals: OriginalPayments
) -> FollowUp:  # fmt: skip
    reasons = element.all("CxlRsnInf") or block.all("CxlRsnInf")
    said = [found for one in reasons if (found := fields.code_or_proprietary(one, "Rsn")) is not None]
    if not said:
        raise Unreadable("missing", element, "is absent", "CxlRsnInf", "Rsn")
    # whoever asks for it back is whoever instructed it
    payment = _meant(element, block, assignment.assigner, terms, originals)
    verdict = "fraud" if FRAUD & set(said) else "inconclusive"
    name = opaque(terms.key, f"camt.056:{assignment.name}:{fields.text(element, 'CxlId') or number}")
    return FollowUp("feedback", _feedback(name, payment, "chargeback", verdict, assignment.created))


def _answers(
    message: Message, terms: ReadingTerms, originals: OriginalPayments
) -> Iterator[tuple[Element, FollowUp | Unreadable]]:  # fmt: skip
    body = message.body
    found = [(element, block) for block in body.all("CxlDtls") for element in block.all("TxInfAndSts")]
    if not found:
        raise Unreadable("missing", body, "is absent", "CxlDtls", "TxInfAndSts")
    assignment = _assignment(body, terms)
    for number, (element, block) in enumerate(found, 1):
        try:
            yield element, _answer(element, block, body, number, assignment, terms, originals)
        except Unreadable as error:
            yield element, error


def _answer(
    element: Element, block: Element, body: Element, number: int, assignment: _Assignment, terms: ReadingTerms,
    originals: OriginalPayments,
) -> FollowUp:  # fmt: skip
    status = fields.code(element, "TxCxlSts") or fields.code(body, "Sts", "Conf")
    if status is None:
        raise Unreadable("missing", body, "is absent", "Sts", "Conf")
    verdict = ANSWERS.get(status)
    if verdict is None:
        where = element.one("TxCxlSts") or body.one("Sts", "Conf")
        raise Unreadable("out_of_range", where, f"not one of {', '.join(ANSWERS)}")
    # the answer goes to whoever asked
    payment = _meant(element, block, assignment.assignee, terms, originals)
    name = opaque(terms.key, f"camt.029:{assignment.name}:{fields.text(element, 'CxlStsId') or number}")
    document = _feedback(name, payment, "recall_answer", verdict, assignment.created)
    return FollowUp("feedback", document | {"reason": status.lower()})


def _feedback(name: str, payment: _Payment, kind: str, verdict: str, created: datetime) -> dict[str, Any]:
    document = {
        "feedback_id": name,
        "transaction_id": payment.transaction_id,
        "account_id": payment.account_id,
        "customer_id": payment.customer_id,
        "payee_id": payment.payee_id,
        "kind": kind,
        "verdict": verdict,
        "actor": ACTOR,
        "occurred_at": fields.rendered(created),
    }
    return {name: value for name, value in document.items() if value is not None}


@dataclass(frozen=True, slots=True)
class _Assignment:
    """Of a case: its id within its assigner, its time, and the two banks."""

    name: str
    created: datetime
    assigner: Agent | None
    assignee: Agent | None


def _assignment(body: Element, terms: ReadingTerms) -> _Assignment:
    element = body.needed("Assgnmt")
    case = fields.text(element, "Id")
    created = fields.instant(element, terms.zone, "CreDtTm")
    if case is None or created is None:
        raise Unreadable("missing", element, "is absent", "Id" if case is None else "CreDtTm")
    assigner = agent(element, "Assgnr", "Agt")
    return _Assignment(
        f"{'' if assigner is None else assigner.name}:{case}", created, assigner, agent(element, "Assgne", "Agt")
    )


def _sender(message: Message) -> Agent | None:
    return None if message.header is None else agent(message.header, "Fr", "FIId")


def _meant(
    element: Element, around: Element, instructing: Agent | None, terms: ReadingTerms, originals: OriginalPayments
) -> _Payment:  # fmt: skip
    """The payment that a transaction is about.

    Parameters
    ----------
    instructing
        The bank that instructed the payment, where its copy does not say.

    Raises
    ------
    Unreadable
        It is not named, or is not known and the message does not say which account it was on.
    """
    uetr = fields.uetr(element, "OrgnlUETR")
    names = list(_called(element, around, uetr, instructing, terms))
    if not names:
        raise Unreadable(
            "missing", element, "no OrgnlUETR, no OrgnlTxId, no OrgnlInstrId with a bank: no payment is named"
        )
    known = next((found for name in names if (found := originals.find(name)) is not None), None)
    if known is not None:
        return _Payment(known.transaction_id, known.account_id, known.customer_id, known.payee_id, known.uetr or uetr)
    copy = element.one("OrgnlTxRef")
    debtor = None if copy is None else account(copy, "DbtrAcct", "DbtrAgt", agent(copy, "DbtrAgt"), terms.key)
    if copy is None or debtor is None:
        raise Unreadable(
            "missing", element, "is absent, and the payment's own message was not read before", "OrgnlTxRef", "DbtrAcct"
        )
    creditor = account(copy, "CdtrAcct", "CdtrAgt", agent(copy, "CdtrAgt"), terms.key)
    own = next((name for name in names if "/" not in name), None)
    if own is None:
        raise Unreadable("missing", element, "is absent, as is what else could name the payment", "OrgnlUETR")
    return _Payment(
        own,
        debtor.token,
        party(_unwrapped(copy), "UltmtDbtr", terms.key),
        None if creditor is None else creditor.token,
        uetr,
    )


def _unwrapped(copy: Element) -> Element:
    """From 2019 on parties of ``OrgnlTxRef`` stand in ``Pty``."""
    inner = copy.one("UltmtDbtr", "Pty")
    if inner is None:
        return copy
    around = Element("OrgnlTxRef", "")
    named = Element("UltmtDbtr", "")
    named.children = inner.children
    around.children = {named.name: named}
    return around


def _called(
    element: Element, around: Element, uetr: str | None, instructing: Agent | None, terms: ReadingTerms
) -> Iterator[str]:  # fmt: skip
    """What the payment may be known by, the surest first: transaction ids, and names of :meth:`Original.names` (with ``/``)."""
    if uetr is not None:
        yield uetr
    tx = fields.text(element, "OrgnlTxId")
    if tx is not None and tx != NOT_PROVIDED:
        yield f"tx/{tx}"
        yield opaque(terms.key, tx)
    bank = agent(element, "OrgnlTxRef", "InstgAgt") or instructing
    instruction = fields.text(element, "OrgnlInstrId")
    if instruction is not None and bank is not None:
        yield f"instr/{bank.name}/{instruction}"
        yield opaque(terms.key, f"{bank.name}:{instruction}")
    end_to_end = fields.text(element, "OrgnlEndToEndId")
    message_id = _original_message(element, around)
    if end_to_end is not None and end_to_end != NOT_PROVIDED and message_id is not None:
        yield f"msg/{message_id}/{end_to_end}"
        if bank is not None:
            yield end_to_end_id(terms.key, bank, message_id, None, end_to_end)


def _original_message(element: Element, around: Element) -> str | None:
    for where, path in (
        (element, ("OrgnlGrpInf", "OrgnlMsgId")), (around, ("OrgnlGrpInfAndCxl", "OrgnlMsgId")),
        (around, ("OrgnlGrpInf", "OrgnlMsgId")), (around, ("OrgnlGrpInfAndSts", "OrgnlMsgId")),
    ):  # fmt: skip
        found = fields.text(where, *path)
        if found is not None:
            return found
    return None
