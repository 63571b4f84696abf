"""Stored rows of another schema version: an older one takes today's layout, an unknown one is refused in clear words."""

from __future__ import annotations

import numpy as np
import pytest

from stream.core.account_row import ACCOUNT_ROW, PAIRS, SCHEMA_VERSION
from stream.core.account_row_history import OLDER
from stream.core.packed import Packed
from stream.core.profile import AccountHop, HopSettings
from stream.core.rows import UnknownSchema

SETTINGS = HopSettings(1, 30 * 86_400_000_000, 3_600_000_000)


def older_rows(keys: list[bytes]) -> np.ndarray:
    rows = np.zeros(len(keys), OLDER[1].dtype)
    rows["schema"], rows["key"], rows["attempts"] = 1, keys, np.arange(len(keys)) + 7
    rows["pair_payee"] = np.arange(40) + 1
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
    kept = hop.table.rows["pair_payee"][0].tolist()
    assert kept == [payee for payee in range(1, 41) if payee != 6]
    assert len(kept) == PAIRS


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
