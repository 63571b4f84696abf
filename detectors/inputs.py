"""Inputs of a model: what a column means, and the transform that makes columns comparable.

The transform is usable before any data: a heavy-tailed column is put on a logarithmic scale, everything is clipped,
and only then standardised with whatever means and deviations are known (0 and 1 at first).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from detectors.elementary import log, plain

Scale = Literal["linear", "log", "flag", "code"]
Unusual = Literal["both", "high", "low", "no"]
SCALES: tuple[Scale, ...] = ("linear", "log", "flag", "code")
LINEAR_LIMIT = 20.0
"""A transformed ``linear`` or ``flag`` cell is clipped to plus or minus this."""
STANDARD_LIMIT = 6.0
"""A standardised cell is clipped to plus or minus this many deviations."""

_SIDES: dict[Unusual, tuple[float, float]] = {
    "both": (-1.0, 1.0), "high": (0.0, 1.0), "low": (-1.0, 0.0), "no": (0.0, 0.0),
}  # fmt: skip
_LOG, _CODE = 1, 3
_ONE_BITS = np.int64(0x3FF0000000000000)
_NATURAL = plain(log)(2.0) / 2.0**52


@dataclass(frozen=True, slots=True)
class Input:
    """One column of a model's matrix: float64 cells, NaN (or an infinity) where missing.

    Parameters
    ----------
    name
        Unique among the inputs.
    scale
        ``linear`` as it is, ``log`` heavy-tailed and mostly non-negative, ``flag`` 0 or 1, ``code`` a small
        enumeration without order (read by trees alone).
    unusual
        Where the anomaly model looks for the unusual: ``both`` sides of the mean, ``high`` or ``low`` alone (a payment far
        below the usual amount is rare too, and harmless), or ``no``: nowhere. Codes have no sides.
    """

    name: str
    scale: Scale
    unusual: Unusual = "both"

    @property
    def watched(self) -> tuple[float, float]:
        """Range of the standardised cell that the anomaly model splits; empty where it does not look."""
        low, high = _SIDES["no" if self.scale == "code" else self.unusual]
        return low * STANDARD_LIMIT / 2, high * STANDARD_LIMIT / 2


def scale_codes(inputs: Sequence[Input]) -> NDArray[np.uint8]:
    """Index into :data:`SCALES` of each input, uint8[M].

    Raises
    ------
    ValueError
        A name twice, or an unknown scale.
    """
    names = [item.name for item in inputs]
    if len(set(names)) != len(names):
        raise ValueError(f"inputs: {next(n for n in names if names.count(n) > 1)!r} is listed twice; names are unique")
    for item in inputs:
        if item.scale not in SCALES:
            raise ValueError(f"inputs: {item.name!r} has scale {item.scale!r}; use one of {', '.join(SCALES)}")
    return np.array([SCALES.index(item.scale) for item in inputs], dtype=np.uint8)


@njit(cache=True, nogil=True)
def transform_row(row: Any, scale: Any, shifted: Any, bits: Any, transformed: Any) -> None:
    """Transform one row; missing cells and codes become NaN.

    ``log``: sign(x) times Mitchell's piecewise linear logarithm of 1 + |x| (natural base; at most .06 below the true
    one): exact integer arithmetic on the bits, so every platform gives the same value, at a tenth of the cost of
    ``log1p``. ``linear`` and ``flag``: clipped to :data:`LINEAR_LIMIT`.

    Parameters
    ----------
    row
        float64[M].
    scale
        uint8[M], from :func:`scale_codes`.
    shifted, bits
        Scratch float64[M] and its int64 view.
    transformed
        float64[M], written.

    References
    ----------
    Mitchell, Computer Multiplication and Division Using Binary Logarithms, IRE Trans. EC-11 (1962).
    """
    for j in range(row.shape[0]):
        shifted[j] = 1.0 + abs(row[j])
    for j in range(row.shape[0]):
        x = row[j]
        if scale[j] == _LOG:
            t = (bits[j] - _ONE_BITS) * _NATURAL
            if x < 0.0:
                t = -t
        else:
            t = min(max(x, -LINEAR_LIMIT), LINEAR_LIMIT)
        if scale[j] == _CODE or not abs(x) < np.inf:
            t = np.nan
        transformed[j] = t


@njit(cache=True, nogil=True)
def standardise_row(transformed: Any, mean: Any, inverse_deviation: Any, standard: Any) -> None:
    """``(t - mean) / deviation``, clipped; a missing cell is 0, which is the mean. All arrays float64[M]."""
    for j in range(transformed.shape[0]):
        z = (transformed[j] - mean[j]) * inverse_deviation[j]
        z = min(max(z, -STANDARD_LIMIT), STANDARD_LIMIT)
        if transformed[j] != transformed[j]:
            z = 0.0
        standard[j] = z


@njit(cache=True, nogil=True)
def transform(matrix: Any, scale: Any) -> Any:
    """:func:`transform_row` over float64[n, M]; returns float64[n, M].

    >>> cells = np.array([[0.0, 1.0, 40.0], [3.0, np.nan, 1.0]])
    >>> transform(cells, np.array([1, 1, 0], dtype=np.uint8)).round(3).tolist()
    [[0.0, 0.693, 20.0], [1.386, nan, 1.0]]
    """
    n, m = matrix.shape
    shifted = np.empty(m)
    bits = shifted.view(np.int64)
    transformed = np.empty((n, m))
    for i in range(n):
        transform_row(matrix[i], scale, shifted, bits, transformed[i])
    return transformed


@njit(cache=True, nogil=True)
def update_moments(transformed: Any, weight: Any, mean: Any, square: Any, memory: float) -> None:
    """Move running means and mean squared deviations by one row; missing cells move nothing.

    Parameters
    ----------
    transformed
        float64[M].
    weight
        float64[M]: how many observations each mean stands for; grows to ``memory``.
    mean, square
        float64[M]: running mean and mean squared deviation.
    memory
        Observations after which an old one has lost 63 % of its weight.

    References
    ----------
    West, Updating mean and variance estimates: an improved method, CACM 22 (1979), with a fading memory.
    """
    for j in range(transformed.shape[0]):
        t = transformed[j]
        if t == t:
            weight[j] = min(weight[j] + 1.0, memory)
            step = 1.0 / weight[j]
            delta = t - mean[j]
            mean[j] += step * delta
            square[j] += step * (delta * (t - mean[j]) - square[j])
