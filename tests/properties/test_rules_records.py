"""Whatever lies on the topic of policies: its reader gives a record or a refusal, nothing else, and in bounded time."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rules.approval import ApprovalError, PolicyRecord, RecordRefused, decode, encode
from rules.list_file import read_lists
from rules.pack_reader import read_pack
from rules.policy import Policy
from rules.problem import PackError, Problem
from stream.contracts.json_object import load_object
from stream.contracts.refusal import Refused

PACK = b"""pack: small
scenario: ecommerce
match: amount_minor > 0
thresholds: {remind: 100, challenge_light: 5000, review: 20000, decline: 900000}
rules:
  - id: large
    when: amount_minor > 100000
    weight: 1.5
    reason: {zh: "\xe5\xa4\xa7", en: Large}
"""
POLICY = Policy.from_files({"small.yaml": PACK})
FILES = {name: bytes(content) for name, content in POLICY.files.items()}
RECORD = PolicyRecord(POLICY.version, FILES, "li", 1_000, 2_000, "okafor", 3_000)
DOCUMENT: dict[str, Any] = json.loads(encode(RECORD))

QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def refused_or_read(value: bytes) -> PolicyRecord | None:
    try:
        return decode(value)
    except RecordRefused as error:
        refusal = error
    assert refusal.reason in ("malformed", "too_large", "wrong_type", "out_of_range", "altered")
    assert len(str(refusal)) < 2_000
    return None


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_a_refusal(value: bytes) -> None:
    assert refused_or_read(value) is None


@QUICK
@given(JSON)
def test_any_json_is_a_record_or_a_refusal(document: object) -> None:
    assert refused_or_read(json.dumps(document).encode()) is None


@QUICK
@given(st.sampled_from(sorted(DOCUMENT)), JSON)
@example("approved_by", 5)
@example("approved_at", 10**30)
@example("valid_from", True)
@example("valid_from", 10**18)
@example("published_by", "a\nb")
@example("files", {"small.yaml": "\ud800"})
@example("files", {"../small.yaml": "pack: a"})
@example("version", "p-000000000000")
@example("format", True)
@example("format", 1)
def test_a_record_with_another_value_in_a_field_is_one_or_refused(field: str, value: object) -> None:
    read = refused_or_read(json.dumps(DOCUMENT | {field: value}).encode())
    if field == "format":
        assert (read is not None) == (type(value) is int and value == DOCUMENT["format"])
    elif read is not None:
        assert encode(read) == encode(replace(RECORD, **{field: value}))  # type: ignore[arg-type]


@QUICK
@given(st.integers(0, 10**6), st.binary(max_size=4), st.integers(0, 40))
def test_a_record_with_other_bytes_is_itself_or_refused(at: int, other: bytes, length: int) -> None:
    value = encode(RECORD)
    at %= len(value)
    read = refused_or_read(value[:at] + other + value[at + length :])
    if read is not None:
        assert read.version == RECORD.version
        assert dict(read.files) == FILES


@pytest.mark.parametrize("field", sorted(DOCUMENT))
def test_a_record_without_a_field_is_refused(field: str) -> None:
    assert refused_or_read(json.dumps({k: v for k, v in DOCUMENT.items() if k != field}).encode()) is None


HOSTILE = {
    "flow": b"[" * 150_000,
    "mappings": b"{a: " * 40_000,
    "block": b"- " * 75_000,
    "keys": b"? " * 75_000,
    "values": b"- a\n" * 1_000_000,
    "documents": b"---\n" * 1_000_000,
    "aliases": b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
    "hex": b"pack: 0x" + b"f" * 4_000_000,
    "lines": b"a: |\n" + b" x\n" * 1_000_000,
    "tag": b"!!python/object/apply:os.system [x]",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_pack_is_refused_without_being_built(name: str) -> None:
    with pytest.raises(PackError):
        Policy.from_files({"hostile.yaml": HOSTILE[name]})
    document = DOCUMENT | {"files": {"hostile.yaml": HOSTILE[name].decode()}}
    assert refused_or_read(json.dumps(document).encode()) is None


@pytest.mark.parametrize(
    "value", [b"[" * 150_000, b'{"a":' * 100_000, b'"' + b'\\"' * 4_000_000, b"[" + b"1," * 4_000_000]
)
def test_hostile_json_is_refused_without_being_parsed(value: bytes) -> None:
    assert refused_or_read(value) is None


@QUICK
@given(st.integers(0, 10**6), st.text(max_size=6) | JSON.map(json.dumps), st.integers(0, 30))
def test_a_pack_with_other_text_is_read_or_has_a_problem(at: int, other: str, length: int) -> None:
    text = PACK.decode()
    at %= len(text)
    content = (text[:at] + other + text[at + length :]).encode("utf-8", "surrogatepass")
    with suppress(PackError):
        Policy.from_files({"small.yaml": content})


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_as_pack_or_list_are_read_or_have_a_problem(content: bytes) -> None:
    for read in (read_pack, read_lists):
        problems: list[Problem] = []
        with suppress(PackError):
            read("any.yaml" if read is read_pack else "any.csv", content, problems)


@pytest.mark.parametrize(
    "content", [b'"' + b"x" * 300_000, b"kind\n" + b"," * 200_000, b"\x00" * 10, b"a" * (5 << 20), b'kind,"\n' * 1000]
)
def test_hostile_lists_have_a_problem(content: bytes) -> None:
    problems: list[Problem] = []
    try:
        read_lists("hostile.csv", content, problems)
    except PackError as error:
        problems += error.problems
    assert problems


def test_a_command_is_told_what_a_reader_would_refuse() -> None:
    with pytest.raises(ApprovalError):
        decode(encode(replace(RECORD, approved_by="li")))


def test_a_string_of_quotes_that_never_ends_is_looked_at_once() -> None:
    # each quote once began a search to the end: minutes for one input record
    with pytest.raises(Refused):
        load_object(b'{"a":"' + b'\\"' * 32_000 + b"[{" * 130)
