"""Error tolerance: a slip is answered with a reminder that says what to correct, and with nothing stricter.

Slips (a mistyped name, a missing purpose) count up and fade in the account row (``slips_recent``); the reminder
grows more detailed with them. No weight and no hard rule may read them: a policy that tries fails its check. So
no path leads from slips alone to a challenge, a review or worse.
"""

from __future__ import annotations

from typing import Final

from numba import njit

SLIP_VARIABLES: Final = ("slips", "slips_recent")
"""Variables that no rule's condition may name."""
REPEATED_FROM: Final = 3.0
"""Recent slips (decayed count) from which the reminder offers help instead of a hint."""


@njit(cache=True, nogil=True)
def slip_rung(slips):  # type: ignore[no-untyped-def]
    """The rung that slips ask for by themselves: remind, or none.

    >>> int(slip_rung(0)), int(slip_rung(1)), int(slip_rung(8))
    (0, 1, 1)
    """
    return 1 if slips > 0 else 0


def repeated(slips_recent: float) -> bool:
    """Whether the customer slipped so often lately that the reminder should offer help.

    >>> repeated(1.2), repeated(3.4)
    (False, True)
    """
    return slips_recent >= REPEATED_FROM
