from __future__ import annotations

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stream.arrays.packed import Packed
from stream.core.columns import SCENARIOS
from stream.core.features import MODEL_COLUMNS
from stream.core.learning.learning_records import SCORED, VERSION, read_learning, strangers
from stream.errors import RiskstreamError


def _scored(count: int, seed: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    rng = np.random.default_rng(seed)
    records = np.frombuffer(rng.bytes(count * SCORED.itemsize), SCORED).copy()
    records["magic"], records["version"], records["suspected"] = b"RSLF", VERSION, rng.random(count) < 0.5
    records["group"] %= len(SCENARIOS)
    records["event_time"] = rng.integers(0, 2 * 10**15, count)
    return records


def _label(number: int) -> bytes:
    said = {"transaction_id": f"t-{number}", "payment": number, "feedback_id": f"f-{number}", "kind": "review"}
    return orjson.dumps({**said, "verdict": "fraud", "occurred_at_us": number})


def test_batches_are_read_as_columns_with_the_labels_where_they_came() -> None:
    scored = _scored(5, 1)
    values = [record.tobytes() for record in scored]
    batches = [[_label(1), values[0], _label(2), _label(3), values[1]], [], values[2:5], [_label(4)]]
    keys = [[f"{number}-{place}".encode() for place in range(len(batch))] for number, batch in enumerate(batches)]
    read = read_learning([Packed.of(batch) for batch in batches], [Packed.of(batch) for batch in keys])
    assert list(read.ids) == [b"0-1", b"0-4", b"2-0", b"2-1", b"2-2"]
    for name in ("payment", "event_time", "group", "risk_ppm"):
        assert getattr(read, name).tolist() == scored[name].tolist()
    assert read.suspected.tolist() == (scored["suspected"] == 1).tolist()
    assert read.inputs.tobytes() == scored["inputs"].tobytes()
    assert read.inputs.shape == (5, len(MODEL_COLUMNS))
    assert read.labels == [_label(1), _label(2), _label(3), _label(4)]
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
        read_learning([Packed.of([values[0], values[1] + b"!!!!" if how == "length" else values[1]])])


GOOD = [*(record.tobytes() for record in _scored(2, 3)), _label(7)]


@hypothesis_settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=80) | st.sampled_from(GOOD) | st.tuples(
    st.sampled_from(GOOD), st.integers(0, 300), st.binary(min_size=1, max_size=3)
).map(lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] + len(cut[2]) :]), max_size=6))  # fmt: skip
def test_whatever_lies_on_the_topic_is_features_a_label_or_left_out(values: list[bytes]) -> None:
    try:
        read = read_learning([Packed.of(values)])
    except RiskstreamError:
        return  # whole features of another version: the learner stands and says so
    assert len(read) + len(read.labels) + len(strangers(Packed.of(values))) == len(values)
    assert (read.group < len(SCENARIOS)).all()
    assert len(read.labels) == len(read.before)


@pytest.mark.parametrize(
    "value",
    [None, b"", b"R", b"[" * 100_000, b'{"payment":' + b"9" * 5_000 + b"}", _label(1)[:-1], _label(1) + b" x",
     GOOD[0][:-1], _label(1).replace(b'"review"', b'["review"]')],
)  # fmt: skip
def test_what_is_neither_features_nor_label_is_left_out(value: bytes | None) -> None:
    values = Packed.of([GOOD[0], value, GOOD[2]])
    read = read_learning([values])
    assert (len(read), read.labels, read.before) == (1, [GOOD[2]], [1])
    assert strangers(values) == [1]
