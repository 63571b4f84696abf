"""What a replay's learner hears: what ``risk.learning.v1`` would hold, in the same order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.ensemble import Learner
from stream.arrays.fingerprint import chain
from stream.core import columns
from stream.core.decision.decide import REVIEW
from stream.core.edge.payment_key import payments_of
from stream.core.frame.frame import reversals_of
from stream.core.learning.stream_learner import LABEL_KINDS, WITHDRAWN

_WITHDRAWN = columns.FEEDBACK_KINDS.index(WITHDRAWN)


def learn_labels(learner: Learner, feedback: npt.NDArray[np.void]) -> None:
    """Verdicts of people and schemes (``columns.FEEDBACK`` [m]), in order; other feedback is no label."""
    told = (feedback[column].tolist() for column in ("occurred_at", "kind", "verdict"))
    superseding = (feedback["supersedes"] != b"").tolist()
    for name, takes_back, occurred_at, kind, verdict in zip(
        payments_of(feedback).tolist(), superseding, *told, strict=True
    ):
        if takes_back:
            learner.retract(name)
        if kind == _WITHDRAWN:
            learner.withdraw(name, occurred_at)
        source, word = columns.FEEDBACK_KINDS[kind], columns.VERDICTS[verdict]
        if source in LABEL_KINDS and word in ("fraud", "genuine"):
            learner.label(name, occurred_at, word == "fraud", source)


def observe(
    learner: Learner,
    transactions: npt.NDArray[np.void],
    verdicts: npt.NDArray[np.void],
    inputs: npt.NDArray[np.float32],
) -> None:
    """Decided transactions as they were scored, in order.

    Parameters
    ----------
    transactions
        ``frame.PROFILED`` [n]. Of reversals the payments that they take back are told.
    verdicts
        ``rules.compiled_policy.VERDICT`` [n].
    inputs
        float32[n, M]: the model's inputs in the precision of the learning topic.
    """
    taken_back = reversals_of(transactions)
    reversals = transactions[:0]
    if taken_back.any():
        reversals = transactions[taken_back]
        transactions, verdicts, inputs = transactions[~taken_back], verdicts[~taken_back], inputs[~taken_back]
    learner.observe(
        payments_of(transactions),
        np.ascontiguousarray(transactions["event_time"]),
        inputs.astype(np.float64),
        np.ascontiguousarray(verdicts["scenario"]),
        verdicts["outcome"] >= REVIEW,
        np.ascontiguousarray(verdicts["risk_ppm"]),
    )
    for reversal in reversals:
        learner.reverse(int(chain(reversal["account_hash"], reversal["device_hash"])), int(reversal["event_time"]))
