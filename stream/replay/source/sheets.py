"""A workbook's sheet as rows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np

from stream.errors import RiskstreamError, UsageError
from stream.replay.source.cells import SheetNumber, cleaned
from stream.replay.source.delimited import Wanted
from stream.replay.source.file_form import FileForm
from stream.replay.source.file_rows import Column, Rows
from stream.replay.source.file_signature import foreign

_BLOCK_ROWS = 4_096
_INSTALL = "a workbook is read by python-calamine: pip install 'riskstream[xlsx]'"


def sheet_rows(path: Path, form: FileForm, wanted: Wanted) -> Iterator[Rows]:
    """The wanted columns of a sheet; the whole sheet is held in memory, at most 1,048,576 rows.

    Raises
    ------
    UsageError
        The reader of workbooks is not installed; no such sheet.
    RiskstreamError
        It is no workbook, or has no header.
    """
    cells = _iterated(path, form)
    start = 1 if form.header_row is None else form.header_row
    names: list[str] = []
    places: list[int] = []
    block: list[list[Any]] = []
    lines: list[int] = []
    count = 0
    for number, row in enumerate(cells, 1):
        if number < start or not any(cell not in ("", None) for cell in row):
            continue
        if not places:
            names = (
                [_name(cell, form.strip) for cell in row] if start else [str(place) for place in range(1, len(row) + 1)]
            )
            places = [names.index(name) for name in wanted(names)]
            if start:
                continue
        block.append([_cell(row[place]) if place < len(row) else None for place in places])
        lines.append(number)
        count += 1
        if len(block) >= _BLOCK_ROWS:
            yield _taken(block, lines, names, places, form)
            block, lines = [], []
    if block:
        yield _taken(block, lines, names, places, form)
    if not count:
        raise RiskstreamError(f"{path}: no row behind the header")


def sheet_sample(path: Path) -> Iterator[list[Any]]:
    """Rows of the first sheet, for a look at it."""
    return _iterated(path, FileForm())


def _taken(block: list[list[Any]], lines: list[int], names: list[str], places: list[int], form: FileForm) -> Rows:
    nulls = frozenset(form.null_values)
    columns: dict[str, Column] = {
        names[place]: cleaned([row[at] for row in block], form.strip, nulls) for at, place in enumerate(places)
    }
    return Rows(np.array(lines, np.int64), columns)


def _iterated(path: Path, form: FileForm) -> Iterator[list[Any]]:
    try:
        import python_calamine
    except ImportError as error:
        raise UsageError(f"{path}: {_INSTALL}") from error
    with path.open("rb") as raw:
        head = raw.read(64)
    if not head.startswith(b"PK\x03\x04"):
        words = (
            "empty, 0 bytes" if not head else f"not a workbook; it is {foreign(head) or 'something else: is it CSV?'}"
        )
        raise RiskstreamError(f"{path}: {words}")
    try:
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        names = book.sheet_names
        wanted = form.sheet or "1"
        index = names.index(wanted) if wanted in names else int(wanted) - 1 if wanted.isdigit() else -1
        if not 0 <= index < len(names):
            raise UsageError(f"{path}: no sheet {wanted}; it has {', '.join(names)}")
        sheet = book.get_sheet_by_index(index)
        blank_rows = 0 if sheet.start is None else sheet.start[0]
    except python_calamine.CalamineError as error:
        raise RiskstreamError(
            f"{path}: a workbook that cannot be read ({str(error)[:120]}): cut in transit? fetch it again"
        ) from error
    yield from ([] for _ in range(blank_rows))
    yield from sheet.to_python(skip_empty_area=True)


def _name(cell: Any, strip: bool) -> str:
    text = cell if isinstance(cell, str) else "" if cell is None else str(_cell(cell))
    return text.strip() if strip else text


def _cell(cell: Any) -> Any:
    if isinstance(cell, float):
        return SheetNumber(cell)
    if isinstance(cell, datetime | date | time):
        return cell
    return cell
