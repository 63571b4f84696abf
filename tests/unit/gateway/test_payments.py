"""The payments that the gateway knows: found by any name, as many and as long as is set, the same after a recovery."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream.gateway.known_payments import KnownPayments
from stream.iso20022.case import Case, read_row
from stream.iso20022.original import Original
from stream.iso20022.parties import Agent

DAY_MS = 86_400_000
BANK = Agent("COBADEFFXXX", bic="COBADEFFXXX")


def original(number: int) -> Original:
    return Original(
        f"id-{number}", "a", None, None, "pacs.008.001.08", "M", f"I-{number}", f"E-{number}", f"T-{number}", f"id-{number}",
        "EUR", "1.00", None, BANK, None, "other",
    )  # fmt: skip


def rows_of(payments: KnownPayments, stored: dict[str, bytes]) -> dict[str, bytes]:
    for key, row in payments.take_changes():
        if row is None:
            stored.pop(key.decode(), None)
        else:
            stored[key.decode()] = row
    return stored


def test_a_payment_is_found_by_each_of_its_names() -> None:
    payments = KnownPayments(10, 1)
    payments.add(original(1), 5)
    for name in ("id-1", "tx/T-1", "instr/COBADEFFXXX/I-1", "msg/M/E-1"):
        assert payments.find(name) == original(1)
    assert payments.find("tx/T-2") is None


def test_one_that_is_known_stays_as_it_is() -> None:
    payments = KnownPayments(10, 1)
    payments.add(original(1), 5)
    payments.add(replace(original(1), account_id="b"), 6)
    found = payments.find("id-1")
    assert found is not None
    assert found.account_id == "a"


def test_the_oldest_are_forgotten_beyond_the_number_and_the_open_ones_counted() -> None:
    payments, stored = KnownPayments(2, 1000), {}
    for number in range(4):
        payments.add(original(number), number)
        case = payments.case(f"id-{number}")
        assert case is not None
        if number:
            case.decided("approve")
            payments.put(case)
        payments.forget()
    assert (len(payments), payments.forgotten_open, payments.waiting) == (2, 1, 0)
    assert rows_of(payments, stored).keys() == {"id-2", "id-3"}
    assert payments.find("tx/T-0") is None


def test_they_are_forgotten_after_their_days_by_the_times_of_messages() -> None:
    payments = KnownPayments(10, 2)
    payments.add(original(1), 0)
    payments.add(original(2), 2 * DAY_MS)
    payments.forget()
    assert len(payments) == 2
    payments.add(original(3), 2 * DAY_MS + 1)
    payments.forget()
    assert payments.find("id-1") is None
    assert payments.waiting_since_ms == 2 * DAY_MS


def test_after_a_recovery_the_same_is_known_and_forgotten_in_the_same_order() -> None:
    payments, stored = KnownPayments(3, 1000), {}
    for number in range(3):
        payments.add(original(number), number)
    case = payments.case("id-0")
    assert case is not None
    case.decided("review")
    payments.put(case)
    recovered = KnownPayments(3, 1000)
    recovered.restore(reversed(rows_of(payments, stored).items()))
    assert recovered.take_changes() == []
    assert (len(recovered), recovered.waiting) == (3, 3)
    assert recovered.case("id-0") == case
    recovered.add(original(3), 3)
    recovered.forget()
    assert recovered.take_changes()[-1] == (b"id-0", None)


def test_a_row_of_another_version_is_refused() -> None:
    payments = KnownPayments(3, 1)
    with pytest.raises(ValueError, match="version"):
        payments.restore([("x", b'{"version":99}')])


def test_a_case_is_its_row() -> None:
    payments = KnownPayments(3, 1)
    payments.add(original(1), 5)
    ((_, row),) = payments.take_changes()
    assert row is not None
    assert read_row(row) == Case(original(1), 5)
