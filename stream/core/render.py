"""Decisions and alerts as JSON bytes: the same verdict always gives the same bytes.

An approval, by far the most frequent outcome, is one template filled with integers and ids that need no escaping;
everything else also carries evidence and reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from rules.compiled_policy import CompiledPolicy
from rules.ladder import OUTCOMES, STEP_UPS
from rules.lists import LIST_MARKS
from rules.priority import below_line, priority_milli
from rules.reasons import ReasonContext, render_reasons
from rules.tolerance import repeated
from stream.contracts.currency import MINOR_UNIT_DIGITS
from stream.core.columns import SCENARIOS, SLIPS, unpack_code
from stream.core.decide import APPROVE, REVIEW, Decided, Decider
from stream.core.evidence import Evidence, evidence
from stream.core.features import INDEX

_SCENARIO_BYTES = tuple(word.encode() for word in SCENARIOS)
_OUTCOME_BYTES = tuple(word.encode() for word in OUTCOMES)
_STEP_UP_BYTES = tuple(word.encode() for word in STEP_UPS)
_DECISION = (
    b'{"transaction_id":"%b","customer_id":"%b","account_id":"%b","payee_id":%b,"event_time":"%bZ",'
    b'"scenario":"%b","outcome":"%b","step_up":"%b","scope":"transaction","risk_ppm":%d,"anomaly_ppm":%d,'
    b'"familiarity_ppm":%d,"hard_rule":%b,"rules":%b,"evidence":%b,"reasons":%b,"degraded":%b,"flags":%b,%b}'
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The JSON of one batch.

    Parameters
    ----------
    decisions
        One per transaction, in order.
    alerts
        Row and alert JSON of what a person must see.
    keys
        customer_id of each transaction, the key of its decision.
    """

    decisions: list[bytes]
    alerts: list[tuple[int, bytes]]
    keys: list[bytes]


def instants(times_us: npt.NDArray[np.int64]) -> list[bytes]:
    """µs since the epoch as RFC 3339 without the ``Z``, to the µs.

    >>> instants(np.array([1_767_225_600_000_000]))
    [b'2026-01-01T00:00:00.000000']
    """
    texts: list[bytes] = np.datetime_as_string(times_us.astype("M8[us]"), unit="us").astype("S").tolist()
    return texts


def render(decided: Decided, decider: Decider) -> Rendered:
    """Decisions and alerts of a batch, as published."""
    transactions, verdicts = decided.received.transactions, decided.verdicts
    versions = b'"policy_version":"%b","model_version":"%b"' % (
        decider.policy_version.encode(),
        decider.model_version.encode(),
    )
    explained = {int(row): place for place, row in enumerate(decided.explained.tolist())}
    rules = _Rules(decider.compiled, decider.prior_milli)
    keys: list[bytes] = transactions["customer_id"].tolist()
    outcomes: list[int] = verdicts["outcome"].tolist()
    fired: list[bytes] = [mask.tobytes() for mask in verdicts["fired"]]
    degraded: list[int] = verdicts["degraded"].tolist()
    late: list[int] = transactions["late"].tolist()
    hard: list[int] = verdicts["hard_rule"].tolist()
    below: list[int] = _below_the_line(decided, decider).tolist()
    decisions, alerts = [], []
    for row, values in enumerate(_plain_columns(decided)):
        transaction_id, account_id, payee_id, event_time, scenario, step_up, risk, anomaly, familiarity = values
        evidence_json, reasons_json = b"[]", b"null"
        if outcomes[row] != APPROVE:
            by_rules = decider.compiled.contributions(verdicts["fired"][row], decider.prior_milli)
            shown = evidence(decided.received.features[row], decided.contributions[explained[row]], by_rules)
            evidence_json = orjson.dumps(shown)
            reasons_json = orjson.dumps(reasons(decided, decider, row, shown))
        decision = _DECISION % (
            transaction_id, keys[row], account_id, b'"%b"' % payee_id if payee_id else b"null", event_time,
            _SCENARIO_BYTES[scenario], _OUTCOME_BYTES[outcomes[row]], _STEP_UP_BYTES[step_up], risk, anomaly,
            familiarity, rules.hard(hard[row]), rules.fired(fired[row]), evidence_json, reasons_json,
            orjson.dumps(decider.compiled.degraded_list(degraded[row])) if degraded[row] else b"[]",
            _FLAGS[late[row] + 2 * below[row]], versions,
        )  # fmt: skip
        decisions.append(decision)
        if outcomes[row] == REVIEW:
            alerts.append((row, _alert(decided, decider, row, decision)))
    return Rendered(decisions, alerts, keys)


_FLAGS = (b"[]", b'["late"]', b'["below_line"]', b'["late","below_line"]')


def _below_the_line(decided: Decided, decider: Decider) -> npt.NDArray[np.int64]:
    """1 for approvals sampled, by their id alone, to show what the line misses."""
    per_10k = np.array([terms.budget.below_line_per_10k for terms in decider.compiled.scenarios])
    verdicts = decided.verdicts
    sampled = below_line(decided.received.transactions["transaction_hash"], per_10k[verdicts["scenario"]])
    flags: npt.NDArray[np.int64] = (sampled & (verdicts["outcome"] == APPROVE)).astype(np.int64)
    return flags


def _plain_columns(decided: Decided) -> Any:
    transactions, verdicts = decided.received.transactions, decided.verdicts
    return zip(
        transactions["transaction_id"].tolist(),
        transactions["account_id"].tolist(),
        transactions["payee_id"].tolist(),
        instants(transactions["event_time"]),
        verdicts["scenario"].tolist(),
        verdicts["step_up"].tolist(),
        verdicts["risk_ppm"].tolist(),
        decided.anomaly_ppm.tolist(),
        verdicts["familiarity_ppm"].tolist(),
        strict=True,
    )


class _Rules:
    """JSON of fired rules, kept for the masks that come again."""

    def __init__(self, compiled: CompiledPolicy, prior_milli: int) -> None:
        self._compiled = compiled
        self._prior_milli = prior_milli
        self._known: dict[bytes, bytes] = {bytes(compiled.mask_bytes): b"[]"}

    def fired(self, mask: bytes) -> bytes:
        """``rules`` of a decision."""
        known = self._known.get(mask)
        if known is None:
            fired = self._compiled.fired_rules(np.frombuffer(mask, np.uint8))
            known = orjson.dumps(
                [{"id": rule.id, "weight_milli": rule.applied_milli(self._prior_milli)} for rule in fired]
            )
            self._known[mask] = known
        return known

    def hard(self, rule: int) -> bytes:
        """``hard_rule`` of a decision."""
        return b"null" if rule < 0 else b'"%b"' % self._compiled.rules[rule].id.encode()


def slip_words(mask: int) -> tuple[str, ...]:
    """The words of a slip mask.

    >>> slip_words(0b11)
    ('mistyped_name', 'missing_purpose')
    """
    return tuple(word for bit, word in enumerate(SLIPS) if mask >> bit & 1)


def reasons(decided: Decided, decider: Decider, row: int, shown: list[Evidence]) -> dict[str, dict[str, str]]:
    """What the customer and the reviewer are told, in Chinese and English."""
    transaction, verdict = decided.received.transactions[row], decided.verdicts[row]
    features, compiled = decided.received.features[row], decider.compiled
    scenario, event_time = int(verdict["scenario"]), int(transaction["event_time"])
    hold = compiled.hold(scenario)
    rules = compiled.fired_rules(verdict["fired"])
    currency = unpack_code(int(transaction["currency"]))
    context = ReasonContext(
        scenario=SCENARIOS[scenario],
        rung=int(verdict["rung"]),
        amount_minor=int(transaction["amount_minor"]),
        currency=currency,
        digits=MINOR_UNIT_DIGITS[currency],
        evidence=shown,
        rules=rules,
        hard_rule=compiled.rules[verdict["hard_rule"]] if verdict["hard_rule"] >= 0 else None,
        new_payee=bool(features[INDEX["has_payee"]] and features[INDEX["pair_attempts"]] == 0),
        slips=slip_words(int(transaction["slips"])),
        slips_repeated=repeated(float(features[INDEX["slips_recent"]])),
        list_mark=LIST_MARKS[verdict["list_mark"]],
        essential=bool(verdict["essential"]),
        protected=any(rule.protective for rule in rules),
        obligation=bool(verdict["obligation"]),
        due_at=hold.due_at(event_time, bool(verdict["complex"])),
        expires_at=hold.hold_expires_at(event_time),
        on_expiry=hold.on_expiry,
        obligation_due_at=event_time + compiled.proceed_due_us,
        failed=[entry["dependency"] for entry in compiled.degraded_list(int(verdict["degraded"]))],
        account_currency=currency if features[INDEX["amount_minor"]] == transaction["amount_minor"] else "",
    )
    return render_reasons(context)


def _alert(decided: Decided, decider: Decider, row: int, decision: bytes) -> bytes:
    transactions, verdict = decided.received.transactions, decided.verdicts[row]
    event_time = int(transactions["event_time"][row])
    hold = decider.compiled.hold(int(verdict["scenario"]))
    due, expires = instants(
        np.array([hold.due_at(event_time, bool(verdict["complex"])), hold.hold_expires_at(event_time)])
    )
    return b'{"alert_id":"%b","decision":%b,"priority_milli":%d,"due_at":"%bZ","hold_expires_at":"%bZ","on_expiry":"%b"}' % (
        transactions["transaction_id"][row], decision, _priority_milli(decided, decider, row), due, expires,
        hold.on_expiry.encode(),
    )  # fmt: skip


def _priority_milli(decided: Decided, decider: Decider, row: int) -> int:
    """Expected loss prevented per minute of review; an amount without a rate counts in its own major unit."""
    verdict, features = decided.verdicts[row : row + 1], decided.received.features[row]
    amount = features[INDEX["amount_reference"]]
    if np.isnan(amount):
        currency = unpack_code(int(decided.received.transactions["currency"][row]))
        amount = decided.received.transactions["amount_minor"][row] / 10 ** MINOR_UNIT_DIGITS[currency]
    minutes = decider.compiled.scenarios[int(verdict["scenario"][0])].budget.review_minutes
    return int(priority_milli(verdict["risk_ppm"], np.array([amount]), np.array([float(minutes)]))[0])
