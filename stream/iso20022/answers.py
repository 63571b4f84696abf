"""Messages out: the status of a payment (pacs.002.001.10) and the request to have it back (camt.056.001.08).

The same payment and the same answer give the same bytes: ids are digests of what is answered, times are given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from lxml import etree

from stream.iso20022.case import Status
from stream.iso20022.message_fields import NOT_PROVIDED, rendered
from stream.iso20022.original import REJECT_REASONS, Original, Rail
from stream.iso20022.parties import Agent

STATUS_REPORT: Final = "pacs.002.001.10"
RECALL: Final = "camt.056.001.08"
_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:"


def status_report(
    original: Original, status: Status, at: datetime, reasons: Mapping[Rail, str] = REJECT_REASONS
) -> bytes:
    """A pacs.002 about one payment.

    Parameters
    ----------
    original
        The payment.
    status
        ``ACTC`` accepted, ``PDNG`` held, ``RJCT`` refused; the latter with the rail's reason.
    at
        When it was decided: the message's ``CreDtTm``.
    reasons
        Of a refusal, by rail.
    """
    document, body = _document(STATUS_REPORT, "FIToFIPmtStsRpt")
    group = _add(body, "GrpHdr")
    _add(group, "MsgId", _id("S", original, status))
    _add(group, "CreDtTm", rendered(at))
    transaction = _add(body, "TxInfAndSts")
    _original(transaction, original)
    _add(transaction, "TxSts", status)
    if status == "RJCT":
        _add(_add(_add(transaction, "StsRsnInf"), "Rsn"), "Cd", reasons[original.rail])
    # the answer goes the other way: who was instructed says it to who instructed
    initiated = original.definition.startswith("pain.")
    _agent(transaction, "InstgAgt", original.instructing if initiated else original.instructed)
    _agent(transaction, "InstdAgt", None if initiated else original.instructing)
    return _bytes(document)


def recall(original: Original, at: datetime) -> bytes:
    """A camt.056 that asks for one payment back because of fraud.

    Parameters
    ----------
    original
        The payment.
    at
        When fraud was told of: ``Assgnmt/CreDtTm``.
    """
    document, body = _document(RECALL, "FIToFIPmtCxlReq")
    assignment = _add(body, "Assgnmt")
    _add(assignment, "Id", _id("C", original, "FRAD"))
    for name, bank in (("Assgnr", original.instructing), ("Assgne", original.instructed)):
        _institution(_add(_add(assignment, name), "Agt"), bank)
    _add(assignment, "CreDtTm", rendered(at))
    _add(_add(body, "CtrlData"), "NbOfTxs", "1")
    transaction = _add(_add(body, "Undrlyg"), "TxInf")
    _add(transaction, "CxlId", _id("X", original, "FRAD"))
    _original(transaction, original)
    amount = _add(transaction, "OrgnlIntrBkSttlmAmt", original.amount)
    amount.set("Ccy", original.currency)
    if original.settlement_date is not None:
        _add(transaction, "OrgnlIntrBkSttlmDt", original.settlement_date)
    _add(_add(_add(transaction, "CxlRsnInf"), "Rsn"), "Cd", "FRAD")
    return _bytes(document)


def _document(definition: str, root: str) -> tuple[Any, Any]:
    namespace = _NAMESPACE + definition
    document = etree.Element(f"{{{namespace}}}Document", nsmap={None: namespace})
    return document, etree.SubElement(document, f"{{{namespace}}}{root}")


def _add(parent: Any, name: str, text: str | None = None) -> Any:
    made = etree.SubElement(parent, f"{{{etree.QName(parent).namespace}}}{name}")
    made.text = text
    return made


def _original(transaction: Any, original: Original) -> None:
    """How the payment's message named it."""
    group = _add(transaction, "OrgnlGrpInf")
    _add(group, "OrgnlMsgId", original.message_id)
    _add(group, "OrgnlMsgNmId", original.definition)
    if original.instruction_id is not None:
        _add(transaction, "OrgnlInstrId", original.instruction_id)
    _add(transaction, "OrgnlEndToEndId", original.end_to_end_id or NOT_PROVIDED)
    if original.tx_id is not None:
        _add(transaction, "OrgnlTxId", original.tx_id)
    if original.uetr is not None:
        _add(transaction, "OrgnlUETR", original.uetr)


def _agent(transaction: Any, name: str, bank: Agent | None) -> None:
    if bank is not None:
        _institution(_add(transaction, name), bank)


def _institution(around: Any, bank: Agent | None) -> None:
    institution = _add(around, "FinInstnId")
    if bank is None:
        return
    if bank.bic is not None:
        _add(institution, "BICFI", bank.bic)
    elif bank.clearing_system is not None and bank.member is not None:
        member = _add(institution, "ClrSysMmbId")
        coded = len(bank.clearing_system) <= 5 and bank.clearing_system.isalnum()
        _add(_add(member, "ClrSysId"), "Cd" if coded else "Prtry", bank.clearing_system)
        _add(member, "MmbId", bank.member)
    elif bank.lei is not None:
        _add(institution, "LEI", bank.lei)


def _id(kind: str, original: Original, what: str) -> str:
    """An id of 35 characters that the same answer always has."""
    return kind + hashlib.sha256(f"{kind}/{original.transaction_id}/{what}".encode()).hexdigest()[:34].upper()


def _bytes(document: Any) -> bytes:
    made: bytes = etree.tostring(document, xml_declaration=True, encoding="UTF-8")
    return made
