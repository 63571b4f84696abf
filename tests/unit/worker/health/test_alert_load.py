"""Alerts against budgets on the live line: counted by hour of event time, and never a reason for or against an alert."""

from __future__ import annotations

import re
from itertools import islice
from types import SimpleNamespace

import numpy as np
import orjson
import pytest
from prometheus_client import CollectorRegistry

from rules.compiled_policy import VERDICT
from rules.pack import Budget
from rules.policy import PACKS, Policy
from rules.priority import HOUR_US
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.columns import SCENARIOS
from stream.core.decision.decide import Decider
from stream.core.decision.genesis import first_snapshot
from stream.core.decision.render import render
from stream.core.edge.decode import decode_feedback, decode_transactions
from stream.core.frame.frame import decode_frame
from stream.core.hold.holds import Ending, Hold
from stream.core.payee.payee_hop import PayeeHop, Received
from stream.simulate import stream as simulated
from stream.worker.agents.holds_metrics import HoldsMetrics
from stream.worker.health.alert_load import AlertLoad

DAY_US = 86_400_000_000
OUTCOME_REVIEW = 3


class Seen:
    """The metrics of a worker, as Prometheus reads them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.load = AlertLoad(self.registry)

    def value(self, name: str, scenario: str = "ecommerce") -> float | None:
        return self.registry.get_sample_value(name, {"scenario": scenario})

    def decide(self, outcomes: list[int], hours: list[float], sampled: int = 0, scenario: int = 1) -> None:
        """Count a batch."""
        verdicts = np.zeros(len(outcomes), VERDICT)
        verdicts["outcome"], verdicts["scenario"] = outcomes, scenario
        payments = np.zeros(len(outcomes), [("event_time", "i8")])
        payments["event_time"] = [round(hour * HOUR_US) for hour in hours]
        marks = np.arange(len(outcomes)) < sampled
        batch = SimpleNamespace(received=SimpleNamespace(transactions=payments), verdicts=verdicts, sampled=marks)
        self.load.decided(batch)  # type: ignore[arg-type]


def test_alerts_count_for_their_scenario_in_total_and_for_the_current_hour_of_event_time() -> None:
    seen = Seen()
    seen.decide([OUTCOME_REVIEW, 0, OUTCOME_REVIEW, 2], [5.0, 5.1, 5.2, 5.3])
    assert seen.value("riskstream_alerts_total") == 2
    assert seen.value("riskstream_alerts_event_hour") == 2
    assert seen.registry.get_sample_value("riskstream_event_hour_seconds") == 5 * 3600
    assert seen.value("riskstream_alerts_total", "other") == 0


def test_a_new_hour_begins_at_nothing_though_no_alert_comes() -> None:
    seen = Seen()
    seen.decide([OUTCOME_REVIEW], [5.9])
    seen.decide([0], [6.0])
    assert seen.value("riskstream_alerts_event_hour") == 0
    assert seen.value("riskstream_alerts_total") == 1


def test_an_alert_of_an_hour_that_is_over_counts_in_the_total_alone() -> None:
    seen = Seen()
    seen.decide([OUTCOME_REVIEW, OUTCOME_REVIEW], [5.9, 6.0])
    seen.decide([OUTCOME_REVIEW], [5.99])
    assert seen.value("riskstream_alerts_event_hour") == 1
    assert seen.value("riskstream_alerts_total") == 3


def test_the_budget_beside_them_is_that_of_the_policy_in_force() -> None:
    seen = Seen()
    seen.load.budgets([Budget(per_hour=10 + code) for code in range(len(SCENARIOS))])
    seen.load.budgets([Budget(per_hour=20 + code) for code in range(len(SCENARIOS))])
    assert seen.value("riskstream_alert_budget_per_hour") == 21
    with pytest.raises(ValueError, match="zip"):
        seen.load.budgets([Budget()])


def test_samples_below_the_line_are_counted() -> None:
    seen = Seen()
    seen.decide([0, 0, 0], [1.0, 1.0, 1.0], sampled=2)
    seen.decide([0, 0, 0], [1.0, 1.0, 1.0])
    assert seen.value("riskstream_below_line_total") == 2


@pytest.mark.parametrize(
    ("result", "cause", "genuine", "fraud"),
    [("release", "reviewer", 1, 0), ("decline", "reviewer", 0, 1), ("release", "challenge", 0, 0),
     ("decline", "expiry", 0, 0)],
)  # fmt: skip
def test_what_reviewers_judged_stands_by_scenario_for_the_error_rate(
    result: str, cause: str, genuine: int, fraud: int
) -> None:
    registry = CollectorRegistry()
    hold = Hold("t-1", "t-1", "a-1", "c-1", 9, "release", scenario="ecommerce")
    HoldsMetrics(registry).committed([Ending(hold, result, cause, 5)], {})  # type: ignore[arg-type]
    counted = {
        verdict: registry.get_sample_value(
            "riskstream_alerts_judged_total", {"scenario": "ecommerce", "verdict": verdict}
        )
        for verdict in ("genuine", "fraud")
    }
    assert counted == {"genuine": genuine, "fraud": fraud}


def received(count: int, *, busy: bool) -> Received:
    """A batch on the payees hop: payments of simulated customers, on a busy day all to a payee that is watched."""
    values = [event.transaction for event in islice(simulated(5, accounts=10), count)]
    if busy:
        values = [orjson.dumps(orjson.loads(value) | {"payee_id": "mule"}) for value in values]
    accounts, payees = AccountHop(0, HopSettings(1, DAY_US, DAY_US)), PayeeHop(0, DAY_US)
    decoded = decode_transactions(values, np.arange(count), np.full(count, 2**42), 0, 1, future_ms=2**40)
    none = np.zeros(0, np.int64)
    profiled = accounts.process(decoded.columns, decode_feedback([], none, none, 0, 1).columns)
    return payees.process([(0, decode_frame(frame)) for _, frame in profiled.frames])


def policy_with(per_hour: int | None = None) -> Policy:
    """The shipped packs with one payee on the watch list; with this budget in every scenario where one is given."""
    files = {path.name: path.read_bytes() for path in PACKS.glob("*.yaml")}
    if per_hour is not None:
        files = {name: re.sub(rb"per_hour: \d+", b"per_hour: %d" % per_hour, text) for name, text in files.items()}
    watched = b"watch: [{payee: mule, reason: seen in a case, owner: fraud-team, until: 2090-01-01}]"
    return Policy.from_files({**files, "watched.yaml": b"pack: watched\nkind: lists\n" + watched})


def published(per_hour: int, *, busy: bool) -> tuple[list[bytes], list[bytes], Policy]:
    """Decisions and alerts under a policy whose every scenario has this budget; versions cut out."""
    policy = policy_with(per_hour)
    decider = Decider(first_snapshot(1), policy)
    assert {budget.per_hour for budget in decider.compiled.budgets} == {per_hour}
    rendered = render(decider.decide(received(120, busy=busy)), decider)
    cut = re.compile(rb'"policy_version":"[^"]*"')
    return (
        [cut.sub(b"", value) for value in rendered.decisions],
        [cut.sub(b"", alert) for _, alert in rendered.alerts],
        policy,
    )


def test_on_a_busy_day_no_budget_takes_an_alert_away() -> None:
    tight, ample = published(1, busy=True), published(1_000_000, busy=True)
    assert len(tight[1]) > 20, "far above a budget of one an hour"
    assert tight[:2] == ample[:2]
    assert tight[2].version != ample[2].version


def test_on_a_quiet_day_no_budget_makes_an_alert_up() -> None:
    tight, ample = published(1, busy=False), published(1_000_000, busy=False)
    assert ample[1] == [], "a million an hour are possible and none is needed"
    assert tight[:2] == ample[:2]


def test_a_batch_counts_the_alerts_and_samples_that_it_published() -> None:
    seen = Seen()
    decider = Decider(first_snapshot(1), policy_with())
    decided = decider.decide(received(120, busy=True))
    seen.load.decided(decided)
    rendered = render(decided, decider)
    total = sum(seen.value("riskstream_alerts_total", name) or 0 for name in SCENARIOS)
    assert total == len(rendered.alerts) > 0
    flagged = sum(b'"below_line"' in value for value in rendered.decisions)
    assert sum(seen.value("riskstream_below_line_total", name) or 0 for name in SCENARIOS) == flagged
