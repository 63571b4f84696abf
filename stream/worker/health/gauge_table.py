"""A gauge whose label values come and go."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from prometheus_client import Gauge


class GaugeTable:
    """Shows a table of values, one for each combination of labels that there is now.

    Parameters
    ----------
    gauge
        With the labels that the keys of :meth:`show` name.

    Examples
    --------
    >>> from prometheus_client import CollectorRegistry
    >>> registry = CollectorRegistry()
    >>> table = GaugeTable(Gauge("rows", "Rows.", ("hop", "partition"), registry=registry))
    >>> table.show({("accounts", "0"): 5, ("payees", "0"): 7})
    >>> table.show({("accounts", "0"): 6})
    >>> [(sample.labels["hop"], sample.value) for sample in next(registry.collect()).samples]
    [('accounts', 6.0)]
    """

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._shown: set[tuple[str, ...]] = set()
        self._lock = threading.Lock()

    def show(self, values: Mapping[tuple[str, ...], float]) -> None:
        """These values, and no others. Only what is gone goes: between clearing all and the next value a scrape would see
        nothing at all, and Prometheus take every series for ended."""
        with self._lock:
            for labels, value in values.items():
                self._gauge.labels(*labels).set(value)
            for gone in self._shown - values.keys():
                self._gauge.remove(*gone)
            self._shown = set(values)
