"""What a file is by its first bytes, so that one that is not what its name says ends in one line with the true cause."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stream.errors import RiskstreamError

_HEAD_BYTES = 4096
_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile)
_ZIP = "a zip archive: unpack it (a workbook is named .xlsx)"
_SIGNATURES = (
    (b"\x1f\x8b", "compressed with gzip: name it so (.csv.gz, .jsonl.gz) or unpack it"),
    (b"PK\x03\x04", _ZIP),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"PAR1", "Parquet: name it .parquet"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it"),
    (b"BZh", "compressed with bzip2: unpack it"),
    (b"\xfd7zXZ\x00", "compressed with xz: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"Rar!\x1a\x07", "a rar archive: unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Office file (.xls): save it as .xlsx or CSV"),
    (b"%PDF-", "a PDF: ask for the export as CSV"),
    (b"SQLite format 3", "an SQLite database: export its table as CSV"),
    (b"ORC", "ORC: write it as Parquet"),
    (b"Obj\x01", "Avro: write it as Parquet or JSON lines"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: git lfs pull fetches it"),
    (b"/annex/objects/", "a git-annex pointer, not the file itself: git annex get fetches it"),
    (b"../.git/annex/", "a git-annex pointer, not the file itself: git annex get fetches it"),
)
_LETTERS = (b"PAR1", b"BZh", b"ORC")
"""Signatures that may as well be the name of a column."""
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<document")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def foreign(head: bytes) -> str | None:
    """What else than text a file is by its first bytes, and what to do; None where nothing is known of it.

    >>> foreign(b"version https://git-lfs.github.com/spec/v1")
    'a Git LFS pointer, not the file itself: git lfs pull fetches it'
    """
    for signature, words in _SIGNATURES:
        if head.startswith(signature) and (signature not in _LETTERS or _BINARY.search(head)):
            return words
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()[:16].lower()
    if start.startswith(_MARKUP):
        return "XML or a web page (an error or sign-in page?): download the export itself"
    return None


def encoding_by_mark(head: bytes) -> str | None:
    """The encoding that a byte order mark names."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def checked_encoding(head: bytes, said: str | None, path: Path) -> str:
    """The encoding of a text file.

    Raises
    ------
    RiskstreamError
        Its byte order mark says another one than the map, or its bytes are those of no text.
    """
    marked = encoding_by_mark(head)
    if marked is not None:
        family = marked.split("-sig")[0]
        if said is not None and not said.startswith((family, "utf_8" if family == "utf-8" else family)):
            raise RiskstreamError(
                f"{path}: its byte order mark says {family}, the column map {said}; correct file.encoding"
            )
        return marked
    if said is None or not said.startswith(("utf-16", "utf-32")):
        if b"\0" in head:
            raise RiskstreamError(
                f"{path}: holds zero bytes: UTF-16 without a mark (file: {{encoding: utf-16-le}}) or no text"
            )
    elif said in ("utf-16", "utf-32"):
        raise RiskstreamError(f"{path}: no byte order mark; say which {said} it is: {said}-le or {said}-be")
    return said or "utf-8"


@contextmanager
def text_bytes(path: Path) -> Iterator[tuple[IO[bytes], bytes]]:
    """The bytes of a text file, unpacked where its name ends in .gz, and the first of them.

    Raises
    ------
    RiskstreamError
        It cannot be opened, is empty, or is something else than text.
    """
    with path.open("rb") as raw:
        head = raw.read(_HEAD_BYTES)
        if not head:
            raise RiskstreamError(f"{path}: empty, 0 bytes")
        raw.seek(0)
        if path.suffix.lower() != ".gz":
            _refuse_foreign(path, head)
            yield raw, head
            return
        if not head.startswith(b"\x1f\x8b"):
            words = foreign(head)
            raise RiskstreamError(
                f"{path}: not gzip, though its name says so; {_rename(path) if words is None else 'it is ' + words}"
            )
        with gzip.GzipFile(fileobj=raw) as file:
            try:
                head = file.read(_HEAD_BYTES)
            except _BROKEN as error:
                try:
                    head = zlib.decompressobj(31).decompress(head)[:_HEAD_BYTES]
                except zlib.error:
                    head = b""
                if not head:
                    raise cut_short(path, 0, error) from error
            if not head:
                raise RiskstreamError(f"{path}: empty, nothing is packed in it")
            _refuse_foreign(path, head)
        raw.seek(0)
        with gzip.GzipFile(fileobj=raw) as file:
            yield file, head  # type: ignore[misc]


@contextmanager
def refused_when_cut(path: Path, rows: list[int]) -> Iterator[None]:
    """A compressed stream that ends early or is damaged ends in one line; ``rows`` holds how many were read."""
    try:
        yield
    except _BROKEN as error:
        raise cut_short(path, rows[0], error) from error


def cut_short(path: Path, rows: int, error: Exception) -> RiskstreamError:
    """The one line about it."""
    if isinstance(error, EOFError):
        return RiskstreamError(
            f"{path}: the compressed stream ends early, after {rows:,} rows: cut in transit? fetch it again"
        )
    return RiskstreamError(f"{path}: the compressed stream is damaged after {rows:,} rows ({error}); fetch it again")


def _refuse_foreign(path: Path, head: bytes) -> None:
    words = foreign(head)
    if words is not None:
        raise RiskstreamError(f"{path}: not what its name says; it is {words}")


def _rename(path: Path) -> str:
    return f"name it {path.with_suffix('').name} if it is not packed"
