"""Decisions and alerts as JSON bytes: the same verdict always gives the same bytes.

What decisions have in common is rendered once a batch; what is a decision's own is written by compiled code
(``decision_writer.py``). Whatever is not approved also carries evidence and reasons.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import orjson

from rules.ladder import OUTCOMES, STEP_UPS
from rules.lists import LIST_MARKS
from rules.priority import priority_milli
from rules.reasons import ReasonContext, render_reasons
from rules.tolerance import repeated
from stream.arrays.packed import Packed
from stream.contracts.currency import MINOR_UNIT_DIGITS
from stream.core.columns import CHANNELS, PAYEE_KINDS, SCENARIOS, SLIPS, unpack_code
from stream.core.decision.decide import CHALLENGE, REVIEW, Decided, Decider
from stream.core.decision.decision_writer import (
    REST,
    Fragments,
    group_rows,
    write_decisions,
)
from stream.core.decision.evidence import EvidenceEntry, evidence
from stream.core.decision.wording import Wording, kept_wordings, wording_keys
from stream.core.features import INDEX
from stream.core.hold.challenges import challenge_record
from stream.core.payee.payee_hop import Received

_FLAGS = (
    b"[]", b'["late"]', b'["below_line"]', b'["late","below_line"]',
    b'["young"]', b'["late","young"]', b'["below_line","young"]', b'["late","below_line","young"]',
)  # fmt: skip


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
    challenges
        Row and JSON of what waits for its customer's answer.
    keys
        customer_id of each transaction, the key of its decision.
    """

    decisions: Packed
    alerts: list[tuple[int, bytes]]
    obligations: list[tuple[int, bytes]]
    challenges: list[tuple[int, bytes]]
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
    reviews, owed = np.flatnonzero(verdicts["outcome"] == REVIEW), np.flatnonzero(verdicts["obligation"])
    challenged = np.flatnonzero(verdicts["outcome"] == CHALLENGE)
    return Rendered(
        decisions,
        _alerts(decided, decider, reviews, decisions) if len(reviews) else [],
        _obligations(decided, decider, owed, decisions) if len(owed) else [],
        challenges_of(decided, decider, challenged) if len(challenged) else [],
        Packed.of_ids(transactions["customer_id"]),
    )


def _pieces(decided: Decided, decider: Decider, fragments: Fragments) -> npt.NDArray[np.int64]:
    """Places in the fragments of everything in a decision that is neither a number nor the payment's own."""
    keys = wording_keys(decided)
    group, members = group_rows(keys)
    kept = kept_wordings(decider)
    wordings = [kept.get(keys[row].tobytes()) or kept.setdefault(keys[row].tobytes(), _wording(decided, decider, row))
                for row in members.tolist()]  # fmt: skip
    of_group = [(fragments.place(wording.words), fragments.place(wording.approved)) for wording in wordings]
    pieces = np.array(of_group, np.int64)[group]
    rows = decided.explained.tolist()
    by_rules = [decider.compiled.contributions(decided.verdicts["fired"][row], decider.prior_milli) for row in rows]
    shown = evidence(decided.received.features[decided.explained], decided.contributions, by_rules)
    for row, entries in zip(rows, shown, strict=True):
        told = orjson.dumps(reasons(decided, decider, row, entries))
        pieces[row, REST] = fragments.place(wordings[group[row]].explained(orjson.dumps(entries), told))
    return pieces


def _wording(decided: Decided, decider: Decider, row: int) -> Wording:
    """What all decisions of one key share."""
    verdict, compiled = decided.verdicts[row], decider.compiled
    hard_rule, fired = int(verdict["hard_rule"]), compiled.fired_rules(verdict["fired"])
    rules = [{"id": rule.id, "weight_milli": rule.applied_milli(decider.prior_milli)} for rule in fired]
    late, sampled = bool(decided.received.transactions["late"][row]), bool(decided.sampled[row])
    return Wording(
        b'Z","scenario":"%b","outcome":"%b","step_up":"%b","scope":"transaction","risk_ppm":' % (
            SCENARIOS[verdict["scenario"]].encode(), OUTCOMES[verdict["outcome"]].encode(),
            STEP_UPS[verdict["step_up"]].encode(),
        ),
        b',"hard_rule":%b,"rules":%b,"evidence":' % (
            orjson.dumps(compiled.rules[hard_rule].id if hard_rule >= 0 else None), orjson.dumps(rules)
        ),
        b',"degraded":%b,"flags":%b,"policy_version":"%b","model_version":"%b"}' % (
            orjson.dumps(compiled.degraded_list(int(verdict["degraded"]))), _FLAGS[late + 2 * sampled + 4 * int(verdict["young"])],
            decider.policy_version.encode(), decider.model_version.encode(),
        ),
    )  # fmt: skip


@lru_cache(maxsize=256)
def slip_words(mask: int) -> tuple[str, ...]:
    """The words of a slip mask.

    >>> slip_words(0b11)
    ('mistyped_name', 'missing_purpose')
    """
    return tuple(word for bit, word in enumerate(SLIPS) if mask >> bit & 1)


def reasons(decided: Decided, decider: Decider, row: int, shown: list[EvidenceEntry]) -> dict[str, dict[str, str]]:
    """What the customer and the reviewer are told, in Chinese and English."""
    transaction, verdict = decided.received.transactions[row], decided.verdicts[row]
    features, compiled = decided.received.features[row], decider.compiled
    scenario, event_time = int(verdict["scenario"]), int(transaction["event_time"])
    hold, held = compiled.hold(scenario), verdict["outcome"] == REVIEW
    rules, degraded = compiled.fired_rules(verdict["fired"]), int(verdict["degraded"])
    currency, reference = (unpack_code(int(transaction[name])) for name in ("currency", "reference"))
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
        protected=rules.protective,
        obligation=bool(verdict["obligation"]),
        due_at=hold.due_at(event_time, bool(verdict["complex"])) if held else None,
        expires_at=hold.hold_expires_at(event_time) if held else None,
        on_expiry=hold.on_expiry,
        obligation_due_at=event_time + compiled.proceed_due_us,
        failed=[entry["dependency"] for entry in compiled.degraded_list(degraded)] if degraded else (),
        account_currency=currency if features[INDEX["amount_minor"]] == transaction["amount_minor"] else "",
        reference_currency=reference,
        reference_digits=MINOR_UNIT_DIGITS[reference],
    )
    return render_reasons(context)


def _alerts(
    decided: Decided, decider: Decider, rows: npt.NDArray[np.int64], decisions: Packed
) -> list[tuple[int, bytes]]:
    """What a person must see, until when, and what becomes of it then; with its row."""
    verdicts, event_times = decided.verdicts[rows], decided.received.transactions["event_time"][rows].tolist()
    holds = [decider.compiled.hold(scenario) for scenario in verdicts["scenario"].tolist()]
    complex_cases = verdicts["complex"].astype(bool).tolist()
    due = [hold.due_at(at, case) for hold, at, case in zip(holds, event_times, complex_cases, strict=True)]
    expires = [hold.hold_expires_at(at) for hold, at in zip(holds, event_times, strict=True)]
    return [
        (row, alert_of(decided.received, row, decisions[row], priority, (due_at, expires_at), hold.on_expiry))
        for row, priority, due_at, expires_at, hold in zip(
            rows.tolist(), _priorities(decided, decider, rows), instants(np.array(due)), instants(np.array(expires)), holds,
            strict=True,
        )
    ]  # fmt: skip


def alert_of(
    received: Received, row: int, decision: bytes, priority_milli: int, times: tuple[bytes, bytes], on_expiry: str
) -> bytes:
    """The JSON of one alert; ``times``, when it is due and when its hold ends, without their ``Z``."""
    transaction, features = received.transactions[row], received.features[row]
    return (
        b'{"alert_id":"%b","decision":%b,"priority_milli":%d,"due_at":"%bZ","hold_expires_at":"%bZ","on_expiry":"%b",'
        b'"amount_minor":%d,"currency":"%b","channel":%b,"payee_kind":%b,"four_eyes":false}'
        % (
            transaction["transaction_id"], decision, priority_milli, *times, on_expiry.encode(),
            transaction["amount_minor"], unpack_code(int(transaction["currency"])).encode(),
            _word(CHANNELS, features[INDEX["channel"]]), _word(PAYEE_KINDS, features[INDEX["payee_kind"]]),
        )
    )  # fmt: skip


def _word(words: tuple[str, ...], code: float) -> bytes:
    """A word by its code, as JSON; null for none, and where a broken row leaves no code.

    >>> _word(("none", "app"), 1.0), _word(("none", "app"), 0.0), _word(("none", "app"), float("nan"))
    (b'"app"', b'null', b'null')
    """
    return b'"%b"' % words[int(code)].encode() if 1.0 <= code < len(words) else b"null"


def challenges_of(decided: Decided, decider: Decider, rows: npt.NDArray[np.int64]) -> list[tuple[int, bytes]]:
    """What waits for its customer's answer, until when, and what becomes of it then; with its row."""
    transactions = decided.received.transactions
    codes = decided.verdicts["scenario"][rows].tolist()
    terms = [decider.compiled.challenge(code) for code in codes]
    times = transactions["event_time"][rows].tolist()
    expires = instants(np.array([term.challenge_expires_at(at) for term, at in zip(terms, times, strict=True)]))
    ids = (transactions[name][rows].tolist() for name in ("transaction_id", "account_id", "customer_id"))
    amounts, currencies = transactions["amount_minor"][rows].tolist(), transactions["currency"][rows].tolist()
    return [
        (row, challenge_record(names, (SCENARIOS[code].encode(), amount, unpack_code(currency)), until, term.on_expiry))
        for row, names, code, amount, currency, until, term in zip(
            rows.tolist(), zip(*ids, strict=True), codes, amounts, currencies, expires, terms, strict=True
        )
    ]


def _obligations(
    decided: Decided, decider: Decider, rows: npt.NDArray[np.int64], decisions: Packed
) -> list[tuple[int, bytes]]:
    """What is owed until when, and the alert that tells a person once it is overdue; that alert holds nothing."""
    transactions, scenarios = decided.received.transactions, decided.verdicts["scenario"][rows].tolist()
    owed = [at + decider.compiled.proceed_due_us for at in transactions["event_time"][rows].tolist()]
    answers = [decider.compiled.hold(scenario).due_at(at) for scenario, at in zip(scenarios, owed, strict=True)]
    return [
        (row, b'{"due_at":"%bZ","alert":%b}' % (
            due, alert_of(decided.received, row, decisions[row], priority, (answer, answer), "release")
        ))
        for row, priority, due, answer in zip(
            rows.tolist(), _priorities(decided, decider, rows), instants(np.array(owed)), instants(np.array(answers)),
            strict=True,
        )
    ]  # fmt: skip


def _priorities(decided: Decided, decider: Decider, rows: npt.NDArray[np.int64]) -> list[int]:
    """Expected loss prevented per minute of review; an amount without a rate counts in its own major unit."""
    verdicts, transactions = decided.verdicts[rows], decided.received.transactions
    amounts = decided.received.features[rows, INDEX["amount_reference"]]
    for place in np.flatnonzero(np.isnan(amounts)).tolist():
        currency = unpack_code(int(transactions["currency"][rows[place]]))
        amounts[place] = transactions["amount_minor"][rows[place]] / 10 ** MINOR_UNIT_DIGITS[currency]
    scenarios = decider.compiled.scenarios
    minutes = np.array([float(scenarios[code].budget.review_minutes) for code in verdicts["scenario"].tolist()])
    milli: list[int] = priority_milli(verdicts["risk_ppm"], amounts, minutes).tolist()
    return milli
