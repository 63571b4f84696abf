"""Messages that riskstream writes: as the schemas of their versions want them, and the same bytes each time."""

from __future__ import annotations

import dataclasses
import importlib
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from iso20022_messages import NAMESPACE, UETR, pacs_008, read, transfer
from lxml import etree
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig
from xsdata.formats.dataclass.serializers import XmlSerializer

from stream.iso20022.answers import RECALL, STATUS_REPORT, recall, status_report
from stream.iso20022.case import Status
from stream.iso20022.original import REJECT_REASONS, Original, Rail

AT = datetime(2026, 3, 1, 10, 0, 1, 500_000, tzinfo=UTC)
STATES: list[Status] = ["ACTC", "PDNG", "RJCT"]
PAIN = (
    f'<Document xmlns="{NAMESPACE}pain.001.001.09"><CstmrCdtTrfInitn><GrpHdr><MsgId>M</MsgId><CreDtTm>2026-03-01T10:00:00Z</CreDtTm>'
    "</GrpHdr><PmtInf><DbtrAcct><Id><IBAN>DE89370400440532013000</IBAN></Id></DbtrAcct><CdtTrfTxInf><PmtId><EndToEndId>E</EndToEndId>"
    '</PmtId><Amt><InstdAmt Ccy="EUR">1.5</InstdAmt></Amt></CdtTrfTxInf></PmtInf></CstmrCdtTrfInitn></Document>'
)
CLEARING = "<{0}><FinInstnId><ClrSysMmbId><ClrSysId><Cd>USABA</Cd></ClrSysId><MmbId>021040078</MmbId></ClrSysMmbId></FinInstnId></{0}>"
SOURCES = {
    "all ids": pacs_008(transfer(more="<IntrBkSttlmDt>2026-03-01</IntrBkSttlmDt>")),
    "not provided": pacs_008(transfer(ids=f"<EndToEndId>NOTPROVIDED</EndToEndId><UETR>{UETR}</UETR>")),
    "clearing system": pacs_008(transfer(more=CLEARING.format("InstgAgt") + CLEARING.format("InstdAgt"))),
    "an initiation": PAIN,
}


def original(source: str) -> Original:
    (record,) = read(source).records
    assert record.original is not None
    return record.original


def problems(value: Any, where: str = "") -> list[str]:
    """What the generated classes say is wrong with what was read: required parts, lengths, patterns."""
    found: list[str] = []
    for field in dataclasses.fields(value):
        here, content, rule = f"{where}/{field.name}", getattr(value, field.name), field.metadata
        items = content if isinstance(content, list) else [] if content is None else [content]
        if (rule.get("required") and not items) or len(items) < rule.get("min_occurs", 0):
            found.append(f"{here} is missing")
        for item in items:
            if dataclasses.is_dataclass(item):
                found += problems(item, here)
            elif isinstance(item, str):
                if not rule.get("min_length", 0) <= len(item) <= rule.get("max_length", len(item)):
                    found.append(f"{here} has {len(item)} characters")
                if "pattern" in rule and not re.fullmatch(rule["pattern"], item):
                    found.append(f"{here} is not of its pattern")
    return found


def checked(message: bytes, definition: str) -> Any:
    """The message as the classes of its version read it; it says nothing that they do not know, in their order."""
    module = importlib.import_module(f"pyiso20022.{definition[:4]}.{definition.replace('.', '_')}")
    parser = XmlParser(config=ParserConfig(fail_on_unknown_properties=True, fail_on_converter_warnings=True))
    document = parser.from_bytes(message, module.Document)
    assert problems(document) == []
    again = etree.fromstring(XmlSerializer().render(document).encode())
    assert [element.tag for element in again.iter()] == [element.tag for element in etree.fromstring(message).iter()]
    return document


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
@pytest.mark.parametrize("status", STATES)
def test_a_status_report_is_one_of_its_version(source: str, status: Status) -> None:
    told = original(source)
    report = checked(status_report(told, status, AT), STATUS_REPORT).fito_fipmt_sts_rpt
    (transaction,) = report.tx_inf_and_sts
    assert transaction.tx_sts == status
    (group,) = [transaction.orgnl_grp_inf]
    assert (group.orgnl_msg_id, group.orgnl_msg_nm_id) == (told.message_id, told.definition)
    assert transaction.orgnl_uetr == told.uetr
    assert [reason.rsn.cd for reason in transaction.sts_rsn_inf] == (
        [REJECT_REASONS[told.rail]] if status == "RJCT" else []
    )


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES.keys())
def test_a_recall_is_one_of_its_version(source: str) -> None:
    told = original(source)
    request = checked(recall(told, AT), RECALL).fito_fipmt_cxl_req
    (transaction,) = request.undrlyg[0].tx_inf
    assert [reason.rsn.cd for reason in transaction.cxl_rsn_inf] == ["FRAD"]
    assert transaction.orgnl_uetr == told.uetr
    assert (str(transaction.orgnl_intr_bk_sttlm_amt.value), transaction.orgnl_intr_bk_sttlm_amt.ccy) == (
        told.amount,
        "EUR",
    )


def test_the_check_sees_what_is_missing_or_out_of_order() -> None:
    report = status_report(original(SOURCES["all ids"]), "ACTC", AT)
    without = re.sub(rb"<OrgnlMsgId>.*?</OrgnlMsgId>", b"", report)
    turned = re.sub(rb"(<OrgnlMsgId>.*?</OrgnlMsgId>)(<OrgnlMsgNmId>.*?</OrgnlMsgNmId>)", rb"\2\1", report)
    long = report.replace(b"<OrgnlMsgId>", b"<OrgnlMsgId>" + b"x" * 35)
    for wrong in (without, turned, long):
        with pytest.raises((AssertionError, TypeError)):
            checked(wrong, STATUS_REPORT)


def test_the_same_answer_has_the_same_bytes_and_another_one_another_id() -> None:
    told = original(SOURCES["all ids"])
    assert status_report(told, "ACTC", AT) == status_report(told, "ACTC", AT)
    ids = {re.findall(rb"<MsgId>(.*?)</MsgId>", status_report(told, status, AT))[0] for status in STATES}
    assert len(ids) == 3


RAILS: list[tuple[str, Rail]] = [
    (pacs_008(transfer(more="<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf>")), "sepa"),
    (pacs_008(transfer(more="<PmtTpInf><LclInstrm><Cd>INST</Cd></LclInstrm></PmtTpInf>")), "sepa"),
    (SOURCES["clearing system"], "fednow"),
    (
        f'<E><AppHdr xmlns="{NAMESPACE}head.001.001.02"><BizSvc>swift.cbprplus.03</BizSvc></AppHdr>{SOURCES["all ids"]}</E>',
        "cbpr",
    ),
    (SOURCES["all ids"], "other"),
]


@pytest.mark.parametrize(("source", "rail"), RAILS, ids=[f"{rail}-{n}" for n, (_, rail) in enumerate(RAILS)])
def test_a_refusal_speaks_the_words_of_its_rail(source: str, rail: Rail) -> None:
    told = original(source)
    assert told.rail == rail
    assert f"<Cd>{REJECT_REASONS[rail]}</Cd>".encode() in status_report(told, "RJCT", AT)
    assert b"<Cd>ZZ99</Cd>" in status_report(told, "RJCT", AT, {**REJECT_REASONS, rail: "ZZ99"})
