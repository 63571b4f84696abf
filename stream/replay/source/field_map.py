"""Where one field of a transaction comes from, and how its cell is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from stream.contracts.transaction import Customer, Transaction

TIMES = ("event_time", "decide_by")
AMOUNTS = ("amount_minor", "account_amount_minor", "balance_minor")
PLACES = ("lat", "lon")
TOKENS = ("transaction_id", "account_id", "customer_id", "payee_id", "device_id", "original_transaction_id")
LISTS = ("slips",)
FIELDS = (
    *(name for name in Transaction.model_fields if name != "customer"),
    *(f"customer.{name}" for name in Customer.model_fields),
)
UNIX_UNITS = {
    "unix_s": Decimal(1_000_000), "unix_ms": Decimal(1_000), "unix_us": Decimal(1), "unix_ns": Decimal("0.001"),
}  # fmt: skip
"""Microseconds of one unit of the numbers that count from 1970."""
PLAIN_FORMATS = ("timestamp", "iso")
UNITS = {
    "milliseconds": 1_000, "seconds": 1_000_000, "minutes": 60_000_000, "hours": 3_600_000_000,
    "days": 86_400_000_000, "weeks": 7 * 86_400_000_000,
}  # fmt: skip
"""Microseconds of each ``unit``."""
_PLACE = re.compile(r"\{([^{}]*)\}")


class SignColumn(BaseModel):
    """A column that says which way money went."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    paid: Annotated[list[str], Field(min_length=1, description="Its values where the account paid.")]


Sign = Literal["expense_negative", "expense_positive"]


class FieldMap(BaseModel):
    """Where one field comes from: exactly one of ``column``, ``template``, ``join`` and ``constant``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: Annotated[str | None, Field(min_length=1, description="Name of a column; dots reach into objects.")] = None
    template: Annotated[str | None, Field(description="Text with {column} in it.")] = None
    join: Annotated[list[str] | None, Field(min_length=2, description="Of a time: columns of its parts.")] = None
    constant: Annotated[str | None, Field(description="The same for every row.")] = None
    format: Annotated[
        str | list[str] | None,
        Field(
            description="Of a time: timestamp, iso, unix_s, unix_ms, unix_us, unix_ns, a strptime pattern, or several."
        ),
    ] = None
    zone: Annotated[str, Field(description="IANA time zone of times without an offset.")] = "UTC"
    repeated: Annotated[
        Literal["by_order", "first", "second", "refuse"],
        Field(description="Of a local time that comes twice as clocks go back: which one it is."),
    ] = "by_order"
    unit: Annotated[str | None, Field(description=f"Of a time that is a number: {', '.join(UNITS)} since start.")] = (
        None
    )
    start: Annotated[str | None, Field(description="Where `unit` counts from, RFC 3339 with its offset.")] = None
    scale: Annotated[
        Decimal, Field(gt=0, le=10**9, description="Of an amount: times this, rounded half even to an integer.")
    ] = Decimal(1)
    minor: Annotated[
        Literal["by_currency"] | None,
        Field(description="Of an amount in major units: by the decimals of its currency."),
    ] = None
    sign: Annotated[
        Sign | SignColumn | None,
        Field(description="Which amounts the account paid: expense_negative, expense_positive, or {column, paid: []}."),
    ] = None
    values: Annotated[dict[str, str] | None, Field(description="From a column's value to the field's.")] = None
    default: Annotated[str | None, Field(description="For a value that is not in `values`.")] = None
    split: Annotated[str | None, Field(min_length=1, description="What separates the items of a list.")] = None
    hash: Annotated[
        bool, Field(description="The text becomes a token: HMAC-SHA256 under RISKSTREAM_HASH_KEY_FILE.")
    ] = False

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"no such time zone: {zone}") from error
        return zone

    @field_validator("unit")
    @classmethod
    def _known_unit(cls, unit: str) -> str:
        if unit not in UNITS:
            raise ValueError(f"one of {', '.join(UNITS)}")
        return unit

    @field_validator("start")
    @classmethod
    def _known_start(cls, start: str) -> str:
        try:
            instant = datetime.fromisoformat(start)
        except ValueError as error:
            raise ValueError("a time such as 2026-01-01T00:00:00Z") from error
        if instant.tzinfo is None:
            raise ValueError("a time with its offset, such as 2026-01-01T00:00:00Z")
        return start

    @field_validator("format")
    @classmethod
    def _known_formats(cls, given: str | list[str]) -> str | list[str]:
        if not given:
            raise ValueError("no format in it; leave format out where times are ISO 8601")
        for form in [given] if isinstance(given, str) else given:
            _check_format(form)
        if isinstance(given, list) and sum(form in UNIX_UNITS for form in given) > 1:
            raise ValueError("which of two unix units a number has cannot be told; give one")
        return given

    @model_validator(mode="after")
    def _one_origin(self) -> FieldMap:
        origins = [self.column, self.template, self.join, self.constant]
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError("give one of column, template, join and constant")
        if self.template is not None:
            rest = _PLACE.sub("", self.template)
            if "{" in rest or "}" in rest or any(re.search("[!:]", name) or not name for name in self.columns):
                raise ValueError("a template names columns in braces, without formats: cz-{account}")
        if self.default is not None and self.values is None:
            raise ValueError("default needs values")
        return self

    @property
    def columns(self) -> list[str]:
        """Names of the columns its value is made of."""
        if self.column is not None:
            return [self.column]
        return list(self.join or ()) or _PLACE.findall(self.template or "")

    @property
    def wanted(self) -> list[str]:
        """Names of all columns it looks at."""
        return [*self.columns, *([self.sign.column] if isinstance(self.sign, SignColumn) else ())]

    @property
    def formats(self) -> list[str]:
        """Its formats of time."""
        return ["iso"] if self.format is None else [self.format] if isinstance(self.format, str) else list(self.format)

    @property
    def source(self) -> str:
        """What it is called in messages: its columns."""
        return "column " + " + ".join(self.columns) if self.columns else "constant"

    @property
    def pieces(self) -> list[tuple[str, str | None]]:
        """A template as (text, column behind it); the last column is None."""
        parts = _PLACE.split(self.template or "")
        names: list[str | None] = [*parts[1::2], None]
        return list(zip(parts[::2], names, strict=True))

    def useless(self, name: str) -> Iterator[tuple[str, str]]:
        """Options that are given and can have no effect on the field ``name``, with the reason and what to do."""
        given = self.model_fields_set
        kinds = {
            ("format", "zone", "repeated", "unit", "start", "join"): (TIMES, "is for times"),
            ("scale", "minor", "sign"): (AMOUNTS, "is for amounts"),
            ("split",): (LISTS, "is for lists"),
            ("hash",): (TOKENS, "is for ids"),
        }
        for options, (fields, words) in kinds.items():
            yield from ((option, f"{option} {words}") for option in options if option in given and name not in fields)
        if name in (*TIMES, *AMOUNTS, *PLACES):
            what = "a number" if name not in TIMES else "a time"
            yield from (
                (option, f"{name} is {what}; {option} is for words") for option in given & {"values", "default"}
            )
        if self.constant is not None:
            yield from (
                (option, "a constant needs none; write the value itself") for option in given & {"values", "default"}
            )
        if name in TIMES:
            yield from self._useless_of_time(name, given)
        if name in AMOUNTS:
            yield from self._useless_of_amount(name, given)

    def _useless_of_time(self, name: str, given: set[str]) -> Iterator[tuple[str, str]]:
        counted = [form for form in self.formats if form in UNIX_UNITS]
        if self.join is not None and (self.unit is not None or counted):
            yield ("unit" if self.unit is not None else "format", "a join is a text of several parts and no number")
        if (self.unit is None) != (self.start is None):
            yield ("unit" if self.start is None else "start", "unit and start go together")
        if self.unit is not None:
            yield from (
                (option, f"{option} does not go with unit: a number of {self.unit} has no form and no zone")
                for option in given & {"format", "zone", "repeated"}
            )
            return
        local = any(form not in UNIX_UNITS and "%z" not in form for form in self.formats)
        if not local:
            why = "every time of this format says its own offset"
            wrong = given & ({"repeated"} if self.zone == "UTC" else {"zone", "repeated"})
            yield from ((option, f"{option} has no effect: {why}") for option in wrong)
        elif "repeated" in given and not turns(self.zone):
            yield ("repeated", f"no hour comes twice in {self.zone}; give the zone of the times")
        elif name == "decide_by" and self.repeated == "by_order" and turns(self.zone):
            option = "repeated" if "repeated" in given else "zone"
            yield (option, "rows are in no order of decide_by: repeated: first, second or refuse says which hour it is")

    def _useless_of_amount(self, name: str, given: set[str]) -> Iterator[tuple[str, str]]:
        if {"scale", "minor"} <= given:
            yield ("scale", "scale and minor are two answers to one question; give one")
        if "minor" in given and name != "amount_minor":
            yield ("minor", "the account's currency is not in the file; give scale")
        if "sign" in given and name != "amount_minor":
            yield ("sign", "sign is for amount_minor: it says which rows are payments")
        elif "sign" in given and self.column is None:
            yield ("sign", "sign goes with column")


def turns(zone: str) -> bool:
    """Whether a zone ever changes its offset; a fixed one has no hour that comes twice."""
    return zone.upper() not in ("UTC", "ZULU", "GMT", "UCT", "UNIVERSAL") and not zone.startswith("Etc/")


def _check_format(form: str) -> None:
    if form in UNIX_UNITS or form in PLAIN_FORMATS:
        return
    if "%" not in form:
        raise ValueError(
            f"no format {form!r}: {', '.join((*PLAIN_FORMATS, *UNIX_UNITS))} or a pattern such as %d.%m.%Y %H:%M"
        )
    try:
        datetime.strptime("", form)  # noqa: DTZ007 - only the pattern is looked at
    except ValueError as error:
        if "bad directive" in str(error) or "stray" in str(error):
            raise ValueError(str(error)) from error
    except re.error as error:
        raise ValueError(f"a directive stands twice in {form!r}") from error
    used = set(re.findall(r"%(.)", form.replace("%%", "")))
    weekday = used & set("aAwu")
    if "G" in used and not ("V" in used and weekday):
        raise ValueError(f"{form!r}: %G is the year of a week: it goes with %V and a day of the week such as %u")
    dated = used & set("cxj") or (used & set("mbB") and "d" in used) or (used & set("GUW") and weekday)
    if not (used & set("YyGcx") and dated):
        raise ValueError(f"{form!r} does not name year, month and day; join: [date, time] puts columns together")
    if "I" in used and "p" not in used:
        raise ValueError("%I is an hour of 12 and needs %p; of 24 it is %H")
    if "p" in used and "I" not in used:
        raise ValueError("%p has no effect without %I")
    if "Z" in used:
        raise ValueError("%Z: names of zones are no offsets; give zone, or %z for an offset")
