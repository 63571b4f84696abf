"""Decisions and alerts as JSON bytes: the same verdict always gives the same bytes.

What decisions have in common is rendered once a batch; what is a decision's own is written by compiled code
(``decision_writer.py``). Whatever is not approved also carries evidence and reasons.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    REST,
    Fragments,
    group_rows,
    write_decisions,
)
from stream.core.evidence import Evidence, evidence
from stream.core.features import INDEX
from stream.core.packed import Packed
from stream.core.wording import Wording, wording_keys

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
    fragments = Fragments()
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
    keys = wording_keys(decided)
    group, members = group_rows(keys)
    wordings = [decider.wordings.get(keys[row].tobytes()) or _wording(decided, decider, row, keys[row].tobytes())
                for row in members.tolist()]  # fmt: skip
    of_group = [(fragments.place(wording.words), fragments.place(wording.approved)) for wording in wordings]
    pieces = np.array(of_group, np.int64)[group]
    for row, contributions in zip(decided.explained.tolist(), decided.contributions, strict=True):
        wording = wordings[group[row]]
        by_rules = decider.compiled.contributions(decided.verdicts["fired"][row], decider.prior_milli)
        shown = evidence(decided.received.features[row], contributions, by_rules)
        told = (orjson.dumps(shown), orjson.dumps(reasons(decided, decider, row, shown)))
        pieces[row, REST] = fragments.place(wording.explained(*told))
    return pieces


def _wording(decided: Decided, decider: Decider, row: int, key: bytes) -> Wording:
    """What all decisions of one key share; kept, for the same few come again in each batch."""
    verdict, compiled = decided.verdicts[row], decider.compiled
    hard_rule, fired = int(verdict["hard_rule"]), compiled.fired_rules(verdict["fired"])
    rules = [{"id": rule.id, "weight_milli": rule.applied_milli(decider.prior_milli)} for rule in fired]
    late, sampled = bool(decided.received.transactions["late"][row]), bool(decided.sampled[row])
    wording = Wording(
        b'Z","scenario":"%b","outcome":"%b","step_up":"%b","scope":"transaction","risk_ppm":' % (
            SCENARIOS[verdict["scenario"]].encode(), OUTCOMES[verdict["outcome"]].encode(),
            STEP_UPS[verdict["step_up"]].encode(),
        ),
        b',"hard_rule":%b,"rules":%b,"evidence":' % (
            orjson.dumps(compiled.rules[hard_rule].id if hard_rule >= 0 else None), orjson.dumps(rules)
        ),
        b',"degraded":%b,"flags":%b,"policy_version":"%b","model_version":"%b"}' % (
            orjson.dumps(compiled.degraded_list(int(verdict["degraded"]))), _FLAGS[late + 2 * sampled],
            decider.policy_version.encode(), decider.model_version.encode(),
        ),
    )  # fmt: skip
    decider.keep_wording(key, wording)
    return wording


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
