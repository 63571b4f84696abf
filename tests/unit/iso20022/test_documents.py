"""Documents as they come from outside: envelopes, encodings, versions, and what is no message."""

from __future__ import annotations

import dataclasses

import pytest
from iso20022_messages import NAMESPACE, TERMS, UETR, only, pacs_008, read, transfer

from stream.iso20022.limits import DocumentLimits
from stream.iso20022.names import tags

GOOD = pacs_008(transfer())
HEADER = f'<AppHdr xmlns="{NAMESPACE}head.001.001.02"><MsgDefIdr>{{}}</MsgDefIdr></AppHdr>'

ENVELOPES = {
    "a document alone": GOOD,
    "an envelope with a header": f"<Envelope>{HEADER.format('pacs.008.001.08')}{GOOD}</Envelope>",
    "business messages": f"<x:BizMsg xmlns:x='urn:x'><x:Body>{HEADER.format('pacs.008.001.08')}{GOOD}</x:Body></x:BizMsg>",
    "soap": f"<s:Envelope xmlns:s='http://schemas.xmlsoap.org/soap/envelope/'><s:Body>{GOOD}</s:Body></s:Envelope>",
    "a prefix": GOOD.replace("xmlns=", "xmlns:q=").replace("<", "<q:").replace("<q:/", "</q:"),
    "a comment and an instruction before": f"<!-- from us --><?go on?>{GOOD}",
    "no namespace": GOOD.replace(f' xmlns="{NAMESPACE}pacs.008.001.08"', ""),
    "no document": GOOD.replace(f'<Document xmlns="{NAMESPACE}pacs.008.001.08">', "").replace("</Document>", ""),
    "a comment inside a value": GOOD.replace("TX-1", "TX<!-- cut -->-1").replace("MSG-1", "<![CDATA[MSG]]>-1"),
    "a foreign element inside": GOOD.replace(
        "<ChrgBr>", "<o:InstdAmt xmlns:o='urn:o' Ccy='JPY'>5</o:InstdAmt><ChrgBr>"
    ),
}


@pytest.mark.parametrize("document", ENVELOPES.values(), ids=ENVELOPES.keys())
def test_a_message_is_the_same_in_any_envelope(document: str) -> None:
    assert only(read(document)) == only(read(GOOD))


@pytest.mark.parametrize(
    "encoded",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        f'<?xml version="1.0" encoding="UTF-16"?>{GOOD}'.encode("utf-16"),
        f'<?xml version="1.0" encoding="ISO-8859-1"?>{GOOD.replace("<Nm>A", "<Nm>Ä")}'.encode("latin-1"),
        f'<?xml version="1.0" encoding="windows-1252"?>{GOOD.replace("<Nm>A", "<Nm>€")}'.encode("cp1252"),
        GOOD.replace("<Nm>A", "<Nm>王").encode(),
    ],
    ids=["utf-8 with a mark", "utf-16", "latin-1", "windows-1252", "utf-8"],
)
def test_a_message_is_the_same_in_any_encoding(encoded: bytes) -> None:
    assert only(read(encoded)) == only(read(GOOD))


@pytest.mark.parametrize("version", ["02", "06", "08", "10", "12"])
def test_versions_of_a_message_are_read_alike(version: str) -> None:
    assert only(read(pacs_008(transfer(), version=version))) == only(read(GOOD))


def test_several_documents_in_an_envelope_are_all_read() -> None:
    second = pacs_008(transfer(ids="<EndToEndId>E</EndToEndId><TxId>T-2</TxId>"))
    conversion = read(
        f"<All><One>{GOOD}</One><One><Document xmlns='{NAMESPACE}pacs.009.001.08'><A/></Document></One>{second}</All>"
    )
    assert [record.value.split(b'"')[3].decode() for record in conversion.records] == [UETR, "T-2"]
    assert [(one.definition, one.reason) for one in conversion.refused] == [("pacs.009.001.08", "unsupported")]


REFUSED = {
    "nothing": (b"", "malformed"),
    "no XML": (b"{}", "malformed"),
    "cut": (GOOD.encode()[:-30], "malformed"),
    "bytes of no encoding": (GOOD.replace("<Nm>A", "<Nm>\udcff").encode("utf-8", "surrogateescape"), "malformed"),
    "UTF-7": (b'<?xml version="1.0" encoding="UTF-7"?>' + GOOD.encode(), "malformed"),
    "no message": (b"<a/>", "unsupported"),
    "a message that is not read": (f'<Document xmlns="{NAMESPACE}camt.053.001.08"><BkToCstmrStmt/></Document>'.encode(), "unsupported"),
    "a version that nobody knows": (pacs_008(transfer(), version="77").encode(), "unsupported"),
    "another message's root": (GOOD.replace("pacs.008.001.08", "pacs.009.001.08").encode(), "out_of_range"),
    "a header of another message": (f"<E>{HEADER.format('pacs.009.001.08')}{GOOD}</E>".encode(), "out_of_range"),
    "a document type": (b"<!DOCTYPE Document>" + GOOD.encode(), "malformed"),
    "an entity": (b'<!DOCTYPE a [<!ENTITY e "1000.00">]>' + GOOD.replace("1000.00", "&e;").encode(), "malformed"),
    "a file of this machine": (b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + GOOD.replace("<Nm>A", "<Nm>&e;").encode(), "malformed"),
    "an entity in UTF-16": (f'<!DOCTYPE a [<!ENTITY e "1">]>{GOOD}'.encode("utf-16"), "malformed"),
    "a defaulted attribute": (b'<!DOCTYPE a [<!ATTLIST IntrBkSttlmAmt Ccy CDATA "JPY">]>' + GOOD.encode(), "malformed"),
    "deep": (GOOD.replace("<ChrgBr>", "<A>" * 80 + "</A>" * 80 + "<ChrgBr>").encode(), "malformed"),
    "deeper than the parser reads": (b"<a>" * 5_000 + b"</a>" * 5_000, "malformed"),
    "a deep envelope": (("<a>" * 70 + GOOD + "</a>" * 70).encode(), "malformed"),
}  # fmt: skip


@pytest.mark.parametrize(("document", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_message_is_refused(document: bytes, reason: str) -> None:
    conversion = read(document)
    assert conversion.records == []
    assert [one.reason for one in conversion.refused] == [reason]


def test_a_document_beyond_the_limit_is_too_large() -> None:
    terms = dataclasses.replace(TERMS, limits=DocumentLimits(size=len(GOOD) - 1))
    assert [one.reason for one in read(GOOD, terms).refused] == ["too_large"]
    assert not read(GOOD, dataclasses.replace(TERMS, limits=DocumentLimits(size=len(GOOD)))).refused


def test_entities_that_grow_are_not_expanded() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    document = f'<!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]>{GOOD.replace("<Nm>A", "<Nm>&l9;")}'
    assert [one.reason for one in read(document).refused] == ["malformed"]


def test_a_refusal_says_nothing_of_the_payload() -> None:
    document = pacs_008(transfer(ids="<EndToEndId>SECRET</EndToEndId><TxId>" + "SECRET" * 10 + "</TxId>"))
    for conversion in (read(document), read("<SECRET>" + document), read(f"<SECRET>{document}</SECRET>")):
        refusal = conversion.refusal
        assert refusal is not None
        assert "SECRET" not in refusal.message


def test_one_refusal_stands_for_many() -> None:
    faults = "".join(transfer(ids=f"<EndToEndId>E</EndToEndId><TxId>{'T' * 36}{n}</TxId>") for n in range(30))
    refusal = read(pacs_008(faults)).refusal
    assert refusal is not None
    assert refusal.reason == "out_of_range"
    assert refusal.message.startswith(
        "out_of_range: pacs.008.001.08, transaction 1, /Document/FIToFICstmrCdtTrf/CdtTrfTxInf[1]/PmtId/TxId: "
    )
    assert refusal.message.endswith("; 10 more")


def test_a_namespace_longer_than_any_is_refused_and_never_kept() -> None:
    """Its tags are kept by namespace for the next document: without a bound a sender could fill the memory."""
    before = tags.cache_info().currsize
    document = pacs_008(transfer()).replace(f'"{NAMESPACE}', f'"{"x" * 300}{NAMESPACE}')
    (refused,) = read(document).refused
    assert (refused.reason, "namespace" in refused.message) == ("out_of_range", True)
    assert tags.cache_info().currsize == before
