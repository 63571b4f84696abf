from __future__ import annotations

import numpy as np
import pytest

from detectors.snapshot import Snapshot, SnapshotError, require_array, require_kind


def _snapshot(**changes: object) -> Snapshot:
    facts = {
        "kind": "example/1",
        "round": 3,
        "parent": "ab" * 32,
        "description": {"inputs": ["amount"]},
        "model": {"weights": np.array([0.5, -1.0]), "codes": np.array([[1, 2]], dtype=np.uint8), "none": np.zeros(0)},
        "state_description": {"level": 1},
        "state": {"pending": np.arange(5, dtype=np.uint64)},
    }
    return Snapshot(**{**facts, **changes})  # type: ignore[arg-type]


def test_bytes_and_back_keep_everything() -> None:
    snapshot = _snapshot()
    again = Snapshot.from_bytes(snapshot.to_bytes())
    assert (again.version, again.digest, again.round) == (snapshot.version, snapshot.digest, 3)
    assert again.to_bytes() == snapshot.to_bytes()
    assert again.model["codes"].dtype == np.uint8
    assert again.state["pending"].tolist() == [0, 1, 2, 3, 4]


def test_digest_names_model_and_history_but_not_the_learning_state() -> None:
    snapshot = _snapshot()
    assert snapshot.without_state().digest == snapshot.digest
    assert snapshot.without_state().to_bytes() != snapshot.to_bytes()
    for change in (
        {"parent": "cd" * 32},
        {"round": 4},
        {"description": {"inputs": ["other"]}},
        {"model": {**snapshot.model, "weights": np.array([0.5, -1.5])}},
        {"kind": "example/2"},
    ):
        assert _snapshot(**change).digest != snapshot.digest
    assert snapshot.version == f"m3-{snapshot.digest[:8]}"


@pytest.mark.parametrize("place", [9, 20, 60, -40, -1])
def test_any_altered_byte_is_noticed(place: int) -> None:
    data = bytearray(_snapshot().to_bytes())
    data[place] ^= 1
    with pytest.raises(SnapshotError):
        Snapshot.from_bytes(bytes(data))


def test_a_cut_snapshot_is_refused_with_what_to_do() -> None:
    with pytest.raises(SnapshotError, match="fetch all its chunks again"):
        Snapshot.from_bytes(_snapshot().to_bytes()[:-10])


def test_arrays_cannot_be_changed_behind_the_digest() -> None:
    with pytest.raises(ValueError, match="read-only"):
        _snapshot().model["weights"][0] = 1.0


def test_unsupported_dtypes_are_refused() -> None:
    with pytest.raises(SnapshotError, match="complex128 cannot be stored"):
        _snapshot(model={"a": np.zeros(1, dtype=complex)})


def test_requirements_name_what_differs() -> None:
    snapshot = _snapshot()
    with pytest.raises(SnapshotError, match=r"kind 'example/1', this code reads 'ensemble/1'"):
        require_kind(snapshot, "ensemble/1")
    with pytest.raises(SnapshotError, match="lacks the array 'bias'"):
        require_array(snapshot.model, "bias", "f8", (1,))
    with pytest.raises(SnapshotError, match=r"'weights' is float64\[2\], expected f8\[3\]"):
        require_array(snapshot.model, "weights", "f8", (3,))
