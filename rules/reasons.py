"""Reasons in Chinese and English: one text for the customer, one for the reviewer, from the evidence alone.

The customer's text says what to do, and by when where a payment is held; it names no threshold, no rule and
never a report. The reviewer's text names the customer's own normal. Both are pure functions of their input, so
that a decision has the same bytes in every run. Sentences: ``rules/texts/*.yaml``, the same keys in each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from rules.compiled_policy import RuleInfo
from rules.ladder import CHALLENGE_LIGHT, REVIEW, RUNGS
from rules.pack import LANGUAGES
from rules.phrases import Evidence, Money, amount, forms, phrase, tells, texts

MAX_CUSTOMER_FACTS: Final = 2
MAX_REVIEWER_FACTS: Final = 5
MAX_RULE_REASONS: Final = 2
_AFTER_HAN: Final = re.compile(r"(?<=[\u4e00-\u9fff])(?<![年月])(?=[A-Za-z0-9<])")
_BEFORE_HAN: Final = re.compile(r"(?<=[A-Za-z0-9%])(?=[\u4e00-\u9fff])(?![年月日])")
"""Where Chinese typesetting puts a space: between Han characters and Latin letters or digits, dates excepted."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReasonContext:
    """All that a reason may be made from.

    Parameters
    ----------
    scenario
        The scenario's word.
    rung
        Rung of the decision, an index into :data:`rules.ladder.RUNGS`.
    amount_minor, currency, digits
        Amount as the customer ordered it; ``digits`` decimals of the minor unit.
    evidence
        At most eight, the weightiest first.
    rules
        The rules that fired.
    hard_rule
        The hard rule that decided, if any.
    new_payee
        First payment to this payee.
    slips
        Words of the slips reported with the payment.
    slips_repeated
        Whether the customer slipped often lately.
    list_mark
        ``none``, ``deny``, ``watch`` or ``allow``.
    essential, protected, obligation
        Truths of the verdict; ``protected`` where a protective rule fired.
    due_at, expires_at, on_expiry
        A review's times in µs since the epoch, and its end (``release`` or ``decline``).
    obligation_due_at
        When owed information must be there, µs.
    failed
        Dependencies that failed.
    account_currency
        What evidence about amounts is in; empty where it is not known, the payment being in another.
    """

    scenario: str
    rung: int
    amount_minor: int
    currency: str
    digits: int = 2
    evidence: Sequence[Evidence] = ()
    rules: Sequence[RuleInfo] = ()
    hard_rule: RuleInfo | None = None
    new_payee: bool = False
    slips: Sequence[str] = ()
    slips_repeated: bool = False
    list_mark: str = "none"
    essential: bool = False
    protected: bool = False
    obligation: bool = False
    due_at: int | None = None
    expires_at: int | None = None
    on_expiry: str = "release"
    obligation_due_at: int | None = None
    failed: Sequence[str] = ()
    account_currency: str = ""


def render_reasons(context: ReasonContext) -> dict[str, dict[str, str]]:
    """Both texts in both languages: ``{"customer": {"zh", "en"}, "reviewer": {"zh", "en"}}``.

    >>> evidence = [{"feature": "amount_to_mean", "value": "4.2", "normal": "1", "contribution_milli": 900}]
    >>> reasons = render_reasons(ReasonContext("person_transfer", CHALLENGE_LIGHT, 420000, "CNY", evidence=evidence))
    >>> reasons["customer"]["en"]
    'It is about 4.2 times your usual amount. Please confirm this payment of CNY 4,200.00 in your banking app.'
    >>> reasons["reviewer"]["zh"]
    '个人转账，人民币 4,200.00 元：轻度核验。金额是该客户平时的 4.2 倍。'
    """
    return {
        "customer": {language: _customer(context, language) for language in LANGUAGES},
        "reviewer": {language: _reviewer(context, language) for language in LANGUAGES},
    }


def scam_of(rules: Sequence[RuleInfo]) -> str:
    """The attack that the fired rules point at: that of the weightiest rule that names one, else ``none``."""
    named = [rule for rule in rules if rule.scam != "none" and (rule.hard or rule.weight_milli > 0)]
    if not named:
        return "none"
    return max(named, key=lambda rule: (rule.protective, rule.rung, rule.weight_milli, rule.id)).scam


@lru_cache(maxsize=4096)
def moment(time_us: int | None, language: str) -> str:
    """A time as people read it, UTC.

    >>> moment(1_774_000_800_000_000, "en"), moment(1_774_000_800_000_000, "zh")
    ('2026-03-20 10:00 UTC', '2026年3月20日 10:00（UTC）')
    """
    if time_us is None:
        return "-"
    at = _EPOCH + timedelta(microseconds=time_us)
    if language == "zh":
        return f"{at.year}年{at.month}月{at.day}日 {at:%H:%M}（UTC）"
    return f"{at:%Y-%m-%d %H:%M} UTC"


class _Filled(dict[str, str]):
    """Values of a template, made when it asks for them: a sentence needs one or two of them."""

    def __init__(self, make: Mapping[str, Callable[[], str]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> str:
        self[name] = self._make[name]()
        return self[name]


def _customer(context: ReasonContext, language: str) -> str:
    text = texts(language)
    own: dict[str, Any] = text["customer"]
    filled = _Filled(
        {
            "amount": lambda: amount(context.amount_minor, Money(context.currency, context.digits), text),
            "due": lambda: moment(context.due_at, language),
            "expires": lambda: moment(context.expires_at, language),
            "ending": lambda: own["ending"][context.on_expiry],
            "obligation_due": lambda: moment(context.obligation_due_at, language),
            "owed": lambda: own["listed"].join(text["slips"][slip] for slip in context.slips) or own["owed"],
        }
    )
    sentences = []
    facts = _facts(context, language, "customer", MAX_CUSTOMER_FACTS) if context.rung >= CHALLENGE_LIGHT else []
    if facts:
        sentences.append(_capital(own["because"].format(facts=own["joined"].join(facts))))
    if context.obligation:
        sentences.append(own["obligation"].format_map(filled))
    elif not (context.slips and RUNGS[context.rung] == "remind"):
        once = context.rung == REVIEW and context.due_at == context.expires_at
        sentences.append(own["review_once" if once else RUNGS[context.rung]].format_map(filled))
    if context.slips:
        if not context.obligation:
            sentences.append(own["slips"].format(slips=filled["owed"]))
        if context.slips_repeated:
            sentences.append(own["slips_repeated"])
    if context.rung >= CHALLENGE_LIGHT:
        sentences.append(text["warnings"][scam_of(context.rules)])
    return _join(sentences, language)


def _reviewer(context: ReasonContext, language: str) -> str:
    text = texts(language)
    own: dict[str, Any] = text["reviewer"]
    facts = _standing(context, language)
    if context.rung >= CHALLENGE_LIGHT or not facts:
        facts += _facts(context, language, "reviewer", MAX_REVIEWER_FACTS)
    reasons = [_uncapital(reason) for reason in _rule_reasons(context, language)]
    if not facts and not reasons:
        facts = [own["no_facts"]]
    scam = scam_of(context.rules)
    sentences = [
        own["sentence"].format(
            scenario=text["scenarios"][context.scenario],
            amount=amount(context.amount_minor, Money(context.currency, context.digits), text),
            outcome=text["outcomes"][RUNGS[context.rung]],
            facts=_capital(own["joined"].join(facts or reasons)),
        )
    ]
    if facts and reasons:
        sentences.append(own["rules"].format(rules=own["joined"].join(reasons)))
    if scam != "none":
        sentences.append(own["scam"].format(scam=text["scams"][scam]))
    if context.protected and context.rung >= REVIEW:
        sentences.append(own["protected"])
    return _join(sentences, language)


def _rule_reasons(context: ReasonContext, language: str) -> list[str]:
    """Sentences of the weightiest rules that raised the risk, protective ones first."""
    raising = [rule for rule in context.rules if rule.reason and not rule.hard and rule.weight_milli > 0]
    raising.sort(key=lambda rule: (not rule.protective, -rule.weight_milli, rule.id))
    return [rule.reason[language] for rule in raising[:MAX_RULE_REASONS] if rule.reason]


def _standing(context: ReasonContext, language: str) -> list[str]:
    """What stands beside the evidence: the hard rule, lists, essential payments, failures, slips, obligations."""
    text = texts(language)
    own, listed = text["reviewer"], text["customer"]["listed"]
    facts = []
    if context.hard_rule is not None:
        reason = context.hard_rule.reason
        facts.append(own["hard_rule"].format(text=_uncapital(reason[language]) if reason else context.hard_rule.id))
    if context.list_mark in ("deny", "watch"):
        facts.append(own[context.list_mark])
    if context.essential and context.rung >= CHALLENGE_LIGHT:
        facts.append(own["essential"])
    if context.obligation:
        facts.append(own["obligation"].format(obligation_due=moment(context.obligation_due_at, language)))
    if context.failed:
        failed = listed.join(text["words"]["dependency"].get(name, name) for name in context.failed)
        facts.append(own["degraded"].format(dependencies=failed))
    if context.slips:
        facts.append(own["slips"].format(slips=listed.join(text["slips"][slip] for slip in context.slips)))
    return facts


def _facts(context: ReasonContext, language: str, reader: str, most: int) -> list[str]:
    """Sentences of the evidence that raised the risk: the weightiest first, one a topic, at most so many.

    That the payee is new is always among them from a challenge on: whoever reads them asks that first.
    """
    own = Money(context.account_currency, context.digits)
    new = {"feature": "new_payee", "value": "true", "normal": None, "contribution_milli": 1}
    told = [item for item in context.evidence if int(item["contribution_milli"]) > 0 and tells(item)]
    wanted = context.new_payee and context.rung >= CHALLENGE_LIGHT
    facts: dict[str, str] = {}
    for item in told:
        form = forms().get(item["feature"])
        topic = item["feature"] if form is None else form.topic
        if topic in facts:
            continue
        if wanted and topic == "pair":
            item = new
        words = phrase(item, language, reader, own)
        if words and words not in facts.values():
            facts[topic] = words
        if len(facts) == most:
            break
    if wanted and "pair" not in list(facts)[:most]:
        facts = dict(list(facts.items())[: most - 1]) | {"pair": phrase(new, language, reader, own)}
    return list(facts.values())[:most]


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _uncapital(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _join(sentences: Sequence[str], language: str) -> str:
    if language == "zh":
        return _BEFORE_HAN.sub(" ", _AFTER_HAN.sub(" ", "".join(sentences)))
    return " ".join(sentence for sentence in sentences if sentence)
