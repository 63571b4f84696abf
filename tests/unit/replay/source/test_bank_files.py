"""Files as banks, card schemes, wallets and data people have them: read as they are meant, or refused with the true cause."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bank_files import AT, BASE, CARD, NIGHT, brief, map_text, read, replayed, source, written

from stream.errors import RiskstreamError, UsageError


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
