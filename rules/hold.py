"""The hold that ends: when a reviewed transaction must be looked at, when a challenge must be answered, and when both are
let go whatever happens.

A hold is decided by the times in the data: due time and expiry are functions of the event's time and of the
pack's terms alone, so that a replay agrees. Durations are elapsed time, indifferent to weekends and clock
changes. Where a law counts business days (the end of the fourth business day, for instance), the pack names the
time zone and the holidays, and the end is that local midnight.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

HOUR_US: Final = 3_600_000_000
MINUTE_US: Final = 60_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

OnExpiry = Literal["release", "decline"]


@dataclass(frozen=True, slots=True)
class BusinessDays:
    """An end counted in business days: the end of the n-th business day after the day of the event.

    Parameters
    ----------
    days
        1 to 30.
    timezone
        IANA name of the zone whose days are meant.
    holidays
        Local dates that are no business days, beside Saturday and Sunday.
    """

    days: int
    timezone: str
    holidays: frozenset[date] = frozenset()

    def end(self, event_time: int) -> int:
        """The end in µs since the epoch, for an event at ``event_time`` µs.

        >>> friday = 1_774_000_800_000_000  # 2026-03-20T10:00:00Z; clocks change on 29 March
        >>> _EPOCH + timedelta(microseconds=BusinessDays(1, "Europe/London").end(friday))
        datetime.datetime(2026, 3, 24, 0, 0, tzinfo=datetime.timezone.utc)
        """
        zone = ZoneInfo(self.timezone)
        day = (_EPOCH + timedelta(microseconds=event_time)).astimezone(zone).date()
        left = self.days
        while left:
            day += timedelta(days=1)
            left -= day.weekday() < 5 and day not in self.holidays
        midnight = datetime.combine(day + timedelta(days=1), time.min, zone)
        return (midnight.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class HoldTerms:
    """Terms of a review: basis in law, when it is due, when it ends by itself and how.

    Parameters
    ----------
    legal_basis
        Instrument and article, or the contract's clause, that allows the hold.
    due_us, complex_due_us
        Time to the reviewer's answer in a simple and in a complex case, µs.
    expires
        Time to the expiry, µs, or business days.
    on_expiry
        What happens then to the transaction.
    """

    legal_basis: str
    due_us: int = 2 * HOUR_US
    complex_due_us: int = 24 * HOUR_US
    expires: int | BusinessDays = 24 * HOUR_US
    on_expiry: OnExpiry = "release"

    def due_at(self, event_time: int, is_complex: bool = False) -> int:
        """When a reviewer must have answered, µs since the epoch; never after the expiry.

        >>> HoldTerms("contract").due_at(0) // HOUR_US, HoldTerms("contract").due_at(0, is_complex=True) // HOUR_US
        (2, 24)
        """
        due = event_time + (self.complex_due_us if is_complex else self.due_us)
        return min(due, self.hold_expires_at(event_time))

    def hold_expires_at(self, event_time: int) -> int:
        """When the hold ends by itself, µs since the epoch.

        >>> HoldTerms("contract").hold_expires_at(0) // HOUR_US
        24
        """
        if isinstance(self.expires, BusinessDays):
            return self.expires.end(event_time)
        return event_time + self.expires


@dataclass(frozen=True, slots=True)
class ChallengeTerms:
    """Terms of a challenge: how long its customer may take, and what happens without an answer.

    Parameters
    ----------
    expires_us
        Time to the expiry, µs.
    on_expiry
        What happens then to the transaction. What nobody confirmed is not made, unless the pack says so.
    """

    expires_us: int = 15 * MINUTE_US
    on_expiry: OnExpiry = "decline"

    def challenge_expires_at(self, event_time: int) -> int:
        """When the challenge ends by itself, µs since the epoch.

        >>> ChallengeTerms().challenge_expires_at(0) // MINUTE_US
        15
        """
        return event_time + self.expires_us
