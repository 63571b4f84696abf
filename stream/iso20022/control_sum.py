"""``CtrlSum``: whether the amounts that are there are those that were sent.

It is the sum of the amounts as they are written, whatever their currencies: 10 EUR and 1000 JPY are 1010.
"""

from __future__ import annotations

import decimal
import re
from collections.abc import Iterable
from typing import Final

from stream.iso20022.element import Element, Unreadable

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,35}(?:\.[0-9]{0,17})?|\.[0-9]{1,17})")
_EXACT: Final = decimal.Context(prec=100)


def summed(around: Element, amounts: Iterable[str | None], *path: str) -> None:
    """Refuse a message whose amounts do not sum up to what stands at a path below ``around``; nothing is said where nothing stands
    there, or where one of the amounts is none: its transaction is refused by itself.

    Parameters
    ----------
    amounts
        Decimal text of each; None where a transaction has none.

    Raises
    ------
    Unreadable
        The sum is another: an amount was changed, or a transaction put in place of another.
    """
    said = around.value(*path)
    if not said:
        return
    if _NUMBER.fullmatch(said) is None:
        raise Unreadable("out_of_range", around.one(*path), "not a decimal number")
    total = decimal.Decimal(0)
    for amount in amounts:
        if amount is None or _NUMBER.fullmatch(amount) is None:
            return
        total = _EXACT.add(total, decimal.Decimal(amount))
    if total != decimal.Decimal(said):
        raise Unreadable("out_of_range", around.one(*path), "not the sum of the amounts that are there")
