"""Whatever the order in which decision, resolution and verdict come, the same answers are given, each once."""

from __future__ import annotations

from itertools import permutations

import pytest
from iso20022_messages import pacs_008, read, transfer

from stream.iso20022.case import Case, Recall, read_row, row_of
from stream.iso20022.original import Original


def original() -> Original:
    (record,) = read(pacs_008(transfer())).records
    assert record.original is not None
    return record.original


ENDS = [
    ("approve", None, False, ["ACTC"]),
    ("remind", None, True, ["ACTC", Recall()]),
    ("decline", None, True, ["RJCT"]),
    ("review", None, True, ["PDNG"]),
    ("review", "release", False, ["PDNG", "ACTC"]),
    ("review", "decline", True, ["PDNG", "RJCT"]),
    ("challenge", "release", True, ["PDNG", "ACTC", Recall()]),
    ("approve", "decline", False, ["ACTC"]),
]


@pytest.mark.parametrize(("outcome", "result", "fraud", "expected"), ENDS)
def test_the_answers_depend_on_no_order(outcome: str, result: str | None, fraud: bool, expected: list[object]) -> None:
    told = ["decided", *(["resolved"] if result else []), *(["fraud"] if fraud else [])]
    for order in permutations(told):
        case, answers = Case(original(), 1), []
        for what in order:
            for _ in range(2):  # each comes twice
                case = read_row(row_of(case))
                if what == "decided":
                    answers += case.decided(outcome)
                elif what == "resolved":
                    answers += case.resolved(result or "")
                else:
                    answers += case.called_fraud()
        assert answers == expected, order


@pytest.mark.parametrize("row", [b"", b"[]", b"{}", b'{"version":2}', b'{"version":1,"original":{}}'])
def test_a_row_of_another_kind_is_not_read(row: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - json's own is one too
        read_row(row)
