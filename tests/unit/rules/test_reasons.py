"""Reasons: golden texts, what a customer may never read, and that every word has both languages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.fired_rules import RuleInfo
from rules.ladder import CHALLENGE_LIGHT, CHALLENGE_STRONG, DECLINE, REMIND, REVIEW, RUNGS
from rules.pack import DEPENDENCIES, LANGUAGES, SCAMS, Text
from rules.phrases import MoneyForm, forms, phrase, texts
from rules.policy import shipped
from rules.reasons import ReasonContext, render_reasons
from rules.typesetting import typeset
from stream.core.columns import SCENARIOS, SLIPS, hash_id
from stream.core.features import FEATURES, SCHEMA, Feature

GOLDEN = Path(__file__).parent / "golden_reasons.json"
DUE, EXPIRES = 1_774_008_000_000_000, 1_774_087_200_000_000


def item(feature: str, value: str, contribution: int = 500, normal: str | None = None) -> dict[str, Any]:
    return {"feature": feature, "value": value, "normal": normal, "contribution_milli": contribution}


def rule(scam: str, *, protective: bool = False, rung: int = 0) -> RuleInfo:
    text = Text("需特别保护", "A customer under protection") if protective else Text("硬性条件", "The hard condition")
    return RuleInfo(f"x.{scam}", "x", 0 if rung else 1000, rung, text, scam, protective, False, ())


CASES: dict[str, ReasonContext] = {
    "usual amount exceeded": ReasonContext(
        "person_transfer", CHALLENGE_LIGHT, 420_000, "CNY", evidence=[item("amount_to_mean", "4.2")], new_payee=True
    ),
    "new device, takeover": ReasonContext(
        "ecommerce",
        CHALLENGE_STRONG,
        1_250,
        "EUR",
        evidence=[item("device_new", "true"), item("hour_share", "0.01")],
        rules=[rule("takeover")],
    ),
    "held, safe account": ReasonContext(
        "large_transfer",
        REVIEW,
        3_000_000,
        "CNY",
        evidence=[item("outflow_share", "12.0"), item("payee_strangers_day", "14")],
        rules=[rule("safe_account", protective=True)],
        protected=True,
        new_payee=True,
        due_at=DUE,
        expires_at=EXPIRES,
    ),
    "held, cancelled at the end": ReasonContext(
        "remote_spending",
        REVIEW,
        50_000,
        "JPY",
        digits=0,
        evidence=[item("travel_speed_kmh", "4000")],
        due_at=DUE,
        expires_at=EXPIRES,
        on_expiry="decline",
    ),
    "declined by a list": ReasonContext("digital_wallet", DECLINE, 100, "USD", list_mark="deny"),
    "declined by a hard rule": ReasonContext(
        "cross_border", DECLINE, 100, "USD", hard_rule=rule("none", rung=DECLINE), rules=[rule("none", rung=DECLINE)]
    ),
    "slips": ReasonContext(
        "person_transfer", REMIND, 100, "EUR", slips=["mistyped_name", "missing_purpose"], slips_repeated=True
    ),
    "proceeds first": ReasonContext(
        "bills_payroll", REMIND, 990_000, "CNY", obligation=True, obligation_due_at=DUE, slips=["missing_purpose"]
    ),
    "plain reminder": ReasonContext("other", REMIND, 100, "EUR"),
    "model alone": ReasonContext("other", CHALLENGE_LIGHT, 100, "EUR"),
    "essential, degraded": ReasonContext(
        "bills_payroll", CHALLENGE_STRONG, 100, "EUR", essential=True, failed=["model", "list"]
    ),
    "lengths, shares and money": ReasonContext(
        "person_transfer",
        CHALLENGE_STRONG,
        42_000,
        "CNY",
        evidence=[
            item("device_change_days", "0.0516"),
            item("account_age_days", "39.3"),
            item("payee_inflow_day", "15460000"),
            item("payee_strangers_day", "1.02"),
            item("hour_share", "0.0359"),
        ],
        account_currency="CNY",
        reference_currency="CNY",
        reference_digits=2,
    ),
    "a usual amount in another currency": ReasonContext(
        "ecommerce", CHALLENGE_LIGHT, 42_000, "USD", evidence=[item("amount_minor", "300000", normal="12000")]
    ),
    "cash": ReasonContext(
        "other",
        CHALLENGE_LIGHT,
        100_000,
        "CZK",
        evidence=[item("has_payee", "false"), item("sum_week", "1250000"), item("count_hour", "3.4")],
        account_currency="CZK",
        reference_currency="CZK",
    ),
    "held as long as it may be": ReasonContext(
        "ecommerce", REVIEW, 500, "EUR", due_at=EXPIRES, expires_at=EXPIRES, on_expiry="decline"
    ),
    "proceeds first, invoice owed": ReasonContext(
        "bills_payroll", REMIND, 990_000, "CNY", obligation=True, obligation_due_at=DUE
    ),
}


def test_the_golden_texts() -> None:
    """Change a sentence, then this file: python tests/unit/rules/test_reasons.py writes it anew."""
    assert {name: render_reasons(context) for name, context in CASES.items()} == json.loads(GOLDEN.read_text())


contexts = st.builds(
    ReasonContext,
    scenario=st.sampled_from(SCENARIOS),
    rung=st.integers(REMIND, DECLINE),
    amount_minor=st.integers(0, 10**15),
    currency=st.sampled_from(["CNY", "EUR"]),
    evidence=st.lists(
        st.builds(
            item,
            st.sampled_from([feature.name for feature in FEATURES]),
            st.floats(0, 1e6).map(lambda value: f"{value:.2f}"),
            st.integers(-500, 5000),
        ),
        max_size=8,
    ),
    rules=st.lists(st.sampled_from(shipped().compile(SCHEMA, hash_id).rules), max_size=6, unique=True),
    new_payee=st.booleans(),
    slips=st.lists(st.sampled_from(SLIPS), max_size=3, unique=True),
    list_mark=st.sampled_from(["none", "deny", "watch", "allow"]),
    essential=st.booleans(),
    obligation=st.booleans(),
    due_at=st.just(DUE),
    expires_at=st.just(EXPIRES),
    failed=st.lists(st.sampled_from(["model", "expression"]), unique=True),
)
FORBIDDEN = re.compile(r"ppm|threshold|risk|suspicious|report|rule|阈值|风险|可疑|报告|规则|名单|反洗钱", re.IGNORECASE)


@settings(max_examples=300, deadline=None)
@given(contexts)
def test_a_customer_reads_no_threshold_no_rule_and_no_report(context: ReasonContext) -> None:
    reasons = render_reasons(context)
    for language, text in reasons["customer"].items():
        assert text.strip()
        assert not FORBIDDEN.search(text), text
        assert not any(rule.id in text for rule in context.rules)
        assert "{" not in text
        if RUNGS[context.rung] == "review" and not context.obligation:
            assert ("2026-03-21 10:00" if language == "en" else "2026年3月21日 10:00") in text
    assert reasons == render_reasons(context)


@settings(max_examples=300, deadline=None)
@given(contexts)
def test_parts_set_one_by_one_leave_no_space_out(context: ReasonContext) -> None:
    for texts_of_reader in render_reasons(context).values():
        assert typeset(texts_of_reader["zh"], "zh") == texts_of_reader["zh"]


def test_what_others_did_to_the_payee_is_for_the_reviewer_alone() -> None:
    for feature in ("payee_frauds_month", "payee_strangers_day", "payee_fraud_rate", "account_frauds"):
        reasons = render_reasons(ReasonContext("other", REVIEW, 1, "EUR", evidence=[item(feature, "7.5")]))
        assert "7.5" not in reasons["customer"]["en"]
        assert (
            "7.5" in reasons["reviewer"]["en"]
            or "8" in reasons["reviewer"]["en"]
            or "750%" in reasons["reviewer"]["en"]
        )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_scenario_slip_scam_and_rung_has_its_words(language: str) -> None:
    loaded = texts(language)
    assert set(loaded["scenarios"]) == set(SCENARIOS)
    assert set(loaded["slips"]) == set(SLIPS)
    assert set(loaded["warnings"]) == set(SCAMS)
    assert set(loaded["scams"]) == set(SCAMS) - {"none"}
    assert set(RUNGS[1:]) == set(loaded["outcomes"]) <= set(loaded["customer"])
    assert set(loaded["words"]["dependency"]) == set(DEPENDENCIES)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_feature_has_a_form_and_its_words(language: str) -> None:
    loaded = texts(language)
    assert set(forms()) == set(loaded["features"]) == set(SCHEMA.index) | {"new_payee"}
    for feature in FEATURES:
        assert loaded["features"][feature.name]["reviewer"], feature.name
        if feature.kind == "enum" and feature.values != SCENARIOS:
            assert set(loaded["words"][feature.name]) == set(feature.values), feature.name


def test_no_form_is_of_an_unknown_kind() -> None:
    assert {form.kind for form in forms().values()} <= {
        "times", "number", "count", "days", "hours", "share", "money", "rarity", "clock", "weekday", "flag", "word", "code"
    }  # fmt: skip


VALUES = {
    "bool": ["true", "false"],
    "enum": [],
    "code": ["DE"],
    "int": ["0", "1", "7"],
    "double": ["0", "0.0516", "1", "39.3", "2343"],
}


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_reviewer_never_reads_a_bare_name_or_a_bare_number(feature: Feature) -> None:
    money = MoneyForm("CNY")
    for value in [*VALUES[feature.kind], *feature.values]:
        evidence = item(feature.name, value, normal="500" if feature.name == "amount_minor" else None)
        for language in LANGUAGES:
            words = phrase(evidence, language, "reviewer", money)
            assert words
            assert "_" not in feature.name or feature.name not in words
            assert not re.search(r"[{}\[\]|_]|\.\d{3,}|\b1 \w+s\b|-0", words), words
            if language == "zh":
                assert re.search(r"[\u4e00-\u9fff]", words), words


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return sorted(re.findall(r"\{(\w+)\}", value)), bool(value)
    return value


def test_both_languages_have_the_same_keys_and_fill_in_the_same_values() -> None:
    english, chinese = _shape(texts("en")), _shape(texts("zh"))
    assert english.keys() == chinese.keys()
    for part in english:
        if part == "money":
            continue  # some currencies have a name of their own in Chinese
        if part == "units":
            assert english[part].keys() == chinese[part].keys()
            assert len(english[part]["weekdays"]) == len(chinese[part]["weekdays"]) == 7
            continue
        if part != "features":
            assert english[part] == chinese[part], part
        else:
            assert {k: (set(v), bool(v["customer"][1])) for k, v in english[part].items()} == {
                k: (set(v), bool(v["customer"][1])) for k, v in chinese[part].items()
            }


if __name__ == "__main__":
    rendered = {name: render_reasons(context) for name, context in CASES.items()}
    GOLDEN.write_text(json.dumps(rendered, ensure_ascii=False, indent=1) + "\n")
