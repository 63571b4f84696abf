"""Files as banks, card schemes, wallets and data people have them: read as they are meant, or refused with the true cause."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from stream.cli.replay import command
from stream.errors import RiskstreamError, UsageError
from stream.replay.source.column_map import load_column_map
from stream.replay.source.sources import Source, open_source

AT = "2026-03-01T09:00:00Z"
BASE = {
    "transaction_id": "{column: id}", "account_id": "{column: account}", "payee_id": "{column: payee}",
    "event_time": "{column: at}", "amount_minor": "{column: amount, scale: 100}", "currency": "{constant: EUR}",
    "channel": "{constant: app}",
}  # fmt: skip


def map_text(head: str = "", labels: str = "", **fields: str) -> str:
    lines = [f"  {name}: {text}" for name, text in (BASE | fields).items()]
    return f"{head}\nfields:\n" + "\n".join(lines) + f"\n{labels}\n"


def source(path: Path, text: str, **options: Any) -> Source:
    map_path = path.parent / "map.yaml"
    map_path.write_text(text, "utf-8")
    return open_source(path, load_column_map(map_path), **options)


def read(path: Path, text: str, rows: int = 20_000) -> tuple[list[dict[str, Any]], list[tuple[int, str, str]]]:
    """Accepted rows as they go to Kafka, and (line, reason, message) of the refused ones."""
    accepted, refused = [], []
    for chunk in source(path, text).chunks(rows):
        accepted += [json.loads(value) for value in chunk.accepted_values]
        assert chunk.lines is not None
        refused += [(int(chunk.lines[one.index]), one.reason, one.message) for one in chunk.decoded.refused]
    return accepted, refused


def brief(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["transaction_id"], row["amount_minor"], row["event_time"]) for row in rows]


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_a_wallet_bill_with_a_preamble_padded_cells_and_other_rows_than_payments(tmp_path: Path) -> None:
    preamble = '-----\n导出信息：\n姓名："测试\n\n---- 回单 ----\n'
    header = "时间      ,对方   ,收/支   ,金额     ,订单号   ,\n"
    rows = [
        ("2026-03-09 21:32:14", "shop-1", "支出", "49.74", "20260309000001"),
        ("2026-03-08 10:00:00", "shop-1", "不计收支", "16.03", "20260308000002"),
        ("2026-03-02 12:01:30", "noodles-2", "支出", "1120.00", "20260302000004"),
    ]
    lines = "".join(",".join(f"{cell}  " for cell in row[:4]) + f",{row[4]}\t,\n" for row in rows)
    path = written(tmp_path / "bill.csv", preamble + header + lines, "gb18030")
    text = map_text(
        "file: {encoding: gb18030, header_row: 6, strip: true}\nrows: [{column: 收/支, in: [支出]}]",
        transaction_id="{column: 订单号}", account_id="{constant: wallet-1}", payee_id="{column: 对方}",
        event_time='{column: 时间, format: "%Y-%m-%d %H:%M:%S", zone: Asia/Shanghai}',
        amount_minor="{column: 金额, scale: 100}", currency="{constant: CNY}",
    )  # fmt: skip
    bill = source(path, text)
    (chunk,) = bill.chunks()
    assert brief([json.loads(value) for value in chunk.values]) == [
        ("20260309000001", 4974, "2026-03-09T13:32:14Z"),
        ("20260302000004", 112000, "2026-03-02T04:01:30Z"),
    ]
    assert bill.remarks()["left_out"] == {"收/支": {"不计收支": 1}}
    with pytest.raises(UsageError, match=r"map.yaml:.*line 2 is not UTF-8: file: \{encoding"):
        read(path, text.replace("file: {encoding: gb18030, header_row: 6, strip: true}", ""))


GERMAN = '"Konto";"Tag";"Referenz";"An";"Betrag";"Text"\n"K-1";"24.03.26";"R1";"E-1";"4,20";"Bäckerei"\n'
GERMAN += '"K-1";"25.03.26";"R2";"E-2";"1.250,00";"Miete\nMärz"\n"K-1";"26.03.26";"R3";"E-2";"1.25";"x"\n'
GERMAN_MAP = map_text(
    'file: {encoding: ENC, delimiter: ";", decimal: ",", thousands: "."}',
    transaction_id="{column: Referenz}", account_id="{column: Konto}", payee_id="{column: An}",
    event_time='{column: Tag, format: "%d.%m.%y", zone: Europe/Berlin}', amount_minor="{column: Betrag, scale: 100}",
)  # fmt: skip


@pytest.mark.parametrize(
    "encoding", ["cp1252", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "utf-32", "cp850"]
)
def test_decimal_commas_thousands_delimiters_and_encodings(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path / "umsatz.csv", GERMAN, encoding)
    accepted, refused = read(path, GERMAN_MAP.replace("ENC", encoding))
    assert brief(accepted) == [("R1", 420, "2026-03-23T23:00:00Z"), ("R2", 125000, "2026-03-24T23:00:00Z")]
    assert [(line, reason) for line, reason, _ in refused] == [(5, "wrong_type")]


def test_a_header_of_one_column_names_the_delimiter_that_it_holds(tmp_path: Path) -> None:
    path = written(tmp_path / "umsatz.csv", GERMAN, "cp1252")
    text = GERMAN_MAP.replace('file: {encoding: ENC, delimiter: ";", decimal: ",", thousands: "."}', "")
    with pytest.raises(RiskstreamError, match=r'umsatz.csv:1: .*it holds ";": file: \{delimiter: ";"\}'):
        read(path, text)
    with pytest.raises(UsageError, match=r'one column and holds ";": file: \{delimiter: ";"\}'):
        read(written(path, GERMAN.replace('"', ""), "utf-8"), text)


CARD = f"id,account,payee,at,amount,state,dir\ns1,a,grocer,{AT},-20.00,OK,D\ns2,a,work,{AT},2500.00,OK,C\n"
CARD += f"s3,a,hotel,{AT},-200.00,REVERTED,D\ns4,a,check,{AT},0.00,OK,D\ns5,a,x,{AT},much,OK,D\n"


def test_negative_is_paid_out_and_what_came_in_is_left_out_and_counted(tmp_path: Path) -> None:
    path = written(tmp_path / "card.csv", CARD)
    text = map_text(
        "rows: [{column: state, not_in: [REVERTED]}]",
        amount_minor="{column: amount, scale: 100, sign: expense_negative}",
    )
    card = source(path, text)
    (chunk,) = card.chunks()
    assert [json.loads(value)["amount_minor"] for value in chunk.accepted_values] == [2000, 0]
    assert [(int(chunk.lines[one.index]), one.reason) for one in chunk.decoded.refused] == [(6, "wrong_type")]
    assert card.remarks()["left_out"] == {"state": {"REVERTED": 1}, "amount": {"positive": 1}}


def test_a_direction_column_says_what_was_paid(tmp_path: Path) -> None:
    path = written(tmp_path / "card.csv", CARD.replace(",-", ","))
    text = map_text(amount_minor="{column: amount, scale: 100, sign: {column: dir, paid: [D]}}")
    accepted, refused = read(path, text)
    assert [row["amount_minor"] for row in accepted] == [2000, 20000, 0]
    assert len(refused) == 1


def test_amounts_below_zero_are_refused_with_the_words_that_would_read_them(tmp_path: Path) -> None:
    result = replayed(written(tmp_path / "card.csv", CARD), map_text())
    assert result.exit_code == 1
    assert (
        "card.csv:2: out_of_range: column amount: below zero; where negative is paid out: sign: expense_negative; 2 rows"
        in result.stdout
    )


@pytest.mark.parametrize(
    "event_time",
    [
        '{template: "{Y}-{M}-{D} {T}", format: "%Y-%m-%d %H:%M", zone: America/New_York}',
        '{join: [Y, M, D, T], format: "%Y %m %d %H:%M", zone: America/New_York}',
    ],
)
def test_a_time_is_put_together_from_columns(tmp_path: Path, event_time: str) -> None:
    path = written(
        tmp_path / "cards.csv", "Y,M,D,T,id,account,payee,amount\n2026,3,1,06:21,t1,a,p,1\n2026,3,9,06:42,t2,a,p,2\n"
    )
    accepted, _ = read(path, map_text(event_time=event_time))
    assert [row["event_time"] for row in accepted] == ["2026-03-01T11:21:00Z", "2026-03-09T10:42:00Z"]


def test_names_become_keyed_tokens_and_without_a_key_nothing_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["Rip, Kub and Man", "Café Grün", "Rip, Kub and Man", "小面馆"]
    rows = "".join(f'n{place},a{place},"{name}",{AT},1\n' for place, name in enumerate(names))
    path = written(tmp_path / "cards.csv", "id,account,payee,at,amount\n" + rows)
    text = map_text(payee_id="{column: payee, hash: true}")
    monkeypatch.delenv("RISKSTREAM_HASH_KEY_FILE", raising=False)
    with pytest.raises(UsageError, match=r"map.yaml:5:29: hash needs a key: RISKSTREAM_HASH_KEY_FILE"):
        read(path, text)
    key = tmp_path / "key"
    monkeypatch.setenv("RISKSTREAM_HASH_KEY_FILE", str(key))
    key.write_bytes(b"short\n")
    with pytest.raises(UsageError, match="at least 16"):
        read(path, text)
    key.write_bytes(b"0123456789abcdef\n")
    accepted, _ = read(path, text)
    tokens = [hmac.new(b"0123456789abcdef", name.encode(), hashlib.sha256).hexdigest() for name in names]
    assert [row["payee_id"] for row in accepted] == tokens


def test_hours_from_a_start(tmp_path: Path) -> None:
    path = written(
        tmp_path / "m.csv", "id,account,payee,at,amount\n" + "".join(f"t{n},a,p,{n},1\n" for n in (1, 25, 743, "1.5"))
    )
    accepted, _ = read(path, map_text(event_time="{column: at, unit: hours, start: 2026-01-01T00:00:00Z}"))
    assert [row["event_time"] for row in accepted] == [
        "2026-01-01T01:00:00Z", "2026-01-02T01:00:00Z", "2026-01-31T23:00:00Z", "2026-01-01T01:30:00Z",
    ]  # fmt: skip


def test_change_events_reach_into_objects_and_rows_are_chosen(tmp_path: Path) -> None:
    row = {"id": "z1", "account": "a", "payee": "p", "amount": "12.50", "at": 1772355600000000}
    events = [
        {"before": None, "after": row, "op": "c"},
        {"before": row, "after": row, "op": "u"},
        {"after": None, "op": "d"},
    ]
    path = written(tmp_path / "c.jsonl", "\n".join(map(json.dumps, events)))
    dotted = {name: text.replace("column: ", "column: after.") for name, text in BASE.items()}
    dotted["event_time"] = "{column: after.at, format: unix_us}"
    changes = source(path, map_text("rows: [{column: op, in: [c]}]", **dotted))
    (chunk,) = changes.chunks()
    assert brief([json.loads(value) for value in chunk.values]) == [("z1", 1250, "2026-03-01T09:00:00Z")]
    assert changes.remarks()["left_out"] == {"op": {"u": 1, "d": 1}}


IDS: list[Any] = [12.0, 12, "x9", True, 9223372036854775808, 12345678901234567890123, float("nan"), None, ""]
READ_IDS = ["12", "12", "x9", "true", "9223372036854775808", "12345678901234567890123", None, None, None]


@pytest.mark.parametrize("rows", [1, 2, 5, 100])
def test_a_cell_of_json_has_one_reading_whatever_shares_its_chunk(tmp_path: Path, rows: int) -> None:
    lines = [{"id": f"t{n}", "account": "a", "payee": value, "at": AT, "amount": 1} for n, value in enumerate(IDS)]
    path = written(tmp_path / "ids.jsonl", "\n".join(json.dumps(line).replace("NaN", "null") for line in lines))
    accepted, refused = read(path, map_text(), rows)
    assert ([row.get("payee_id") for row in accepted], refused) == (READ_IDS, [])


def test_a_field_may_appear_late_and_one_that_never_does_is_pointed_out(tmp_path: Path) -> None:
    lines = [
        {"id": f"t{n}", "account": "a", "at": AT, "amount": 1} | ({"payee": "p"} if n == 20_000 else {})
        for n in range(20_001)
    ]
    path = written(tmp_path / "late.jsonl", "\n".join(map(json.dumps, lines)))
    for rows in (20_000, 30_000):
        accepted, _ = read(path, map_text(device_id="{column: dev}"), rows)
        assert (len(accepted), accepted[-1]["payee_id"]) == (20_001, "p")
    late = source(path, map_text(device_id="{column: dev}"))
    assert sum(len(chunk.values) for chunk in late.chunks()) == 20_001
    assert late.remarks()["columns_without_a_value"] == ["dev"]


def test_parquet_of_every_type_reads_like_the_text_it_stands_for(tmp_path: Path) -> None:
    nan = float("nan")
    times = [datetime(2026, 3, 1, 9, tzinfo=UTC)] * 4
    payees = {
        "float": pa.array([501.0, nan, None, 2.0]), "binary": pa.array([b"501", None, b"", b"2"]),
        "large": pa.array(["501", None, "", "2"], pa.large_string()), "int": pa.array([501, None, None, 2], pa.int64()),
        "dictionary": pa.array(["501", None, "", "2"]).dictionary_encode(),
        "decimal": pa.array([Decimal("501"), None, None, Decimal(2)], pa.decimal128(20, 2)),
         "float32": pa.array([501, nan, None, 2], pa.float32()),
    }  # fmt: skip
    stamps = {
        "us": pa.array(times, pa.timestamp("us", "UTC")), "ns": pa.array(times, pa.timestamp("ns", "Asia/Tokyo")),
        "ms": pa.array([stamp.replace(tzinfo=None) for stamp in times], pa.timestamp("ms")),
        "text": pa.array(["2026-03-01T10:00:00+01:00"] * 4),
    }  # fmt: skip
    amounts = {"f": pa.array([0.1, 10.5, 1.0, 2.0]), "g": pa.array([0.1, 10.5, 1, 2], pa.float32()),
               "d": pa.array([Decimal("0.1"), Decimal("10.5"), Decimal(1), Decimal(2)], pa.decimal128(38, 9))}  # fmt: skip
    for kind, payee in payees.items():
        for stamp in stamps.values():
            for amount in amounts.values():
                nested = pa.StructArray.from_arrays([payee], ["name"])
                table = pa.table(
                    {"id": ["1", "2", "3", "4"], "account": ["a"] * 4, "to": nested, "at": stamp, "amount": amount}
                )
                pq.write_table(table, tmp_path / "t.parquet", row_group_size=3)
                accepted, refused = read(tmp_path / "t.parquet", map_text(payee_id="{column: to.name}"), 3)
                assert refused == [], kind
                assert [row.get("payee_id") for row in accepted] == ["501", None, None, "2"], kind
                assert [row["amount_minor"] for row in accepted] == [10, 1050, 100, 200]
                assert {row["event_time"] for row in accepted} == {AT}


def test_an_id_that_was_a_float_beyond_its_digits_is_refused(tmp_path: Path) -> None:
    ids = [1234567890123456789.0, 9007199254740992.0, 77.0]
    table = {"id": ["1", "2", "3"], "account": ids, "payee": ["p"] * 3, "at": [AT] * 3, "amount": [1.0] * 3}
    pq.write_table(pa.table(table), tmp_path / "f.parquet")
    lines = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    written(tmp_path / "f.jsonl", "\n".join(map(json.dumps, lines)))
    for name in ("f.parquet", "f.jsonl"):
        accepted, refused = read(tmp_path / name, map_text())
        assert [row["account_id"] for row in accepted] == ["77"]
        assert [(line, reason, message.split(";")[0]) for line, reason, message in refused] == [
            (line, "out_of_range", "column account: a float of 2^53 or more has lost digits") for line in (1, 2)
        ]


NIGHT = [
    ("01:30", "23:30"),
    ("02:10", "00:10"),
    ("02:50", "00:50"),
    ("02:05", "01:05"),
    ("02:55", "01:55"),
    ("03:10", "02:10"),
]


@pytest.mark.parametrize("newest_first", [False, True])
def test_an_hour_that_comes_twice_is_told_by_the_order_and_counted(tmp_path: Path, newest_first: bool) -> None:
    night = NIGHT[::-1] if newest_first else NIGHT
    rows = "".join(f"t{n},a,p,2026-10-25 {local}:00,1\n" for n, (local, _) in enumerate(night))
    path = written(tmp_path / "night.csv", "id,account,payee,at,amount\n" + rows)
    text = map_text(event_time="{column: at, zone: Europe/Berlin}")
    for size in (1, 2, 100):
        accepted, _ = read(path, text, size)
        assert [row["event_time"][11:16] for row in accepted] == [instant for _, instant in night]
    seen = source(path, text)
    list(seen.chunks())
    assert (seen.remarks()["repeated_times"], seen.remarks()["repeated_second"]) == (4, 2)
    for said, count in (("first", 0), ("second", 4)):
        other = source(path, text.replace("Berlin}", f"Berlin, repeated: {said}}}"))
        list(other.chunks())
        assert other.remarks()["repeated_second"] == count
    _, refused = read(path, text.replace("Berlin}", "Berlin, repeated: refuse}"))
    assert [reason for _, reason, _ in refused] == ["bad_time"] * 4


def test_an_hour_that_never_comes_is_counted_or_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "n.csv", "id,account,payee,at,amount\nt1,a,p,2026-03-29 02:30:00,1\n")
    spring = source(path, map_text(event_time="{column: at, zone: Europe/Berlin}"))
    (chunk,) = spring.chunks()
    assert json.loads(chunk.values[0])["event_time"] == "2026-03-29T01:30:00Z"
    assert spring.remarks()["skipped_times"] == 1
    _, refused = read(path, map_text(event_time="{column: at, zone: Europe/Berlin, repeated: refuse}"))
    assert [reason for _, reason, _ in refused] == ["bad_time"]


def test_several_formats_read_one_column_and_two_readings_of_one_cell_are_refused(tmp_path: Path) -> None:
    cells = ["2026-03-24 09:00", "24.03.2026 09:00", "2026-03-24T09:00:00Z"]
    rows = "".join(f"t{n},a,p,{cell},1\n" for n, cell in enumerate(cells))
    path = written(tmp_path / "n.csv", "id,account,payee,at,amount\n" + rows)
    accepted, _ = read(path, map_text(event_time='{column: at, format: ["%d.%m.%Y %H:%M", iso]}'))
    assert [row["event_time"] for row in accepted] == ["2026-03-24T09:00:00Z"] * 3
    both = written(path, "id,account,payee,at,amount\nt,a,p,03.04.2026,1\n")
    _, refused = read(both, map_text(event_time='{column: at, format: ["%d.%m.%Y", "%m.%d.%Y"]}'))
    assert "two of the formats" in refused[0][2]


def test_amounts_in_major_units_by_the_decimals_of_their_currency(tmp_path: Path) -> None:
    cells = [
        ("12.50", "EUR", 1250),
        ("5000", "JPY", 5000),
        ("150000.00", "VND", 150000),
        ("1.234", "KWD", 1234),
        ("1.5", "IQD", 1500),
    ]
    rows = (
        "".join(f"t{n},a,p,{AT},{cell},{code}\n" for n, (cell, code, _) in enumerate(cells)) + f"t9,a,p,{AT},12.5,JPY\n"
    )
    path = written(tmp_path / "n.csv", "id,account,payee,at,amount,cur\n" + rows)
    accepted, refused = read(
        path, map_text(amount_minor="{column: amount, minor: by_currency}", currency="{column: cur}")
    )
    assert [row["amount_minor"] for row in accepted] == [minor for _, _, minor in cells]
    assert [(line, reason) for line, reason, _ in refused] == [(7, "wrong_type")]


def test_words_that_yaml_takes_for_other_things_are_the_text_that_stands_there(tmp_path: Path) -> None:
    path = written(
        tmp_path / "n.csv", f"id,account,payee,at,amount,land,fraud\nn1,a,p,{AT},1,Norge,No\nn2,a,p,{AT},1,1e3,Yes\n"
    )
    text = map_text(labels="labels: {fraud: {column: fraud, values: {Yes: 1, No: 0}}}",
                    payee_country="{column: land, values: {Norge: NO, 1e3: SE}}", purpose="{constant: 007}",
                    device_id="{constant: 0x1F}", scenario="{constant: 2026-01-01}")  # fmt: skip
    (chunk,) = source(path, text).chunks()
    rows = [json.loads(value) for value in chunk.accepted_values]
    assert [row["payee_country"] for row in rows] == ["NO", "SE"]
    assert (rows[0]["purpose"], rows[0]["device_id"], rows[0]["scenario"]) == ("007", "0x1F", "2026-01-01")
    assert chunk.labels is not None
    assert chunk.labels.fraud.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("head", "fields", "says"),
    [
        ("file: {sheet: 2}", {}, r"map.yaml:1:8: file.sheet has no effect on n.csv"),
        ("file: {encoding: klingon}", {}, r"map.yaml:1:8: .*no such encoding"),
        ('file: {decimal: ",", thousands: ","}', {}, r"map.yaml:1:22: .*the same"),
        ("", {"event_time": "{column: at, format: unix_s, zone: Asia/Tokyo}"}, r"map.yaml:6:44: .*zone has no effect"),
        ("", {"event_time": "{column: at, repeated: first}"}, r"map.yaml:6:28: .*no hour comes twice in UTC"),
        ("", {"event_time": "{column: at, unit: hours}"}, r"map.yaml:6:28: .*go together"),
        ("", {"event_time": '{column: at, format: "%H:%M"}'}, r"map.yaml:6:28: .*does not name year"),
        ("", {"event_time": '{column: at, format: "%d.%m.%Y %I:%M"}'}, r"map.yaml:6:28: .*needs %p"),
        ("", {"event_time": '{column: at, format: "%d.%m.%Y %Q"}'}, r"map.yaml:6:28: .*bad directive"),
        ("", {"event_time": "{column: at, values: {a: b}}"}, r"map.yaml:6:28: .*values is for words"),
        ("", {"amount_minor": "{column: amount, scale: 100, minor: by_currency}"}, r"map.yaml:7:34: .*two answers"),
        ("", {"amount_minor": "{column: amount, scale: -100}"}, r"map.yaml:7:34: .*greater than 0"),
        ("", {"amount_minor": "{constant: 5, sign: expense_negative}"}, r"map.yaml:7:31: .*goes with column"),
        ("", {"decide_by": "{column: at, zone: Europe/Berlin}"}, r"map.yaml:10:27: decide_by: rows are in no order of decide_by"),
        ("", {"decide_by": "{column: at, zone: Europe/Berlin, repeated: by_order}"}, r"map.yaml:10:48: .*in no order"),
        ("", {"event_time": "{column: at, format: []}"}, r"map.yaml:6:28: .*no format in it"),
        ("", {"event_time": "{join: [at, id], format: unix_s}"}, r"map.yaml:6:32: .*a join is a text"),
        ("", {"event_time": "{join: [at, id], unit: days, start: 2026-01-01T00:00:00Z}"}, r"map.yaml:6:32: .*a join is"),
        ("", {"event_time": '{column: at, format: "%Y %U"}'}, r"map.yaml:6:28: .*does not name year"),
        ("", {"event_time": '{column: at, format: "%Y %W"}'}, r"map.yaml:6:28: .*does not name year"),
        ("", {"event_time": '{column: at, format: "%G-%m-%d"}'}, r"map.yaml:6:28: .*%G is the year of a week"),
        ("", {"event_time": '{column: at, format: "%Y-%V-%u"}'}, r"map.yaml:6:28: .*does not name year"),
        ("rows: [{column: id, in: [x]}, {column: kind, in: [y]}]", {}, r"map.yaml:1:32: .*no column kind"),
        ("", {"amount_minor": "{column: amount, sign: {column: dir}}"}, r"map.yaml:7:34: fields.amount_minor.sign.paid: Field required"),
        ("", {"amount_minor": "{column: amount, sign: {column: dir, paid: D}}"}, r"map.yaml:7:54: .*sign.paid: .*valid list"),
        ("", {"account_amount_minor": "{column: amount, sign: expense_negative}"}, r"map.yaml:10:42: .*sign is for amount_minor"),
        ("", {"payee_id": "{column: payee, split: ;}"}, r"map.yaml:5:29: .*split is for lists"),
        ("", {"channel": "{constant: app, values: {a: app}}"}, r"map.yaml:9:28: .*a constant needs none"),
        ("", {"channel": "{column: payee, hash: true}"}, r"map.yaml:9:28: .*hash is for ids"),
        ("", {"payee_id": "{column: payee, column: id}"}, r"map.yaml:5:29: .*given twice"),
        ("rows: [{column: id}]", {}, r"map.yaml:1:8: .*give one of in and not_in"),
    ],
)  # fmt: skip
def test_an_option_without_effect_is_refused_with_file_line_and_column(
    tmp_path: Path, head: str, fields: dict[str, str], says: str
) -> None:
    path = written(tmp_path / "n.csv", f"id,account,payee,at,amount\nt1,a,p,{AT},1\n")
    with pytest.raises(UsageError, match=says):
        read(path, map_text(head, **fields))


def test_a_zone_for_timestamps_that_have_one_is_refused(tmp_path: Path) -> None:
    table = {
        "id": ["1"],
        "account": ["a"],
        "payee": ["p"],
        "at": pa.array([datetime(2026, 3, 1, tzinfo=UTC)]),
        "amount": [1],
    }
    pq.write_table(pa.table(table), tmp_path / "z.parquet")
    with pytest.raises(UsageError, match=r"map.yaml:6:28: event_time: zone has no effect"):
        read(tmp_path / "z.parquet", map_text(event_time="{column: at, zone: Asia/Tokyo}"))


@pytest.mark.parametrize("cell", [
    "2026-03-01 10.11", "2026-03-01T10.11", "1711110912345", "2026-03-01x10:00", "2026-02-30T10:00:00Z",
    "2026-03-01T23:59:60Z", "2026-03-01T24:00:00Z", "2026-02-30 10:00",
])  # fmt: skip
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_what_is_no_time_of_iso_8601_refuses_its_row_alone(tmp_path: Path, cell: str, zone: str) -> None:
    rows = f"t1,a,p,{cell},1\nt2,a,p,{AT},1\nt3,a,p,20260301T090000Z,1\n"
    path = written(tmp_path / "n.csv", "id,account,payee,at,amount\n" + rows)
    accepted, refused = read(path, map_text(event_time=f"{{column: at, zone: {zone}}}"))
    assert [row["event_time"] for row in accepted] == [AT, AT]
    assert [(line, reason) for line, reason, _ in refused] == [(2, "bad_time")]


@pytest.mark.parametrize(
    ("clock", "form", "instant"),
    [
        ("10.11", "iso", None),
        ("10.11", '"%Y-%m-%d %H.%M"', "2026-03-01T10:11:00Z"),
        ("10:11", "iso", "2026-03-01T10:11:00Z"),
    ],
)
def test_a_typed_date_and_a_written_clock_go_by_the_format(
    tmp_path: Path, clock: str, form: str, instant: str | None
) -> None:
    table = {"id": ["1"], "account": ["a"], "payee": ["p"], "day": [date(2026, 3, 1)], "clock": [clock], "amount": [1]}
    pq.write_table(pa.table(table), tmp_path / "d.parquet")
    accepted, _ = read(tmp_path / "d.parquet", map_text(event_time=f"{{join: [day, clock], format: {form}}}"))
    assert [row["event_time"] for row in accepted] == ([instant] if instant else [])


@pytest.mark.parametrize("option", ["unit: hours, start: 2026-01-01T00:00:00Z", "format: unix_s", 'format: "%d.%m.%Y"'])
def test_the_form_of_a_count_or_a_text_is_refused_for_dates(tmp_path: Path, option: str) -> None:
    table = {"id": ["1"], "account": ["a"], "payee": ["p"], "at": [date(2026, 3, 1)], "amount": [1]}
    pq.write_table(pa.table(table), tmp_path / "d.parquet")
    assert read(tmp_path / "d.parquet", map_text())[0][0]["event_time"] == "2026-03-01T00:00:00Z"
    with pytest.raises(UsageError, match=r"map.yaml:6:28: event_time: (unit|format) has no effect: at holds dates"):
        read(tmp_path / "d.parquet", map_text(event_time=f"{{column: at, {option}}}"))


@pytest.mark.parametrize("amount", ["-18.00", "18.00"])
def test_the_amount_in_the_accounts_currency_may_have_the_sign_of_the_payment(tmp_path: Path, amount: str) -> None:
    rows = f"t1,a,p,{AT},-20.00,{amount}\nt2,a,p,{AT},20.00,{amount}\n"
    path = written(tmp_path / "n.csv", "id,account,payee,at,amount,own\n" + rows)
    text = map_text(amount_minor="{column: amount, scale: 100, sign: expense_negative}",
                    account_amount_minor="{column: own, scale: 100}")  # fmt: skip
    accepted, refused = read(path, text)
    assert [(row["amount_minor"], row["account_amount_minor"]) for row in accepted] == [(2000, 1800)]
    assert refused == []


@pytest.mark.parametrize("name", ["half.jsonl", "half.json"])
@pytest.mark.parametrize("long", ["", ', "n": 12345678901234567890'])
@pytest.mark.parametrize("field", ['"payee": "x\\ud800y"', '"payee": "p", "more": ["x\\udc00"]'])
def test_half_a_surrogate_refuses_its_row_alone(tmp_path: Path, name: str, long: str, field: str) -> None:
    rest = f'"account": "a", "at": "{AT}", "amount": 1{long}'
    rows = [f'{{"id": "t1", {field}, {rest}}}', f'{{"id": "t2", "payee": "\\ud83d\\ude00", {rest}}}']
    text = "\n".join(rows) if name.endswith("l") else "[" + ",\n".join(rows) + "]"
    accepted, refused = read(
        written(tmp_path / name, text), map_text(payee_id="{column: payee, values: {}, default: p}")
    )
    assert [row["transaction_id"] for row in accepted] == ["t2"]
    assert [(line, reason) for line, reason, _ in refused] == [(1, "malformed")]


@pytest.mark.parametrize(
    ("cell", "code", "head", "minor"),
    [
        ("1.250", "EUR", "", None), ("-1.000", "EUR", "", None), ("150.000", "JPY", "", None), ("1.250", "KWD", "", 1250),
        ("1.250", "EUR", 'file: {decimal: ",", thousands: "."}', 125000),
        ("1.250", "EUR", 'file: {decimal: ".", thousands: ","}', 125), ("1.25", "EUR", "", 125), ("5.0000", "EUR", "", 500),
    ],
)  # fmt: skip
def test_a_mark_that_may_group_thousands_is_asked_for(
    tmp_path: Path, cell: str, code: str, head: str, minor: int | None
) -> None:
    path = written(tmp_path / "n.csv", f"id,account,payee,at,amount\nt1,a,p,{AT},{cell}\n")
    text = map_text(head, amount_minor="{column: amount, minor: by_currency}", currency=f"{{constant: {code}}}")
    accepted, refused = read(path, text)
    assert [row["amount_minor"] for row in accepted] == ([] if minor is None else [minor])
    if minor is None and not cell.startswith("-"):
        assert 'column amount: does "." group thousands?' in refused[0][2]


def test_a_decimal_of_parquet_says_its_mark_itself(tmp_path: Path) -> None:
    amounts = pa.array([Decimal("5.0000"), Decimal("1.250")], pa.decimal128(19, 4))
    table = {"id": ["1", "2"], "account": ["a"] * 2, "payee": ["p"] * 2, "at": [AT] * 2, "amount": amounts}
    pq.write_table(pa.table(table), tmp_path / "d.parquet")
    accepted, _ = read(tmp_path / "d.parquet", map_text(amount_minor="{column: amount, minor: by_currency}"))
    assert [row["amount_minor"] for row in accepted] == [500, 125]


@pytest.mark.parametrize("by_account", [False, True])
def test_repeated_times_of_rows_in_no_order_are_said(tmp_path: Path, by_account: bool) -> None:
    night = [*NIGHT, *NIGHT] if by_account else NIGHT
    rows = "".join(f"t{n},a{n // 6},p,2026-10-25 {local}:00,1\n" for n, (local, _) in enumerate(night))
    path = written(tmp_path / "night.csv", "id,account,payee,at,amount\n" + rows)
    text = map_text(event_time="{column: at, zone: Europe/Berlin}")
    result = replayed(path, text, "--sort", "--json")
    assert json.loads(result.stdout.splitlines()[-1])["repeated_in_disorder"] == (8 if by_account else 0)
    assert ("REPEATED TIMES NOT IN ORDER" in result.stdout) is by_account
    said = replayed(path, text.replace("Berlin}", "Berlin, repeated: first}"), "--sort", "--json")
    assert json.loads(said.stdout.splitlines()[-1])["repeated_in_disorder"] == 0


def test_a_file_without_a_payment_is_said_and_ends_with_1(tmp_path: Path) -> None:
    path = written(tmp_path / "card.csv", CARD)
    result = replayed(path, map_text("rows: [{column: state, in: [ok]}]"), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout.splitlines()[-1])["no_payment"] is True
    assert "no row of the file is a payment: are the values under rows:" in result.stdout


@pytest.mark.parametrize("name", ["ORC_ID", "PAR1", "BZh"])
def test_a_header_may_begin_like_the_signature_of_another_format(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "n.csv", f"{name},account,payee,at,amount\nt1,a,größer,{AT},1\n")
    accepted, _ = read(path, map_text(transaction_id=f'{{column: "{name}"}}', payee_id="{constant: p}"))
    assert [row["transaction_id"] for row in accepted] == ["t1"]
    path.write_bytes(f"{name}\x00\x01\x15".encode())
    with pytest.raises(RiskstreamError, match="not what its name says"):
        read(path, map_text())


def test_values_of_rows_are_compared_to_their_last_character(tmp_path: Path) -> None:
    path = written(
        tmp_path / "n.csv", f"id,account,payee,at,amount,state\nt1,a,p,{AT},1,{'x' * 120}\nt2,a,p,{AT},1,{'x' * 121}\n"
    )
    accepted, _ = read(path, map_text(f"rows: [{{column: state, in: [{'x' * 121}]}}]"))
    assert [row["transaction_id"] for row in accepted] == ["t2"]


def test_a_place_beyond_all_degrees_refuses_its_row(tmp_path: Path) -> None:
    path = written(tmp_path / "n.csv", f"id,account,payee,at,amount,lat\nt1,a,p,{AT},1,1e400\nt2,a,p,{AT},1,48.5\n")
    accepted, refused = read(path, map_text(lat="{column: lat}", lon="{constant: 1}"))
    assert [row["transaction_id"] for row in accepted] == ["t2"]
    assert refused == [(2, "out_of_range", "column lat: beyond all degrees")]


def test_a_paid_amount_below_zero_is_refused_with_what_to_do(tmp_path: Path) -> None:
    text = map_text(amount_minor="{column: amount, scale: 100, sign: {column: dir, paid: [D]}}")
    _, refused = read(written(tmp_path / "card.csv", CARD), text)
    assert "below zero; dir says that it was paid: correct the row, or what sign: paid: lists" in refused[0][2]


def test_a_refusal_names_the_column_of_its_own_field(tmp_path: Path) -> None:
    path = written(tmp_path / "n.csv", f"id,account,payee,at,amount,cur\nt1,a,p,{AT},1,DEM\n")
    _, refused = read(path, map_text(currency="{column: cur}"))
    assert [message.split(" (")[-1] for _, _, message in refused] == ["column cur)"]


def broken(directory: Path) -> Iterator[tuple[Path, str]]:
    line = json.dumps({"id": "b", "account": "a", "payee": "p", "at": AT, "amount": 1}) + "\n"
    csv = f"id,account,payee,at,amount\nb,a,p,{AT},1\n".encode()
    packed = gzip.compress((line * 90_000).encode())
    pq.write_table(pa.table({"id": ["1"]}), directory / "whole.parquet")
    whole = (directory / "whole.parquet").read_bytes()
    pq.write_table(pa.table({"merchant": ["1"]}), directory / "whole.parquet", store_schema=False, compression="none")
    named = (directory / "whole.parquet").read_bytes()
    with zipfile.ZipFile(directory / "some.zip", "w") as archive:
        archive.writestr("a.csv", csv)
    zipped = (directory / "some.zip").read_bytes()
    yield from (
        (directory / name, says)
        for name, content, says in (
            (
                "cut.jsonl.gz",
                packed[:-9000],
                r"cut.jsonl.gz: the compressed stream ends early, after [1-9][0-9,]* rows",
            ),
            (
                "damaged.jsonl.gz",
                packed[:-8] + b"\0" * 8,
                r"the compressed stream is damaged after [1-9]",
            ),
            ("plain.csv.gz", csv, r"plain.csv.gz: not gzip, though its name says so"),
            ("packed.csv", gzip.compress(csv), r"packed.csv: not what its name says; it is compressed with gzip"),
            ("zipped.csv", zipped, r"it is a zip archive"),
            ("pointer.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", r"Git LFS pointer"),
            ("pointer.csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", r"Git LFS pointer"),
            ("cut.parquet", whole[: len(whole) // 2], r"cut.parquet: Parquet that ends early or is damaged"),
            (
                "names.parquet",
                named.replace(b"merchant", b"\xa9erchant"),
                r"names.parquet: Parquet that ends early or is damaged",
            ),
            ("page.csv", b"<!DOCTYPE html><html>sign in</html>", r"a web page"),
            ("empty.csv", b"", r"empty.csv: empty, 0 bytes"),
            ("empty.parquet", b"", r"empty.parquet: empty, 0 bytes"),
            ("header.csv", b"id,account,payee,at,amount\n", r"header.csv: no row behind the header"),
            ("blank.jsonl", b"\n \n", r"blank.jsonl: empty, no line in it"),
            ("table.jsonl", csv, r"table.jsonl:1: not JSON"),
            (
                "two.json",
                b'[{"id": "b"}]\n[{"id": "c"}]',
                r"two.json:2: not JSON: the array ends here, and more stands behind",
            ),
            ("tail.json", b'[{"id": "b"}] xxx', r"tail.json:1: not JSON: the array ends here"),
            ("comma.json", b'[{"id": "b"}\n{"id": "c"}]', r"comma.json:2: not JSON: no comma between two items"),
            ("commas.json", b'[{"id": "b"},\n,{"id": "c"}]', r"commas.json:2: not JSON: a comma with no item behind"),
            (
                "cut.json",
                b'[{"id": "b", "account": "a"},\n{"id": "c',
                r"cut.json:2: the array ends early, after 1 rows",
            ),
            ("wide.csv", csv.decode().encode("utf-16-le"), r"wide.csv: holds zero bytes: UTF-16 without a mark"),
            ("book.xlsx", csv, r"book.xlsx: not a workbook"),
            ("half.xlsx", zipped[:60], r"half.xlsx: a workbook that cannot be read"),
        )
        if (directory / name).write_bytes(content) >= 0
    )


def replayed(path: Path, text: str, *options: str) -> Any:
    map_path = path.parent / "map.yaml"
    map_path.write_text(text, "utf-8")
    return CliRunner().invoke(command, [str(path), "--columns", str(map_path), "--round", "0s", *options])


def test_what_cannot_be_read_ends_in_one_line_with_the_true_cause(tmp_path: Path) -> None:
    import re

    for path, says in broken(tmp_path):
        with pytest.raises(RiskstreamError, match=says) as caught:
            read(path, map_text())
        assert "\n" not in str(caught.value), path
        assert re.search(re.escape(path.name), str(caught.value))


def test_replay_ends_with_1_where_rows_were_refused_and_sums_them_by_kind(tmp_path: Path) -> None:
    rows = f"t1,a,p,{AT},1\nt2,a b,p,{AT},1\nt3,a,p,noon,1\nt4,a,p,{AT}\nt5,a c,p,{AT},1\n"
    result = replayed(written(tmp_path / "n.csv", "id,account,payee,at,amount\n" + rows), map_text(), "--json")
    assert result.exit_code == 1
    summary = json.loads(result.stdout.splitlines()[-1])
    assert [(kind["reason"], kind["rows"], kind["first_line"]) for kind in summary["refused_by_kind"]] == [
        ("out_of_range", 2, 3), ("bad_time", 1, 4), ("malformed", 1, 5),
    ]  # fmt: skip
    assert "n.csv:3: out_of_range: field account_id: " in result.stdout
    assert "4 cells, the header has 5" in result.stdout


def test_a_file_with_the_newest_first_is_sorted_where_asked_and_labels_fall_in_place(tmp_path: Path) -> None:
    rows = [f"t{n},a{n % 7},p,2026-01-{1 + n // 24:02d}T{n % 24:02d}:00:00Z,1,{n % 2}\n" for n in range(200)]
    path = written(tmp_path / "n.csv", "id,account,payee,at,amount,fraud\n" + "".join(reversed(rows)))
    text = map_text(labels="labels: {fraud: {column: fraud}}")
    for size in (3, 1000):
        ordered = list(source(path, text, in_time_order=True).chunks(size))
        ids = [json.loads(value)["transaction_id"] for chunk in ordered for value in chunk.values]
        assert ids == [f"t{n}" for n in range(200)]
        assert [code for chunk in ordered if chunk.labels for code in chunk.labels.fraud.tolist()] == [
            n % 2 for n in range(200)
        ]
        assert ordered[0].lines is not None
        assert int(ordered[0].lines[0]) == 201


def test_a_json_array_reads_like_lines(tmp_path: Path) -> None:
    rows = [
        {"id": f"t{n}", "account": "a", "payee": {"name": ["x", f"p[{n}"]}, "at": AT, "amount": "1.5"}
        for n in range(9000)
    ]
    text = map_text(payee_id="{column: payee.name.1, values: {}, default: p}")
    lines = written(tmp_path / "rows.jsonl", "\n".join(map(json.dumps, rows)))
    array = written(tmp_path / "rows.json", json.dumps(rows, indent=1), "utf-16")
    compact = written(tmp_path / "compact.json", " \n" + json.dumps(rows))
    read_lines = read(lines, text)
    assert read_lines[0][8999]["transaction_id"] == "t8999"
    assert read(array, text) == read(compact, text) == read_lines


def test_a_workbook_reads_like_the_table_it_shows(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["a note"])
    sheet = book.create_sheet("Payments")
    sheet.append(["Statement"])
    sheet.append(["id", "account", "payee", "day", "clock", "amount"])
    sheet.append([1001, "a", 501, date(2026, 3, 1), time(10, 0), 12.5])
    sheet.append([1002, "a", None, date(2026, 3, 2), time(10, 30), "1.250,75"])
    sheet.append([1234567890123456, "a", "x", date(2026, 3, 2), time(10, 30), 1])
    book.save(tmp_path / "book.xlsx")
    text = map_text(
        'file: {sheet: Payments, header_row: 2, decimal: ",", thousands: "."}',
        event_time="{join: [day, clock], zone: Europe/Berlin}",
    )
    accepted, refused = read(tmp_path / "book.xlsx", text)
    assert brief(accepted) == [("1001", 1250, "2026-03-01T09:00:00Z"), ("1002", 125075, "2026-03-02T09:30:00Z")]
    assert [row.get("payee_id") for row in accepted] == ["501", None]
    assert [(line, reason) for line, reason, _ in refused] == [(5, "out_of_range")]
    assert read(tmp_path / "book.xlsx", text.replace("Payments", "2"))[0] == accepted
    with pytest.raises(UsageError, match="no sheet 7; it has Sheet, Payments"):
        read(tmp_path / "book.xlsx", text.replace("Payments", "7"))


def test_null_words_and_columns_without_a_header(tmp_path: Path) -> None:
    path = written(tmp_path / "n.csv", f"t1;a;NULL;{AT};1\nt2;a;\\N;{AT};1\nt3;a;p;{AT};1\n")
    columns = {
        name: f"{{column: {place}}}"
        for place, name in enumerate(("transaction_id", "account_id", "payee_id", "event_time", "amount_minor"), 1)
    }
    head = 'file: {header_row: 0, delimiter: ";", null_values: [NULL, "\\\\N"]}'
    accepted, refused = read(path, map_text(head, **columns))
    assert ([row.get("payee_id") for row in accepted], refused) == ([None, None, "p"], [])
