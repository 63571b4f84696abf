"""YAML with the position of every value kept, so that each complaint can name file, line and column.

A document is a tree of :class:`Item`. Only plain data is read: no tags, no anchors, no aliases (an alias can
make a small file expand without bound), no repeated keys, at most :data:`MAX_BYTES`, nested at most :data:`MAX_DEPTH`
deep, at most :data:`MAX_VALUES` values. The limits are looked at event by event, before anything is built: the parser
recurses for what is nested, and takes a time that grows with the square of the depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import yaml

from rules.problem import PackError, Problem

MAX_BYTES: Final = 4 << 20
"""Largest file read, in bytes; deny lists of some ten thousand entries fit."""
MAX_DEPTH: Final = 32
"""Deepest nesting; a pack has some six levels."""
MAX_VALUES: Final = 100_000
"""Most scalars, sequences and mappings of one file; longer lists are CSV files."""
MAX_DIGITS: Final = 64
"""Longest number; a longer one is read as text."""
_SCALARS: Final = {
    "tag:yaml.org,2002:null": None,
    "tag:yaml.org,2002:bool": bool,
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:timestamp": str,
}
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Plain = None | bool | int | float | str


@dataclass(frozen=True, slots=True)
class Item:
    """One value of a document with its place.

    Parameters
    ----------
    value
        A scalar, a ``dict`` of items by key, or a ``list`` of items.
    text
        The scalar as written (without quotes); ``""`` for a mapping or a sequence.
    file, line, column
        Where the value begins, counted from 1.
    key_line, key_column
        Where its key begins; the value's own place for an element of a sequence.
    offsets
        For a scalar over several lines: (offset in the value, line, column) of the start of each line.
    """

    value: Plain | dict[str, Item] | list[Item]
    text: str
    file: str
    line: int
    column: int
    key_line: int
    key_column: int
    offsets: tuple[tuple[int, int, int], ...] = ()

    def problem(self, message: str, offset: int | None = None) -> Problem:
        """A problem at this value, or ``offset`` characters into its text."""
        line, column = self.place(offset) if offset is not None else (self.line, self.column)
        return Problem(self.file, line, column, message)

    def warning(self, message: str) -> Problem:
        """A doubt at this value that does not keep a policy from being loaded."""
        return Problem(self.file, self.line, self.column, message, "warning")

    def key_problem(self, message: str) -> Problem:
        """A problem at the key of this value."""
        return Problem(self.file, self.key_line, self.key_column, message)

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column of the character ``offset`` of a scalar's value."""
        best = (0, self.line, self.column)
        for start in self.offsets:
            if start[0] <= offset:
                best = start
        return best[1], best[2] + offset - best[0]


def read(name: str, content: bytes) -> Item:
    """Parse one YAML document.

    Raises
    ------
    PackError
        Not UTF-8, not YAML, too large, or using what is refused (see the module).
    """
    if len(content) > MAX_BYTES:
        raise PackError([Problem(name, 1, 1, f"the file is larger than {MAX_BYTES} bytes; split it")])
    try:
        source = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise PackError([Problem(name, line, column, "not UTF-8; save the file as UTF-8")]) from error
    try:
        _check_shape(name, source)
        node = yaml.compose(source, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise PackError([Problem(name, *place, f"not YAML: {error.problem}; mend the syntax here")]) from error
    except yaml.YAMLError as error:
        raise PackError([Problem(name, 1, 1, f"not YAML: {error}")]) from error
    if node is None:
        raise PackError([Problem(name, 1, 1, "the file is empty; a pack begins with 'pack: NAME'")])
    return _Builder(name, source.splitlines()).build(node, None)


def _check_shape(name: str, source: str) -> None:
    depth = values = documents = 0
    for event in yaml.parse(source, Loader=_LOADER):
        mark = event.start_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise PackError([Problem(name, *place, "anchors and aliases are not read; write the value out")])
        values += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        if depth > MAX_DEPTH:
            raise PackError([Problem(name, *place, f"nested more than {MAX_DEPTH} deep; a pack has fewer levels")])
        if values > MAX_VALUES:
            raise PackError([Problem(name, *place, f"more than {MAX_VALUES} values; put lists into .csv files")])
        if documents > 1:
            raise PackError([Problem(name, *place, "a second document; a pack is one document")])


class _Builder:
    def __init__(self, file: str, lines: list[str]) -> None:
        self.file = file
        self.lines = lines

    def build(self, node: yaml.Node, key: yaml.Node | None) -> Item:
        value: Plain | dict[str, Item] | list[Item]
        if isinstance(node, yaml.ScalarNode):
            value, text = self._scalar(node), str(node.value)
        elif isinstance(node, yaml.MappingNode):
            value, text = dict(self._pairs(node)), ""
        elif isinstance(node, yaml.SequenceNode):
            value, text = [self.build(child, None) for child in node.value], ""
        else:
            raise self._error(node, "this is not read; write plain data")
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        place = (key.start_mark.line + 1, key.start_mark.column + 1) if key is not None else (line, column)
        offsets = self._offsets(node) if isinstance(node, yaml.ScalarNode) else ()
        return Item(value, text, self.file, line, column, *place, offsets)

    def _scalar(self, node: yaml.ScalarNode) -> Plain:
        if node.tag not in _SCALARS:
            raise self._error(node, f"{node.tag} is a tag to YAML; put a condition that begins with ! in quotes")
        kind = _SCALARS[node.tag]
        if kind is None:
            return None
        try:
            if kind is bool:
                return bool(node.value.lower() in ("true", "yes", "on"))
            if kind in (int, float) and len(node.value) <= MAX_DIGITS:
                return float(node.value) if kind is float else int(node.value.replace("_", ""), 0)
        except ValueError:
            return str(node.value)
        return str(node.value)

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[str, Item]]:
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(key, "a key must be a word")
            if key.value in seen:
                raise self._error(key, f"'{key.value}' is given twice; keep one")
            seen.add(key.value)
            yield str(key.value), self.build(value, key)

    def _offsets(self, node: yaml.ScalarNode) -> tuple[tuple[int, int, int], ...]:
        first = node.start_mark.line
        if node.style in ("|", ">"):
            return self._block_offsets(first + 1, node.end_mark.line)
        column = node.start_mark.column + 1 + (1 if node.style else 0)
        starts = [(0, first + 1, column)]
        position = len(self.lines[first]) - (column - 1) + 1 if node.end_mark.line > first else 0
        for number in range(first + 1, node.end_mark.line + 1):
            line = self.lines[number] if number < len(self.lines) else ""
            indent = len(line) - len(line.lstrip())
            starts.append((position, number + 1, indent + 1))
            position += len(line.strip()) + 1
        return tuple(starts)

    def _block_offsets(self, first: int, last: int) -> tuple[tuple[int, int, int], ...]:
        starts, position, indent = [], 0, -1
        for number in range(first, min(last + 1, len(self.lines))):
            line = self.lines[number]
            if indent < 0 and line.strip():
                indent = len(line) - len(line.lstrip())
            starts.append((position, number + 1, max(indent, 0) + 1))
            position += max(len(line) - max(indent, 0), 0) + 1
        return tuple(starts)

    def _error(self, node: yaml.Node, message: str) -> PackError:
        return PackError([Problem(self.file, node.start_mark.line + 1, node.start_mark.column + 1, message)])
