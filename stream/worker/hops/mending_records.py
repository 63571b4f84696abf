"""Steps that mend times, as the accounts hop finds them among a partition's feedback."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from stream.contracts.mending import STEP_KEY, read_mend_times
from stream.contracts.refusal import Refused
from stream.core.edge.decode import Refusal
from stream.core.frame.mended_step import MendingStep
from stream.log.records import Place, RecordBatch

logger = logging.getLogger("riskstream.mending")


@dataclass(frozen=True, slots=True)
class FoundSteps:
    """What was found in a batch of feedback.

    Parameters
    ----------
    steps
        Those that are taken.
    refused
        Those that are not, by their index in ``records``.
    records
        The records of both.
    feedback
        The rest of the batch.
    """

    steps: tuple[MendingStep, ...]
    refused: tuple[Refusal, ...]
    records: RecordBatch
    feedback: RecordBatch


def find_steps(place: Place, feedback: RecordBatch, broker_ms: int | None, future_ms: int) -> FoundSteps:
    """The steps of a batch; each takes the broker's time of the batch.

    Parameters
    ----------
    broker_ms
        None where it is not known: then none is taken.
    future_ms
        How far a time may lie ahead of it.
    """
    named = np.zeros(len(feedback), np.bool_)
    for at in np.flatnonzero(feedback.keys.lengths == len(STEP_KEY)).tolist():
        named[at] = feedback.key(at) == STEP_KEY
    if not named.any():
        return FoundSteps((), (), feedback.part(0, 0), feedback)
    records = feedback.chosen(named)
    steps, refused = [], []
    for at, offset in enumerate(records.offsets.tolist()):
        try:
            said = read_mend_times(records.value(at))
        except Refused as refusal:
            refused.append(Refusal(at, refusal.reason, refusal.message))
            continue
        if broker_ms is None:
            refused.append(
                Refusal(
                    at, "unsupported", "the broker's time is not known: look at clock on /ready, then send it again"
                )
            )
            continue
        steps.append(MendingStep(offset, broker_ms * 1000, (broker_ms + future_ms) * 1000))
        logger.warning(
            "%s[%d]: times ahead of the broker's are mended, as %s says: %s", *place, said.actor, said.reason
        )
    return FoundSteps(tuple(steps), tuple(refused), records, feedback.chosen(~named))


def recorded(steps: tuple[MendingStep, ...]) -> list[list[int]]:
    """Steps as a batch record has them."""
    return [[step.offset, step.until, step.limit] for step in steps]
