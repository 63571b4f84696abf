"""Files that are refused, whole or row by row: with the true cause, and where it stands."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bank_files import AT, CARD, NIGHT, brief, map_text, read, replayed, source, written

from stream.errors import RiskstreamError, UsageError


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
