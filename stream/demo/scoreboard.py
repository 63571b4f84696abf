"""What a demonstration counts: records from the topics, set against the simulator's truth.

Words as CONTRACT.md defines them. Nothing here asks the worker how it is doing: a decision is counted when a reader
of the decisions topic has it, and whether it was right is known from the truth that the worker never sees.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stream.demo.latency import LatencyRecord
from stream.demo.story import Stories
from stream.simulate.payment_record import SimulatedTruth
from stream.simulate.simulated_rows import SCAMS

OUTCOMES = ("approve", "remind", "challenge", "review", "decline")
"""The ladder, lowest rung first."""
TOUCHED = frozenset(("challenge", "review", "decline"))
KEPT_ALERTS = 50


def catches(outcome: str, step_up: str, attack: str) -> bool:
    """Whether a decision about a fraud stops it.

    A scam's victim pays willingly and passes any challenge, so there only a review or a decline counts.

    >>> catches("challenge", "strong", "account_takeover"), catches("challenge", "strong", "task_scam")
    (True, False)
    """
    return outcome in ("review", "decline") or (outcome == "challenge" and step_up == "strong" and attack not in SCAMS)


@dataclass(frozen=True, slots=True)
class SeenAlert:
    """An alert as it was read, and what the truth says about its transaction (None where it is not known)."""

    alert: Mapping[str, Any]
    truth: SimulatedTruth | None


@dataclass
class Scoreboard:
    """See the module. Times are seconds on one clock of the caller's.

    One thread calls :meth:`sent` and :meth:`delivered`, another one all else; both touch single dictionary entries
    and integers of their own only.
    """

    events: int = 0
    """Transactions that the broker has acknowledged."""
    decided: int = 0
    duplicate: int = 0
    dead: int = 0
    repeated: int = 0
    """Decisions about a transaction that had one: only without Kafka transactions, after a crash."""
    alerts: int = 0
    feedback: int = 0
    feedback_dead: int = 0
    caught: int = 0
    missed: int = 0
    genuine: int = 0
    genuine_touched: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    latency: LatencyRecord = field(default_factory=LatencyRecord)
    newest: deque[SeenAlert] = field(default_factory=lambda: deque(maxlen=KEPT_ALERTS))
    """Alerts, the newest first."""
    stories: Stories = field(default_factory=Stories)
    """Alerts followed to the model that has learned from them."""
    learned: dict[int, int] = field(default_factory=dict)
    """End offsets of the learner's last round, by partition of the learning topic."""
    models: int = 0
    """Models published so far."""
    first_at: float | None = None
    last_at: float | None = None
    _waiting: dict[str, tuple[SimulatedTruth, float]] = field(default_factory=dict)
    _alerted: deque[tuple[str, SimulatedTruth]] = field(default_factory=lambda: deque(maxlen=4 * KEPT_ALERTS))

    def begin(self) -> None:
        """Count anew from here on: what was until now was the bank's past. Nothing may be in flight."""
        fresh = Scoreboard()
        for name, value in vars(fresh).items():
            if name not in ("learned", "models", "_waiting", "_alerted"):
                setattr(self, name, value)

    def sent(self, truth: SimulatedTruth, at: float) -> None:
        """A transaction is about to be produced."""
        self._waiting[truth.transaction_id] = (truth, at)

    def delivered(self) -> None:
        """The broker has acknowledged a transaction."""
        self.events += 1

    def take_decision(self, decision: Mapping[str, Any], at: float) -> None:
        """A decision was read from its topic."""
        entry = self._waiting.pop(decision["transaction_id"], None)
        if entry is None:
            self.repeated += 1
            return
        truth, sent_at = entry
        outcome = decision["outcome"]
        if self.first_at is None:
            self.first_at = at
        elif sent_at >= self.first_at:  # what was sent before waited for the worker to start, not for the line
            self.latency.add((at - sent_at) * 1000)
        self.last_at = at
        self.decided += 1
        self.outcomes[outcome] += 1
        if truth.fraud:
            stopped = catches(outcome, decision["step_up"], truth.attack)
            self.caught += stopped
            self.missed += not stopped
        else:
            self.genuine += 1
            self.genuine_touched += outcome in TOUCHED
        if outcome in TOUCHED:
            self._alerted.append((truth.transaction_id, truth))

    def take_alert(self, alert: Mapping[str, Any]) -> None:
        """An alert was read from its topic."""
        self.alerts += 1
        name = alert["alert_id"]
        waiting = self._waiting.get(name)
        truth = waiting[0] if waiting else next((t for known, t in reversed(self._alerted) if known == name), None)
        self.newest.appendleft(SeenAlert(alert, truth))
        if truth is not None and truth.fraud:
            self.stories.take_alert(alert, truth.attack)

    def take_model(self, version: str, ends: Mapping[int, int]) -> None:
        """A model was read from its topic, with the end offsets of its round."""
        self.models += 1
        self.learned = dict(ends)
        self.stories.take_model(version, ends)

    def take_dead(self, transaction_id: str | None) -> None:
        """A dead letter of the transactions was read; its id where it had one."""
        self.dead += 1
        self._waiting.pop(transaction_id or "", None)

    @property
    def in_flight(self) -> int:
        """Acknowledged transactions whose end has not been read yet."""
        return self.events - self.decided - self.duplicate - self.dead

    @property
    def touched_per_10k(self) -> float:
        """Genuine transactions challenged, reviewed or declined, of 10,000 genuine ones decided."""
        return 10_000 * self.genuine_touched / self.genuine if self.genuine else 0.0

    @property
    def events_per_s(self) -> float:
        """Decisions a second between the first and the last one."""
        if self.first_at is None or self.last_at is None or self.last_at <= self.first_at:
            return 0.0
        return (self.decided - 1) / (self.last_at - self.first_at)

    def summary(self) -> dict[str, Any]:
        """CONTRACT.md's JSON of the demonstration."""
        return {
            "events": self.events,
            "decided": self.decided,
            "duplicate": self.duplicate,
            "dead": self.dead,
            "in_flight": self.in_flight,
            "alerts": self.alerts,
            "outcomes": {outcome: self.outcomes[outcome] for outcome in OUTCOMES},
            "caught": self.caught,
            "missed": self.missed,
            "genuine_touched_per_10k": round(self.touched_per_10k, 2),
            "events_per_s": round(self.events_per_s, 1),
            "latency_ms": {"p50": self.latency.percentile(50), "p99": self.latency.percentile(99)},
        }
