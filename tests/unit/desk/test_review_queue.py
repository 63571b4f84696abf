"""The queue of reviews: order, what is overdue, and the work that is waiting, from rows as the holds agent writes them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest
from click.testing import CliRunner
from confluent_kafka import Producer

from rules.approval import PolicyRecord
from rules.pack import Budget
from rules.policy import PACKS, Policy
from stream.brokers.embedded import EmbeddedBroker
from stream.cli import riskstream
from stream.core.columns import SCENARIOS
from stream.core.hold.hold_rows import OWED
from stream.core.hold.holds import Hold, HoldBook, Verdict
from stream.desk.review_queue import ReviewQueue, read_queue
from stream.log.connect import producer_config
from stream.log.topics import partition_counts
from stream.settings import Settings
from stream.versions.policies import record_of

MINUTE = 60_000_000
NOW = 100 * MINUTE
BUDGETS = [Budget(per_hour=4, review_minutes=3.5)] * len(SCENARIOS)


def hold(name: str, priority: int, due: int = 2 * NOW, scenario: str = "ecommerce", account: str = "a-1") -> Hold:
    return Hold(name, name, account, "c-1", 9 * NOW, "release", "", scenario, priority, due)


def test_what_a_minute_saves_most_comes_first_then_what_is_due_first() -> None:
    holds = [hold("t-1", 5, 80), hold("t-2", 9), hold("t-3", 5, 70), hold("t-4", 5, 80, account="a-0")]
    queue = ReviewQueue.of(holds, BUDGETS, "p-1", NOW)
    assert [held.alert_id for held in queue.holds] == ["t-2", "t-3", "t-4", "t-1"]


def test_a_review_is_overdue_from_its_due_time_on() -> None:
    queue = ReviewQueue.of([hold("t-1", 2, NOW), hold("t-2", 1, NOW + 1)], BUDGETS, "p-1", NOW)
    assert [queue.overdue(held) for held in queue.holds] == [True, False]


def test_each_scenario_tells_its_work_beside_its_budget() -> None:
    holds = [hold(f"t-{n}", n, NOW if n < 2 else 2 * NOW) for n in range(6)] + [hold("u-1", 1, scenario="other")]
    budgets = [Budget(per_hour=2, review_minutes=10), *BUDGETS[1:]]
    result = ReviewQueue.of(holds, budgets, "p-1", NOW).as_json(limit=2)
    assert result["scenarios"] == {
        "other": {"open": 1, "overdue": 0, "review_minutes": 10.0, "budget_per_hour": 2, "hours_of_work": 0.5},
        "ecommerce": {"open": 6, "overdue": 2, "review_minutes": 21.0, "budget_per_hour": 4, "hours_of_work": 1.5},
    }
    assert (result["open"], result["overdue"], result["review_minutes"]) == (7, 2, 31.0)
    assert [held["alert_id"] for held in result["holds"]] == ["t-5", "t-4"], "the list is cut, the totals are not"


def test_a_budget_hides_no_review_and_a_quiet_day_has_none() -> None:
    tight = [replace(budget, per_hour=1) for budget in BUDGETS]
    holds = [hold(f"t-{n}", n) for n in range(50)]
    assert len(ReviewQueue.of(holds, tight, "p-1", NOW).holds) == 50
    quiet = ReviewQueue.of([], BUDGETS, "p-1", NOW)
    assert (quiet.holds, quiet.scenarios) == ((), {})
    assert list(quiet.text(20)) == ["0 open at 1970-01-01T01:40:00Z; budgets of policy p-1"]


def test_a_hold_stored_without_priority_comes_last_and_is_due_when_it_ends() -> None:
    old = Hold("t-0", "t-0", "a-1", "c-1", NOW, "release")
    queue = ReviewQueue.of([old, hold("t-1", 1)], BUDGETS, "p-1", NOW)
    assert [held.alert_id for held in queue.holds] == ["t-1", "t-0"]
    assert queue.overdue(old)
    assert list(queue.scenarios) == ["ecommerce", "unknown"]


def test_a_line_of_the_list_says_what_to_know_before_opening_it() -> None:
    first, *_ = ReviewQueue.of([hold("t-1", 12_345, NOW - 80 * MINUTE)], BUDGETS, "p-1", NOW).text(20)
    assert first.split("  ") == [
        "", "", "", "12.345", "t-1", "ecommerce", "account a-1", "3.5 min", "due 1970-01-01T00:20:00Z",
        "OVERDUE by 1 h 20 min", "ends 1970-01-01T15:00:00Z, then release",
    ]  # fmt: skip


def shipped_with_longer_reviews() -> Policy:
    files = {path.name: path.read_bytes() for path in PACKS.glob("*.yaml")}
    files["ecommerce.yaml"] = files["ecommerce.yaml"].replace(b"review_minutes: 4", b"review_minutes: 7")
    return Policy.from_files(files)


@pytest.fixture
def reached() -> Iterator[Settings]:
    """A broker with a policy in force and rows of two partitions: open, ended, without an alert, an obligation."""
    settings = Settings(partitions=2)
    policy = shipped_with_longer_reviews()
    files = dict(policy.files)
    record = PolicyRecord(policy.version, files, "chen", 0, 0, approved_by="okafor", approved_at=1)
    with EmbeddedBroker(partition_counts(settings)) as broker:
        settings = settings.model_copy(update={"broker": broker.bootstrap})
        producer = Producer(producer_config(settings))
        key, value = record_of(record)
        producer.produce("risk.policies.v1", value, key, partition=0)
        for partition in (0, 1):
            for row_key, row in rows_of(f"a-{partition}", partition):
                producer.produce("riskstream-holds-rows", row, row_key, partition=partition)
        assert producer.flush(20) == 0
        yield settings


def rows_of(account: str, partition: int) -> list[tuple[bytes, bytes | None]]:
    """A log of rows: t-2 and t-3 stay open, t-0 is judged, t-9 was judged without an alert; an obligation beside them."""
    holds, rows = HoldBook(), []
    holds.open(hold("t-2", 20 + partition, account=account))
    rows += holds.take_changes()
    holds.open(hold("t-0", 0, account=account))
    rows += holds.take_changes()
    holds.judge(Verdict("t-0", account, "release", "reviewer", 5))
    holds.judge(Verdict("t-9", account, "release", "reviewer", 5))
    holds.open(hold("t-3", 15, account=account))
    rows += holds.take_changes()
    return [*rows, (OWED + b"t-2", rows[0][1])]


def test_the_queue_is_read_from_the_rows_and_the_policy_in_force(reached: Settings) -> None:
    queue = read_queue(reached, lambda: NOW)
    found = [(held.account_id, held.alert_id) for held in queue.holds]
    assert found == [("a-1", "t-2"), ("a-0", "t-2"), ("a-0", "t-3"), ("a-1", "t-3")]
    assert queue.scenarios["ecommerce"].review_minutes == 4 * 7
    assert queue.policy_version == shipped_with_longer_reviews().version


def test_the_command_prints_one_json_object(reached: Settings) -> None:
    ran = CliRunner().invoke(riskstream, ["alerts", "queue", "--broker", reached.broker, "--json", "--limit", "1"])
    assert ran.exit_code == 0, ran.output
    document = orjson.loads(ran.stdout.splitlines()[-1])
    assert document["open"] == 4
    assert len(document["holds"]) == 1
    assert document["overdue"] == 4, "all of them were due in 1970"
