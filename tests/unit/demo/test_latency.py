"""Percentiles from the bounded histogram against exact ones."""

from __future__ import annotations

import numpy as np
import pytest

from stream.demo.latency import LatencyRecord


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 100])
def test_percentiles_are_within_two_per_cent(percent: float) -> None:
    sample = np.random.default_rng(3).lognormal(3.0, 1.0, 5_000)
    histogram = LatencyRecord()
    for milliseconds in sample.tolist():
        histogram.add(milliseconds)
    exact = float(np.percentile(sample, percent, method="inverted_cdf"))
    assert histogram.percentile(percent) == pytest.approx(exact, rel=0.02)


def test_nothing_counted_has_no_percentile_and_extremes_stay_in_bounds() -> None:
    histogram = LatencyRecord()
    assert histogram.percentile(50) is None
    for milliseconds in (-5.0, 0.0, 1e12):
        histogram.add(milliseconds)
    assert histogram.count == 3
    low, high = histogram.percentile(50), histogram.percentile(100)
    assert low is not None
    assert high is not None
    assert low < 0.11
    assert high > 700_000
