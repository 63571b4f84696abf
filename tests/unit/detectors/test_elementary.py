"""The elementary functions of our own: how near they are to the true values, and that nothing but IEEE 754 makes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import elementary

Function = Callable[[float], float]
RANGES: list[tuple[str, float, float, float]] = [
    ("exp", -745.0, 709.78, 0.75),
    ("exp", -1.0, 1.0, 0.75),
    ("log", 1e-300, 1e300, 1.0),
    ("log", 0.5, 2.0, 1.0),
    ("log", 0.99, 1.01, 1.0),
    ("sin", -7.0, 7.0, 1.5),
    ("cos", -7.0, 7.0, 1.5),
    ("asin", -1.0, 1.0, 2.5),
]


def places(low: float, high: float, count: int = 4_000) -> list[float]:
    """Seeded arguments: evenly, and evenly by their logarithm where the range is positive."""
    rng = np.random.default_rng(5)
    even = rng.uniform(low, high, count)
    scaled = (
        np.exp(rng.uniform(math.log(low), math.log(high), count)) if low > 0.0 else rng.uniform(low, high, count) ** 3
    )
    return [low, high, *even.tolist(), *scaled.clip(low, high).tolist()]


@pytest.mark.parametrize(("name", "low", "high", "bound"), RANGES)
def test_a_value_is_within_the_stated_distance_of_the_true_one(
    name: str, low: float, high: float, bound: float
) -> None:
    ours: Function = getattr(elementary, name)
    true: Any = getattr(mpmath, name)
    with mpmath.workprec(160):
        for x in places(low, high):
            exact = true(mpmath.mpf(x))
            distance = abs(mpmath.mpf(ours(x)) - exact)
            assert distance <= bound * mpmath.mpf(math.ulp(float(exact))), f"{name}({x!r})"


@pytest.mark.parametrize("name", ["exp", "log", "sin", "cos", "asin"])
@given(x=st.floats(0.0, 1.0))
def test_plain_python_computes_what_compiled_code_does(name: str, x: float) -> None:
    function = getattr(elementary, name)
    assert function.py_func(x) == function(x)
    assert function.py_func(np.float32(x)) == function(float(np.float32(x)))


@pytest.mark.parametrize(
    ("name", "x", "value"),
    [
        ("exp", math.inf, math.inf), ("exp", -math.inf, 0.0), ("exp", -0.0, 1.0), ("exp", 5e-324, 1.0),
        ("log", 0.0, -math.inf), ("log", math.inf, math.inf), ("log", 1.0, 0.0),
        ("sin", 0.0, 0.0), ("cos", 0.0, 1.0), ("asin", 1.0, math.pi / 2), ("asin", -1.0, -math.pi / 2),
    ],
)  # fmt: skip
def test_the_ends(name: str, x: float, value: float) -> None:
    assert getattr(elementary, name)(x) == value


@pytest.mark.parametrize(
    ("name", "x"), [("exp", math.nan), ("log", -1.0), ("log", math.nan), ("asin", 1.5), ("asin", math.nan)]
)
def test_what_has_no_value_is_not_a_number(name: str, x: float) -> None:
    assert math.isnan(getattr(elementary, name)(x))


@given(x=st.floats(-740.0, 700.0), step=st.floats(1e-9, 5.0))
def test_the_exponential_never_falls(x: float, step: float) -> None:
    assert elementary.exp(x) <= elementary.exp(x + step)


@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17, 170, 5_000])
def test_the_logarithm_of_a_factorial(n: int) -> None:
    assert elementary.log_factorial(n) == pytest.approx(float(mpmath.loggamma(n + 1)), rel=1e-12, abs=1e-12)
