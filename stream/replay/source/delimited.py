"""CSV as rows of texts: any encoding, delimiter and quote; what a cell is, the column map says, never the file."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from stream.errors import RiskstreamError
from stream.replay.source.cells import cleaned
from stream.replay.source.file_form import FileForm
from stream.replay.source.file_rows import Column, Rows
from stream.replay.source.file_signature import checked_encoding, refused_when_cut, text_bytes

MAX_LINE_CHARACTERS = 4 << 20
BLOCK_ROWS = 4_096
_OTHER_DELIMITERS = (";", "\t", "|", ",")


def _shown(mark: str) -> str:
    return "tab" if mark == "\t" else f'"{mark}"'


class _Lines:
    """Lines of a text file with their numbers, and which of them hold bytes that are not of its encoding."""

    def __init__(self, file: io.TextIOBase, path: Path, encoding: str) -> None:
        self._file, self._path, self._encoding = file, path, encoding
        self.number = 0
        self.last = ""
        self.undecodable = 0
        """The last line that held such bytes."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        try:
            line = self._file.readline(MAX_LINE_CHARACTERS)
        except UnicodeError as error:
            words = f"not {self._encoding} ({getattr(error, 'reason', error)}); file: {{encoding: …}} says what it is"
            raise RiskstreamError(f"{self._path}:{self.number + 1}: {words}") from error
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) == MAX_LINE_CHARACTERS:
            raise RiskstreamError(f"{self._path}:{self.number}: a line of more than {MAX_LINE_CHARACTERS} characters")
        self.last = line
        if self.number == 1:
            line = line.removeprefix("\ufeff")
        if not line.isascii() and any("\udc80" <= character <= "\udcff" for character in line):
            self.undecodable = self.number
        return line


def default_delimiter(path: Path) -> str:
    """Tab for .tsv, else a comma."""
    return "\t" if ".tsv" in [suffix.lower() for suffix in path.suffixes] else ","


def delimited(path: Path, form: FileForm, wanted: Wanted) -> Iterator[Rows]:
    """The wanted columns of a CSV file, some rows at a time.

    Parameters
    ----------
    wanted
        Asked with the header's names which columns are read.

    Raises
    ------
    RiskstreamError
        The file cannot be read as CSV of this form; a column is missing.
    """
    count = [0]
    with text_bytes(path) as (raw, head), refused_when_cut(path, count):
        encoding = checked_encoding(head, form.encoding, path)
        with _text(raw, encoding) as text:
            lines = _Lines(text, path, encoding)
            reader = _reader(lines, path, form)
            names = _header(path, form, lines, reader)
            try:
                found = wanted(names)
            except MissingColumns as error:
                raise error.with_hint(_encoding_hint(head, form)) from error
            yield from _blocks(lines, reader, names, found, form, count)
            if not count[0]:
                raise RiskstreamError(f"{path}: no row behind the header")


class Wanted:
    """Which of the names of a header are read.

    Parameters
    ----------
    path
        For messages.
    columns, optional
        What must be there, what may be.
    """

    def __init__(self, path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> None:
        self._path, self._columns, self._optional = path, columns, optional

    def __call__(self, present: Sequence[str]) -> list[str]:
        """Names in the order wanted.

        Raises
        ------
        MissingColumns
            One is not there, or stands twice.
        """
        missing = [name for name in self._columns if name not in present and name not in self._optional]
        if missing:
            raise MissingColumns(self._path, missing, present)
        found = [name for name in (*self._columns, *self._optional) if name in present]
        for name in found:
            if list(present).count(name) > 1:
                raise RiskstreamError(f"{self._path}: column {name} stands twice in the header; which one is meant?")
        return list(dict.fromkeys(found))


class MissingColumns(RiskstreamError):
    """Columns that a file does not have."""

    exit_status = 2

    def __init__(self, path: Path, missing: Sequence[str], present: Sequence[str]) -> None:
        self.missing = missing
        shown = ", ".join(present[:40]) + (f" and {len(present) - 40} more" if len(present) > 40 else "")
        text = f"{path}: no column {', '.join(missing)}; it has {shown}"
        if set(missing) & {name.strip() for name in present}:
            text += "; names are padded with blanks: file: {strip: true}"
        elif len(present) == 1:
            marks = [mark for mark in _OTHER_DELIMITERS if mark in present[0]]
            if marks:
                text += (
                    f"; its header is one column and holds {_shown(marks[0])}: file: {{delimiter: {_shown(marks[0])}}}"
                )
            else:
                text += "; does the table begin further down? file: {header_row: N}"
        super().__init__(text)

    def with_hint(self, hint: str) -> MissingColumns:
        """The same with another likely cause."""
        self.args = (f"{self}{hint}",)
        return self


def _encoding_hint(head: bytes, form: FileForm) -> str:
    """That the first bytes are not the UTF-8 they should be, and where."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError as error:
        if form.encoding is None:
            line = head.count(b"\n", 0, error.start) + 1
            return f"; line {line} is not UTF-8: file: {{encoding: …}} says what it is, for instance cp1252 or gb18030"
    return ""


def _text(raw: IO[bytes], encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(raw, encoding, errors="surrogateescape", newline="")


def _reader(lines: _Lines, path: Path, form: FileForm) -> Any:
    csv.field_size_limit(MAX_LINE_CHARACTERS)
    quoting: Any = {"quotechar": form.quote} if form.quote else {"quoting": csv.QUOTE_NONE}
    return csv.reader(lines, delimiter=form.delimiter or default_delimiter(path), strict=True, **quoting)


def _header(path: Path, form: FileForm, lines: _Lines, reader: Any) -> list[str]:
    """Names of the columns; the reader stands behind them."""
    if form.header_row == 0:
        return []
    while form.header_row is not None and lines.number < form.header_row - 1:
        if next(lines, None) is None:
            raise RiskstreamError(f"{path}: {lines.number} lines; header_row {form.header_row} is behind its end")
    try:
        cells = next((cells for cells in reader if cells or form.header_row is not None), None)
    except csv.Error as error:
        marks = [
            mark
            for mark in _OTHER_DELIMITERS
            if mark in lines.last and mark != (form.delimiter or default_delimiter(path))
        ]
        hint = f"it holds {_shown(marks[0])}: file: {{delimiter: {_shown(marks[0])}}}, or " if marks else ""
        raise RiskstreamError(
            f"{path}:{lines.number}: the header cannot be read ({error}); {hint}file: {{quote: …}} says what quotes cells"
        ) from error
    if cells is None or not any(cells):
        raise RiskstreamError(f"{path}:{max(lines.number, 1)}: no header; file: {{header_row: N}} says its line")
    if lines.undecodable:
        raise RiskstreamError(
            f"{path}:{lines.undecodable}: the header is not UTF-8; file: {{encoding: …}} says what it is, for instance cp1252, gb18030"
            if form.encoding is None
            else f"{path}:{lines.undecodable}: the header is not {form.encoding}; correct file.encoding"
        )
    return [name.strip() for name in cells] if form.strip else cells


def _blocks(
    lines: _Lines, reader: Any, names: list[str], wanted: list[str], form: FileForm, count: list[int]
) -> Iterator[Rows]:
    """Rows in blocks; without a header the columns are 1, 2, 3 and as many as the first row has."""
    block = _Block(names, wanted, form)
    while True:
        before = lines.number
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            where = "" if lines.number <= before + 1 else f" (lines {before + 1} to {lines.number})"
            block.add_unreadable(before + 1, f"{error}{where}; file: {{quote: …}} says what quotes cells")
            count[0] += 1
            continue
        if not cells:
            continue
        undecodable = lines.undecodable > before
        block.add(before + 1, cells, undecodable)
        count[0] += 1
        if len(block.lines) >= BLOCK_ROWS:
            yield block.taken()
    if block.lines:
        yield block.taken()


class _Block:
    """Rows that are being gathered."""

    def __init__(self, names: list[str], wanted: list[str], form: FileForm) -> None:
        self._names, self._wanted, self._form = names, wanted, form
        self._nulls = frozenset(form.null_values)
        self._places = [names.index(name) for name in wanted] if names else [int(name) - 1 for name in wanted]
        self._width = len(names)
        self._encoding = form.encoding or "UTF-8"
        self._clear()

    def _clear(self) -> None:
        self.lines: list[int] = []
        self._cells: list[list[str]] = []
        self._unreadable: dict[int, str] = {}

    def add(self, line: int, cells: list[str], undecodable: bool) -> None:
        """A row; one of another length than the header is kept with what it has, and is unreadable."""
        width = self._width = self._width or len(cells)
        if undecodable:
            self._unreadable[len(self.lines)] = (
                f"bytes that are not {self._encoding}; file: {{encoding: …}} says what it is"
            )
        if len(cells) != width:
            if len(cells) < width or any(cell.strip() for cell in cells[width:]):
                self._unreadable.setdefault(len(self.lines), f"{len(cells)} cells, the header has {width}")
            cells = (cells + [""] * width)[:width]
        self.lines.append(line)
        self._cells.append(cells)

    def add_unreadable(self, line: int, message: str) -> None:
        """What is no row at all."""
        self._unreadable[len(self.lines)] = message
        self.lines.append(line)
        self._cells.append([""] * max(self._width, max(self._places, default=0) + 1))

    def taken(self) -> Rows:
        """What was gathered; the block is empty then."""
        columns: dict[str, Column] = {
            name: cleaned([cells[place] for cells in self._cells], self._form.strip, self._nulls)
            if place < self._width
            else [None] * len(self._cells)
            for name, place in zip(self._wanted, self._places, strict=True)
        }
        rows = Rows(np.array(self.lines, np.int64), columns, None, self._unreadable)
        self._clear()
        return rows
