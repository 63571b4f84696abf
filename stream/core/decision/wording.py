"""What many decisions have word for word in common, rendered once and kept by what it follows from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from numba import njit

from stream.core.decision.decide import Decided, Decider

MOST_WORDINGS: Final = 8192
"""Kept of one decider; of some 500 bytes each."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The pieces of a decision's JSON that follow from verdict and flags alone.

    Parameters
    ----------
    words
        Between the event's time and the risk.
    before
        From behind the familiarity to the evidence.
    after
        From behind the reasons to the end.

    Attributes
    ----------
    approved
        All that stands behind the familiarity of an approved payment, which has neither evidence nor reasons.
    """

    words: bytes
    before: bytes
    after: bytes
    approved: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Join what an approval needs: nearly every payment is one."""
        object.__setattr__(self, "approved", self.explained(b"[]", b"null"))

    def explained(self, evidence: bytes, reasons: bytes) -> bytes:
        """All that stands behind the familiarity of a decision with this evidence and these reasons (JSON)."""
        return b"".join((self.before, evidence, b',"reasons":', reasons, self.after))


def wording_keys(decided: Decided) -> npt.NDArray[np.uint64]:
    """What the wording of each decision follows from, uint64[n, 5]: fired rules, then the rest in one number."""
    verdicts = decided.verdicts
    keys = np.empty((len(verdicts), 5), np.uint64)
    keys[:, :4] = np.ascontiguousarray(verdicts["fired"]).view(np.uint64)
    _fill_rest(verdicts, np.ascontiguousarray(decided.received.transactions["late"]), decided.sampled, keys)
    return keys


@njit(cache=True, nogil=True)
def _fill_rest(verdicts: Any, late: Any, sampled: Any, keys: Any) -> None:
    for i in range(len(verdicts)):
        verdict = verdicts[i]
        rest = np.int64(verdict["hard_rule"]) + 1
        rest = (rest << 8) | np.int64(verdict["degraded"])
        rest = (rest << 8) | np.int64(verdict["scenario"])
        rest = (rest << 8) | np.int64(verdict["outcome"])
        rest = (rest << 8) | np.int64(verdict["step_up"])
        rest = (rest << 1) | np.int64(verdict["young"])
        rest = (rest << 1) | np.int64(late[i] != 0)
        keys[i, 4] = np.uint64((rest << 1) | np.int64(sampled[i]))


def kept_wordings(decider: Decider) -> dict[bytes, Wording]:
    """What decisions of a decider's versions share word for word, by its key: kept to save work, as long as the decider lives; when
    there are too many, the kept ones go."""
    found = _KEPT.setdefault(decider, {})
    if len(found) >= MOST_WORDINGS:
        found.clear()
    return found


_KEPT: WeakKeyDictionary[Decider, dict[bytes, Wording]] = WeakKeyDictionary()
