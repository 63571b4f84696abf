"""Reading the fields of one mapping of a pack: each value typed, each mistake collected with its place.

Nothing here raises on a bad value: the problem is noted and a harmless default returned, so that one check
reports everything that is wrong with a pack.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from rules.document import Item
from rules.expression import ConditionError, parse
from rules.problem import Problem

_DURATION: Final = re.compile(r"^(\d{1,6})\s*(m|h|d)$")
_DURATION_US: Final = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_IDENTIFIER: Final = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
INSTANT_HINT: Final = "must be a date (2027-01-31) or a time with its offset (2027-01-31T12:00:00Z)"
MAX_WEIGHT_MILLI: Final = 20_000


@dataclass(frozen=True, slots=True)
class Condition:
    """The text of a condition and where it stands."""

    text: str
    item: Item

    def problem(self, error: ConditionError) -> Problem:
        """The error of a parse or a check, as a problem in the file."""
        return self.item.problem(error.message, error.offset)


class Fields:
    """The keys of one mapping, taken one by one; :meth:`finish` complains about what nobody took."""

    def __init__(self, item: Item, problems: list[Problem], what: str) -> None:
        self.item = item
        self.problems = problems
        self.what = what
        self._taken: list[str] = []
        self._values: dict[str, Item] = item.value if isinstance(item.value, dict) else {}
        if not isinstance(item.value, dict):
            problems.append(item.problem(f"{what} must be 'name: value' lines"))

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return key in self._values and self._values[key].value is not None

    def take(self, key: str, required: bool = False) -> Item | None:
        """The value of a key, or None where it is absent."""
        self._taken.append(key)
        item = self._values.get(key)
        if required and (item is None or item.value is None) and isinstance(self.item.value, dict):
            self.problems.append(self.item.problem(f"{self.what} needs '{key}:'"))
        return item if item is not None and item.value is not None else None

    def complain(self, item: Item, message: str) -> None:
        """Note a problem at a value."""
        self.problems.append(item.problem(message))

    def text(self, key: str, default: str = "", required: bool = False) -> str:
        """A string."""
        item = self.take(key, required)
        if item is None:
            return default
        if isinstance(item.value, dict | list):
            self.complain(item, f"'{key}' must be text")
            return default
        return item.text

    def identifier(self, key: str) -> str:
        """A required name of small letters, digits, underscores and dots."""
        text = self.text(key, required=True)
        item = self._values.get(key)
        if item is not None and text and not _IDENTIFIER.match(text):
            self.complain(item, f"'{text}' is no name: small letters, digits, _ and . only, a letter first")
        return text

    def word(self, key: str, allowed: Sequence[str], default: str = "", required: bool = False) -> str:
        """One of the allowed words."""
        text = self.text(key, default, required)
        if self.has(key) and text not in allowed:
            self.complain(
                self._values[key], f"'{text}' is not known here; use one of {', '.join(allowed)}{_near(text, allowed)}"
            )
            return default
        return text

    def words(self, key: str, allowed: Sequence[str] | None = None) -> tuple[str, ...]:
        """A list of words."""
        found = []
        for item in self.items(key):
            if isinstance(item.value, dict | list):
                self.complain(item, f"'{key}' must hold plain words")
            elif allowed is not None and item.text not in allowed:
                self.complain(
                    item, f"'{item.text}' is not known here; use one of {', '.join(allowed)}{_near(item.text, allowed)}"
                )
            else:
                found.append(item.text)
        return tuple(found)

    def flag(self, key: str, default: bool = False) -> bool:
        """True or false."""
        item = self.take(key)
        if item is None:
            return default
        if not isinstance(item.value, bool):
            self.complain(item, f"'{key}' must be true or false")
            return default
        return item.value

    def integer(self, key: str, default: int, low: int, high: int, required: bool = False) -> int:
        """A whole number between low and high."""
        item = self.take(key, required)
        if item is None:
            return default
        if isinstance(item.value, bool) or not isinstance(item.value, int) or not low <= item.value <= high:
            self.complain(item, f"'{key}' must be a whole number from {low} to {high}")
            return default
        return item.value

    def milli(self, key: str, default: int, low: int, high: int, required: bool = False) -> int:
        """A number with at most three decimals, as thousandths; low and high in thousandths."""
        item = self.take(key, required)
        if item is None:
            return default
        scaled = _decimal(item)
        if scaled is None or scaled * 1000 != int(scaled * 1000) or not low <= int(scaled * 1000) <= high:
            bounds = f"from {low / 1000:g} to {high / 1000:g}"
            self.complain(item, f"'{key}' must be a number {bounds} with at most three decimals")
            return default
        return int(scaled * 1000)

    def number(self, key: str, default: float, low: float, high: float, required: bool = False) -> float:
        """A number between low and high."""
        item = self.take(key, required)
        if item is None:
            return default
        value = _decimal(item)
        if value is None or not low <= float(value) <= high:
            self.complain(item, f"'{key}' must be a number from {low:g} to {high:g}")
            return default
        return float(value)

    def duration(self, key: str, default: int, required: bool = False) -> int:
        """A duration such as 30m, 24h or 7d, in µs."""
        item = self.take(key, required)
        if item is None:
            return default
        match = _DURATION.match(item.text)
        if match is None or int(match[1]) == 0:
            self.complain(item, f"'{key}' must be a duration such as 30m, 24h or 7d")
            return default
        return int(match[1]) * _DURATION_US[match[2]]

    def instant(self, key: str, default: int, required: bool = False) -> int:
        """A date (midnight UTC) or RFC 3339 time, in µs since the epoch."""
        item = self.take(key, required)
        if item is None:
            return default
        moment = instant_us(item.text)
        if moment is None:
            self.complain(item, f"'{key}' {INSTANT_HINT}")
            return default
        return moment

    def condition(self, key: str, required: bool = False) -> Condition | None:
        """A condition, its grammar checked; names and types need the schema and come later."""
        item = self.take(key, required)
        if item is None:
            return None
        if isinstance(item.value, dict | list):
            self.complain(item, f"'{key}' must be one condition")
            return None
        text = item.text if not isinstance(item.value, bool) else str(item.value).lower()
        condition = Condition(text, item)
        try:
            parse(text)
        except ConditionError as error:
            self.problems.append(condition.problem(error))
            return None
        return condition

    def fields(self, key: str, what: str, required: bool = False) -> Fields | None:
        """A nested mapping."""
        item = self.take(key, required)
        return None if item is None else Fields(item, self.problems, what)

    def items(self, key: str, required: bool = False) -> list[Item]:
        """A list; empty where absent."""
        item = self.take(key, required)
        if item is None:
            return []
        if not isinstance(item.value, list):
            self.complain(item, f"'{key}' must be a list; begin each line with '- '")
            return []
        return item.value

    def finish(self) -> None:
        """Complain about keys that nobody took."""
        for key, item in self._values.items():
            if key not in self._taken:
                self.problems.append(
                    item.key_problem(f"unknown key '{key}' in {self.what}{_near(key, self._taken)}; see docs/packs.md")
                )


def instant_us(text: str) -> int | None:
    """A date (midnight UTC) or a time with its offset, in µs since the epoch; None for anything else.

    >>> instant_us("1970-01-02"), instant_us("1970-01-01T01:00:00+01:00"), instant_us("1970-01-01T00:00:00")
    (86400000000, 0, None)
    """
    try:
        if len(text) == 10:
            moment = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        else:
            moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else (moment - _EPOCH) // timedelta(microseconds=1)


def _decimal(item: Item) -> Decimal | None:
    if isinstance(item.value, bool) or not isinstance(item.value, int | float):
        return None
    try:
        value = Decimal(item.text.replace("_", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _near(word: str, allowed: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, allowed, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
