"""The ladder: risk in parts per million, and the rung it stands on.

Six rungs, from friction to none to most: approve, remind, challenge (light, strong), review, decline. All of
them are about one transaction; none acts on an account. Risk is an integer function of an integer log-odds, so
that a decision has the same bytes everywhere; the table is made with integer arithmetic alone (no libm).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

OUTCOMES: Final = ("approve", "remind", "challenge", "review", "decline")
STEP_UPS: Final = ("none", "light", "strong")
RUNGS: Final = ("approve", "remind", "challenge_light", "challenge_strong", "review", "decline")
"""Outcome and step-up together, least friction first."""
APPROVE, REMIND, CHALLENGE_LIGHT, CHALLENGE_STRONG, REVIEW, DECLINE = range(6)
NEVER_PPM: Final = 1_000_001
"""Threshold of a rung that risk alone never reaches."""
RUNG_OUTCOME: Final = np.array([0, 1, 2, 2, 3, 4], np.uint8)
RUNG_STEP_UP: Final = np.array([0, 0, 1, 2, 0, 0], np.uint8)
LIMIT_MILLI: Final = 14_000
"""Log-odds beyond this count as this: risk stays within 1 and 999999 ppm, never certain."""


def _risk_table() -> NDArray[np.int32]:
    # exp(1/1000) in fixed point with 192 bits, by its series; then powers by repeated multiplication.
    one = 1 << 192
    step, term, k = one, one, 1
    while term:
        term //= 1000 * k
        step += term
        k += 1
    table = np.empty(2 * LIMIT_MILLI + 1, np.int32)
    power = one
    for milli in range(LIMIT_MILLI + 1):
        below = (2_000_000 * one + one + power) // (2 * (one + power))
        table[LIMIT_MILLI - milli] = max(below, 1)
        table[LIMIT_MILLI + milli] = 1_000_000 - max(below, 1)
        power = power * step >> 192
    return table


RISK_PPM: Final = _risk_table()
"""Risk of each log-odds from -14000 to 14000 milli, rounded half up to ppm."""


def rung(outcome: str, step_up: str = "none") -> int:
    """The rung of an outcome and its step-up.

    >>> rung("challenge", "strong"), rung("review")
    (3, 4)
    """
    return RUNGS.index(f"challenge_{step_up}" if outcome == "challenge" else outcome)


@njit(cache=True, nogil=True)
def risk_ppm(logit_milli, table):  # type: ignore[no-untyped-def]
    """Probability in ppm of a log-odds in thousandths; ``table`` is :data:`RISK_PPM`.

    >>> int(risk_ppm(0, RISK_PPM)), int(risk_ppm(-6907, RISK_PPM)), int(risk_ppm(10**9, RISK_PPM))
    (500000, 1000, 999999)
    """
    return table[min(max(logit_milli, -LIMIT_MILLI), LIMIT_MILLI) + LIMIT_MILLI]


@njit(cache=True, nogil=True)
def climb(risk, thresholds):  # type: ignore[no-untyped-def]
    """The highest rung whose threshold (ppm, int32[5] for remind ... decline) the risk reaches.

    >>> int(climb(40_000, np.array([5_000, 20_000, 60_000, 200_000, NEVER_PPM], np.int32)))
    2
    """
    level = 0
    for k in range(5):
        if risk >= thresholds[k]:
            level = k + 1
    return level
