"""JSON as rows: one object a line, or an array of objects; numbers keep all their digits."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from stream.errors import RiskstreamError
from stream.replay.source.cells import JsonDecimal, cleaned
from stream.replay.source.file_form import FileForm
from stream.replay.source.file_rows import Column, Rows
from stream.replay.source.file_signature import checked_encoding, refused_when_cut, text_bytes

MAX_LINE_BYTES = 4 << 20
BLOCK_ROWS = 4_096
_READ_BYTES = 1 << 20
_BEYOND_A_DOUBLE = re.compile(rb"[0-9]{16}|[0-9.][0-9]{15}|[0-9][eE]")
"""Lines whose numbers a double might not hold as they stand; reading them exactly is slower."""
_SPACE = re.compile(r"[ \t\r\n]*")
_HALF_A_PAIR = re.compile(r"\\u[dD][89a-fA-F]")
"""Escapes of UTF-16 surrogates; two of them make one character, one alone is no text."""
_ENCODED = ("utf-8", "utf-8-sig", "ascii")


def json_lines(path: Path, form: FileForm) -> Iterator[tuple[list[bytes], list[int]]]:
    """The lines of a file in UTF-8, empty ones left out, some at a time, with their numbers.

    Raises
    ------
    RiskstreamError
        It is something else, not of its encoding, or has a line of more than 4 MiB.
    """
    count = [0]
    with text_bytes(path) as (raw, head), refused_when_cut(path, count):
        encoding = checked_encoding(head, form.encoding, path)
        number = 0
        for block in _split(_utf8(raw, encoding, path), path):
            whole = [(line, number + place) for place, line in enumerate(block, 1) if line and not line.isspace()]
            number += len(block)
            if whole:
                count[0] += len(whole)
                yield [line for line, _ in whole], [place for _, place in whole]
        if not count[0]:
            raise RiskstreamError(f"{path}: empty, no line in it")


def is_array(path: Path) -> bool:
    """Whether a JSON file is one array and no lines; a file that cannot be looked at is none."""
    with text_bytes(path) as (_, head):
        encoding = checked_encoding(head, None, path) if not head[:4].count(0) else "utf-16"
        return head.decode(encoding, "ignore").lstrip("\ufeff \t\r\n").startswith("[")


def json_cells(path: Path, form: FileForm, wanted: list[str]) -> Iterator[Rows]:
    """The wanted columns of JSON lines or of an array; a dot reaches into objects, a number into lists."""
    records = _array(path, form) if is_array(path) else _objects_of_lines(path, form)
    paths = [(name, name.split(".")) for name in wanted]
    nulls = frozenset(form.null_values)
    for found, lines, unreadable in records:
        columns: dict[str, Column] = {
            name: cleaned(
                [record.get(name) for record in found]
                if len(parts) == 1
                else [_reached(record, name, parts) for record in found],
                form.strip,
                nulls,
            )
            for name, parts in paths
        }
        yield Rows(np.array(lines, np.int64), columns, None, unreadable)


def sample_records(path: Path, rows: int) -> list[dict[str, Any]]:
    """The first records of a JSON file, for a look at it."""
    records = _array(path, FileForm()) if is_array(path) else _objects_of_lines(path, FileForm())
    found: list[dict[str, Any]] = []
    for some, _, _ in records:
        found += some
        if len(found) >= rows:
            break
    return found[:rows]


_Records = Iterator[tuple[list[dict[str, Any]], list[int], dict[int, str]]]


def _objects_of_lines(path: Path, form: FileForm) -> _Records:
    first = True
    for lines, numbers in json_lines(path, form):
        if first and not any(line.lstrip()[:1] in (b"{", b"[") for line in lines[:1000]):
            raise RiskstreamError(f"{path}:{numbers[0]}: not JSON, none of its first lines begins with {{; is it CSV?")
        first = False
        records, unreadable = [], {}
        for index, line in enumerate(lines):
            try:
                record = _parsed(line)
            except (ValueError, RecursionError) as error:
                record, unreadable[index] = {}, f"not JSON: {_said(error)}"
            if not isinstance(record, dict):
                record, unreadable[index] = {}, "not a JSON object"
            records.append(record)
        yield records, numbers, unreadable


def _said(error: Exception) -> str:
    return (
        error.msg
        if isinstance(error, json.JSONDecodeError)
        else "nested too deep"
        if isinstance(error, RecursionError)
        else str(error)
    )


def _parsed(line: bytes) -> Any:
    if _BEYOND_A_DOUBLE.search(line) is None:
        return orjson.loads(line)
    text = line.decode("utf-8")
    record = _DECODER.decode(text)
    if _HALF_A_PAIR.search(text) and not _is_text(record):
        raise ValueError(_HALF)
    return record


_HALF = "a surrogate (\\ud800 to \\udfff) without its other half"


def _is_text(value: Any) -> bool:
    """Whether all texts of a value can be written as UTF-8."""
    if isinstance(value, dict):
        return all(_is_text(name) and _is_text(inner) for name, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_text, value))
    return not isinstance(value, str) or not any("\ud800" <= letter <= "\udfff" for letter in value)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; write null")


_DECODER = json.JSONDecoder(parse_float=JsonDecimal, parse_constant=_refuse_constant)


def _reached(record: dict[str, Any], name: str, parts: list[str]) -> Any:
    """A field by its own name, else by the way through objects."""
    if name in record:
        return record[name]
    found: Any = record
    for part in parts:
        if isinstance(found, dict):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


def _array(path: Path, form: FileForm) -> _Records:
    """The objects of one array, read as it streams by."""
    count = [0]
    with text_bytes(path) as (raw, head), refused_when_cut(path, count):
        encoding = checked_encoding(head, form.encoding, path)
        text = _Streamed(_utf8(raw, encoding, path), path)
        text.begin()
        records: list[dict[str, Any]] = []
        lines: list[int] = []
        unreadable: dict[int, str] = {}
        for record, line in text.items(count):
            if not isinstance(record, dict):
                unreadable[len(records)] = "not a JSON object"
            elif text.escaped and not _is_text(record):
                unreadable[len(records)] = f"not JSON: {_HALF}"
            records.append({} if len(records) in unreadable else record)
            lines.append(line)
            count[0] += 1
            if len(records) >= BLOCK_ROWS:
                yield records, lines, unreadable
                records, lines, unreadable = [], [], {}
        if records:
            yield records, lines, unreadable
        if not count[0]:
            raise RiskstreamError(f"{path}: an empty array, no row in it")


class _Streamed:
    """An array's items, taken from blocks of text one after the other."""

    def __init__(self, blocks: Iterator[bytes], path: Path) -> None:
        self._blocks, self._path = blocks, path
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text, self._at, self._line, self._ended = "", 0, 1, False
        self.escaped = False
        """Whether the item read last has escapes of surrogates."""

    def begin(self) -> None:
        """Behind the bracket that opens the array."""
        self._more()
        start = self._text.index("[") + 1
        self._pass(start)

    def items(self, count: list[int]) -> Iterator[tuple[Any, int]]:
        """Each item with the line it begins on."""
        last = self._mark(count[0]) == "]"
        while not last:
            item, end = self._item(count[0])
            self.escaped = _HALF_A_PAIR.search(self._text, self._at, end) is not None
            yield item, self._line
            self._pass(end)
            mark = self._mark(count[0])
            last = mark == "]"
            if mark not in (",", "]"):
                raise self._wrong("no comma between two items of the array", count[0])
            if not last:
                self._pass(self._at + 1)
                if self._mark(count[0]) in (",", "]"):
                    raise self._wrong("a comma with no item behind it", count[0])
        self._pass(self._at + 1)
        if self._to_text():
            raise self._wrong("the array ends here, and more stands behind it: two files in one? split them", count[0])

    def _mark(self, rows: int) -> str:
        """The next character that is no blank."""
        if not self._to_text():
            raise self._cut(rows)
        return self._text[self._at]

    def _item(self, rows: int) -> tuple[Any, int]:
        while True:
            try:
                item, end = _DECODER.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:
                    return item, end
            except (ValueError, RecursionError) as error:
                far = getattr(error, "pos", 0) < len(self._text) - 64 and "Unterminated" not in str(error)
                if self._ended:
                    raise self._cut(rows) from error
                if far:
                    raise self._wrong(_said(error), rows) from error
            if len(self._text) - self._at > MAX_LINE_BYTES:
                raise RiskstreamError(
                    f"{self._path}:{self._line}: an object of more than {MAX_LINE_BYTES} characters, or not JSON"
                )
            self._more()

    def _to_text(self) -> bool:
        """To the next character that is no blank; False where none is left."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._pass(self._at if match is None else match.end())
            if self._at < len(self._text):
                return True
            if self._ended:
                return False
            self._more()

    def _more(self) -> None:
        block = next(self._blocks, b"")
        self._ended = not block
        try:
            self._text = self._text[self._at :] + self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            raise RiskstreamError(
                f"{self._path}:{self._line}: not UTF-8 behind here; file: {{encoding: …}} says what it is"
            ) from error
        self._at = 0

    def _pass(self, end: int) -> None:
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _wrong(self, what: str, rows: int) -> RiskstreamError:
        return RiskstreamError(f"{self._path}:{self._line}: not JSON: {what}; {rows:,} rows before it")

    def _cut(self, rows: int) -> RiskstreamError:
        return RiskstreamError(
            f"{self._path}:{self._line}: the array ends early, after {rows:,} rows: cut in transit? fetch it again"
        )


def _utf8(raw: IO[bytes], encoding: str, path: Path) -> Iterator[bytes]:
    """The file's bytes as UTF-8 without a byte order mark."""
    plain = encoding in _ENCODED
    decoder = None if plain else codecs.getincrementaldecoder(encoding)()
    first = True
    while True:
        block = raw.read(_READ_BYTES)
        if decoder is not None:
            try:
                decoded = decoder.decode(block, final=not block).encode("utf-8")
            except UnicodeError as error:
                raise RiskstreamError(
                    f"{path}: not {encoding} ({getattr(error, 'reason', error)}); correct file.encoding"
                ) from error
            if not block and not decoded:
                return
        else:
            decoded = block
            if not block:
                return
        if first:
            decoded = decoded.removeprefix(codecs.BOM_UTF8)
        first = False
        if decoded:
            yield decoded
        if not block:
            return


def _split(blocks: Iterator[bytes], path: Path) -> Iterator[list[bytes]]:
    """The lines of a file, some at a time."""
    rest, number = b"", 0
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        number += len(whole)
        if len(rest) > MAX_LINE_BYTES:
            raise RiskstreamError(f"{path}:{number + 1}: a line of more than {MAX_LINE_BYTES} bytes")
        yield whole
    if rest:
        yield [rest]
