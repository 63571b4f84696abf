"""``NbOfTxs`` and ``CtrlSum``: a message of which a part was lost or changed on its way is refused whole."""

from __future__ import annotations

import pytest
from iso20022_messages import IBAN, NAMESPACE, pacs_008, read, transfer

GROUP = "/Document/FIToFICstmrCdtTrf/GrpHdr"


def of(*amounts: tuple[str, str], control: str = "", count: int | None = None) -> str:
    """A pacs.008 of these currencies and amounts."""
    transfers = "".join(
        transfer(ids=f"<EndToEndId>E-{n}</EndToEndId><TxId>T-{n}</TxId>", amount=f"<IntrBkSttlmAmt Ccy='{code}'>{amount}</IntrBkSttlmAmt>")
        for n, (code, amount) in enumerate(amounts)
    )  # fmt: skip
    return pacs_008(transfers, count=count, header=f"<CtrlSum>{control}</CtrlSum>" if control else "")


def initiation(control: str, block: str = "", amounts: tuple[str, str] = ("10.50", "2")) -> str:
    transfers = "".join(
        f"<CdtTrfTxInf><PmtId><EndToEndId>E-{n}</EndToEndId></PmtId><Amt><InstdAmt Ccy='EUR'>{amount}</InstdAmt></Amt></CdtTrfTxInf>"
        for n, amount in enumerate(amounts)
    )
    return (
        f"<Document xmlns='{NAMESPACE}pain.001.001.09'><CstmrCdtTrfInitn><GrpHdr><MsgId>M</MsgId><CreDtTm>2026-03-01T10:00:00Z</CreDtTm>"
        f"<NbOfTxs>2</NbOfTxs><CtrlSum>{control}</CtrlSum></GrpHdr><PmtInf><PmtInfId>P</PmtInfId><CtrlSum>{block or control}</CtrlSum>"
        f"<DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct><DbtrAgt><FinInstnId><BICFI>COBADEFF</BICFI></FinInstnId></DbtrAgt>"
        f"{transfers}</PmtInf></CstmrCdtTrfInitn></Document>"
    )


@pytest.mark.parametrize(
    "document",
    [
        of(("EUR", "10.50"), ("EUR", "2")),
        of(("EUR", "10.50"), ("EUR", "2"), control="12.5"),
        of(("EUR", "10.50"), ("EUR", "2"), control="+0012.500"),
        of(("EUR", "10.50"), ("JPY", "1000"), ("KWD", "0.125"), control="1010.625"),
        of(("EUR", "0.10"), ("EUR", "0.20"), control=".3"),
        initiation("12.50"),
        initiation("12.50", "12.5"),
    ],
)
def test_the_sum_of_what_is_written_whatever_the_currency_is_right(document: str) -> None:
    conversion = read(document)
    assert conversion.refused == []
    assert len(conversion.records) >= 2


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (of(("EUR", "10.50"), ("EUR", "2"), control="12.51"), f"{GROUP}/CtrlSum"),
        (of(("EUR", "10.50"), ("JPY", "1000"), control="1010.51"), f"{GROUP}/CtrlSum"),
        (of(("EUR", "10.50"), ("EUR", "2"), control="12,50"), f"{GROUP}/CtrlSum"),
        (of(("EUR", "10.50"), ("EUR", "2"), control="NaN"), f"{GROUP}/CtrlSum"),
        (of(("EUR", "10.50"), ("EUR", "2"), control="12.50", count=3), f"{GROUP}/NbOfTxs"),
        (initiation("12.51"), "/Document/CstmrCdtTrfInitn/PmtInf/CtrlSum"),
        (initiation("12.50", "10.50"), "/Document/CstmrCdtTrfInitn/PmtInf/CtrlSum"),
        (initiation("1", "12.50"), "/Document/CstmrCdtTrfInitn/GrpHdr/CtrlSum"),
    ],
)
def test_another_sum_or_number_refuses_the_whole_message(document: str, path: str) -> None:
    conversion = read(document)
    assert conversion.records == []
    ((reason, found),) = [(one.reason, one.path) for one in conversion.refused]
    assert (reason, found) == ("out_of_range", path)


def test_an_amount_that_is_none_is_refused_by_itself_and_leaves_the_others() -> None:
    conversion = read(of(("EUR", "1,5"), ("EUR", "2"), control="3.5"))
    assert len(conversion.records) == 1
    assert [(one.index, one.reason) for one in conversion.refused] == [(1, "out_of_range")]


def test_a_return_of_another_sum_is_refused() -> None:
    document = (
        f"<Document xmlns='{NAMESPACE}pacs.004.001.09'><PmtRtr><GrpHdr><MsgId>R</MsgId><CreDtTm>2026-03-02T10:00:00Z</CreDtTm>"
        "<NbOfTxs>1</NbOfTxs><CtrlSum>41</CtrlSum></GrpHdr><TxInf><RtrdIntrBkSttlmAmt Ccy='EUR'>40</RtrdIntrBkSttlmAmt></TxInf>"
        "</PmtRtr></Document>"
    )
    (refused,) = read(document).refused
    assert refused.path == "/Document/PmtRtr/GrpHdr/CtrlSum"


def recall(control: str, *amounts: str, count: int | None = None, copy: bool = False) -> str:
    """A camt.056 that asks for payments of these amounts, which stand in the copy of the payment where ``copy`` says so."""
    transactions = ""
    for n, amount in enumerate(amounts):
        own, inside = (
            f"<OrgnlIntrBkSttlmAmt Ccy='EUR'>{amount}</OrgnlIntrBkSttlmAmt>",
            f"<IntrBkSttlmAmt Ccy='EUR'>{amount}</IntrBkSttlmAmt>",
        )
        transactions += (
            f"<TxInf><CxlId>C-{n}</CxlId><OrgnlTxId>T-{n}</OrgnlTxId>{own if amount and not copy else ''}"
            f"<CxlRsnInf><Rsn><Cd>FRAD</Cd></Rsn></CxlRsnInf><OrgnlTxRef>{inside if amount and copy else ''}<DbtrAgt><FinInstnId>"
            f"<BICFI>COBADEFF</BICFI></FinInstnId></DbtrAgt><DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct></OrgnlTxRef></TxInf>"
        )
    return (
        f"<Document xmlns='{NAMESPACE}camt.056.001.08'><FIToFIPmtCxlReq><Assgnmt><Id>A</Id><Assgnr><Agt><FinInstnId><BICFI>COBADEFF</BICFI>"
        "</FinInstnId></Agt></Assgnr><CreDtTm>2026-03-02T10:00:00Z</CreDtTm></Assgnmt>"
        f"<CtrlData><NbOfTxs>{len(amounts) if count is None else count}</NbOfTxs><CtrlSum>{control}</CtrlSum></CtrlData>"
        f"<Undrlyg>{transactions}</Undrlyg></FIToFIPmtCxlReq></Document>"
    )


@pytest.mark.parametrize("copy", [False, True])
def test_a_recall_of_the_sum_that_it_says_is_read(copy: bool) -> None:
    conversion = read(recall("42.50", "40", "2.5", copy=copy))
    assert conversion.refused == []
    assert len(conversion.records) == 2


def test_a_recall_that_leaves_an_amount_out_is_not_measured_by_its_sum() -> None:
    conversion = read(recall("42.50", "40", ""))
    assert (len(conversion.records), conversion.refused) == (2, [])


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (recall("42.51", "40", "2.5"), "CtrlSum"),
        (recall("42.51", "40", "2.5", copy=True), "CtrlSum"),
        (recall("42,50", "40", "2.5"), "CtrlSum"),
        (recall("42.50", "40", "2.5", count=3), "NbOfTxs"),
    ],
)
def test_a_recall_of_another_sum_or_number_is_refused_whole(document: str, name: str) -> None:
    conversion = read(document)
    assert conversion.records == []
    ((reason, path),) = [(one.reason, one.path) for one in conversion.refused]
    assert (reason, path) == ("out_of_range", f"/Document/FIToFIPmtCxlReq/CtrlData/{name}")
