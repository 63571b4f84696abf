"""Which currency rates a recorded batch was walked with: what recovery and the oracle walk it with again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rules.exchange_rates import Currencies
from stream.errors import RiskstreamError


class RatesLost(RiskstreamError):
    """The table that a batch names stands neither in its record nor in one before it."""


def recorded_rates(batch: Mapping[str, Any], before: Currencies | None, otherwise: Currencies) -> Currencies:
    """Rates of one batch record of the accounts hop.

    Parameters
    ----------
    batch
        The record: ``rates`` is a version, and ``rates_table`` the table where it is another than that of the batch before.
    before
        Rates of the batch before it, None where there is none.
    otherwise
        For a record that names none: it was written before rates were recorded.

    Raises
    ------
    RatesLost
        The batch before it is missing, and with it the table.

    >>> euro = Currencies("EUR")
    >>> record = {"rates": euro.version, "rates_table": euro.document()}
    >>> recorded_rates(record, None, Currencies("CNY")) == recorded_rates({"rates": euro.version}, euro, euro) == euro
    True
    """
    version, table = batch.get("rates"), batch.get("rates_table")
    if version is None:
        return otherwise
    rates = before if table is None else Currencies.from_document(table)
    if rates is None or rates.version != version:
        raise RatesLost(
            f"batch {batch.get('sequence')} was walked with the currency rates {version}, which stand in no record before "
            "it: records of the log of batches were deleted; keep that topic longer (retention.ms)"
        )
    return rates
