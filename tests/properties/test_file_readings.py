"""Readings of files: the same whatever the chunk, column order, encoding or format; every currency; every turn of every clock."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.contracts.currency import MINOR_UNIT_DIGITS
from stream.errors import RiskstreamError
from stream.replay.source.amounts import Marks, by_currency, decimal_of
from stream.replay.source.column_map import load_column_map
from stream.replay.source.field_map import FieldMap
from stream.replay.source.local_time import TimeReader
from stream.replay.source.sources import open_source

MAP = """
file: {FORM}
fields:
  transaction_id: {column: id}
  account_id: {column: account}
  payee_id: {column: payee}
  event_time: {column: at, format: [iso, "%d.%m.%Y %H:%M"], zone: Europe/Berlin}
  amount_minor: {column: amount, minor: by_currency}
  currency: {column: currency}
  channel: {constant: app}
  purpose: {column: note}
labels: {fraud: {column: fraud}}
"""
CELL = st.text(st.characters(codec="gb18030", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), max_size=6)
ROW = st.fixed_dictionaries(
    {
        "id": st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), "account": st.sampled_from(["a", "b", ""]), "payee": CELL, "note": CELL,
        "at": st.sampled_from(["2026-03-01T09:00:00Z", "24.10.2026 02:30", "25.10.2026 02:30", "noon"]),
        "amount": st.sampled_from(["1", "12.5", "0.125", "-3", "x", ""]), "currency": st.sampled_from(["EUR", "JPY", "KWD", "XXX"]),
        "fraud": st.sampled_from(["0", "1", "", "maybe"]),
    }
)  # fmt: skip


def readings(path: Path, form: str, rows: int) -> tuple[list[bytes], list[tuple[int, str]], list[int]]:
    map_path = path.parent / "map.yaml"
    map_path.write_text(MAP.replace("FORM", form), "utf-8")
    values, refused, labels = [], [], []
    for chunk in open_source(path, load_column_map(map_path)).chunks(rows):
        values += chunk.accepted_values
        refused += [(chunk.first_row + one.index, one.reason) for one in chunk.decoded.refused]
        assert chunk.labels is not None
        labels += chunk.labels.fraud.tolist()
    return values, refused, labels


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(ROW, min_size=1, max_size=12), order=st.permutations(list("abcdefgh")), chunk=st.integers(1, 13),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "gb18030"]), mark=st.sampled_from([",", ";", "\t", "|"]),
)  # fmt: skip
def test_chunk_order_of_columns_encoding_and_format_change_nothing(
    tmp_path: Path, rows: list[dict[str, str]], order: list[str], chunk: int, encoding: str, mark: str
) -> None:
    names = [sorted(rows[0])["abcdefgh".index(letter)] for letter in order]
    table = io.StringIO()
    writer = csv.DictWriter(table, names, delimiter=mark)
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "t.csv").write_bytes(table.getvalue().encode(encoding))
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows), "utf-8")
    (tmp_path / "t.json").write_text(json.dumps(rows, indent=2), "utf-8")
    pq.write_table(
        pa.table({name: [row[name] for row in rows] for name in names}), tmp_path / "t.parquet", row_group_size=5
    )
    shown = "tab" if mark == "\t" else mark
    expected = readings(tmp_path / "t.csv", f'encoding: {encoding}, delimiter: "{shown}"', 1000)
    assert readings(tmp_path / "t.csv", f'encoding: {encoding}, delimiter: "{shown}"', chunk) == expected
    for name in ("t.jsonl", "t.json", "t.parquet"):
        assert readings(tmp_path / name, "strip: false", chunk) == expected, name


@given(
    st.sampled_from(sorted(MINOR_UNIT_DIGITS)),
    st.integers(0, 10**15),
    st.sampled_from([(".", None), (",", "."), (".", ","), (",", " ")]),
)
def test_an_amount_of_every_currency_comes_back(code: str, minor: int, marks: tuple[str, str | None]) -> None:
    number = Decimal(minor).scaleb(-MINOR_UNIT_DIGITS[code])
    text = f"{number:,f}" if marks[1] else f"{number:f}"
    text = text.translate(str.maketrans({",": marks[1] or "", ".": marks[0]}))
    assert by_currency(decimal_of(text, Marks(*marks)), code, noisy=False) == minor
    assert by_currency(decimal_of(number, Marks()), code, noisy=False) == minor


def turns_of(zone: ZoneInfo) -> list[datetime]:
    """Hours in which a zone's offset changes from 2020 to 2030."""
    days = [datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=4 * day) for day in range(914)]
    found = []
    for before, after in pairwise(days):
        if before.astimezone(zone).utcoffset() == after.astimezone(zone).utcoffset():
            continue
        hours = [before + timedelta(hours=hour) for hour in range(97)]
        found += [
            one for one, other in pairwise(hours)
            if one.astimezone(zone).utcoffset() != other.astimezone(zone).utcoffset()
        ]  # fmt: skip
    return found


@pytest.mark.parametrize("descending", [False, True])
def test_local_times_of_ten_years_around_every_turn_of_every_clock_come_back(descending: bool) -> None:
    seen = 0
    for name in sorted(available_timezones() - {"localtime"}):
        zone = ZoneInfo(name)
        for turn in turns_of(zone):
            instants = [turn + timedelta(minutes=10 * step) for step in range(-24, 25)]
            instants = instants[::-1] if descending else instants
            reader = TimeReader(FieldMap(column="x", zone=name), Marks(), descending)
            texts = [instant.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S") for instant in instants]
            read = [datetime.fromisoformat(reader(text)) for text in texts]
            assert read == instants, (name, turn)
            seen += 1
    assert seen > 1000


def whole_files(directory: Path) -> dict[str, bytes]:
    rows = [
        {
            "id": f"t{n}",
            "account": "a",
            "payee": "ü",
            "at": "2026-03-01T09:00:00Z",
            "amount": "12.50",
            "currency": "EUR",
            "note": "x",
            "fraud": 0,
        }
        for n in range(20)
    ]
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    pq.write_table(pa.Table.from_pylist(rows), directory / "w.parquet")
    import openpyxl

    book = openpyxl.Workbook()
    for line in ([*rows[0]], *([*row.values()] for row in rows)):
        book.active.append(line)
    book.save(directory / "w.xlsx")
    lines = "\n".join(map(json.dumps, rows)).encode()
    return {
        "f.csv": table.getvalue().encode(), "f.jsonl": lines, "f.json": json.dumps(rows).encode(), "f.csv.gz": gzip.compress(table.getvalue().encode()),
        "f.parquet": (directory / "w.parquet").read_bytes(), "f.xlsx": (directory / "w.xlsx").read_bytes(),
    }  # fmt: skip


def damaged(content: bytes, chance: random.Random) -> bytes:
    out = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(out))
        match chance.randrange(5):
            case 0:
                out[place] = chance.randrange(256)
            case 1:
                del out[place : place + chance.randint(1, 40)]
            case 2:
                out[place:place] = chance.choice(
                    [b"\0", b'"', b"\n", b"\xff\xfe", b"{", b"]", b"1e999", b"NaN", b",,,", b"9" * 40]
                )
            case 3:
                out = out[: max(place, 1)]
            case _:
                other = chance.randrange(len(out))
                out[place : place + 20] = out[other : other + 20]
        out = out or bytearray(b"x")
    return bytes(out)


def fuzz(directory: Path, name: str, go_on: Callable[[int], bool]) -> None:
    content, chance, done = whole_files(directory)[name], random.Random(name), 0
    while go_on(done):
        path = directory / name
        path.write_bytes(damaged(content, chance))
        try:
            readings(path, "strip: true", 7)
        except RiskstreamError as error:
            said = str(error)
        else:
            said = ""
        assert "\n" not in said
        done += 1


READERS = ["f.csv", "f.jsonl", "f.json", "f.csv.gz", "f.parquet", "f.xlsx"]


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    fuzz(tmp_path, name, lambda done: done < 250)


@pytest.mark.soak
@pytest.mark.parametrize("name", READERS)
def test_ten_minutes_of_damaged_files(tmp_path: Path, name: str) -> None:
    end = time.monotonic() + 600
    fuzz(tmp_path, name, lambda done: time.monotonic() < end)
