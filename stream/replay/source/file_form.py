"""How a file is written down: what a column map says under ``file``."""

from __future__ import annotations

import codecs
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

DECIMAL_MARKS = (".", ",", "٫")
THOUSANDS_MARKS = (",", ".", " ", "'", "’", "_", "\u00a0", "\u202f", "٬")
TAB_WORDS = ("tab", "\\t")


class FileForm(BaseModel):
    """The form of a file. What is not said is found by the file's name and its byte order mark, never by its content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoding: Annotated[
        str | None, Field(description="Of CSV and JSON, e.g. gb18030, utf-16, cp1252; a byte order mark or UTF-8.")
    ] = None
    delimiter: Annotated[str | None, Field(description="Between the cells of CSV, one character or `tab`.")] = None
    decimal: Annotated[str, Field(description="Decimal mark of numbers in text.")] = "."
    thousands: Annotated[str | None, Field(description="Mark between groups of digits in text.")] = None
    header_row: Annotated[
        int | None, Field(ge=0, le=100_000, description="Line of the header, from 1; 0: none, columns are 1, 2, 3.")
    ] = None
    quote: Annotated[str, Field(description="Around cells of CSV; empty: nothing is.")] = '"'
    strip: Annotated[bool, Field(description="Blanks and tabs around names and cells are no part of them.")] = False
    sheet: Annotated[str | None, Field(description="Of a workbook: number from 1, or name.  [the first]")] = None
    null_values: Annotated[list[str], Field(description="Texts that stand for no value.")] = []

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        try:
            found = codecs.lookup(name)
            "".encode(name)
        except LookupError as error:
            raise ValueError(
                f"no such encoding of text: {name}; for instance utf-8, utf-16, gb18030, cp1252"
            ) from error
        return found.name

    @field_validator("delimiter")
    @classmethod
    def _one_delimiter(cls, text: str) -> str:
        if text.lower() in TAB_WORDS:
            return "\t"
        if len(text) != 1 or text in '\r\n"':
            raise ValueError("one character, or tab")
        return text

    @field_validator("quote")
    @classmethod
    def _one_quote(cls, text: str) -> str:
        if len(text) > 1 or (text and text in "\r\n"):
            raise ValueError("one character, or empty for none")
        return text

    @field_validator("decimal")
    @classmethod
    def _known_decimal(cls, mark: str) -> str:
        if mark not in DECIMAL_MARKS:
            raise ValueError('a point "." or a comma ","')
        return mark

    @field_validator("thousands")
    @classmethod
    def _known_thousands(cls, mark: str) -> str:
        if mark not in THOUSANDS_MARKS:
            raise ValueError("one of , . ' _ and a blank, in quotes")
        return mark

    def useless(self, kind: str) -> dict[str, str]:
        """Options that are given and can have no effect on a file of ``kind``, with the reason."""
        no_text = f"cells of {kind} have types; this is for text"
        why = {
            "parquet": {
                "encoding": no_text, "delimiter": no_text, "quote": no_text,
                "header_row": "Parquet names its columns itself", "sheet": "Parquet has no sheets",
            },
            "jsonl": {
                "delimiter": "JSON has none", "quote": "JSON has its own", "header_row": "JSON names fields in each row",
                "sheet": "JSON has no sheets",
            },
            "csv": {"sheet": "CSV has no sheets"},
            "xlsx": {"encoding": no_text, "delimiter": no_text, "quote": no_text},
        }[kind]  # fmt: skip
        return {name: why[name] for name in sorted(self.model_fields_set) if name in why}
