"""A customer who withdrew, and another bank's answer to a recall: what they change, and what they do not."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from stream.arrays.packed import Packed
from stream.contracts.feedback import read_feedback
from stream.contracts.refusal import Refused
from stream.core.decision.genesis import first_snapshot
from stream.core.learning.learning_records import LearningRecords
from stream.core.learning.stream_learner import StreamLearner
from tests.unit.core.accounts_line import DAY_US, Line


def test_a_withdrawn_payment_never_matures_by_time_or_by_a_genuine_word() -> None:
    line = Line()
    line.pay("a-1")
    line.tell("a-1", "inconclusive", kind="cancelled")
    line.tell("a-1", "genuine")
    assert line.pay("a-1", after_days=30.0)["pair_payments"] == 0.0
    assert line.hop.table.rows[0]["matured"] == 0


def test_a_payment_that_was_not_withdrawn_matures() -> None:
    line = Line()
    line.pay("a-1")
    assert line.pay("a-1", after_days=30.0)["pair_payments"] == 1.0


def test_the_others_of_the_same_pair_mature_and_the_pair_is_no_worse_for_it() -> None:
    line = Line()
    line.pay("a-1")
    line.pay("a-1")
    line.tell("a-1", "inconclusive", kind="cancelled")
    features = line.pay("a-1", after_days=30.0)
    assert (features["pair_payments"], features["account_frauds"]) == (1.0, 0.0)


@pytest.mark.parametrize("verdict", ["genuine", "fraud", "inconclusive", "failed"])
def test_the_answer_to_a_recall_changes_nothing_but_what_is_remembered(verdict: str) -> None:
    line = Line()
    line.pay("a-1")
    before = line.hop.table.rows[0].tobytes()
    line.tell("a-1", verdict, kind="recall_answer")
    assert line.hop.table.rows[0].tobytes() == before


@pytest.mark.parametrize("verdict", ["genuine", "fraud", "passed", "failed"])
def test_who_withdraws_says_nothing_about_fraud(verdict: str) -> None:
    record = {"feedback_id": "f", "transaction_id": "t", "account_id": "a", "kind": "cancelled", "verdict": verdict,
              "actor": "app", "occurred_at": "2026-01-01T00:00:00Z"}  # fmt: skip
    with pytest.raises(Refused, match="inconclusive") as refused:
        read_feedback(orjson.dumps(record))
    assert refused.value.reason == "out_of_range"
    assert read_feedback(orjson.dumps(record | {"verdict": "inconclusive"})).kind == "cancelled"


def _label(payment: int, kind: str, verdict: str) -> bytes:
    return orjson.dumps({"transaction_id": "t", "payment": payment, "feedback_id": "f", "kind": kind, "verdict": verdict,
                         "occurred_at_us": 5})  # fmt: skip


@pytest.mark.parametrize("label_first", [False, True])
@pytest.mark.parametrize(
    ("labels", "learned"),
    [
        ([], (0, 2)),
        ([("cancelled", "inconclusive")], (0, 1)),
        ([("cancelled", "inconclusive"), ("cancelled", "taken_back")], (0, 2)),
        ([("cancelled", "inconclusive"), ("chargeback", "fraud")], (1, 1)),
        ([("recall_answer", "genuine")], (0, 2)),
        ([("reversal", "inconclusive")], (0, 1)),
        ([("reversal", "inconclusive"), ("reversal", "inconclusive")], (0, 1)),
        ([("reversal", "inconclusive"), ("chargeback", "fraud")], (1, 1)),
        ([("chargeback", "fraud"), ("reversal", "inconclusive")], (1, 1)),
        ([("complaint", "genuine"), ("reversal", "inconclusive")], (0, 2)),
        ([("cancelled", "inconclusive"), ("reversal", "inconclusive")], (0, 1)),
    ],
)
def test_models_learn_nothing_of_what_was_never_made_or_came_back_unless_somebody_says_what_it_was(
    labels: list[tuple[str, str]], learned: tuple[int, int], label_first: bool
) -> None:
    stream = StreamLearner.begin(first_snapshot(1), 7 * DAY_US)
    width = first_snapshot(1).model["linear"].shape[1]
    told = [_label(7, kind, verdict) for kind, verdict in labels]
    stream.absorb(
        LearningRecords(
            Packed.of([]), np.array([7, 8], np.uint64), np.array([DAY_US, DAY_US]), np.zeros(2, np.uint8),
            np.zeros(2, np.bool_), np.zeros(2, np.int64), np.zeros((2, width), np.float32), told,
            [0 if label_first else 2] * len(told),
        )
    )  # fmt: skip
    stream.learner.advance(30 * DAY_US)
    counts = stream.close_round(False).counts
    assert (counts["frauds"], counts["genuine"]) == learned
