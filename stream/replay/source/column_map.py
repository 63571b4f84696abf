"""A column map: which column of a file is which field of a transaction.

The form is in docs/files.md; ``deploy/maps/handbook.yaml`` is one. Every scalar is the text that stands there: YAML's
own ideas of numbers, dates and truth values are not asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from rules.document import Item
from rules.document import read as read_document
from rules.problem import PackError
from stream.errors import UsageError
from stream.replay.source.field_map import FIELDS, FieldMap
from stream.replay.source.file_form import FileForm

REQUIRED = ("transaction_id", "account_id", "event_time", "amount_minor", "currency", "channel")


class LabelMap(BaseModel):
    """Where a file's own labels are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fraud: Annotated[FieldMap, Field(description="1 or true for fraud, 0 or false for none; empty for no label.")]
    attack: Annotated[FieldMap | None, Field(description="Kind of attack; may be empty.")] = None


class RowCondition(BaseModel):
    """Which rows are payments: those whose column holds one of some values, or none of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    column: Annotated[str, Field(min_length=1)]
    among: Annotated[list[str] | None, Field(alias="in", min_length=1, description="Its values; empty: no value.")] = (
        None
    )
    not_among: Annotated[list[str] | None, Field(alias="not_in", min_length=1, description="Not these.")] = None

    @model_validator(mode="after")
    def _one_list(self) -> RowCondition:
        if (self.among is None) == (self.not_among is None):
            raise ValueError("give one of in and not_in")
        return self


class ColumnMap(BaseModel):
    """The whole map. A field that is not named is absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: FileForm = FileForm()
    rows: list[RowCondition] = []
    fields: dict[str, FieldMap]
    labels: LabelMap | None = None
    _document: Item | None = PrivateAttr(None)

    @field_validator("fields")
    @classmethod
    def _known_fields(cls, fields: dict[str, FieldMap]) -> dict[str, FieldMap]:
        for name in fields:
            if name not in FIELDS:
                raise ValueError(f"{name}: a transaction has no such field; it has {', '.join(FIELDS)}")
        missing = [name for name in REQUIRED if name not in fields]
        if missing:
            raise ValueError(f"required and not mapped: {', '.join(missing)}")
        return fields

    @property
    def every_field(self) -> dict[tuple[str, str], FieldMap]:
        """All fields and labels, by their place in the map."""
        maps = {("fields", name): field for name, field in self.fields.items()}
        if self.labels is not None:
            maps["labels", "fraud"] = self.labels.fraud
            if self.labels.attack is not None:
                maps["labels", "attack"] = self.labels.attack
        return maps

    @property
    def columns(self) -> list[str]:
        """Names of all columns it reads, each once."""
        wanted = [name for field in self.every_field.values() for name in field.wanted]
        return list(dict.fromkeys([*wanted, *(condition.column for condition in self.rows)]))

    def place_of(self, column: str) -> tuple[str, ...]:
        """Where in the map a column is named first."""
        for place, field in self.every_field.items():
            if column in field.wanted:
                return place
        for number, condition in enumerate(self.rows):
            if condition.column == column:
                return ("rows", str(number), "column")
        raise KeyError(column)

    def wrong(self, place: tuple[str, ...], message: str) -> UsageError:
        """An error at a place of the map: ``file:line:column: what``."""
        if self._document is None:
            return UsageError(f"column map, {'.'.join(place)}: {message}")
        return UsageError(_placed(self._document, place, message))


def load_column_map(path: Path) -> ColumnMap:
    """A column map from its YAML file.

    Raises
    ------
    UsageError
        With ``file:line:column`` and what to do, for a file that cannot be read or is no column map.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; --columns names a column map") from error
    return parse_column_map(str(path), content)


def parse_column_map(name: str, content: bytes) -> ColumnMap:
    """A column map from the bytes of its file; ``name`` stands in messages.

    Raises
    ------
    UsageError
        As :func:`load_column_map`.
    """
    if not content.strip():
        raise UsageError(f"{name}:1:1: the file is empty; a column map has fields: (riskstream map FILE proposes one)")
    try:
        document = read_document(name, content)
    except PackError as error:
        raise UsageError(str(error)) from error
    if not isinstance(document.value, dict):
        raise UsageError(f"{name}:1:1: no column map; one begins with fields: (riskstream map FILE proposes one)")
    try:
        column_map = ColumnMap.model_validate(_texts(document))
    except ValidationError as error:
        raise UsageError(_first(document, error)) from error
    column_map._document = document
    for place, field in column_map.every_field.items():
        for option, message in field.useless(place[-1]):
            raise column_map.wrong((*place, option), f"{place[-1]}: {message}")
    _sign_account_amount(column_map)
    if column_map.file.thousands == column_map.file.decimal:
        raise column_map.wrong(
            ("file", "thousands"), "decimal and thousands mark are the same; decimal: says the other"
        )
    return column_map


def _sign_account_amount(column_map: ColumnMap) -> None:
    """Where the amount of a payment stands below zero, that in the account's currency may do so too."""
    account = column_map.fields.get("account_amount_minor")
    if account is not None and column_map.fields["amount_minor"].sign == "expense_negative":
        column_map.fields["account_amount_minor"] = account.model_copy(update={"sign": "expense_negative"})


def _texts(item: Item) -> Any:
    """The document as texts, lists and mappings alone."""
    if isinstance(item.value, dict):
        return {key: _texts(value) for key, value in item.value.items()}
    if isinstance(item.value, list):
        return [_texts(value) for value in item.value]
    return item.text


_KINDS = ("SignColumn", "str", "list[str]")
"""Kinds that one option may be of; they stand in the places of errors, and in no map."""


def _first(document: Item, error: ValidationError) -> str:
    found = error.errors(include_url=False)
    at = found[0]["loc"][:3]
    deepest = max((one for one in found if one["loc"][:3] == at), key=lambda one: len(one["loc"]))
    message = deepest["msg"].removeprefix("Value error, ")
    place = tuple(str(part) for part in deepest["loc"] if part not in _KINDS and not str(part).startswith("literal["))
    return _placed(document, (*place, message.split(":", 1)[0]), f"{'.'.join(place) or 'column map'}: {message}")


def _placed(document: Item, place: tuple[str, ...], message: str) -> str:
    """The message at the deepest value on the way to ``place``."""
    item = document
    for name in place:
        inner: Item | None = None
        if isinstance(item.value, dict):
            inner = item.value.get(name)
        elif isinstance(item.value, list) and name.isdigit() and int(name) < len(item.value):
            inner = item.value[int(name)]
        item = item if inner is None else inner
    return f"{item.file}:{item.key_line}:{item.key_column}: {message}"
