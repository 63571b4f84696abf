"""Decisions and alerts as JSON bytes: the same verdict always gives the same bytes.

What decisions have in common is rendered once a batch; what is a decision's own is written by compiled code
(``decision_writer.py``). Whatever is not approved also carries evidence and reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from rules.ladder import OUTCOMES, STEP_UPS
from rules.lists import LIST_MARKS
from rules.priority import priority_milli
from rules.reasons import ReasonContext, render_reasons
from rules.tolerance import repeated
from stream.contracts.currency import MINOR_UNIT_DIGITS
from stream.core.columns import SCENARIOS, SLIPS, unpack_code
from stream.core.decide import REVIEW, Decided, Decider
from stream.core.decision_writer import (
    DEGRADED,
    EVIDENCE,
    FLAGS,
    HARD_RULE,
    OUTCOME,
    REASONS,
    RULES,
    SCENARIO,
    STEP_UP,
    VERSIONS,
    Fragments,
    group_rows,
    write_decisions,
)
from stream.core.evidence import Evidence, evidence
from stream.core.features import INDEX
from stream.core.packed import Packed

_WORDS = tuple(word.encode() for words in (SCENARIOS, OUTCOMES, STEP_UPS) for word in words)
_OUTCOMES_FROM, _STEP_UPS_FROM = len(SCENARIOS), len(SCENARIOS) + len(OUTCOMES)
_FLAGS = (b"[]", b'["late"]', b'["below_line"]', b'["late","below_line"]')


@dataclass(frozen=True, slots=True)
class Rendered:
    """The JSON of one batch.

    Parameters
    ----------
    decisions
        One per transaction, in order.
    alerts
        Row and alert JSON of what a person must see.
    obligations
        Row and JSON of what is owed for a payment that proceeded first.
    keys
        customer_id of each transaction, the key of its decision.
    """

    decisions: Packed
    alerts: list[tuple[int, bytes]]
    obligations: list[tuple[int, bytes]]
    keys: Packed


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
    fragments = Fragments(_WORDS)
    decisions = write_decisions(
        transactions,
        np.column_stack((verdicts["risk_ppm"], decided.anomaly_ppm, verdicts["familiarity_ppm"])).astype(np.int64),
        _pieces(decided, decider, fragments),
        fragments.packed(),
    )
    alerts = [
        (row, _alert(decided, decider, row, decisions[row]))
        for row in np.flatnonzero(verdicts["outcome"] == REVIEW).tolist()
    ]
    obligations = [
        (row, _obligation(decided, decider, row, decisions[row]))
        for row in np.flatnonzero(verdicts["obligation"]).tolist()
    ]
    return Rendered(decisions, alerts, obligations, Packed.of_ids(transactions["customer_id"]))


def _pieces(decided: Decided, decider: Decider, fragments: Fragments) -> npt.NDArray[np.int64]:
    """Places in the fragments of everything in a decision that is neither a number nor the payment's own."""
    verdicts, place = decided.verdicts, fragments.place
    pieces = np.empty((len(verdicts), 10), np.int64)
    pieces[:, SCENARIO] = verdicts["scenario"]
    pieces[:, OUTCOME] = verdicts["outcome"].astype(np.int64) + _OUTCOMES_FROM
    pieces[:, STEP_UP] = verdicts["step_up"].astype(np.int64) + _STEP_UPS_FROM
    _by_value(pieces[:, HARD_RULE], verdicts["hard_rule"], lambda rule: place(_hard(decider, int(rule))))
    group, members = group_rows(verdicts["fired"])
    of_group = [place(_fired(decider, verdicts["fired"][row])) for row in members.tolist()]
    pieces[:, RULES] = np.array(of_group, np.int64)[group]
    pieces[:, EVIDENCE], pieces[:, REASONS] = place(b"[]"), place(b"null")
    for row, contributions in zip(decided.explained.tolist(), decided.contributions, strict=True):
        by_rules = decider.compiled.contributions(verdicts["fired"][row], decider.prior_milli)
        shown = evidence(decided.received.features[row], contributions, by_rules)
        pieces[row, EVIDENCE] = place(orjson.dumps(shown))
        pieces[row, REASONS] = place(orjson.dumps(reasons(decided, decider, row, shown)))
    _by_value(pieces[:, DEGRADED], verdicts["degraded"],
              lambda bits: place(orjson.dumps(decider.compiled.degraded_list(int(bits)))))  # fmt: skip
    flags = decided.received.transactions["late"] + 2 * decided.sampled.astype(np.int64)
    _by_value(pieces[:, FLAGS], flags, lambda flag: place(_FLAGS[int(flag)]))
    versions = b'"policy_version":"%b","model_version":"%b"'
    pieces[:, VERSIONS] = place(versions % (decider.policy_version.encode(), decider.model_version.encode()))
    return pieces


def _by_value(out: npt.NDArray[np.int64], values: npt.NDArray[Any], place: Callable[[Any], int]) -> None:
    """Fill ``out`` with the place of each value; one call for each that occurs."""
    first = values[0]
    if (values == first).all():
        out[:] = place(first)
        return
    distinct, inverse = np.unique(values, return_inverse=True)
    out[:] = np.array([place(value) for value in distinct], np.int64)[inverse]


def _fired(decider: Decider, mask: npt.NDArray[np.uint8]) -> bytes:
    """``rules`` of a decision."""
    fired = decider.compiled.fired_rules(mask)
    return orjson.dumps([{"id": rule.id, "weight_milli": rule.applied_milli(decider.prior_milli)} for rule in fired])


def _hard(decider: Decider, rule: int) -> bytes:
    """``hard_rule`` of a decision."""
    return b"null" if rule < 0 else b'"%b"' % decider.compiled.rules[rule].id.encode()


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


def _obligation(decided: Decided, decider: Decider, row: int, decision: bytes) -> bytes:
    """What is owed until when, and the alert that tells a person once it is overdue; that alert holds nothing."""
    transactions = decided.received.transactions
    hold = decider.compiled.hold(int(decided.verdicts["scenario"][row]))
    owed = int(transactions["event_time"][row]) + decider.compiled.proceed_due_us
    due, answer = instants(np.array([owed, hold.due_at(owed)]))
    return (
        b'{"due_at":"%bZ","alert":{"alert_id":"%b","decision":%b,"priority_milli":%d,"due_at":"%bZ","hold_expires_at":"%bZ",'
        b'"on_expiry":"release"}}'
    ) % (
        due, transactions["transaction_id"][row], decision, _priority_milli(decided, decider, row), answer, answer,
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
