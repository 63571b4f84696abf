"""pain.001 and pacs.008: a payment for each ``CdtTrfTxInf``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from stream.contracts.currency import is_in_use
from stream.iso20022 import message_fields as fields
from stream.iso20022.control_sum import summed
from stream.iso20022.element import Element, Unreadable
from stream.iso20022.message import Message
from stream.iso20022.message_fields import NOT_PROVIDED, MessageAmount
from stream.iso20022.original import Original, Rail
from stream.iso20022.parties import Account, Agent, account, agent, opaque, party
from stream.iso20022.terms import ReadingTerms

BILLS: Final = frozenset(("SALA", "PENS", "SSBE", "BENE", "SUPP", "TAXS", "VATX", "WHLD", "UBIL"))
"""Category purposes of payroll, suppliers, bills and taxes: the scenario hint ``bills_payroll``."""
_AGES: Final = ((18, "<18"), (30, "18-29"), (45, "30-44"), (65, "45-64"))
_OLDEST: Final = "65+"


@dataclass(frozen=True, slots=True)
class _Group:
    """What a message says for all of its payments.

    Parameters
    ----------
    element
        ``GrpHdr``.
    message_id, created
        ``MsgId`` and ``CreDtTm``.
    sender
        The bank of the application header's ``Fr``.
    service
        ``BizSvc`` of the application header.
    instructing, instructed
        Where the group header names them.
    """

    element: Element
    message_id: str
    created: datetime | None
    sender: Agent | None
    service: str
    instructing: Agent | None
    instructed: Agent | None


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment: the record and what is kept of it."""

    document: dict[str, Any]
    original: Original


def transfers(message: Message) -> list[tuple[Element, Element]]:
    """Each ``CdtTrfTxInf`` and the element that speaks for it too: its ``PmtInf``, in pacs.008 the group header.

    Raises
    ------
    Unreadable
        The message does not hold as many, or not the amounts, that it says: a part may be lost or changed.
    """
    if message.kind == "pain.001":
        blocks = message.body.all("PmtInf")
        found = [(transfer, block) for block in blocks for transfer in block.all("CdtTrfTxInf")]
        for block in blocks:
            inside = block.all("CdtTrfTxInf")
            _count(block, len(inside), "NbOfTxs")
            summed(block, map(_initiated, inside), "CtrlSum")
    else:
        header = message.body.needed("GrpHdr")
        found = [(transfer, header) for transfer in message.body.all("CdtTrfTxInf")]
    if not found:
        raise Unreadable("missing", message.body, "is absent", "CdtTrfTxInf")
    _count(message.body, len(found), "GrpHdr", "NbOfTxs")
    written = _initiated if message.kind == "pain.001" else _settled
    summed(message.body, (written(transfer) for transfer, _ in found), "GrpHdr", "CtrlSum")
    return found


def _initiated(transfer: Element) -> str | None:
    return transfer.value("Amt", "InstdAmt") or transfer.value("Amt", "EqvtAmt", "Amt")


def _settled(transfer: Element) -> str | None:
    return transfer.value("IntrBkSttlmAmt")


def counted(body: Element, there: int, *path: str) -> None:
    """Refuse a message that says that it holds another number of transactions than ``there``."""
    _count(body, there, *path)


def payments(message: Message, terms: ReadingTerms) -> Iterator[tuple[Element, Payment | Unreadable]]:
    """The payments of a message, each by itself: one that cannot be read leaves the others.

    Raises
    ------
    Unreadable
        Something that all of them need is wrong.
    """
    found = transfers(message)
    group = _group(message, terms)
    for transfer, block in found:
        try:
            yield transfer, _payment(transfer, block, group, message, terms)
        except Unreadable as error:
            yield transfer, error


def _count(around: Element, there: int, *path: str) -> None:
    said = fields.number(around, *path)
    if said is not None and said != there:
        raise Unreadable("out_of_range", around.one(*path), f"says {said} transactions, {there} are there")


def _group(message: Message, terms: ReadingTerms) -> _Group:
    element = message.body.needed("GrpHdr")
    message_id = fields.text(element, "MsgId")
    if message_id is None:
        raise Unreadable("missing", element, "is absent", "MsgId")
    header = message.header
    sender = None if header is None else agent(header, "Fr", "FIId")
    service = "" if header is None else fields.text(header, "BizSvc") or ""
    return _Group(
        element, message_id, fields.instant(element, terms.zone, "CreDtTm"), sender, service, agent(element, "InstgAgt"),
        agent(element, "InstdAgt"),
    )  # fmt: skip


def _payment(transfer: Element, block: Element, group: _Group, message: Message, terms: ReadingTerms) -> Payment:
    initiation = message.kind == "pain.001"
    payer = block if initiation else transfer
    moment = _moment(transfer, block, group, terms)
    settled = fields.money(transfer, "IntrBkSttlmAmt")
    amount = _instructed(transfer, initiation) or settled
    if amount is None:
        raise Unreadable(
            "missing", transfer, "is absent", *(("Amt", "InstdAmt") if initiation else ("IntrBkSttlmAmt",))
        )
    if not is_in_use(amount.currency, moment):
        raise Unreadable("unknown_currency", transfer, f"{amount.currency} was not in use any more then")
    debtor_bank, creditor_bank = agent(payer, "DbtrAgt"), agent(transfer, "CdtrAgt")
    debtor = account(payer, "DbtrAcct", "DbtrAgt", debtor_bank, terms.key)
    if debtor is None:
        raise Unreadable("missing", payer, "is absent", "DbtrAcct")
    creditor = account(transfer, "CdtrAcct", "CdtrAgt", creditor_bank, terms.key)
    on_behalf = _on_behalf(transfer, block)
    customer = None if on_behalf is None else party(on_behalf, "UltmtDbtr", terms.key)
    instructing, instructed = (debtor_bank, creditor_bank) if initiation else _agents(transfer, group)
    if not initiation:
        instructing, instructed = instructing or debtor_bank, instructed or creditor_bank
    names = _names(transfer, block if initiation else None)
    transaction_id = _transaction_id(names, instructing, group, transfer, terms)
    document = {
        "transaction_id": transaction_id,
        "account_id": debtor.token,
        "customer_id": customer,
        "payee_id": None if creditor is None else creditor.token,
        "event_time": fields.rendered(moment),
        "amount_minor": amount.minor,
        "currency": amount.currency,
        "account_amount_minor": None if settled is None else settled.minor,
        "channel": terms.channel,
        "scenario": _scenario(transfer, block),
        "payee_country": _payee_country(transfer, creditor, creditor_bank),
        "payee_kind": "person" if transfer.one("Cdtr", "Id", "PrvtId") is not None else None,
        "purpose": _purpose(transfer, block),
        "customer": _customer(payer if on_behalf is None else on_behalf, on_behalf is not None, moment),
        "uetr": names.uetr,
    }
    shown = settled or amount
    original = Original(
        transaction_id, debtor.token, customer, None if creditor is None else creditor.token, message.definition,
        group.message_id, names.instruction, names.end_to_end, names.tx, names.uetr, shown.currency,
        _decimal_text(transfer, initiation, settled is not None), fields.text(transfer, "IntrBkSttlmDt", most=10),
        instructing, instructed, _rail(transfer, block, group, instructing),
    )  # fmt: skip
    return Payment({name: value for name, value in document.items() if value is not None}, original)


@dataclass(frozen=True, slots=True)
class PaymentNames:
    """What a message calls a payment; None where it does not, or says ``NOTPROVIDED``."""

    uetr: str | None
    tx: str | None
    instruction: str | None
    end_to_end: str | None
    block: str | None = None


def _names(transfer: Element, block: Element | None) -> PaymentNames:
    ids = transfer.needed("PmtId")
    end_to_end = fields.text(ids, "EndToEndId")
    return PaymentNames(
        fields.uetr(ids, "UETR"),
        fields.text(ids, "TxId"),
        fields.text(ids, "InstrId"),
        None if end_to_end == NOT_PROVIDED else end_to_end,
        None if block is None else fields.text(block, "PmtInfId"),
    )


def _transaction_id(
    names: PaymentNames, instructing: Agent | None, group: _Group, transfer: Element, terms: ReadingTerms
) -> str:
    """UETR, else TxId, else InstrId with the bank that instructs, else EndToEndId within its message; never it alone."""
    if names.uetr is not None:
        return names.uetr
    if names.tx is not None:
        return opaque(terms.key, names.tx)
    if names.instruction is not None and instructing is not None:
        return opaque(terms.key, f"{instructing.name}:{names.instruction}")
    if names.end_to_end is not None:
        return end_to_end_id(terms.key, instructing, group.message_id, names.block, names.end_to_end)
    raise Unreadable(
        "missing", transfer, "has no UETR, no TxId, no InstrId with the bank that instructs, and no EndToEndId", "PmtId"
    )


def end_to_end_id(key: bytes, instructing: Agent | None, message_id: str, block: str | None, end_to_end: str) -> str:
    """The id of a payment that has nothing but its EndToEndId, which is its sender's alone: with bank, message and block."""
    bank = "" if instructing is None else instructing.name
    return opaque(key, f"{bank}/{message_id}/{block or ''}/{end_to_end}")


def _moment(transfer: Element, block: Element, group: _Group, terms: ReadingTerms) -> datetime:
    accepted = fields.instant(transfer, terms.zone, "AccptncDtTm") or fields.instant(block, terms.zone, "AccptncDtTm")
    moment = accepted or group.created
    if moment is None:
        raise Unreadable("missing", group.element, "is absent", "CreDtTm")
    return moment


def _instructed(transfer: Element, initiation: bool) -> MessageAmount | None:
    if not initiation:
        return fields.money(transfer, "InstdAmt")
    return fields.money(transfer, "Amt", "InstdAmt") or fields.money(transfer, "Amt", "EqvtAmt", "Amt")


def _decimal_text(transfer: Element, initiation: bool, settled: bool) -> str:
    """The amount that an answer repeats, as the message wrote it."""
    paths = (
        [("IntrBkSttlmAmt",)]
        if settled
        else [("Amt", "InstdAmt"), ("Amt", "EqvtAmt", "Amt")] if initiation else [("InstdAmt",)]
    )  # fmt: skip
    found = next(element for path in paths if (element := transfer.one(*path)) is not None)
    return found.text.lstrip("+")


def _agents(transfer: Element, group: _Group) -> tuple[Agent | None, Agent | None]:
    """Who instructs and who is instructed: of the payment, else of the message, else of the header."""
    instructing = agent(transfer, "InstgAgt") or group.instructing or group.sender
    return instructing, agent(transfer, "InstdAgt") or group.instructed


def _on_behalf(transfer: Element, block: Element) -> Element | None:
    """Where an ultimate debtor is named: habits are his."""
    return next((around for around in (transfer, block) if around.one("UltmtDbtr") is not None), None)


def _scenario(transfer: Element, block: Element) -> str | None:
    category = _type_information(transfer, block, "CtgyPurp")
    return "bills_payroll" if category in BILLS else None


def _purpose(transfer: Element, block: Element) -> str | None:
    return fields.code_or_proprietary(transfer, "Purp") or _type_information(transfer, block, "CtgyPurp")


def _type_information(transfer: Element, block: Element, name: str) -> str | None:
    """Of ``PmtTpInf``: the payment's, else the block's or the group's."""
    for around in (transfer, block):
        found = fields.code_or_proprietary(around, "PmtTpInf", name)
        if found is not None:
            return found
    return None


def _payee_country(transfer: Element, creditor: Account | None, bank: Agent | None) -> str | None:
    """IBAN, then BIC, then clearing system, then the address; the name of no country where none says."""
    if creditor is not None and creditor.country is not None:
        return creditor.country
    found = bank.country if bank is not None else None
    return found or fields.country(transfer, "Cdtr", "PstlAdr", "Ctry")


def _customer(around: Element, ultimate: bool, moment: datetime) -> dict[str, Any] | None:
    name = "UltmtDbtr" if ultimate else "Dbtr"
    known = {
        "age_band": _age_band(around, name, moment),
        "home_country": fields.country(around, name, "CtryOfRes"),
    }
    return {field: value for field, value in known.items() if value is not None} or None


def _age_band(around: Element, name: str, moment: datetime) -> str | None:
    element = around.one(name, "Id", "PrvtId", "DtAndPlcOfBirth", "BirthDt")
    if element is None or not element.text:
        return None
    try:
        born = datetime.strptime(element.text[:10], "%Y-%m-%d").date()  # noqa: DTZ007 - a day, no instant
    except ValueError:
        raise Unreadable("out_of_range", element, "not a date") from None
    today = moment.date()
    age = today.year - born.year - ((today.month, today.day) < (born.month, born.day))
    if age < 0:
        raise Unreadable("out_of_range", element, "lies behind the payment")
    return next((band for end, band in _AGES if age < end), _OLDEST)


def _rail(transfer: Element, block: Element, group: _Group, instructing: Agent | None) -> Rail:
    """Which rail's words a refusal needs."""
    if group.service.startswith("swift.cbprplus"):
        return "cbpr"
    if (
        _type_information(transfer, block, "SvcLvl") == "SEPA"
        or _type_information(transfer, block, "LclInstrm") == "INST"
    ):
        return "sepa"
    clearing = fields.code_or_proprietary(group.element, "SttlmInf", "ClrSys")
    if clearing == "FDN" or (instructing is not None and instructing.clearing_system == "USABA"):
        return "fednow"
    return "other"
