"""Tables in pages say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry

from stream.gateway.gateway_metrics import GatewayMetrics
from stream.settings import Settings
from stream.worker.agents.holds_metrics import HoldsMetrics
from stream.worker.health.clock import BrokerClock
from stream.worker.health.line_metrics import Metrics
from tools import feature_table, settings_table


def test_the_feature_table_is_current() -> None:
    assert feature_table.PAGE.read_text(encoding="utf-8") == feature_table.page(), "run python -m tools.feature_table"


def test_the_settings_table_is_current() -> None:
    text = settings_table.PAGE.read_text(encoding="utf-8")
    assert text == settings_table.page(text), "run python -m tools.settings_table"


def test_every_variable_that_is_named_is_a_setting(page: Path) -> None:
    known = {f"RISKSTREAM_{name.upper()}" for name in Settings.model_fields} | {"RISKSTREAM_SETTINGS"}
    named = set(re.findall(r"RISKSTREAM_[A-Z][A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
    assert {name for name in named if not any(variable.startswith(name) for variable in known)} == set()


def test_the_page_of_operations_names_exactly_the_metrics_that_are_served(root: Path) -> None:
    metrics, holds = Metrics(), CollectorRegistry()
    HoldsMetrics(holds)
    BrokerClock(Settings(), "w", holds)
    GatewayMetrics(gateway := CollectorRegistry())
    served = set()
    for registry in (metrics.registry, holds, gateway):
        for family in registry.collect():
            served.add(family.name + ("_total" if family.type == "counter" else ""))
    section = (root / "docs/operations.md").read_text(encoding="utf-8").split("## Metrics")[1].split("## ")[0]
    # the process' own names are the client library's
    own = {name for name in served if not name.startswith("process_")}
    assert set(re.findall(r"`(riskstream_\w+)", section)) == own | {"riskstream_certificate_expiry_seconds"}


def test_the_page_of_operations_names_exactly_the_alarms_that_are_raised(root: Path) -> None:
    groups = yaml.safe_load((root / "deploy/prometheus/alerts.yml").read_text())["groups"]
    raised = {rule["alert"] for group in groups for rule in group["rules"]}
    section = (root / "docs/operations.md").read_text(encoding="utf-8").split("\n## Alarms")[1].split("\n## ")[0]
    assert set(re.findall(r"Riskstream[A-Z]\w+", section)) == raised


def test_decisions_are_numbered_complete_and_listed(root: Path) -> None:
    folder = root / "docs" / "decisions"
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    assert [int(path.name[:4]) for path in pages] == list(range(1, len(pages) + 1))
    listed = (folder / "README.md").read_text(encoding="utf-8")
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert f"({path.name})" in listed
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Choice", "Consequence"], path.name
