"""Files become transactions: the same from CSV, JSONL and Parquet, whatever the chunk, with their labels."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stream.arrays.rfc3339 import parse
from stream.errors import RiskstreamError, UsageError
from stream.replay.source.column_map import load_column_map
from stream.replay.source.sources import Chunk, open_source
from stream.replay.walk.schedule import Schedule, parse_delay

MAP = """
fields:
  transaction_id: {column: id}
  account_id: {template: "cz-{account}"}
  payee_id: {column: payee}
  event_time: {column: at, format: FORMAT}
  amount_minor: {column: amount, scale: 100}
  currency: {constant: CZK}
  channel: {column: kind, values: {transfer: app, 7: atm}, default: branch}
  lat: {column: lat}
  customer.age_band: {column: age}
  customer.vulnerable: {column: weak}
  slips: {column: slips, split: ";"}
labels: {fraud: {column: fraud}, attack: {column: attack}}
"""
HANDBOOK = Path(__file__).parents[4] / "deploy" / "maps" / "handbook.yaml"
REQUIRED = "  transaction_id: {column: id}\n  account_id: {column: a}\n  event_time: {column: t}\n"
REQUIRED += "  amount_minor: {column: m}\n  currency: {constant: EUR}\n  channel: {constant: app}\n"


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": 1000 + n,
            "account": n % 5,
            "payee": f"p{n % 3}" if n % 4 else None,
            "at": datetime(2026, 3, 1, n % 24, 30, 15, 250_000 * (n % 4)),  # noqa: DTZ001 - the map gives the zone
            "amount": [0.125, 10.5, 1.005, 2.675, 99.995][n % 5] + n,
            "kind": ["transfer", 7, "other"][n % 3],
            "lat": 48.0 + n / 7,
            "age": ["65+", None, "<18"][n % 3],
            "weak": n % 2 == 0,
            "slips": ["", "wrong_date; x ", "mistyped_name"][n % 3],
            "fraud": int(n % 10 == 3),
            "attack": "takeover" if n % 10 == 3 else None,
        }
        for n in range(count)
    ]


def written(directory: Path, kind: str, records: list[dict[str, Any]]) -> Path:
    path = directory / f"data.{kind}"
    texts = [record | {"at": record["at"].isoformat(sep=" "), "kind": str(record["kind"])} for record in records]
    if kind == "parquet":
        table = [record | {"kind": str(record["kind"])} for record in records]
        pq.write_table(pa.Table.from_pylist(table), path, row_group_size=17)
    elif kind == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(texts[0]))
            writer.writeheader()
            writer.writerows(texts)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in texts), "utf-8")
    return path


def map_file(directory: Path, text: str) -> Path:
    path = directory / "map.yaml"
    path.write_text(text, "utf-8")
    return path


def read(path: Path, text: str, chunk_rows: int = 20) -> list[Chunk]:
    column_map = load_column_map(map_file(path.parent, text))
    return list(open_source(path, column_map).chunks(chunk_rows))


def test_every_kind_of_file_gives_the_same_transactions_and_labels(tmp_path: Path) -> None:
    text = MAP.replace("FORMAT", "timestamp")
    found = {}
    for kind in ("csv", "jsonl", "parquet"):
        chunks = read(written(tmp_path, kind, rows(90)), text)
        values = [value for chunk in chunks for value in chunk.values]
        labels = [(chunk.labels.fraud.tolist(), chunk.labels.attack) for chunk in chunks if chunk.labels is not None]
        fraud = [code for codes, _ in labels for code in codes]
        found[kind] = (values, fraud, [attack for _, attacks in labels for attack in attacks])
    assert found["csv"] == found["jsonl"] == found["parquet"]
    values, fraud, attacks = found["csv"]
    assert fraud == [int(n % 10 == 3) for n in range(90)]
    assert attacks[3] == "takeover"
    assert json.loads(values[1]) == {
        "transaction_id": "1001", "account_id": "cz-1", "payee_id": "p1", "event_time": "2026-03-01T01:30:15.250000Z",
        "amount_minor": 1150, "currency": "CZK", "channel": "atm", "lat": 48.0 + 1 / 7,
        "customer": {"vulnerable": False}, "slips": ["wrong_date", "x"],
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_chunks_change_nothing(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, kind, rows(90))
    text = MAP.replace("FORMAT", "timestamp")
    whole = read(path, text, 1000)
    split = read(path, text, 7)
    assert [row.tobytes() for chunk in whole for row in chunk.decoded.columns] == [
        row.tobytes() for chunk in split for row in chunk.decoded.columns
    ]
    assert [chunk.first_row for chunk in split][:3] == [0, 7, 14]
    assert max(len(chunk.values) for chunk in split) == 7


def test_offset_is_the_row_and_timestamp_the_event_time(tmp_path: Path) -> None:
    (chunk,) = read(written(tmp_path, "parquet", rows(5)), MAP.replace("FORMAT", "timestamp"))
    assert chunk.decoded.columns["offset"].tolist() == [0, 1, 2, 3, 4]
    assert (chunk.decoded.columns["timestamp"] == chunk.decoded.columns["event_time"] // 1000).all()


@pytest.mark.parametrize(
    ("cell", "form", "zone", "instant"),
    [
        ("1772323200", "unix_s", "UTC", "2026-03-01T00:00:00Z"),
        ("1772323200.25", "unix_s", "UTC", "2026-03-01T00:00:00.25Z"),
        ("1772323200250", "unix_ms", "UTC", "2026-03-01T00:00:00.25Z"),
        ("2026-03-01T08:00:00+08:00", "iso", "UTC", "2026-03-01T00:00:00Z"),
        ("2026-03-01 08:00:00", "iso", "Asia/Shanghai", "2026-03-01T00:00:00Z"),
        ("20260301080000", '"%Y%m%d%H%M%S"', "Asia/Shanghai", "2026-03-01T00:00:00Z"),
        ("01.07.2026 02:00", '"%d.%m.%Y %H:%M"', "Europe/Prague", "2026-07-01T00:00:00Z"),
    ],
)
def test_forms_of_time(tmp_path: Path, cell: str, form: str, zone: str, instant: str) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"id,a,t,m\nx,y,{cell},1\n", "utf-8")
    text = "fields:\n" + REQUIRED.replace("{column: t}", f"{{column: t, format: {form}, zone: {zone}}}")
    (chunk,) = read(path, text)
    value = json.loads(chunk.values[0])["event_time"]
    assert parse(value) == parse(instant)


@pytest.mark.parametrize(
    ("cell", "scale", "amount"),
    [("0.125", 100, 12), ("0.135", 100, 14), ("2.675", 100, 268), ("1.005", 100, 100), ("2.5", 1, 2), ("3.5", 1, 4),
     ("9007199254740993", 1, 9007199254740993), ("1e3", 1, 1000), ("1234", 0.01, 12)],
)  # fmt: skip
def test_amounts_are_scaled_in_decimal_and_rounded_half_even(
    tmp_path: Path, cell: str, scale: float, amount: int
) -> None:
    path = tmp_path / "data.csv"
    path.write_text(f"id,a,t,m\nx,y,2026-01-01T00:00:00Z,{cell}\n", "utf-8")
    (chunk,) = read(path, "fields:\n" + REQUIRED.replace("{column: m}", f"{{column: m, scale: {scale}}}"))
    assert json.loads(chunk.values[0])["amount_minor"] == amount


def test_a_row_that_the_contract_refuses_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("id,a,t,m\nx 1,y,2026-01-01T00:00:00Z,1\nx2,y,2026-01-01T00:00:00Z,5\nx3,y,,5\n", "utf-8")
    (chunk,) = read(path, "fields:\n" + REQUIRED)
    assert [(refusal.index, refusal.reason) for refusal in chunk.decoded.refused] == [
        (0, "out_of_range"),
        (2, "missing"),
    ]
    assert chunk.decoded.columns["transaction_id"].tolist() == [b"x2"]
    assert chunk.accepted_values == [chunk.values[1]]


@pytest.mark.parametrize(
    ("data", "change", "says"),
    [
        (
            "id,a,t,m\nx,y,noon,1\n",
            "",
            (2, "bad_time", "column t: not an ISO 8601 date and time; format: says what it is"),
        ),
        (
            "id,a,t,m\nx,y,2026-01-01T00:00:00Z,1\n\nx,y,2026-01-01T00:00:00Z,much\n",
            "",
            (
                4,
                "wrong_type",
                'column m: not a number with decimal "."; file: {decimal: …, thousands: …} says how it is written',
            ),
        ),
        (
            "id,a,t,m\nx,y,2026-01-01T00:00:00Z,1\n",
            "  payee_kind: {column: a, values: {z: own}}\n",
            (2, "out_of_range", "column a: value 'y' is not in values; list it or give a default"),
        ),
    ],
)
def test_a_cell_that_cannot_be_read_refuses_its_row_with_line_column_and_reason(
    tmp_path: Path, data: str, change: str, says: tuple[int, str, str]
) -> None:
    path = tmp_path / "data.csv"
    path.write_text(data, "utf-8")
    (chunk,) = read(path, "fields:\n" + REQUIRED.replace("{column: t}", "{column: t, format: iso}") + change)
    assert chunk.lines is not None
    assert [(int(chunk.lines[one.index]), one.reason, one.message) for one in chunk.decoded.refused] == [says]


def test_a_column_that_is_not_there_is_named_with_its_place_in_the_map(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("id,a,t\nx,y,2026-01-01T00:00:00Z\n", "utf-8")
    with pytest.raises(UsageError, match=r"map.yaml:5:3: .*data.csv: no column m; it has id, a, t"):
        read(path, "fields:\n" + REQUIRED)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "fields:\n" + REQUIRED + "  colour: {column: c}\n",
            r"map.yaml:8:3: fields: colour: a transaction has no such",
        ),
        ("fields:\n" + REQUIRED + "  lat: {column: c, constant: 1}\n", r"map.yaml:8:3: fields.lat: give one of"),
        ("fields:\n" + REQUIRED + "  lat: {colum: c}\n", r"map.yaml:8:9: fields.lat.colum: Extra"),
        ("fields:\n" + REQUIRED + "  lat: {column: c, scale: 5}\n", r"map.yaml:8:20: lat: scale is for amounts"),
        ("fields:\n" + REQUIRED + "  decide_by: {column: c, zone: Mars/X}\n", r"map.yaml:8:26: .*no such time zone"),
        ("fields:\n" + REQUIRED + '  device_id: {template: "{a!r}"}\n', r"map.yaml:8:3: .*without formats"),
        ("fields:\n  transaction_id: {column: a}\n", r"map.yaml:1:1: fields: required and not mapped: account_id"),
        ("fields:\n  a: [\n", r"map.yaml:3:1: not YAML"),
    ],
)
def test_a_wrong_map_is_named_with_file_and_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load_column_map(map_file(tmp_path, text))


def test_a_table_without_a_map_and_a_file_that_is_not_there_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs a column map"):
        open_source(written(tmp_path, "csv", rows(1)))
    with pytest.raises(UsageError, match="no such file"):
        open_source(tmp_path / "absent.csv")
    (tmp_path / "data.xls").write_bytes(b"")
    with pytest.raises(UsageError, match="name it"):
        open_source(tmp_path / "data.xls")


def transactions(directory: Path, count: int) -> Path:
    path = directory / "bank.jsonl"
    lines = [
        {
            "transaction_id": f"t{n}", "account_id": f"a{n % 3}", "event_time": f"2026-01-{1 + n:02d}T00:00:00Z",
            "amount_minor": n, "currency": "CNY", "channel": "app",
        }
        for n in range(count)
    ]  # fmt: skip
    path.write_text("\n".join(json.dumps(line) for line in lines) + "\n\nnot JSON\n", "utf-8")
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_truth_file_labels_what_it_names(tmp_path: Path, kind: str) -> None:
    truth = tmp_path / f"truth.{kind}"
    labels = [{"transaction_id": f"t{n}", "fraud": int(n == 2), "attack": "scam" if n == 2 else ""} for n in range(4)]
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(labels), truth)
    elif kind == "csv":
        lines = ["transaction_id,fraud,attack", *(f"{x['transaction_id']},{x['fraud']},{x['attack']}" for x in labels)]
        truth.write_text("\n".join(lines), "utf-8")
    else:
        truth.write_text("\n".join(map(json.dumps, labels)), "utf-8")
    (chunk,) = open_source(transactions(tmp_path, 6), truth=truth).chunks()
    assert chunk.labels is not None
    assert chunk.labels.fraud.tolist() == [0, 0, 1, 0, -1, -1]
    assert chunk.labels.attack == ["", "", "scam", "", "", ""]
    assert [refusal.reason for refusal in chunk.decoded.refused] == ["malformed"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            {"transaction_id": "t1", "is_fraud": 1},
            "truth.jsonl: no row of it has a value of fraud; .*transaction_id, fraud",
        ),
        ({"transaction_id": "t1", "fraud": 1, "attack": ["scam"]}, "truth.jsonl:1: attack: a list where one value"),
        ({"transaction_id": "t1", "fraud": 1, "attack": {"kind": "scam"}}, "truth.jsonl:1: attack: an object"),
    ],
)
def test_a_truth_file_without_labels_that_can_be_read_is_refused(
    tmp_path: Path, line: dict[str, Any], says: str
) -> None:
    truth = tmp_path / "truth.jsonl"
    truth.write_text(json.dumps(line), "utf-8")
    with pytest.raises(RiskstreamError, match=says):
        open_source(transactions(tmp_path, 6), truth=truth)


def test_a_label_is_known_when_the_event_time_has_come_to_it(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    truth.write_text("transaction_id,fraud\nt1,1\nt2,1\nt9,1\nt0,0\n", "utf-8")
    schedule = Schedule(parse_delay("3d"))
    records = list(schedule.records(open_source(transactions(tmp_path, 10), truth=truth).chunks(4)))
    ids = [(record.kind[0], json.loads(record.value)["transaction_id"]) for record in records]
    expected = [("t", f"t{n}") for n in range(10)]
    expected.insert(5, ("f", "t2"))
    expected.insert(4, ("f", "t1"))
    assert ids == expected
    feedback = json.loads(next(record.value for record in records if record.kind == "feedback"))
    assert feedback["occurred_at"] == "2026-01-05T00:00:00Z"
    assert (feedback["kind"], feedback["verdict"], feedback["actor"]) == ("chargeback", "fraud", "chargeback:file")
    assert schedule.pending == 1
    assert all(record.key == json.loads(record.value)["account_id"].encode() for record in records)


def test_a_limit_counts_transactions(tmp_path: Path) -> None:
    records = Schedule(0).records(open_source(transactions(tmp_path, 10)).chunks(4), 5)
    assert len(list(records)) == 5


def test_the_shipped_map_reads_a_file_of_the_handbooks_shape(tmp_path: Path) -> None:
    path = tmp_path / "handbook.parquet"
    count = 4
    table = pa.table(
        {
            "tx_id": pa.array(range(count), pa.int32()),
            "ts": pa.array(np.arange(count) * 1000 + 1_522_540_831_000, pa.timestamp("ms")),
            "account_id": pa.array([596, 4961, 2, 4128], pa.int32()),
            "payee_id": pa.array([3156, 3412, 1365, 8737], pa.int32()),
            "amount_minor": pa.array([5716, 8151, 14600, 0], pa.int32()),
            "fraud": pa.array([0, 1, 0, 1], pa.int8()),
            "fraud_scenario": pa.array([0, 2, 0, 3], pa.int8()),
        }
    )
    pq.write_table(table, path)
    (chunk,) = open_source(path, load_column_map(HANDBOOK)).chunks()
    assert chunk.decoded.refused == []
    assert chunk.decoded.columns["account_id"].tolist() == [b"card-596", b"card-4961", b"card-2", b"card-4128"]
    assert json.loads(chunk.values[0])["event_time"] == "2018-04-01T00:00:31Z"
    assert chunk.labels is not None
    assert chunk.labels.fraud.tolist() == [0, 1, 0, 1]
    assert chunk.labels.attack == ["", "compromised_terminal", "", "compromised_card"]


def test_a_map_reads_reversals_references_and_balances(tmp_path: Path) -> None:
    path, column_map = tmp_path / "core.csv", tmp_path / "map.yaml"
    uetr = "8a562c67-ca16-48ba-b074-65581be6f011"
    path.write_text(
        "id,a,t,m,kind,original,uetr,balance\n"
        f"t1,a1,2026-03-01T00:00:00Z,5,D,,{uetr},-12.50\nt2,a1,2026-03-01T00:00:01Z,5,R,t1,,1\nt3,a1,2026-03-01T00:00:02Z,5,R,,,\n"
    )
    column_map.write_text(
        "fields:\n" + REQUIRED + "  type: {column: kind, values: {D: payment, R: reversal}}\n"
        "  original_transaction_id: {column: original}\n  uetr: {column: uetr}\n  balance_minor: {column: balance, scale: 100}\n"
    )
    chunk = next(iter(open_source(path, load_column_map(column_map), None).chunks(10)))
    first, second = (json.loads(value) for value in chunk.values[:2])
    assert (first["type"], first["uetr"], first["balance_minor"]) == ("payment", uetr, -1250)
    assert (second["type"], second["original_transaction_id"], second["balance_minor"]) == ("reversal", "t1", 100)
    assert [(refusal.index, refusal.reason) for refusal in chunk.decoded.refused] == [(2, "missing")]
