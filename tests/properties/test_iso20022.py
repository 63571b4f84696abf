"""Messages of any form: the same records in any envelope, every currency exact, and of anything records or refusals alone."""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "iso20022"))  # messages of its tests

from iso20022_messages import KEY, MESSAGES, NAMESPACE, TERMS, only, pacs_008, read, transfer

from stream.contracts.currency import MINOR_UNIT_DIGITS, is_in_use
from stream.contracts.feedback import read_feedback
from stream.contracts.refusal import REASONS
from stream.contracts.token import token
from stream.contracts.transaction import MAX_AMOUNT, read_transaction
from stream.iso20022.answers import recall, status_report
from stream.iso20022.converter import Converted, Seen

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CURRENCIES = sorted(code for code in MINOR_UNIT_DIGITS if is_in_use(code, NOW))
GOOD = pacs_008(transfer())
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"], exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=35,
)


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@pytest.mark.parametrize("currency", CURRENCIES)
@given(minor=st.integers(0, MAX_AMOUNT), zeros=st.integers(0, 3))
@settings(max_examples=15)
def test_every_amount_of_every_currency_is_exact(currency: str, minor: int, zeros: int) -> None:
    digits = MINOR_UNIT_DIGITS[currency]
    text = "0" * zeros + f"{Decimal(minor).scaleb(-digits):f}"
    record = only(read(pacs_008(transfer(amount=f'<IntrBkSttlmAmt Ccy="{currency}">{text}</IntrBkSttlmAmt>'))))
    assert (record["amount_minor"], record["currency"]) == (minor, currency)
    beyond = f"{text}{'' if digits else '.'}0"
    assert read(pacs_008(transfer(amount=f'<IntrBkSttlmAmt Ccy="{currency}">{beyond}</IntrBkSttlmAmt>'))).refused


@given(
    names=st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,12}", fullmatch=True), max_size=6),
    namespace=st.sampled_from(["", "urn:x", "urn:fednow:incoming:v001"]),
    prefix=st.sampled_from(["", "a", "Document", "x-1"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "ascii"]),
    header=st.booleans(),
    comment=st.booleans(),
)  # fmt: skip
def test_any_envelope_gives_the_same_record(
    names: list[str], namespace: str, prefix: str, encoding: str, header: bool, comment: bool
) -> None:
    inner = GOOD
    if prefix:
        inner = (
            inner.replace("xmlns=", f"xmlns:{prefix}=")
            .replace("<", f"<{prefix}:")
            .replace(f"<{prefix}:/", f"</{prefix}:")
        )
    if header:
        inner = f'<AppHdr xmlns="{NAMESPACE}head.001.001.02"><MsgDefIdr>pacs.008.001.08</MsgDefIdr></AppHdr>{inner}'
        names = [*names, "Envelope"]
    for name in reversed(names):
        if name not in ("AppHdr", "Document") and not name.lower().startswith("xml"):
            inner = f'<e:{name} xmlns:e="{namespace}">{inner}</e:{name}>' if namespace else f"<{name}>{inner}</{name}>"
    said = encoding.removesuffix("-sig").upper()
    document = f'<?xml version="1.0" encoding="{said}"?>{"<!-- x -->" if comment else ""}{inner}'
    assert only(read(document.encode(encoding))) == only(read(GOOD))


@given(tx=TEXTS, end_to_end=TEXTS, account=st.text("0123456789/-ABC", min_size=1, max_size=34))
def test_any_texts_give_a_record_of_the_contract_and_answers_that_repeat_them(
    tx: str, end_to_end: str, account: str
) -> None:
    ids = f"<EndToEndId>{escaped(end_to_end)}</EndToEndId><TxId>{escaped(tx)}</TxId>"
    debtor = f"<DbtrAcct><Id><Othr><Id>{account}</Id></Othr></Id></DbtrAcct>"
    conversion = read(pacs_008(transfer(ids=ids, debtor=debtor)))
    record = only(conversion)
    assert record["account_id"] == token(KEY, f"COBADEFFXXX/{account}")
    original = conversion.records[0].original
    assert original is not None
    for answer in (status_report(original, "RJCT", NOW), recall(original, NOW)):
        for text in (tx, end_to_end):
            assert escaped(text).encode() in answer


@given(first=st.integers(1, 60), failing=st.sets(st.integers(1, 60)))
def test_what_fails_and_what_is_read_are_all_there_is(first: int, failing: set[int]) -> None:
    transfers = [
        transfer(ids=f"<EndToEndId>E</EndToEndId><TxId>T-{number}</TxId>", amount='<IntrBkSttlmAmt Ccy="EUR">{}</IntrBkSttlmAmt>'.format("x" if number in failing else "1"))
        for number in range(1, first + 1)
    ]  # fmt: skip
    conversion = read(pacs_008("".join(transfers)))
    wrong = sorted(number for number in failing if number <= first)
    assert [one.index for one in conversion.refused] == wrong
    assert [orjson.loads(one.value)["transaction_id"] for one in conversion.records] == [
        f"T-{number}" for number in range(1, first + 1) if number not in wrong
    ]


SAMPLES = [path.read_bytes() for path in sorted(MESSAGES.glob("*.xml"))] + [GOOD.encode()]
PIECES = [b"<", b">", b"/", b"&", b"&amp;", b"<!--", b"]]>", b"<![CDATA[", b'"', b"\0", b"\xff", b"\xef\xbb\xbf", b"9" * 40, b"-1", b"1,5", b"<!DOCTYPE a>", b"<a/>", b" xmlns='urn:x'", b"NOTPROVIDED", "٣".encode(), b"\xf0\x9f\x92\xb6", b"\r\n"]  # fmt: skip


def mutated(random_source: random.Random) -> bytes:
    data = bytearray(random_source.choice(SAMPLES))
    for _ in range(random_source.randint(1, 6)):
        at = random_source.randrange(len(data) + 1)
        what = random_source.randrange(5)
        if what == 0:
            del data[at : at + random_source.randint(1, 60)]
        elif what == 1:
            data[at:at] = random_source.choice(PIECES)
        elif what == 2 and at < len(data):
            data[at] = random_source.randrange(256)
        elif what == 3:
            start = random_source.randrange(len(data) + 1)
            data[at:at] = data[start : start + random_source.randint(1, 400)]
        else:  # the text of an element
            start, stop = data.find(b">", at), data.find(b"</", at)
            if 0 < start < stop:
                data[start + 1 : stop] = random_source.choice(PIECES)
    return bytes(data)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=400)
def test_of_anything_there_are_records_of_the_contract_and_refusals_and_nothing_else(seed: int) -> None:
    seen = Seen()
    for record in read(GOOD).records:
        assert record.original is not None
        seen.add(record.original)
    conversion = read(mutated(random.Random(seed)), TERMS, seen)
    assert conversion.parts
    for part in conversion.parts:
        if not isinstance(part, Converted):
            assert part.reason in REASONS
            assert part.message
        elif part.topic == "transaction":
            document = orjson.loads(part.value)
            assert ("original_transaction_id" in document) == ("type" in document)
            assert read_transaction(part.value).owner.encode() == part.key
        else:
            assert read_feedback(part.value).owner.encode() == part.key
