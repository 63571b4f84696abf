#!/usr/bin/env bash
# Guess: python-calamine gives a cell with the error #N/A as that text, and a column of timestamps as datetimes throughout.
# Found: python-calamine 0.9.1: the error is an empty string, as a cell that was never filled; a timestamp at midnight is a date
# among datetimes; and empty rows and columns before the first filled cell are left out, so that row numbers are not the sheet's.
# Run on valid input, without riskstream; fails where the behaviour is another by now.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check python-calamine==0.9.1 openpyxl==3.1.5
"$work/venv/bin/python" - <<'PYTHON'
import datetime as dt
import tempfile
from pathlib import Path

import openpyxl
from python_calamine import CalamineWorkbook

path = Path(tempfile.mkdtemp()) / "export.xlsx"
book = openpyxl.Workbook()
sheet = book.active
for place, row in enumerate((["payee", "when"], ["#N/A", dt.datetime(2026, 3, 1, 10)], ["p2", dt.datetime(2026, 3, 1)]), 3):
    for column, cell in enumerate(row, 2):
        sheet.cell(place, column, cell)
book.save(path)
rows = CalamineWorkbook.from_path(path).get_sheet_by_index(0).to_python()
print(rows)
print("openpyxl:", openpyxl.load_workbook(path).active["B4"].value)
assert rows[0] == ["payee", "when"], "the sheet's first rows and column are there by now"
assert rows[1] == ["", dt.datetime(2026, 3, 1, 10)]
assert rows[2] == ["p2", dt.date(2026, 3, 1)] and type(rows[2][1]) is dt.date
assert openpyxl.load_workbook(path).active["B4"].value == "#N/A"
PYTHON
