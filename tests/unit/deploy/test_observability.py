"""Alert rules and the board ask for metrics, labels and values that a worker serves: a misspelt one never fires."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from stream.core.account.account_reversal import RESULTS as REVERSAL_RESULTS
from stream.core.columns import SCENARIOS as SCENARIO_NAMES
from stream.gateway.gateway_metrics import ANSWERS, GatewayMetrics
from stream.log.set_aside import REASONS as SET_ASIDE_REASONS
from stream.settings import Settings
from stream.worker.agents.holds_metrics import HoldsMetrics
from stream.worker.health.health_metrics import PARTS, RECOVERY_FAILURES
from stream.worker.health.line_metrics import Metrics

DEPLOY = Path(__file__).resolve().parents[3] / "deploy"

OUTCOMES = {"approve", "remind", "challenge", "review", "decline"}
SCENARIOS: set[str] = set()  # any value: no expression names one
CLOCK = "riskstream_clock_skew_seconds"
METRICS: dict[str, dict[str, set[str]]] = {
    "riskstream_records_total": {"topic": set(), "result": {"decided", "duplicate", "dead"}},
    "riskstream_in_flight": {"topic": set(), "partition": set()},
    "riskstream_decisions_total": {"scenario": SCENARIOS, "outcome": OUTCOMES},
    "riskstream_decision_latency_seconds_bucket": {"le": set()},
    "riskstream_lag": {"topic": set(), "partition": set()},
    "riskstream_touched_total": {"scenario": SCENARIOS, "familiar": {"true", "false"}, "outcome": OUTCOMES},
    "riskstream_genuine_matured_total": {"scenario": SCENARIOS},
    "riskstream_drift_total": {"scenario": SCENARIOS, "kind": {"volume", "population", "tail"}},
    "riskstream_models_refused_total": {},
    "riskstream_refused_control_records": {"topic": set(), "reason": set(SET_ASIDE_REASONS)},
    "riskstream_version_info": {"model": set(), "policy": set()},
    "riskstream_transactions_total": {"result": {"committed", "aborted", "fenced"}},
    "riskstream_deadline_missed_total": {},
    "riskstream_alerts_total": {"scenario": SCENARIOS},
    "riskstream_alert_budget_per_hour": {"scenario": SCENARIOS},
    "riskstream_alerts_event_hour": {"scenario": SCENARIOS},
    "riskstream_event_hour_seconds": {},
    "riskstream_below_line_total": {"scenario": SCENARIOS},
    "riskstream_alerts_judged_total": {"scenario": SCENARIOS, "verdict": {"genuine", "fraud"}},
    "riskstream_recovered_total": {"source": {"kept", "standby copy", "snapshot", "changelog"}},
    "riskstream_standby_lag": {"topic": set(), "partition": set()},
    "riskstream_snapshots_total": {"result": {"written", "failed", "refused"}},
    "riskstream_records_lost": {"topic": set(), "partition": set()},
    "riskstream_live": {},
    "riskstream_ready": {},
    "riskstream_part_ok": {"part": set(PARTS)},
    "riskstream_partitions_owned": {},
    "riskstream_partitions": {},
    "riskstream_end_offset": {"topic": set(), "partition": set()},
    "riskstream_committed_offset": {"topic": set(), "partition": set()},
    "riskstream_recovery_failures_total": {"reason": set(RECOVERY_FAILURES)},
    "riskstream_checkpoint_age_seconds": {"hop": {"accounts", "payees"}},
    "riskstream_rows": {"hop": set(), "partition": set()},
    "riskstream_rows_limit": {},
    "riskstream_rows_forgotten_total": {"hop": {"accounts", "payees"}},
    "riskstream_learner_round_age_seconds": {},
    "riskstream_versions_age_seconds": {},
    "riskstream_versions_behind_seconds": {},
    "riskstream_version_wanted_info": {"model": set(), "policy": set()},
    "riskstream_holds_overdue": {"partition": set()},
    "riskstream_certificate_expiry_seconds": {"file": set()},
    CLOCK: {},
    "process_start_time_seconds": {"job": {"riskstream-worker"}},
    "process_resident_memory_bytes": {},
    "process_cpu_seconds_total": {},
    "process_open_fds": {},
    "process_max_fds": {},
    "riskstream_internal_errors_total": {
        "hop": {"accounts", "payees"},
        "result": {"recovered", "dead_letter", "stopped", "undecided", "set_aside"},
    },
    "riskstream_partition_stopped": {"topic": set(), "partition": set()},
    "riskstream_batches_refused_total": {"hop": {"accounts", "payees"}},
    "riskstream_open_transaction_seconds": {"topic": set(), "partition": set()},
    "riskstream_thread_restarts_total": {"thread": set()},
    "riskstream_reversals_total": {"result": set(REVERSAL_RESULTS)},
    "up": {"job": {"riskstream-worker", "riskstream-gateway"}},
    "riskstream_gateway_messages_total": {"result": {"converted", "dead"}},
    "riskstream_gateway_records_total": {"kind": {"transaction", "feedback"}},
    "riskstream_gateway_answers_total": {"status": set(ANSWERS)},
    "riskstream_gateway_lag": {"topic": set(), "partition": set()},
    "riskstream_gateway_active": {},
    "riskstream_gateway_payments": {},
    "riskstream_gateway_waiting": {},
    "riskstream_gateway_waiting_seconds": {},
    "riskstream_gateway_failures_total": {},
    "riskstream_gateway_forgotten_total": {},
}
"""The contract's metrics, with each label's values where it lists them."""
JUDGED, OVERDUE, EXPIRY = (
    "riskstream_alerts_judged_total",
    "riskstream_holds_overdue",
    "riskstream_certificate_expiry_seconds",
)
GATEWAY = {name for name in METRICS if name.startswith("riskstream_gateway_")}
ELSEWHERE = {"up", JUDGED, OVERDUE, EXPIRY, CLOCK, *GATEWAY}
"""Not in the class of the line's metrics."""
SHOWN_ALONE = {
    "riskstream_in_flight", "riskstream_genuine_matured_total", "riskstream_alerts_event_hour",
    "riskstream_event_hour_seconds", "riskstream_below_line_total", JUDGED,
    "riskstream_recovered_total", "riskstream_standby_lag", "riskstream_end_offset", "riskstream_version_wanted_info",
    "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds",
    "riskstream_batches_refused_total", "riskstream_reversals_total", "riskstream_gateway_records_total", "riskstream_gateway_answers_total",
    "riskstream_gateway_payments", "riskstream_gateway_waiting", "riskstream_gateway_failures_total",
    "riskstream_gateway_forgotten_total", "riskstream_rows_forgotten_total",
}  # fmt: skip
"""On the board, and no alert: a high value of one is no fault."""

RULES: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8"))
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]
BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "boards" / "riskstream.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [(rule["alert"], rule["expr"]) for rule in ALERTS]
EXPRESSIONS += [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]

FUNCTIONS = {
    "sum", "count", "rate", "increase", "deriv", "histogram_quantile", "absent", "max", "min", "changes", "time",
    "max_over_time", "min_over_time", "abs",
}  # fmt: skip
RANGED_GAUGES = ("deriv", "changes", "max_over_time", "min_over_time")
WORDS = {"by", "on", "and", "or", "unless", "group_left"}


def metrics(expression: str) -> Iterator[tuple[str, str]]:
    """Each metric of a PromQL expression with its selector's text."""
    bare = re.sub(r"\b(by|on|group_left)\s*\([^)]*\)", " ", expression)
    bare = re.sub(r"\[[^]]*\]", " ", bare)
    for name, selector in re.findall(r"\b([a-z_]\w*)\b\s*(\{[^}]*\})?", bare):
        if name not in FUNCTIONS | WORDS:
            yield name, selector


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_expressions_name_metrics_labels_and_values_of_the_contract(where: str, expression: str) -> None:
    found = list(metrics(expression))
    assert found
    labels_seen: set[str] = set()
    for name, selector in found:
        assert name in METRICS, f"{where}: unknown metric {name}"
        labels_seen |= METRICS[name].keys()
        for label, values in re.findall(r'(\w+)(?:=~?|!=)"([^"]*)"', selector):
            assert label in METRICS[name], f"{where}: {name} has no label {label}"
            # what a bank puts before its topics' names cannot be listed
            if label != "topic":
                assert set(values.split("|")) <= METRICS[name][label], f"{where}: {label}={values}"
    grouped = {label.strip() for group in re.findall(r"\bby\s*\(([^)]*)\)", expression) for label in group.split(",")}
    assert grouped <= labels_seen | {"instance", ""}, f"{where}: grouped by {grouped - labels_seen}"


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_counters_are_read_as_rates_and_gauges_are_not(where: str, expression: str) -> None:
    for name, ranged in re.findall(r"\b(riskstream_\w+)\b(?:\{[^}]*\})?(\[)?", expression):
        counter = name.endswith(("_total", "_bucket"))
        ranges = any(function in expression for function in RANGED_GAUGES)
        # beside its increase a counter's value is asked for, where it may have begun within the time asked for
        born = counter and f"increase({name}" in expression
        assert counter == bool(ranged) or ranges or born, f"{where}: {name}"


def test_every_metric_of_the_contract_is_on_the_board() -> None:
    shown = {name for panel in PANELS for target in panel["targets"] for name, _ in metrics(target["expr"])}
    assert shown == METRICS.keys()


def test_a_worker_serves_the_metrics_of_the_contract_and_no_others() -> None:
    served = re.findall(r"# TYPE (\w+) (?:counter|gauge|histogram)", generate_latest(Metrics().registry).decode())
    named = {name.removesuffix("_bucket") for name in METRICS.keys() - ELSEWHERE}
    own = {name for name in served if not name.endswith("_created") and not name.startswith("process_")}
    assert own == {name for name in named if not name.startswith("process_")}
    assert set(served) >= named


def test_a_gateway_serves_its_metrics_and_no_others_from_the_start() -> None:
    registry = CollectorRegistry()
    GatewayMetrics(registry)
    served = set(re.findall(r"# TYPE (\w+) (?:counter|gauge)", generate_latest(registry).decode()))
    assert {name for name in served if not name.endswith("_created")} == GATEWAY
    samples = {(sample.name, *sample.labels.values()) for family in registry.collect() for sample in family.samples}
    for name in GATEWAY - {"riskstream_gateway_lag"}:
        for values in product(*METRICS[name].values()):
            assert (name, *values) in samples


def test_series_whose_labels_are_known_are_there_from_the_start() -> None:
    registry = Metrics(Settings(topic_prefix="p-"), 2).registry
    HoldsMetrics(registry)
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
    inputs = ("p-bank.transactions.v1", "p-bank.feedback.v1")
    known = {"scenario": SCENARIO_NAMES, "topic": inputs, "partition": ("0", "1")}
    begun = [
        "riskstream_records_total", "riskstream_lag", "riskstream_decisions_total", "riskstream_genuine_matured_total",
        "riskstream_drift_total", "riskstream_transactions_total", "riskstream_recovered_total", "riskstream_alerts_total",
        "riskstream_snapshots_total", "riskstream_recovery_failures_total", "riskstream_part_ok", JUDGED,
    ]  # fmt: skip
    for name in begun:
        labels = {label: sorted(known.get(label, values)) for label, values in METRICS[name].items()}
        for values in product(*labels.values()):
            assert samples[(name, *sorted(zip(labels, values, strict=True)))] == 0, (name, values)
    touched = [key for key in samples if key[0] == "riskstream_touched_total"]
    assert len(touched) == len(SCENARIO_NAMES) * 2 * len(("challenge", "review", "decline"))
    assert samples["riskstream_in_flight", ("partition", "1"), ("topic", inputs[0])] == 0
    assert samples["riskstream_resolutions_total", ("cause", "expiry"), ("result", "release")] == 0
    assert samples["riskstream_holds_ignored_total", ("what", "unreadable")] == 0


def test_the_error_rate_is_served_with_the_holds() -> None:
    registry = CollectorRegistry()
    HoldsMetrics(registry)
    labels = {
        name: {
            sample.labels[name] for family in registry.collect() for sample in family.samples if sample.name == JUDGED
        }
        for name in METRICS[JUDGED]
    }
    assert labels == {"scenario": set(SCENARIO_NAMES), "verdict": METRICS[JUDGED]["verdict"]}


def test_what_the_line_can_suffer_has_an_alert() -> None:
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    watched = {name for rule in ALERTS for name, _ in metrics(rule["expr"])}
    assert watched >= METRICS.keys() - SHOWN_ALONE


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_who_is_woken_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert len(rule["annotations"]["description"]) > 40
    labels = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    grouped = {label.strip() for group in re.findall(r"\bby\s*\(([^)]*)\)", rule["expr"]) for label in group.split(",")}
    assert labels <= grouped | {"instance"}, "a label that the expression drops would be empty in the message"


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_names_its_section_of_the_runbook_which_has_commands(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    sections = re.split(r"^#+ ", (DEPLOY.parent / page).read_text(encoding="utf-8"), flags=re.MULTILINE)
    (own,) = [text for text in sections if text.partition("\n")[0].strip().lower() == anchor]
    assert own.startswith(rule["alert"] + "\n")
    assert "```" in own, "no command to begin with"


PROMETHEUS = DEPLOY / "prometheus"


def promtool(*arguments: str) -> None:
    done = subprocess.run(["/usr/bin/promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_valid_to_prometheus() -> None:
    promtool("check", "rules", "alerts.yml")


def test_the_boards_expressions_are_valid_to_prometheus(tmp_path: Path) -> None:
    expressions = [target["expr"].replace("$__rate_interval", "1m") for panel in PANELS for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    file = tmp_path / "board.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", str(file))


@pytest.mark.parametrize("file", ["alerts_test.yml", "quiet_days_test.yml"])
def test_alerts_are_raised_at_their_first_event_and_on_no_quiet_day(file: str) -> None:
    promtool("test", "rules", file)


def test_every_alert_has_a_case_for_its_first_event_and_is_asked_for_on_every_quiet_day() -> None:
    names = {rule["alert"] for rule in ALERTS}
    events, days = (
        yaml.safe_load((PROMETHEUS / file).read_text(encoding="utf-8"))["tests"]
        for file in ("alerts_test.yml", "quiet_days_test.yml")
    )
    raised = {case["alertname"] for test in events for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert raised == names
    for day in days:
        assert not any(case["exp_alerts"] for case in day["alert_rule_test"])
        assert {case["alertname"] for case in day["alert_rule_test"]} == names, day["name"]


def test_panels_lie_side_by_side_and_read_the_provisioned_source() -> None:
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text(encoding="utf-8"))
    (datasource,) = source["datasources"]
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["datasource"]["uid"] == datasource["uid"]
        assert panel["description"]
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_prometheus_scrapes_every_worker_and_loads_the_rules() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    assert config["rule_files"] == ["alerts.yml"]
    compose = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text(encoding="utf-8"))
    assert {job["job_name"] for job in config["scrape_configs"]} == METRICS["up"]["job"]
    for job in config["scrape_configs"]:
        (target,) = job["dns_sd_configs"]
        service = job["job_name"].removeprefix("riskstream-")
        assert target["names"] == [service]
        assert compose["services"][service]["expose"] == [str(target["port"])]


def test_grafana_finds_its_board_and_its_source() -> None:
    compose = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text(encoding="utf-8"))
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/riskstream.yml").read_text(encoding="utf-8"))
    grafana = compose["services"]["grafana"]
    boards = provider["providers"][0]["options"]["path"]
    assert f"./deploy/grafana/boards:{boards}:ro" in grafana["volumes"]
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == f"{boards}/riskstream.json"
