"""The variables a condition may name: what rules are handed instead of knowing the stream.

A :class:`Schema` is an ordered tuple of :class:`Variable`; variable i is column i of the float64 matrix that
``CompiledPolicy.evaluate`` reads. Encoding of a cell: ``double`` and ``int`` as themselves, ``bool`` as 0 or 1,
``enum`` as the index into ``values``, ``code`` (ISO country or currency) as a base-27 packed integer; a missing
value of a nullable variable is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Kind = Literal["double", "int", "bool", "enum", "code"]


@dataclass(frozen=True, slots=True)
class Variable:
    """One named column.

    Parameters
    ----------
    name
        As written in a condition.
    kind
        Type seen by CEL: ``double``, ``int`` and ``bool`` as such, ``enum`` and ``code`` as ``string``.
    unit
        Unit of a cell (``km``, ``days``, ``minor units``), or ``""``.
    meaning
        One English sentence for whoever writes a pack.
    nullable
        Whether the value can be missing; a condition must then guard it with ``has(name)``.
    values
        The words of an ``enum``, in the order of their codes.
    keeps_days
        How far back history reaches for this value, in days; 0 where it looks at this transaction alone.
    codes
        The codes that a ``code`` can have on the wire; empty where any may come.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    nullable: bool = False
    values: tuple[str, ...] = ()
    keeps_days: float = 0.0
    codes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Schema:
    """The ordered variables of a matrix.

    >>> schema = Schema((Variable("amount", "int", "minor units", "The amount."),))
    >>> schema.index["amount"], len(schema)
    (0, 1)
    """

    variables: tuple[Variable, ...]

    def __len__(self) -> int:
        return len(self.variables)

    @cached_property
    def index(self) -> dict[str, int]:
        """Column of each variable name."""
        return {variable.name: position for position, variable in enumerate(self.variables)}

    def __getitem__(self, name: str) -> Variable:
        return self.variables[self.index[name]]
