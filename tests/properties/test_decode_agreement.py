"""However a record is bent, the scanner and the reference say the same and write the same bytes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.arrays import rfc3339
from stream.core.edge import decode
from stream.core.edge.decode import decode_transactions
from stream.core.edge.field_scan import REFERENCE

NOW_MS = 1_795_478_400_000
EXAMPLES = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

WHOLE = {
    "transaction_id": "t-1", "account_id": "a-1", "customer_id": "c-1", "payee_id": "p-1",
    "event_time": "2026-11-24T08:00:00.123+08:00", "decide_by": "2026-11-24T00:00:01Z", "amount_minor": 12345,
    "account_amount_minor": 900, "currency": "CNY", "channel": "app", "scenario": "person_transfer", "country": "CN",
    "lat": 31.2304, "lon": -121.47370000000001, "device_id": "d-1", "payee_country": "GB", "payee_kind": "person",
    "purpose": "房租 November", "slips": ["mistyped_name", "x"], "name_check": "close", "type": "payment",
    "original_transaction_id": "t-0", "uetr": "8a562c67-ca16-48ba-b074-65581be6f011", "balance_minor": -5_000,
    "customer": {"segment": "retail", "age_band": "65+", "home_country": "CN", "vulnerable": True},
}  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            "app",
            "CNY",
            "HRK",
            "CN",
            "person",
            "match",
            "payment",
            "reversal",
            "65+",
            "房租",
            "a b",
            "x" * 64,
            "x" * 65,
        ]
    ),
    st.sampled_from(
        [
            "2026-02-29T00:00:00Z",
            "2022-12-31T23:59:59.999Z",
            "2023-01-01T00:00:00+01:00",
            "2023-01-01T00:00:00Z",
            "2024-02-29T00:00:00.9999999-23:59",
            "2016-12-31T23:59:60Z",
            "2026-11-24",
            "8a562c67-ca16-48ba-b074-65581be6f011",
            "8A562C67-CA16-48BA-B074-65581BE6F011",
            "8a562c67-ca16-18ba-b074-65581be6f011",
            "8a562c67-ca16-48ba-7074-65581be6f011",
        ]
    ),
    st.text(max_size=12),
)
NUMBERS = st.one_of(
    st.integers(-2, 2),
    st.integers(-(10**20), 10**20),
    st.sampled_from([10**15, 10**15 + 1, 2**63, 2**64, 91, -181]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-200, 200),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=9), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)
CUSTOMERS = st.dictionaries(st.sampled_from(["segment", "age_band", "home_country", "vulnerable", "x"]), LEAVES)
FIELDS = st.sampled_from([*WHOLE, "unknown", "Channel", ""])
CHANGES = st.dictionaries(FIELDS, st.one_of(VALUES, CUSTOMERS, st.lists(TEXTS, max_size=9)), max_size=4)
PIECES = st.sampled_from(
    [b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"1e5", b".5", b"-", b"null", b"true", b" ", b"\n", b"\0",
     b"\\u0041", b"\\ud83d", b"\\ud83d\\ude00", b"\xe6\x88\xbf", b"\xff", b"\xed\xa0\x80", b'"amount_minor":1,', b"NaN",
     b'"customer":{', b'"slips":[', b"\x1f", b"9" * 25]
)  # fmt: skip


def verdicts(values: list[bytes]) -> tuple[Any, ...]:
    count = len(values)
    decoded = decode_transactions(values, np.arange(count), np.full(count, NOW_MS), 0, 1, future_ms=300_000)
    refused = [(refusal.index, refusal.reason, refusal.message) for refusal in decoded.refused]
    return decoded.columns.tobytes(), decoded.accepted.tolist(), refused


def assert_both_agree(values: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = verdicts(values)
    with monkeypatch.context() as patch:
        patch.setattr(decode, "scan", lambda *arguments: arguments[-1].fill(REFERENCE))
        assert whole == verdicts(values)
    accepted = sum(len(verdicts([value])[1]) for value in values)
    assert accepted == len(whole[1])


@EXAMPLES
@given(st.lists(st.tuples(CHANGES, st.booleans(), st.sampled_from([None, 1]), st.randoms()), min_size=1, max_size=6))
def test_fields_of_any_value(monkeypatch: pytest.MonkeyPatch, changed: list[Any]) -> None:
    values = []
    for changes, escaped, indent, random in changed:
        document = list((WHOLE | changes).items())
        random.shuffle(document)
        values.append(json.dumps(dict(document), ensure_ascii=escaped, indent=indent).encode("utf-8", "surrogatepass"))
    assert_both_agree(values, monkeypatch)


@EXAMPLES
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 6), PIECES), max_size=3), min_size=1, max_size=6)
)
def test_bytes_cut_out_and_put_in_anywhere(monkeypatch: pytest.MonkeyPatch, bent: list[Any]) -> None:
    values = []
    for cuts in bent:
        value = json.dumps(WHOLE, ensure_ascii=False).encode()
        for at, cut, piece in cuts:
            value = value[:at] + piece + value[at + cut :]
        values.append(value)
    assert_both_agree(values, monkeypatch)


@pytest.mark.parametrize(
    ("currency", "event_time", "reason"),
    [
        ("HRK", "2022-06-01T09:00:00Z", None),
        ("HRK", "2022-12-31T23:59:59.999999Z", None),
        ("HRK", "2023-01-01T00:00:00Z", "unknown_currency"),
        ("BGN", "2025-12-31T12:00:00Z", None),
        ("BGN", "2026-01-01T00:00:00Z", "unknown_currency"),
        ("DEM", "2001-11-01T00:00:00Z", None),
        ("DEM", "2026-11-01T00:00:00Z", "unknown_currency"),
        ("EUR", "2026-11-01T00:00:00Z", None),
        ("XXX", "1999-11-01T00:00:00Z", "unknown_currency"),
    ],
)
def test_a_currency_is_known_while_it_was_in_use(
    monkeypatch: pytest.MonkeyPatch, currency: str, event_time: str, reason: str | None
) -> None:
    values = [json.dumps(WHOLE | {"currency": currency, "event_time": event_time}).encode()]
    assert_both_agree(values, monkeypatch)
    assert [found for _, found, _ in verdicts(values)[2]] == ([] if reason is None else [reason])


def test_a_withdrawn_currency_comes_before_a_value_out_of_range(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [json.dumps(WHOLE | {"currency": "HRK", "amount_minor": -1, "channel": "fax"}).encode()]
    assert_both_agree(values, monkeypatch)
    assert [reason for _, reason, _ in verdicts(values)[2]] == ["unknown_currency"]


@settings(max_examples=600, deadline=None)
@given(
    st.one_of(
        st.from_regex(
            r"[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,9})?([Zz]|[+-][0-2][0-9]:[0-6][0-9])?",
            fullmatch=True,
        ),
        st.datetimes().map(lambda instant: instant.isoformat() + "-08:00"),
        st.text(max_size=30),
    )
)
def test_both_readers_of_time_agree(text: str) -> None:
    try:
        expected = rfc3339.microseconds(rfc3339.parse(text))
    except ValueError:
        expected = rfc3339.INVALID
    assert rfc3339.scan_text(text) == expected


@EXAMPLES
@given(st.permutations(list(WHOLE.items())), st.sampled_from([None, 1]), st.booleans(), VALUES)
def test_the_content_hash_is_of_the_content_alone(
    document: list[tuple[str, Any]], indent: int | None, escaped: bool, unknown: Any
) -> None:
    plain = json.dumps(WHOLE).encode()
    other = json.dumps(dict(document) | {"unknown": unknown}, indent=indent, ensure_ascii=escaped)
    values = [plain, other.encode("utf-8", "surrogatepass")]
    decoded = decode_transactions(values, np.arange(2), np.full(2, NOW_MS), 0, 1, future_ms=300_000)
    if len(decoded.columns) == 2:
        assert decoded.columns["content_hash"][0] == decoded.columns["content_hash"][1]


@pytest.mark.parametrize("field", WHOLE)
def test_every_field_changes_the_content_hash(field: str) -> None:
    changes = {
        "type": "reversal",
        "amount_minor": 1,
        "account_amount_minor": 1,
        "lat": 1.0,
        "lon": 1,
        "currency": "EUR",
        "country": "FR",
    }
    changes |= {"channel": "web", "payee_country": "FR", "payee_kind": "own", "name_check": "match", "slips": ["x"]}
    changes |= {"event_time": "2026-11-24T00:00:00Z", "decide_by": None, "scenario": "moon", "purpose": "房租 December"}
    changes |= {"uetr": "8a562c67-ca16-48ba-b074-65581be6f012", "balance_minor": 5_000}
    changes |= {"customer": {"segment": "retail", "age_band": "65+", "home_country": "CN"}}
    values = [json.dumps(WHOLE).encode(), json.dumps(WHOLE | {field: changes.get(field, "other")}).encode()]
    decoded = decode_transactions(values, np.arange(2), np.full(2, NOW_MS), 0, 1, future_ms=300_000)
    assert len(set(decoded.columns["content_hash"].tolist())) == 2


ENVELOPE = {"specversion": "1.0", "id": "e-1", "source": "/core", "type": "paid", "datacontenttype": "application/json"}
ENVELOPE_FIELDS = st.sampled_from([*ENVELOPE, "data_base64", "transaction_id", "extension", "data"])
ENVELOPE_CHANGES = st.dictionaries(
    ENVELOPE_FIELDS,
    st.one_of(
        VALUES, st.sampled_from(["1.0", "0.3", "application/json", "text/plain", "a/b+json", "application/x+json"])
    ),
    max_size=3,
)


@EXAMPLES
@given(st.lists(st.tuples(ENVELOPE_CHANGES, CHANGES, st.booleans(), st.randoms()), min_size=1, max_size=6))
def test_cloud_events_of_any_value(monkeypatch: pytest.MonkeyPatch, changed: list[Any]) -> None:
    values = []
    for changes, inside, escaped, random in changed:
        document = list((ENVELOPE | {"data": WHOLE | inside} | changes).items())
        random.shuffle(document)
        values.append(json.dumps(dict(document), ensure_ascii=escaped).encode("utf-8", "surrogatepass"))
    assert_both_agree(values, monkeypatch)


@EXAMPLES
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 6), PIECES), max_size=3))
def test_bytes_cut_out_of_a_cloud_event_and_put_in_anywhere(monkeypatch: pytest.MonkeyPatch, cuts: list[Any]) -> None:
    value = json.dumps(ENVELOPE | {"data": WHOLE}, ensure_ascii=False, indent=1).encode()
    for at, cut, piece in cuts:
        value = value[:at] + piece + value[at + cut :]
    assert_both_agree([value], monkeypatch)


def test_a_cloud_event_is_its_record_and_the_scanner_opens_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = json.dumps(WHOLE).encode()
    event = json.dumps(ENVELOPE | {"data": WHOLE, "time": "2026-01-01T00:00:00Z", "id": "another"}, indent=2).encode()
    decoded = decode_transactions([plain, event], np.arange(2), np.full(2, NOW_MS), 0, 1, future_ms=300_000)
    decoded.columns["offset"] = 0
    assert decoded.columns[:1].tobytes() == decoded.columns[1:].tobytes()
    monkeypatch.setattr(decode, "read_transaction", None)
    assert len(verdicts([event])[1]) == 1, "no reference was asked"
