"""``docs/asyncapi.yaml``: every topic in AsyncAPI 3.0, from the contracts and the table of topics.

python -m tools.asyncapi           # write it
python -m tools.asyncapi --check   # exit 1 where the page differs

Addresses are without an installation's topic prefix. Payloads of internal topics are riskstream's own and change with a version:
they are named, not described.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from stream.contracts.alert import Alert
from stream.contracts.cloud_event import CloudEvent
from stream.contracts.dead_letter import DeadLetter
from stream.contracts.decision import Decision
from stream.contracts.feedback import Feedback
from stream.contracts.json_object import MAX_BYTES
from stream.contracts.resolution import Resolution
from stream.contracts.transaction import Transaction
from stream.log.topics import GATEWAY_TOPICS, TOPICS, Topic

PAGE: Final = Path(__file__).parents[1] / "docs" / "asyncapi.yaml"
_MODELS: Final[tuple[type[BaseModel], ...]] = (
    Transaction, Feedback, Decision, Alert, Resolution, DeadLetter, CloudEvent,
)  # fmt: skip
_KEY: Final = {"type": "string", "description": "customer_id, else account_id; partitioned by murmur2, Java's default."}
_AT: Final = {"type": "string", "description": "topic/partition/offset"}
_HEADERS: Final = {
    "type": "object",
    "properties": {
        "riskstream.source": _AT | {"description": "topic/partition/offset of the input record"},
        "riskstream.profiled": _AT | {"description": "topic/partition/offset/place on risk.profiled.v1"},
        "riskstream.produced_at": {"type": "string", "description": "when it was written, by the worker's clock"},
    },
}
_LIMIT: Final = f"At most {MAX_BYTES // 1024} KiB."
_JSON, _BINARY, _STRUCTURED = "application/json", "application/octet-stream", "application/cloudevents+json"
_XML: Final = "application/xml"
ALL: Final = (*TOPICS, *GATEWAY_TOPICS)
"""Every topic of an installation with a gateway."""
_CARRIES: Final[dict[str, tuple[str, ...]]] = {
    "bank.transactions.v1": ("transaction", "transactionEvent"),
    "bank.feedback.v1": ("feedback", "feedbackEvent"),
    "risk.decisions.v1": ("decision",),
    "risk.alerts.v1": ("alert",),
    "riskstream-escalations": ("alert",),
    "risk.resolutions.v1": ("resolution",),
    "bank.transactions.v1.dlq": ("deadLetter",),
    "bank.feedback.v1.dlq": ("deadLetter",),
    "bank.iso20022.v1": ("iso20022Message",),
    "bank.iso20022.v1.dlq": ("deadLetter",),
    "risk.iso20022.v1": ("iso20022Message",),
}
"""Messages of the topics whose records are contracts."""
_HEARD: Final = ("bank.transactions.v1", "bank.feedback.v1", "bank.iso20022.v1")


def document() -> dict[str, Any]:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "riskstream",
            "version": version("riskstream"),
            "description": "Transactions and feedback of a bank in, explained decisions, alerts and resolutions out. "
            "Outputs are written in Kafka transactions: read them with isolation.level=read_committed.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": _JSON,
        "channels": {_name(topic.name): _channel(topic) for topic in ALL},
        "operations": dict(_operation(topic) for topic in ALL if topic.name in _CARRIES),
        "components": {"schemas": _schemas(), "messages": _messages()},
    }


def _name(address: str) -> str:
    """A topic's name as a key.

    >>> _name("bank.transactions.v1.dlq"), _name("riskstream-clock")
    ('bankTransactionsV1Dlq', 'riskstreamClock')
    """
    first, *rest = re.split(r"[.-]", address)
    return first + "".join(part.capitalize() for part in rest)


def _channel(topic: Topic) -> dict[str, Any]:
    configuration: dict[str, Any] = {"cleanup.policy": [topic.cleanup]}
    channel: dict[str, Any] = {
        "address": topic.name,
        "description": f"{topic.holds}; key: {topic.key}",
        "bindings": {
            "kafka": {"topic": topic.name, "topicConfiguration": configuration, "bindingVersion": "0.5.0"},
        },
    }
    if topic.name in _CARRIES:
        channel["messages"] = {
            message: {"$ref": f"#/components/messages/{message}"} for message in _CARRIES[topic.name]
        }
    else:
        channel["x-internal"] = True
    return channel


def _operation(topic: Topic) -> tuple[str, dict[str, Any]]:
    action: Literal["receive", "send"] = "receive" if topic.name in _HEARD else "send"
    name = _name(topic.name)
    return f"{action}{name[0].upper()}{name[1:]}", {
        "action": action,
        "channel": {"$ref": f"#/channels/{name}"},
        "messages": [{"$ref": f"#/channels/{name}/messages/{message}"} for message in _CARRIES[topic.name]],
    }


def _schemas() -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], by_alias=True, ref_template="#/components/schemas/{model}"
    )
    named: dict[str, Any] = schemas["$defs"]
    return {name: named[name] for name in sorted(named)}


def _messages() -> dict[str, Any]:
    inputs: dict[str, type[BaseModel]] = {"transaction": Transaction, "feedback": Feedback}
    outputs: dict[str, type[BaseModel]] = {"decision": Decision, "alert": Alert, "resolution": Resolution}
    messages = {name: _message(model, _JSON, summary=_LIMIT) for name, model in inputs.items()}
    for name, model in inputs.items():
        event = _message(CloudEvent, _STRUCTURED, summary=f"A CloudEvent in structured mode. {_LIMIT}")
        event["payload"] = {
            "allOf": [event["payload"], {"properties": {"data": {"$ref": f"#/components/schemas/{model.__name__}"}}}]
        }
        messages[f"{name}Event"] = event
    messages |= {name: _message(model, _JSON, headers=_HEADERS) for name, model in outputs.items()}
    messages["iso20022Message"] = {
        "name": "Iso20022Message",
        "contentType": _XML,
        "summary": "One XML document a record; see docs/iso20022.md.",
        "payload": {"type": "string"},
    }
    messages["deadLetter"] = {
        "name": "DeadLetter",
        "contentType": _BINARY,
        "summary": "Key and value as they were found; why, in the headers, as UTF-8 text.",
        "headers": {"$ref": "#/components/schemas/DeadLetter"},
        "payload": {},
    }
    return messages


def _message(
    model: type[BaseModel], content_type: str, *, summary: str = "", headers: dict[str, Any] | None = None
) -> dict[str, Any]:
    message = {
        "name": model.__name__,
        "contentType": content_type,
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        "bindings": {"kafka": {"key": _KEY, "bindingVersion": "0.5.0"}},
    }
    return message | ({"summary": summary} if summary else {}) | ({"headers": headers} if headers else {})


class _Plain(yaml.SafeDumper):
    """No aliases: each part stands where it is read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text() -> str:
    """The document as the text of its page."""
    head = "# Written by python -m tools.asyncapi from the contracts and the table of topics.\n"
    return head + yaml.dump(document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it; returns the exit status."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m tools.asyncapi [--check]", file=sys.stderr)
        return 2
    if not arguments:
        PAGE.write_text(text(), "utf-8")
    elif not PAGE.is_file() or PAGE.read_text("utf-8") != text():
        print("docs/asyncapi.yaml differs; run python -m tools.asyncapi", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
