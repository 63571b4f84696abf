"""pain.001 and pacs.008 of several senders: which record each payment becomes."""

from __future__ import annotations

import dataclasses
from zoneinfo import ZoneInfo

import pytest
from iso20022_messages import IBAN, KEY, NAMESPACE, PAYEE, TERMS, UETR, only, pacs_008, read, sample, transfer

from stream.contracts.token import token

FEDNOW = f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- as it comes from the service -->
<FedNowIncoming xmlns="urn:fednow:incoming:v001"><FedNowIncomingMessage><FedNowCustomerCreditTransfer>
<h:AppHdr xmlns:h="{NAMESPACE}head.001.001.02"><h:Fr><h:FIId><h:FinInstnId><h:ClrSysMmbId><h:MmbId>021040078</h:MmbId>
</h:ClrSysMmbId></h:FinInstnId></h:FIId></h:Fr><h:MsgDefIdr>pacs.008.001.08</h:MsgDefIdr></h:AppHdr>
<p:Document xmlns:p="{NAMESPACE}pacs.008.001.08"><p:FIToFICstmrCdtTrf><p:GrpHdr><p:MsgId>20260301021040078FDA1</p:MsgId>
<p:CreDtTm>2026-03-01T05:00:00-05:00</p:CreDtTm><p:NbOfTxs>1</p:NbOfTxs></p:GrpHdr><p:CdtTrfTxInf><p:PmtId>
<p:InstrId>I-7</p:InstrId><p:EndToEndId>NOTPROVIDED</p:EndToEndId></p:PmtId>
<p:IntrBkSttlmAmt Ccy="USD">12.34</p:IntrBkSttlmAmt>
<p:InstgAgt><p:FinInstnId><p:ClrSysMmbId><p:ClrSysId><p:Cd>USABA</p:Cd></p:ClrSysId><p:MmbId>021040078</p:MmbId>
</p:ClrSysMmbId></p:FinInstnId></p:InstgAgt>
<p:DbtrAcct><p:Id><p:Othr><p:Id>123</p:Id></p:Othr></p:Id></p:DbtrAcct>
<p:DbtrAgt><p:FinInstnId><p:ClrSysMmbId><p:ClrSysId><p:Cd>USABA</p:Cd></p:ClrSysId><p:MmbId>021040078</p:MmbId>
</p:ClrSysMmbId></p:FinInstnId></p:DbtrAgt>
<p:CdtrAgt><p:FinInstnId><p:ClrSysMmbId><p:ClrSysId><p:Cd>USABA</p:Cd></p:ClrSysId><p:MmbId>122238420</p:MmbId>
</p:ClrSysMmbId></p:FinInstnId></p:CdtrAgt>
<p:CdtrAcct><p:Id><p:Othr><p:Id>123</p:Id></p:Othr></p:Id></p:CdtrAcct>
</p:CdtTrfTxInf></p:FIToFICstmrCdtTrf></p:Document></FedNowCustomerCreditTransfer></FedNowIncomingMessage></FedNowIncoming>"""


def test_a_payment_between_ibans_is_read_whole() -> None:
    record = only(read(pacs_008(transfer(more="<Purp><Cd>SALA</Cd></Purp>"))))
    assert record == {
        "transaction_id": UETR,
        "account_id": token(KEY, IBAN),
        "payee_id": token(KEY, PAYEE),
        "event_time": "2026-03-01T10:00:00Z",
        "amount_minor": 100_000,
        "currency": "EUR",
        "account_amount_minor": 100_000,
        "channel": "api",
        "payee_country": "GB",
        "purpose": "SALA",
        "uetr": UETR,
    }


def test_the_wrapper_of_fednow_and_foreign_prefixes_are_read() -> None:
    conversion = read(FEDNOW)
    record = only(conversion)
    assert record["transaction_id"] == "USABA:021040078:I-7"
    assert record["event_time"] == "2026-03-01T10:00:00Z"
    assert (record["amount_minor"], record["currency"], record["payee_country"]) == (1234, "USD", "US")
    # the same number at two banks is two accounts
    assert record["account_id"] != record["payee_id"]
    original = conversion.records[0].original
    assert original is not None
    assert original.rail == "fednow"


@pytest.mark.parametrize("name", ["pacs.008.max", "pacs.008_stp.max", "pain.001.max", "pain.001.min"])
def test_samples_of_cbpr_are_read(name: str) -> None:
    record = only(read(sample(name)))
    assert (record["amount_minor"], record["currency"]) == (100_000, "EUR")
    assert record["transaction_id"] == record["uetr"]


@pytest.mark.parametrize(
    ("name", "path"), [("pacs.008.min", "CdtTrfTxInf/DbtrAcct"), ("pacs.004.min", "TxInf/OrgnlTxRef/DbtrAcct")]
)
def test_samples_without_an_account_are_missing_it(name: str, path: str) -> None:
    (refused,) = read(sample(name)).refused
    assert (refused.reason, refused.index) == ("missing", 1)
    assert refused.path.endswith(path)


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (f"<InstrId>I</InstrId><EndToEndId>E</EndToEndId><TxId>T</TxId><UETR>{UETR}</UETR>", UETR),
        ("<InstrId>I</InstrId><EndToEndId>E</EndToEndId><TxId>T-9</TxId>", "T-9"),
        ("<EndToEndId>E</EndToEndId><TxId>T/9</TxId>", token(KEY, "T/9")),
        ("<InstrId>I</InstrId><EndToEndId>E</EndToEndId>", "COBADEFFXXX:I"),
        ("<EndToEndId>E</EndToEndId>", token(KEY, "COBADEFFXXX/MSG-1//E")),
    ],
)
def test_a_payment_is_called_by_the_surest_of_its_names(ids: str, expected: str) -> None:
    assert only(read(pacs_008(transfer(ids=ids))))["transaction_id"] == expected


def test_a_payment_without_a_name_is_refused() -> None:
    (refused,) = read(pacs_008(transfer(ids="<EndToEndId>NOTPROVIDED</EndToEndId>"))).refused
    assert (refused.reason, refused.path) == ("missing", "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/PmtId")


def test_one_transaction_fails_alone() -> None:
    bad = transfer(
        ids="<EndToEndId>E</EndToEndId><TxId>T-2</TxId>", amount='<IntrBkSttlmAmt Ccy="EUR">1,5</IntrBkSttlmAmt>'
    )
    good = [transfer(ids=f"<EndToEndId>E</EndToEndId><TxId>T-{number}</TxId>") for number in (1, 3)]
    conversion = read(pacs_008(good[0] + bad + good[1]))
    assert [record.value.split(b'"')[3] for record in conversion.records] == [b"T-1", b"T-3"]
    (refused,) = conversion.refused
    assert (refused.definition, refused.index, refused.reason) == ("pacs.008.001.08", 2, "out_of_range")
    assert refused.path == "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf[2]/IntrBkSttlmAmt"


def test_the_same_id_twice_in_a_message_is_a_conflict() -> None:
    conversion = read(pacs_008(transfer() + transfer()))
    assert len(conversion.records) == 1
    assert [(one.index, one.reason) for one in conversion.refused] == [(2, "id_conflict")]


def test_a_message_that_says_another_number_of_transactions_is_refused_whole() -> None:
    conversion = read(pacs_008(transfer(), count=2))
    assert conversion.records == []
    (refused,) = conversion.refused
    assert (refused.index, refused.path) == (None, "/Document/FIToFICstmrCdtTrf/GrpHdr/NbOfTxs")


AMOUNTS = [
    ("EUR", "1", 100), ("EUR", "1.5", 150), ("EUR", "+1.50", 150), ("EUR", ".05", 5), ("EUR", "007.00", 700), ("EUR", "3.", 300),
    ("JPY", "1000", 1000), ("KWD", "1.005", 1005), ("CLF", "1.0001", 10_001), ("EUR", "0", 0), ("EUR", " 2.00 ", 200),
    ("EUR", "1,5", "out_of_range"), ("EUR", "1.005", "out_of_range"), ("EUR", "1.500", "out_of_range"),
    ("JPY", "1000.00", "out_of_range"), ("EUR", "-1", "out_of_range"), ("EUR", "1e3", "out_of_range"), ("EUR", "", "missing"),
    ("EUR", ".", "out_of_range"), ("EUR", "٣", "out_of_range"), ("EUR", "1 000", "out_of_range"), ("EUR", "NaN", "out_of_range"),
    ("eur", "1", "unknown_currency"), ("EURO", "1", "unknown_currency"), ("XXX", "1", "unknown_currency"),
    ("DEM", "1", "unknown_currency"), ("EUR", "10000000000000.01", "out_of_range"), ("EUR", "10000000000000.00", 10**15),
    ("EUR", "1234567890123456789", "out_of_range"),
]  # fmt: skip


@pytest.mark.parametrize(("currency", "text", "expected"), AMOUNTS)
def test_an_amount_has_the_decimals_of_its_currency(currency: str, text: str, expected: int | str) -> None:
    conversion = read(pacs_008(transfer(amount=f'<IntrBkSttlmAmt Ccy="{currency}">{text}</IntrBkSttlmAmt>')))
    found: int | str
    found = conversion.refused[0].reason if conversion.refused else only(conversion)["amount_minor"]
    assert found == expected


def test_the_instructed_amount_goes_before_the_settled_one() -> None:
    both = '<IntrBkSttlmAmt Ccy="EUR">90.00</IntrBkSttlmAmt><InstdAmt Ccy="JPY">15000</InstdAmt>'
    record = only(read(pacs_008(transfer(amount=both))))
    assert (record["amount_minor"], record["currency"], record["account_amount_minor"]) == (15_000, "JPY", 9_000)


TIMES = [
    ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z"),
    ("2026-03-01T10:00:00.1234567+01:00", "2026-03-01T09:00:00.123456Z"),
    ("2026-03-01T24:00:00Z", "2026-03-02T00:00:00Z"),
    ("2026-03-01T10:00:00", "2026-03-01T09:00:00Z"),
    ("2026-03-29T02:30:00", None),
    ("2026-10-25T02:30:00", None),
    ("2026-02-30T10:00:00Z", None),
    ("2026-03-01T10:00:60Z", None),
    ("2026-03-01", None),
    ("2026-03-01 10:00:00Z", None),
    ("2026-03-01T10:00:00+15:00", None),
]


@pytest.mark.parametrize(("text", "expected"), TIMES)
def test_times_have_an_offset_or_are_of_the_zone_that_is_set(text: str, expected: str | None) -> None:
    terms = dataclasses.replace(TERMS, zone=ZoneInfo("Europe/Berlin"))
    conversion = read(pacs_008(transfer(more=f"<AccptncDtTm>{text}</AccptncDtTm>")), terms)
    if expected is None:
        assert [one.reason for one in conversion.refused] == ["bad_time"]
    else:
        assert only(conversion)["event_time"] == expected


WRONG = [
    (transfer(ids="<EndToEndId>E</EndToEndId><TxId>" + "T" * 36 + "</TxId>"), "PmtId/TxId"),
    (transfer(ids=f"<EndToEndId>E</EndToEndId><UETR>{UETR.upper()}</UETR>"), "PmtId/UETR"),
    (transfer(ids=f"<EndToEndId>E</EndToEndId><UETR>{UETR}</UETR><UETR>{UETR}</UETR>"), "PmtId/UETR[2]"),
    (transfer(debtor="<DbtrAcct><Id><IBAN>DE89370400440532013001</IBAN></Id></DbtrAcct>"), "DbtrAcct/Id/IBAN"),
    (transfer(debtor="<DbtrAcct><Id><Othr><Id>" + "1" * 35 + "</Id></Othr></Id></DbtrAcct>"), "DbtrAcct/Id/Othr/Id"),
    (transfer(creditor_agent="<CdtrAgt><FinInstnId><BICFI>zabcgb9a</BICFI></FinInstnId></CdtrAgt>"), "CdtrAgt/FinInstnId/BICFI"),
    (transfer(creditor_agent="<CdtrAgt><FinInstnId><BICFI>ZABCQQ9A</BICFI></FinInstnId></CdtrAgt>"), "CdtrAgt/FinInstnId/BICFI"),
    (transfer(more="<Purp><Cd>TOOLONG</Cd></Purp>"), "Purp/Cd"),
    (transfer(more="<PmtTpInf><CtgyPurp><Prtry>" + "x" * 36 + "</Prtry></CtgyPurp></PmtTpInf>"), "PmtTpInf/CtgyPurp/Prtry"),
    (transfer(debtor=f"<Dbtr><CtryOfRes>GBR</CtryOfRes></Dbtr><DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct>"), "Dbtr/CtryOfRes"),
]  # fmt: skip


@pytest.mark.parametrize(("faulty", "path"), WRONG, ids=[path for _, path in WRONG])
def test_lengths_and_codes_are_checked(faulty: str, path: str) -> None:
    (refused,) = read(pacs_008(faulty)).refused
    assert (refused.reason, refused.index) == ("out_of_range", 1)
    assert refused.path == f"/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/{path}"


COUNTRIES = [
    ("<CdtrAgt><FinInstnId><BICFI>ZABCFR9A</BICFI></FinInstnId></CdtrAgt>", "<CdtrAcct><Id><Othr><Id>1</Id></Othr></Id></CdtrAcct>", "FR"),
    (
        "<CdtrAgt><FinInstnId><ClrSysMmbId><ClrSysId><Cd>DEBLZ</Cd></ClrSysId><MmbId>1</MmbId></ClrSysMmbId></FinInstnId></CdtrAgt>",
        "<Cdtr><PstlAdr><Ctry>US</Ctry></PstlAdr></Cdtr><CdtrAcct><Id><Othr><Id>1</Id></Othr></Id></CdtrAcct>", "DE",
    ),
    ("<CdtrAgt><FinInstnId/></CdtrAgt>", "<Cdtr><PstlAdr><Ctry>US</Ctry><AdrLine>Berlin, DE</AdrLine></PstlAdr></Cdtr>", "US"),
    ("<CdtrAgt><FinInstnId/></CdtrAgt>", "<Cdtr><PstlAdr><AdrLine>10 Main St, New York, US</AdrLine></PstlAdr></Cdtr>", None),
]  # fmt: skip


@pytest.mark.parametrize(("bank", "creditor", "expected"), COUNTRIES)
def test_the_payees_country_is_said_by_account_bank_clearing_or_address(
    bank: str, creditor: str, expected: str | None
) -> None:
    record = only(read(pacs_008(transfer(creditor_agent=bank, creditor=creditor))))
    assert record.get("payee_country") == expected


def test_a_number_without_its_bank_is_no_account() -> None:
    number = "<CdtrAcct><Id><Othr><Id>1</Id></Othr></Id></CdtrAcct>"
    (refused,) = read(pacs_008(transfer(creditor_agent="", creditor=number))).refused
    assert (refused.reason, refused.path) == ("missing", "/Document/FIToFICstmrCdtTrf/CdtTrfTxInf/CdtrAgt")


def test_a_bic_of_8_characters_is_that_of_the_head_office() -> None:
    accounts = set()
    for bic in ("COBADEFF", "COBADEFFXXX"):
        agent = f"<DbtrAgt><FinInstnId><BICFI>{bic}</BICFI></FinInstnId></DbtrAgt>"
        number = "<DbtrAcct><Id><Othr><Id>1</Id></Othr></Id></DbtrAcct>"
        accounts.add(only(read(pacs_008(transfer(debtor=number, debtor_agent=agent))))["account_id"])
    assert accounts == {token(KEY, "COBADEFFXXX/1")}


def test_a_proxy_is_an_account_of_its_own() -> None:
    proxy = "<CdtrAcct><Prxy><Tp><Cd>TELE</Cd></Tp><Id>+44-7700-900123</Id></Prxy></CdtrAcct>"
    assert only(read(pacs_008(transfer(creditor=proxy))))["payee_id"] == token(KEY, "proxy/TELE/+44-7700-900123")


def test_habits_are_the_ultimate_debtors() -> None:
    record = only(read(pacs_008(transfer(more="<UltmtDbtr><Nm>Anna  Smith</Nm></UltmtDbtr>"))))
    assert record["customer_id"] == token(KEY, "name/anna smith")
    assert record["account_id"] == token(KEY, IBAN)


def test_nothing_of_names_texts_or_numbers_stands_in_a_record() -> None:
    secret = "<RmtInf><Ustrd>SECRET text</Ustrd></RmtInf>"
    (record,) = read(
        pacs_008(
            transfer(
                debtor=f"<Dbtr><Nm>SECRET</Nm></Dbtr><DbtrAcct><Id><IBAN>{IBAN}</IBAN></Id></DbtrAcct>", more=secret
            )
        )
    ).records
    assert b"SECRET" not in record.value
    assert IBAN.encode() not in record.value


PAIN = """<Document xmlns="{ns}pain.001.001.{version}"><CstmrCdtTrfInitn><GrpHdr><MsgId>M</MsgId>
<CreDtTm>2026-03-01T10:00:00Z</CreDtTm><NbOfTxs>3</NbOfTxs></GrpHdr>
<PmtInf><PmtInfId>A</PmtInfId><PmtTpInf><CtgyPurp><Cd>SALA</Cd></CtgyPurp></PmtTpInf>
<DbtrAcct><Id><IBAN>{iban}</IBAN></Id></DbtrAcct><DbtrAgt><FinInstnId><{bic}>COBADEFF</{bic}></FinInstnId></DbtrAgt>
<CdtTrfTxInf><PmtId><EndToEndId>E1</EndToEndId></PmtId><Amt><InstdAmt Ccy="EUR">1</InstdAmt></Amt></CdtTrfTxInf>
<CdtTrfTxInf><PmtId><EndToEndId>E2</EndToEndId></PmtId><Amt><InstdAmt Ccy="EUR">2</InstdAmt></Amt></CdtTrfTxInf></PmtInf>
<PmtInf><PmtInfId>B</PmtInfId><DbtrAcct><Id><IBAN>{iban}</IBAN></Id></DbtrAcct>
<DbtrAgt><FinInstnId><{bic}>COBADEFF</{bic}></FinInstnId></DbtrAgt>
<CdtTrfTxInf><PmtId><EndToEndId>E1</EndToEndId></PmtId><Amt><EqvtAmt><Amt Ccy="EUR">3</Amt><CcyOfTrf>USD</CcyOfTrf></EqvtAmt></Amt>
</CdtTrfTxInf></PmtInf></CstmrCdtTrfInitn></Document>"""


@pytest.mark.parametrize(("version", "bic"), [("03", "BIC"), ("09", "BICFI"), ("12", "BICFI")])
def test_an_initiation_is_a_payment_for_each_transfer_of_each_block(version: str, bic: str) -> None:
    import orjson

    conversion = read(PAIN.format(ns=NAMESPACE, version=version, iban=IBAN, bic=bic))
    assert conversion.refused == []
    records = [orjson.loads(record.value) for record in conversion.records]
    assert [record["amount_minor"] for record in records] == [100, 200, 300]
    assert [record.get("scenario") for record in records] == ["bills_payroll", "bills_payroll", None]
    # EndToEndId is the sender's, here the same in both blocks
    assert len({record["transaction_id"] for record in records}) == 3
