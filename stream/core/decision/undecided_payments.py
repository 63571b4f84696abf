"""Payments about which deciding itself failed: they take the direction that the policy declares, and say so.

Neither model nor rules, lists or reasons take part here, for any of them may be what raised. So the bytes depend on the
transaction and on the versions alone, and the oracle computes them again without repeating the error.
"""

from __future__ import annotations

import numpy as np
import orjson

from rules.ladder import APPROVE, OUTCOMES, REVIEW, RUNG_OUTCOME, RUNG_STEP_UP, RUNGS, STEP_UPS
from rules.pack import DEPENDENCIES, direction
from rules.precedence import FAILED_DECIDER
from rules.undecided import undecided_reasons
from stream.arrays.packed import Packed
from stream.core.columns import SCENARIOS
from stream.core.decision.decide import CHALLENGE, Decided, Decider, approve_reversals
from stream.core.decision.decision_writer import Fragments, write_decisions
from stream.core.decision.render import Rendered, alert_of, challenges_of, instants
from stream.core.features import MODEL_COLUMNS
from stream.core.frame.frame import reversals_of
from stream.core.payee.payee_hop import Received

MARK = b'{"dependency":"decider","direction":'
"""What stands in the bytes of each such decision, and in no other: ids have no quotation marks."""
MOST_PPM, UNKNOWN_PPM = 1_000_000, 500_000


def undecided(received: Received, decider: Decider) -> Decided:
    """Verdicts of payments that ``decider`` could not decide about.

    The scenario is ``other``: none was matched. The risk is the least that stands on the declared rung, never 0; a
    reversal, which is no payment, is approved all the same.
    """
    count, compiled = len(received.transactions), decider.compiled
    failed = FAILED_DECIDER | decider.failed
    rung = _rung(decider)
    verdicts = np.zeros(count, compiled.dtype)
    verdicts["rung"] = rung
    verdicts["outcome"] = RUNG_OUTCOME[rung]
    verdicts["step_up"] = RUNG_STEP_UP[rung]
    verdicts["risk_ppm"] = min((0, *compiled.thresholds(0))[rung] or UNKNOWN_PPM, MOST_PPM)
    verdicts["hard_rule"] = -1
    approve_reversals(verdicts, reversals_of(received.transactions))
    verdicts["degraded"] = failed
    return Decided(
        received, verdicts, np.full((count, len(MODEL_COLUMNS)), np.nan), np.full(count, UNKNOWN_PPM, np.int32),
        np.zeros((0, len(MODEL_COLUMNS)), np.int32), np.zeros(0, np.int64), np.zeros(count, np.bool_),
    )  # fmt: skip


def render_undecided(decided: Decided, decider: Decider) -> Rendered:
    """Their decisions and alerts, as published."""
    transactions, verdicts = decided.received.transactions, decided.verdicts
    hold = decider.compiled.hold(0)
    rungs = np.where(reversals_of(transactions), APPROVE, _rung(decider)).tolist()
    times = transactions["event_time"].tolist()
    fragments = Fragments()
    pieces = np.array([(fragments.place(_words(rung)), fragments.place(_rest(decider, rung, at, late)))
                       for rung, at, late in zip(rungs, times, transactions["late"].tolist(), strict=True)], np.int64)  # fmt: skip
    numbers = np.column_stack((verdicts["risk_ppm"], decided.anomaly_ppm, verdicts["familiarity_ppm"]))
    decisions = write_decisions(transactions, numbers.astype(np.int64), pieces, fragments.packed())
    alerts = []
    if REVIEW in rungs:
        due = instants(np.array([hold.due_at(at) for at in times]))
        expires = instants(np.array([hold.hold_expires_at(at) for at in times]))
        alerts = [
            (row, alert_of(decided.received, row, decisions[row], 0, (due[row], expires[row]), hold.on_expiry))
            for row in range(len(times))
            if rungs[row] == REVIEW
        ]
    challenged = np.flatnonzero(verdicts["outcome"] == CHALLENGE)
    challenges = challenges_of(decided, decider, challenged) if len(challenged) else []
    return Rendered(decisions, alerts, [], challenges, Packed.of_ids(transactions["customer_id"]))


def _words(rung: int) -> bytes:
    """What stands between a decision's event time and its numbers."""
    return b'Z","scenario":"%b","outcome":"%b","step_up":"%b","scope":"transaction","risk_ppm":' % (
        SCENARIOS[0].encode(), OUTCOMES[RUNG_OUTCOME[rung]].encode(), STEP_UPS[RUNG_STEP_UP[rung]].encode(),
    )  # fmt: skip


def _rung(decider: Decider) -> int:
    """The strictest of the directions of what failed."""
    failed = FAILED_DECIDER | decider.failed
    return max(
        RUNGS.index(direction(decider.compiled.failure, name))
        for place, name in enumerate(DEPENDENCIES)
        if failed >> place & 1
    )


def _rest(decider: Decider, rung: int, event_time: int, late: int) -> bytes:
    """What stands behind a decision's numbers."""
    hold = decider.compiled.hold(0)
    told = undecided_reasons(rung, hold.hold_expires_at(event_time) if rung == REVIEW else None, hold.on_expiry)
    return b',"hard_rule":null,"rules":[],"evidence":[],"reasons":%b,"degraded":%b,"flags":%b,' \
        b'"policy_version":"%b","model_version":"%b"}' % (
            orjson.dumps(told if rung != APPROVE else None),
            orjson.dumps(decider.compiled.degraded_list(FAILED_DECIDER | decider.failed)),
            b'["late"]' if late else b"[]", decider.policy_version.encode(), decider.model_version.encode(),
        )  # fmt: skip
