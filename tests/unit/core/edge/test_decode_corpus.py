"""The reference and the hot path accept and refuse the same records, for the same reasons, into the same bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.arrays.packed import PADDING, Packed
from stream.contracts.refusal import Refused
from stream.contracts.transaction import read_transaction
from stream.core import columns
from stream.core.edge import decode, words
from stream.core.edge.decode import Decoded, decode_transactions
from stream.core.edge.field_scan import ACCEPTED, REFERENCE, WORK
from stream.core.edge.partition import partition_of
from stream.core.edge.transaction_scan import scan

NOW = datetime(2026, 11, 24, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
FUTURE_MS = 300_000
CORPUS = Path(__file__).parents[3] / "corpus" / "transactions.jsonl"
SHARED = Path(__file__).parents[5] / "shared" / "corpus" / "transactions.jsonl"


NOW_SAID = {"a reversal": "missing"}
"""Reasons that the contract gives by now, whatever an older corpus says: this reversal names no original."""


@dataclass(frozen=True)
class Case:
    name: str
    key: bytes
    value: bytes | None
    reason: str | None
    elsewhere: bool


def _at(match: re.Match[str]) -> str:
    instant = NOW + timedelta(seconds=int(match[1] or 0))
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _value(line: dict[str, Any]) -> bytes | None:
    if line.get("value_null"):
        return None
    if "value_b64" in line:
        return base64.b64decode(line["value_b64"])
    text: str = line["value"].replace("{now+0800}", "2026-11-24T08:00:00+08:00")
    text = text.replace("{now.123456}", "2026-11-24T00:00:00.123456Z")
    return re.sub(r"\{now(?:\+(\d+))?\}", _at, text).encode()


def cases(path: Path) -> list[Case]:
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
    return [
        Case(
            line["name"],
            line["key"].encode(),
            _value(line),
            NOW_SAID.get(line["name"], line.get("reason")),
            line.get("partition") == "wrong",
        )
        for line in lines
    ]


ALL = cases(CORPUS) + cases(SHARED)
DECIDED_BY_PLACE = {"wrong_partition", "future", "id_conflict"}


def read(values: list[bytes | None] | Packed, partition: int = 0, partitions: int = 1) -> Decoded:
    count = len(values)
    timestamps = np.full(count, NOW_MS)
    return decode_transactions(values, np.arange(count), timestamps, partition, partitions, future_ms=FUTURE_MS)


def leave_all_to_the_reference(buf, starts, lengths, scratch, tables, rows, works, status):
    status[:] = REFERENCE
    return 0


def verdict(decoded: Decoded) -> tuple[bytes, list[int], list[tuple[int, str, str]]]:
    return (
        decoded.columns.tobytes(),
        decoded.accepted.tolist(),
        [(refusal.index, refusal.reason, refusal.message) for refusal in decoded.refused],
    )


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_the_reference_gives_each_record_its_verdict(case: Case) -> None:
    if case.reason is None or case.reason in DECIDED_BY_PLACE:
        read_transaction(case.value)
        return
    with pytest.raises(Refused) as refused:
        read_transaction(case.value)
    assert refused.value.reason == case.reason


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_the_edge_gives_each_record_its_verdict(case: Case) -> None:
    partition = (partition_of(case.key, 4) + case.elsewhere) % 4
    decoded = read([case.value], partition, 4)
    if case.reason in (None, "id_conflict"):
        assert decoded.accepted.tolist() == [0]
        assert decoded.refused == []
    else:
        assert [refusal.reason for refusal in decoded.refused] == [case.reason]
        assert len(decoded.columns) == len(decoded.accepted) == 0


def test_one_record_changes_nothing_for_another() -> None:
    values = [case.value for case in ALL]
    whole = read(values)
    refused = {refusal.index: refusal for refusal in whole.refused}
    place = {index: row for row, index in enumerate(whole.accepted.tolist())}
    for index, value in enumerate(values):
        alone = read([value])
        if index in refused:
            assert alone.refused[0].reason == refused[index].reason
            assert alone.refused[0].message == refused[index].message
        else:
            # bytes, not a copy by numpy: that leaves the padding undefined
            at = place[index]
            row = np.frombuffer(bytearray(whole.columns[at : at + 1].tobytes()), whole.columns.dtype)
            row["offset"] = 0
            assert alone.columns.tobytes() == row.tobytes()


def test_where_the_records_lie_changes_nothing() -> None:
    whole = (
        b'{"transaction_id":"t","account_id":"a","event_time":"2026-11-24T00:00:00Z","amount_minor":1,"currency":"CNY",'
        b'"channel":"app","x":"y"}'
    )
    cut = [whole[:1], whole[1:], whole + b" ", b" " + whole, whole[:-2], whole[-2:], whole, whole[:-3]]
    values = [*(case.value for case in ALL), *cut]
    padded = Packed.of(values)
    bare = Packed(padded.data[:-PADDING], padded.starts, padded.lengths)
    fixed = Packed(np.frombuffer(padded.data.tobytes(), np.uint8), padded.starts, padded.lengths)
    assert [lying.is_padded for lying in (padded, bare, fixed)] == [True, False, False]
    assert verdict(read(padded)) == verdict(read(bare)) == verdict(read(fixed))
    # neither a cut record nor white space is read on into what lies behind it
    own = [read([value]).accepted.tolist() == [0] for value in cut]
    accepted = set(read(padded).accepted.tolist())
    assert own == [len(ALL) + place in accepted for place in range(len(cut))]
    assert own == [False, False, True, True, False, False, True, False]


def test_the_scanner_and_the_reference_write_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [case.value for case in ALL]
    fast = read(values)
    monkeypatch.setattr(decode, "scan", leave_all_to_the_reference)
    assert verdict(fast) == verdict(read(values))


def digest() -> str:
    return hashlib.sha256(repr(verdict(read([case.value for case in ALL]))).encode()).hexdigest()


def test_plain_python_and_compiled_code_agree() -> None:
    code = "import runpy, sys; print(runpy.run_path(sys.argv[1])['digest']())"
    command = [sys.executable, "-W", "error::RuntimeWarning", "-c", code, __file__]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == digest()


def test_ordinary_records_take_the_fast_path() -> None:
    ordinary = [
        b'{"transaction_id":"t","account_id":"a","event_time":"2026-11-24T00:00:00Z","amount_minor":1,"currency":"CNY",'
        b'"channel":"app"' + rest + b"}"
        for rest in (
            b"",
            b',"payee_id":"p","device_id":"d","customer_id":"c","lat":31.2,"lon":121.473701,"country":"CN"',
            b',"lat":31.230415999999998,"lon":-0.1',
            b',"customer":{"segment":"retail","age_band":"65+","home_country":"CN","vulnerable":true}',
            ',"purpose":"房租 2026年11月 😀","slips":["mistyped_name","自己的词"]'.encode(),
            b',"purpose":"\\u623f\\u79df \\ud83d\\ude00"',
            b',"scenario":"moon_base","unknown":{"a":[1,-2.5e3,{"b":null}]},"payee_id":null,"name_check":""',
            b',"decide_by":"2026-11-24T08:00:00.250+08:00","account_amount_minor":900,"type":"payment"',
        )
    ]
    buf, starts, lengths, scratch = decode._copies(Packed.of(ordinary))
    count = len(ordinary)
    status = np.full(count, REFERENCE, np.uint8)
    rows, works = np.zeros(count, columns.TRANSACTION), np.zeros(count, WORK)
    scan(buf, starts, lengths, scratch, words.build(), rows, works, status)
    assert (status == ACCEPTED).all()


def test_size_is_checked_before_content_at_exactly_64_kib() -> None:
    start = (
        b'{"transaction_id":"t","account_id":"a","event_time":"2026-11-24T00:00:00Z","amount_minor":1,"currency":"CNY",'
    )
    start += b'"channel":"app","x":"'
    fits = start + b"x" * (65536 - len(start) - 2) + b'"}'
    decoded = read([fits, fits[:-2] + b'x"}', b"\xff" * 70_000, b"\xff" * 65_536, bytes(4 << 20)])
    assert decoded.accepted.tolist() == [0]
    assert [refusal.reason for refusal in decoded.refused] == ["too_large", "too_large", "malformed", "too_large"]


def test_deep_nesting_is_refused_at_a_stated_depth_and_never_by_the_stack() -> None:
    start = (
        b'{"transaction_id":"t","account_id":"a","event_time":"2026-11-24T00:00:00Z","amount_minor":1,"currency":"CNY",'
    )
    start += b'"channel":"app","x":'
    values = [start + b"[" * depth + b"]" * depth + b"}" for depth in (31, 32, 33, 127, 128, 30_000)]
    values.append(start + b'{"a":' * 9_000 + b"1" + b"}" * 9_001)
    decoded = read(values)
    assert decoded.accepted.tolist() == [0, 1, 2, 3]
    assert {refusal.reason for refusal in decoded.refused} == {"malformed"}


def test_an_empty_batch_is_read() -> None:
    decoded = read([])
    assert len(decoded.columns) == 0
    assert decoded.refused == []


def test_no_message_holds_text_of_the_payload() -> None:
    secret = "4539578763621486"
    record = {
        "transaction_id": "t", "account_id": "a", "event_time": "2026-11-24T00:00:00Z",
        "amount_minor": 1, "currency": "CNY", "channel": "app",
    }  # fmt: skip
    fields = [
        *record,
        "payee_id",
        "country",
        "payee_kind",
        "name_check",
        "decide_by",
        "lat",
        "customer",
        "slips",
        "type",
    ]
    values = [json.dumps(record | {field: f"{secret} x"}).encode() for field in fields]
    values += [secret.encode(), b'{"' + secret.encode(), b'{"a":' + secret.encode() + b"x}"]
    refused = read(values).refused
    assert len(refused) == len(values)
    assert not [refusal.message for refusal in refused if secret in refusal.message]
