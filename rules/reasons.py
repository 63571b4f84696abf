"""Reasons in Chinese and English: one text for the customer, one for the reviewer, from the evidence alone.

The customer's text says what to do, and by when where a payment is held; it names no threshold, no rule and
never a report. The reviewer's text names the customer's own normal. Both are pure functions of their input, so
that a decision has the same bytes in every run. Sentences: ``rules/texts/*.yaml``, the same keys in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from rules.compiled_policy import RuleInfo
from rules.ladder import CHALLENGE_LIGHT, REVIEW, RUNGS
from rules.pack import LANGUAGES

TEXTS: Final = Path(__file__).parent / "texts"
MAX_CUSTOMER_FACTS: Final = 2
MAX_REVIEWER_FACTS: Final = 5
MAX_RULE_REASONS: Final = 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Evidence = Mapping[str, Any]
"""``feature``, ``value`` (as shown), ``normal`` (as shown, or None), ``contribution_milli``."""


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
    feature_names
        Chinese and English name of features without a sentence of their own.
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
    feature_names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def render_reasons(context: ReasonContext) -> dict[str, dict[str, str]]:
    """Both texts in both languages: ``{"customer": {"zh", "en"}, "reviewer": {"zh", "en"}}``.

    >>> evidence = [{"feature": "amount_to_mean", "value": "4.2", "normal": "1", "contribution_milli": 900}]
    >>> reasons = render_reasons(ReasonContext("person_transfer", CHALLENGE_LIGHT, 420000, "CNY", evidence=evidence))
    >>> reasons["customer"]["en"]
    'It is 4.2 times your usual amount. Please confirm this payment of CNY 4,200.00 in your banking app.'
    >>> reasons["reviewer"]["zh"]
    '个人转账，CNY 4,200.00：轻度核验。金额是该客户平时的 4.2 倍。'
    """
    return {
        "customer": {language: _customer(context, texts(language), language) for language in LANGUAGES},
        "reviewer": {language: _reviewer(context, texts(language), language) for language in LANGUAGES},
    }


@lru_cache(maxsize=len(LANGUAGES))
def texts(language: str) -> dict[str, Any]:
    """The sentences of one language."""
    loaded: dict[str, Any] = yaml.safe_load((TEXTS / f"{language}.yaml").read_text(encoding="utf-8"))
    return loaded


def scam_of(rules: Sequence[RuleInfo]) -> str:
    """The attack that the fired rules point at: that of the weightiest rule that names one, else ``none``."""
    named = [rule for rule in rules if rule.scam != "none" and (rule.hard or rule.weight_milli > 0)]
    if not named:
        return "none"
    return max(named, key=lambda rule: (rule.protective, rule.rung, rule.weight_milli, rule.id)).scam


def money(amount_minor: int, currency: str, digits: int) -> str:
    """An amount as people read it.

    >>> money(123456789, "CNY", 2), money(5000, "JPY", 0)
    ('CNY 1,234,567.89', 'JPY 5,000')
    """
    whole, rest = divmod(amount_minor, 10**digits)
    return f"{currency} {whole:,}" + (f".{rest:0{digits}d}" if digits else "")


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


def _customer(context: ReasonContext, text: dict[str, Any], language: str) -> str:
    own: dict[str, Any] = text["customer"]
    sentences = []
    facts = _facts(context, text, "customer")[:MAX_CUSTOMER_FACTS] if context.rung >= CHALLENGE_LIGHT else []
    if facts:
        sentences.append(_capital(own["because"].format(facts=own["joined"].join(facts))))
    if context.obligation:
        sentences.append(own["obligation"].format(obligation_due=moment(context.obligation_due_at, language)))
    elif not (context.slips and RUNGS[context.rung] == "remind"):
        sentences.append(
            own[RUNGS[context.rung]].format(
                amount=money(context.amount_minor, context.currency, context.digits),
                due=moment(context.due_at, language),
                expires=moment(context.expires_at, language),
                ending=own["ending"][context.on_expiry],
            )
        )
    if context.slips:
        sentences.append(own["slips"].format(slips=own["joined"].join(text["slips"][slip] for slip in context.slips)))
        if context.slips_repeated:
            sentences.append(own["slips_repeated"])
    if context.rung >= CHALLENGE_LIGHT:
        sentences.append(text["warnings"][scam_of(context.rules)])
    return _join(sentences, language)


def _reviewer(context: ReasonContext, text: dict[str, Any], language: str) -> str:
    own: dict[str, Any] = text["reviewer"]
    facts = _standing(context, text)
    facts += _facts(context, text, "reviewer")[:MAX_REVIEWER_FACTS]
    facts += [_uncapital(reason) for reason in _rule_reasons(context, language)]
    scam = scam_of(context.rules)
    if scam != "none":
        facts.append(own["scam"].format(scam=text["scams"][scam]))
    if context.protected and context.rung >= REVIEW:
        facts.append(own["protected"])
    if context.hard_rule is not None:
        reason = context.hard_rule.reason
        facts.insert(0, own["hard_rule"].format(text=_uncapital(reason[language]) if reason else context.hard_rule.id))
    if not facts:
        facts = [own["no_facts"]]
    return _join(
        [
            own["sentence"].format(
                scenario=text["scenarios"][context.scenario],
                amount=money(context.amount_minor, context.currency, context.digits),
                outcome=text["outcomes"][RUNGS[context.rung]],
                facts=_capital(own["joined"].join(facts)),
            )
        ],
        language,
    )


def _rule_reasons(context: ReasonContext, language: str) -> list[str]:
    """Sentences of the weightiest rules that raised the risk, protective ones first."""
    raising = [rule for rule in context.rules if rule.reason and not rule.hard and rule.weight_milli > 0]
    raising.sort(key=lambda rule: (not rule.protective, -rule.weight_milli, rule.id))
    return [rule.reason[language] for rule in raising[:MAX_RULE_REASONS] if rule.reason]


def _standing(context: ReasonContext, text: dict[str, Any]) -> list[str]:
    """What stands beside the evidence: lists, essential payments, failures, slips, obligations."""
    own = text["reviewer"]
    facts = [own[context.list_mark]] if context.list_mark in ("deny", "watch") else []
    facts += [own[name] for name in ("essential", "obligation") if getattr(context, name)]
    if context.failed:
        facts.append(own["degraded"].format(dependencies=", ".join(context.failed)))
    if context.slips:
        slips = text["customer"]["joined"].join(text["slips"][slip] for slip in context.slips)
        facts.append(own["slips"].format(slips=slips))
    return facts


def _facts(context: ReasonContext, text: dict[str, Any], reader: str) -> list[str]:
    """Sentences of the evidence that raised the risk, the weightiest first."""
    facts = []
    language = "zh" if text is texts("zh") else "en"
    for item in context.evidence:
        if int(item["contribution_milli"]) <= 0:
            continue
        known = text["features"].get(item["feature"])
        if known is None:
            if reader == "reviewer":
                facts.append(_generic(context, text, item, language))
        elif known[reader] and _speaks(item["value"], known.get("least")):
            facts.append(known[reader].format(value=item["value"], normal=item["normal"]))
    if context.new_payee and context.rung >= CHALLENGE_LIGHT:
        facts.append(text["features"]["new_payee"][reader])
    return list(dict.fromkeys(facts))


def _generic(context: ReasonContext, text: dict[str, Any], item: Evidence, language: str) -> str:
    name = context.feature_names.get(item["feature"], {}).get(language, item["feature"].replace("_", " "))
    form = "plain" if item["normal"] is None else "normal"
    return str(text["reviewer"][form].format(name=name, value=item["value"], normal=item["normal"]))


def _speaks(value: str, least: float | None) -> bool:
    """Whether a ratio is large enough for its sentence to make sense."""
    if least is None:
        return True
    try:
        return float(value) >= least
    except ValueError:
        return False


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def _uncapital(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _join(sentences: Sequence[str], language: str) -> str:
    return ("" if language == "zh" else " ").join(sentence for sentence in sentences if sentence)
