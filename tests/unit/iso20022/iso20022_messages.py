"""Messages of several senders, as small as they may be, and what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from stream.iso20022.converter import Conversion, Seen, convert
from stream.iso20022.terms import ReadingTerms

MESSAGES = Path(__file__).parent / "messages"
KEY = b"a key of tests, of no bank"
TERMS = ReadingTerms(KEY)
UETR = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
IBAN = "DE89370400440532013000"
PAYEE = "GB87UVWX12345623456789"
NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"


def pacs_008(
    transfers: str, *, version: str = "08", header: str = "", count: int | None = None, created: str = "2026-03-01T10:00:00Z"
) -> str:  # fmt: skip
    """A Document with these ``CdtTrfTxInf``."""
    number = transfers.count("<CdtTrfTxInf>") if count is None else count
    return (
        f'<Document xmlns="{NAMESPACE}pacs.008.001.{version}"><FIToFICstmrCdtTrf><GrpHdr><MsgId>MSG-1</MsgId>'
        f"<CreDtTm>{created}</CreDtTm><NbOfTxs>{number}</NbOfTxs><SttlmInf><SttlmMtd>CLRG</SttlmMtd></SttlmInf>{header}"
        f"</GrpHdr>{transfers}</FIToFICstmrCdtTrf></Document>"
    )


def transfer(
    *,
    ids: str = f"<EndToEndId>E2E-1</EndToEndId><TxId>TX-1</TxId><UETR>{UETR}</UETR>",
    amount: str = '<IntrBkSttlmAmt Ccy="EUR">1000.00</IntrBkSttlmAmt>',
    debtor: str = f"<Dbtr><Nm>A</Nm></Dbtr><DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct>",
    debtor_agent: str = "<DbtrAgt><FinInstnId><BICFI>COBADEFF</BICFI></FinInstnId></DbtrAgt>",
    creditor_agent: str = "<CdtrAgt><FinInstnId><BICFI>ZABCGB9AXXX</BICFI></FinInstnId></CdtrAgt>",
    creditor: str = f"<Cdtr><Nm>B</Nm></Cdtr><CdtrAcct><Id><IBAN>{PAYEE}</IBAN></Id></CdtrAcct>",
    more: str = "",
) -> str:
    """A ``CdtTrfTxInf`` of pacs.008."""
    return (
        f"<CdtTrfTxInf><PmtId>{ids}</PmtId>{amount}<ChrgBr>SLEV</ChrgBr>{more}{debtor}{debtor_agent}{creditor_agent}"
        f"{creditor}</CdtTrfTxInf>"
    )


def read(document: str | bytes, terms: ReadingTerms = TERMS, seen: Seen | None = None) -> Conversion:
    """What becomes of a document."""
    return convert(document if isinstance(document, bytes) else document.encode(), terms, seen or Seen())


def only(conversion: Conversion) -> dict[str, Any]:
    """Its one record."""
    assert conversion.refused == []
    (record,) = conversion.records
    document: dict[str, Any] = orjson.loads(record.value)
    return document


def sample(name: str) -> bytes:
    """A message of the samples by its name."""
    return (MESSAGES / f"{name}.xml").read_bytes()
