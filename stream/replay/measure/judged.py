"""What a measurement needs of decided transactions, whoever decided them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from stream.replay.source.labels import Labels


class Judged(Protocol):
    """A run of decided transactions with their truth beside them."""

    def __len__(self) -> int:
        """How many."""

    @property
    def transactions(self) -> npt.NDArray[np.void]:
        """Structured [n] with ``event_time`` (µs), ``account_hash`` and ``payee_hash``."""

    @property
    def verdicts(self) -> npt.NDArray[np.void]:
        """``rules.compiled_policy.VERDICT`` [n]."""

    @property
    def model_version(self) -> str:
        """Who scored them."""

    @property
    def labels(self) -> Labels | None:
        """Their truth, None where nothing is known of any."""

    def group(self, name: str) -> npt.NDArray[np.int64]:
        """Codes of ``age_band`` or ``segment``, int64[n]; 0 where absent."""

    def card(self) -> npt.NDArray[np.float32]:
        """What a scorecard gives points for, float32[n, columns of ``stream.replay.measure.scorecard.CARD``]; NaN where absent."""
