"""Long lists as CSV: one entry a line, read a hundred times faster than YAML, so that no worker waits for them.

Columns, by the header: ``list`` (deny, watch, allow or snooze), ``account``, ``payee``, ``device``, ``reason``,
``owner``, ``valid_from``, ``until`` and, for snoozes, ``rule``. Empty cells are absent.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol, cast

from rules.document import MAX_BYTES, Item
from rules.fields import INSTANT_HINT, instant_us
from rules.lists import ALWAYS_US, LIST_KINDS, MAX_ENTRIES, ListEntry, ListKind, Snooze
from rules.pack import NEVER_US, Pack
from rules.problem import PackError, Problem

COLUMNS: Final = ("list", "account", "payee", "device", "reason", "owner", "valid_from", "until", "rule")
_REQUIRED: Final = ("list", "reason", "owner", "until")
MAX_MISTAKES: Final = 100
"""Mistakes of one file that are told: the file is refused with the first."""


class _Rows(Protocol):
    line_num: int

    def __iter__(self) -> Iterator[list[str]]: ...

    def __next__(self) -> list[str]: ...


def read_lists(name: str, content: bytes, problems: list[Problem]) -> Pack:
    """A pack of kind ``lists`` from the bytes of a CSV file; mistakes are added to ``problems``.

    Raises
    ------
    PackError
        Not UTF-8, too large, or without its header.

    >>> rows = b"list,payee,reason,owner,until\\ndeny,p-1,mule,desk,2027-01-01\\n"
    >>> [(entry.kind, entry.payee) for entry in read_lists("bad.csv", rows, []).lists]
    [('deny', 'p-1')]
    """
    rows = csv.reader(io.StringIO(_text(name, content), newline=""))
    try:
        return _read(name, rows, problems)
    except csv.Error as error:
        raise PackError([Problem(name, max(rows.line_num, 1), 1, f"not CSV: {error}; mend the quotes here")]) from error


def _read(name: str, rows: _Rows, problems: list[Problem]) -> Pack:
    header = _header(name, next(rows, []))
    mistakes = 0
    lists: list[ListEntry] = []
    snoozes: list[Snooze] = []
    for cells in rows:
        item = _place(name, rows.line_num)
        if not any(cells):
            continue
        if len(lists) + len(snoozes) >= MAX_ENTRIES:
            problems.append(item.problem(f"more than {MAX_ENTRIES} entries in one file; split it"))
            break
        row = dict.fromkeys(COLUMNS, "") | dict(zip(header, (cell.strip() for cell in cells), strict=False))
        mistake = _mistake(row, len(cells), len(header))
        if mistake:
            problems.append(item.problem(mistake))
            mistakes += 1
            if mistakes >= MAX_MISTAKES:
                break
        elif row["list"] == "snooze":
            snoozes.append(_snooze(row, item))
        else:
            lists.append(_entry(row, item))
    return _pack(name, tuple(lists), tuple(snoozes))


def _text(name: str, content: bytes) -> str:
    if len(content) > MAX_BYTES:
        raise PackError([Problem(name, 1, 1, f"the file is larger than {MAX_BYTES} bytes; split it")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PackError([Problem(name, line, 1, "not UTF-8; save the file as UTF-8")]) from error


def _header(name: str, cells: list[str]) -> list[str]:
    header = [cell.strip() for cell in cells]
    unknown = [cell for cell in header if cell not in COLUMNS]
    missing = [column for column in _REQUIRED if column not in header]
    if unknown or missing or len(set(header)) < len(header):
        raise PackError(
            [Problem(name, 1, 1, f"the header must name {', '.join(_REQUIRED)}, each of {', '.join(COLUMNS)} once")]
        )
    return header


def _mistake(row: dict[str, str], cells: int, columns: int) -> str:
    if cells != columns:
        return f"{cells} cells under a header of {columns}; quote a cell that holds a comma"
    if row["list"] not in (*LIST_KINDS, "snooze"):
        return f"'{row['list']}' is no list; use deny, watch, allow or snooze"
    for column in ("reason", "owner", "until"):
        if not row[column]:
            return f"an entry needs '{column}'"
    for column in ("valid_from", "until"):
        if row[column] and instant_us(row[column]) is None:
            return f"'{column}' {INSTANT_HINT}"
    if row["list"] == "snooze":
        return "" if row["rule"] and row["account"] and row["payee"] else "a snooze names rule, account and payee"
    return (
        ""
        if row["account"] or row["payee"] or row["device"]
        else "an entry names at least one of account, payee, device"
    )


def _entry(row: dict[str, str], item: Item) -> ListEntry:
    return ListEntry(
        kind=cast(ListKind, row["list"]),
        account=row["account"],
        payee=row["payee"],
        device=row["device"],
        reason=row["reason"],
        owner=row["owner"],
        valid_from=_time(row["valid_from"], -ALWAYS_US),
        until=_time(row["until"], ALWAYS_US),
        item=item,
    )


def _snooze(row: dict[str, str], item: Item) -> Snooze:
    until = _time(row["until"], 0)
    return Snooze(row["rule"], row["account"], row["payee"], row["reason"], row["owner"], until, item)


def _time(text: str, default: int) -> int:
    moment = instant_us(text) if text else None
    return default if moment is None else moment


def _place(name: str, line: int) -> Item:
    return Item(None, "", name, line, 1, line, 1)


def _pack(name: str, lists: tuple[ListEntry, ...], snoozes: tuple[Snooze, ...]) -> Pack:
    return Pack(
        name=f"{Path(name).name}",
        kind="lists",
        scenario="",
        order=0,
        match=None,
        thresholds=None,
        review=None,
        challenge=None,
        budget=None,
        familiarity_cap_milli=None,
        limits=(),
        rules=(),
        lists=lists,
        fresh_until=NEVER_US,
        snoozes=snoozes,
        examples=(),
        common=None,
        item=_place(name, 1),
    )
