"""The words of the wire and their codes: field names and lists of :mod:`stream.core.columns`, in one look-up table.

Texts are read by words of eight bytes: the buffer goes on for :data:`stream.arrays.packed.PADDING` bytes behind them.
The table is open-addressed over first, middle and last byte and length; the bytes are compared, so that a look-up
is exact. It is passed to compiled code as an argument and never frozen into it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rules.iso_4217 import CODES
from stream.arrays.byte_words import WORD_BYTES, first_bytes, load_word
from stream.contracts.country import COUNTRIES
from stream.core import columns

FIELD, CUSTOMER_FIELD, TYPE, CHANNEL, PAYEE_KIND, NAME_CHECK, SEGMENT, AGE_BAND, SCENARIO, SLIP, PURPOSE = range(11)
ENVELOPE_FIELD, SPECVERSION, CONTENT_TYPE = range(11, 14)
"""Which list a word is looked up in."""

FIELDS = (
    "type",
    "transaction_id",
    "account_id",
    "customer_id",
    "payee_id",
    "device_id",
    "event_time",
    "decide_by",
    "amount_minor",
    "account_amount_minor",
    "currency",
    "country",
    "payee_country",
    "channel",
    "payee_kind",
    "name_check",
    "scenario",
    "purpose",
    "lat",
    "lon",
    "customer",
    "slips",
    "original_transaction_id",
    "uetr",
    "balance_minor",
)
"""Fields of a transaction; the place is the code that the scanner dispatches on."""
TYPES = ("payment", "reversal")
ENVELOPE_FIELDS = ("specversion", "id", "source", "type", "datacontenttype", "data", "data_base64", "transaction_id")
"""Attributes of a CloudEvent that mean something, and the name that no envelope has."""
CUSTOMER_FIELDS = ("segment", "age_band", "home_country", "vulnerable")

PURPOSE_WORDS: dict[str, tuple[str, ...]] = {
    "salary": ("salary", "wages", "payroll", "sala", "payr", "bonu", "工资", "薪资", "薪酬", "薪水", "奖金"),
    "rent": ("rent", "房租", "租金", "租房"),
    "medical": ("medical", "hospital", "mdcs", "hspc", "hlti", "hltc", "dnts", "医疗", "医疗费", "医药费", "住院费"),
    "social_security": (
        "social_security",
        "social-security",
        "social security",
        "pension",
        "ssbe",
        "pens",
        "bene",
        "社保",
        "社会保险",
        "养老金",
        "医保",
    ),
    "utilities": (
        "utilities",
        "electricity",
        "water",
        "gas",
        "phone",
        "elec",
        "gasb",
        "wter",
        "phon",
        "ubil",
        "水电",
        "水电费",
        "水费",
        "电费",
        "燃气费",
        "话费",
        "物业费",
    ),
    "tuition": ("tuition", "school", "educ", "stdy", "学费", "教育"),
    "tax": ("tax", "taxes", "taxs", "vatx", "intx", "whld", "estx", "hstx", "税", "税费", "税款", "个税"),
    "goods": ("goods", "purchase", "gdds", "gdsv", "gscb", "货款", "购物"),
}
"""Words of each purpose, in lower case: plain English and Chinese, and ISO 20022 external purpose codes."""

_ID_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-"
_MAX_WORD = 24
NO_CURRENCY = -(2**63)
_SLOTS = 1024
_ENTRIES = 256


TABLES = np.dtype(
    [
        ("slots", "i2", (_SLOTS,)),  # entry or -1
        ("lists", "u1", (_ENTRIES,)),
        ("codes", "u1", (_ENTRIES,)),
        ("lengths", "u1", (_ENTRIES,)),
        ("texts", "u8", (_ENTRIES, _MAX_WORD // WORD_BYTES)),  # little endian, filled up with zeros
        ("currency_ends", "i8", (27**3,)),  # of a packed code, µs: NO_CURRENCY, or from when it is not in use any more
        ("countries", "u1", (27**2,)),
        ("id_bytes", "u1", (256,)),  # 1 where a byte may stand in an id
    ]
)
"""The look-up tables, one record."""


@njit(cache=True)
def _slot(which: int, buf: NDArray[np.uint8], start: int, length: int) -> int:
    first, middle, last = int(buf[start]), int(buf[start + length // 2]), int(buf[start + length - 1])
    return _slot_of(which, first, middle, last, length)


@njit(cache=True)
def _slot_of(which: int, first: int, middle: int, last: int, length: int) -> int:
    return (first * 31 + middle * 181 + last * 17 + length * 331 + which * 97) & (_SLOTS - 1)


@njit(cache=True)
def find(tables: Any, which: int, buf: NDArray[np.uint8], start: int, length: int) -> int:
    """The code of ``buf[start:start + length]`` in a list; -1 where it is not in it."""
    if length == 0 or length > _MAX_WORD:
        return -1
    slot = _slot(which, buf, start, length)
    while tables["slots"][slot] >= 0:
        entry = tables["slots"][slot]
        if tables["lists"][entry] == which and tables["lengths"][entry] == length:
            k = 0
            while k < length and tables["texts"][entry, k >> 3] == first_bytes(
                load_word(buf, start + k), min(length - k, WORD_BYTES)
            ):
                k += WORD_BYTES
            if k >= length:
                return int(tables["codes"][entry])
        slot = (slot + 1) & (_SLOTS - 1)
    return -1


@njit(cache=True)
def _folded(byte: Any) -> int:
    """A byte with ASCII capitals in lower case."""
    return int(byte) + 32 if 65 <= byte <= 90 else int(byte)


@njit(cache=True)
def _text_byte(tables: Any, entry: int, k: int) -> int:
    return int(tables["texts"][entry, k >> 3] >> np.uint64(8 * (k & 7)) & np.uint64(255))


@njit(cache=True)
def find_folded(tables: Any, which: int, buf: NDArray[np.uint8], start: int, length: int) -> int:
    """:func:`find` of the text with ASCII capitals in lower case."""
    if length == 0 or length > _MAX_WORD:
        return -1
    first, middle = _folded(buf[start]), _folded(buf[start + length // 2])
    slot = _slot_of(which, first, middle, _folded(buf[start + length - 1]), length)
    while tables["slots"][slot] >= 0:
        entry = tables["slots"][slot]
        if tables["lists"][entry] == which and tables["lengths"][entry] == length:
            k = 0
            while k < length and _text_byte(tables, entry, k) == _folded(buf[start + k]):
                k += 1
            if k == length:
                return int(tables["codes"][entry])
        slot = (slot + 1) & (_SLOTS - 1)
    return -1


def _vocabulary() -> list[tuple[int, str, int]]:
    lists: list[tuple[int, tuple[str, ...], int]] = [
        (FIELD, FIELDS, 0),
        (CUSTOMER_FIELD, CUSTOMER_FIELDS, 0),
        (TYPE, TYPES, 0),
        (CHANNEL, columns.CHANNELS, 1),
        (PAYEE_KIND, columns.PAYEE_KINDS, 1),
        (NAME_CHECK, columns.NAME_CHECKS, 1),
        (SEGMENT, columns.SEGMENTS, 1),
        (AGE_BAND, columns.AGE_BANDS, 1),
        (SCENARIO, columns.SCENARIOS, 1),
        (SLIP, columns.SLIPS, 0),
        (ENVELOPE_FIELD, ENVELOPE_FIELDS, 0),
        (SPECVERSION, ("1.0",), 0),
        (CONTENT_TYPE, ("application/json",), 0),
    ]
    entries = [(which, word, code) for which, words, first in lists for code, word in enumerate(words) if code >= first]
    for purpose, synonyms in PURPOSE_WORDS.items():
        entries += [(PURPOSE, word, columns.PURPOSES.index(purpose)) for word in synonyms]
    return entries


def build() -> NDArray[Any]:
    """The tables: dtype :data:`TABLES`, shape (1,).

    >>> tables = build()
    >>> code_of(tables, CHANNEL, "app"), code_of(tables, CHANNEL, "fax")
    (1, -1)
    """
    array = np.zeros(1, TABLES)
    table = array[0]
    table["slots"] = -1
    for entry, (which, word, code) in enumerate(_vocabulary()):
        text = np.frombuffer(word.encode(), np.uint8)
        table["lists"][entry], table["codes"][entry], table["lengths"][entry] = which, code, len(text)
        table["texts"][entry] = np.frombuffer(word.encode().ljust(_MAX_WORD, b"\0"), "<u8")
        slot = int(_slot(which, text, 0, len(text)))
        while table["slots"][slot] >= 0:
            slot = (slot + 1) % _SLOTS
        table["slots"][slot] = entry
    table["currency_ends"] = NO_CURRENCY
    for currency in CODES.values():
        table["currency_ends"][columns.pack_code(currency.code)] = currency.ends
    table["countries"][[columns.pack_code(code) for code in sorted(COUNTRIES)]] = 1
    table["id_bytes"][list(_ID_BYTES)] = 1
    return array


def code_of(tables: NDArray[Any], which: int, text: str) -> int:
    """:func:`find` of a text."""
    data = np.frombuffer(text.encode() + bytes(_MAX_WORD), np.uint8)
    return int(find(tables[0], which, data, 0, len(text.encode())))


def purpose_code(text: str) -> int:
    """The purpose that a free text names: by the whole text, else by its first word, ASCII case ignored.

    >>> [columns.PURPOSES[purpose_code(t)] for t in ("SALA", "房租 2026年11月", "for the boat", "")]
    ['salary', 'rent', 'other', 'none']
    """
    folded = text.encode().lower().strip(b" ")
    if not text:
        return 0
    for words in (folded, folded.split(b" ", 1)[0]):
        if words in _PURPOSE_CODES:
            return _PURPOSE_CODES[words]
    return columns.PURPOSES.index("other")


_PURPOSE_CODES = {
    word.encode(): columns.PURPOSES.index(purpose) for purpose, words in PURPOSE_WORDS.items() for word in words
}
