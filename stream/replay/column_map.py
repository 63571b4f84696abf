"""A column map: which column of a file is which field of a transaction.

The form is in docs (CONTRACT: "A column map"); ``deploy/maps/handbook.yaml`` is one.
"""

from __future__ import annotations

import string
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from stream.contracts.transaction import Customer, Transaction
from stream.errors import UsageError

TIMES = ("event_time", "decide_by")
AMOUNTS = ("amount_minor", "account_amount_minor")
PLACES = ("lat", "lon")
FIELDS = (
    *(name for name in Transaction.model_fields if name != "customer"),
    *(f"customer.{name}" for name in Customer.model_fields),
)
REQUIRED = ("transaction_id", "account_id", "event_time", "amount_minor", "currency", "channel")


class FieldMap(BaseModel):
    """Where one field comes from: exactly one of ``column``, ``template`` and ``constant``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: Annotated[str | None, Field(description="Name of a column.")] = None
    template: Annotated[str | None, Field(description="Text with {column} in it.")] = None
    constant: Annotated[str | int | float | bool | None, Field(description="The same for every row.")] = None
    format: Annotated[
        str | None, Field(description="Of a time: timestamp, iso, unix_s, unix_ms or a strptime pattern.")
    ] = None
    zone: Annotated[str, Field(description="IANA time zone of times without an offset.")] = "UTC"
    scale: Annotated[
        float, Field(gt=0, le=1e9, description="Of an amount: times this, rounded half even to an integer.")
    ] = 1
    values: Annotated[dict[str, str] | None, Field(description="From a column's value to the field's.")] = None
    default: Annotated[str | None, Field(description="For a value that is not in `values`.")] = None
    split: Annotated[str | None, Field(min_length=1, description="What separates the items of a list.")] = None

    @field_validator("values", mode="before")
    @classmethod
    def _texts(cls, values: Any) -> Any:
        """YAML reads 0 and true as such; a column's value is compared as text."""
        if not isinstance(values, dict):
            return values
        return {_text(key): _text(value) for key, value in values.items()}

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"no such time zone: {zone}") from error
        return zone

    @model_validator(mode="after")
    def _one_origin(self) -> FieldMap:
        origins = [self.column is not None, self.template is not None, self.constant is not None]
        if sum(origins) != 1:
            raise ValueError("give one of column, template and constant")
        if any(not name.isidentifier() for name in self.columns if self.template is not None):
            raise ValueError("a template names columns by plain words: {account}")
        if self.default is not None and self.values is None:
            raise ValueError("default needs values")
        return self

    @property
    def columns(self) -> list[str]:
        """Names of the columns it reads."""
        if self.column is not None:
            return [self.column]
        return [name for _, name, _, _ in string.Formatter().parse(self.template or "") if name]


class LabelMap(BaseModel):
    """Where a file's own labels are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fraud: Annotated[FieldMap, Field(description="1 or true for fraud, 0 or false for none; empty for no label.")]
    attack: Annotated[FieldMap | None, Field(description="Kind of attack; may be empty.")] = None


class ColumnMap(BaseModel):
    """The whole map. A field that is not named is absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: dict[str, FieldMap]
    labels: LabelMap | None = None

    @field_validator("fields")
    @classmethod
    def _known_fields(cls, fields: dict[str, FieldMap]) -> dict[str, FieldMap]:
        for name, field in fields.items():
            if name not in FIELDS:
                raise ValueError(f"{name}: a transaction has no such field; it has {', '.join(FIELDS)}")
            if field.format is not None and name not in TIMES:
                raise ValueError(f"{name}: format is for times")
            if field.scale != 1 and name not in AMOUNTS:
                raise ValueError(f"{name}: scale is for amounts")
        missing = [name for name in REQUIRED if name not in fields]
        if missing:
            raise ValueError(f"required and not mapped: {', '.join(missing)}")
        return fields

    @property
    def columns(self) -> list[str]:
        """Names of all columns it reads, each once."""
        maps = list(self.fields.values())
        if self.labels is not None:
            maps += [field for field in (self.labels.fraud, self.labels.attack) if field is not None]
        return list(dict.fromkeys(name for field in maps for name in field.columns))


def load_column_map(path: Path) -> ColumnMap:
    """A column map from its YAML file.

    Raises
    ------
    UsageError
        With ``file:line`` and what to do, for a file that cannot be read or is no column map.
    """
    try:
        text = path.read_text("utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
        document = yaml.safe_load(text)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; --columns names a column map") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(f"{path}:{line}: not YAML: {error.problem}") from error
    try:
        return ColumnMap.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = [part for part in first["loc"] if isinstance(part, str)]
        message = first["msg"].removeprefix("Value error, ")
        name = message.split(":", 1)[0]
        line = _line(root, [*place, name])
        raise UsageError(f"{path}:{line}: {'.'.join(place) or 'column map'}: {message}") from error


def _line(node: yaml.Node | None, place: list[str]) -> int:
    """Line of the deepest node on the way to ``place``, from 1."""
    line = node.start_mark.line + 1 if node is not None else 1
    for name in place:
        if not isinstance(node, yaml.MappingNode):
            break
        for key, value in node.value:
            if key.value == name:
                node, line = value, key.start_mark.line + 1
                break
        else:
            break
    return line


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value
