"""``docs/asyncapi.yaml`` is what contracts and topics say, AsyncAPI 3.0, and true of records."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from stream.contracts.json_object import load_object
from stream.contracts.refusal import Refused
from stream.contracts.transaction import read_transaction
from stream.log.topics import GATEWAY_TOPICS, TOPICS
from tools import asyncapi

HERE = Path(__file__).parent
OFFICIAL = json.loads((HERE / "asyncapi-3.0.0.schema.json").read_text("utf-8"))
"""From npm's @asyncapi/specs 6.11.1, schemas/3.0.0.json; Apache-2.0, the AsyncAPI Initiative (http://www.asyncapi.com/)."""
CORPUS = HERE.parents[2] / "corpus" / "transactions.jsonl"
DOCUMENT: dict[str, Any] = yaml.safe_load(asyncapi.PAGE.read_text("utf-8"))


def errors(document: dict[str, Any]) -> list[str]:
    return [error.message for error in jsonschema.Draft7Validator(OFFICIAL).iter_errors(document)]


def test_the_page_is_what_the_contracts_say() -> None:
    assert asyncapi.PAGE.read_text("utf-8") == asyncapi.text(), "run python -m tools.asyncapi"


def test_the_page_is_asyncapi_3() -> None:
    assert errors(DOCUMENT) == []


@pytest.mark.parametrize(
    ("part", "value"),
    [(("asyncapi",), "2.6.0"), (("info", "title"), 7), (("operations", "receiveBankTransactionsV1", "action"), "publish")],
)  # fmt: skip
def test_the_validator_sees_what_is_wrong(part: tuple[str, ...], value: Any) -> None:
    document = copy.deepcopy(DOCUMENT)
    inner = document
    for name in part[:-1]:
        inner = inner[name]
    assert part[-1] in inner
    inner[part[-1]] = value
    assert errors(document) != []


def test_every_topic_is_named_and_every_reference_leads_somewhere() -> None:
    assert {channel["address"] for channel in DOCUMENT["channels"].values()} == {
        topic.name for topic in (*TOPICS, *GATEWAY_TOPICS)
    }
    for reference in references(DOCUMENT):
        inner = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            inner = inner[name]


def references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [found for item in part for found in references(item)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [found for item in part.values() for found in references(item)]


def records() -> list[dict[str, Any]]:
    """Transactions of the corpus that can be read and are no CloudEvents: absent fields, which a schema cannot say, left out."""
    found = []
    for line in CORPUS.read_text("utf-8").splitlines():
        case = json.loads(line)
        if "value" not in case or "{now" in case["value"] or case["expect"] != "decided":
            continue
        try:
            read_transaction(case["value"].encode())
        except Refused:
            continue
        value = load_object(case["value"].encode())
        if value.get("transaction_id"):
            found.append(present(value))
    return found


def present(value: dict[str, Any]) -> dict[str, Any]:
    kept = {name: item for name, item in value.items() if item not in (None, "")}
    if isinstance(kept.get("customer"), dict):
        kept["customer"] = present(kept["customer"])
    return kept


def test_records_that_are_read_fit_the_schema_and_others_do_not() -> None:
    schema = {"$ref": "#/components/schemas/Transaction", "components": DOCUMENT["components"]}
    validator = jsonschema.Draft7Validator(schema)
    good = records()
    assert len(good) > 100
    assert [record for record in good if not validator.is_valid(record)] == []
    base = good[0]
    for change in (
        {"amount_minor": "1"},
        {"channel": "fax"},
        {"uetr": "X"},
        {"type": "reversal"},
        {"account_id": "a b"},
    ):
        assert not validator.is_valid({**base, **change}), change


def test_a_cloud_event_holds_the_record_that_its_topic_takes() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "/core", "type": "paid", "data": records()[0]}
    for message, fits in (("transactionEvent", True), ("feedbackEvent", False)):
        payload = DOCUMENT["components"]["messages"][message]["payload"]
        validator = jsonschema.Draft7Validator({**payload, "components": DOCUMENT["components"]})
        assert validator.is_valid(event) is fits
