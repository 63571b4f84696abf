"""Rounds of the learner over ``risk.learning.v1``: what a round read, in order, makes the next model.

A round is a vector of end offsets, taken partition by partition. The same rounds give the same models; what the
records' arrival times were, or how they were cut into calls, does not matter.
"""

from __future__ import annotations

import orjson

from detectors.ensemble import EnsembleConfig, Learner, Snapshot
from stream.core.frame.mended_step import MENDED_WORD
from stream.core.learning.learning_records import REVERSED_WORD, TAKEN_BACK, LearningRecords

LABEL_KINDS = ("review", "chargeback", "complaint")
WITHDRAWN = "cancelled"
"""The kind of a customer who withdrew: the payment was never made, and nothing is learned of it."""


class StreamLearner:
    """A learner fed with records of the topic.

    Parameters
    ----------
    learner
        Made from a first snapshot, or restored from a full one.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._latest: int | None = None

    @classmethod
    def begin(cls, first: Snapshot, maturity_us: int) -> StreamLearner:
        """Start from the first snapshot of an installation."""
        return cls(Learner(first, EnsembleConfig(maturity_us=maturity_us)))

    def absorb(self, records: LearningRecords) -> None:
        """Learn from records of one partition, or of several one after the other: runs of features at once, labels one
        by one."""
        start = 0
        for label, before in zip(records.labels, records.before, strict=True):
            self._observe(records, start, before)
            self._label(label)
            start = before
        self._observe(records, start, len(records))

    def close_round(self, with_state: bool) -> Snapshot:
        """End a round: what is older than maturity becomes genuine, and the next model is frozen."""
        if self._latest is not None:
            self.learner.advance(self._latest)
        return self.learner.close_round(with_state)

    def _observe(self, records: LearningRecords, start: int, stop: int) -> None:
        if start < stop:
            self.learner.observe(
                records.payment[start:stop], records.event_time[start:stop], records.inputs[start:stop],
                records.group[start:stop], records.suspected[start:stop],
                records.risk_ppm[start:stop],
            )  # fmt: skip
            latest = int(records.event_time[start:stop].max())
            self._latest = latest if self._latest is None else max(self._latest, latest)

    def _label(self, value: bytes) -> None:
        label = orjson.loads(value)
        if label["kind"] == MENDED_WORD:
            self._mend(label["occurred_at_us"])
        elif label["kind"] == REVERSED_WORD:
            self.learner.reverse(label["payment"], label["occurred_at_us"])
        elif label["kind"] == WITHDRAWN and label["verdict"] != TAKEN_BACK:
            self.learner.withdraw(label["payment"], label["occurred_at_us"])
        elif label["kind"] in (*LABEL_KINDS, WITHDRAWN) and label["verdict"] == TAKEN_BACK:
            self.learner.retract(label["payment"])
        elif label["kind"] in LABEL_KINDS and label["verdict"] in ("fraud", "genuine"):
            self.learner.label(label["payment"], label["occurred_at_us"], label["verdict"] == "fraud", label["kind"])

    def _mend(self, until: int) -> None:
        """No event time that came before lies beyond the broker's time of that moment."""
        if self._latest is not None:
            self._latest = min(self._latest, until)
        self.learner.mend(until)
