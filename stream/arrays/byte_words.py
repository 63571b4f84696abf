"""Eight bytes at a time: the loads and bit counts that let a scanner pass over text by words instead of bytes.

Each function has a plain form, which tells what it does, and a compiled one of an instruction or two.

Source: Mycroft, "has zero byte" (1987); Warren, Hacker's Delight, 6-1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

WORD_BYTES = 8
_EACH = 0x0101010101010101
_LOWEST = np.uint64(_EACH)
_HIGHEST = np.uint64(_EACH << 7)
_QUOTES, _BACKSLASHES, _SPACES = np.uint64(_EACH * 34), np.uint64(_EACH * 92), np.uint64(_EACH * 32)
_MASKS = np.array([(1 << (8 * count)) - 1 for count in range(WORD_BYTES + 1)], np.uint64)


def load_word(buf: Any, at: Any) -> Any:
    """Eight bytes from ``at`` on as an integer, the first one lowest. Compiled code checks no bounds.

    >>> int(load_word(np.arange(9, dtype=np.uint8), 1)) == 0x0807060504030201
    True
    """
    return np.uint64(int.from_bytes(buf[int(at) : int(at) + WORD_BYTES].tobytes(), "little"))


def lowest_byte(marks: Any) -> Any:
    """Which byte the lowest bit of a word that is not zero lies in.

    >>> int(lowest_byte(np.uint64(0x8000)))
    1
    """
    word = int(marks)
    return ((word & -word).bit_length() - 1) // 8


@overload(load_word)
def _compiled_load(buf: Any, at: Any) -> Callable[..., Any]:
    def load(buf: Any, at: Any) -> Any:
        return _load(buf, at)  # type: ignore[call-arg]

    return load


@overload(lowest_byte)
def _compiled_lowest(marks: Any) -> Callable[..., Any]:
    def lowest(marks: Any) -> Any:
        return np.int64(_trailing_zeros(marks) >> np.uint64(3))  # type: ignore[call-arg]

    return lowest


@intrinsic
def _load(typing_context: Any, buf: Any, at: Any) -> Any:
    if not isinstance(buf, types.Array) or buf.layout != "C" or buf.ndim != 1 or buf.dtype != types.uint8:
        raise TypeError(f"load_word takes uint8[n] without gaps, not {buf}")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        word = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(word, align=1)

    return types.uint64(buf, types.int64), generate


@intrinsic
def _trailing_zeros(typing_context: Any, marks: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint64(types.uint64), generate


@njit(cache=True)
def not_plain(word: Any) -> Any:
    """A word whose lowest bit marks its first byte that is not printable ASCII, or is a quote or backslash; 0 where all
    eight are plain."""
    quotes, backslashes = word ^ _QUOTES, word ^ _BACKSLASHES
    special = (quotes - _LOWEST) & ~quotes | (backslashes - _LOWEST) & ~backslashes
    return (special | (word - _SPACES) & ~word | word) & _HIGHEST


@njit(cache=True)
def first_bytes(word: Any, count: Any) -> Any:
    """A word of which only the first ``count`` bytes (0 to 8) are kept."""
    return word & _MASKS[np.uint64(count)]
