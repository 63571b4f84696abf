"""Stored rows of another schema version: an older one takes today's layout, an unknown one is refused in clear words."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from older_rows import HEAD, LABEL_TIMES, accounts_as, payees_as_1, payees_as_2

from benchmarks.traffic import events
from rules.exchange_rates import Currencies, Rate
from rules.policy import shipped
from stream.arrays.packed import Packed
from stream.core.account.account_hop import AccountHop, HopSettings
from stream.core.account.account_row import ACCOUNT_ROW, PAIRS, RECENT, SCHEMA_VERSION
from stream.core.account.account_row_history import OLDER
from stream.core.account.account_unit import take_unit
from stream.core.account.customer import SCHEMA_VERSION as CUSTOMER_SCHEMA
from stream.core.account.customer_row_history import OLDER as OLDER_CUSTOMERS
from stream.core.columns import FEEDBACK, pack_code
from stream.core.edge.decode import decode_transactions
from stream.core.features import INDEX
from stream.core.frame.frame import decode_frame
from stream.core.payee.payee_hop import PayeeHop
from stream.core.payee.payee_row import SCHEMA_VERSION as PAYEE_SCHEMA
from stream.core.table.row_table import UnknownSchema

DAY_US = 86_400_000_000
SETTINGS = HopSettings(1, 30 * DAY_US, 3_600_000_000)
COUNT, HALF = 4_000, 2_500


def older_rows(keys: list[bytes]) -> np.ndarray:
    rows = np.zeros(len(keys), OLDER[1].dtype)
    rows["schema"], rows["key"], rows["attempts"] = 1, keys, np.arange(len(keys)) + 7
    rows["pair_payee"] = np.arange(40) + 1 + (1 << 45)
    rows["pair_matured"] = 3
    rows["pair_matured"][:, 5] = 1  # the one to forget
    rows["recent_transaction"][:, 2] = 99
    return rows


def test_a_row_of_version_1_is_read_and_written_anew() -> None:
    hop = AccountHop(0, SETTINGS)
    hop.table.put(Packed.of_structs(older_rows([b"a", b"b"])))
    rows = hop.table.rows[: len(hop.table)]
    assert rows["schema"].tolist() == [SCHEMA_VERSION] * 2
    assert rows["key"].tolist() == [b"a", b"b"]
    assert rows["attempts"].tolist() == [7, 8]
    assert rows["recent_transaction"][:, 2].tolist() == [99, 99]
    assert len(hop.table.changed()) == 2, "a migrated row is written at the next checkpoint"


def test_of_forty_payees_the_least_known_is_forgotten() -> None:
    hop = AccountHop(0, SETTINGS)
    hop.table.put(Packed.of_structs(older_rows([b"a"])))
    assert hop.table.rows["pair_low"][0].tolist() == [payee for payee in range(1, 41) if payee != 6]
    assert hop.table.rows["pair_high"][0].tolist() == [1 << 13] * PAIRS


def test_versions_may_be_mixed_and_the_last_row_of_a_key_wins() -> None:
    today = np.zeros(1, ACCOUNT_ROW)
    today["schema"], today["key"], today["attempts"] = SCHEMA_VERSION, b"a", 50
    hop = AccountHop(0, SETTINGS)
    hop.table.put(Packed.of([older_rows([b"a"]).tobytes(), today.tobytes()]))
    assert hop.table.rows["attempts"][0] == 50
    hop.table.put(Packed.of([today.tobytes(), older_rows([b"a"]).tobytes()]))
    assert hop.table.rows["attempts"][0] == 7


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((77).to_bytes(2, "little") + bytes(60), "schema version 77 and 62 bytes"),
        (SCHEMA_VERSION.to_bytes(2, "little") + bytes(5), f"schema version {SCHEMA_VERSION} and 7 bytes"),
        (b"x", "too short"),
    ],
)
def test_an_unknown_layout_is_refused(value: bytes, said: str) -> None:
    with pytest.raises(UnknownSchema, match=said):
        AccountHop(0, SETTINGS).table.put(Packed.of([value]))


@pytest.fixture(scope="module")
def parts() -> tuple[np.ndarray, np.ndarray]:
    """Payments of a small bank over months: what comes before an upgrade, and after it."""
    values: list[bytes | None] = [event.transaction for event in islice(events(COUNT, 15), COUNT)]
    decoded = decode_transactions(values, np.arange(COUNT), np.zeros(COUNT, np.int64), 0, 1, future_ms=1 << 60)
    assert not decoded.refused
    assert (decoded.columns["amount_minor"] == 0).any(), "card verifications are among them"
    return decoded.columns[:HALF], decoded.columns[HALF:]


def through(
    accounts: AccountHop, payees: PayeeHop, payments: np.ndarray, rates: Currencies | None = None
) -> np.ndarray:
    """The features of payments, a third of whose frauds are confirmed at once."""
    (_, frame), *more = accounts.process(payments, verdicts(payments), rates).frames
    assert not more
    return payees.process([(0, decode_frame(frame))]).features


def verdicts(payments: np.ndarray) -> np.ndarray:
    found = np.zeros(len(payments) // 100, FEEDBACK)
    for name in ("transaction_hash", "transaction_id", "account_hash", "account_id", "customer_hash", "payee_hash"):
        found[name] = payments[name][99::100]
    found["occurred_at"], found["verdict"] = payments["event_time"][99::100], np.arange(len(found)) % 5
    return found


AMOUNTS = [
    place
    for name, place in INDEX.items()
    if any(
        word in name for word in ("amount", "sum", "outflow", "large", "recent_peak", "cleared", "inflow", "reference")
    )
]
"""Columns that hang on amounts of the past: versions 1 and 2 do not say what currency theirs are in."""
PAYEE_AMOUNTS = [INDEX["payee_inflow_day"], INDEX["amount_to_payee_mean"]]


@pytest.mark.parametrize("version", [1, 2])
def test_an_upgrade_changes_no_feature_but_those_of_amounts(parts: tuple[np.ndarray, np.ndarray], version: int) -> None:
    before, after = parts
    accounts, payees = AccountHop(0, SETTINGS), PayeeHop(0, SETTINGS.maturity_us)
    through(accounts, payees, before)
    assert 0 < len(payees.busy) < len(payees.table) / 2
    busy = {bytes(row["key"]): row for row in payees.busy.rows[: len(payees.busy)]}
    new_accounts, new_payees = AccountHop(0, SETTINGS), PayeeHop(0, SETTINGS.maturity_us)
    old_accounts = accounts_as(version, accounts.table.rows[: len(accounts.table)])
    new_accounts.table.put(Packed.of_structs(old_accounts))
    new_accounts.customers.put(Packed.of_structs(accounts.customers.rows[: len(accounts.customers)]))
    new_payees.table.put(Packed.of_structs(payees_as_1(payees.table.rows[: len(payees.table)], busy)))
    new_accounts.highest[:] = accounts.highest
    if version == 1:  # it did not count remote payments
        for name in ("day_sums", "day_bin", "unauthenticated_sum", "unauthenticated_count"):
            new_accounts.table.rows[name] = accounts.table.rows[name][: len(new_accounts.table.rows)]
    expected, found = through(accounts, payees, after), through(new_accounts, new_payees, after)
    for features in (expected, found):
        features[:, AMOUNTS] = 0.0
    assert found.tobytes() == expected.tobytes()


def test_amounts_of_version_3_stay_comparable(parts: tuple[np.ndarray, np.ndarray]) -> None:
    before, after = parts
    shipped_rates = shipped().common.currencies.rates
    yuan = Currencies("CNY", tuple(Rate(rate.currency, rate.digits, rate.rate / 0.128, 0) for rate in shipped_rates))
    accounts, payees = AccountHop(0, SETTINGS), PayeeHop(0, SETTINGS.maturity_us)
    through(accounts, payees, before, yuan)
    new_accounts, new_payees = AccountHop(0, SETTINGS), PayeeHop(0, SETTINGS.maturity_us)
    new_accounts.table.put(Packed.of_structs(accounts_as(3, accounts.table.rows[: len(accounts.table)])))
    new_accounts.customers.put(Packed.of_structs(accounts.customers.rows[: len(accounts.customers)]))
    new_payees.table.put(Packed.of_structs(payees_as_2(payees.table.rows[: len(payees.table)])))
    new_payees.busy.put(Packed.of_structs(payees.busy.rows[: len(payees.busy)]))
    new_accounts.highest[:] = accounts.highest
    expected, found = through(accounts, payees, after, yuan), through(new_accounts, new_payees, after, yuan)
    for features in (expected, found):
        features[:, PAYEE_AMOUNTS] = 0.0
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_a_row_of_version_3_in_another_currency_is_converted_by_the_rate_of_the_next_payment() -> None:
    rows = np.zeros(2, OLDER[3].dtype)
    rows["schema"], rows["key"], rows["currency"] = 3, [b"a", b"b"], [pack_code("HUF"), pack_code("TWD")]
    rows["attempts"], rows["matured"], rows["normal_mean"], rows["normal_max"] = 9, 9, np.log(1_000_000.0), 1_400_000.0
    rows["recent_amount"], rows["day_sums"], rows["unauthenticated_sum"] = 800_000.0, 3_000_000.0, 5_000_000.0
    hop = AccountHop(0, SETTINGS)
    hop.table.put(Packed.of_structs(rows))
    euro = shipped().common.currencies.arrays
    for row in hop.table.rows[:2]:
        take_unit(row, euro, 10**15)
    huf, twd = hop.table.rows[:2]
    assert huf["unit"] == twd["unit"] == pack_code("EUR")
    assert np.exp(huf["normal_mean"]) == pytest.approx(2_500)
    assert (huf["normal_max"], huf["recent_amount"][0], huf["day_sums"][0]) == (3_500.0, 2_000.0, 7_500)
    assert huf["unauthenticated_sum"] == 12_500
    assert (twd["normal_count"], twd["recent_amount"][0], twd["day_sums"][0]) == (0, -1.0, 0), "no rate: not comparable"
    assert (twd["day_unknown"], twd["unauthenticated_unknown"], twd["matured"]) == (0x7F, 1, 9)


def test_payee_rows_of_version_1_become_the_rows_they_would_be(parts: tuple[np.ndarray, np.ndarray]) -> None:
    accounts, payees, upgraded = AccountHop(0, SETTINGS), PayeeHop(0, SETTINGS.maturity_us), PayeeHop(0, DAY_US)
    through(accounts, payees, parts[0])
    rows, busy_rows = payees.table.rows[: len(payees.table)], payees.busy.rows[: len(payees.busy)]
    upgraded.table.put(Packed.of_structs(payees_as_1(rows, {bytes(row["key"]): row for row in busy_rows})))
    assert len(upgraded.table.changed()) == len(upgraded.table), "migrated rows are written at the next checkpoint"
    assert len(upgraded.busy.changed()) == len(upgraded.busy)
    needed = {bytes(row["key"]): row.tobytes() for row in upgraded.busy.sorted_rows()}
    for name in LABEL_TIMES:
        payees.busy.rows[name] = 0
    given = {bytes(row["key"]): row.tobytes() for row in payees.busy.sorted_rows()}
    assert needed.items() <= given.items()
    assert needed
    for old, new in zip(payees.table.sorted_rows(), upgraded.table.sorted_rows(), strict=True):
        assert new["schema"] == PAYEE_SCHEMA
        old = old.copy()
        old["unit"], old["amounts"] = 0, 0  # amounts are learned anew
        if bytes(new["key"]) in needed:
            assert new.tobytes() == old.tobytes()
        elif bytes(new["key"]) not in given:
            for listed, count in (("payers", "payers_count"), ("before", "before_count")):
                assert sorted(new[listed][: new[count]]) == sorted(old[listed][: old[count]])
            assert new["days"].tolist() == old["days"].tolist()


def test_a_customer_row_of_version_1_knows_its_payees_as_accounts_do() -> None:
    rows = np.zeros(1, OLDER_CUSTOMERS[1].dtype)
    rows["schema"], rows["key"], rows["pair_payee"][0, :2] = 1, b"c", (0xABCD_1234_5678_9ABC, 7)
    hop = AccountHop(0, SETTINGS)
    hop.customers.put(Packed.of_structs(rows))
    assert hop.customers.rows["pair_payee"][0, :3].tolist() == [0x1234_5678_9ABC, 7, 0]
    assert hop.customers.rows["schema"][0] == CUSTOMER_SCHEMA
    assert hop.customers.changed().tolist() == [0]


def test_what_waited_from_before_verifications_is_normal_after_the_upgrade() -> None:
    rows = np.zeros(1, OLDER[2].dtype)
    rows["schema"], rows["key"], rows["matured"] = 2, b"a", 20
    rows["pending_head"], rows["pending_count"] = HEAD, 2
    rows["pending_transaction"][0, HEAD : HEAD + 2] = 70, 71
    rows["pending_payee"][0, HEAD : HEAD + 2] = 9, 8
    rows["pending_amount"][0, HEAD : HEAD + 2] = 100.0
    rows["pending_channel"] = 1
    rows["recent_transaction"][0] = [71, *range(100, 115)]  # 15 verifications since
    rows["recent_next"] = 0
    hop = AccountHop(0, SETTINGS)
    hop.table.put(Packed.of_structs(rows))
    row = hop.table.rows[0]
    assert (row["matured"], row["matured_early"], row["pending_count"]) == (21, 1, RECENT)
    assert row["pair_low"][:2].tolist() == [9, 0]
    assert row["pair_matured"][0] == 1
    assert row["recent_transaction"].tolist() == rows["recent_transaction"][0].tolist()
    assert row["recent_payee"].tolist() == [8] + [0] * 15
