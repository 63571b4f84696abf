"""Registers for the values of a program: few, so that a block of rows stays in the first-level cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Instruction:
    """One step of a program before it has registers.

    Parameters
    ----------
    operation
        Its number in :mod:`rules.bytecode`.
    makes
        ``truth``, ``number``, or empty where it makes no value.
    truths, numbers
        The values it reads, each by the place of the instruction that makes it; ``-1 - k`` is the number that register
        ``k`` holds from the beginning. Together at most three.
    b, c
        Constants in the place of a second and a third value.
    """

    operation: int
    makes: str
    truths: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()
    b: int = 0
    c: int = 0

    @property
    def values(self) -> tuple[int, ...]:
        """All values it reads, in the order of the operands."""
        return self.truths + self.numbers


def allocate(code: Sequence[Instruction], given: int) -> tuple[NDArray[np.int32], dict[str, int]]:
    """Give each value a register until it was read for the last time.

    A result never takes the register of a value that the same instruction reads: loops over two that are one do not
    work on several rows at once.

    Parameters
    ----------
    code
        In order; every value is made before it is read.
    given
        How many number registers are filled from the beginning; they stay what they are.

    Returns
    -------
    int32[n, 5] (operation, register of the result, three operands), and how many registers of each kind.

    >>> both = [Instruction(0, "truth", numbers=(-1,)), Instruction(1, "truth", truths=(0,)), Instruction(2, "", truths=(1,))]
    >>> table, counts = allocate([*both, Instruction(0, "truth", numbers=(-1,), c=7)], 1)
    >>> table.tolist(), counts
    ([[0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [2, 0, 1, 0, 0], [0, 1, 0, 0, 7]], {'truth': 2, 'number': 1})
    """
    last_read = {value: place for place, instruction in enumerate(code) for value in instruction.values}
    counts, free = {"truth": 0, "number": given}, {"truth": list[int](), "number": list[int]()}
    register: dict[int, int] = {}
    table = np.zeros((len(code), 5), np.int32)
    for place, instruction in enumerate(code):
        values = instruction.values
        operands = [register[value] if value >= 0 else -1 - value for value in values]
        padded = [*operands, *(0, instruction.b, instruction.c)[len(operands) :]]
        if makes := instruction.makes:
            if not free[makes]:
                free[makes].append(counts[makes])
                counts[makes] += 1
            register[place] = free[makes].pop()
        table[place] = instruction.operation, register.get(place, 0), *padded
        for value in dict.fromkeys(values):
            if value >= 0 and last_read[value] == place:
                free[code[value].makes].append(register[value])
    return table, counts
