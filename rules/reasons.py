"""Reasons in Chinese and English: one text for the customer, one for the reviewer, from the evidence alone.

The customer's text says what to do, and by when where a payment is held; it names no threshold, no rule and
never a report. The reviewer's text names the customer's own normal. Both are pure functions of their input, so
that a decision has the same bytes in every run. Sentences: ``rules/texts/*.yaml``, the same keys in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Any, Final

from rules.fired_rules import FiredRules, RuleInfo
from rules.ladder import CHALLENGE_LIGHT, REVIEW, RUNGS
from rules.pack import LANGUAGES
from rules.phrases import Evidence, MoneyForm, Phrase, amount, texts, told
from rules.typesetting import capital, typeset, uncapital

MAX_CUSTOMER_FACTS: Final = 2
MAX_REVIEWER_FACTS: Final = 5
_NEW_PAYEE: Final = {"feature": "new_payee", "value": "true", "normal": None, "contribution_milli": 1}
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
        What ``amount_minor`` is in among the evidence; empty where it is not known, the payment being in another.
    reference_currency, reference_digits
        What all other amounts among the evidence are in.
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
    reference_currency: str = ""
    reference_digits: int = 2


def render_reasons(context: ReasonContext) -> dict[str, dict[str, str]]:
    """Both texts in both languages: ``{"customer": {"zh", "en"}, "reviewer": {"zh", "en"}}``.

    >>> evidence = [{"feature": "amount_to_mean", "value": "4.2", "normal": "1", "contribution_milli": 900}]
    >>> reasons = render_reasons(ReasonContext("person_transfer", CHALLENGE_LIGHT, 420000, "CNY", evidence=evidence))
    >>> reasons["customer"]["en"]
    'It is about 4.2 times your usual amount. Please confirm this payment of CNY 4,200.00 in your banking app.'
    >>> reasons["reviewer"]["zh"]
    '个人转账，人民币 4,200.00 元：轻度核验。金额是该客户平时的 4.2 倍。'
    """
    telling, rules = _telling(context), FiredRules.of(context.rules)
    money = MoneyForm(context.currency, context.digits)
    amounts = {language: amount(context.amount_minor, money, texts(language)) for language in LANGUAGES}
    return {
        "customer": {language: _customer(context, telling, rules, language, amounts) for language in LANGUAGES},
        "reviewer": {language: _reviewer(context, telling, rules, language, amounts) for language in LANGUAGES},
    }


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


def _customer(
    context: ReasonContext, telling: _Telling, rules: FiredRules, language: str, amounts: Mapping[str, str]
) -> str:
    text = texts(language)
    own: dict[str, Any] = text["customer"]
    owed = own["listed"].join([text["slips"][slip] for slip in context.slips]) or own["owed"]
    sentences = []
    if context.obligation:
        due = moment(context.obligation_due_at, language)
        sentences.append(own["obligation"].format(amount=amounts[language], obligation_due=due, owed=owed))
    elif context.rung == REVIEW:
        sentences.append(_review(context, language, own, amounts[language]))
    elif not (context.slips and RUNGS[context.rung] == "remind"):
        sentences.append(own[RUNGS[context.rung]].format(amount=amounts[language]))
    if context.slips:
        if not context.obligation:
            sentences.append(own["slips"].format(slips=owed))
        if context.slips_repeated:
            sentences.append(own["slips_repeated"])
    sentences = [typeset(sentence, language) for sentence in sentences]
    if context.rung >= CHALLENGE_LIGHT:
        if facts := _facts(telling, language, "customer", MAX_CUSTOMER_FACTS):
            sentences.insert(0, capital(own["because"].format(facts=own["joined"].join(facts))))
        sentences.append(_warning(rules.scam, language))
    return _join(sentences, language)


def _review(context: ReasonContext, language: str, own: Mapping[str, Any], shown: str) -> str:
    """What a customer reads whose payment is held."""
    template: str = own["review_once" if context.due_at == context.expires_at else "review"]
    expires = moment(context.expires_at, language)
    due = moment(context.due_at, language)
    return template.format(amount=shown, due=due, expires=expires, ending=own["ending"][context.on_expiry])


@cache
def _warning(scam: str, language: str) -> str:
    return typeset(texts(language)["warnings"][scam], language)


def _reviewer(
    context: ReasonContext, telling: _Telling, rules: FiredRules, language: str, amounts: Mapping[str, str]
) -> str:
    text = texts(language)
    own: dict[str, Any] = text["reviewer"]
    facts = [typeset(fact, language) for fact in _standing(context, language)]
    if context.rung >= CHALLENGE_LIGHT or not facts:
        facts += _facts(telling, language, "reviewer", MAX_REVIEWER_FACTS)
    reasons = rules.told[language]
    if not facts and not reasons:
        facts = [typeset(own["no_facts"], language)]
    sentences = [
        own["sentence"].format(
            scenario=text["scenarios"][context.scenario],
            amount=typeset(amounts[language], language),
            outcome=text["outcomes"][RUNGS[context.rung]],
            facts=capital(own["joined"].join(facts or reasons)),
        )
    ]
    if facts and reasons:
        sentences.append(own["rules"].format(rules=own["joined"].join(reasons)))
    if rules.scam != "none":
        sentences.append(_shape(rules.scam, language))
    if context.protected and context.rung >= REVIEW:
        sentences.append(typeset(own["protected"], language))
    return _join(sentences, language)


@cache
def _shape(scam: str, language: str) -> str:
    text = texts(language)
    return typeset(text["reviewer"]["scam"].format(scam=text["scams"][scam]), language)


def _standing(context: ReasonContext, language: str) -> list[str]:
    """What stands beside the evidence: the hard rule, lists, essential payments, failures, slips, obligations."""
    text = texts(language)
    own, listed = text["reviewer"], text["customer"]["listed"]
    facts = []
    if context.hard_rule is not None:
        reason = context.hard_rule.reason
        facts.append(own["hard_rule"].format(text=uncapital(reason[language]) if reason else context.hard_rule.id))
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


@dataclass(frozen=True, slots=True)
class _Telling:
    """The evidence that raised the risk, the weightiest first.

    Parameters
    ----------
    told
        What is told of it.
    new_payee
        That the payee is new, where it must be among them.
    """

    told: tuple[Phrase, ...]
    new_payee: Phrase | None


def _telling(context: ReasonContext) -> _Telling:
    """That the payee is new is always told from a challenge on: whoever reads the facts asks that first."""
    money = MoneyForm(context.reference_currency, context.reference_digits)
    as_told = MoneyForm(context.account_currency, context.digits)
    new = told(_NEW_PAYEE, money) if context.new_payee and context.rung >= CHALLENGE_LIGHT else None
    found = [
        told(item, as_told if item["feature"] == "amount_minor" else money)
        for item in context.evidence
        if int(item["contribution_milli"]) > 0
    ]
    return _Telling(
        tuple(new if new is not None and one.topic == new.topic else one for one in found if one.tells), new
    )


def _facts(telling: _Telling, language: str, reader: str, most: int) -> list[str]:
    """Sentences of the evidence for one reader: the weightiest first, one a topic, at most so many."""
    facts: dict[str, str] = {}
    for one in telling.told:
        if one.topic in facts:
            continue
        words = one.words(language, reader)
        if words and words not in facts.values():
            facts[one.topic] = words
        if len(facts) == most:
            break
    new = telling.new_payee
    if new is not None and new.topic not in facts:
        facts = dict(list(facts.items())[: most - 1]) | {new.topic: new.words(language, reader)}
    return list(facts.values())


def _join(sentences: Sequence[str], language: str) -> str:
    """Sentences one behind the other; those that are empty leave no space."""
    return "".join(sentences) if language == "zh" else " ".join(sentence for sentence in sentences if sentence)
