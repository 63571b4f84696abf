"""`riskstream map`: looks at a file, asks what it cannot know, shows how rows would be read."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from stream.cli.map import command
from stream.errors import UsageError
from stream.replay.source.column_map import load_column_map

BILL = "账单导出\n共2笔\n\n时间                ,对方账号  ,金额      ,订单号\t,\n"
BILL += "2026-03-09 21:32:14 ,shop-1    ,49.74     ,20260309000001\t,\n2026-03-02 12:01:30 ,noodles-2 ,1120.00   ,20260302000004\t,\n"
GERMAN = '"Konto";"Buchungstag";"Referenz";"Empfaenger";"Betrag";"Waehrung"\n"K-1";"24.03.26";"R1";"Bäckerei";"-4,20";"EUR"\n'
GERMAN += '"K-1";"25.03.26";"R2";"E-2";"1.250,00";"EUR"\n"K-1";"25.03.26";"R3";"NULL";"1,00";"EUR"\n'


def looked(path: Path, *options: str) -> tuple[dict[str, Any], Any]:
    result = CliRunner().invoke(command, [str(path), "--json", *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.stdout.splitlines()[-1]), result


def test_a_bill_with_a_preamble_is_found_and_what_is_not_in_it_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    path.write_bytes(BILL.encode("gb18030"))
    found, _ = looked(path)
    assert "file: {encoding: gb18030, header_row: 4, strip: true}" in found["map"]
    assert [row["transaction_id"] for row in found["rows"]] == ["20260309000001", "20260302000004"]
    assert [question.split(":")[0] for question in found["questions"]] == [
        "account_id", "event_time", "currency", "channel", "it is not UTF-8 and reads as gb18030",
    ]  # fmt: skip
    assert len(found["refused"]) == 2


def test_decimal_commas_dates_signs_names_and_words_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKSTREAM_HASH_KEY_FILE", str(tmp_path / "key"))
    (tmp_path / "key").write_bytes(b"0123456789abcdef")
    path = tmp_path / "umsatz.csv"
    path.write_bytes(GERMAN.encode("cp1252"))
    out = tmp_path / "map.yaml"
    found, _ = looked(path, "--out", str(out))
    column_map = load_column_map(out)
    assert (column_map.file.encoding, column_map.file.delimiter, column_map.file.decimal) == ("cp1252", ";", ",")
    assert column_map.file.null_values == ["NULL"]
    assert (column_map.fields["amount_minor"].sign, column_map.fields["payee_id"].hash) == ("expense_negative", True)
    assert column_map.fields["event_time"].formats == ["%d.%m.%y"]
    assert [row["amount_minor"] for row in found["rows"]] == [420]
    with pytest.raises(UsageError, match="is there already"):
        CliRunner().invoke(command, [str(path), "--out", str(out)], catch_exceptions=False)
    answered = out.read_text().replace('{constant: "?"}', "{constant: app}")
    out.write_text(answered)
    shown, result = looked(path, "--columns", str(out))
    assert (shown["rows"][0]["channel"], shown["refused"], result.exit_code) == ("app", [], 0)


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "xlsx"])
def test_every_kind_of_file_is_looked_at(tmp_path: Path, kind: str) -> None:
    rows = [
        {"id": f"t{n}", "account": "a", "payee": "p", "amount": 1.25, "currency": "EUR", "at": "2026-03-01T09:00:00Z"}
        for n in range(30)
    ]
    path = tmp_path / f"data.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([row | {"at": datetime(2026, 3, 1, 9)} for row in rows]), path)  # noqa: DTZ001
    elif kind == "xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        for line in ([*rows[0]], *([*row.values()] for row in rows)):
            book.active.append(line)
        book.save(path)
    else:
        path.write_text(json.dumps(rows) if kind == "json" else "\n".join(map(json.dumps, rows)))
    found, _ = looked(path)
    assert [(row["transaction_id"], row["amount_minor"], row["event_time"]) for row in found["rows"]] == [
        (f"t{n}", 125, "2026-03-01T09:00:00Z") for n in range(10)
    ]


def test_days_and_months_that_could_be_either_are_asked(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("id,account,date,amount\nt1,a,03/04/2026,1.5\nt2,a,05/06/2026,2.5\n")
    found, _ = looked(path)
    assert any("reads as %d/%m/%Y and as %m/%d/%Y; which one is it?" in question for question in found["questions"])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--columns", "absent.yaml"), "absent.yaml: No such file or directory; --columns names a column map"),
        (("--columns", "latin.yaml"), "latin.yaml:1:6: not UTF-8"),
        (("--out", "no/such/map.yaml"), "no/such/map.yaml: No such file or directory; --out names a file"),
    ],
)
def test_a_map_that_cannot_be_read_or_written_is_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d.csv").write_text("id,account,date,amount\nt1,a,2026-03-01,1.5\n")
    Path("latin.yaml").write_bytes("# Geb\u00fchr\n".encode("latin-1"))
    with pytest.raises(UsageError, match=says):
        CliRunner().invoke(command, ["d.csv", *options], catch_exceptions=False)


def test_a_clock_with_a_point_is_proposed_as_no_iso_time(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("id,account,date,amount\nt1,a,2026-03-01 10.11,1.5\n")
    found, _ = looked(path)
    assert any("how are the times of date written?" in question for question in found["questions"])


def test_points_before_three_digits_are_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("id,account,date,amount\nt1,a,2026-03-01,1.250\nt2,a,2026-03-02,2.000\n")
    found, _ = looked(path)
    assert any("amount: is a point the decimal mark" in question for question in found["questions"])


def test_with_a_map_refused_rows_are_no_rows_and_the_exit_status_is_1(tmp_path: Path) -> None:
    path, map_path = tmp_path / "d.csv", tmp_path / "map.yaml"
    path.write_text("id,account,date,amount\nt1,a,2026-03-01,1\nt 2,a,2026-03-02,2\n")
    map_path.write_text(
        "fields: {transaction_id: {column: id}, account_id: {column: account}, event_time: {column: date}, "
        "amount_minor: {column: amount}, currency: {constant: EUR}, channel: {constant: app}}"
    )
    shown, result = looked(path, "--columns", str(map_path))
    assert [row["transaction_id"] for row in shown["rows"]] == ["t1"]
    assert (len(shown["refused"]), result.exit_code) == (1, 1)
