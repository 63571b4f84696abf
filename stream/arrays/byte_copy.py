"""Copying bytes from array to array at the speed of the C library: a byte loop costs several times as much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload


def copy_bytes(out: Any, at: Any, data: Any, start: Any, length: Any) -> None:
    """Copy ``length`` bytes of ``data`` from ``start`` on to ``out`` from ``at`` on; nothing where it is not positive.

    Parameters
    ----------
    out, data : uint8[n], uint8[m]
        Without gaps, and not overlapping where they are one buffer. Compiled code checks no bounds, as for cells.

    >>> import numpy as np
    >>> out = np.zeros(4, np.uint8)
    >>> copy_bytes(out, 1, np.frombuffer(b"abc", np.uint8), 1, 2)
    >>> out.tobytes()
    b'\\x00bc\\x00'
    """
    if length > 0:
        out[at : at + length] = data[start : start + length]


@overload(copy_bytes)
def _compiled_copy(out: Any, at: Any, data: Any, start: Any, length: Any) -> Callable[..., None]:
    def copy(out: Any, at: Any, data: Any, start: Any, length: Any) -> None:
        if length > 0:
            _memory_copy(out, at, data, start, length)  # type: ignore[call-arg]

    return copy


@intrinsic
def _memory_copy(typing_context: Any, out: Any, at: Any, data: Any, start: Any, length: Any) -> Any:
    for array in (out, data):
        if not isinstance(array, types.Array) or array.layout != "C" or array.ndim != 1 or array.dtype != types.uint8:
            raise TypeError(f"copy_bytes takes uint8[n] without gaps, not {array}")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, place, source, begin, count = arguments
        target = context.make_array(signature.args[0])(context, builder, to).data
        origin = context.make_array(signature.args[2])(context, builder, source).data
        cgutils.raw_memcpy(  # type: ignore[no-untyped-call]
            builder, builder.gep(target, [place]), builder.gep(origin, [begin]), count, ir.Constant(ir.IntType(64), 1)
        )
        return context.get_dummy_value()

    return types.void(out, types.int64, data, types.int64, types.int64), generate
