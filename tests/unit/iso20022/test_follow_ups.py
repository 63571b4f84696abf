"""Returns, recalls and answers: which payment they are about, and what they say of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from iso20022_messages import IBAN, KEY, NAMESPACE, PAYEE, UETR, only, pacs_008, read, transfer

from stream.contracts.token import token
from stream.iso20022.converter import Conversion, Seen

COPY = (
    f"<OrgnlTxRef><Dbtr><Pty><Nm>A</Nm></Pty></Dbtr><DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct>"
    f"<CdtrAcct><Id><IBAN>{PAYEE}</IBAN></Id></CdtrAcct></OrgnlTxRef>"
)
NAMED = f"<OrgnlEndToEndId>E2E-1</OrgnlEndToEndId><OrgnlUETR>{UETR}</OrgnlUETR>"
ASSIGNMENT = (
    "<Assgnmt><Id>CASE-1</Id><Assgnr><Agt><FinInstnId><BICFI>{}</BICFI></FinInstnId></Agt></Assgnr>"
    "<Assgne><Agt><FinInstnId><BICFI>{}</BICFI></FinInstnId></Agt></Assgne><CreDtTm>2026-03-02T10:00:00Z</CreDtTm></Assgnmt>"
)


def returned(named: str = NAMED, copy: str = "", version: str = "09", more: str = "") -> str:
    return (
        f'<Document xmlns="{NAMESPACE}pacs.004.001.{version}"><PmtRtr><GrpHdr><MsgId>R</MsgId><CreDtTm>2026-03-02T10:00:00Z</CreDtTm>'
        f"<NbOfTxs>1</NbOfTxs>{more}</GrpHdr><TxInf><RtrId>RTR-1</RtrId>{named}<RtrdIntrBkSttlmAmt Ccy='EUR'>400.00</RtrdIntrBkSttlmAmt>"
        "<InstgAgt><FinInstnId><BICFI>ZABCGB9A</BICFI></FinInstnId></InstgAgt><InstdAgt><FinInstnId><BICFI>COBADEFF</BICFI>"
        f"</FinInstnId></InstdAgt>{copy}</TxInf></PmtRtr></Document>"
    )


def recalled(named: str = NAMED, copy: str = "", reason: str = "<Cd>FRAD</Cd>", version: str = "08") -> str:
    why = f"<CxlRsnInf><Rsn>{reason}</Rsn></CxlRsnInf>" if reason else ""
    return (
        f'<Document xmlns="{NAMESPACE}camt.056.001.{version}"><FIToFIPmtCxlReq>{ASSIGNMENT.format("COBADEFF", "ZABCGB9A")}'
        f"<CtrlData><NbOfTxs>1</NbOfTxs></CtrlData><Undrlyg><TxInf><CxlId>CXL-1</CxlId>{named}{why}{copy}</TxInf></Undrlyg>"
        "</FIToFIPmtCxlReq></Document>"
    )


def answered(status: str = "CNCL", named: str = NAMED, version: str = "09") -> str:
    return (
        f'<Document xmlns="{NAMESPACE}camt.029.001.{version}"><RsltnOfInvstgtn>{ASSIGNMENT.format("ZABCGB9A", "COBADEFF")}'
        f"<Sts><Conf>{status}</Conf></Sts><CxlDtls><TxInfAndSts><CxlStsId>S-1</CxlStsId>{named}</TxInfAndSts></CxlDtls>"
        "</RsltnOfInvstgtn></Document>"
    )


def after_the_payment(document: str, payment: str = "") -> Conversion:
    seen = Seen()
    (record,) = read(payment or pacs_008(transfer(more="<UltmtDbtr><Nm>U</Nm></UltmtDbtr>"))).records
    assert record.original is not None
    seen.add(record.original)
    return read(document, seen=seen)


OF_THE_PAYMENT = {
    "account_id": token(KEY, IBAN), "customer_id": token(KEY, "name/u"), "payee_id": token(KEY, PAYEE),
}  # fmt: skip


@pytest.mark.parametrize("version", ["09", "11"])
def test_a_return_is_a_reversal_of_its_payment(version: str) -> None:
    assert only(after_the_payment(returned(version=version))) == {
        "type": "reversal",
        "transaction_id": "rtr:ZABCGB9AXXX:RTR-1",
        **OF_THE_PAYMENT,
        "event_time": "2026-03-02T10:00:00Z",
        "amount_minor": 40_000,
        "currency": "EUR",
        "account_amount_minor": 40_000,
        "channel": "api",
        "original_transaction_id": UETR,
        "uetr": UETR,
    }


def test_a_return_in_the_same_envelope_finds_its_payment() -> None:
    conversion = read(f"<All>{pacs_008(transfer())}{returned()}</All>")
    assert conversion.refused == []
    assert [orjson.loads(record.value).get("type", "payment") for record in conversion.records] == [
        "payment",
        "reversal",
    ]


def test_the_copy_of_the_payment_says_whose_it_was() -> None:
    record = only(read(returned(copy=COPY)))
    assert (record["original_transaction_id"], record["account_id"]) == (UETR, token(KEY, IBAN))
    assert record["payee_id"] == token(KEY, PAYEE)


NAMES = {
    "uetr": NAMED,
    "tx id": "<OrgnlTxId>TX-1</OrgnlTxId>",
    "instruction of the bank": "<OrgnlInstrId>I-1</OrgnlInstrId>",
    "message and end to end id": "<OrgnlGrpInf><OrgnlMsgId>MSG-1</OrgnlMsgId></OrgnlGrpInf><OrgnlEndToEndId>E2E-1</OrgnlEndToEndId>",
}


@pytest.mark.parametrize("named", NAMES.values(), ids=NAMES.keys())
@pytest.mark.parametrize("made", [returned, recalled, lambda named: answered(named=named)], ids=["004", "056", "029"])
def test_a_payment_is_found_by_any_of_its_names(made: Any, named: str) -> None:
    ids = f"<InstrId>I-1</InstrId><EndToEndId>E2E-1</EndToEndId><TxId>TX-1</TxId><UETR>{UETR}</UETR>"
    record = only(after_the_payment(made(named), pacs_008(transfer(ids=ids))))
    assert record.get("original_transaction_id", record["transaction_id"]) == UETR
    assert record["account_id"] == token(KEY, IBAN)


@pytest.mark.parametrize("made", [returned, recalled, lambda named: answered(named=named)], ids=["004", "056", "029"])
def test_an_end_to_end_id_alone_names_no_payment(made: Any) -> None:
    (refused,) = after_the_payment(made("<OrgnlEndToEndId>E2E-1</OrgnlEndToEndId>")).refused
    assert (refused.index, refused.reason) == (1, "missing")


@pytest.mark.parametrize(("version"), ["08", "10"])
def test_a_recall_for_fraud_is_a_chargeback(version: str) -> None:
    assert only(after_the_payment(recalled(version=version))) == {
        "feedback_id": "camt.056:COBADEFFXXX:CASE-1:CXL-1",
        "transaction_id": UETR,
        **OF_THE_PAYMENT,
        "kind": "chargeback",
        "verdict": "fraud",
        "actor": "chargeback:iso20022",
        "occurred_at": "2026-03-02T10:00:00Z",
    }


@pytest.mark.parametrize("reason", ["<Cd>DUPL</Cd>", "<Cd>TECH</Cd>", "<Cd>CUST</Cd>", "<Prtry>FRAUD?</Prtry>"])
def test_a_recall_for_an_error_is_no_fraud(reason: str) -> None:
    assert only(after_the_payment(recalled(reason=reason)))["verdict"] == "inconclusive"


def test_a_recall_without_a_reason_is_missing_it() -> None:
    (refused,) = after_the_payment(recalled(reason="")).refused
    assert refused.reason == "missing"
    assert refused.path.endswith("TxInf/CxlRsnInf/Rsn")


@pytest.mark.parametrize("version", ["09", "11"])
@pytest.mark.parametrize(("status", "verdict"), [("CNCL", "passed"), ("RJCR", "failed"), ("PDCR", "inconclusive")])
def test_the_answer_to_a_recall_is_feedback(status: str, verdict: str, version: str) -> None:
    record = only(after_the_payment(answered(status, version=version)))
    assert (record["kind"], record["verdict"], record["reason"]) == ("recall_answer", verdict, status.lower())
    assert record["feedback_id"] == "camt.029:ZABCGB9AXXX:CASE-1:S-1"


def test_an_answer_of_another_kind_is_refused() -> None:
    (refused,) = after_the_payment(answered("MODI")).refused
    assert (refused.reason, refused.path) == ("out_of_range", "/Document/RsltnOfInvstgtn/Sts/Conf")


@pytest.mark.parametrize(
    "document",
    [
        returned(more="<GrpRtr>true</GrpRtr>"),
        recalled().replace("<Undrlyg>", "<Undrlyg><OrgnlGrpInfAndCxl><GrpCxl>true</GrpCxl></OrgnlGrpInfAndCxl>"),
    ],
    ids=["pacs.004", "camt.056"],
)
def test_a_whole_message_cannot_be_returned_or_recalled(document: str) -> None:
    (refused,) = after_the_payment(document).refused
    assert (refused.index, refused.reason) == (None, "unsupported")


@pytest.mark.parametrize("wrapped", ["<Pty><Nm>U</Nm></Pty>", "<Nm>U</Nm>"])
def test_the_copy_names_on_whose_behalf_the_payment_was_with_and_without_the_wrapper_of_2019(wrapped: str) -> None:
    copy = COPY.replace("<OrgnlTxRef>", f"<OrgnlTxRef><UltmtDbtr>{wrapped}</UltmtDbtr>")
    for document in (returned(copy=copy), recalled(copy=copy)):
        assert only(read(document))["customer_id"] == token(KEY, "name/u")


def test_what_is_wrong_within_the_wrapper_is_told_by_its_place() -> None:
    copy = COPY.replace("<OrgnlTxRef>", f"<OrgnlTxRef><UltmtDbtr><Pty><Nm>{'u' * 141}</Nm></Pty></UltmtDbtr>")
    (refused,) = read(returned(copy=copy)).refused
    assert refused.path == "/Document/PmtRtr/TxInf/OrgnlTxRef/UltmtDbtr/Pty/Nm"
