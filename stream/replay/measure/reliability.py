"""Reliability by scenario: whether a stated risk is the share of fraud that comes, for each scenario by itself.

References
----------
Naeini, Cooper, Hauskrecht, Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI (2015), for the expected
calibration error; Murphy, Winkler, Reliability of Subjective Probability Forecasts, JRSS C 26 (1977), for the curve.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stream.core.columns import SCENARIOS
from stream.replay.measure.what_if import BIN_EDGES

EQUAL_BINS = 20
"""Equal bins of risk, as the contract's ECE has them."""
ALL = "all"
"""The word for all scenarios together."""
_PPM = 1_000_000
_EVENTS, _FRAUDS, _STATED = range(3)


class Reliability:
    """Events, frauds and stated risk by scenario and bin of risk: a few kilobytes, whatever the history's length.

    Examples
    --------
    >>> counts = Reliability()
    >>> risk = np.array([20_000] * 50 + [600_000] * 2)
    >>> counts.add(np.zeros(52, np.uint8), risk, np.arange(52) >= 50)
    >>> row = counts.table()["other"]
    >>> row["events"], row["predicted"], row["observed"], row["ece"]
    (52, 0.042308, 0.038462, 0.034615)
    """

    def __init__(self) -> None:
        self._curve = np.zeros((3, len(SCENARIOS), len(BIN_EDGES) - 1), np.int64)
        self._equal = np.zeros((3, len(SCENARIOS), EQUAL_BINS), np.int64)

    def add(self, scenario: npt.NDArray[np.uint8], risk_ppm: npt.NDArray[Any], fraud: npt.NDArray[np.bool_]) -> None:
        """Count events whose outcome is known.

        Parameters
        ----------
        scenario, risk_ppm, fraud
            [n]: code, ppm, whether it was fraud.
        """
        risk = risk_ppm.astype(np.int64)
        places = (
            (self._curve, np.searchsorted(BIN_EDGES, risk, side="right") - 1),
            (self._equal, np.minimum(risk * EQUAL_BINS // _PPM, EQUAL_BINS - 1)),
        )
        for table, place in places:
            _, scenarios, bins = table.shape
            cell = scenario.astype(np.int64) * bins + place
            for row, weight in ((_EVENTS, None), (_FRAUDS, fraud), (_STATED, risk)):
                counted = np.bincount(cell, weight, scenarios * bins)
                table[row] += np.rint(counted).astype(np.int64).reshape(scenarios, bins)

    def table(self) -> dict[str, dict[str, Any]]:
        """By scenario, and for all together: events, frauds, predicted and observed share, ECE, and the curve.

        The curve's bins are those of :data:`stream.replay.measure.what_if.BIN_EDGES`, lowest first; empty ones are left out.
        """
        rows = {
            word: _row(self._curve[:, place], self._equal[:, place])
            for place, word in enumerate(SCENARIOS)
            if self._equal[_EVENTS, place].any()
        }
        return {**rows, ALL: _row(self._curve.sum(axis=1), self._equal.sum(axis=1))} if rows else {}


def _row(curve: npt.NDArray[np.int64], equal: npt.NDArray[np.int64]) -> dict[str, Any]:
    """One scenario, int64[3, bins] twice."""
    events, frauds, stated = (int(total) for total in equal.sum(axis=1))
    gap = np.abs(equal[_STATED] / _PPM - equal[_FRAUDS]).sum()
    return {
        "events": events,
        "frauds": frauds,
        "predicted": round(stated / _PPM / events, 6),
        "observed": round(frauds / events, 6),
        "ece": round(float(gap) / events, 6),
        "curve": [
            {
                "from_ppm": low,
                "events": count,
                "predicted": round(told / _PPM / count, 6),
                "observed": round(found / count, 6),
            }
            for low, (count, found, told) in zip(BIN_EDGES, curve.T.tolist(), strict=False)
            if count
        ],
    }
