"""The contracts' own promises: schemas in step, words in step with the columns, headers, shapes of outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import jsonschema
import pytest
from pydantic import ValidationError

from rules.iso_4217 import ALWAYS_US, CODES
from stream.contracts import decision, feedback, transaction
from stream.contracts.alert import Alert
from stream.contracts.country import COUNTRIES
from stream.contracts.currency import MINOR_UNIT_DIGITS
from stream.contracts.dead_letter import dead_letter
from stream.contracts.decision import Decision
from stream.contracts.feedback import read_feedback
from stream.contracts.offset import Offset
from stream.contracts.refusal import Refused
from stream.core import columns
from tools import schemas

DECISION = {
    "transaction_id": "t-1", "customer_id": "c-1", "account_id": "a-1", "payee_id": None,
    "event_time": "2026-11-24T00:00:00Z", "scenario": "person_transfer", "outcome": "challenge", "step_up": "light",
    "scope": "transaction", "risk_ppm": 1000, "anomaly_ppm": 2, "familiarity_ppm": 0, "hard_rule": None,
    "rules": [{"id": "r-1", "weight_milli": 700}],
    "evidence": [{"feature": "amount_to_mean", "value": "4.2", "normal": "1.0", "contribution_milli": 310}],
    "reasons": {"customer": {"zh": "请核实", "en": "Please check"}, "reviewer": {"zh": "x", "en": "y"}},
    "degraded": [], "flags": ["late"], "policy_version": "p-1", "model_version": "m-1",
}  # fmt: skip
FEEDBACK = {
    "feedback_id": "f-1", "transaction_id": "t-1", "account_id": "a-1", "kind": "review", "verdict": "genuine",
    "actor": "reviewer:anna", "occurred_at": "2026-11-24T00:00:00Z",
}  # fmt: skip


def test_the_files_hold_the_models_schemas() -> None:
    assert [name for place in schemas.PLACES for name in schemas.differing(place)] == []


def test_a_schema_that_differs_is_found(tmp_path: Path) -> None:
    for name in schemas.CONTRACTS:
        (tmp_path / f"{name}.schema.json").write_text(schemas.text_of(name), "utf-8")
    (tmp_path / "alert.schema.json").write_text("{}", "utf-8")
    assert schemas.differing(tmp_path) == ["alert"]


@pytest.mark.parametrize("name", schemas.CONTRACTS)
def test_every_schema_is_valid_and_every_field_is_described(name: str) -> None:
    document = json.loads(schemas.text_of(name))
    jsonschema.Draft202012Validator.check_schema(document)
    for model in [document, *document.get("$defs", {}).values()]:
        for field, description in model["properties"].items():
            assert description.get("description"), f"{name}: {field} is not described"


def test_a_decision_satisfies_model_and_schema() -> None:
    jsonschema.validate(DECISION, json.loads(schemas.text_of("decision")))
    assert json.loads(Decision.model_validate_json(json.dumps(DECISION)).model_dump_json()) == DECISION


@pytest.mark.parametrize(
    "change",
    [
        {"scope": "account"},
        {"risk_ppm": 1_000_001},
        {"risk_ppm": 0.5},
        {"outcome": "freeze"},
        {"evidence": [DECISION["evidence"][0]] * 9},  # type: ignore[index]
        {"surprise": 1},
        {"flags": ["blocked"]},
    ],
)
def test_a_decision_outside_the_contract_is_refused_by_both(change: dict[str, object]) -> None:
    document = DECISION | change
    with pytest.raises(ValidationError):
        Decision.model_validate_json(json.dumps(document))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json.loads(schemas.text_of("decision")))


def test_an_alert_embeds_its_decision() -> None:
    alert = {
        "alert_id": "t-1", "decision": DECISION, "priority_milli": 900, "due_at": "2026-11-24T02:00:00Z",
        "hold_expires_at": "2026-11-25T00:00:00Z", "on_expiry": "release", "amount_minor": 1250, "currency": "CNY",
        "channel": "app", "payee_kind": None, "four_eyes": False,
    }  # fmt: skip
    jsonschema.validate(alert, json.loads(schemas.text_of("alert")))
    assert Alert.model_validate_json(json.dumps(alert)).decision.transaction_id == "t-1"


def test_times_are_written_in_utc_with_z() -> None:
    document = DECISION | {"event_time": "2026-11-24T08:00:00.25+08:00"}
    written = json.loads(Decision.model_validate_json(json.dumps(document)).model_dump_json())
    assert written["event_time"] == "2026-11-24T00:00:00.250000Z"


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (transaction.Channel, columns.CHANNELS[1:]),
        (transaction.PayeeKind, columns.PAYEE_KINDS[1:]),
        (transaction.NameCheck, columns.NAME_CHECKS[1:]),
        (transaction.AgeBand, columns.AGE_BANDS[1:]),
        (decision.Scenario, (*columns.SCENARIOS[1:], columns.SCENARIOS[0])),
        (feedback.Kind, columns.FEEDBACK_KINDS),
        (feedback.Verdict, columns.VERDICTS),
    ],
)
def test_the_contracts_words_are_the_columns_codes(words: object, codes: tuple[str, ...]) -> None:
    assert get_args(words) == codes


def test_dead_letter_headers_are_kafka_connects_and_the_reason() -> None:
    letter = dead_letter(
        Offset(topic="t-bank.transactions.v1", partition=3, offset=17), "bad_time", "field event_time: …"
    )
    assert letter.headers() == [
        ("__connect.errors.topic", b"t-bank.transactions.v1"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"17"),
        ("__connect.errors.exception.class.name", b"stream.contracts.refusal.Refused"),
        ("__connect.errors.exception.message", "field event_time: …".encode()),
        ("riskstream.reason", b"bad_time"),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"customer_id": "", "payee_id": None, "supersedes": "", "unknown": [1]}, None),
        ({"actor": "审核员"}, None),
        ({"actor": ""}, "missing"),
        ({"kind": None}, "missing"),
        ({"actor": 7}, "wrong_type"),
        ({"actor": "a" * 65}, "out_of_range"),
        ({"actor": "审" * 22}, "out_of_range"),
        ({"actor": "a\nb"}, "out_of_range"),
        ({"kind": "guess"}, "out_of_range"),
        ({"verdict": ["fraud"]}, "wrong_type"),
        ({"occurred_at": "yesterday"}, "bad_time"),
        ({"occurred_at": 1}, "wrong_type"),
        ({"supersedes": "a b"}, "out_of_range"),
        ({"transaction_id": "x" * 65, "occurred_at": "x"}, "bad_time"),
    ],
)
def test_feedback_is_read_by_the_same_rules(change: dict[str, object], reason: str | None) -> None:
    value = json.dumps(FEEDBACK | change).encode()
    if reason is None:
        assert read_feedback(value).owner == "a-1"
        return
    with pytest.raises(Refused) as refused:
        read_feedback(value)
    assert refused.value.reason == reason


def test_the_lists_of_codes_are_of_their_form_and_size() -> None:
    assert len(COUNTRIES) == 250
    assert all(len(code) == 2 and code.isupper() for code in COUNTRIES)
    assert all(len(code) == 3 and code.isupper() for code in MINOR_UNIT_DIGITS)
    assert (MINOR_UNIT_DIGITS["JPY"], MINOR_UNIT_DIGITS["CNY"], MINOR_UNIT_DIGITS["KWD"]) == (0, 2, 3)
    assert (MINOR_UNIT_DIGITS["ITL"], MINOR_UNIT_DIGITS["HRK"], MINOR_UNIT_DIGITS["BYR"]) == (0, 2, 0)
    assert sum(code.ends == ALWAYS_US for code in CODES.values()) == 176
    assert {"XTS", "XXX"}.isdisjoint(CODES)
