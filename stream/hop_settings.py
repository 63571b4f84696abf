"""What shapes rows, from the settings of a line."""

from __future__ import annotations

from stream.core.account.account_hop import HopSettings
from stream.core.account.account_row import DAY_US
from stream.core.table.forgetting import IdleLimits
from stream.settings import Settings


def hop_settings(settings: Settings, partitions: int) -> HopSettings:
    """Bounds and limits that both hops of a line of so many partitions walk with."""
    return HopSettings(
        partitions=partitions,
        maturity_us=round(settings.maturity_days * DAY_US),
        lateness_us=round(settings.lateness_minutes * 60_000_000),
        idle=IdleLimits(round(settings.forget_accounts_days * DAY_US), round(settings.forget_pairs_days * DAY_US)),
        idle_payees_us=round(settings.forget_payees_days * DAY_US),
        row_limit=settings.row_limit,
    )
