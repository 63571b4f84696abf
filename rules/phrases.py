"""What one piece of evidence is called: a sentence in each language, with a value people can read.

The evidence of a decision names features and shows numbers (``idle_hours``, ``14.8``); people read "15 hours after the
account's last attempt". How a value is told stands in ``rules/texts/forms.yaml``, the sentences beside it in
``en.yaml`` and ``zh.yaml``. Every feature has one; a test holds that. Pure: the same evidence gives the same words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from rules.typesetting import typeset

TEXTS: Final = Path(__file__).parent / "texts"
_PLURAL: Final = re.compile(r"\[([^\[\]|]*)\|([^\[\]|]*)\]")
_LENGTHS: Final = (
    ("minute", 1.0 / 1440.0, 60.0),
    ("hour", 1.0 / 24.0, 48.0),
    ("day", 1.0, 60.0),
    ("month", 30.44, 24.0),
)
"""Unit, its days, and the count of it from which the next one is used; beyond them all, years."""

Evidence = Mapping[str, Any]
"""``feature``, ``value`` (as shown), ``normal`` (as shown, or None), ``contribution_milli``."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a feature's value is told; see the head of ``forms.yaml``."""

    kind: str
    topic: str
    least: float | None = None
    quiet: bool = False
    told: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class MoneyForm:
    """What amounts of the account are in.

    Parameters
    ----------
    currency
        ISO 4217; empty where the account's currency is not the payment's and therefore not known.
    digits
        Decimals of its minor unit.
    """

    currency: str
    digits: int = 2


@lru_cache(maxsize=8)
def texts(language: str) -> dict[str, Any]:
    """The sentences of one language."""
    loaded: dict[str, Any] = yaml.safe_load((TEXTS / f"{language}.yaml").read_text(encoding="utf-8"))
    return loaded


@lru_cache(maxsize=1)
def forms() -> dict[str, Form]:
    """The form of each feature, and of ``new_payee``."""
    loaded = yaml.safe_load((TEXTS / "forms.yaml").read_text(encoding="utf-8"))
    found = {
        name: Form(
            form["as"],
            form["topic"],
            form.get("least"),
            form.get("quiet", False),
            tuple(form["told"]) if "told" in form else None,
        )
        for name, form in loaded.items()
    }
    return found | {"new_payee": Form("flag", "pair")}


def phrase(item: Evidence, language: str, reader: str, money: MoneyForm) -> str:
    """The words for one piece of evidence, empty where ``reader`` (``customer`` or ``reviewer``) is told nothing.

    >>> item = {"feature": "device_change_days", "value": "0.0516", "normal": None, "contribution_milli": 900}
    >>> phrase(item, "en", "reviewer", MoneyForm("EUR")), phrase(item, "zh", "reviewer", MoneyForm("EUR"))
    ('the account changed to a new device 74 minutes ago', '该账户 74 分钟前更换设备')
    """
    return told(item, money).words(language, reader)


class Phrase:
    """One feature's value as readers are told of it; sentences are made when somebody asks for them.

    Attributes
    ----------
    topic
        One reader is told one sentence of a topic.
    tells
        Whether the value is worth telling as a reason: not one that is as it should be, though it may weigh a little.

    >>> Phrase("count_hour", "1", None, MoneyForm("CNY")).tells, Phrase("count_hour", "4", None, MoneyForm("CNY")).tells
    (False, True)
    """

    __slots__ = ("_form", "_money", "_name", "_shown", "_usual", "_words", "tells", "topic")

    def __init__(self, name: str, shown: str, usual: str | None, money: MoneyForm) -> None:
        form = forms().get(name)
        self._name, self._shown, self._usual, self._money, self._form = name, shown, usual, money, form
        self._words: dict[tuple[str, str], str] = {}
        self.topic = name if form is None else form.topic
        self.tells = form is None or not form.quiet or form.least is None or _number(shown) >= form.least

    def words(self, language: str, reader: str) -> str:
        """The sentence, empty where ``reader`` is told nothing."""
        words = self._words.get((language, reader))
        if words is None:
            words = self._words[language, reader] = typeset(self._sentence(language, reader), language)
        return words

    def _sentence(self, language: str, reader: str) -> str:
        name, shown, form, text = self._name, self._shown, self._form, texts(language)
        words = text["features"].get(name)
        if (
            form is None or words is None
        ):  # a newer feature table than these texts: its bare name is better than silence
            return "" if reader == "customer" else f"{name.replace('_', ' ')} {shown}"
        if shown == "unknown":
            return ""
        if reader == "customer" and not _told(form, shown):
            return ""
        template = words.get(_which(form, words, shown, reader, self._usual), "")
        if not template:
            return ""
        value = _value(form, name, shown, text, self._money)
        normal = amount(_number(self._usual), self._money, text) if self._usual and form.kind == "money" else ""
        share = percent(_number(shown)) if "{percent}" in template else ""
        return plural(template, value).format(value=value, normal=normal, percent=share)


def told(item: Evidence, money: MoneyForm) -> Phrase:
    """What is told of one piece of evidence; the same few values come again and again."""
    return _remembered(item["feature"], item["value"], item["normal"], money.currency, money.digits)


@lru_cache(maxsize=16_384)
def _remembered(name: str, shown: str, usual: str | None, currency: str, digits: int) -> Phrase:
    return Phrase(name, shown, usual, MoneyForm(currency, digits))


def plural(template: str, value: str) -> str:
    """The template with each ``[one|several]`` decided by the value.

    >>> plural("about {value} [payment|payments]", "1")
    'about {value} payment'
    """
    return _PLURAL.sub(r"\1" if value == "1" else r"\2", template) if "[" in template else template


def amount(minor: float, money: MoneyForm, text: Mapping[str, Any]) -> str:
    """An amount as people of this language write it.

    >>> amount(123456789, MoneyForm("CNY"), texts("en")), amount(123456789, MoneyForm("CNY"), texts("zh"))
    ('CNY 1,234,567.89', '人民币 1,234,567.89 元')
    """
    whole, rest = divmod(round(minor), 10**money.digits)
    number = f"{whole:,}" + (f".{rest:0{money.digits}d}" if money.digits else "")
    names = text["money"]
    form = names.get(money.currency, names["other"]) if money.currency else names["none"]
    return str(form.format(currency=money.currency, amount=number))


def length(days: float, text: Mapping[str, Any]) -> str:
    """A length of time in the unit people would use.

    >>> length(0.0516, texts("en")), length(39.3, texts("en")), length(1.02, texts("zh")), length(0.0, texts("en"))
    ('74 minutes', '39 days', '24 小时', 'less than a minute')
    """
    units = text["units"]
    if days * 1440.0 < 1.0:
        return str(units["moment"])
    for unit, size, most in _LENGTHS:
        if days / size < (90.0 if unit == "minute" else most):
            return _counted(units[unit], days / size)
    return _counted(units["year"], days / 365.25)


def times(value: float) -> str:
    """A ratio, to one decimal while that says something.

    >>> times(4.237), times(2343.2), times(12.01)
    ('4.2', '2,343', '12')
    """
    return f"{round(value):,}" if value >= 9.95 else f"{value:.1f}"


def percent(value: float) -> str:
    """A share in per cent.

    >>> percent(0.0359), percent(0.5), percent(0.0004), percent(0.0)
    ('3.6%', '50%', '<0.1%', '0%')
    """
    hundredths = value * 100.0
    if 0.0 < hundredths < 0.1:
        return "<0.1%"
    return f"{hundredths:.1f}%" if 0.0 < hundredths < 9.95 else f"{round(hundredths)}%"


def _counted(template: str, value: float) -> str:
    shown = f"{max(round(value), 1):,}"
    return plural(template, shown).format(n=shown)


def _number(shown: str) -> float:
    try:
        return float(shown)
    except ValueError:
        return 0.0


def _told(form: Form, shown: str) -> bool:
    """Whether a customer is told of this value."""
    if form.told is None:
        return True
    if isinstance(form.told[0], str):
        return shown in form.told
    return bool(form.told[0] <= _number(shown) <= form.told[1])


def _which(form: Form, words: Mapping[str, Any], shown: str, reader: str, normal: object) -> str:
    """The key of the sentence that fits the value; what has a special sentence for the reviewer says nothing to others."""
    nothing = shown == "false" or (form.kind in ("count", "days", "hours", "share") and _is_nothing(form, shown))
    below = form.least is not None and _number(shown) < form.least
    special = "low" if below or (form.kind == "money" and normal is None and "{normal}" in words["reviewer"]) else ""
    if nothing and "none" in words:
        special = "none"
    if not special or special not in words or (reader == "customer" and form.told is not None):
        return reader
    return special if reader == "reviewer" else "silent"


def _is_nothing(form: Form, shown: str) -> bool:
    if form.kind == "count":
        return round(_number(shown)) <= 0
    return form.kind in ("days", "hours", "share") and _number(shown) == 0.0


def _value(form: Form, name: str, shown: str, text: Mapping[str, Any], money: MoneyForm) -> str:
    number = _number(shown)
    if form.kind == "word":
        return str(
            text["scenarios"].get(shown, shown) if form.topic == "scenario" else text["words"][name].get(shown, shown)
        )
    if form.kind == "weekday":
        return str(text["units"]["weekdays"][int(number) % 7])
    if form.kind == "clock":
        minutes = round(number * 60.0) % 1440
        return str(text["units"]["clock"].format(at=f"{minutes // 60:02d}:{minutes % 60:02d}"))
    if form.kind in ("times", "number"):
        return times(number)
    if form.kind == "count":
        return f"{max(round(number), 0):,}"
    if form.kind in ("days", "hours"):
        return length(number if form.kind == "days" else number / 24.0, text)
    if form.kind == "share":
        return percent(number)
    if form.kind == "money":
        return amount(number, money, text)
    return f"{number / 10_000.0:.2f}%" if form.kind == "rarity" else shown
