"""Times of rows that lie ahead of the broker's, brought back to it: what a producer's wrong clock has left behind.

A row whose last event lies years ahead counts nothing any more: windows decay towards a time that does not come, days are
kept that nobody lives. A recorded step says at which time by the broker rows are mended; what lies further ahead of that than
the bound becomes that time, all else stays. What the wrong time had already made fade (counts of the hour, the day, the month;
payments that matured early) cannot be had back: it counts anew from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from stream.core.frame.frame import FORWARDED

MENDED: Final = 255
"""What stands for a step where feedback has the code of its kind."""
MENDED_WORD: Final = "mended"
_INCONCLUSIVE: Final = 2


@dataclass(frozen=True, slots=True)
class MendingStep:
    """One step that was taken.

    Parameters
    ----------
    offset
        Of its record among the feedback.
    until, limit
        Times beyond ``limit`` become ``until``, the broker's time when it was walked; µs since the epoch.
    """

    offset: int
    until: int
    limit: int


def forwarded_step(step: MendingStep, name: str, source: int, partitions: int) -> npt.NDArray[np.void]:
    """What every payee partition must hear of a step, FORWARDED [partitions].

    The one in the partition of its source stands for its record, the others are copies (``takes_back``), which count for
    nothing where records are counted.
    """
    records = np.zeros(partitions, FORWARDED)
    records["kind"], records["verdict"] = MENDED, _INCONCLUSIVE
    records["source_partition"], records["source_offset"] = source, step.offset
    records["takes_back"] = np.arange(partitions) != source
    records["transaction_id"] = records["feedback_id"] = name.encode()
    records["occurred_at"], records["event_time"] = step.until, step.limit
    # where no payee is known the account decides, and a hash of 0 is none: so the hash is a multiple away from the number
    records["payee_hash"] = np.arange(partitions) + partitions
    return records


def steps_among(feedback: npt.NDArray[np.void]) -> list[MendingStep]:
    """The steps of a frame's feedback, FORWARDED [m]."""
    found = feedback[feedback["kind"] == MENDED]
    return [MendingStep(int(one["source_offset"]), int(one["occurred_at"]), int(one["event_time"])) for one in found]
