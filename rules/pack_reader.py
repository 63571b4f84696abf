"""From a document to a pack: every key read once, every mistake noted with its place."""

from __future__ import annotations

from datetime import date
from typing import Final, cast
from zoneinfo import available_timezones

from rules.document import Item, read
from rules.exchange_rates import Currencies, Rate
from rules.familiarity import FamiliaritySettings
from rules.fields import MAX_WEIGHT_MILLI, Condition, Fields
from rules.hold import BusinessDays, ChallengeTerms, HoldTerms, OnExpiry
from rules.iso_4217 import CODES
from rules.ladder import NEVER_PPM, OUTCOMES, RUNGS, STEP_UPS
from rules.lists import ALWAYS_US, LIST_KINDS, PARTS, ListEntry, Snooze
from rules.pack import (
    DEPENDENCIES,
    LANGUAGES,
    NEVER_US,
    PACK_KINDS,
    SCAMS,
    THRESHOLDS,
    Budget,
    Common,
    Example,
    Limit,
    Pack,
    PackKind,
    ProceedFirst,
    Review,
    Rule,
    Text,
    Young,
    direction,
)
from rules.problem import Problem

MAX_RULES: Final = 256
MAX_YAML_ENTRIES: Final = 2_000
"""Most entries of one list in a YAML pack: reading YAML is slow, and a worker waits for it."""
LOWEST_CEILING, HIGHEST_CEILING = 5.0, 200.0
"""Touched payments of 10,000: the ceilings between which the models track cuts."""
_DAY_US: Final = 86_400_000_000


def read_pack(name: str, content: bytes, problems: list[Problem]) -> Pack:
    """One pack from the bytes of its file; mistakes are added to ``problems``.

    Raises
    ------
    PackError
        The file is not a YAML document at all.
    """
    root = read(name, content)
    fields = Fields(root, problems, "a pack")
    kind = cast(PackKind, fields.word("kind", PACK_KINDS, "scenario"))
    pack_name = fields.identifier("pack")
    fields.integer("version", 1, 1, 10**9)
    fields.text("description")
    scenario = fields.text("scenario", required=kind == "scenario")
    match = fields.condition("match", required=kind in ("scenario", "jurisdiction"))
    pack = Pack(
        name=pack_name,
        kind=kind,
        scenario=scenario,
        order=fields.integer("order", 100, 0, 10_000),
        match=match,
        thresholds=_thresholds(fields, required=kind == "scenario"),
        review=_review(fields),
        challenge=_challenge(fields),
        budget=_budget(fields),
        familiarity_cap_milli=_cap(fields, kind),
        limits=_limits(fields),
        rules=_rules(fields),
        lists=_lists(fields),
        snoozes=_snoozes(fields),
        fresh_until=fields.instant("fresh_until", NEVER_US),
        examples=_examples(fields),
        common=_common(fields) if kind == "common" else None,
        item=root,
    )
    fields.finish()
    return pack


def _thresholds(fields: Fields, required: bool) -> tuple[int, ...] | None:
    inner = fields.fields("thresholds", "thresholds", required)
    if inner is None:
        return None
    values = tuple(inner.integer(rung, NEVER_PPM, 1, 1_000_000) for rung in THRESHOLDS)
    inner.finish()
    given = [value for value in values if value != NEVER_PPM]
    if given != sorted(given):
        inner.complain(inner.item, f"thresholds must not fall from {THRESHOLDS[0]} to {THRESHOLDS[-1]}")
    return values


def _review(fields: Fields) -> Review | None:
    inner = fields.fields("review", "review")
    if inner is None:
        return None
    default = HoldTerms("")
    basis = inner.text("legal_basis", required=True)
    due = inner.duration("due", default.due_us)
    complex_fields = inner.fields("complex", "complex")
    complex_when, complex_due = None, default.complex_due_us
    if complex_fields is not None:
        complex_when = complex_fields.condition("when", required=True)
        complex_due = complex_fields.duration("due", complex_due)
        complex_fields.finish()
    expires = _expires(inner)
    on_expiry = cast(OnExpiry, inner.word("on_expiry", ("release", "decline"), "release", required=True))
    inner.finish()
    if isinstance(expires, int) and due > expires:
        inner.complain(inner.item, "the review is due after the hold has ended; lengthen 'expires' or shorten 'due'")
    return Review(HoldTerms(basis, due, complex_due, expires, on_expiry), complex_when)


def _challenge(fields: Fields) -> ChallengeTerms | None:
    inner = fields.fields("challenge", "challenge")
    if inner is None:
        return None
    default = ChallengeTerms()
    expires = inner.duration("expires", default.expires_us)
    on_expiry = cast(OnExpiry, inner.word("on_expiry", ("release", "decline"), default.on_expiry))
    inner.finish()
    return ChallengeTerms(expires, on_expiry)


def _expires(fields: Fields) -> int | BusinessDays:
    item = fields.take("expires", required=True)
    if item is None or not isinstance(item.value, dict):
        return fields.duration("expires", 24 * 3_600_000_000)
    inner = Fields(item, fields.problems, "expires")
    days = inner.integer("business_days", 1, 1, 30, required=True)
    zone = inner.text("timezone", "UTC", required=True)
    if zone not in available_timezones():
        inner.complain(item, f"'{zone}' is no IANA time zone; write one such as Europe/London")
        zone = "UTC"
    holidays = set()
    for holiday in inner.items("holidays"):
        try:
            holidays.add(date.fromisoformat(holiday.text))
        except ValueError:
            inner.complain(holiday, "a holiday must be a date such as 2027-01-01")
    inner.finish()
    return BusinessDays(days, zone, frozenset(holidays))


def _budget(fields: Fields) -> Budget | None:
    inner = fields.fields("alert_budget", "alert_budget")
    if inner is None:
        return None
    default = Budget()
    budget = Budget(
        inner.integer("per_hour", default.per_hour, 1, 1_000_000),
        inner.number("review_minutes", default.review_minutes, 0.1, 600),
        inner.integer("below_line_per_10k", default.below_line_per_10k, 0, 10_000),
    )
    inner.finish()
    return budget


def _cap(fields: Fields, kind: PackKind) -> int | None:
    if kind == "common":
        return None
    inner = fields.fields("familiarity", "familiarity")
    if inner is None:
        return None
    cap = inner.milli("cap", FamiliaritySettings().cap_milli, 0, 10_000, required=True)
    inner.finish()
    return cap


def _limits(fields: Fields) -> tuple[Limit, ...]:
    found = []
    for item in fields.items("limits"):
        inner = Fields(item, fields.problems, "a limit")
        limit = Limit(
            name=inner.identifier("name"),
            value=inner.number("value", 0.0, -1e15, 1e15, required=True),
            valid_from=inner.instant("valid_from", 0, required=True),
            valid_to=inner.instant("valid_to", ALWAYS_US),
            instrument=inner.text("instrument", required=True),
            article=inner.text("article"),
            source=inner.text("source", required=True),
            status=inner.word("status", ("law", "press", "check"), "check", required=True),
            item=item,
        )
        if limit.valid_to <= limit.valid_from:
            inner.complain(item, "the limit ends before it begins")
        inner.finish()
        found.append(limit)
    return tuple(found)


def _rules(fields: Fields) -> tuple[Rule, ...]:
    items = fields.items("rules")
    if len(items) > MAX_RULES:
        fields.complain(items[MAX_RULES], f"more than {MAX_RULES} rules in one pack; split it")
    return tuple(rule for item in items[:MAX_RULES] if (rule := _rule(Fields(item, fields.problems, "a rule"))))


def _rule(fields: Fields) -> Rule | None:
    identifier = fields.identifier("id")
    when = fields.condition("when", required=True)
    weight = fields.milli("weight", 0, -MAX_WEIGHT_MILLI, MAX_WEIGHT_MILLI)
    outcome = fields.word("outcome", OUTCOMES[1:])
    step_up = fields.word("step_up", STEP_UPS[1:], "strong")
    if fields.has("weight") == fields.has("outcome"):
        fields.complain(fields.item, "a rule has either a 'weight' (log-odds) or an 'outcome' (a hard rule), not both")
    if fields.has("step_up") and outcome != "challenge":
        fields.complain(fields.item, "'step_up' stands only beside 'outcome: challenge'")
    protective, why = fields.flag("protective"), fields.text("why")
    if protective and not why:
        fields.complain(
            fields.item, "a protective rule needs 'why:', the written ground for treating people differently"
        )
    rule = Rule(
        id=identifier,
        when=when,  # type: ignore[arg-type]  # without a condition the rule is dropped below
        weight_milli=weight,
        outcome=outcome,
        step_up=(step_up if outcome == "challenge" else ""),
        scenarios=fields.words("scenarios"),
        reason=_text(fields, "reason"),
        scam=fields.word("scam", SCAMS, "none"),
        protective=protective,
        why=why,
        until_trained=fields.flag("until_trained"),
        evidence=fields.words("evidence"),
        window_days=fields.duration("window", 0) / _DAY_US,
        item=fields.item,
    )
    fields.finish()
    return rule if when is not None and identifier else None


def _text(fields: Fields, key: str) -> Text | None:
    inner = fields.fields(key, f"'{key}'")
    if inner is None:
        return None
    texts = {language: inner.text(language) for language in LANGUAGES}
    for language, text in texts.items():
        if not text:
            inner.complain(inner.item, f"the translation '{language}' is missing; add '{language}: ...'")
    inner.finish()
    return Text(**texts)


def _lists(fields: Fields) -> tuple[ListEntry, ...]:
    found: list[ListEntry] = []
    for kind in LIST_KINDS:
        for item in _few(fields, kind):
            inner = Fields(item, fields.problems, f"an entry of '{kind}'")
            ids = {part: inner.text(part) for part in PARTS}
            if not any(ids.values()):
                inner.complain(item, "an entry names at least one of account, payee, device")
            entry = ListEntry(
                kind=kind,
                **ids,
                reason=inner.text("reason", required=True),
                owner=inner.text("owner", required=True),
                valid_from=inner.instant("valid_from", -ALWAYS_US),
                until=inner.instant("until", ALWAYS_US, required=True),
                item=item,
            )
            inner.finish()
            found.append(entry)
    return tuple(found)


def _few(fields: Fields, key: str) -> list[Item]:
    items = fields.items(key)
    if len(items) > MAX_YAML_ENTRIES:
        fields.complain(
            items[MAX_YAML_ENTRIES], f"more than {MAX_YAML_ENTRIES} entries; put them into a .csv file of lists"
        )
    return items[:MAX_YAML_ENTRIES]


def _snoozes(fields: Fields) -> tuple[Snooze, ...]:
    found = []
    for item in _few(fields, "snooze"):
        inner = Fields(item, fields.problems, "a snooze")
        snooze = Snooze(
            rule=inner.text("rule", required=True),
            account=inner.text("account", required=True),
            payee=inner.text("payee", required=True),
            reason=inner.text("reason", required=True),
            owner=inner.text("owner", required=True),
            until=inner.instant("until", 0, required=True),
            item=item,
        )
        inner.finish()
        found.append(snooze)
    return tuple(found)


def _examples(fields: Fields) -> tuple[Example, ...]:
    found = []
    for item in fields.items("examples"):
        inner = Fields(item, fields.problems, "an example")
        given, event = inner.take("given"), inner.take("event")
        expect = inner.take("expect", required=True)
        if (given is None) == (event is None):
            inner.complain(item, "an example has either 'given:' (feature values) or 'history:' and 'event:'")
        example = Example(
            name=inner.text("name", required=True),
            given=_mapping(given, fields.problems),
            history=tuple(inner.items("history")),
            event=event,
            expect=_mapping(expect, fields.problems),
            item=item,
        )
        inner.finish()
        found.append(example)
    return tuple(found)


def _mapping(item: Item | None, problems: list[Problem]) -> dict[str, Item]:
    if item is None:
        return {}
    if not isinstance(item.value, dict):
        problems.append(item.problem("expected 'name: value' lines"))
        return {}
    return item.value


def _common(fields: Fields) -> Common:
    settings, lost = _familiarity(fields)
    common = Common(
        essential=fields.condition("essential"),
        familiarity=settings,
        familiarity_lost=lost,
        trusted_actors=fields.words("trusted_actors"),
        failure=_failure(fields),
        watch_outcome=fields.word("watch_outcome", RUNGS, "review"),
        proceed_first=_proceed_first(fields),
        currencies=_currencies(fields),
        young=_young(fields),
    )
    return common


def _young(fields: Fields) -> Young:
    inner = fields.fields("young", "young")
    if inner is None:
        return Young()
    default = Young()
    young = Young(
        inner.number("touch_ceiling_per_10k", LOWEST_CEILING, LOWEST_CEILING, HIGHEST_CEILING, required=True),
        inner.integer("frauds", default.frauds, 1, 1_000_000),
        inner.integer("genuine", default.genuine, 0, 1_000_000_000),
    )
    inner.finish()
    return young


def _familiarity(fields: Fields) -> tuple[FamiliaritySettings, Condition | None]:
    inner = fields.fields("familiarity", "familiarity")
    if inner is None:
        return FamiliaritySettings(), None
    default = FamiliaritySettings()
    settings = FamiliaritySettings(
        half_payments=inner.number("half_payments", default.half_payments, 0.1, 100),
        half_days=inner.number("half_days", default.half_days, 0.1, 1000),
        idle_half_days=inner.number("idle_half_days", default.idle_half_days, 1, 10_000),
        band=inner.number("band", default.band, 1.01, 3),
        other_channel=inner.number("other_channel", default.other_channel, 0, 1),
        device_half_days=inner.number("device_half_days", default.device_half_days, 0.01, 1000),
        cap_milli=inner.milli("cap", default.cap_milli, 0, 10_000),
    )
    lost = inner.condition("lost_when")
    inner.finish()
    return settings, lost


def _failure(fields: Fields) -> dict[str, str]:
    inner = fields.fields("failure", "failure")
    if inner is None:
        return {}
    found = {dependency: inner.word(dependency, RUNGS, direction({}, dependency)) for dependency in DEPENDENCIES}
    inner.finish()
    return found


def _proceed_first(fields: Fields) -> ProceedFirst | None:
    inner = fields.fields("proceed_first", "proceed_first")
    if inner is None:
        return None
    when = inner.condition("when", required=True)
    below = inner.integer("below", 0, 1, 1_000_000, required=True)
    due = inner.duration("due", 72 * 3_600_000_000, required=True)
    inner.finish()
    return ProceedFirst(when, below, due) if when is not None else None


def _currencies(fields: Fields) -> Currencies:
    inner = fields.fields("currencies", "currencies")
    if inner is None:
        return Currencies("EUR", (Rate("EUR", 2, 1.0, 0),))
    reference = inner.text("reference", "EUR", required=True)
    if reference not in CODES:
        inner.complain(inner.item, f"reference: '{reference}' is no ISO 4217 currency")
        reference = "EUR"
    rates: list[Rate] = []
    begun: set[tuple[str, int]] = set()
    for item in inner.items("rates", required=True):
        row = Fields(item, fields.problems, "a rate")
        code = row.text("currency", "", required=True)
        known = CODES.get(code)
        if known is None:
            row.complain(item, f"'{code}' is no ISO 4217 currency; write three capital letters")
        own = known.digits if known else 2
        digits = row.integer("digits", own, 0, 4)
        if known and digits != own:
            row.complain(item, f"{code} has {own} decimals (ISO 4217), not {digits}; leave 'digits' out")
        rate = Rate(
            code if known else "XXX",
            own,
            row.number("rate", 1.0, 1e-9, 1e9, required=True),
            row.instant("valid_from", 0, required=True),
        )
        if known and (code, rate.valid_from) in begun:
            row.complain(item, f"a second rate of {code} that begins at the same time; keep the right one")
        if code == reference and rate.rate != 1.0:
            row.complain(item, f"{code} is the reference currency: its rate is 1, not {rate.rate:g}")
        begun.add((code, rate.valid_from))
        rates.append(rate)
        row.finish()
    fresh_until = inner.instant("fresh_until", ALWAYS_US)
    inner.finish()
    if not any(rate.currency == reference and rate.rate == 1.0 for rate in rates):
        inner.complain(inner.item, f"the reference currency {reference} needs a rate of 1")
    return Currencies(reference, tuple(rates), fresh_until)
