"""Exponential, logarithm and the few angles that are needed, from ``+ - * /`` and the square root alone.

A C library answers ``exp`` by whichever variant fits the processor, and its variants part in the last bit; rows, frames
and models computed on one machine then are no longer those of another. IEEE 754 fixes the four operations and the
square root to the last bit, so that what is built from them is the same on any processor, compiled or not.

Tables are computed once at import in decimal arithmetic, which no processor changes. Accuracy, measured against
``mpmath`` in the tests: :func:`exp` within .75 units in the last place, :func:`log` within 1, :func:`sin` and :func:`cos`
within 1.5, :func:`asin` within 2.5.

References
----------
Tang, Table-Driven Implementation of the Exponential Function, ACM TOMS 15 (1989); Table-Driven Implementation of the
Logarithm Function, ACM TOMS 16 (1990). IEEE 754-2019, clause 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

_DIGITS: Final = 60
_STEPS: Final = 64
"""exp: arguments are reduced to a 64th part of ln 2."""
_PARTS: Final = 128
"""log: arguments are reduced to the nearest 128th."""
_ARCS: Final = 64
"""asin: tangents are reduced to the nearest 64th."""
_SPLIT: Final = 2.0**21
"""A head of so many bits behind the point, times an exponent, is exact."""

_HALF_LOG_TAU: Final = 0.9189385332046728


def _head_tail(value: Decimal, unit: float = 0.0) -> tuple[float, float]:
    """A number as the sum of two floats; the first one a multiple of ``unit`` where that is given."""
    head = float(value) if unit == 0.0 else float((value / Decimal(unit)).to_integral_value()) * unit
    return head, float(value - Decimal(head))


def _arc_tangent(x: int, y: int) -> Decimal:
    """Arc tangent of x / y by Euler's series, for 0 <= x <= y; in integers, as it is computed whenever this is imported."""
    term, whole, n = 10 ** (_DIGITS + 20) * x * y // (x * x + y * y), 0, 1
    while term:
        whole += term
        term = term * 2 * n * x * x // ((2 * n + 1) * (x * x + y * y))
        n += 1
    return Decimal(whole).scaleb(-_DIGITS - 20)


def _tables() -> tuple[NDArray[np.float64], ...]:
    with localcontext() as context:
        context.prec = _DIGITS
        ln2 = Decimal(2).ln()
        steps = [_head_tail((ln2 * j / _STEPS).exp()) for j in range(_STEPS)]
        parts = [
            _head_tail((Decimal(j) / _PARTS).ln(), 1.0 / _SPLIT**2) if j else (0.0, 0.0) for j in range(2 * _PARTS)
        ]
        arcs = [_head_tail(_arc_tangent(j, _ARCS)) for j in range(_ARCS + 1)]
        quarter = _head_tail(_arc_tangent(1, 1) * 2, 1.0 / 2.0**33)
        whole = _head_tail(ln2, 1.0 / _SPLIT**2), _head_tail(ln2 / _STEPS, 1.0 / _SPLIT**2)
    return (
        np.array(steps), np.array(parts), np.array(arcs), np.array([*whole, quarter]),
        np.array([2.0**k for k in range(-1022, 1024)]),
    )  # fmt: skip


_STEP, _PART, _ARC, _CONSTANT, _POWER = _tables()
for _table in (_STEP, _PART, _ARC, _CONSTANT, _POWER):
    _table.setflags(write=False)
(_LN2, _LN2_TAIL), (_PIECE, _PIECE_TAIL), (_QUARTER, _QUARTER_TAIL) = _CONSTANT.tolist()
_PIECES: Final = 1.0 / (_PIECE + _PIECE_TAIL)
_QUARTERS: Final = 1.0 / (_QUARTER + _QUARTER_TAIL)
_LARGEST, _SMALLEST, _SUBNORMAL = 709.782712893384, -745.1332191019412, -708.0
_DOWN: Final = 2.0**-60
_UP, _NORMAL = 2.0**54, 2.0**-1022
_ONE_BITS, _MANTISSA, _HALF_BIT = np.int64(0x3FF0000000000000), np.int64(0x000FFFFFFFFFFFFF), np.int64(1 << 51)
_QUARTER_BITS, _EXPONENT_SHIFT, _BIAS = np.int64(1 << 51), np.int64(52), np.int64(1023)
_S3, _S5, _S7, _S9, _S11, _S13, _S15 = (float(Fraction((-1) ** (n // 2), math.factorial(n))) for n in range(3, 17, 2))
_C4, _C6, _C8, _C10, _C12, _C14, _C16 = (float(Fraction((-1) ** (n // 2), math.factorial(n))) for n in range(4, 18, 2))


def plain(function: Callable[[float], float]) -> Callable[[float], float]:
    """The Python form of a function here, which gives the same: loading compiled code takes an import a second."""
    return getattr(function, "py_func", function)


@njit(cache=True, nogil=True)
def exp(x: float) -> float:
    """e to the power of x: 0 below -745.13, infinity above 709.78, NaN of NaN.

    >>> exp(0.0), exp(1.0), exp(-800.0), exp(800.0)
    (1.0, 2.718281828459045, 0.0, inf)
    """
    x = float(x)  # a float32 cell would drag the whole into its own precision in plain Python
    if not x <= _LARGEST:
        return x if x != x else math.inf
    if x < _SMALLEST:
        return 0.0
    n = math.floor(x * _PIECES + 0.5)
    k = int(n) // _STEPS
    j = int(n) - k * _STEPS
    head, tail = x - n * _PIECE, -n * _PIECE_TAIL
    r = head + tail
    power = r * r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0)))))
    # what rounding took off the reduced argument goes on top of its power
    power += (head - r) + tail
    step = _STEP[j, 0]
    value = step + (_STEP[j, 1] + step * (r + power))
    if x < _SUBNORMAL:
        return value * _POWER[k + 60 + 1022] * _DOWN
    if k == 1024:
        return value * _POWER[2045] * 2.0
    return value * _POWER[k + 1022]


@njit(cache=True, nogil=True)
def log(x: float) -> float:
    """Natural logarithm: -infinity of 0, NaN below and of NaN, infinity of infinity.

    >>> log(1.0), log(10.0), log(0.0)
    (0.0, 2.302585092994046, -inf)
    """
    x = float(x)
    if not x > 0.0:
        return -math.inf if x == 0.0 else math.nan
    if x == math.inf:
        return x
    scaled = x * _UP if x < _NORMAL else x
    bits = np.float64(scaled).view(np.int64)
    # three quarters to one and a half, so that the logarithm of what is left vanishes where the whole one does
    k = ((bits + _QUARTER_BITS) >> _EXPONENT_SHIFT) - (_BIAS if x >= _NORMAL else _BIAS + 54)
    m = np.int64((bits & _MANTISSA) | _ONE_BITS).view(np.float64)
    if bits & _HALF_BIT:
        m *= 0.5
    j = int(m * _PARTS + 0.5)
    centre = j * (1.0 / _PARTS)
    r = (m - centre) / centre
    power = r * r * (-0.5 + r * (1.0 / 3.0 + r * (-0.25 + r * (0.2 + r * (-1.0 / 6.0 + r * (1.0 / 7.0 - r / 8.0))))))
    head = k * _LN2 + _PART[j, 0]
    total = head + r
    lost = (head - total) + r
    return total + (lost + (power + (k * _LN2_TAIL + _PART[j, 1])))


@njit(cache=True, nogil=True)
def _sine(x: float) -> float:
    z = x * x
    return x + x * z * (_S3 + z * (_S5 + z * (_S7 + z * (_S9 + z * (_S11 + z * (_S13 + z * _S15))))))


@njit(cache=True, nogil=True)
def _cosine(x: float) -> float:
    z = x * x
    return 1.0 - (0.5 * z - z * z * (_C4 + z * (_C6 + z * (_C8 + z * (_C10 + z * (_C12 + z * (_C14 + z * _C16)))))))


@njit(cache=True, nogil=True)
def sin(x: float) -> float:
    """Sine of an angle of at most 1,000 radians either way.

    >>> sin(0.0), sin(math.pi / 2), round(sin(-math.pi / 6), 15)
    (0.0, 1.0, -0.5)
    """
    x = float(x)
    n = math.floor(x * _QUARTERS + 0.5)
    r = (x - n * _QUARTER) - n * _QUARTER_TAIL
    turn = int(n) & 3
    value = _cosine(r) if turn & 1 else _sine(r)
    return -value if turn & 2 else value


@njit(cache=True, nogil=True)
def cos(x: float) -> float:
    """Cosine of an angle of at most 1,000 radians either way.

    >>> cos(0.0), cos(math.pi), round(cos(math.pi / 3), 15)
    (1.0, -1.0, 0.5)
    """
    x = float(x)
    n = math.floor(x * _QUARTERS + 0.5)
    r = (x - n * _QUARTER) - n * _QUARTER_TAIL
    turn = (int(n) + 1) & 3
    value = _sine(r) if turn & 1 == 0 else _cosine(r)
    return -value if turn & 2 else value


@njit(cache=True, nogil=True)
def asin(x: float) -> float:
    """Angle in radians whose sine is x, for -1 <= x <= 1; NaN outside.

    >>> asin(0.0), asin(1.0), round(asin(-0.5), 15)
    (0.0, 1.5707963267948966, -0.523598775598299)
    """
    x = float(x)
    if not abs(x) <= 1.0:
        return math.nan
    # half the angle's tangent lies between 0 and 1
    t = abs(x) / (1.0 + math.sqrt((1.0 - x) * (1.0 + x)))
    j = int(t * _ARCS + 0.5)
    centre = j / _ARCS
    r = (t - centre) / (1.0 + t * centre)
    z = r * r
    arc = r + r * z * (-1.0 / 3.0 + z * (0.2 + z * (-1.0 / 7.0 + z / 9.0)))
    angle = 2.0 * (_ARC[j, 0] + (arc + _ARC[j, 1]))
    return -angle if x < 0.0 else angle


@njit(cache=True, nogil=True)
def log_each(values: Any) -> Any:
    """:func:`log` of each of float64[n]."""
    out = np.empty(values.shape[0])
    for i in range(values.shape[0]):
        out[i] = log(values[i])
    return out


def log_factorial(n: int) -> float:
    """Logarithm of n!, for n >= 0: within 1e-13 of it, relative.

    >>> log_factorial(0), round(log_factorial(5), 12) == round(log(120.0), 12), round(log_factorial(300), 9)
    (0.0, True, 1414.905849945)

    References
    ----------
    Stirling's series, as in Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 6.1.41.
    """
    if n < 16:
        return log(float(math.factorial(n)))
    return (
        (n + 0.5) * log(float(n))
        - n
        + _HALF_LOG_TAU
        + (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1260.0 * n * n)) / (n * n)) / n
    )
