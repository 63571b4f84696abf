"""What pandas, Polars and DuckDB make of the cells of a bank's file, left to themselves, beside riskstream.

    python -m venv build/readers && build/readers/bin/pip install pandas==3.1.1 polars==2.1.0 duckdb==2.0.1 pyarrow==26.0.1
    build/readers/bin/python benchmarks/file_readings.py

Each cell stands in a column of its own, in two rows of a CSV file; what is shown is the first row's value. The table of docs/files.md.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

CELLS = [
    "007",
    "12345678901234567890123",
    "1234567890123456789.0",
    "NaN",
    "NULL",
    "1e3",
    "1.250,00",
    "03/04/2026",
    "2026-03-01 09:00:00+01:00",
    "true",
]


def by_pandas(path: Path) -> object:
    import pandas

    return pandas.read_csv(path)["x"][0]


def by_polars(path: Path) -> object:
    import polars

    return polars.read_csv(path)["x"][0]


def by_duckdb(path: Path) -> object:
    import duckdb

    row = duckdb.connect().execute("SELECT x FROM read_csv(?)", [str(path)]).fetchone()
    return None if row is None else row[0]


def main() -> None:
    print("| cell | pandas | Polars | DuckDB |\n|---|---|---|---|")
    for cell in CELLS:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "cells.csv"
            path.write_text(f'n,x\n1,"{cell}"\n2,"{cell}"\n', "utf-8")
            shown = []
            for read in (by_pandas, by_polars, by_duckdb):
                try:
                    shown.append(f"`{read(path)!r}`")
                except Exception as error:  # noqa: BLE001 - whatever a reader makes of it is what is shown
                    shown.append(type(error).__name__)
        print(f"| `{cell}` | {' | '.join(shown)} |")


if __name__ == "__main__":
    main()
