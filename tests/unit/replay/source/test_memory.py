"""Files are read in bounded memory: what a file of 200 MB or of 2 GB takes is what a chunk takes."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

BOUND_MB = 400
"""Peak memory of a reading process, whatever the file's size: interpreter, libraries and a few chunks."""
MAP = """
fields:
  transaction_id: {column: id}
  account_id: {column: account}
  event_time: {column: at}
  amount_minor: {column: amount, scale: 100}
  currency: {constant: EUR}
  channel: {constant: app}
  purpose: {column: note}
"""
READ = """
import sys
from pathlib import Path
from stream.replay.source.column_map import load_column_map
from stream.replay.source.sources import open_source
rows = 0
for chunk in open_source(Path(sys.argv[1]), load_column_map(Path(sys.argv[2]))).chunks(4096):
    rows += len(chunk.decoded.accepted)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(rows, int(peak.split()[1]) // 1024)
"""
FILLER = "x" * 6_000
NOTE = "rent of November, " * 20


def row(number: int) -> dict[str, Any]:
    return {
        "id": f"t{number}", "account": f"a{number % 999}", "at": "2026-03-01T09:00:00Z", "amount": "12.50", "note": NOTE,
        "filler": FILLER,
    }  # fmt: skip


def write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write rows one after the other, in the format of the file's name."""
    if path.suffix == ".parquet":
        _write_parquet(path, rows)
        return
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as raw:
        out = io.TextIOWrapper(raw, "utf-8")  # type: ignore[arg-type]
        {".csv": _write_csv, ".gz": _write_csv, ".jsonl": _write_lines, ".json": _write_array}[path.suffix](out, rows)
        out.flush()
        out.detach()


def _write_csv(out: IO[str], rows: Iterator[dict[str, Any]]) -> None:
    writer = csv.DictWriter(out, list(row(0)))
    writer.writeheader()
    writer.writerows(rows)


def _write_lines(out: IO[str], rows: Iterator[dict[str, Any]]) -> None:
    out.writelines(json.dumps(one) + "\n" for one in rows)


def _write_array(out: IO[str], rows: Iterator[dict[str, Any]]) -> None:
    out.write("[")
    for number, one in enumerate(rows):
        out.write((",\n" if number else "\n") + json.dumps(one))
    out.write("\n]")


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    writer = None
    for one in rows:  # each group repeats one row: what is written is quick, what is read is as large
        table = pa.Table.from_pylist([one] * 5_000)
        writer = writer or pq.ParquetWriter(path, table.schema, compression=None, use_dictionary=False)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def peak_mb(folder: Path, name: str, megabytes: int) -> tuple[int, int]:
    """Rows read of a file of about so many MB, and the peak memory of the process that read them."""
    path, column_map = folder / name, folder / "map.yaml"
    column_map.write_text(MAP, "utf-8")
    count = megabytes * 1_000_000 // len(json.dumps(row(0)))
    write(path, (row(number) for number in range(0, count, 5_000 if name.endswith(".parquet") else 1)))
    assert name.endswith(".gz") or path.stat().st_size > 0.8e6 * megabytes
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path), str(column_map)], capture_output=True, text=True, check=False, timeout=3_000
    )  # fmt: skip
    path.unlink()
    assert done.returncode == 0, done.stderr
    rows, peak = map(int, done.stdout.split())
    assert rows >= count
    return rows, peak


FORMATS = ["f.csv", "f.jsonl", "f.json", "f.csv.gz", "f.parquet"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_200_mb_is_read_in_bounded_memory(tmp_path: Path, name: str) -> None:
    assert peak_mb(tmp_path, name, 200)[1] < BOUND_MB


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_2_gb_is_read_in_the_same_memory(tmp_path: Path, name: str) -> None:
    assert peak_mb(tmp_path, name, 2_000)[1] < BOUND_MB
