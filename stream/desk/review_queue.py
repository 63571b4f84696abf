"""The queue of reviews: what is held now, the most worth a minute first, and how much work that is.

It is read from the rows of the holds agent and from the policy in force. A budget orders nothing here and hides nothing:
it stands beside the open reviews, so that who plans people sees how many hours of them are waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rules.pack import Budget
from stream.arrays import rfc3339
from stream.core.columns import SCENARIOS, hash_id
from stream.core.features import SCHEMA
from stream.core.hold.hold_rows import NO_SCENARIO, OWED
from stream.core.hold.holds import Hold, HoldBook
from stream.log.reader import KafkaReader
from stream.log.records import Place, Reader
from stream.log.whole_topics import partitions_of
from stream.settings import Settings
from stream.versions.policies import PolicyLog

ROWS, POLICIES = "riskstream-holds-rows", "risk.policies.v1"
MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class ScenarioLoad:
    """Open reviews of one scenario against what people can do.

    Parameters
    ----------
    waiting, overdue
        Open reviews, and those of them that should have been answered.
    review_minutes
        What they take, by the pack.
    per_hour
        Alerts an hour that people can look at, by the pack.
    """

    waiting: int
    overdue: int
    review_minutes: float
    per_hour: int

    @property
    def hours(self) -> float:
        """Hours until all are looked at, at the pack's pace and with nothing new."""
        return self.waiting / self.per_hour

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "open": self.waiting,
            "overdue": self.overdue,
            "review_minutes": round(self.review_minutes, 1),
            "budget_per_hour": self.per_hour,
            "hours_of_work": round(self.hours, 2),
        }


@dataclass(frozen=True)
class ReviewQueue:
    """Open reviews at one moment.

    Parameters
    ----------
    holds
        In the order in which to look at them.
    budgets
        By scenario code.
    policy_version
        Whose budgets they are.
    now
        The moment, µs since the epoch.

    Examples
    --------
    >>> small = Hold("t-1", "t-1", "a-1", "c-1", 9_000_000, "release", "", "ecommerce", 500, 2_000_000)
    >>> large = Hold("t-2", "t-2", "a-2", "c-2", 9_000_000, "decline", "", "ecommerce", 7_000, 5_000_000)
    >>> queue = ReviewQueue.of([small, large], [Budget(per_hour=4, review_minutes=3)] * 8, "p-1", now=3_000_000)
    >>> [(hold.alert_id, queue.overdue(hold)) for hold in queue.holds]
    [('t-2', False), ('t-1', True)]
    >>> queue.scenarios["ecommerce"]
    ScenarioLoad(waiting=2, overdue=1, review_minutes=6, per_hour=4)
    """

    holds: tuple[Hold, ...]
    budgets: Sequence[Budget]
    policy_version: str
    now: int

    @classmethod
    def of(cls, holds: Iterable[Hold], budgets: Sequence[Budget], policy_version: str, now: int) -> ReviewQueue:
        """Put open holds in order: priority, then what is due first; ids break ties."""
        return cls(tuple(sorted(holds, key=_order)), budgets, policy_version, now)

    @property
    def scenarios(self) -> dict[str, ScenarioLoad]:
        """Scenarios that have something open, in the order of their codes."""
        loads = {}
        for name in (*SCENARIOS, NO_SCENARIO):
            waiting = [hold for hold in self.holds if (hold.scenario or NO_SCENARIO) == name]
            if waiting:
                budget = self._budget(name)
                overdue = sum(self.overdue(hold) for hold in waiting)
                loads[name] = ScenarioLoad(len(waiting), overdue, len(waiting) * budget.review_minutes, budget.per_hour)
        return loads

    def overdue(self, hold: Hold) -> bool:
        """Whether it should have been answered by now."""
        return _due(hold) <= self.now

    def minutes(self, hold: Hold) -> float:
        """Minutes of review that its scenario's pack allows for."""
        return self._budget(hold.scenario).review_minutes

    def as_json(self, limit: int) -> dict[str, Any]:
        """The first ``limit`` holds, and what all of them come to."""
        loads = self.scenarios
        return {
            "at": rfc3339.render(self.now),
            "policy_version": self.policy_version,
            "open": len(self.holds),
            "overdue": sum(load.overdue for load in loads.values()),
            "review_minutes": round(sum(load.review_minutes for load in loads.values()), 1),
            "scenarios": {name: load.as_json() for name, load in loads.items()},
            "holds": [self._hold_json(hold) for hold in self.holds[:limit]],
        }

    def text(self, limit: int) -> Iterator[str]:
        """The same as lines for a terminal."""
        for hold in self.holds[:limit]:
            late = f"OVERDUE by {_duration(self.now - _due(hold))}" if self.overdue(hold) else ""
            due = f"due {rfc3339.render(_due(hold))}"
            yield (
                f"{hold.priority_milli / 1000:>12.3f}  {hold.alert_id}  {hold.scenario or NO_SCENARIO}  account {hold.account_id}  "
                f"{self.minutes(hold):g} min  {due}{'  ' + late if late else ''}  "
                f"ends {rfc3339.render(hold.expires_at)}, then {hold.on_expiry}"
            )
        if len(self.holds) > limit:
            yield f"... and {len(self.holds) - limit} more (--limit)"
        yield f"{len(self.holds)} open at {rfc3339.render(self.now)}; budgets of policy {self.policy_version}"
        for name, load in self.scenarios.items():
            yield (
                f"  {name}: {load.waiting} open, {load.overdue} overdue, {load.review_minutes:g} minutes of review; "
                f"{load.hours:.1f} h of work at {load.per_hour} an hour"
            )

    def _budget(self, scenario: str) -> Budget:
        # a hold stored without its scenario counts as ``other``, whose code is 0
        return self.budgets[SCENARIOS.index(scenario) if scenario in SCENARIOS else 0]

    def _hold_json(self, hold: Hold) -> Mapping[str, Any]:
        return {
            "alert_id": hold.alert_id,
            "transaction_id": hold.transaction_id,
            "account_id": hold.account_id,
            "customer_id": hold.customer_id,
            "scenario": hold.scenario or NO_SCENARIO,
            "priority_milli": hold.priority_milli,
            "review_minutes": self.minutes(hold),
            "due_at": rfc3339.render(_due(hold)),
            "overdue": self.overdue(hold),
            "hold_expires_at": rfc3339.render(hold.expires_at),
            "on_expiry": hold.on_expiry,
        }


def read_queue(settings: Settings, clock_us: Callable[[], int]) -> ReviewQueue:
    """The queue as of now: committed rows, and the budgets of the policy in force.

    Parameters
    ----------
    clock_us
        The time, µs since the epoch; that of the queue is asked when everything has been read.

    Raises
    ------
    RiskstreamError
        The topics are not there, a row is of an unknown version, or the broker does not answer.
    """
    rows, policies = settings.topic(ROWS), settings.topic(POLICIES)
    partitions = partitions_of(settings, [rows, policies])[rows]
    reader = KafkaReader(settings)
    try:
        log = PolicyLog()  # the policy that founded the installation is on the topic too
        for chunk in reader.read(Place(policies, 0), 0):
            for record in chunk:
                log.take(record.key, record.value, record.offset)
        policy = log.in_force(clock_us())
        budgets = policy.compile(SCHEMA, hash_id).budgets
        # last, as compiling takes a moment: the queue is as of the time it states
        holds = [hold for number in range(partitions) for hold in open_holds(reader, Place(rows, number))]
    finally:
        reader.close()
    return ReviewQueue.of(holds, budgets, policy.version, clock_us())


def open_holds(reader: Reader, rows: Place) -> list[Hold]:
    """Reviews of one partition that have not ended, from its rows; challenges wait for no reviewer, obligations hold nothing."""
    holds = HoldBook()
    for chunk in reader.read(rows, 0):
        for record in chunk:
            key = record.key or b""
            if key[:1] != OWED:
                holds.restore(key, record.value)
    return [hold for hold in holds if hold.held == "review"]


def _due(hold: Hold) -> int:
    return hold.due_at or hold.expires_at


def _order(hold: Hold) -> tuple[int, int, str, str]:
    return -hold.priority_milli, _due(hold), hold.account_id, hold.transaction_id


def _duration(us: int) -> str:
    hours, minutes = divmod(us // MINUTE_US, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"
