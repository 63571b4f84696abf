"""A column map proposed from a look at a file; what the look cannot tell becomes a question in the map."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from stream.errors import RiskstreamError, UsageError
from stream.replay.source.amounts import Marks, decimal_of
from stream.replay.source.cells import text_of
from stream.replay.source.delimited import default_delimiter
from stream.replay.source.field_map import FieldMap
from stream.replay.source.file_form import FileForm
from stream.replay.source.file_rows import listed
from stream.replay.source.file_signature import encoding_by_mark, refused_when_cut, text_bytes
from stream.replay.source.json_rows import sample_records
from stream.replay.source.local_time import TimeReader
from stream.replay.source.parquet_rows import schema_of
from stream.replay.source.sheets import sheet_sample
from stream.replay.source.tables import blocks, kind_of

SAMPLE_ROWS = 1_000
_HEAD_BYTES = 1 << 18
_NULL_WORDS = ("NULL", "null", "NaN", "nan", "N/A", "n/a", "\\N", "-", "None", "#N/A", "<NA>")
_TOKEN = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_PATTERNS = tuple(
    f"{day}{clock}"
    for day in (
        "%d.%m.%Y",
        "%d.%m.%y",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%Y/%m/%d",
        "%d-%m-%Y",
        "%m-%d-%Y",
        "%Y%m%d",
        "%Y年%m月%d日",
    )
    for clock in ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", "%H%M%S")
)
_UNIX_DIGITS = {10: "unix_s", 13: "unix_ms", 16: "unix_us", 19: "unix_ns"}
_NAMES: dict[str, str] = {
    "transaction_id": r"transaction.?id|trans.?id|tx.?id|txn.?id|payment.?id|order.?id|reference|referenz|^ref$|^id$|\bid$|订单号|流水号|交易号",
    "account_id": r"account|acct|konto|iban|card|nameorig|payer|debtor|sender|账号|账户|卡号",
    "payee_id": r"payee|merchant|beneficiary|empf|namedest|creditor|receiver|recipient|counterparty|shop|对方|收款|商户",
    "event_time": r"event.?time|timestamp|date.?time|created|booking|buchung|^at$|^ts$|^date$|datum|^time$|zeit|step|时间|日期",
    "amount_minor": r"amount|betrag|^amt$|value|sum|montant|importe|金额",
    "currency": r"curr|w(ä|ae)hrung|^ccy$|devise|moneda|币种",
    "channel": r"channel|kanal|渠道",
}
_REQUIRED = ("transaction_id", "account_id", "event_time", "amount_minor", "currency", "channel")
_ORDER = (*_REQUIRED, "payee_id")


@dataclass
class Proposal:
    """A map and what must be answered before it is used.

    Parameters
    ----------
    text
        The map, YAML with its questions as comments.
    questions
        The same questions.
    columns
        What the file has.
    """

    text: str
    questions: list[str]
    columns: list[str]


@dataclass
class _Draft:
    options: dict[str, str] = field(default_factory=dict)
    fields: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


def propose(path: Path) -> Proposal:
    """Look at a file and propose its map.

    Raises
    ------
    RiskstreamError
        It cannot be read as what its name says.
    """
    kind = kind_of(path)
    if kind == "xml":
        raise UsageError(f"{path}: ISO 20022 messages need no map: produce and replay read them as they are")
    draft = _Draft()
    names = _LOOKS[kind](path, draft)
    if not names:
        raise RiskstreamError(f"{path}: no columns in it")
    form = FileForm.model_validate({name: value.strip('"') for name, value in draft.options.items()})
    cells = _sample(path, names, form)
    _look_at_cells(cells, draft)
    form = FileForm.model_validate({name: _plain(value) for name, value in draft.options.items()})
    _fields(cells, Marks(form.decimal, form.thousands), draft)
    return Proposal(
        _written(path, draft, names),
        [question for name in _ORDER if name in draft.fields for question in draft.fields[name][1]] + draft.asked,
        names,
    )


def _plain(value: str) -> Any:
    return orjson.loads(value) if value[:1] in '"[' else value


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _sample(path: Path, names: list[str], form: FileForm) -> dict[str, list[Any]]:
    first = next(iter(blocks(path, names, form=form)))[:SAMPLE_ROWS]
    return {name: [cell for cell in listed(column) if cell is not None] for name, column in first.columns.items()}


def _look_at_csv(path: Path, draft: _Draft) -> list[str]:
    with text_bytes(path) as (file, _), refused_when_cut(path, [0]):
        head = file.read(_HEAD_BYTES)
    encoding = _encoding(head, draft)
    text = head.decode(encoding, "ignore").removeprefix("\ufeff")
    lines = text.splitlines()[: SAMPLE_ROWS + 50]
    marks = {mark: _table_of(lines, mark) for mark in (default_delimiter(path), ",", ";", "\t", "|")}
    mark, (width, start) = max(marks.items(), key=lambda item: item[1][0])
    if mark != default_delimiter(path) and width > 1:
        draft.options["delimiter"] = _quoted(mark)
    if start:
        draft.options["header_row"] = str(start + 1)
    rows = list(csv.reader(lines[start:], delimiter=mark if width > 1 else default_delimiter(path)))
    names = rows[0] if rows else []
    if any(cell != cell.strip() for row in rows for cell in row):
        draft.options["strip"] = "true"
        names = [name.strip() for name in names]
    doubled = {name for name in names if names.count(name) > 1}
    return [name for name in names if name and name not in doubled]


def _table_of(lines: list[str], mark: str) -> tuple[int, int]:
    """Most cells of a line that those behind it have too, and the first such line."""
    widths = [len(row) for row in csv.reader(lines, delimiter=mark)] if lines else []
    if len(widths) != len(lines):  # quoted line ends: the first line it is, then
        return (widths[0] if widths else 0), 0
    usual = max(set(widths), key=lambda width: (widths.count(width) * (width > 1), width), default=0)
    return usual, widths.index(usual) if usual in widths else 0


def _encoding(head: bytes, draft: _Draft) -> str:
    marked = encoding_by_mark(head)
    if marked is not None:
        return marked
    for name in ("utf-8", "gb18030"):
        try:
            head[: len(head) - 4].decode(name) if len(head) >= _HEAD_BYTES else head.decode(name)
        except UnicodeDecodeError:
            continue
        if name != "utf-8" and not _chinese(head):
            continue
        if name != "utf-8":
            draft.options["encoding"] = name
            draft.asked.append(f"it is not UTF-8 and reads as {name}: are the names right?")
        return name
    draft.options["encoding"] = "cp1252"
    draft.asked.append("it is not UTF-8; cp1252 (Western Europe) stands here: are accents right?")
    return "cp1252"


def _chinese(raw: bytes) -> bool:
    """Whether letters of two bytes are those of Chinese text, whose second byte is seldom an ASCII letter."""
    pairs = re.findall(rb"[\x81-\xfe]([\x30-\xfe])", raw)
    return bool(sum(second < b"\x80" for second in pairs) < 0.25 * len(pairs))


def _look_at_json(path: Path, draft: _Draft) -> list[str]:
    names: dict[str, None] = {}
    for record in sample_records(path, SAMPLE_ROWS):
        names.update(dict.fromkeys(_leaves(record, "")))
    return list(names)


def _leaves(record: dict[str, Any], before: str) -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{before}{name}.")
        elif not isinstance(value, list):
            yield before + name


def _look_at_parquet(path: Path, draft: _Draft) -> list[str]:
    return [name for column in schema_of(path) for name in _fields_of(column.name, column.type)]


def _fields_of(name: str, kind: pa.DataType) -> Iterator[str]:
    if pa.types.is_struct(kind):
        for inner in kind:
            yield from _fields_of(f"{name}.{inner.name}", inner.type)
    elif not pa.types.is_nested(kind):
        yield name


def _look_at_sheet(path: Path, draft: _Draft) -> list[str]:
    rows = list(islice(sheet_sample(path), SAMPLE_ROWS))
    widths = [sum(cell not in (None, "") for cell in row) for row in rows]
    start = widths.index(max(widths, default=0)) if widths else 0
    if any(widths[:start]):
        draft.options["header_row"] = str(start + 1)
    draft.asked.append("it reads the first sheet; file: {sheet: N} names another")
    return [str(cell) for cell in rows[start] if cell not in (None, "")] if rows else []


_LOOKS: dict[str, Callable[[Path, _Draft], list[str]]] = {
    "csv": _look_at_csv, "jsonl": _look_at_json, "parquet": _look_at_parquet, "xlsx": _look_at_sheet,
}  # fmt: skip


def _look_at_cells(cells: dict[str, list[Any]], draft: _Draft) -> None:
    """Marks of numbers and words for nothing."""
    texts = [cell.strip() for column in cells.values() for cell in column if isinstance(cell, str)]
    nulls = [word for word in _NULL_WORDS if word in texts]
    if nulls:
        draft.options["null_values"] = orjson.dumps(nulls).decode()
        draft.asked.append(f"do {', '.join(nulls)} stand for no value?")
    amount = _found(cells, "amount_minor")
    numbers = [text_of(cell) for cell in cells.get(amount or "", []) if isinstance(cell, str)]
    pointed = [number for number in numbers if "." in number]
    if any(re.search(r",[0-9]{1,2}\D*$", number) for number in numbers):
        draft.options["decimal"] = '","'
        if any("." in number for number in numbers):
            draft.options["thousands"] = '"."'
    elif any(re.search(r"[0-9],[0-9]{3}", number) for number in numbers):
        draft.options["thousands"] = '","'
        if not any("." in number for number in numbers):
            draft.asked.append(
                f"{amount}: does a comma group thousands (as it stands here), or is it the decimal mark?"
            )
    elif pointed and all(re.search(r"[0-9]\.[0-9]{3}\D*$", number) for number in pointed):
        draft.asked.append(
            f"{amount}: is a point the decimal mark (as it stands here), or does it group thousands? "
            'file: {decimal: ",", thousands: "."}'
        )


def _found(cells: dict[str, list[Any]], name: str) -> str | None:
    matches = [column for column in cells if re.search(_NAMES[name], column.split(".")[-1], re.IGNORECASE)]
    return next((column for column in matches if cells[column]), matches[0] if matches else None)


def _fields(cells: dict[str, list[Any]], marks: Marks, draft: _Draft) -> None:
    taken: set[str] = set()
    for name in ("transaction_id", "event_time", "amount_minor", "currency", "channel", "payee_id", "account_id"):
        left = {column: values for column, values in cells.items() if column not in taken}
        column = _found(left, name)
        if column is None:
            if name in _REQUIRED:
                asked = f"{name}: which column holds it? (constant: the same for every row)"
                draft.fields[name] = ('{constant: "?"}', [asked])
            continue
        taken.add(column)
        draft.fields[name] = _WRITERS[name](name, column, cells[column], marks)


def _token(name: str, column: str, cells: list[Any], marks: Marks) -> tuple[str, list[str]]:
    asked = []
    options = f"column: {_quoted(column)}"
    if any(not _text(cell) for cell in cells):
        asked.append(f"{name}: numbers of {column} have lost digits; where does the file come from? write them as text")
    elif any(not _TOKEN.fullmatch(_text(cell)) for cell in cells):
        options += ", hash: true"
        asked.append(f"{name}: {column} holds words; they become tokens under RISKSTREAM_HASH_KEY_FILE: is that meant?")
    elif name == "account_id":
        asked.append(
            f"account_id: if {column} holds real account or card numbers, add hash: true; they must never enter"
        )
    if name == "transaction_id" and len({_text(cell) for cell in cells}) < len(cells):
        asked.append(f"transaction_id: values of {column} repeat; which column is one of a kind?")
    return f"{{{options}}}", asked


def _time(name: str, column: str, cells: list[Any], marks: Marks) -> tuple[str, list[str]]:
    options = f"column: {_quoted(column)}"
    typed = [cell for cell in cells if not isinstance(cell, str | int | float)]
    if typed:
        aware = all(getattr(cell, "tzinfo", None) is not None for cell in typed)
        return (f"{{{options}}}", []) if aware else (f"{{{options}, zone: UTC}}", [_zone_asked(column)])
    texts = [_text(cell) for cell in cells[:200]]
    digits = {len(text.split(".")[0]) for text in texts if re.fullmatch(r"[0-9.]+", text)}
    if (
        len(digits) == 1
        and next(iter(digits)) in _UNIX_DIGITS
        and all(re.fullmatch(r"[0-9.]+", text) for text in texts)
    ):
        form = _UNIX_DIGITS[next(iter(digits))]
        return f"{{{options}, format: {form}}}", []
    fitting = [form for form in ("iso", *_PATTERNS) if texts and _reads(form, texts)]
    if not fitting:
        return f"{{{options}}}", [
            f"{name}: how are the times of {column} written? format: a pattern, or unit: and start: of a count"
        ]
    asked = []
    if len(fitting) > 1:
        asked.append(f"{name}: {column} reads as {' and as '.join(fitting)}; which one is it?")
    options += "" if fitting[0] == "iso" else f", format: {_quoted(fitting[0])}"
    if fitting[0] != "iso" or not all(re.search(r"(Z|[+-][0-9]{2}:?[0-9]{2})$", text) for text in texts):
        options += ", zone: UTC"
        asked.append(_zone_asked(column))
    return f"{{{options}}}", asked


def _zone_asked(column: str) -> str:
    return f"event_time: times of {column} say no offset; in which zone are they? (UTC stands here)"


def _reads(form: str, texts: list[str]) -> bool:
    reader = TimeReader(FieldMap(column="x", format=form), Marks())
    try:
        for text in texts:
            reader(text)
    except ValueError:
        return False
    return True


def _amount(name: str, column: str, cells: list[Any], marks: Marks) -> tuple[str, list[str]]:
    numbers = []
    for cell in cells:
        try:
            numbers.append(decimal_of(cell, marks))
        except ValueError:
            continue
    options, asked = f"column: {_quoted(column)}", []
    if len(numbers) < len(cells):
        asked.append(
            f"{name}: {len(cells) - len(numbers)} of {len(cells)} cells of {column} are no numbers with these marks"
        )
    if any(number != number.to_integral_value() for number in numbers):
        options += ", minor: by_currency"
    else:
        options += ", scale: 1"
        asked.append(
            f"{name}: {column} holds whole numbers: minor units (scale: 1, as it stands here) or major ones (minor: by_currency)?"
        )
    if any(number < 0 for number in numbers):
        options += ", sign: expense_negative"
        asked.append(f"{name}: {column} has a sign; is below zero what the account paid?")
    return f"{{{options}}}", asked


def _word(name: str, column: str, cells: list[Any], marks: Marks) -> tuple[str, list[str]]:
    words = sorted({_text(cell) for cell in cells})[:20]
    if name == "channel" and not set(words) <= {"app", "web", "pos", "atm", "branch", "call", "api"}:
        values = ", ".join(f'{_quoted(word)}: "?"' for word in words)
        return f"{{column: {_quoted(column)}, values: {{{values}}}}}", [
            f"channel: which of app, web, pos, atm, branch, call, api is each of {', '.join(words)}?"
        ]
    return f"{{column: {_quoted(column)}}}", []


_WRITERS: dict[str, Callable[[str, str, list[Any], Marks], tuple[str, list[str]]]] = {
    "transaction_id": _token, "account_id": _token, "payee_id": _token, "event_time": _time, "amount_minor": _amount,
    "currency": _word, "channel": _word,
}  # fmt: skip


def _text(cell: Any) -> str:
    try:
        return text_of(cell)
    except ValueError:
        return ""


def _written(path: Path, draft: _Draft, names: list[str]) -> str:
    lines = [
        f"# Proposed from a look at {path.name}. Answer each QUESTION; riskstream map {path.name} --columns THIS shows ten rows."
    ]
    lines += [f"# QUESTION: {question}" for question in draft.asked]
    if draft.options:
        lines.append("file: {" + ", ".join(f"{name}: {value}" for name, value in draft.options.items()) + "}")
    lines.append("fields:")
    for name in _ORDER:
        if name in draft.fields:
            text, asked = draft.fields[name]
            lines += [f"  # QUESTION: {question}" for question in asked]
            lines.append(f"  {name}: {text}")
    lines += [
        "# QUESTION: are all rows payments? rows: [{column: …, in: […]}] leaves the others out",
        f"# columns: {', '.join(names)}",
    ]
    return "\n".join(lines) + "\n"
