from __future__ import annotations

import numpy as np
import pytest

from stream.core.features import MODEL_COLUMNS
from stream.core.learning import SCORED, VERSION, read_learning
from stream.core.packed import Packed
from stream.errors import RiskstreamError


def _scored(count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    rng = np.random.default_rng(seed)
    records = np.frombuffer(rng.bytes(count * SCORED.itemsize), SCORED).copy()
    records["magic"], records["version"], records["suspected"] = b"RSLF", VERSION, rng.random(count) < 0.5
    return records


def test_batches_are_read_as_columns_with_the_labels_where_they_came() -> None:
    scored = _scored(5, 1)
    values = [record.tobytes() for record in scored]
    batches = [[b'{"a":1}', values[0], b'{"b":2}', b'{"c":3}', values[1]], [], values[2:5], [b'{"d":4}']]
    keys = [[f"{number}-{place}".encode() for place in range(len(batch))] for number, batch in enumerate(batches)]
    read = read_learning([Packed.of(batch) for batch in batches], [Packed.of(batch) for batch in keys])
    assert list(read.ids) == [b"0-1", b"0-4", b"2-0", b"2-1", b"2-2"]
    for name in ("payment", "event_time", "group", "risk_ppm"):
        assert getattr(read, name).tolist() == scored[name].tolist()
    assert read.suspected.tolist() == (scored["suspected"] == 1).tolist()
    assert read.inputs.tobytes() == scored["inputs"].tobytes()
    assert read.inputs.shape == (5, len(MODEL_COLUMNS))
    assert read.labels == [b'{"a":1}', b'{"b":2}', b'{"c":3}', b'{"d":4}']
    assert read.before == [0, 1, 1, 5]


def test_nothing_is_read_as_nothing() -> None:
    read = read_learning([])
    assert (len(read), read.labels, read.inputs.shape) == (0, [], (0, len(MODEL_COLUMNS)))


@pytest.mark.parametrize("how", ["length", "version"])
def test_features_of_another_version_are_refused(how: str) -> None:
    records = _scored(2, 2)
    records["version"][1] = VERSION + (how == "version")
    values = [record.tobytes() for record in records]
    with pytest.raises(RiskstreamError, match="another version"):
        read_learning([Packed.of([values[0], values[1] + b"!" if how == "length" else values[1]])])
