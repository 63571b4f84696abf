"""What a simulated bank is asked to be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from stream.errors import UsageError
from stream.simulate.difficulty import DIFFICULTIES, Difficulty

STANDING_PER_ACCOUNT_DAY: Final = 0.18
"""Mean standing orders of an account a day: measured, as is the next; activity does not change them."""
HABITUAL_PER_ACCOUNT_DAY: Final = 1.92
"""Mean other payments of an account a day at activity 1."""
PAYMENTS_PER_ACCOUNT_DAY: Final = STANDING_PER_ACCOUNT_DAY + HABITUAL_PER_ACCOUNT_DAY

DEFAULT_DAYS: Final = 180
FEWEST_ACCOUNTS: Final = 10
FEWEST_ACCOUNTS_BY_DEFAULT: Final = 40
_ACTIVITY = (0.02, 20.0)


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """Settings of one simulation; what is not given follows from what is.

    Parameters
    ----------
    seed
        Non-negative; the same seed and settings give the same bytes.
    events
        Number of transactions, at least 1; ``None`` for a stream without end.
    days
        Length of the period, at least 1; default 180. The number of events is exact, the period is met within
        some per cent.
    accounts
        At least 10; default such that an account pays about 2.1 times a day.
    start
        First day (local), default 2026-01-01.
    fraud_rate
        Share of fraudulent transactions, 0 to 0.2; default 1 in 500.
    quiet_days
        No attack begins in the first days, so that habits exist before they are broken; default 7, at most a
        quarter of the period.
    difficulty
        ``ordinary``, or ``hard``: thieves within the victim's habits, thin customers, late and missing labels
        (:data:`stream.simulate.difficulty.HARD`).

    Raises
    ------
    UsageError
        A value out of its range, or events, days and accounts that no plausible activity joins.

    Examples
    --------
    >>> config = SimulationConfig(seed=1, events=100_000)
    >>> config.account_count, config.period_days, config.activity
    (265, 180, 1.0)
    """

    seed: int
    events: int | None = None
    days: int | None = None
    accounts: int | None = None
    start: date = date(2026, 1, 1)
    fraud_rate: float = 0.002
    quiet_days: int = 7
    difficulty: str = "ordinary"

    def __post_init__(self) -> None:
        checks: tuple[tuple[bool, str], ...] = (
            (self.seed >= 0, "seed must not be negative"),
            (self.events is None or self.events >= 1, "events must be at least 1"),
            (self.days is None or 1 <= self.days <= 3660, "days must be 1 to 3660"),
            (self.accounts is None or FEWEST_ACCOUNTS <= self.accounts <= 5_000_000, "accounts must be 10 to 5000000"),
            (0 <= self.fraud_rate <= 0.2, "fraud-rate must be 0 to 0.2"),
            (0 <= self.quiet_days <= 3660, "quiet-days must be 0 to 3660"),
            (self.difficulty in DIFFICULTIES, f"difficulty must be one of {', '.join(DIFFICULTIES)}"),
            (
                _ACTIVITY[0] <= self.activity <= _ACTIVITY[1],
                f"{self.events} events by {self.account_count} accounts in {self.days} days: an account pays about "
                f"{PAYMENTS_PER_ACCOUNT_DAY} times a day, at least 0.22 and at most 38; leave one of the three out",
            ),
        )
        for fine, message in checks:
            if not fine:
                raise UsageError(f"simulate: {message}")

    @property
    def hard(self) -> Difficulty | None:
        """What makes the bank hard; None for an ordinary one."""
        return DIFFICULTIES[self.difficulty]

    @property
    def account_count(self) -> int:
        """Accounts of the bank."""
        if self.accounts is not None:
            return self.accounts
        if self.events is None:
            return 400
        fewest = FEWEST_ACCOUNTS if self.days else FEWEST_ACCOUNTS_BY_DEFAULT
        return max(fewest, round(self.events / (PAYMENTS_PER_ACCOUNT_DAY * (self.days or DEFAULT_DAYS))))

    @property
    def period_days(self) -> int | None:
        """Days that the events are expected to fill; ``None`` for a stream without end."""
        if self.days is not None or self.events is None:
            return self.days
        return max(1, round(self.events / (PAYMENTS_PER_ACCOUNT_DAY * self.account_count)))

    @property
    def activity(self) -> float:
        """Factor on how often customers pay; 1 unless events, days and accounts are all given."""
        if self.events is None or self.days is None:
            return 1.0
        if self.accounts is None and self.account_count > FEWEST_ACCOUNTS:
            return 1.0
        asked = self.events / (self.account_count * self.days)
        return (asked - STANDING_PER_ACCOUNT_DAY) / HABITUAL_PER_ACCOUNT_DAY

    @property
    def attack_free_days(self) -> int:
        """Days at the beginning in which no attack begins."""
        period = self.period_days
        return self.quiet_days if period is None else min(self.quiet_days, period // 4)
