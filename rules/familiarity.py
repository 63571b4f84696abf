"""Familiarity: how well this account knows this payee, and how much risk that is worth.

Earned by matured payments and by time, faded by idleness, worth nothing above the amounts seen, lost to a bad
outcome, a new device or the payee's own alarms. It is a product of factors in 0..1, so each of them alone can
take it away and none can buy back another; the discount is capped and touches the risk only, never a hard rule.
Kin in law: trusted beneficiaries (Reg. (EU) 2018/389, Art. 13).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

COLUMNS: Final = (
    "pair_payments",
    "pair_age_days",
    "pair_idle_days",
    "amount_to_pair_max",
    "pair_channel_known",
    "pair_adverse",
    "device_new",
    "device_change_days",
    "customer_pair_payments",
    "customer_pair_age_days",
    "customer_pair_idle_days",
    "amount_to_customer_pair_max",
)
"""Columns it is computed from, in the order the compiled function takes them. The last four are what any account of the
customer knows of the payee: who pays the landlord from a second account is no stranger to him."""


@dataclass(frozen=True, slots=True)
class FamiliaritySettings:
    """How familiarity is earned and lost.

    Parameters
    ----------
    half_payments
        Matured payments at which the count's factor is one half (it approaches 1).
    half_days
        Days since the first payment at which the age's factor is one half.
    idle_half_days
        Days without a payment after which familiarity has halved.
    band
        Ratio to the largest matured amount at which nothing is left; from 1 to there it falls in a line.
    other_channel
        Factor for a channel this payee was never paid through, 0..1.
    device_half_days
        Days after a change of device at which the device's factor is one half; 0 at the change itself.
    cap_milli
        Most that familiarity lowers the log-odds, in thousandths.
    """

    half_payments: float = 1.0
    half_days: float = 5.0
    idle_half_days: float = 240.0
    band: float = 1.25
    other_channel: float = 0.5
    device_half_days: float = 2.0
    cap_milli: int = 3500

    def array(self) -> NDArray[np.float64]:
        """The settings but the cap, as the compiled function reads them."""
        return np.array(
            [
                self.half_payments,
                self.half_days,
                self.idle_half_days,
                self.band,
                self.other_channel,
                self.device_half_days,
            ],
            np.float64,
        )


@njit(cache=True, nogil=True)
def familiarity_ppm(row, columns, settings, lost):  # type: ignore[no-untyped-def]
    """Familiarity of one payment in ppm.

    Parameters
    ----------
    row
        float64[F]: the payment's features; NaN is missing.
    columns
        int64[12]: where :data:`COLUMNS` stand, -1 for a feature the schema lacks.
    settings
        float64[6], from :meth:`FamiliaritySettings.array`.
    lost
        Whether the policy's own condition takes it away.

    >>> row = np.array([3.0, 15.0, 5.0, 0.8, 1.0, 0.0, 0.0, np.nan, 3.0, 15.0, 5.0, 0.8])
    >>> int(familiarity_ppm(row, np.arange(12), FamiliaritySettings().array(), False))
    551020
    """
    if lost or _cell(row, columns[5]) == 1.0 or _cell(row, columns[6]) == 1.0:
        return 0
    payments, ratio = _cell(row, columns[0]), _cell(row, columns[3])
    level = _earned(payments, _cell(row, columns[1]), _cell(row, columns[2]), ratio, settings)
    if _cell(row, columns[4]) != 1.0:
        level *= settings[4]
    others, others_ratio = _cell(row, columns[8]), _cell(row, columns[11])
    if others > payments or (others == payments and others_ratio < ratio):
        # through another account: the channel is not known to it
        elsewhere = _earned(others, _cell(row, columns[9]), _cell(row, columns[10]), others_ratio, settings)
        level = max(level, elsewhere * settings[4])
    change = _cell(row, columns[7])
    if change >= 0.0:
        level *= change / (change + settings[5])
    return int(level * 1e6)


@njit(cache=True, nogil=True)
def _earned(payments, age, idle, ratio, settings):  # type: ignore[no-untyped-def]
    """What payments and time have earned within the band, 0..1."""
    if not payments >= 1.0 or ratio != ratio:
        return 0.0
    level = payments / (payments + settings[0])
    age = age if age > 0.0 else 0.0
    level *= age / (age + settings[1])
    if idle > 0.0:
        level *= settings[2] / (settings[2] + idle)
    if ratio > 1.0:
        level *= max(0.0, (settings[3] - ratio) / (settings[3] - 1.0))
    return level


@njit(cache=True, nogil=True)
def discount_milli(level_ppm, cap_milli):  # type: ignore[no-untyped-def]
    """What a level of familiarity takes off the log-odds, in thousandths, at most the cap.

    >>> int(discount_milli(551_020, 3500))
    1928
    """
    return level_ppm * cap_milli // 1_000_000


@njit(cache=True, nogil=True)
def _cell(row, column):  # type: ignore[no-untyped-def]
    return np.nan if column < 0 else row[column]
