"""Which rows of the second hop are forgotten at a horizon (:mod:`stream.core.table.forgetting`)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def idle_payees(
    rows: npt.NDArray[np.void], frauds: npt.NDArray[np.bool_], horizon: int
) -> npt.NDArray[np.bool_]:  # fmt: skip
    """Which payee rows are forgotten, bool[n]; ``frauds``: whose busy row remembers a fraud."""
    idle: npt.NDArray[np.bool_] = (rows["last_seen"] < horizon) & (rows["payments"] > 0) & ~frauds
    return idle


def known_frauds(rows: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Which busy rows remember a fraud, bool[n]."""
    frauds: npt.NDArray[np.bool_] = (rows["fraud_last"] != 0) | (rows["fraud_episode"] != 0)
    frauds |= (rows["labels"] != 0).any(axis=1)
    return frauds
